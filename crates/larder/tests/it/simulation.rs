//! Two to four layers over one log in memory, in either order of commits, from a seed: pools of every configuration over one database, with everything that
//! befalls a node and its source.
//!
//! No read is older than what its node has applied, or than its token; a node that has not heard from its source knows it; bounds are kept; at rest nothing
//! is kept that is not what the database has; what is told agrees with what is read. Features are drawn in pairs. Then the same with each of some
//! sabotages, which must be found.

mod any_seed;
mod between;
mod database;
mod features;
mod handle;
mod node;
mod oracle;
mod things;
mod world;

use std::io::Write as _;
use std::process::Command;

use self::between::Sabotage;
use self::features::{Plan, pairs, seeds_for_all_pairs};
use self::world::run;

const PART: &str = "LARDER_TEST_DIGEST";

/// Every pair of features is in some run of the suite.
#[test]
fn every_pair_of_features_meets() {
    let plans: Vec<Plan> = (0..seeds_for_all_pairs()).map(Plan::of).collect();
    let missing: Vec<_> = pairs()
        .into_iter()
        .filter(|pair| !plans.iter().any(|plan| plan.has_pair(*pair)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// So many of the first hundred seeds must find each sabotage. No more are run than it takes.
const FOUND_AT_LEAST: usize = 6;

fn check_found(sabotages: &[Sabotage]) {
    for sabotage in sabotages {
        let finding = (0..100).filter(|seed| run(*seed, *sabotage).is_err());
        let found = finding.take(FOUND_AT_LEAST).count();
        assert_eq!(found, FOUND_AT_LEAST, "{sabotage:?}: of 100 runs");
    }
}

/// Each sabotage of a source is found.
#[test]
fn every_sabotage_of_a_source_is_found() {
    check_found(&[
        Sabotage::InvalidationDropped,
        Sabotage::ReplaySkipped,
        Sabotage::WideningDropped,
        Sabotage::PurgeHidden,
    ]);
}

/// Each sabotage of a loader, a caller or a clock is found.
#[test]
fn every_sabotage_of_a_node_is_found() {
    check_found(&[
        Sabotage::OldSnapshot,
        Sabotage::FillWithoutPin,
        Sabotage::ClockStands,
    ]);
}

/// Two processes do the same with the same seeds: this one, and one that it starts, in which whatever is drawn at random is drawn anew.
#[test]
fn digests() {
    let digests: Vec<u64> = (0..12)
        .map(|seed| run(seed * 7, Sabotage::None).unwrap())
        .collect();
    if std::env::var_os(PART).is_some() {
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "digests {digests:?}").and_then(|()| out.flush()));
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["simulation::digests", "--exact", "--nocapture"])
        .env(PART, "yes")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("digests {digests:?}")), "{printed}");
}
