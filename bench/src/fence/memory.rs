//! `fence_memory`: how many bytes an entry pays to be judged, against what an entry of a cache takes by itself.

use super::{ENTRIES, Outcome, Quick, fence, pinned_users, user};
use crate::{Report, Row, Target as Aim, bytes_kept};
use larder_core::{Fence, Pin};
use quick_cache::DefaultHashBuilder;
use std::error::Error;

/// Measures and reports. Alone in the program: it counts the bytes of all threads.
///
/// # Errors
/// When standard output cannot be written.
pub fn memory(report: Report) -> Outcome {
    let fence = fence()?;
    let (pins, bytes) = bytes_kept(|| pinned_users(&fence, ENTRIES));
    let pins = pins?;
    let (all, pin) = (each(bytes), each(i64::try_from(size_of_val(&pins[..]))?));
    let cell = cell_bytes(&fence)?;
    let ((), given_back) = bytes_kept(|| drop(pins));
    assert_eq!(bytes, -given_back, "the table keeps nothing of what has gone");
    let row = |case: &str, larder: f64, peer, target| Row {
        benchmark: "fence_memory",
        case: case.to_owned(),
        larder,
        unit: "B",
        peer,
        ratios: Vec::new(),
        target,
    };
    let case = "an entry with 1 target of its own, of 100,000 in one collection";
    report.row(&row(case, all, None, Aim::AtMost(128.0)))?;
    report.row(&row("of these: pin", pin, None, Aim::None))?;
    report.row(&row("of these: cell", cell, None, Aim::None))?;
    report.row(&row(
        "of these: table, at its present fullness",
        all - pin - cell,
        None,
        Aim::None,
    ))?;
    for (name, bytes) in [("quick_cache", quick_bytes()), ("moka", moka_bytes())] {
        let peer = Some((format!("{name} entry, number to number"), bytes));
        report.row(&row(case, all, peer, Aim::None))?;
    }
    Ok(())
}

/// What one more pin allocates where the table has room: the least of several.
fn cell_bytes(fence: &Fence) -> Result<f64, Box<dyn Error>> {
    let mut least = i64::MAX;
    let mut pins: Vec<Pin> = Vec::with_capacity(64);
    for id in ENTRIES..ENTRIES + 64 {
        let target = [user(id)?];
        let (pin, bytes) = bytes_kept(|| fence.pin(&target));
        pins.push(pin?);
        least = least.min(bytes);
    }
    Ok(f64::from(i32::try_from(least)?))
}

/// Room for exactly so many, as one would set it to save memory.
fn quick_bytes() -> f64 {
    let (cache, bytes) = bytes_kept(|| {
        let cache = Quick::new(usize::try_from(ENTRIES).unwrap_or(usize::MAX));
        (0..ENTRIES).for_each(|key| cache.insert(key, key));
        cache
    });
    per(bytes, u64::try_from(cache.len()).unwrap_or(u64::MAX))
}

fn moka_bytes() -> f64 {
    let (cache, bytes) = bytes_kept(|| {
        let cache = moka::sync::Cache::builder()
            .max_capacity(ENTRIES)
            .build_with_hasher(DefaultHashBuilder::default());
        (0..ENTRIES).for_each(|key| cache.insert(key, key));
        cache.run_pending_tasks();
        cache
    });
    per(bytes, cache.entry_count())
}

fn each(bytes: i64) -> f64 {
    per(bytes, ENTRIES)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of bytes are enough for a report"
)]
fn per(bytes: i64, count: u64) -> f64 {
    bytes as f64 / count.max(1) as f64
}
