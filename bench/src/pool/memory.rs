//! `memory`: how many bytes an entry takes beside its value and the header of its `Arc`, everywhere in the engine.

use super::engines::{Engine, Thing, map, moka, number, papaya, pool, quick, sassi};
use super::{ENTRIES, Outcome};
use crate::{Report, Row, Target, bytes_kept};
use larder_pool::Pool;
use quick_cache::DefaultHashBuilder;
use std::collections::HashMap;
use std::sync::Arc;

/// What each entry takes in every engine: the value, and two counters before it.
const OWN: f64 = (size_of::<Thing>() + 2 * size_of::<usize>()) as f64;

/// Measures and reports: engines with room for exactly so many entries, as one would set them to save memory, full. Alone in
/// the program: it counts the bytes of all threads.
///
/// # Errors
/// When standard output cannot be written.
pub fn memory(report: Report) -> Outcome {
    let larder = each(|| -> Pool<Thing> { pool(ENTRIES, None) });
    let peers = [
        ("quick_cache", each(|| quick(ENTRIES)), Target::RatioAtMost(3.0)),
        ("sassi", each(|| sassi(ENTRIES, None)), Target::RatioAtMost(0.3)),
        ("moka", each(|| moka(ENTRIES, None)), Target::None),
        ("papaya", each(|| papaya(ENTRIES)), Target::None),
        ("std::HashMap", map_bytes(), Target::None),
    ];
    let case = "an entry of 100,000, beside its value and the header of its Arc";
    let (_, empty) = bytes_kept(|| -> Pool<Thing> { pool(ENTRIES, None) });
    let row = |case: &str, larder, peer, target| Row {
        benchmark: "memory",
        case: case.to_owned(),
        larder,
        unit: "B",
        peer,
        ratios: Vec::new(),
        target,
    };
    report.row(&row(case, larder, None, Target::AtMost(128.0)))?;
    let share = "of these: its share of what the pool takes before its first entry";
    report.row(&row(share, per(empty, ENTRIES), None, Target::None))?;
    for (name, bytes, target) in peers {
        report.row(&row(case, larder, Some((name.to_owned(), bytes)), target))?;
    }
    Ok(())
}

/// What an entry takes in such an engine, filled. Engines in shards may keep fewer than were stored.
fn each<E: Engine>(make: impl FnOnce() -> E) -> f64 {
    let (engine, bytes) = bytes_kept(|| make().filled(ENTRIES));
    beside_own(bytes, engine.count())
}

fn map_bytes() -> f64 {
    let (map, bytes) = bytes_kept(|| -> HashMap<u64, Arc<Thing>, DefaultHashBuilder> {
        let mut kept = HashMap::default();
        kept.reserve(number(ENTRIES));
        kept.extend(map::<DefaultHashBuilder>(ENTRIES));
        kept
    });
    beside_own(bytes, map.len() as u64)
}

fn beside_own(bytes: i64, count: u64) -> f64 {
    per(bytes, count) - OWN
}

#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of bytes are enough for a report"
)]
fn per(bytes: i64, count: u64) -> f64 {
    bytes as f64 / count.max(1) as f64
}
