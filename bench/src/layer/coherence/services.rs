//! A service of two nodes: one writes, the other reads, and hears of it by whatever the subject has for that.
//!
//! - *Larder* sends no messages. What a transaction invalidates is in the log that was committed with it; the other node's follower reads that log.
//!   In memory the log is a [`MemoryStore`], whose hints wake the follower and are lost as messages are; over SQLite it is the outbox of
//!   [`larder::Layer::transaction`], and nothing wakes the follower.
//! - *HydraCache* has a bus between its caches, which its guide to distributed invalidation describes: `invalidate_tag` on the writer's node, after the
//!   commit, tells the other. The wire is a custom transport to it. In memory that is all there is of it: its outbox would not help, since its worker
//!   acknowledges a row once the bus has taken it. Over SQLite the intent is in its outbox with the commit; the writer runs the worker after the commit,
//!   and the other node has a worker too, as it must to apply what a writer has left.
//! - *moka, foyer, quick_cache and sassi* have nothing between nodes. They are given what services write by hand: after the commit the writer sends the
//!   row's id, and the other node invalidates it when it hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hydracache::HydraCache;
use larder::outbox::{CommitOrder, MemoryStore, Outbox};
use larder::pool::WhenUnsure;
use larder::{
    BoxFuture, Cursor, Delivered, Head, Layer, Source, SourceError, SourceId, SystemClock, SystemEntropy, Tx,
};
use sqlx::Sqlite;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::caches::{Cache, Counter, Hydra, Larder, batch, cache, hydra, tag};
use super::origin::{Origin, UPDATE};
use super::wire::{Bus, Wire};
use super::{BOUND, Fault, Subject};
use crate::layer::hydracache::{HydraOutbox, Worker, work};

/// How long all messages may take to arrive, once nothing is written any more.
const PATIENCE: Duration = Duration::from_secs(30);

#[async_trait]
pub(super) trait Service: Send + Sync {
    /// Changes a row, with whatever goes into the same transaction.
    async fn commit(&self, row: u64) -> Result<(), Fault>;

    /// What the writer does after that, so that the other node hears of it.
    async fn tell(&self, row: u64) -> Result<(), Fault>;

    /// The version of a row, as the other node has it.
    async fn read(&self, row: u64) -> Result<u64, Fault>;

    /// How many messages the other node has heard and applied; none if there are no messages.
    fn heard(&self) -> Option<u64>;
}

/// Both nodes, whose tasks run where this is called.
pub(super) async fn service(
    subject: Subject,
    origin: &Arc<Origin>,
    wire: &Arc<Wire>,
    file: Option<&std::path::Path>,
) -> Result<Arc<dyn Service>, Fault> {
    Ok(match (subject, file) {
        (Subject::Larder, None) => Arc::new(InMemory::open(origin, wire).await?),
        (Subject::Larder, Some(_)) => Arc::new(OverSqlite::open(origin).await?),
        (Subject::HydraCache, None) => Arc::new(HydraNodes::new(origin, wire)),
        (Subject::HydraCache, Some(file)) => {
            let outbox = HydraOutbox::in_file(file).await?;
            Arc::new(HydraNodes::new(origin, wire).with_outbox(outbox))
        }
        (by_hand, _) => Arc::new(ByHand::new(cache(by_hand, origin).await?, origin, wire)),
    })
}

/// Waits until every message that was not lost has been heard.
pub(super) async fn all_heard(service: &dyn Service, wire: &Wire) -> Result<(), Fault> {
    let hears = async {
        while service.heard().is_some_and(|heard| heard < wire.carried()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, hears).await?;
    Ok(())
}

/// Messages written by hand, to any cache.
struct ByHand {
    cache: Arc<dyn Cache>,
    origin: Arc<Origin>,
    wire: Arc<Wire>,
    messages: UnboundedSender<u64>,
    heard: Arc<AtomicU64>,
}

impl ByHand {
    fn new(cache: Arc<dyn Cache>, origin: &Arc<Origin>, wire: &Arc<Wire>) -> Self {
        let (messages, mut receiver) = unbounded_channel();
        let heard = Arc::new(AtomicU64::new(0));
        let (of_node, counted) = (Arc::clone(&cache), Arc::clone(&heard));
        // It ends with the last sender.
        tokio::spawn(async move {
            while let Some(row) = receiver.recv().await {
                of_node.invalidate(row).await.expect("memory does not fail");
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        ByHand {
            cache,
            origin: Arc::clone(origin),
            wire: Arc::clone(wire),
            messages,
            heard,
        }
    }
}

#[async_trait]
impl Service for ByHand {
    async fn commit(&self, row: u64) -> Result<(), Fault> {
        self.origin.commit(row).await
    }

    async fn tell(&self, row: u64) -> Result<(), Fault> {
        if self.wire.carries() {
            self.messages.send(row)?;
        }
        Ok(())
    }

    async fn read(&self, row: u64) -> Result<u64, Fault> {
        self.cache.read(row).await
    }

    fn heard(&self) -> Option<u64> {
        Some(self.heard.load(Ordering::SeqCst))
    }
}

/// The other node of Larder over a log in memory. The writer's node keeps nothing, so its own log is all there is of it.
struct InMemory {
    reader: Larder,
    origin: Arc<Origin>,
    log: MemoryStore,
}

/// A log whose hints are lost as the wire says.
#[derive(Debug)]
struct Hinting {
    log: MemoryStore,
    wire: Arc<Wire>,
}

impl Source for Hinting {
    fn id(&self) -> SourceId {
        self.log.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        self.log.head()
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        self.log.read(cursor, limit)
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                self.log.hinted().await;
                if self.wire.carries() {
                    return;
                }
            }
        })
    }
}

impl InMemory {
    async fn open(origin: &Arc<Origin>, wire: &Arc<Wire>) -> Result<Self, Fault> {
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
        let log = MemoryStore::new(CommitOrder::Ordered, clock, entropy);
        let epoch = log.head().await?.as_of.epoch();
        let copy_of = Some((log.id(), epoch));
        let source = Arc::new(Hinting {
            log: log.clone(),
            wire: Arc::clone(wire),
        });
        let reader = Layer::builder("reader")
            .freshness(BOUND, WhenUnsure::Bypass)
            .follow(source);
        Ok(InMemory {
            reader: Larder::open(reader, Arc::clone(origin), copy_of).await?,
            origin: Arc::clone(origin),
            log,
        })
    }
}

#[async_trait]
impl Service for InMemory {
    async fn commit(&self, row: u64) -> Result<(), Fault> {
        // Both are one commit. A load in between sees what is about to be invalidated already, which is not too old.
        self.origin.commit(row).await?;
        let _ = self.log.record_alone(&batch(row)?);
        Ok(())
    }

    async fn tell(&self, _row: u64) -> Result<(), Fault> {
        Ok(())
    }

    async fn read(&self, row: u64) -> Result<u64, Fault> {
        self.reader.read(row).await
    }

    fn heard(&self) -> Option<u64> {
        None
    }
}

/// Two layers over one file.
struct OverSqlite {
    writer: Layer,
    outbox: Outbox<Sqlite>,
    reader: Larder,
}

impl OverSqlite {
    async fn open(origin: &Arc<Origin>) -> Result<Self, Fault> {
        let pool = origin.pool().ok_or("it is over a database")?;
        let builder = Outbox::builder(pool.clone());
        builder.migrate().await?;
        let writer = Layer::builder("writer").outbox(builder).open().await?;
        let outbox = writer.outbox::<Sqlite>()?;
        let reader = Layer::builder("reader")
            .freshness(BOUND, WhenUnsure::Bypass)
            .outbox(Outbox::builder(pool.clone()));
        Ok(OverSqlite {
            outbox,
            writer,
            reader: Larder::open(reader, Arc::clone(origin), None).await?,
        })
    }
}

#[async_trait]
impl Service for OverSqlite {
    async fn commit(&self, row: u64) -> Result<(), Fault> {
        let done = self
            .writer
            .transaction(&self.outbox, async |tx: &mut Tx<'_, Sqlite>| {
                let update = sqlx::query(UPDATE).bind(i64::try_from(row)?);
                update.execute(tx.connection()).await?;
                tx.invalidate::<Counter>(&row)?;
                Ok::<_, Fault>(())
            });
        done.await.map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn tell(&self, _row: u64) -> Result<(), Fault> {
        Ok(())
    }

    async fn read(&self, row: u64) -> Result<u64, Fault> {
        self.reader.read(row).await
    }

    fn heard(&self) -> Option<u64> {
        None
    }
}

/// Two caches of HydraCache with a bus between them.
struct HydraNodes {
    writer: HydraCache,
    reader: Hydra,
    origin: Arc<Origin>,
    outbox: Option<(HydraOutbox, Worker, JoinHandle<()>)>,
}

impl HydraNodes {
    fn new(origin: &Arc<Origin>, wire: &Arc<Wire>) -> Self {
        let bus = Arc::new(Bus::over(Arc::clone(wire)));
        let node = |name: &str| {
            hydra()
                .shared_invalidation_bus(bus.clone())
                .invalidation_node_id(name)
                .build()
        };
        HydraNodes {
            writer: node("writer"),
            reader: Hydra {
                cache: node("reader"),
                origin: Arc::clone(origin),
            },
            origin: Arc::clone(origin),
            outbox: None,
        }
    }

    fn with_outbox(mut self, outbox: HydraOutbox) -> Self {
        let worker = outbox.worker("writer", self.writer.clone());
        let of_reader = tokio::spawn(work(outbox.worker("reader", self.reader.cache.clone())));
        self.outbox = Some((outbox, worker, of_reader));
        self
    }
}

impl Drop for HydraNodes {
    fn drop(&mut self) {
        if let Some((_, _, worker)) = &self.outbox {
            worker.abort();
        }
    }
}

#[async_trait]
impl Service for HydraNodes {
    async fn commit(&self, row: u64) -> Result<(), Fault> {
        match &self.outbox {
            Some((outbox, ..)) => outbox.commit(UPDATE, "counter", row, || {}).await,
            None => self.origin.commit(row).await,
        }
    }

    async fn tell(&self, row: u64) -> Result<(), Fault> {
        match &self.outbox {
            Some((_, worker, _)) => {
                // Where the database was busy, it is the next look of either worker that does it.
                let _ = worker.run_once().await;
            }
            None => {
                self.writer.invalidate_tag(&tag(row)).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, row: u64) -> Result<u64, Fault> {
        self.reader.read(row).await
    }

    fn heard(&self) -> Option<u64> {
        // With an outbox the other node publishes too, which its own listener does not count.
        let counted = self.outbox.is_none();
        counted.then(|| self.reader.cache.stats().distributed_invalidations_applied)
    }
}
