//! What lies between a node and the log: a network that may be cut, and now and then something that breaks one promise.

use std::sync::{Arc, Mutex};

use larder_core::{
    Batch, BoxFuture, Cursor, Delivered, Head, Position, Source, SourceError, SourceId, Target,
};
use larder_outbox::MemoryStore;

use super::node::Disk;

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Now and then a row is dropped.
    RowDropped,
    /// A row that cannot be read is skipped instead of widened.
    WideningSkipped,
    /// As the naive poller does: above the highest position that was seen, whatever was open below it.
    OpenForgotten,
    /// A purge is answered with what is left.
    PurgeHidden,
    /// A cursor is saved before what it vouches for is settled.
    CursorSavedAhead,
    /// A node that flushes goes on from a head that is taken after the flush.
    HeadAfterFlush,
    /// Of two tokens the one with the greater position counts for both.
    TokenByMaximum,
}

/// The log as one node sees it.
#[derive(Debug)]
pub struct Between {
    pub store: MemoryStore,
    pub sabotage: Sabotage,
    pub disk: Arc<Mutex<Disk>>,
    pub state: Mutex<State>,
}

#[derive(Debug, Default)]
pub struct State {
    pub is_cut: bool,
    reads: u64,
}

impl Between {
    fn answer(&self) -> Result<(), SourceError> {
        if self.state.lock().unwrap().is_cut {
            return Err(SourceError::new(self.store.id(), "the network is cut"));
        }
        Ok(())
    }

    fn spoil(&self, cursor: &Cursor, batch: &mut Batch) {
        if batch.rows.is_empty() && self.sabotage == Sabotage::RowDropped {
            return;
        }
        let reads = {
            let mut state = self.state.lock().unwrap();
            state.reads += 1;
            state.reads
        };
        match self.sabotage {
            Sabotage::RowDropped if reads.is_multiple_of(4) => drop(batch.rows.pop()),
            Sabotage::WideningSkipped => batch.rows.retain(|row| *row.target() != Target::Everything),
            Sabotage::OpenForgotten => {
                let (end, check) = (batch.cursor.end(), batch.cursor.check());
                batch.cursor = Cursor::ordered(cursor.source(), cursor.epoch(), end, check);
            }
            Sabotage::CursorSavedAhead => self.disk.lock().unwrap().saved = Some(batch.cursor.clone()),
            _ => {}
        }
    }
}

impl Source for Between {
    fn id(&self) -> SourceId {
        self.store.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        Box::pin(async move {
            self.answer()?;
            let mut head = self.store.head().await?;
            if self.sabotage == Sabotage::HeadAfterFlush {
                // As if it had been taken when the next commits were there already.
                let cursor = &head.cursor;
                let end = Position::new(cursor.end().get() + 2);
                head.cursor = Cursor::ordered(cursor.source(), cursor.epoch(), end, cursor.check());
            }
            Ok(head)
        })
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            self.answer()?;
            let mut delivered = self.store.read(cursor, limit).await?;
            match &mut delivered {
                Delivered::Rows(batch) => self.spoil(cursor, batch),
                Delivered::Purged if self.sabotage == Sabotage::PurgeHidden => {
                    let head = self.store.head().await?;
                    let batch = Batch::new(Vec::new(), head.cursor, head.as_of, true);
                    return Ok(Delivered::Rows(batch));
                }
                _ => {}
            }
            Ok(delivered)
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.store.hinted()
    }
}
