//! [`Report`]: what the simulation of a trace gave.

use clap::ValueEnum as _;
use larder_server::trace::{
    Accesses, ByteCurve, Curve, Curves, Hits, Optimum, Policy, Sample, Simulation, Trace, Unit, spread,
};
use serde::Serialize;

use super::capacity::Capacities;
use super::drive::Driven;
use super::{figures, table};
use crate::Output;
use crate::fault::{Ended, Exit, Fault};

/// What came of a trace. Ratios are shares of all reads, byte ratios of all bytes that are read.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) format: Option<String>,
    pub(crate) accesses: u64,
    pub(crate) reads: u64,
    pub(crate) keys: u64,
    /// Of all keys, each with its last size; none if the trace has no sizes.
    pub(crate) bytes: Option<u64>,
    pub(crate) bad_lines: u64,
    /// At each capacity in entries each policy's hit ratio, the best policy first, beside the optimum.
    pub(crate) capacities: Vec<AtEntries>,
    /// At each capacity in bytes the same, beside a reference which is no optimum.
    pub(crate) capacities_in_bytes: Vec<AtBytes>,
    /// LRU's hit ratio by capacity: exact.
    pub(crate) lru_curve: Vec<Point>,
    /// LRU's by capacity in bytes: exact from the largest key on, if nothing is deleted or changes its size.
    pub(crate) lru_curve_in_bytes: Vec<BytePoint>,
    /// The share of keys from which the other curves are estimated; 1 if they are exact.
    pub(crate) sample_rate: f64,
    pub(crate) sampled_curves: Vec<Sampled>,
    pub(crate) recommended: Recommended,
    /// What came of driving it through real pools, if that was asked for.
    pub(crate) driven: Option<Driven>,
}

#[derive(Debug, Serialize)]
pub(crate) struct AtEntries {
    pub(crate) entries: u64,
    pub(crate) optimum: f64,
    pub(crate) policies: Vec<OfPolicy>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OfPolicy {
    pub(crate) policy: &'static str,
    /// Whether pools have it.
    pub(crate) larder: bool,
    pub(crate) hit_ratio: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct AtBytes {
    pub(crate) bytes: u64,
    /// What is read again latest leaves: of sizes a policy may do better.
    pub(crate) reference: Ratios,
    pub(crate) policies: Vec<OfPolicyInBytes>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratios {
    pub(crate) hit_ratio: f64,
    pub(crate) byte_hit_ratio: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct OfPolicyInBytes {
    pub(crate) policy: &'static str,
    pub(crate) larder: bool,
    #[serde(flatten)]
    pub(crate) ratios: Ratios,
}

#[derive(Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) entries: u64,
    pub(crate) hit_ratio: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct BytePoint {
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) ratios: Ratios,
}

/// A policy's curve, estimated from a sample.
#[derive(Debug, Serialize)]
pub(crate) struct Sampled {
    pub(crate) policy: &'static str,
    pub(crate) larder: bool,
    pub(crate) by_entries: Vec<Point>,
    pub(crate) by_bytes: Vec<BytePoint>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Recommended {
    /// The smallest capacity whose doubling gains LRU less than a point.
    pub(crate) doubling_gains_under_a_point: u64,
    /// The smallest capacity at which LRU is within 5 % of its best ratio.
    pub(crate) within_five_percent_of_best: u64,
    /// The same in bytes, if the trace has sizes and anything ever hits.
    pub(crate) doubling_gains_under_a_point_bytes: Option<u64>,
    pub(crate) within_five_percent_of_best_bytes: Option<u64>,
}

/// How often is read, and how much: ratios are shares of these.
#[derive(Clone, Copy)]
struct Reads(u64, u128);

impl Reads {
    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    fn ratios(self, hits: Hits) -> Ratios {
        Ratios {
            hit_ratio: hits.count as f64 / self.0.max(1) as f64,
            byte_hit_ratio: hits.bytes as f64 / self.1.max(1) as f64,
        }
    }
}

impl Report {
    pub(crate) fn of(trace: &Trace, capacities: &Capacities, note: impl Fn(&str)) -> Result<Self, Fault> {
        let accesses = &trace.accesses;
        let (reads, read_bytes) = accesses.reads();
        note(&format!(
            "{} accesses of {} keys",
            accesses.len(),
            accesses.distinct()
        ));
        let (mut at_entries, mut at_bytes) = (Vec::new(), Vec::new());
        let optimum = Optimum::of(accesses);
        for unit in [Unit::Entries, Unit::Bytes] {
            for capacity in capacities.in_unit(unit) {
                let simulation = Simulation::of(unit, *capacity);
                let (best, all) = simulated(accesses, &optimum, simulation)?;
                let reads = Reads(reads, read_bytes);
                match unit {
                    Unit::Entries => at_entries.push(by_entries(*capacity, reads, best, all)),
                    Unit::Bytes => at_bytes.push(by_bytes(*capacity, reads, best, all)),
                }
                note(&format!("simulated a capacity of {capacity} {}", unit.name()));
            }
        }
        let curves = Curves::of(accesses);
        let (curve, byte_curve) = (&curves.by_entries, curves.by_bytes.as_ref());
        let sample = Sample::of(accesses);
        let format = trace.format.to_possible_value();
        Ok(Report {
            format: format.map(|value| value.get_name().to_owned()),
            accesses: accesses.len() as u64,
            reads,
            keys: accesses.distinct() as u64,
            bytes: accesses.has_sizes().then(|| accesses.total(Unit::Bytes)),
            bad_lines: trace.bad,
            capacities: at_entries,
            capacities_in_bytes: at_bytes,
            lru_curve: exact(curve, accesses),
            lru_curve_in_bytes: byte_curve.map_or_else(Vec::new, |curve| exact_in_bytes(curve, accesses)),
            sample_rate: sample.rate(),
            sampled_curves: sampled(&sample, accesses, &curves)?,
            recommended: Recommended {
                doubling_gains_under_a_point: curve.doubling_gains_little(),
                within_five_percent_of_best: curve.within(0.95),
                doubling_gains_under_a_point_bytes: byte_curve.and_then(ByteCurve::doubling_gains_little),
                within_five_percent_of_best_bytes: byte_curve.and_then(|curve| curve.within(0.95)),
            },
            driven: None,
        })
    }

    pub(crate) fn print(&self, as_csv: bool, output: Output) -> Result<(), Fault> {
        if output.json {
            return output.say(&serde_json::to_string_pretty(self)?);
        }
        output.say(&if as_csv {
            figures::csv(self)?
        } else {
            table::table(self)
        })
    }
}

fn found(broken: impl std::fmt::Display) -> Fault {
    Ended::fault(Exit::Found, broken.to_string())
}

/// What hits at best, and under each policy.
fn simulated(
    accesses: &Accesses,
    optimum: &Optimum<'_>,
    simulation: Simulation,
) -> Result<(Hits, Vec<(Policy, Hits)>), Fault> {
    let best = optimum.hits(simulation);
    let mut all = Vec::new();
    for policy in Policy::ALL {
        let hits = simulation.run(policy, accesses).map_err(found)?;
        simulation.hold_to(policy, hits, best).map_err(found)?;
        all.push((policy, hits));
    }
    all.sort_by_key(|(_, hits)| std::cmp::Reverse((hits.count, hits.bytes)));
    Ok((best, all))
}

fn by_entries(entries: u64, reads: Reads, best: Hits, all: Vec<(Policy, Hits)>) -> AtEntries {
    let policies = all.into_iter().map(|(policy, hits)| OfPolicy {
        policy: policy.name(),
        larder: policy.is_of_pools(),
        hit_ratio: reads.ratios(hits).hit_ratio,
    });
    AtEntries {
        entries,
        optimum: reads.ratios(best).hit_ratio,
        policies: policies.collect(),
    }
}

fn by_bytes(bytes: u64, reads: Reads, best: Hits, all: Vec<(Policy, Hits)>) -> AtBytes {
    let policies = all.into_iter().map(|(policy, hits)| OfPolicyInBytes {
        policy: policy.name(),
        larder: policy.is_of_pools(),
        ratios: reads.ratios(hits),
    });
    AtBytes {
        bytes,
        reference: reads.ratios(best),
        policies: policies.collect(),
    }
}

fn exact(curve: &Curve, accesses: &Accesses) -> Vec<Point> {
    let capacities = spread(1, accesses.total(Unit::Entries)).into_iter();
    capacities
        .map(|entries| Point {
            entries,
            hit_ratio: curve.ratio(entries),
        })
        .collect()
}

/// From about what one key weighs on.
fn bytes_from(accesses: &Accesses) -> u64 {
    accesses.total(Unit::Bytes) / (accesses.distinct() as u64).max(1)
}

fn exact_in_bytes(curve: &ByteCurve, accesses: &Accesses) -> Vec<BytePoint> {
    let capacities = spread(bytes_from(accesses), accesses.total(Unit::Bytes)).into_iter();
    capacities
        .map(|bytes| {
            let (hit_ratio, byte_hit_ratio) = curve.ratios(bytes);
            BytePoint {
                bytes,
                ratios: Ratios {
                    hit_ratio,
                    byte_hit_ratio,
                },
            }
        })
        .collect()
}

/// The curves of all policies but LRU's in entries, which is exact elsewhere.
fn sampled(sample: &Sample, accesses: &Accesses, curves_of_all: &Curves) -> Result<Vec<Sampled>, Fault> {
    let mut curves = Vec::new();
    let least = sample.entries_min();
    for policy in Policy::ALL {
        let (mut by_entries, mut by_bytes) = (Vec::new(), Vec::new());
        let all = accesses.total(Unit::Entries);
        for entries in spread(least, all) {
            if policy == Policy::Lru || entries < least {
                continue;
            }
            let whole = Simulation::of(Unit::Entries, entries);
            let (hit_ratio, _) = sample.ratios(policy, whole, curves_of_all).map_err(found)?;
            by_entries.push(Point { entries, hit_ratio });
        }
        if accesses.has_sizes() {
            let least = bytes_from(accesses).saturating_mul(least);
            for bytes in spread(least, accesses.total(Unit::Bytes)) {
                let whole = Simulation::of(Unit::Bytes, bytes);
                let (hit_ratio, byte_hit_ratio) =
                    sample.ratios(policy, whole, curves_of_all).map_err(found)?;
                let ratios = Ratios {
                    hit_ratio,
                    byte_hit_ratio,
                };
                by_bytes.push(BytePoint { bytes, ratios });
            }
        }
        curves.push(Sampled {
            policy: policy.name(),
            larder: policy.is_of_pools(),
            by_entries,
            by_bytes,
        });
    }
    Ok(curves)
}
