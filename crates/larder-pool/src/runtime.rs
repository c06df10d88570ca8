//! The runtimes that this crate knows: [`TokioRuntime`], by the feature `tokio`.

use std::sync::Arc;

use larder_core::Runtime;

#[cfg(feature = "tokio")]
mod tokio_runtime;

#[cfg(feature = "tokio")]
pub use tokio_runtime::TokioRuntime;

/// The runtime within which the caller runs, if it is one that this crate knows.
#[cfg(feature = "tokio")]
pub(crate) fn ambient() -> Option<Arc<dyn Runtime>> {
    Some(Arc::new(TokioRuntime::current()?))
}

/// The runtime within which the caller runs, if it is one that this crate knows.
#[cfg(not(feature = "tokio"))]
pub(crate) fn ambient() -> Option<Arc<dyn Runtime>> {
    None
}
