//! What loads refuse, by name: [`FetchError`], which reaches everyone who waits.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::EntityName;
use thiserror::Error;

use crate::AnyError;

/// Why there is no answer. Cheap to clone: all who wait for one load get the same.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The loader gave an error.
    #[error("load failed")]
    Loader(#[source] LoaderError),
    /// The loader brought a value of another id than was asked for. A query's result, a page, or what one caller may
    /// see is an entity of its own, whose id holds what it depends on.
    #[error("the loader brought a `{name}` of another id than was asked for")]
    IdMismatch {
        /// The entity's name.
        name: EntityName,
    },
    /// The loader panicked, or a method of the value that it brought.
    #[error("load panicked: {message}")]
    Panicked {
        /// The panic's text; empty if it has none.
        message: Arc<str>,
    },
    /// It took too long.
    #[error("load took longer than {after:?}")]
    Timeout {
        /// How long it was given.
        after: Duration,
    },
    /// The load would wait for itself: its loader asked for the id that it is loading, directly or through others.
    #[error("the load would wait for itself")]
    Recursive,
    /// As many ids are being loaded as may be at once.
    #[error("{limit} ids are being loaded, which is as many as may be")]
    Busy {
        /// How many may be.
        limit: usize,
    },
    /// More ids than one call may ask for.
    #[error("one call asks for at most {max} ids")]
    TooMany {
        /// How many it may ask for.
        max: usize,
    },
    /// The id is longer than a key may be.
    #[error("the id is longer than {max} bytes")]
    IdTooLong {
        /// How many bytes a key may have.
        max: usize,
    },
    /// The loader said that nothing has changed, where there is nothing that could be kept, or several ids.
    #[error("the loader says that nothing has changed, and there is nothing to renew")]
    NothingToRenew,
    /// The value was read from a copy of the source that does not include the caller's token.
    #[error("the copy that was read does not include the token")]
    Behind,
    /// An option of this call needs a runtime, and the pool has none.
    #[error("{option} needs a runtime, and the pool has none")]
    NeedsRuntime {
        /// The option.
        option: &'static str,
    },
    /// An option of this call needs background work, and the pool was shut down.
    #[error("the pool was shut down")]
    Stopped,
    /// The pool was built without a loader.
    #[error("the pool has no loader of its own")]
    NoLoader,
}

impl FetchError {
    pub(crate) fn panicked(text: &str) -> Self {
        FetchError::Panicked { message: text.into() }
    }
}

/// An error of a loader's, shared by all who waited for it.
#[derive(Clone)]
pub struct LoaderError(Arc<AnyError>);

impl LoaderError {
    pub(crate) fn new(error: Box<AnyError>) -> Self {
        LoaderError(error.into())
    }

    /// The error as the loader gave it, if it is one of this type.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// The error as the loader gave it.
    #[must_use]
    pub fn as_error(&self) -> &AnyError {
        &*self.0
    }
}

impl fmt::Debug for LoaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for LoaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for LoaderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// This node has not applied the token, or cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this node has not applied the token")]
#[non_exhaustive]
pub struct Behind;
