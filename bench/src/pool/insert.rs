//! `insert` and `insert_at_capacity`: what a store takes where there is room, where the key is there, and where another entry
//! must go for it.

use super::engines::{Engine, Thing, moka, number, papaya, pool, quick, sassi};
use super::keys::uniform;
use super::{ENTRIES, Outcome, ROOMY, Rows, Unit};
use crate::fence::shuffled;
use crate::{Measured, Report, Rounds, Target};
use quick_cache::DefaultHashBuilder;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many stores a round has.
const STORES: u64 = ENTRIES;
/// How many a round has in full engines.
const STORES_FULL: u64 = 200_000;
/// In a full engine sassi looks at every entry for each store. It does one for so many of the others'.
const SASSI_SHARE: u64 = 4_000;
const FLOOR: &str = "std::HashMap, hash of quick_cache";

/// Measures and reports: new keys into an engine that was just made and has room for them all, then other values under keys
/// that are there.
///
/// # Errors
/// When standard output cannot be written.
pub fn insert(report: Report) -> Outcome {
    let ids: Vec<u64> = shuffled(STORES);
    let mut rounds = Rounds::new(STORES);
    new(&mut rounds, &ids, "larder", || pool(ROOMY, None));
    new(&mut rounds, &ids, "quick_cache", || quick(ROOMY));
    new(&mut rounds, &ids, "papaya", || papaya(ROOMY));
    new(&mut rounds, &ids, "moka", || moka(ROOMY, None));
    new(&mut rounds, &ids, "sassi", || sassi(ROOMY, None));
    rounds.subject_timing_itself(FLOOR, |times| {
        let mut map: HashMap<u64, Arc<Thing>, DefaultHashBuilder> = HashMap::default();
        map.reserve(number(ROOMY));
        let start = Instant::now();
        for id in &ids[..number(times)] {
            map.insert(*id, Arc::new(Thing::new(*id)));
        }
        start.elapsed()
    });
    rows(report, "a new key", rounds)?;
    overwrite(report)
}

fn overwrite(report: Report) -> Outcome {
    let ids = uniform(STORES, ENTRIES);
    let larder = pool(ROOMY, None).filled(ENTRIES);
    let (quick, papaya) = (quick(ROOMY).filled(ENTRIES), papaya(ROOMY).filled(ENTRIES));
    let (moka, sassi) = (
        moka(ROOMY, None).filled(ENTRIES),
        sassi(ROOMY, None).filled(ENTRIES),
    );
    let mut map: HashMap<u64, Arc<Thing>, DefaultHashBuilder> = super::engines::map(ENTRIES);
    let mut rounds = Rounds::new(STORES);
    stores(&mut rounds, &ids, "larder", &larder);
    stores(&mut rounds, &ids, "quick_cache", &quick);
    stores(&mut rounds, &ids, "papaya", &papaya);
    stores(&mut rounds, &ids, "moka", &moka);
    stores(&mut rounds, &ids, "sassi", &sassi);
    rounds.subject(FLOOR, |times| {
        for id in ids[..number(times)].iter().map(|id| u64::from(*id)) {
            map.insert(id, Arc::new(Thing::new(id)));
        }
    });
    rows(report, "a key that is there", rounds)
}

fn rows(report: Report, case: &str, rounds: Rounds<'_>) -> Outcome {
    let measured = &rounds.run()[..];
    let rows = Rows {
        report,
        benchmark: "insert",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        (FLOOR, Target::None),
        ("quick_cache", Target::RatioAtMost(2.5)),
        ("papaya", Target::None),
        ("moka", Target::RatioAtMost(0.6)),
        ("sassi", Target::RatioAtMost(0.06)),
    ];
    rows.beside(case, "larder", &peers)
}

/// Adds a subject that stores new keys. Each round has an engine of its own, whose making and end do not count.
fn new<'a, E: Engine>(rounds: &mut Rounds<'a>, ids: &'a [u64], name: &str, make: impl Fn() -> E + 'a) {
    rounds.subject_timing_itself(name, move |times| {
        let engine = make();
        let start = Instant::now();
        ids[..number(times)].iter().for_each(|id| engine.insert(*id));
        let took = start.elapsed();
        engine.settle();
        assert_eq!(engine.count(), times, "nothing was evicted");
        took
    });
}

/// Adds a subject that stores under keys that are there.
fn stores<'a, E: Engine>(rounds: &mut Rounds<'a>, ids: &'a [u32], name: &str, engine: &'a E) {
    rounds.subject(name, |times| {
        ids[..number(times)]
            .iter()
            .for_each(|id| engine.insert(u64::from(*id)));
    });
}

/// Measures and reports: keys that were never there, into engines that are full; then the same into small and large ones,
/// which are measured apart, since the large ones leave nothing of the others in the processor's caches.
///
/// # Errors
/// When standard output cannot be written.
pub fn insert_at_capacity(report: Report) -> Outcome {
    let larder = pool(ENTRIES, None).filled(2 * ENTRIES);
    let quick = quick(ENTRIES).filled(2 * ENTRIES);
    let moka = moka(ENTRIES, None).filled(2 * ENTRIES);
    let sassi = sassi(ENTRIES, None).filled(ENTRIES);
    let mut rounds = Rounds::new(STORES_FULL);
    newer(&mut rounds, "larder", &larder);
    newer(&mut rounds, "quick_cache", &quick);
    newer(&mut rounds, "moka", &moka);
    let next = Cell::new(ENTRIES);
    rounds.subject_timing_itself("sassi", |times| {
        let count = times / SASSI_SHARE;
        scaled(times, count, || store_newer(&sassi, &next, count))
    });
    let measured = &rounds.run()[..];
    assert_eq!(larder.count(), ENTRIES, "it is full");
    let peers = [
        ("quick_cache", Target::RatioAtMost(2.5)),
        ("moka", Target::None),
        ("sassi", Target::RatioAtMost(0.001)),
    ];
    full_rows(report, measured).beside("100,000 entries", "larder", &peers)?;
    sizes(report)
}

fn sizes(report: Report) -> Outcome {
    let [small, large] = [1_000, 1_000_000].map(|capacity| pool(capacity, None).filled(2 * capacity));
    let [quick_small, quick_large] = [1_000, 1_000_000].map(|capacity| quick(capacity).filled(2 * capacity));
    let mut rounds = Rounds::new(STORES_FULL);
    newer(&mut rounds, "larder, 1,000 entries", &small);
    newer(&mut rounds, "larder, 1,000,000 entries", &large);
    newer(&mut rounds, "quick_cache, 1,000 entries", &quick_small);
    newer(&mut rounds, "quick_cache, 1,000,000 entries", &quick_large);
    let measured = &rounds.run()[..];
    let rows = full_rows(report, measured);
    let peers = [
        ("larder, 1,000 entries", Target::RatioAtMost(4.0)),
        ("quick_cache, 1,000,000 entries", Target::None),
    ];
    rows.beside("1,000,000 entries", "larder, 1,000,000 entries", &peers)?;
    let peers = [("quick_cache, 1,000 entries", Target::None)];
    rows.beside("1,000 entries", "larder, 1,000 entries", &peers)
}

fn full_rows(report: Report, measured: &[Measured]) -> Rows<'_> {
    Rows {
        report,
        benchmark: "insert_at_capacity",
        unit: Unit::Nanoseconds,
        measured,
    }
}

/// Adds a subject that stores keys that were never there.
pub(super) fn newer<'a, E: Engine>(rounds: &mut Rounds<'a>, name: &str, engine: &'a E) {
    let next = Cell::new(1 << 32);
    rounds.subject(name, move |times| store_newer(engine, &next, times));
}

fn store_newer(engine: &impl Engine, next: &Cell<u64>, count: u64) {
    let first = next.get();
    next.set(first + count);
    (first..first + count).for_each(|id| engine.insert(id));
}

/// How long `times` operations would take, of which only `count` are done.
pub(super) fn scaled(times: u64, count: u64, work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    let took = start.elapsed();
    took * u32::try_from(times / count.max(1)).unwrap_or(u32::MAX)
}
