//! [`Dropping`]: a source that breaks its promise, to see whether the checker finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::{BoxFuture, Cursor, Delivered, Head, Source, SourceError, SourceId, Target};

/// One row of an entity in so many is lost.
const ROWS_A_LOSS: u64 = 20;

/// A source whose rows are sometimes lost on their way.
#[derive(Debug)]
pub(super) struct Dropping {
    inner: Arc<dyn Source>,
    rows: AtomicU64,
}

impl Dropping {
    pub(super) fn new(inner: Arc<dyn Source>) -> Self {
        Dropping {
            inner,
            rows: AtomicU64::new(0),
        }
    }
}

impl Dropping {
    fn is_lost(&self, target: &Target) -> bool {
        matches!(target, Target::Entity { .. })
            && self.rows.fetch_add(1, Ordering::Relaxed) % ROWS_A_LOSS == 7
    }
}

impl Source for Dropping {
    fn id(&self) -> SourceId {
        self.inner.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        self.inner.head()
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            let mut delivered = self.inner.read(cursor, limit).await?;
            if let Delivered::Rows(batch) = &mut delivered {
                batch.rows.retain(|row| !self.is_lost(row.target()));
            }
            Ok(delivered)
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.inner.hinted()
    }
}
