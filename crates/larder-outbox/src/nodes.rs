//! [`Nodes`]: who follows a log, and how far each has come.

use std::fmt;
use std::time::Duration;

use larder_core::{BoxFuture, Cursor, Timestamp};

use crate::Error;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{NODE_LEASE, NODES_MAX};

/// A process that follows a log under the name of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The node's name; no two live members of a log have the same.
    pub node: String,
    /// By what this process is told from others of that name.
    pub run: u64,
    /// What is kept with the node's data: whoever has it is the node.
    pub key: Option<[u8; 16]>,
    /// For how long it counts as live after it was last heard of.
    pub lease: Duration,
}

/// What became of a process that wants to be a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is the node.
    Alone,
    /// It is the node, and another live process, whose key it has, no longer is.
    TookOver,
    /// Another process is, and was heard of at this time.
    InUse(Timestamp),
}

/// What became of a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beaten {
    /// It is known.
    Alive,
    /// Another process is this node now.
    Superseded,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything that this includes is applied.
    pub applied: Cursor,
    /// From where on it would read if it began anew; none if it keeps no cursor, and would begin with a flush.
    pub saved: Option<Cursor>,
}

/// A node, as all who follow the log see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Which process it is.
    pub run: u64,
    /// Whether it was heard of within its lease.
    pub is_live: bool,
    /// When it was last heard of, by the clock of the log.
    pub last_seen: Timestamp,
    /// How far it has come; none before it has said so.
    pub applied: Option<Cursor>,
}

/// The table of those who follow a log. All times are the log's.
///
/// The futures own what they need: a follower lets them go on beside its rounds.
pub trait Nodes: fmt::Debug + Send + Sync {
    /// Makes a process known as a node. Gives [`Error::Config`] beyond 256 live ones.
    fn join(&self, member: Member) -> BoxFuture<'static, Result<Joined, Error>>;

    /// Says that it lives, and how far it has come.
    fn beat(&self, member: Member, progress: Progress) -> BoxFuture<'static, Result<Beaten, Error>>;

    /// It is a node no longer.
    fn leave(&self, member: Member) -> BoxFuture<'static, Result<(), Error>>;

    /// Everybody who was heard of and has not left, by name.
    fn list(&self) -> BoxFuture<'static, Result<Vec<NodeStatus>, Error>>;
}

impl Member {
    /// A process of this name. The lease is 10 seconds.
    #[must_use]
    pub fn new(node: impl Into<String>, run: u64) -> Self {
        Member {
            node: node.into(),
            run,
            key: None,
            lease: NODE_LEASE,
        }
    }

    /// The fault of one more node than there may be.
    pub(crate) fn one_too_many(&self) -> Error {
        ConfigError::of(vec![ConfigFault {
            option: "node",
            given: format!("{:?}, one more than there may be", self.node),
            allowed: format!("{NODES_MAX} live nodes"),
        }])
    }
}

impl NodeStatus {
    /// A node that was heard of at this time.
    #[must_use]
    pub fn new(node: impl Into<String>, run: u64, last_seen: Timestamp) -> Self {
        NodeStatus {
            node: node.into(),
            run,
            is_live: true,
            last_seen,
            applied: None,
        }
    }
}
