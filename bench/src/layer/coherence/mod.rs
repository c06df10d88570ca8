//! `coherence`: how many reads are stale, where it is hard not to be: larder beside moka, foyer, quick_cache, sassi and HydraCache.
//!
//! What counts as stale stands in [`judge`]; how each subject is used stands in [`caches`] and [`services`]. The same rows, writes, losses, deaths and lags
//! come from one seed to all subjects of a scenario, one after the other; what the threads do in between is chance.
//!
//! | scenario | origin | what goes wrong | whose reads |
//! | --- | --- | --- | --- |
//! | load race | memory | a write and its invalidation fall into a load | the writer's node |
//! | lost messages | memory | one message in a hundred is lost | the other node |
//! | paused node | memory | a node stands still for longer than the bound, and all messages are lost meanwhile | the other node |
//! | crash after commit | SQLite | one writer in fifty is gone when its commit has returned | the other node |
//! | lagging replica | memory | loads come from a copy that lacks up to 1,000 commits of the last 200 ms; only Larder's loader can say so | the other node |
//!
//! The bound on another node's reads is 1 s, and Larder's layers have it as their freshness; their own default is 2 s. A subject that has not read, not
//! written, kept nothing, or whose scenario did not go wrong, is an error: zero of nothing is no zero.
//!
//! That Larder's zeros can be other numbers was tried: where the layer serves what it has when it is unsure, the pause gave 9,630 stale reads, and where the loader
//! does not say how far the replica was, that gave 170.
//!
//! The short form has the writes that its rows say and takes three minutes. `LARDER_COHERENCE_WRITES=1000000` gives every scenario so many, which is the
//! contract's form and takes hours, most of them commits of SQLite.

mod caches;
mod chance;
mod judge;
mod load_race;
mod nodes;
mod origin;
mod paused;
mod services;
mod wire;

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use self::judge::Tally;
use super::Fault;
use crate::{Outcome, Report, Row, Target};

/// How old the other node's reads may be.
const BOUND: Duration = Duration::from_secs(1);
/// What is waited beyond it.
const MARGIN: Duration = Duration::from_millis(300);
const SEED: u64 = 20_261_130;
/// How many writes each scenario has.
const WRITES: &str = "LARDER_COHERENCE_WRITES";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Larder,
    Moka,
    Foyer,
    QuickCache,
    Sassi,
    HydraCache,
}

/// What a subject has done in a scenario.
struct Played {
    tally: Tally,
    /// Of the stale reads, those in the end, when nothing was written any more.
    at_rest: u64,
    loads: u64,
    /// Loads that brought what was not the newest any more when they returned, where that is counted.
    overtaken: Option<u64>,
    /// Messages that were lost, where some are to be; with Larder, hints.
    lost: Option<u64>,
}

struct Scenario {
    name: &'static str,
    /// Writes of the short form.
    writes: u64,
    play: fn(Subject, u64) -> Result<Played, Fault>,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "load race",
        writes: 100_000,
        play: load_race::play,
    },
    Scenario {
        name: "lost messages",
        writes: 100_000,
        play: nodes::lost_messages,
    },
    Scenario {
        name: "paused node",
        writes: 100_000,
        play: paused::play,
    },
    Scenario {
        name: "crash after commit",
        writes: 5_000,
        play: nodes::crash,
    },
    Scenario {
        name: "lagging replica",
        writes: 100_000,
        play: nodes::lagging_replica,
    },
];

/// Measures and reports.
///
/// # Errors
/// When a subject, a database or standard output fails, and when a subject's zero would be one of nothing.
pub fn coherence(report: Report) -> Outcome {
    let asked = std::env::var(WRITES).ok().map(|writes| writes.parse());
    let asked: Option<u64> = asked.transpose()?;
    for scenario in &SCENARIOS {
        let writes = asked.unwrap_or(scenario.writes);
        let played = |subject: Subject| {
            let played = (scenario.play)(subject, writes);
            let played = played.and_then(|played| played.checked(subject, scenario.name).map(|()| played));
            played.map_err(|error| format!("{}, {}: {error}", scenario.name, subject.name()))
        };
        let larder = played(Subject::Larder)?;
        for peer in Subject::PEERS {
            rows(report, scenario.name, &larder, peer, &played(peer)?)?;
        }
    }
    Ok(())
}

fn rows(
    report: Report,
    scenario: &str,
    larder: &Played,
    peer: Subject,
    peers: &Played,
) -> std::io::Result<()> {
    let row = |what: &str, unit: &'static str, of: fn(&Played) -> Option<u64>, target: Target| {
        let (Some(larders), Some(peers)) = (of(larder), of(peers)) else {
            return Ok(());
        };
        report.row(&Row {
            benchmark: "coherence",
            case: format!("{scenario}, {} writes: {what}", grouped(larder.tally.writes)),
            larder: larders as f64,
            unit,
            peer: Some((peer.name().to_owned(), peers as f64)),
            ratios: Vec::new(),
            target,
        })
    };
    let zero = Target::AtMost(0.0);
    row("stale", "reads", |played| Some(played.tally.stale), zero)?;
    row("of these at rest", "reads", |played| Some(played.at_rest), zero)?;
    row("of all", "reads", |played| Some(played.tally.reads), Target::None)?;
    row("loaded", "loads", |played| Some(played.loads), Target::None)?;
    row(
        "brought too old",
        "loads",
        |played| played.overtaken,
        Target::None,
    )?;
    row("lost", "messages", |played| played.lost, Target::None)
}

impl Subject {
    const PEERS: [Subject; 5] = [
        Subject::Moka,
        Subject::Foyer,
        Subject::QuickCache,
        Subject::Sassi,
        Subject::HydraCache,
    ];

    /// As the manifest has it, so that the page can name the version.
    fn name(self) -> &'static str {
        match self {
            Subject::Larder => "larder",
            Subject::Moka => "moka",
            Subject::Foyer => "foyer-memory",
            Subject::QuickCache => "quick_cache",
            Subject::Sassi => "sassi",
            Subject::HydraCache => "hydracache",
        }
    }
}

impl Played {
    /// Whether anything was shown.
    fn checked(&self, subject: Subject, scenario: &str) -> Result<(), Fault> {
        let Tally { writes, reads, .. } = self.tally;
        if writes == 0 || reads == 0 {
            return Err(format!("{writes} writes and {reads} reads show nothing").into());
        }
        if scenario == "load race" && self.loads > reads / 2 {
            return Err("it keeps nothing".into());
        }
        let races = matches!(scenario, "load race" | "lagging replica");
        if races && self.overtaken == Some(0) {
            return Err("no load was overtaken".into());
        }
        // Larder has no messages, and a follower that stands still does not even ask for hints.
        let loses = subject != Subject::Larder && matches!(scenario, "lost messages" | "paused node");
        if loses && self.lost == Some(0) {
            return Err("nothing was lost".into());
        }
        Ok(())
    }
}

/// With a comma before every three digits, as people read numbers.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Two threads.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let grouped = [7, 100, 5_000, 100_000, 1_000_000].map(grouped);
        assert_eq!(grouped, ["7", "100", "5,000", "100,000", "1,000,000"]);
    }

    #[test]
    fn a_zero_of_nothing_is_refused() {
        let played = |reads, writes, loads, overtaken, lost| Played {
            tally: Tally {
                reads,
                writes,
                stale: 0,
            },
            at_rest: 0,
            loads,
            overtaken,
            lost,
        };
        let moka = Subject::Moka;
        for (played, scenario) in [
            (played(0, 10, 0, None, None), "crash after commit"),
            (played(10, 0, 1, None, None), "crash after commit"),
            (played(10, 10, 6, Some(1), None), "load race"),
            (played(10, 10, 1, Some(0), None), "load race"),
            (played(10, 10, 1, Some(0), None), "lagging replica"),
            (played(10, 10, 1, None, Some(0)), "lost messages"),
            (played(10, 10, 1, None, Some(0)), "paused node"),
        ] {
            assert!(played.checked(moka, scenario).is_err(), "{scenario}");
        }
        let good = played(10, 10, 1, Some(1), Some(1));
        for scenario in &SCENARIOS {
            good.checked(moka, scenario.name).expect("it shows something");
        }
    }
}
