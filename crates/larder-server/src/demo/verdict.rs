//! [`Verdict`]: how it went, for people and as JSON.

use std::time::Duration;

use serde::Serialize;

use super::checker::{Checker, Evidence, RowKey};
use super::contrast::Contrasted;
use super::process::NAMES;
use super::screen::short;
use super::shop::{CUSTOMER, PRODUCT};
use crate::Output;
use crate::fault::Fault;

/// How a demo went. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) seconds: f64,
    pub(crate) seed: u64,
    pub(crate) sabotage: Option<&'static str>,
    pub(crate) reads: u64,
    pub(crate) reads_over_loopback: u64,
    pub(crate) writes: u64,
    pub(crate) rollbacks: u64,
    pub(crate) failures: u64,
    /// Why something did not work, the first time.
    pub(crate) first_failure: Option<String>,
    pub(crate) hit_ratio: f64,
    pub(crate) read_p50: f64,
    pub(crate) read_p99: f64,
    pub(crate) lag_p50: f64,
    pub(crate) lag_p99: f64,
    pub(crate) checked: u64,
    pub(crate) stale: u64,
    /// Entries that were resident at the end, and of them those that were not as the database has them.
    pub(crate) residents: u64,
    pub(crate) residents_wrong: u64,
    /// Commits that were acknowledged and are not in the database.
    pub(crate) lost: u64,
    /// Nodes that had not applied every commit ten seconds after the last.
    pub(crate) behind: u64,
    /// The first that was killed, and all of them.
    pub(crate) killed: Option<Killed>,
    pub(crate) kills: Vec<Killed>,
    /// How often keys have paused a node, locked the database, and made nodes write a burst.
    pub(crate) pauses: u64,
    pub(crate) locks: u64,
    pub(crate) bursts: u64,
    /// Rows that were changed in bursts; they count among the writes.
    pub(crate) burst_writes: u64,
    /// The plain cache beside; its stale reads are not ours.
    pub(crate) contrast: Option<Contrasted>,
    pub(crate) evidence: Vec<String>,
}

/// What became of the node that was killed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Killed {
    pub(crate) node: &'static str,
    /// From its start until it served again; none if it did not.
    pub(crate) ready_after: Option<f64>,
    /// By how many positions it was behind when it served again.
    pub(crate) behind: Option<u64>,
    /// How many of them it had to apply one by one: without a disk tier it comes back empty, and has only to apply what came while it started.
    pub(crate) replayed: Option<u64>,
    pub(crate) hit_ratio_before: f64,
    /// In the first second after it served again.
    pub(crate) hit_ratio_after: f64,
}

impl Killed {
    fn lines(&self) -> Vec<String> {
        let name = format!("node {}", self.node);
        let Some(after) = self.ready_after else {
            return vec![format!("{name:<14} {:>12}   did not come back", "killed")];
        };
        let served = format!(
            "served again {} after its start",
            short(Duration::from_secs_f64(after))
        );
        let missed = format!(
            "{} positions behind, of which {} were replayed",
            self.behind.unwrap_or(0),
            self.replayed.unwrap_or(0)
        );
        let hits = format!(
            "hits {:.1} % before, {:.1} % in the first second",
            self.hit_ratio_before * 100.0,
            self.hit_ratio_after * 100.0
        );
        vec![
            format!("{name:<14} {:>12}   {served}", "killed"),
            format!("{:<14} {:>12}   {missed}", "", ""),
            format!("{:<14} {:>12}   {hits}", "", ""),
        ]
    }
}

impl Contrasted {
    fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "{:<14} {:>12}   stale reads, {} beyond the bound; hits {:.1} %",
                "plain cache",
                self.stale,
                self.stale_beyond_bound,
                self.hit_ratio * 100.0
            ),
            format!(
                "{:<14} {:>12}   of {}; at the end {} of {} entries are wrong",
                "messages lost", self.messages_lost, self.messages, self.residents_wrong, self.residents
            ),
        ]
    }
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.faults().is_empty()
    }

    /// What was wrong, each in a few words.
    fn faults(&self) -> Vec<String> {
        let away = self.kills.iter().filter(|killed| killed.ready_after.is_none());
        let away: Vec<String> = away
            .map(|killed| format!("node {} did not come back", killed.node))
            .collect();
        let counted = [
            (self.stale, "reads were stale"),
            (self.residents_wrong, "entries were not as the database has them"),
            (self.lost, "acknowledged commits were lost"),
            (self.behind, "nodes did not catch up"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        let mut faults: Vec<String> = counted.map(|(count, what)| format!("{count} {what}")).collect();
        faults.extend(away);
        // Where most of it failed, nothing was shown.
        if self.failures > self.writes / 2 + 16 {
            faults.push(format!("{} reads and writes failed", self.failures));
        }
        if self.checked == 0 {
            faults.push("no read was checked".to_owned());
        }
        faults
    }

    pub(crate) fn print(&self, output: Output) -> Result<(), Fault> {
        if output.json {
            return output.say(&serde_json::to_string_pretty(self)?);
        }
        let mut lines = vec![String::new()];
        lines.extend(self.traffic());
        lines.extend(self.checks());
        lines.push(String::new());
        lines.push(if self.is_good() {
            "everything that was read was fresh".to_owned()
        } else {
            format!("something was wrong: {}", self.faults().join(", "))
        });
        output.say_folded(&lines.join("\n"))
    }

    fn traffic(&self) -> Vec<String> {
        let time = |seconds: f64| short(Duration::from_secs_f64(seconds));
        let (hits, p50, p99) = (self.hit_ratio * 100.0, time(self.read_p50), time(self.read_p99));
        let line = |what: &str, figure: String, more: String| format!("{what:<14} {figure:>12}   {more}");
        let mut lines = vec![
            line(
                "reads",
                self.reads.to_string(),
                format!("{hits:.1} % from memory, p50 {p50}, p99 {p99}"),
            ),
            line(
                "over loopback",
                self.reads_over_loopback.to_string(),
                "half of them with the token of a commit".to_owned(),
            ),
            line(
                "writes",
                self.writes.to_string(),
                format!("{} rolled back, {} failed", self.rollbacks, self.failures),
            ),
            line(
                "lag",
                time(self.lag_p50),
                format!("until applied on the other node, p99 {}", time(self.lag_p99)),
            ),
        ];
        for killed in &self.kills {
            lines.extend(killed.lines());
        }
        lines
    }

    fn checks(&self) -> Vec<String> {
        let line = |what: &str, figure: u64, more: String| {
            format!("{what:<14} {figure:>12}   {more}").trim_end().to_owned()
        };
        let mut lines = vec![
            line(
                "checked",
                self.checked,
                "reads, against the history in the database".to_owned(),
            ),
            line(
                "resident",
                self.residents,
                format!(
                    "at the end, {} not as the database has them",
                    self.residents_wrong
                ),
            ),
            line(
                "lost",
                self.lost,
                format!("acknowledged commits; {} nodes did not catch up", self.behind),
            ),
            line("STALE READS", self.stale, String::new()),
        ];
        lines.extend(self.contrast.iter().flat_map(Contrasted::lines));
        if let Some(why) = &self.first_failure {
            lines.push(format!("\nfirst failure: {why}"));
        }
        if let Some(first) = self.evidence.first() {
            // A sentence a line.
            lines.push(format!("\nfirst evidence: {}", first.replace(". ", ".\n  ")));
        }
        if let Some(sabotage) = self.sabotage {
            let found = if self.is_good() {
                "the checker did NOT find it"
            } else {
                "the checker found it"
            };
            lines.push(format!("{sabotage} broke a promise on purpose: {found}"));
        }
        lines
    }
}

/// The stale reads that a checker has kept, of a trace's rows.
pub(crate) fn evidence_of(checker: &Checker) -> Vec<String> {
    let all = checker.evidence().iter();
    all.map(|evidence| {
        let read = &evidence.read;
        let due = evidence.due.map_or(0, |due| due.version);
        format!(
            "row {:?} was read at {:?}: {}; version {due} was due",
            read.row, read.version, evidence.broken
        )
    })
    .collect()
}

fn name_of(kind: u8) -> &'static str {
    match kind {
        CUSTOMER => "customer",
        PRODUCT => "product",
        _ => "order",
    }
}

/// An entry that is not as the database has its row, in words.
pub(crate) fn kept_wrongly(node: usize, (kind, id): RowKey, version: u64, now: Option<u64>) -> String {
    let (node, kind) = (NAMES.get(node).copied().unwrap_or("?"), name_of(kind));
    let now = now.map_or_else(
        || "has no such row".to_owned(),
        |now| format!("has version {now}"),
    );
    format!("node {node} kept {kind} {id} at version {version} at the end; the database {now}.")
}

/// A stale read in words.
pub(crate) fn explained(evidence: &Evidence) -> String {
    let read = &evidence.read;
    let (kind, id) = read.row;
    let kind = name_of(kind);
    let node = NAMES.get(read.node).copied().unwrap_or("?");
    let what = read.version.map_or_else(
        || "as absent".to_owned(),
        |version| format!("at version {version}"),
    );
    let token = read
        .token
        .map(|token| format!(", with the token of position {token}"))
        .unwrap_or_default();
    let due = evidence.due.map_or_else(String::new, |due| {
        let state = if due.deleted { "was deleted as" } else { "had" };
        format!(
            "; the row {state} version {} since position {}",
            due.version, due.position
        )
    });
    format!(
        "node {node} read {kind} {id} {what}: {}. It had applied position {}{token}{due}.",
        evidence.broken, read.applied
    )
}
