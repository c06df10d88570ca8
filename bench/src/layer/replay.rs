//! `replay`: LRU simulated by `larder replay` against a loop over the `lru` crate; and how long the optimum and the exact curve of a real trace take.
//!
//! Always true: both count the same hits, or the benchmark fails; reading the trace is not measured.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use larder_server::trace::{Accesses, Curve, Op, Optimum, Policy, Simulation, Unit};
use lru::LruCache;

use crate::traces::{FOLDER_VARIABLE, Trace};
use crate::{Outcome, ROUNDS, Report, Rounds, Row, Target};

/// What part of the keys fits, in percent.
const PERCENT: usize = 10;

/// Measures and reports; says so if there is no trace.
///
/// # Errors
/// When the trace cannot be read, when both count different hits, or when standard output cannot be written.
pub fn replay(report: Report) -> Outcome {
    if Trace::folder().is_none() {
        println!("skipped\treplay is not measured, because {FOLDER_VARIABLE} names no folder of traces");
        return Ok(());
    }
    let accesses = numbered(&Trace::Oltp.read()?);
    let capacity = (accesses.distinct() * PERCENT / 100).max(1);
    let room = NonZeroUsize::new(capacity).ok_or("no key fits")?;
    let simulation = Simulation::of(Unit::Entries, capacity as u64);
    let ours = simulation.run(Policy::Lru, &accesses)?.count;
    let theirs = by_crate(&accesses, room);
    if ours != theirs {
        return Err(format!("LRU hits {ours} times here and {theirs} times in the crate").into());
    }
    let mut rounds = Rounds::new(accesses.keys().len() as u64);
    rounds.subject("larder", |_| {
        simulation
            .run(Policy::Lru, black_box(&accesses))
            .map_or(0, |hits| hits.count)
    });
    rounds.subject("lru", |_| by_crate(black_box(&accesses), room));
    let measured = rounds.run();
    let [larder, peer] = measured.as_slice() else {
        return Err("two subjects were measured".into());
    };
    report.row(&Row {
        benchmark: "replay",
        case: format!("LRU on OLTP at {capacity} of {} keys", accesses.distinct()),
        larder: larder.per_second(),
        unit: "/s",
        peer: Some((peer.name().to_owned(), peer.per_second())),
        ratios: peer.over(larder),
        target: Target::RatioAtLeast(1.0),
    })?;
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| optimum_and_curve(&accesses, simulation))
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    report.row(&Row {
        benchmark: "replay",
        case: "optimum and exact curve on OLTP".to_owned(),
        larder: seconds[ROUNDS / 2],
        unit: "s",
        peer: None,
        ratios: Vec::new(),
        target: Target::AtMost(3.0),
    })?;
    Ok(())
}

/// A trace as `larder replay` has it: keys numbered by their first access.
fn numbered(trace: &[u64]) -> Accesses {
    let mut numbers = std::collections::HashMap::new();
    let mut accesses = Accesses::default();
    for key in trace {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        accesses.push(*numbers.entry(*key).or_insert(next), Op::Get, 0);
    }
    accesses
}

fn by_crate(accesses: &Accesses, room: NonZeroUsize) -> u64 {
    let mut cache = LruCache::new(room);
    let mut hits = 0;
    for key in accesses.keys() {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.put(*key, ());
        }
    }
    hits
}

fn optimum_and_curve(accesses: &Accesses, simulation: Simulation) -> f64 {
    let begun = Instant::now();
    black_box(Optimum::of(black_box(accesses)).hits(simulation));
    black_box(Curve::of(black_box(accesses)));
    begun.elapsed().as_secs_f64()
}
