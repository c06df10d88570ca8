//! [`Recorded`], the receipt for a batch in an open transaction.

use larder_core::{Epoch, Invalidation, Namespace, Position, SourceId, Timestamp, Token};

/// What was recorded. It counts once the transaction has committed; until then nobody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub(crate) namespace: Namespace,
    pub(crate) source: SourceId,
    pub(crate) epoch: Epoch,
    pub(crate) position: Option<Position>,
    pub(crate) inserted: usize,
    pub(crate) collapsed: bool,
    pub(crate) recorded_at: Timestamp,
    /// What was recorded, as it will be delivered.
    pub(crate) rows: Vec<Invalidation>,
}

impl Recorded {
    /// The namespace of the batch.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The position of the commit to be; none for an empty batch.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// How many rows were new at that position.
    #[must_use]
    pub fn inserted(&self) -> usize {
        self.inserted
    }

    /// Whether the batch has widened itself, since it named too many targets of one kind.
    #[must_use]
    pub fn collapsed(&self) -> bool {
        self.collapsed
    }

    /// When it was recorded, by the database's clock; the epoch of Unix for an empty batch, of which the database was not told.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// What a read must not be older than to see this commit, once it is one.
    pub(crate) fn token(&self) -> Token {
        self.position.map_or_else(Token::default, |position| {
            Token::commit(self.source, self.epoch, position)
        })
    }
}
