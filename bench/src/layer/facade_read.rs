//! `facade_read`: a hit through the handle of a layer's pool, which asks whether the node is sure; a pool alone, which does not; and one that does.

use std::hint::black_box;
use std::time::Duration;

use larder::Pool;

use super::{Account, ENTRIES, Outcome, filled, layer, runtime};
use crate::outbox::Database;
use crate::{Measured, Report, Rounds, Row, Target};

/// How many hits a round has.
const READS: u64 = 500_000;

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made, or standard output be written.
pub fn facade_read(report: Report) -> Outcome {
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let layer = runtime.block_on(layer(&database))?;
    let of_layer = layer.pool::<Account>()?;
    let alone = Pool::<Account>::builder().capacity_entries(2 * ENTRIES).build()?;
    let asking = Pool::<Account>::builder()
        .capacity_entries(2 * ENTRIES)
        .fence(layer.fence().clone())
        .when_unsure(larder::pool::WhenUnsure::Bypass);
    // One name, one pool in the drop hooks of a fence: this one is beside the layer.
    let asking = asking.build()?;
    for pool in [&of_layer, &alone, &asking] {
        filled(pool)?;
    }
    let pools = [
        ("larder", &of_layer),
        ("pool alone", &alone),
        ("pool alone, bypassed when unsure", &asking),
    ];
    let target = Target::RatioAtLeast(0.98);
    told(report, "hit, 100,000 entries", target, &beside_each_other(&pools))?;
    told(
        report,
        "hit whose id comes from the hit before",
        Target::None,
        &after_each_other(&pools),
    )?;
    runtime.block_on(layer.shutdown(Duration::from_secs(5)));
    Ok(())
}

/// A pool with its name.
type Named<'a> = (&'a str, &'a Pool<Account>);

/// The next number of a row that looks random.
fn next(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// Hits that do not wait for each other: the processor has several under way.
fn beside_each_other(pools: &[Named<'_>]) -> Vec<Measured> {
    let states = std::iter::successors(Some(1), |state| Some(next(*state)));
    let so_many = usize::try_from(READS).unwrap_or(0);
    let ids: Vec<u64> = states
        .map(|state| (state >> 33) % ENTRIES)
        .take(so_many)
        .collect();
    let mut rounds = Rounds::new(READS);
    for (name, pool) in pools {
        let ids = &ids;
        rounds.subject(name, move |times| {
            let so_many = ids.iter().take(usize::try_from(times).unwrap_or(0));
            let found = so_many.filter_map(|id| pool.get(black_box(id)));
            found.map(|account| account.amount).fold(0, u64::wrapping_add)
        });
    }
    rounds.run()
}

/// Hits each of which waits for the value of the one before: what a single one takes.
fn after_each_other(pools: &[Named<'_>]) -> Vec<Measured> {
    let mut rounds = Rounds::new(READS);
    for (name, pool) in pools {
        rounds.subject(name, move |times| {
            (0..times).fold(1, |state, _| {
                let found = pool.get(black_box(&((state >> 33) % ENTRIES)));
                next(state ^ found.map_or(0, |account| account.amount))
            })
        });
    }
    rounds.run()
}

/// How much the layer's handle reads of what a peer reads in the same time.
fn told(report: Report, case: &str, target: Target, measured: &[Measured]) -> Outcome {
    let Some((larder, peers)) = measured.split_first() else {
        return Ok(());
    };
    for peer in peers {
        report.row(&Row {
            benchmark: "facade_read",
            case: case.to_owned(),
            larder: larder.nanoseconds(),
            unit: "ns",
            peer: Some((peer.name().to_owned(), peer.nanoseconds())),
            ratios: peer.over(larder),
            target: if peer.name() == "pool alone" {
                target
            } else {
                Target::None
            },
        })?;
    }
    Ok(())
}
