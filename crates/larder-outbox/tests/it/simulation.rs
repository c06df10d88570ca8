//! Three to five nodes over one log in memory, in either order of commits, from a seed: with long transactions, crashes, cut networks, skewed clocks, purges,
//! new epochs, restored backups, rows that nobody can read, sinks that fail, and relays that vanish.
//!
//! What a node says that it has applied it does not read older any more, from memory or from disk, also after a crash; a node that is sure
//! reads nothing older than the bound; at rest it keeps nothing that is not what the database has, and every row was relayed. Then the same with each of some
//! sabotages, which must be found.

mod between;
mod node;
mod world;

use std::process::Command;

use larder_outbox::CommitOrder;
use larder_testkit::for_each_seed;

use self::between::Sabotage;
use self::world::run;

const ORDERS: [CommitOrder; 2] = [CommitOrder::Ordered, CommitOrder::Unordered];
const PART: &str = "LARDER_TEST_DIGEST";

/// Contract: O46, O70, O72
#[test]
fn what_a_node_has_applied_it_does_not_read_older() {
    for order in ORDERS {
        for_each_seed(200, |seed| {
            if let Err(fault) = run(seed, order, Sabotage::None) {
                panic!("{order:?}: {fault}");
            }
        });
    }
}

/// Each sabotage is found, in some of the runs in which it can show.
///
/// Contract: O117
#[test]
fn every_sabotage_is_found() {
    for (order, sabotage) in [
        (CommitOrder::Ordered, Sabotage::RowDropped),
        (CommitOrder::Unordered, Sabotage::RowDropped),
        (CommitOrder::Ordered, Sabotage::WideningSkipped),
        (CommitOrder::Unordered, Sabotage::WideningSkipped),
        (CommitOrder::Unordered, Sabotage::OpenForgotten),
        (CommitOrder::Ordered, Sabotage::PurgeHidden),
        (CommitOrder::Unordered, Sabotage::PurgeHidden),
        (CommitOrder::Ordered, Sabotage::CursorSavedAhead),
        (CommitOrder::Unordered, Sabotage::CursorSavedAhead),
        (CommitOrder::Ordered, Sabotage::HeadAfterFlush),
        (CommitOrder::Unordered, Sabotage::HeadAfterFlush),
        (CommitOrder::Unordered, Sabotage::TokenByMaximum),
    ] {
        let found = (1..=100)
            .filter(|seed| run(*seed, order, sabotage).is_err())
            .count();
        assert!(
            found >= 4,
            "{sabotage:?}, {order:?}: found in {found} of 100 runs"
        );
    }
}

/// Prints the digests of some runs, for whoever started this process.
#[test]
fn digests() {
    let digests: Vec<u64> = (1..=5)
        .flat_map(|seed| ORDERS.map(|order| run(seed, order, Sabotage::None).unwrap()))
        .collect();
    if std::env::var_os(PART).is_some() {
        super::processes::say(&format!("digests {digests:?}"));
        return;
    }
    // Another process, in which everything that is drawn at random is drawn anew.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["simulation::digests", "--exact", "--nocapture"])
        .env(PART, "yes")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("digests {digests:?}")), "{printed}");
}
