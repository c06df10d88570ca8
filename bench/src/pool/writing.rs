//! `get_while_writing`: how long the slowest hundredth of hits takes while another thread writes, beside when none does.

use super::engines::{Engine, moka, papaya, pool, quick, sassi};
use super::keys::{Stretches, uniform};
use super::{ENTRIES, Outcome, ROOMY, Rows, Unit};
use crate::bursts::stay_on_core;
use crate::{Report, Rounds, Target};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many hits a round times, one by one.
const READS: u64 = 200_000;

/// Measures and reports. The writer stores new values under keys that are there, as fast as it can.
///
/// # Errors
/// When standard output cannot be written.
pub fn get_while_writing(report: Report) -> Outcome {
    let ids = uniform(READS, ENTRIES);
    let larder = pool(ROOMY, None).filled(ENTRIES);
    let (quick, papaya) = (quick(ROOMY).filled(ENTRIES), papaya(ROOMY).filled(ENTRIES));
    let (moka, sassi) = (
        moka(ROOMY, None).filled(ENTRIES),
        sassi(ROOMY, None).filled(ENTRIES),
    );
    let mut rounds = Rounds::new(READS);
    both(&mut rounds, &ids, "larder", &larder);
    both(&mut rounds, &ids, "quick_cache", &quick);
    both(&mut rounds, &ids, "papaya", &papaya);
    both(&mut rounds, &ids, "moka", &moka);
    both(&mut rounds, &ids, "sassi", &sassi);
    let measured = &rounds.run()[..];
    let rows = Rows {
        report,
        benchmark: "get_while_writing",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("larder, no writer", Target::RatioAtMost(3.0)),
        ("quick_cache, one writer", Target::None),
        ("papaya, one writer", Target::None),
        ("moka, one writer", Target::None),
        ("sassi, one writer", Target::None),
    ];
    rows.beside("p99 of hits, one writer", "larder, one writer", &peers)?;
    let peers = [
        "quick_cache, no writer",
        "papaya, no writer",
        "moka, no writer",
        "sassi, no writer",
    ];
    let peers = peers.map(|peer| (peer, Target::None));
    rows.beside("p99 of hits, no writer", "larder, no writer", &peers)
}

/// Adds a subject without a writer and one with it. As the time of one operation each tells the p99.
fn both<'a, E: Engine>(rounds: &mut Rounds<'a>, ids: &'a [u32], name: &str, engine: &'a E) {
    let so_many = |times| {
        (
            u32::try_from(times).unwrap_or(1),
            &ids[..usize::try_from(times).unwrap_or(1)],
        )
    };
    rounds
        .subject_timing_itself(&format!("{name}, no writer"), move |times| {
            let (count, ids) = so_many(times);
            let alone = thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    stay_on_core(0);
                    slowest_hundredth(engine, ids)
                });
                reader.join().expect("the reader ends")
            });
            alone * count
        })
        .subject_timing_itself(&format!("{name}, one writer"), move |times| {
            let (count, ids) = so_many(times);
            beside_writer(engine, ids) * count
        });
}

/// The p99 while another thread writes, which has begun before the first hit and ends after the last.
fn beside_writer(engine: &impl Engine, ids: &[u32]) -> Duration {
    let (written, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on_core(1);
            let stretches = Stretches::new(ids);
            while !over.load(Ordering::Relaxed) {
                // From the far end, so that the writer is not always where the reader is.
                let batch = stretches.next(100).iter().rev();
                batch.for_each(|id| engine.insert(u64::from(*id ^ 1)));
                written.fetch_add(100, Ordering::Relaxed);
            }
        });
        let reader = scope.spawn(|| {
            stay_on_core(0);
            while written.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            let slowest = slowest_hundredth(engine, ids);
            over.store(true, Ordering::Relaxed);
            slowest
        });
        reader.join().expect("the reader ends")
    })
}

/// The time that one hit in a hundred exceeds, without what it takes to look at the clock.
fn slowest_hundredth(engine: &impl Engine, ids: &[u32]) -> Duration {
    let clock = nth(ids.iter().map(|_| timed(|| ())).collect(), 50);
    let hits = ids.iter().map(|id| timed(|| engine.get(u64::from(*id))));
    nth(hits.collect(), 99).saturating_sub(clock)
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The percentile of these times.
fn nth(mut times: Vec<Duration>, percent: usize) -> Duration {
    let at = times.len() * percent / 100;
    *times.select_nth_unstable(at).1
}
