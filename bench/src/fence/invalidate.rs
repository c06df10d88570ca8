//! `fence_invalidate`: what a writer pays to end everything under a tag, however much that is.
//!
//! An entry depends on a key of its own and on the tag. Larder looks at no entry: readers find theirs dead later. The tag index of
//! a cache removes each entry before it returns, and so its cost is told by the entry too.

use super::{Outcome, changed, fence, pinned_users, shuffled};
use crate::{Report, Rounds, Row, Target as Aim};
use hydracache::{CacheOptions, HydraCache, PostcardCodec};
use larder_core::{Fence, Pin, Target};
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How many invalidations a round has.
const TIMES: u64 = 200_000;
/// How many a round has where all entries are put back in between.
const TIMES_REFILLED: u64 = 20;
/// Entries under the tag that are put back in between.
const REFILLED: u64 = 1_000;
/// Entries of which any may be invalidated.
const ANY: u64 = super::ENTRIES;

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written, or a peer fails.
pub fn invalidate(report: Report) -> Outcome {
    sizes(report)?;
    tag_index(report)
}

/// The same tag again and again, with so many entries under it; and, to see what memory far away costs, any row of many.
fn sizes(report: Report) -> Outcome {
    let tag = tag()?;
    let few = Tagged::new(1)?;
    let some = Tagged::new(1_000)?;
    let many = Tagged::new(1_000_000)?;
    let rows = fence()?;
    let pins = pinned_users(&rows, ANY)?;
    let users = shuffled(ANY)
        .into_iter()
        .map(super::user)
        .collect::<Result<Vec<_>, _>>()?;
    let mut rounds = Rounds::new(TIMES);
    for (name, tagged) in [("1", &few), ("1,000", &some), ("1,000,000", &many)] {
        rounds.subject(name, |times| end(&tagged.fence, std::iter::repeat(&tag), times));
    }
    rounds.subject("any", |times| end(&rows, users.iter().cycle(), times));
    let measured = rounds.run();
    let left = [&few.pins, &some.pins, &many.pins, &pins]
        .into_iter()
        .flatten()
        .filter(|pin| pin.is_fresh());
    assert_eq!(left.count(), 0, "everything under the tag has ended");
    let first = measured[0].nanoseconds();
    for size in &measured[..3] {
        let row = |peer, target| Row {
            benchmark: "fence_invalidate",
            case: format!("a tag, entries under it: {}", size.name()),
            larder: size.nanoseconds(),
            unit: "ns",
            peer,
            ratios: Vec::new(),
            target,
        };
        report.row(&row(None, Aim::AtMost(400.0)))?;
        if size.name() != "1" {
            report.row(&row(Some(("1 entry".to_owned(), first)), Aim::RatioAtMost(1.5)))?;
        }
    }
    report.row(&Row {
        benchmark: "fence_invalidate",
        case: "any of 100,000 pinned rows, at random".to_owned(),
        larder: measured[3].nanoseconds(),
        unit: "ns",
        peer: Some(("a tag, 1 entry".to_owned(), first)),
        ratios: Vec::new(),
        target: Aim::None,
    })?;
    Ok(())
}

/// One invalidation of 1,000 entries that were put in anew, against HydraCache's.
fn tag_index(report: Report) -> Outcome {
    let tag = tag()?;
    let mut tagged = Tagged::new(REFILLED)?;
    let cache = HydraCache::local().max_capacity(2 * REFILLED).build();
    let mut rounds = Rounds::new(TIMES_REFILLED);
    rounds
        .subject_timing_itself("larder", |times| {
            (0..times)
                .map(|_| {
                    tagged.pins = tagged.pinned(REFILLED).expect("it was pinned before");
                    let start = Instant::now();
                    tagged.fence.invalidate(&tag, changed());
                    let took = start.elapsed();
                    assert!(tagged.pins.iter().all(|pin| !pin.is_fresh()), "an entry was left");
                    took
                })
                .sum()
        })
        .subject_timing_itself("hydracache", |times| {
            (0..times).map(|_| hydracache_ends(&cache)).sum()
        });
    let measured = rounds.run();
    report.row(&Row {
        benchmark: "fence_invalidate",
        case: "a tag with 1,000 entries, each put in anew".to_owned(),
        larder: measured[0].nanoseconds(),
        unit: "ns",
        peer: Some(("hydracache invalidate_tag".to_owned(), measured[1].nanoseconds())),
        ratios: Vec::new(),
        target: Aim::RatioAtMost(0.01),
    })?;
    Ok(())
}

/// Puts the entries in, then times their end.
fn hydracache_ends(cache: &HydraCache<PostcardCodec>) -> Duration {
    for key in 0..REFILLED {
        let options = CacheOptions::new().tag("hot");
        finished(cache.put(&key.to_string(), key, options)).expect("a number can be put");
    }
    let start = Instant::now();
    let removed = finished(cache.invalidate_tag("hot")).expect("a tag can be invalidated");
    let took = start.elapsed();
    assert_eq!(removed, REFILLED, "every entry was under the tag");
    took
}

/// Runs a future that waits for nobody: no other thread uses the cache, and it needs no runtime for this.
fn finished<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Entries under the tag, in a fence of their own.
struct Tagged {
    fence: Fence,
    pins: Vec<Pin>,
}

impl Tagged {
    fn new(count: u64) -> Result<Self, Box<dyn Error>> {
        let mut tagged = Self {
            fence: fence()?,
            pins: Vec::new(),
        };
        tagged.pins = tagged.pinned(count)?;
        Ok(tagged)
    }

    fn pinned(&self, count: u64) -> Result<Vec<Pin>, Box<dyn Error>> {
        let mut targets = [tag()?, tag()?];
        let mut pins = Vec::with_capacity(usize::try_from(count)?);
        for key in 0..count {
            targets[1] = Target::key("pages", key)?;
            pins.push(self.fence.pin(&targets)?);
        }
        Ok(pins)
    }
}

fn tag() -> Result<Target, Box<dyn Error>> {
    Ok(Target::tag("pages", "hot")?)
}

fn end<'a>(fence: &Fence, targets: impl Iterator<Item = &'a Target>, times: u64) -> u64 {
    let cause = changed();
    let targets = targets.take(usize::try_from(times).unwrap_or(usize::MAX));
    targets
        .map(|target| fence.invalidate(target, cause.clone()).get())
        .max()
        .unwrap_or(0)
}
