//! `get` and `get_two_threads`: what a hit takes, on one thread and on two.

use super::engines::{Engine, Thing, map, moka, papaya, pool, quick, sassi};
use super::keys::{Stretches, read, uniform};
use super::{ENTRIES, Outcome, ROOMY, Rows, Unit};
use crate::{Report, Rounds, Target, burst};
use larder_pool::Pool;
use quick_cache::DefaultHashBuilder;
use std::collections::HashMap;
use std::hash::RandomState;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// How many hits a round has.
const READS: u64 = 500_000;
/// How many hits a thread has in a burst: half a millisecond's, short beside the time that a system gives a thread at once.
const IN_BURST: u64 = 10_000;
/// A time to live that is asked about at each hit and never over.
const LONG: Option<Duration> = Some(Duration::from_secs(3_600));

/// What is named where a subject and a row must agree.
const ONE_GUARD: &str = "papaya, one guard for all";
const FAST_MAP: &str = "std::HashMap, hash of quick_cache";
const MOKA_EXPIRING: &str = "moka with a time to live";
const SASSI_EXPIRING: &str = "sassi with a time to live";

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written.
pub fn get(report: Report) -> Outcome {
    let ids = uniform(READS, ENTRIES);
    let (larder, expiring) = (
        pool(ROOMY, None).filled(ENTRIES),
        pool(ROOMY, LONG).filled(ENTRIES),
    );
    let (quick, papaya) = (quick(ROOMY).filled(ENTRIES), papaya(ROOMY).filled(ENTRIES));
    let (moka, moka_expiring) = (
        moka(ROOMY, None).filled(ENTRIES),
        moka(ROOMY, LONG).filled(ENTRIES),
    );
    let (sassi, sassi_expiring) = (
        sassi(ROOMY, None).filled(ENTRIES),
        sassi(ROOMY, LONG).filled(ENTRIES),
    );
    let plain: HashMap<u64, Arc<Thing>, RandomState> = map(ENTRIES);
    let fast: HashMap<u64, Arc<Thing>, DefaultHashBuilder> = map(ENTRIES);
    let mut rounds = Rounds::new(READS);
    reads(&mut rounds, &ids, "larder", &larder);
    reads(&mut rounds, &ids, "larder with a time to live", &expiring);
    reads(&mut rounds, &ids, "quick_cache", &quick);
    reads(&mut rounds, &ids, "papaya", &papaya);
    reads(&mut rounds, &ids, "moka", &moka);
    reads(&mut rounds, &ids, MOKA_EXPIRING, &moka_expiring);
    reads(&mut rounds, &ids, "sassi", &sassi);
    reads(&mut rounds, &ids, SASSI_EXPIRING, &sassi_expiring);
    let so_many = |times| &ids[..usize::try_from(times).unwrap_or(0)];
    rounds
        .subject("std::HashMap", |times| {
            read(so_many(times), |id| plain.get(&id).cloned())
        })
        .subject(FAST_MAP, |times| {
            read(so_many(times), |id| fast.get(&id).cloned())
        })
        .subject(ONE_GUARD, |times| {
            let pinned = papaya.pin();
            read(so_many(times), |id| pinned.get(&id).cloned())
        });
    let measured = &rounds.run()[..];
    let rows = Rows {
        report,
        benchmark: "get",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("quick_cache", Target::RatioAtMost(1.25)),
        ("std::HashMap", Target::RatioAtMost(1.6)),
        (FAST_MAP, Target::None),
        ("papaya", Target::RatioAtMost(0.9)),
        (ONE_GUARD, Target::None),
        ("moka", Target::RatioAtMost(0.25)),
        ("sassi", Target::RatioAtMost(0.2)),
    ];
    rows.beside("a hit", "larder", &peers)?;
    let peers = [
        ("quick_cache", Target::RatioAtMost(1.7)),
        ("larder", Target::None),
        (MOKA_EXPIRING, Target::None),
        (SASSI_EXPIRING, Target::None),
    ];
    rows.beside("a hit with a time to live", "larder with a time to live", &peers)
}

/// Adds a subject that reads the first of these keys.
fn reads<'a, E: Engine>(rounds: &mut Rounds<'a>, ids: &'a [u32], name: &str, engine: &'a E) {
    rounds.subject(name, |times| {
        let ids = &ids[..usize::try_from(times).unwrap_or(0)];
        read(ids, |id| engine.get(id))
    });
}

/// The throughput of two threads, each on a core of its own, and of one.
///
/// # Errors
/// When standard output cannot be written.
pub fn get_two_threads(report: Report) -> Outcome {
    let ids = uniform(READS, ENTRIES);
    let larder: Pool<Thing> = pool(ROOMY, None).filled(ENTRIES);
    let (quick, papaya) = (quick(ROOMY).filled(ENTRIES), papaya(ROOMY).filled(ENTRIES));
    let (moka, sassi) = (
        moka(ROOMY, None).filled(ENTRIES),
        sassi(ROOMY, None).filled(ENTRIES),
    );
    let map: HashMap<u64, Arc<Thing>, DefaultHashBuilder> = map(ENTRIES);
    let mut rounds = Rounds::new(IN_BURST);
    bursts(&mut rounds, &ids, "larder", |id| larder.get(&id));
    bursts(&mut rounds, &ids, "quick_cache", |id| quick.get(&id));
    bursts(&mut rounds, &ids, "papaya", |id| Engine::get(&papaya, id));
    bursts(&mut rounds, &ids, "moka", |id| moka.get(&id));
    bursts(&mut rounds, &ids, "sassi", |id| sassi.get(&id));
    bursts(&mut rounds, &ids, FAST_MAP, |id| map.get(&id).cloned());
    let measured = &rounds.run()[..];
    let rows = Rows {
        report,
        benchmark: "get_two_threads",
        unit: Unit::Throughput,
        measured,
    };
    let (own, against_quick) = (Target::RatioAtLeast(1.5), Target::RatioAtLeast(0.9));
    let one = |name: &str| format!("{name}, 1 thread");
    let two = |name: &str| format!("{name}, 2 threads");
    let larder = two("larder");
    rows.beside("2 threads", &larder, &[(&one("larder"), own)])?;
    rows.beside("2 threads", &larder, &[(&two("quick_cache"), against_quick)])?;
    for peer in ["papaya", "moka", "sassi", FAST_MAP] {
        rows.beside("2 threads", &larder, &[(&two(peer), Target::None)])?;
    }
    // The map has no lock: what it gains by a second thread is what the machine has to give.
    rows.beside("1 thread", &one("larder"), &[(&one(FAST_MAP), Target::None)])?;
    rows.beside("1 thread", &one("larder"), &[(&one("quick_cache"), Target::None)])
}

/// Adds a subject for one thread and one for two.
fn bursts<'a, G>(rounds: &mut Rounds<'a>, ids: &'a [u32], name: &str, get: G)
where
    G: Fn(u64) -> Option<Arc<Thing>> + Copy + Sync + 'a,
{
    for (threads, named) in [(1_u32, "1 thread"), (2, "2 threads")] {
        let stretches = Stretches::new(ids);
        // Each thread does so many, so together they have done `threads` times as many in the burst's time.
        rounds.subject_timing_itself(&format!("{name}, {named}"), move |times| {
            let work = || {
                let ids = stretches.next(usize::try_from(times).unwrap_or(1));
                black_box(read(ids, get));
            };
            // A machine without two cores to give says so by a row that is not met.
            burst(threads as usize, work).map_or(Duration::MAX, |took| took / threads)
        });
    }
}
