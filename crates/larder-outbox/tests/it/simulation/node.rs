//! A process with what it keeps in memory and on its disk, and what becomes of both when it is killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{
    Certainty, Cursor, CursorHome, Fence, Invalidation, Pin, Position, Registration, SaveError, Settled,
    Settler, Sink, SinkError, Target,
};
use larder_outbox::{Follower, MemoryStore};
use larder_testkit::SimClock;

use super::between::{Between, Sabotage, State};

/// For how long a node is sure.
pub const FRESHNESS: Duration = Duration::from_secs(1);

/// What a node keeps on its disk: rows with the version that they were read at, and how far it has come. What is written is there after a crash
/// only if it was synced before.
#[derive(Debug, Default)]
pub struct Disk {
    now: BTreeMap<u64, u64>,
    synced: BTreeMap<u64, u64>,
    settlers: Vec<Settler>,
    pub saved: Option<Cursor>,
    /// So many calls of the sink fail.
    pub fails: u64,
}

impl Disk {
    pub fn sync(&mut self) {
        self.synced = self.now.clone();
        for settler in self.settlers.drain(..) {
            settler.settle();
        }
    }

    fn crash(&mut self) {
        self.now = self.synced.clone();
        self.settlers.clear();
        self.fails = 0;
    }

    fn settled(&mut self) -> Settled {
        let (settled, settler) = Settled::later();
        self.settlers.push(settler);
        settled
    }
}

#[derive(Debug)]
struct ToDisk(Arc<Mutex<Disk>>);

impl Sink for ToDisk {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        let mut disk = self.0.lock().unwrap();
        if disk.fails > 0 {
            disk.fails -= 1;
            return Err(SinkError::new("the disk is busy"));
        }
        for row in rows {
            match row.target() {
                Target::Entity { id, .. } => {
                    let id = std::str::from_utf8(id.as_bytes()).unwrap().parse().unwrap();
                    disk.now.remove(&id);
                }
                _ => disk.now.clear(),
            }
        }
        Ok(disk.settled())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        let mut disk = self.0.lock().unwrap();
        disk.now.clear();
        Ok(disk.settled())
    }
}

#[derive(Debug)]
struct Home(Arc<Mutex<Disk>>);

impl CursorHome for Home {
    fn load(&self) -> Option<Cursor> {
        self.0.lock().unwrap().saved.clone()
    }

    fn save(&self, cursor: &Cursor) -> Result<(), SaveError> {
        self.0.lock().unwrap().saved = Some(cursor.clone());
        Ok(())
    }
}

/// A load on its way: what it has read, and the pin that it took before.
pub struct Flight {
    pub id: u64,
    pub version: u64,
    pub pin: Pin,
}

pub struct Node {
    pub clock: SimClock,
    pub fence: Fence,
    pub follower: Follower,
    pub between: Arc<Between>,
    pub disk: Arc<Mutex<Disk>>,
    pub flights: Vec<Flight>,
    entries: BTreeMap<u64, (u64, Pin)>,
    rows_a_read: usize,
    _registration: Registration,
}

impl Node {
    pub fn new(store: &MemoryStore, clock: SimClock, sabotage: Sabotage, rows_a_read: usize) -> Self {
        let disk = Arc::new(Mutex::new(Disk::default()));
        Self::on(disk, store, clock, sabotage, rows_a_read)
    }

    fn on(
        disk: Arc<Mutex<Disk>>,
        store: &MemoryStore,
        clock: SimClock,
        sabotage: Sabotage,
        rows_a_read: usize,
    ) -> Self {
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        let registration = fence.sink(Arc::new(ToDisk(Arc::clone(&disk)))).unwrap();
        let between = Arc::new(Between {
            store: store.clone(),
            sabotage,
            disk: Arc::clone(&disk),
            state: Mutex::new(State::default()),
        });
        let follower = Follower::builder(Arc::clone(&between) as Arc<dyn larder_core::Source>, &fence)
            .cursor_home(Arc::new(Home(Arc::clone(&disk))))
            .freshness(FRESHNESS)
            .rows_a_read(rows_a_read)
            .build()
            .unwrap();
        Node {
            clock,
            fence,
            follower,
            between,
            disk,
            flights: Vec::new(),
            entries: BTreeMap::new(),
            rows_a_read,
            _registration: registration,
        }
    }

    /// Killed, and started again on the same disk.
    pub fn crash(&mut self) {
        self.disk.lock().unwrap().crash();
        let between = &self.between;
        *self = Node::on(
            Arc::clone(&self.disk),
            &between.store.clone(),
            self.clock.clone(),
            between.sabotage,
            self.rows_a_read,
        );
    }

    pub fn is_sure(&self) -> bool {
        self.fence.certainty() == Certainty::Sure
    }

    pub fn land(&mut self, flight: Flight) {
        if flight.pin.is_fresh() {
            self.disk.lock().unwrap().now.insert(flight.id, flight.version);
        }
        self.entries.insert(flight.id, (flight.version, flight.pin));
    }

    /// What a read finds in memory, if it is believed.
    pub fn in_memory(&self, id: u64) -> Option<u64> {
        let (version, pin) = self.entries.get(&id)?;
        pin.is_fresh().then_some(*version)
    }

    /// What a read finds on disk: nothing before this run has caught up.
    pub fn on_disk(&self, id: u64) -> Option<u64> {
        let is_believed = self.is_sure();
        is_believed.then(|| self.disk.lock().unwrap().now.get(&id).copied())?
    }
}
