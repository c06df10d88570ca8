//! What becomes of panics in foreign code: contained, or put off until everything that must be done is done.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs foreign code of which nobody waits for the outcome. A panic ends there; `None` then.
pub(crate) fn contain<R>(step: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(done) => Some(done),
        Err(panic) => {
            tracing::error!(panic = text(&*panic), "a panic in foreign code was contained");
            // A payload may panic when it is dropped, too.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
            None
        }
    }
}

/// Runs foreign code whose panic is an outcome like others: its text.
pub(crate) fn caught<R>(step: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        let message = text(&*panic).to_owned();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        message
    })
}

/// The text of a panic; empty if it has none.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or_default()
}

/// The first panic of several steps, for the caller.
#[derive(Default)]
pub(crate) struct Panics {
    first: Option<Box<dyn Any + Send>>,
}

impl Panics {
    /// Runs `step`; what it gives is lost if it panics.
    pub(crate) fn put_off<R>(&mut self, step: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(done) => Some(done),
            Err(panic) => {
                if self.first.is_none() {
                    self.first = Some(panic);
                } else {
                    contain(|| drop(panic));
                }
                None
            }
        }
    }

    /// Lets the first panic go on to the caller, if there was one.
    pub(crate) fn go_on(self) {
        if let Some(panic) = self.first {
            resume_unwind(panic);
        }
    }
}
