//! `fence_pin`: what a fill pays to be judged later, against a cache's insert.
//!
//! Targets are hashed each time, and lie in the processor's cache as those of a caller do who has just named them. The cells of
//! their own are made and given back each time; 100,000 others exist, as do the parents.

use super::{ENTRIES, Moka, Outcome, changed, fence, moka, pinned_users, shuffled, user};
use crate::{Report, Rounds, Row, Target as Aim};
use larder_core::{Fence, Target};
use std::error::Error;

/// How many pins, or inserts, a round has.
const PINS: u64 = 1_000_000;
/// How many different things are pinned, or inserted, in turn.
const KEYS: usize = 1_024;

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written.
pub fn pin(report: Report) -> Outcome {
    let fence = fence()?;
    let resident = pinned_users(&fence, ENTRIES)?;
    let pages = fence.pin(&[Target::namespace("pages")?])?;
    let keys: Vec<u64> = shuffled(ENTRIES).into_iter().take(KEYS).collect();
    // Only ids below `ENTRIES` are pinned outside the rounds.
    let (new, shared) = (targets_of(&keys, ENTRIES)?, targets_of(&keys, 0)?);
    let (moka, growing) = (moka(), moka());
    let mut next = ENTRIES;
    let mut rounds = Rounds::new(PINS);
    rounds
        .subject("1 target", |times| {
            pins(&fence, new.iter().map(|four| &four[..1]), times)
        })
        .subject("4 targets", |times| {
            pins(&fence, new.iter().map(|four| &four[..]), times)
        })
        .subject("1 target that is pinned already", |times| {
            pins(&fence, shared.iter().map(|four| &four[..1]), times)
        })
        .subject("moka insert of a key that it has", |times| {
            inserts(&moka, keys.iter().copied().cycle(), times)
        })
        .subject("moka insert of a new key", |times| {
            let first = next;
            next += times;
            inserts(&growing, first.., times)
        });
    let measured = rounds.run();
    assert!(
        resident.iter().all(|pin| pin.is_fresh()),
        "nothing was invalidated"
    );
    fence.invalidate(&Target::namespace("pages")?, changed());
    assert!(!pages.is_fresh(), "this was");
    let row = |larder: usize, peer: usize, target| Row {
        benchmark: "fence_pin",
        case: format!("hash, pin and drop: {}", measured[larder].name()),
        larder: measured[larder].nanoseconds(),
        unit: "ns",
        peer: Some((measured[peer].name().to_owned(), measured[peer].nanoseconds())),
        ratios: Vec::new(),
        target,
    };
    report.row(&row(0, 3, Aim::RatioAtMost(1.0)))?;
    report.row(&row(1, 3, Aim::RatioAtMost(3.0)))?;
    report.row(&row(2, 3, Aim::None))?;
    report.row(&row(0, 4, Aim::None))?;
    report.row(&row(1, 4, Aim::None))?;
    Ok(())
}

/// Four targets for each key, shared with no other key: a row of users and three names of pages.
fn targets_of(keys: &[u64], above: u64) -> Result<Vec<[Target; 4]>, Box<dyn Error>> {
    let four = |id: u64| -> Result<[Target; 4], Box<dyn Error>> {
        Ok([
            user(id)?,
            Target::key("pages", id)?,
            Target::tag("pages", format!("user-{id}").as_str())?,
            Target::dependency("pages", format!("users-{id}").as_str())?,
        ])
    };
    keys.iter().map(|key| four(key + above)).collect()
}

fn pins<'a>(fence: &Fence, lists: impl Iterator<Item = &'a [Target]> + Clone, times: u64) -> u64 {
    let mut fresh = 0;
    for (targets, _) in lists.cycle().zip(0..times) {
        fresh += u64::from(fence.pin(targets).is_ok_and(|pin| pin.is_fresh()));
    }
    assert_eq!(fresh, times, "a pin was refused");
    fresh
}

fn inserts(cache: &Moka, keys: impl Iterator<Item = u64>, times: u64) {
    for (key, value) in keys.zip(0..times) {
        cache.insert(key, value);
    }
}
