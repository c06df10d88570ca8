//! `mixed_zipf`: nine hits or misses and one store, under keys of which few are asked for often, in engines that are full.

use super::engines::{Engine, moka, number, pool, quick, sassi};
use super::insert::scaled;
use super::keys::{Stretches, zipf};
use super::{ENTRIES, Outcome, Rows, Unit};
use crate::{Report, Rounds, Target, burst};
use std::hint::black_box;
use std::time::Duration;

/// How many operations a round has.
const TIMES: u64 = 500_000;
/// How many a thread has in a burst.
const IN_BURST: u64 = 10_000;
/// How many keys there are: ten times what the engines may keep.
const IDS: u64 = 10 * ENTRIES;
/// Of so many operations one is a store.
const STORES_ONE_IN: usize = 10;
/// A store in a full sassi looks at every entry. It does one operation for so many of the others'.
const SASSI_SHARE: u64 = 1_000;

/// Measures and reports, on one thread and on two. A miss is not followed by a store: the stores are the tenth operation
/// each, under a key that is drawn as the others are.
///
/// # Errors
/// When standard output cannot be written.
pub fn mixed_zipf(report: Report) -> Outcome {
    let ids = zipf(TIMES, IDS);
    let (larder, quick) = (warm(pool(ENTRIES, None), &ids), warm(quick(ENTRIES), &ids));
    let (moka, sassi) = (
        warm(moka(ENTRIES, None), &ids),
        sassi(ENTRIES, None).filled(ENTRIES),
    );
    one_thread(report, &ids, &larder, &quick, &moka, &sassi)?;
    two_threads(report, &ids, &larder, &quick, &moka)
}

fn one_thread(
    report: Report,
    ids: &[u32],
    larder: &impl Engine,
    quick: &impl Engine,
    moka: &impl Engine,
    sassi: &impl Engine,
) -> Outcome {
    let mut rounds = Rounds::new(TIMES);
    rounds
        .subject("larder", |times| mix(larder, &ids[..number(times)]))
        .subject("quick_cache", |times| mix(quick, &ids[..number(times)]))
        .subject("moka", |times| mix(moka, &ids[..number(times)]))
        .subject_timing_itself("sassi", |times| {
            let count = times / SASSI_SHARE;
            scaled(times, count, || {
                black_box(mix(sassi, &ids[..number(count)]));
            })
        });
    let measured = &rounds.run()[..];
    rows(report, measured).beside(
        "90 % get, 1 thread",
        "larder",
        &[
            ("quick_cache", Target::RatioAtLeast(0.7)),
            ("moka", Target::RatioAtLeast(3.0)),
            ("sassi", Target::None),
        ],
    )
}

fn two_threads(
    report: Report,
    ids: &[u32],
    larder: &impl Engine,
    quick: &impl Engine,
    moka: &impl Engine,
) -> Outcome {
    let mut rounds = Rounds::new(IN_BURST);
    bursts(&mut rounds, ids, "larder", larder);
    bursts(&mut rounds, ids, "quick_cache", quick);
    bursts(&mut rounds, ids, "moka", moka);
    let measured = &rounds.run()[..];
    rows(report, measured).beside(
        "90 % get, 2 threads",
        "larder",
        &[
            ("quick_cache", Target::RatioAtLeast(0.7)),
            ("moka", Target::RatioAtLeast(3.0)),
        ],
    )
}

fn rows(report: Report, measured: &[crate::Measured]) -> Rows<'_> {
    Rows {
        report,
        benchmark: "mixed_zipf",
        unit: Unit::Throughput,
        measured,
    }
}

/// Adds a subject for two threads, each with operations of its own.
fn bursts<'a, E: Engine>(rounds: &mut Rounds<'a>, ids: &'a [u32], name: &str, engine: &'a E) {
    let stretches = Stretches::new(ids);
    rounds.subject_timing_itself(name, move |times| {
        let work = || {
            black_box(mix(engine, stretches.next(number(times))));
        };
        // A machine without two cores to give says so by a row that is not met.
        burst(2, work).map_or(Duration::MAX, |took| took / 2)
    });
}

/// Nine reads and a store, again and again; says how many were hits.
#[inline]
fn mix(engine: &impl Engine, ids: &[u32]) -> usize {
    let mut hits = 0;
    for group in ids.chunks(STORES_ONE_IN) {
        let Some((last, first)) = group.split_last() else {
            continue;
        };
        let found = first.iter().filter(|id| engine.get(u64::from(**id)).is_some());
        hits += found.count();
        engine.insert(u64::from(*last));
    }
    hits
}

/// An engine that has seen the operations once.
fn warm<E: Engine>(engine: E, ids: &[u32]) -> E {
    let engine = engine.filled(ENTRIES);
    mix(&engine, ids);
    engine
}
