//! [`Reason`]: why an entry left a pool.

use std::sync::LazyLock;

use larder_core::Position;

/// Why an entry left. The first three are for callers to give; the others are the pool's own and cannot be made
/// outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it, without saying more.
    Manual,
    /// The row was saved: the cached value is an older one.
    Saved,
    /// The row was deleted.
    Deleted,
    /// Room was needed.
    #[non_exhaustive]
    Evicted,
    /// Its time to live was over.
    #[non_exhaustive]
    Expired,
    /// It was not used for its time to idle.
    #[non_exhaustive]
    Idle,
    /// Something that it depends on was invalidated.
    #[non_exhaustive]
    Invalidated {
        /// The commit that said so; none if it was not a commit of a source, or is no longer known.
        position: Option<Position>,
    },
    /// A newer value of it was too heavy to be kept.
    #[non_exhaustive]
    Superseded,
}

impl Reason {
    /// How many there are, for tables by reason.
    pub(crate) const COUNT: usize = 8;

    /// Those that callers give, in the order of their places.
    const OF_CALLERS: [Reason; 3] = [Reason::Manual, Reason::Saved, Reason::Deleted];

    /// Its place in a table by reason.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Manual => 0,
            Self::Saved => 1,
            Self::Deleted => 2,
            Self::Evicted => 3,
            Self::Expired => 4,
            Self::Idle => 5,
            Self::Invalidated { .. } => 6,
            Self::Superseded => 7,
        }
    }

    /// This, if callers may give it; they may also have got it from an event.
    pub(crate) const fn of_caller(self) -> Self {
        match self {
            Self::Manual | Self::Saved | Self::Deleted => self,
            _ => Self::Manual,
        }
    }

    /// As a fence is told of a reason that callers give. Made once, so that a removal need not.
    pub(crate) fn told(self) -> larder_core::Reason {
        static TOLD: LazyLock<[larder_core::Reason; 3]> =
            LazyLock::new(|| Reason::OF_CALLERS.map(|reason| larder_core::Reason::new(reason.as_str())));
        TOLD.get(self.index()).unwrap_or(&TOLD[0]).clone()
    }

    /// Its stable word, for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Saved => "saved",
            Self::Deleted => "deleted",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::Invalidated { .. } => "invalidated",
            Self::Superseded => "superseded",
        }
    }
}
