//! [`Report`]: what the simulation of a trace gave.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use clap::ValueEnum as _;
use larder_server::trace::{
    Accesses, Broken, ByteCurve, Curve, Curves, Hits, Optimum, OverCapacity, Policy, Sample, Simulation,
    Trace, Unit, spread,
};
use rayon::prelude::*;
use serde::Serialize;

use super::capacity::Capacities;
use super::drive::Driven;
use super::{figures, table};
use crate::Output;
use crate::fault::{Ended, Exit, Fault};
use crate::output::Steps;

/// On how many threads is simulated at most: each simulation has a place for every key.
const THREADS_MAX: usize = 8;

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
    /// On all processors, up to [`THREADS_MAX`]; what comes of it does not depend on how many there are.
    pub(crate) fn of(trace: &Trace, capacities: &Capacities, output: Output) -> Result<Self, Fault> {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(processors.min(THREADS_MAX));
        threads
            .build()?
            .install(|| Self::on_these_threads(trace, capacities, output))
    }

    fn on_these_threads(trace: &Trace, capacities: &Capacities, output: Output) -> Result<Self, Fault> {
        let accesses = &trace.accesses;
        output.note(&format!(
            "{} accesses of {} keys",
            accesses.len(),
            accesses.distinct()
        ));
        let all = [Unit::Entries, Unit::Bytes].map(|unit| capacities.in_unit(unit).len());
        let all = all.iter().sum::<usize>() * (Policy::ALL.len() + 1);
        let steps = output.steps("simulations", all as u64);
        let optimum = Optimum::of(accesses);
        let ((at_entries, at_bytes), (curves, sample)) = rayon::join(
            || {
                let at = |unit| at_capacities(accesses, &optimum, unit, capacities.in_unit(unit), &steps);
                rayon::join(|| at(Unit::Entries), || at(Unit::Bytes))
            },
            || rayon::join(|| Curves::of(accesses), || Sample::of(accesses)),
        );
        let (at_entries, at_bytes) = (at_entries.map_err(found)?, at_bytes.map_err(found)?);
        let (reads, read_bytes) = accesses.reads();
        let shares = Reads(reads, read_bytes);
        let (curve, byte_curve) = (&curves.by_entries, curves.by_bytes.as_ref());
        drop(steps);
        let format = trace.format.to_possible_value();
        Ok(Report {
            format: format.map(|value| value.get_name().to_owned()),
            accesses: accesses.len() as u64,
            reads,
            keys: accesses.distinct() as u64,
            bytes: accesses.has_sizes().then(|| accesses.total(Unit::Bytes)),
            bad_lines: trace.bad,
            capacities: at_entries
                .into_iter()
                .map(|found| by_entries(shares, found))
                .collect(),
            capacities_in_bytes: at_bytes
                .into_iter()
                .map(|found| by_bytes(shares, found))
                .collect(),
            lru_curve: exact(curve, accesses),
            lru_curve_in_bytes: byte_curve.map_or_else(Vec::new, |curve| exact_in_bytes(curve, accesses)),
            sample_rate: sample.rate(),
            sampled_curves: sampled(&sample, accesses, &curves, output).map_err(found)?,
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

#[expect(clippy::needless_pass_by_value, reason = "what an error is mapped by")]
fn found(broken: Broken) -> Fault {
    Ended::fault(Exit::Found, broken.to_string())
}

/// What hits at a capacity: at best, and under each policy, the best first.
struct AtCapacity {
    capacity: u64,
    best: Hits,
    policies: Vec<(Policy, Hits)>,
}

/// Each capacity and policy beside the others.
fn at_capacities(
    accesses: &Accesses,
    optimum: &Optimum<'_>,
    unit: Unit,
    capacities: &[u64],
    steps: &Steps,
) -> Result<Vec<AtCapacity>, Broken> {
    let all: Vec<_> = capacities
        .par_iter()
        .map(|capacity| at_capacity(accesses, optimum, unit, *capacity, steps))
        .collect();
    // In their order, so that of several faults it is always the same which is told.
    all.into_iter().collect()
}

fn at_capacity(
    accesses: &Accesses,
    optimum: &Optimum<'_>,
    unit: Unit,
    capacity: u64,
    steps: &Steps,
) -> Result<AtCapacity, Broken> {
    let simulation = Simulation::of(unit, capacity);
    fn done<R>(steps: &Steps, found: R) -> R {
        steps.add(1);
        found
    }
    let (best, all) = rayon::join(
        || done(steps, optimum.hits(simulation)),
        || -> Vec<_> {
            let policies = Policy::ALL.into_par_iter();
            let hits = |policy| (policy, done(steps, simulation.run(policy, accesses)));
            policies.map(hits).collect()
        },
    );
    let mut policies = Vec::new();
    for (policy, hits) in all {
        let hits = hits?;
        simulation.hold_to(policy, hits, best)?;
        policies.push((policy, hits));
    }
    policies.sort_by_key(|(_, hits)| std::cmp::Reverse((hits.count, hits.bytes)));
    Ok(AtCapacity {
        capacity,
        best,
        policies,
    })
}

fn by_entries(reads: Reads, found: AtCapacity) -> AtEntries {
    let policies = found.policies.into_iter().map(|(policy, hits)| OfPolicy {
        policy: policy.name(),
        larder: policy.is_of_pools(),
        hit_ratio: reads.ratios(hits).hit_ratio,
    });
    AtEntries {
        entries: found.capacity,
        optimum: reads.ratios(found.best).hit_ratio,
        policies: policies.collect(),
    }
}

fn by_bytes(reads: Reads, found: AtCapacity) -> AtBytes {
    let policies = found.policies.into_iter().map(|(policy, hits)| OfPolicyInBytes {
        policy: policy.name(),
        larder: policy.is_of_pools(),
        ratios: reads.ratios(hits),
    });
    AtBytes {
        bytes: found.capacity,
        reference: reads.ratios(found.best),
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
fn sampled(
    sample: &Sample,
    accesses: &Accesses,
    curves: &Curves,
    output: Output,
) -> Result<Vec<Sampled>, Broken> {
    let least = sample.entries_min();
    let mut in_entries = spread(least, accesses.total(Unit::Entries));
    in_entries.retain(|entries| *entries >= least);
    let mut in_bytes = Vec::new();
    if accesses.has_sizes() {
        let least = bytes_from(accesses).saturating_mul(least);
        in_bytes = spread(least, accesses.total(Unit::Bytes));
    }
    // LRU's in entries is not estimated.
    let all = Policy::ALL.len() * (in_entries.len() + in_bytes.len()) - in_entries.len();
    let steps = &output.steps("points of curves", all as u64);
    let all: Vec<_> = Policy::ALL
        .into_par_iter()
        .map(|policy| sampled_curve(policy, sample, curves, &in_entries, &in_bytes, steps))
        .collect();
    all.into_iter().collect()
}

fn sampled_curve(
    policy: Policy,
    sample: &Sample,
    curves: &Curves,
    in_entries: &[u64],
    in_bytes: &[u64],
    steps: &Steps,
) -> Result<Sampled, Broken> {
    let in_entries = if policy == Policy::Lru { &[] } else { in_entries };
    let at_entries = |&entries: &u64| -> Result<Point, OverCapacity> {
        let (hit_ratio, _) = sample.ratios(policy, Simulation::of(Unit::Entries, entries), curves)?;
        steps.add(1);
        Ok(Point { entries, hit_ratio })
    };
    let at_bytes = |&bytes: &u64| -> Result<BytePoint, OverCapacity> {
        let (hit_ratio, byte_hit_ratio) =
            sample.ratios(policy, Simulation::of(Unit::Bytes, bytes), curves)?;
        steps.add(1);
        let ratios = Ratios {
            hit_ratio,
            byte_hit_ratio,
        };
        Ok(BytePoint { bytes, ratios })
    };
    let (by_entries, by_bytes): (Vec<_>, Vec<_>) = rayon::join(
        || in_entries.par_iter().map(at_entries).collect(),
        || in_bytes.par_iter().map(at_bytes).collect(),
    );
    Ok(Sampled {
        policy: policy.name(),
        larder: policy.is_of_pools(),
        by_entries: by_entries.into_iter().collect::<Result<_, _>>()?,
        by_bytes: by_bytes.into_iter().collect::<Result<_, _>>()?,
    })
}
