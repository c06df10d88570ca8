//! The race that every cache loses, over a million reads: a load is in flight, its row is changed and invalidated, and only then
//! is the loaded value stored. One loop runs over a plain shared map, and over the same map with a fence.
//!
//! Nothing is staged: real threads, a real map, no sleeps. Versions that are kept outside the cache decide what is stale.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use larder::{Cause, Clock, Fence, Pin, PinError, Reason, SystemClock, Target, TargetError};
use std::collections::HashMap;
use std::error::Error;
use std::hash::{DefaultHasher, Hasher};
use std::process::ExitCode;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const READS: u64 = 1_000_000;
const THREADS: u64 = 4;
const ROWS: usize = 64;
const READS_A_WRITE: u64 = 50;

/// What was made of a row, and the version of the row that it was made of.
type Value = (u64, u64);

struct World {
    fence: Option<Fence>,
    targets: Vec<Target>,
    /// The database: the version of each row.
    rows: [AtomicU64; ROWS],
    /// Of each row, the newest version whose invalidation has returned.
    settled: [AtomicU64; ROWS],
    cache: RwLock<HashMap<usize, (Option<Pin>, Value)>>,
    hits: AtomicU64,
    stale: AtomicU64,
}

impl World {
    fn new(fence: Option<Fence>) -> Result<World, TargetError> {
        Ok(World {
            fence,
            targets: (0..ROWS)
                .map(|row| Target::entity("user", row))
                .collect::<Result<_, _>>()?,
            rows: std::array::from_fn(|_| AtomicU64::new(1)),
            settled: std::array::from_fn(|_| AtomicU64::new(1)),
            cache: RwLock::default(),
            hits: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        })
    }

    /// Commits, and then invalidates.
    fn write(&self, row: usize) {
        let version = self.rows[row].fetch_add(1, SeqCst) + 1;
        if let Some(fence) = &self.fence {
            fence.invalidate(&self.targets[row], Cause::direct(Reason::new("changed")));
        }
        let _removed = self.cache.write().expect("nobody panics").remove(&row);
        self.settled[row].fetch_max(version, SeqCst);
    }

    /// Takes the value from the cache, or loads and stores it.
    fn read(&self, row: usize) -> Result<(), PinError> {
        let version_min = self.settled[row].load(SeqCst);
        let hit = self.cached(row);
        let (_, version) = match hit {
            Some(value) => value,
            None => {
                let pin = self
                    .fence
                    .as_ref()
                    .map(|fence| fence.pin(&self.targets[row..=row]))
                    .transpose()?;
                let value = self.load(row);
                let _older = self
                    .cache
                    .write()
                    .expect("nobody panics")
                    .insert(row, (pin, value));
                value
            }
        };
        self.hits.fetch_add(u64::from(hit.is_some()), SeqCst);
        self.stale.fetch_add(u64::from(version < version_min), SeqCst);
        Ok(())
    }

    /// The entry, unless it has a pin that says otherwise.
    fn cached(&self, row: usize) -> Option<Value> {
        let cache = self.cache.read().expect("nobody panics");
        let (pin, value) = cache.get(&row)?;
        pin.as_ref().is_none_or(Pin::is_fresh).then_some(*value)
    }

    /// Reads the row, makes something of it, and lets others run once, as a load over a network does.
    fn load(&self, row: usize) -> Value {
        let version = self.rows[row].load(SeqCst);
        let mut digest = DefaultHasher::new();
        (0..512).for_each(|word| digest.write_u64(version ^ word));
        std::thread::yield_now();
        (digest.finish(), version)
    }

    /// One thread's part: rows at random, each thread in an order of its own.
    fn work(&self, mut random: u64) -> Result<(), PinError> {
        for read in 0..READS / THREADS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); // Knuth's generator
            let row = |bits: u64| usize::try_from(bits).unwrap_or(0) % ROWS;
            if read % READS_A_WRITE == 0 {
                self.write(row(random >> 52));
            }
            self.read(row(random >> 40))?;
        }
        Ok(())
    }

    /// Plays, prints a row of the table, and gives the number of stale reads.
    fn play(&self, name: &str) -> Result<u64, Box<dyn Error>> {
        let start = SystemClock::new().monotonic();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=THREADS)
                .map(|seed| scope.spawn(move || self.work(seed)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("nobody panics"))
        })?;
        let seconds = SystemClock::new().monotonic().since(start).as_secs_f64();
        let (hits, stale) = (self.hits.load(SeqCst), self.stale.load(SeqCst));
        let (ratio, speed) = (100.0 * hits as f64 / READS as f64, READS as f64 / seconds);
        println!("{name:<18}{READS:>10}{stale:>13}{ratio:>11.2} %{speed:>16.0}");
        Ok(stale)
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    println!(
        "{THREADS} threads read {ROWS} rows of a database through a map. A thread that misses loads the row (it reads the\n\
         version, hashes 4,096 bytes, yields once) and stores it. After every {READS_A_WRITE} reads a thread changes a row:\n\
         it commits, invalidates, and removes the row from the map. A read is stale if it gives an older version\n\
         than one whose invalidation had returned before the read began.\n\n\
         {:>28}{:>13}{:>13}{:>16}",
        "reads", "stale reads", "hit ratio", "reads a second"
    );
    let plain = World::new(None)?.play("without the fence")?;
    let fenced = World::new(Some(Fence::builder().build()?))?.play("with the fence")?;
    if plain == 0 {
        println!("\nThe race did not happen on this machine in this run, so nothing is shown: try again.");
    }
    Ok(if fenced == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
