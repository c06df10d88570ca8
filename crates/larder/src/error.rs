//! [`Error`]: what the layer refuses, by name; a part's own errors are in it as they are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// What a layer says when it cannot do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Options are wrong: all of them.
    #[error("{}", all(.problems))]
    Invalid {
        /// Each option that is wrong.
        problems: Vec<Problem>,
    },
    /// It was opened outside of a tokio runtime, and given no runtime.
    #[error("there is no runtime: open the layer within tokio, or give it one")]
    NoRuntime,
    /// Another process has the data directory.
    #[error("{} is in use{}", .path.display(), by(*.pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that has it, if that is known.
        pid: Option<u32>,
    },
    /// A file was written by a newer version. It was left as it is.
    #[error("{} has format version {found}, this program knows {known}", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest that is known.
        known: u16,
    },
    /// A file cannot be read. It was left as it is.
    #[error("{} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        why: String,
    },
    /// What the file system says.
    #[error(transparent)]
    Storage(#[from] larder_core::StorageError),
    /// Another process is the node of this name.
    #[error("another process is the node `{node}`, last seen at {last_seen}")]
    NodeInUse {
        /// The name.
        node: String,
        /// When it was last heard of, by the clock of the database.
        last_seen: larder_core::Timestamp,
    },
    /// The layer has no such part.
    #[error("the layer has no {part}")]
    NotConfigured {
        /// What it lacks.
        part: &'static str,
    },
    /// The layer has no such pool.
    #[error("the layer has no pool of `{entity}`{}; it has {}", labelled(.label.as_deref()), listed(.known))]
    NoSuchPool {
        /// The entity's name.
        entity: String,
        /// The label that was asked for, if one was.
        label: Option<String>,
        /// The names of the pools there are.
        known: Vec<String>,
    },
    /// There are as many as there may be.
    #[error("there are {max} {what} already, which is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The layer is being shut down.
    #[error("the layer is being shut down")]
    ShuttingDown,
    /// It took too long.
    #[error("{what} took longer than {after:?}")]
    TimedOut {
        /// What did.
        what: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// What a pool says.
    #[error("build a pool")]
    Pool(#[from] larder_pool::BuildError),
    /// What a load says.
    #[error(transparent)]
    Fetch(#[from] larder_pool::FetchError),
    /// What the outbox says.
    #[error(transparent)]
    Outbox(#[from] larder_outbox::Error),
    /// What a source says.
    #[error(transparent)]
    Source(#[from] larder_core::SourceError),
    /// What the fence says.
    #[error(transparent)]
    Fence(#[from] larder_core::FenceError),
}

/// An option that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Of which part: `layer`, `pool user`, `outbox`, and so on.
    pub part: String,
    /// The option.
    pub option: String,
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl Problem {
    pub(crate) fn new(
        part: impl Into<String>,
        option: impl Into<String>,
        given: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Problem {
            part: part.into(),
            option: option.into(),
            given: given.to_string(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part,
            option,
            given,
            allowed,
        } = self;
        write!(f, "{part}: {option} is {given}, allowed is {allowed}")
    }
}

fn all(problems: &[Problem]) -> String {
    let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
    problems.join("; ")
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

fn labelled(label: Option<&str>) -> String {
    label
        .map(|label| format!(" labelled `{label}`"))
        .unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.join(", ")
}
