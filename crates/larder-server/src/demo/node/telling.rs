//! [`Telling`]: a sink that tells whoever started the node how far it has come.

use larder::{Invalidation, Position, Settled, Sink, SinkError, Target};

use super::super::words::{Said, now_nanos};
use super::say;

/// Tells when rows of other nodes were applied.
pub(super) struct Telling {
    own: String,
}

impl Telling {
    /// Of the node of this name.
    pub(super) fn of(name: &str) -> Self {
        Telling { own: name.to_owned() }
    }
}

impl Sink for Telling {
    fn apply(&self, rows: &[Invalidation], at: Position) -> Result<Settled, SinkError> {
        let _ = at;
        let is_own = |row: &&Invalidation| row.origin().is_some_and(|origin| origin.node() == self.own);
        if let Some(last) = rows.iter().rfind(|row| !is_own(row)) {
            say(&[Said::Applied {
                position: last.position().get(),
                at_nanos: now_nanos(),
            }]);
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}
