//! `fence_check`: what a reader pays to be told whether an entry may still be believed, against a cache's hit.

use super::{ENTRIES, Outcome, fence, moka, pinned_users, quick, shuffled, user};
use crate::{Measured, Report, Rounds, Row, Target as Aim, burst};
use larder_core::{Pin, Target};
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

/// How often one hot thing is asked.
const HOT: u64 = 2_000_000;
/// How often an entry of many is asked: 10 times each.
const RANDOM: u64 = 10 * ENTRIES;
/// How often one hot thing is asked in a burst.
const IN_BURST: u64 = 10_000;
/// The key that is hot.
const KEY: u64 = 42;

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written.
pub fn check(report: Report) -> Outcome {
    hot(report)?;
    random(report)?;
    threads(report)
}

/// One pin on one target, one pin on eight, and a hit of one key; all of it in the nearest cache of the processor.
fn hot(report: Report) -> Outcome {
    let fence = fence()?;
    let (one, eight) = (fence.pin(&[user(KEY)?])?, fence.pin(&eight_targets()?)?);
    let (quick, moka) = (quick(), moka());
    let mut rounds = Rounds::new(HOT);
    rounds
        .subject("1 target", |times| ask(&one, times))
        .subject("8 targets", |times| ask(&eight, times))
        .subject("quick_cache", |times| hits(times, |key| quick.get(key)))
        .subject("moka", |times| hits(times, |key| moka.get(key)));
    let [one, eight, quick, moka] = &rounds.run()[..] else {
        unreachable!("there are four subjects")
    };
    let row = |case: &str, larder: &Measured, peer: &Measured, target| Row {
        benchmark: "fence_check",
        case: case.to_owned(),
        larder: larder.nanoseconds(),
        unit: "ns",
        peer: Some((format!("{} hit", peer.name()), peer.nanoseconds())),
        ratios: Vec::new(),
        target,
    };
    report.row(&row(
        "1 target and its parents, hot",
        one,
        quick,
        Aim::RatioAtMost(0.3),
    ))?;
    report.row(&row("1 target and its parents, hot", one, moka, Aim::None))?;
    report.row(&row(
        "8 targets and their parents, hot",
        eight,
        quick,
        Aim::RatioAtMost(1.0),
    ))?;
    report.row(&row("8 targets and their parents, hot", eight, moka, Aim::None))?;
    Ok(())
}

/// The entries of a table in no order: each ask and each hit goes to memory that was not touched for a while.
fn random(report: Report) -> Outcome {
    let fence = fence()?;
    let pins = pinned_users(&fence, ENTRIES)?;
    let (quick, moka) = (quick(), moka());
    let keys = shuffled(ENTRIES);
    let order: Vec<usize> = keys
        .iter()
        .copied()
        .map(usize::try_from)
        .collect::<Result<_, _>>()?;
    let mut rounds = Rounds::new(RANDOM);
    rounds
        .subject("larder", |times| {
            let passes = (0..times / ENTRIES).flat_map(|_| &order);
            passes.filter(|at| pins[**at].is_fresh()).count()
        })
        .subject("quick_cache", |times| sum_of(&keys, times, |key| quick.get(key)))
        .subject("moka", |times| sum_of(&keys, times, |key| moka.get(key)));
    let [larder, quick, moka] = &rounds.run()[..] else {
        unreachable!("there are three subjects")
    };
    for (peer, target) in [(quick, Aim::RatioAtMost(0.6)), (moka, Aim::None)] {
        report.row(&Row {
            benchmark: "fence_check",
            case: "1 target and its parents, over 100,000 entries at random".to_owned(),
            larder: larder.nanoseconds(),
            unit: "ns",
            peer: Some((format!("{} hit", peer.name()), peer.nanoseconds())),
            ratios: Vec::new(),
            target,
        })?;
    }
    Ok(())
}

/// Two threads that ask the same hot thing, against one: nothing shared is written, so they do not slow each other down.
fn threads(report: Report) -> Outcome {
    let fence = fence()?;
    let pin = fence.pin(&[user(KEY)?])?;
    let (quick, moka) = (quick(), moka());
    let works: [(&str, &(dyn Fn(u64) -> u64 + Sync)); 3] = [
        ("larder", &|times| ask(&pin, times)),
        ("quick_cache", &|times| hits(times, |key| quick.get(key))),
        ("moka", &|times| hits(times, |key| moka.get(key))),
    ];
    let mut rounds = Rounds::new(IN_BURST);
    for (name, work) in works {
        for threads in [1, 2] {
            let name = format!("{name} {threads}");
            // Each thread does so many, so together they have done `threads` times as many in the burst's time.
            rounds.subject_timing_itself(&name, move |times| {
                let work = || {
                    black_box(work(times));
                };
                // A machine without two cores to give says so by a row that is not met.
                burst(threads, work).map_or(Duration::MAX, |took| took / u32::try_from(threads).unwrap_or(1))
            });
        }
    }
    let measured = rounds.run();
    let scaling: Vec<f64> = measured
        .chunks(2)
        .map(|pair| pair[0].nanoseconds() / pair[1].nanoseconds())
        .collect();
    let row = |case: &str, peer: Option<(String, f64)>, target| Row {
        benchmark: "fence_check",
        case: case.to_owned(),
        larder: scaling[0],
        unit: "x",
        peer,
        ratios: Vec::new(),
        target,
    };
    report.row(&row(
        "2 threads on one pin: times the throughput of 1",
        None,
        Aim::AtLeast(1.8),
    ))?;
    let peers = [("quick_cache", scaling[1]), ("moka", scaling[2])];
    for (name, scaling) in peers.into_iter().filter(|(_, scaling)| *scaling > 0.001) {
        let peer = Some((format!("{name}, one key"), scaling));
        report.row(&row("2 threads: times the throughput of 1", peer, Aim::None))?;
    }
    Ok(())
}

/// What a page that shows a user may depend on: 8 targets, of which 7 have a parent beside everything.
fn eight_targets() -> Result<Vec<Target>, Box<dyn Error>> {
    let mut targets = vec![user(KEY)?, Target::collection("user.lists")?];
    for tag in ["header", "footer", "menu", "news", "offers", "help"] {
        targets.push(Target::tag("pages", tag)?);
    }
    Ok(targets)
}

fn ask(pin: &Pin, times: u64) -> u64 {
    (0..times).map(|_| u64::from(black_box(pin).is_fresh())).sum()
}

fn hits(times: u64, get: impl Fn(&u64) -> Option<u64>) -> u64 {
    (0..times)
        .filter_map(|_| get(black_box(&KEY)))
        .fold(0, u64::wrapping_add)
}

fn sum_of(keys: &[u64], times: u64, get: impl Fn(&u64) -> Option<u64>) -> u64 {
    let passes = (0..times / ENTRIES).flat_map(|_| keys);
    passes.filter_map(get).fold(0, u64::wrapping_add)
}
