//! [`Output`]: results on standard output, everything else on standard error; whoever hangs up is no fault.

use std::io::{ErrorKind, Write as _};

use crate::fault::{Exit, Fault};

/// How results are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    /// A result.
    pub(crate) fn say(self, text: &str) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Something to know.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Why it did not work.
    pub(crate) fn fault(self, exit: Exit, text: &str) {
        if self.json {
            let problem = serde_json::json!({ "error": text, "exit": exit.number() });
            drop(self.say(&problem.to_string()));
        }
        drop(writeln!(std::io::stderr(), "larder: {text}"));
    }
}
