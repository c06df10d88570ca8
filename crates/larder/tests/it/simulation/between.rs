//! What lies between a node and the world: the way to its source, its clock, what it keeps beside its memory; and what breaks one promise now and then.
//!
//! Every sabotage is here, in what loaders bring, or in what a caller does: never in what ships.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::MemoryStore;
use larder::{
    Batch, BoxFuture, Clock, Cursor, CursorHome, Delivered, Head, Moment, Runtime as _, SaveError, Source,
    SourceError, SourceId, Target, Timestamp,
};
use larder_testkit::{SimClock, SimRuntime};

use super::things::break_down;

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Now and then the source drops an invalidation.
    InvalidationDropped,
    /// A source that answers again goes on from where it stands, without what was missed.
    ReplaySkipped,
    /// What ends everything, since nobody knows what it is, is dropped.
    WideningDropped,
    /// A purge is answered with what is left.
    PurgeHidden,
    /// A loader brings what was there before, and does not say so.
    OldSnapshot,
    /// A value that was read by hand is stored without the pin that was taken before.
    FillWithoutPin,
    /// While the source does not answer, the clock of the node stands still.
    ClockStands,
}

/// How it goes between a node and its source; the same for every life of the node.
#[derive(Debug, Default)]
pub struct Weather {
    pub is_cut: bool,
    /// How long a question takes, and then the answer.
    pub there: Duration,
    pub back: Duration,
    /// So many answers are panics.
    pub panics: u32,
}

/// The log as one node sees it, for as long as it lives.
pub struct Between {
    store: MemoryStore,
    runtime: SimRuntime,
    clock: SimClock,
    sabotage: Sabotage,
    weather: Arc<Mutex<Weather>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reads: u64,
    has_failed: bool,
    /// When the last question was asked whose answer left nothing out.
    heard: Option<Moment>,
}

impl Between {
    pub fn new(
        store: MemoryStore,
        (runtime, clock): (SimRuntime, SimClock),
        sabotage: Sabotage,
        weather: Arc<Mutex<Weather>>,
    ) -> Self {
        Between {
            store,
            runtime,
            clock,
            sabotage,
            weather,
            state: Mutex::default(),
        }
    }

    /// The time of the node, whatever its layer believes.
    pub fn now(&self) -> Moment {
        self.clock.monotonic()
    }

    /// When the node asked for the last time and was told everything.
    pub fn heard(&self) -> Option<Moment> {
        self.state.lock().unwrap().heard
    }

    fn answers(&self) -> Result<(), SourceError> {
        let mut weather = self.weather.lock().unwrap();
        let panics = weather.panics > 0;
        weather.panics = weather.panics.saturating_sub(1);
        let is_cut = weather.is_cut;
        drop(weather);
        if panics {
            break_down();
        }
        if is_cut {
            self.state.lock().unwrap().has_failed = true;
            return Err(SourceError::new(self.store.id(), "the network is cut"));
        }
        Ok(())
    }

    /// Asks, and waits as long as the way takes.
    async fn ask<A>(&self, ask: impl Future<Output = A>) -> Result<(A, Moment), SourceError> {
        let asked = self.clock.monotonic();
        let there = self.weather.lock().unwrap().there;
        if !there.is_zero() {
            self.runtime.sleep(there).await;
        }
        self.answers()?;
        let answer = ask.await;
        let back = self.weather.lock().unwrap().back;
        if !back.is_zero() {
            self.runtime.sleep(back).await;
            self.answers()?;
        }
        Ok((answer, asked))
    }

    fn heard_at(&self, asked: Moment) {
        let mut state = self.state.lock().unwrap();
        state.heard = state.heard.max(Some(asked));
    }

    async fn without_what_is_left(&self) -> Result<Delivered, SourceError> {
        let head = self.store.head().await?;
        Ok(Delivered::Rows(Batch::new(
            Vec::new(),
            head.cursor,
            head.as_of,
            true,
        )))
    }

    fn spoil(&self, batch: &mut Batch) {
        if batch.rows.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap();
        state.reads += 1;
        match self.sabotage {
            Sabotage::InvalidationDropped if state.reads.is_multiple_of(2) => drop(batch.rows.pop()),
            Sabotage::WideningDropped => batch.rows.retain(|row| *row.target() != Target::Everything),
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
            let (head, asked) = self.ask(self.store.head()).await?;
            self.heard_at(asked);
            head
        })
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            let (delivered, asked) = self.ask(self.store.read(cursor, limit)).await?;
            let mut delivered = delivered?;
            let has_failed = std::mem::take(&mut self.state.lock().unwrap().has_failed);
            if has_failed && self.sabotage == Sabotage::ReplaySkipped {
                delivered = self.without_what_is_left().await?;
            }
            match &mut delivered {
                Delivered::Purged if self.sabotage == Sabotage::PurgeHidden => {
                    delivered = self.without_what_is_left().await?;
                }
                Delivered::Rows(batch) => self.spoil(batch),
                _ => {}
            }
            if matches!(&delivered, Delivered::Rows(batch) if batch.caught_up) {
                self.heard_at(asked);
            }
            Ok(delivered)
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.store.hinted()
    }
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Between")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The clock of a node, which stands still while its source does not answer.
#[derive(Debug)]
pub struct Standing {
    pub inner: SimClock,
    pub weather: Arc<Mutex<Weather>>,
    pub since: Mutex<Option<Moment>>,
}

impl Clock for Standing {
    fn monotonic(&self) -> Moment {
        let is_cut = self.weather.lock().unwrap().is_cut;
        let mut since = self.since.lock().unwrap();
        let now = self.inner.monotonic();
        if !is_cut {
            *since = None;
            return now;
        }
        *since.get_or_insert(now)
    }

    fn wall(&self) -> Timestamp {
        self.inner.wall()
    }
}

/// Where a node keeps how far it has come.
#[derive(Debug, Default)]
pub struct Home(Mutex<Option<Cursor>>);

impl CursorHome for Home {
    fn load(&self) -> Option<Cursor> {
        self.0.lock().unwrap().clone()
    }

    fn save(&self, cursor: &Cursor) -> Result<(), SaveError> {
        *self.0.lock().unwrap() = Some(cursor.clone());
        Ok(())
    }
}
