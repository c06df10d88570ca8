//! [`Trace`]: where parts write down what befalls single keys, so that it can be told later why one was there, or was not.
//!
//! Always true: it is told with no lock held, after it has happened; values are never told.

use crate::as_of::AsOf;
use crate::fence::Stamp;
use crate::target::Target;

/// Hears what befalls single keys of pools and caches.
pub trait Trace: Send + Sync + 'static {
    /// Whether what befalls a key is to be told, beside rejected fills, which always are. `hash` is the part's own of the key, spread evenly. Asked
    /// for each change, so it must be cheap.
    fn is_told(&self, hash: u64) -> bool;

    /// Something has befallen a key. Of one that [`Trace::is_told`] was not asked about, it is a rejected fill.
    fn tell(&self, of: &Target, hash: u64, what: Befallen);
}

/// What has befallen a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Befallen {
    /// It was loaded, and kept.
    #[non_exhaustive]
    Filled {
        /// Which loader brought it.
        loader: &'static str,
        /// Where the fence stood when the load began.
        began: Stamp,
        /// How far the copy had come that it was read from, if it was one.
        as_of: Option<AsOf>,
    },
    /// It was loaded, given to those who waited, and not kept.
    #[non_exhaustive]
    Rejected {
        /// Which loader brought it.
        loader: &'static str,
        /// Where the fence stood when the load began.
        began: Stamp,
        /// Why, in one stable word.
        why: &'static str,
    },
    /// It has left.
    #[non_exhaustive]
    Removed {
        /// Why, in one stable word.
        why: &'static str,
    },
    /// A value past its time to live was served.
    ServedStale,
}

impl Befallen {
    /// See [`Befallen::Filled`].
    #[must_use]
    pub fn filled(loader: &'static str, began: Stamp, as_of: Option<AsOf>) -> Self {
        Befallen::Filled { loader, began, as_of }
    }

    /// See [`Befallen::Rejected`].
    #[must_use]
    pub fn rejected(loader: &'static str, began: Stamp, why: &'static str) -> Self {
        Befallen::Rejected { loader, began, why }
    }

    /// See [`Befallen::Removed`].
    #[must_use]
    pub fn removed(why: &'static str) -> Self {
        Befallen::Removed { why }
    }
}
