//! [`Report`]: what the simulation of a trace gave, as a table, as JSON and as CSV.

use std::time::Duration;

use clap::ValueEnum as _;
use larder_memory::Eviction;
use serde::Serialize;

use super::curve::Curve;
use super::drive::{Driven, Times};
use super::formats::Trace;
use super::ours::Ours;
use super::plain::{Lfu, Lru, Ring};
use super::simulate::{self, Cache};
use super::{Format, optimum};
use crate::Output;
use crate::demo::screen::short;
use crate::fault::Fault;

/// Points of the curve that are given.
const POINTS: u32 = 24;

/// What came of a trace. Ratios are shares of all accesses; capacities are in entries of equal weight.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format: Option<String>,
    accesses: u64,
    keys: u64,
    bad_lines: u64,
    /// At each capacity each policy's hit ratio, the best policy first, then the optimum.
    capacities: Vec<AtCapacity>,
    /// LRU's hit ratio by capacity.
    lru_curve: Vec<Point>,
    recommended: Recommended,
    /// What came of driving it through real pools, if that was asked for.
    pub(crate) driven: Option<Driven>,
}

#[derive(Debug, Serialize)]
struct AtCapacity {
    entries: u64,
    optimum: f64,
    policies: Vec<OfPolicy>,
}

#[derive(Debug, Serialize)]
struct OfPolicy {
    policy: &'static str,
    /// Whether pools have it.
    larder: bool,
    hit_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Point {
    entries: u64,
    hit_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Recommended {
    /// The smallest capacity whose doubling gains LRU less than a point.
    doubling_gains_under_a_point: u64,
    /// The smallest capacity at which LRU is within 5 % of its best ratio.
    within_five_percent_of_best: u64,
}

impl Report {
    pub(crate) fn of(trace: &Trace, capacities: &[usize], note: impl Fn(&str)) -> Result<Self, Fault> {
        let accesses = &trace.accesses;
        let keys = trace.keys();
        note(&format!("{} accesses of {keys} keys", accesses.len()));
        let curve = Curve::of(accesses, keys);
        let mut at_capacities = Vec::new();
        for capacity in capacities {
            at_capacities.push(at_capacity(accesses, keys, *capacity)?);
            note(&format!("simulated a capacity of {capacity}"));
        }
        let points = curve.points(POINTS).into_iter();
        Ok(Report {
            format: trace
                .format
                .as_ref()
                .and_then(Format::to_possible_value)
                .map(|value| value.get_name().to_owned()),
            accesses: accesses.len() as u64,
            keys: keys as u64,
            bad_lines: trace.bad,
            capacities: at_capacities,
            lru_curve: points
                .map(|(entries, hit_ratio)| Point {
                    entries: entries as u64,
                    hit_ratio,
                })
                .collect(),
            recommended: Recommended {
                doubling_gains_under_a_point: curve.doubling_gains_little() as u64,
                within_five_percent_of_best: curve.within(0.95) as u64,
            },
            driven: None,
        })
    }

    pub(crate) fn print(&self, as_csv: bool, output: Output) -> Result<(), Fault> {
        if output.json {
            return output.say(&serde_json::to_string_pretty(self)?);
        }
        output.say(&if as_csv { self.csv() } else { self.table() })
    }

    fn csv(&self) -> String {
        let mut lines = vec!["entries,policy,larder,hit_ratio".to_owned()];
        for at in &self.capacities {
            for of in &at.policies {
                lines.push(format!(
                    "{},{},{},{:.6}",
                    at.entries, of.policy, of.larder, of.hit_ratio
                ));
            }
            lines.push(format!("{},optimum,false,{:.6}", at.entries, at.optimum));
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let mut lines = vec![format!("{} accesses of {} keys", self.accesses, self.keys)];
        for at in &self.capacities {
            lines.push(format!(
                "\ncapacity {} ({:.2} % of the keys)",
                at.entries,
                share(at.entries, self.keys) * 100.0
            ));
            for of in &at.policies {
                let own = if of.larder { "in pools" } else { "" };
                let part = if at.optimum > 0.0 {
                    of.hit_ratio / at.optimum
                } else {
                    1.0
                };
                let line = format!(
                    "  {:<16} {:>6.2} %  {:>5.3} of the optimum  {own}",
                    of.policy,
                    of.hit_ratio * 100.0,
                    part
                );
                lines.push(line.trim_end().to_owned());
            }
            lines.push(format!("  {:<16} {:>6.2} %", "optimum", at.optimum * 100.0));
        }
        lines.push("\nLRU by capacity".to_owned());
        for point in &self.lru_curve {
            lines.push(format!(
                "  {:>10}  {:>6.2} %",
                point.entries,
                point.hit_ratio * 100.0
            ));
        }
        let Recommended {
            doubling_gains_under_a_point: little,
            within_five_percent_of_best: near,
        } = self.recommended;
        lines.push(format!("\nbeyond {little} entries, doubling gains less than a point; {near} are within 5 % of the best ratio"));
        if let Some(driven) = &self.driven {
            lines.extend(of_driven(driven));
        }
        lines.join("\n")
    }
}

fn of_driven(driven: &Driven) -> Vec<String> {
    let times = |times: Times| {
        let [p50, p99] = [times.p50, times.p99].map(|seconds| short(Duration::from_secs_f64(seconds)));
        format!("p50 {p50:>8}  p99 {p99:>8}")
    };
    let mut lines = vec![
        format!(
            "\ndriven: {} accesses through {} pools of {} entries in all, {} of them writes (seed {}), in {:.1} s",
            driven.accesses, driven.pools, driven.capacity, driven.writes, driven.seed, driven.seconds
        ),
        format!("  from memory  {:>6.2} %", driven.hit_ratio * 100.0),
        format!("  hit          {}", times(driven.hit)),
        format!("  miss         {}", times(driven.miss)),
    ];
    if driven.writes > 0 {
        lines.push(format!("  commit       {}", times(driven.commit)));
        lines.push(format!(
            "  lag          {}   from commit to applied by another node",
            times(driven.lag)
        ));
    }
    lines.push(format!(
        "  checked      {} reads, STALE {}",
        driven.checked, driven.stale
    ));
    lines.extend(
        driven
            .evidence
            .first()
            .map(|first| format!("  first evidence: {first}")),
    );
    lines
}

fn at_capacity(accesses: &[u32], keys: usize, capacity: usize) -> Result<AtCapacity, Fault> {
    let best = optimum::hits(accesses, keys, capacity);
    let mut policies = Vec::new();
    let all: [(&'static str, bool, Box<dyn Cache>); 7] = [
        (
            "AdaptiveTinyLfu",
            true,
            Box::new(Ours::new(Eviction::AdaptiveTinyLfu, keys, capacity)),
        ),
        (
            "S3-FIFO",
            true,
            Box::new(Ours::new(Eviction::S3Fifo, keys, capacity)),
        ),
        (
            "SIEVE",
            true,
            Box::new(Ours::new(Eviction::Sieve, keys, capacity)),
        ),
        ("LRU", true, Box::new(Lru::new(keys, capacity))),
        ("CLOCK", false, Box::new(Ring::clock(keys, capacity))),
        ("FIFO", false, Box::new(Ring::fifo(keys, capacity))),
        ("LFU", false, Box::new(Lfu::new(keys, capacity))),
    ];
    for (policy, larder, mut cache) in all {
        let hits = simulate::hits(policy, &mut *cache, accesses, capacity)?;
        simulate::hold_to(policy, hits, best, capacity)?;
        policies.push(OfPolicy {
            policy,
            larder,
            hit_ratio: share(hits, accesses.len() as u64),
        });
    }
    policies.sort_by(|one, other| other.hit_ratio.total_cmp(&one.hit_ratio));
    Ok(AtCapacity {
        entries: capacity as u64,
        optimum: share(best, accesses.len() as u64),
        policies,
    })
}

fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    let share = part as f64 / whole.max(1) as f64;
    share
}
