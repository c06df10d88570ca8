//! What a follower brings: one target of one commit, with where it comes from.
//!
//! Immutable and cheap to clone. Whether it has been applied is not known here.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::limits::{NODE_BYTES_MAX, REASON_BYTES_MAX, cut_at_character};
use crate::name::TargetError;
use crate::position::Position;
use crate::target::{Target, TargetHash};
use crate::timestamp::Timestamp;

/// Why something is invalidated, in words for operators. At most 256 bytes: a longer text is cut at a character.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Reason(Arc<str>);

impl Reason {
    /// The reason `text`, cut if it is too long. Never refused.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(cut_at_character(text.as_ref(), REASON_BYTES_MAX)))
    }

    /// The reason's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&Reason> for Reason {
    fn from(reason: &Reason) -> Self {
        reason.clone()
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The process that recorded an invalidation: the name of its node, and one run of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    node: Arc<str>,
    run: u64,
}

impl Origin {
    /// The run `run`, a number drawn when the process started, of the node `node`.
    ///
    /// # Errors
    /// [`TargetError`] if the node's name is empty, longer than 128 bytes, or has control characters.
    pub fn new(node: impl AsRef<str>, run: u64) -> Result<Self, TargetError> {
        let node = node.as_ref();
        crate::name::check("node", node, NODE_BYTES_MAX)?;
        Ok(Self {
            node: Arc::from(node),
            run,
        })
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The run of the node's process.
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.run
    }
}

/// One target of one commit, as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    target: Target,
    hash: TargetHash,
    position: Position,
    reason: Reason,
    origin: Option<Origin>,
    recorded_at: Timestamp,
}

impl Invalidation {
    /// The target `target` of the commit at `position`, recorded at `recorded_at` by the database's clock. It has an
    /// empty reason and no origin.
    #[must_use]
    pub fn new(target: Target, position: Position, recorded_at: Timestamp) -> Self {
        let hash = target.hash();
        Self {
            target,
            hash,
            position,
            reason: Reason::default(),
            origin: None,
            recorded_at,
        }
    }

    /// The same with a reason. Default: empty.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Reason>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same with the process that recorded it. Default: none, as for rows written by triggers or by hand.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// What is invalidated.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The target's hash, computed once.
    #[must_use]
    pub const fn hash(&self) -> TargetHash {
        self.hash
    }

    /// The commit, within the source and epoch that delivered it.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Why, for operators.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The process that recorded it, if it said so.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// When it was recorded, by the database's clock.
    #[must_use]
    pub const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }
}
