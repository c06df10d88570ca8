//! Hit ratios on recorded traces: every policy beside the optimum, exact LRU, `quick_cache` and `moka`.
//!
//! Fails if any engine has more hits than the optimum allows (of caches that keep every miss; for the peers, which may refuse
//! a key, of caches that may), if an engine ever holds more than its capacity, or if the
//! references computed here are not those that were recorded: then the measurement is wrong, and its rows would be too. A
//! policy that is merely worse than asked misses its target and fails nothing.
//!
//! The traces lie in the folder that `LARDER_TRACES` names; without it this says so and measures nothing. None of them holds
//! writes, removals or expiry.

use std::error::Error;
use std::io::Write as _;

use larder_bench::replay::{Engine, Larder, Moka, QuickCache, hits};
use larder_bench::traces::{FOLDER_VARIABLE, Trace};
use larder_bench::{Report, Row, Target};
use larder_memory::Eviction;
use larder_testkit::eviction::{Lru, Misses, Simulator as _, optimum};

/// As many shards as a pool would have on a small machine, where it has entries enough for them.
const SHARDS: usize = 8;

/// What was recorded for a trace at a capacity, in percent.
struct Reference {
    trace: Trace,
    capacity: usize,
    lru: f64,
    sieve: f64,
    s3_fifo: f64,
    optimum: f64,
}

const fn reference(trace: Trace, capacity: usize, [lru, sieve, s3_fifo, optimum]: [f64; 4]) -> Reference {
    Reference {
        trace,
        capacity,
        lru,
        sieve,
        s3_fifo,
        optimum,
    }
}

/// From the README beside the traces, and for P6 from the contract of the cache: a hundredth and a tenth of the keys.
const REFERENCES: [Reference; 10] = [
    reference(Trace::Oltp, 1_868, [41.63, 40.29, 46.42, 59.76]),
    reference(Trace::Oltp, 18_688, [66.52, 66.66, 67.73, 76.21]),
    reference(Trace::OrmBusy, 763, [77.03, 70.53, 75.62, 82.82]),
    reference(Trace::OrmBusy, 7_634, [88.01, 88.12, 89.03, 93.31]),
    reference(Trace::Web12, 137, [39.70, 40.25, 40.86, 58.46]),
    reference(Trace::Web12, 1_375, [68.48, 71.72, 72.25, 80.03]),
    reference(Trace::W106, 2_751, [79.79, 80.45, 81.30, 84.92]),
    reference(Trace::W106, 27_517, [91.77, 91.64, 92.18, 93.94]),
    reference(Trace::P6, 7_737, [1.24, 2.50, 5.60, 11.40]),
    reference(Trace::P6, 77_377, [27.64, 24.49, 54.58, 74.86]),
];

/// Recorded ratios have two digits.
const ROUNDING: f64 = 0.006;
/// References of SIEVE and S3-FIFO are good to this many points.
const REIMPLEMENTED: f64 = 0.5;
/// What shards may cost a policy, in points.
const SHARDS_COST: f64 = 0.7;

/// The ratios of one row, in percent.
struct Measured {
    optimum: f64,
    lru: f64,
    /// In one shard and in [`SHARDS`], in the order of [`Eviction::ALL`].
    larder: Vec<(Eviction, f64, f64)>,
    quick_cache: f64,
    moka: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    if Trace::folder().is_none() {
        writeln!(
            std::io::stdout().lock(),
            "skipped\tno hit ratio is measured, because {FOLDER_VARIABLE} names no folder of traces"
        )?;
        return Ok(());
    }
    let mut means = Means::default();
    for trace in Trace::ALL {
        let accesses = trace.read()?;
        for reference in REFERENCES.iter().filter(|reference| reference.trace == trace) {
            let measured = measure(&accesses, reference.capacity)?;
            check(reference, &measured)?;
            print(reference, &measured)?;
            means.add(&measured);
        }
    }
    means.print()
}

fn measure(trace: &[u64], capacity: usize) -> Result<Measured, Box<dyn Error>> {
    let percent = |hits: usize| hits as f64 * 100.0 / trace.len() as f64;
    let [most, most_refusing] =
        [Misses::Kept, Misses::MayBeRefused].map(|misses| optimum(trace, capacity, misses));
    let of = |name: &str, engine: &mut dyn Engine, most: usize| -> Result<f64, Box<dyn Error>> {
        let found = hits(engine, trace, capacity).map_err(|exceeded| format!("{name}: {exceeded}"))?;
        if found > most {
            return Err(format!("{name}: {found} hits where the optimum has {most}").into());
        }
        Ok(percent(found))
    };
    let mut larder = Vec::new();
    for eviction in Eviction::ALL {
        let shards = shards(eviction, capacity);
        let one = of(name(eviction), &mut Larder::new(eviction, capacity, 1), most)?;
        let many = of(name(eviction), &mut Larder::new(eviction, capacity, shards), most)?;
        larder.push((eviction, one, many));
    }
    let mut lru = Lru::new(capacity);
    Ok(Measured {
        optimum: percent(most),
        lru: percent(trace.iter().filter(|key| lru.access(**key).is_hit()).count()),
        larder,
        quick_cache: of("quick_cache", &mut QuickCache::new(capacity), most_refusing)?,
        moka: of("moka", &mut Moka::new(capacity), most_refusing)?,
    })
}

/// The measurement itself is right: what is exact equals what was recorded.
fn check(reference: &Reference, measured: &Measured) -> Result<(), Box<dyn Error>> {
    for (name, recorded, found) in [
        ("OPT", reference.optimum, measured.optimum),
        ("LRU", reference.lru, measured.lru),
    ] {
        if (recorded - found).abs() > ROUNDING {
            let Reference { trace, capacity, .. } = reference;
            return Err(
                format!("{trace} @ {capacity}: {name} is {found:.2}, recorded was {recorded:.2}").into(),
            );
        }
    }
    Ok(())
}

fn print(reference: &Reference, measured: &Measured) -> std::io::Result<()> {
    let Reference { trace, capacity, .. } = reference;
    let best = reference.lru.max(reference.sieve).max(reference.s3_fifo);
    let row = |what: &str, larder: f64, peer: (&str, f64), target: Target| {
        Report.row(&Row {
            benchmark: "hit_ratio",
            case: format!("{trace} @ {capacity} {what}"),
            larder,
            unit: "%",
            peer: Some((peer.0.to_owned(), peer.1)),
            ratios: Vec::new(),
            target: to_hundredths(target),
        })
    };
    for (eviction, one, many) in &measured.larder {
        let (recorded, least) = match eviction {
            Eviction::Lru => (("LRU", reference.lru), reference.lru - 0.1),
            Eviction::Sieve => (("SIEVE", reference.sieve), reference.sieve - REIMPLEMENTED),
            Eviction::S3Fifo => (("S3-FIFO", reference.s3_fifo), reference.s3_fifo - REIMPLEMENTED),
            _ => (("best of the three", best), best - 0.5),
        };
        let name = name(*eviction);
        row(name, *one, recorded, Target::AtLeast(least))?;
        row(name, *one, ("OPT", measured.optimum), Target::None)?;
        row(
            name,
            *one,
            ("quick_cache", measured.quick_cache),
            quick_cache_target(*eviction, measured),
        )?;
        row(name, *one, ("moka", measured.moka), Target::None)?;
        let shards = shards(*eviction, *capacity);
        let sharded = format!("{name}, {shards} shards");
        if shards > 1 {
            row(
                &sharded,
                *many,
                ("one shard", *one),
                Target::AtLeast(one - SHARDS_COST),
            )?;
        }
    }
    Ok(())
}

/// What is asked, as it is printed: two digits, like the ratios.
fn to_hundredths(target: Target) -> Target {
    match target {
        Target::AtLeast(least) => Target::AtLeast((least * 100.0).round() / 100.0),
        other => other,
    }
}

/// The pool's contract: S3-FIFO is at most a point below quick_cache.
fn quick_cache_target(eviction: Eviction, measured: &Measured) -> Target {
    match eviction {
        Eviction::S3Fifo => Target::AtLeast(measured.quick_cache - 1.0),
        _ => Target::None,
    }
}

/// Sums over all rows.
#[derive(Default)]
struct Means {
    rows: f64,
    larder: Vec<(Eviction, f64)>,
    quick_cache: f64,
    moka: f64,
}

impl Means {
    fn add(&mut self, measured: &Measured) {
        self.rows += 1.0;
        self.larder.resize(measured.larder.len(), (Eviction::Lru, 0.0));
        for (sum, (eviction, one, _)) in self.larder.iter_mut().zip(&measured.larder) {
            *sum = (*eviction, sum.1 + one);
        }
        self.quick_cache += measured.quick_cache;
        self.moka += measured.moka;
    }

    fn print(self) -> Result<(), Box<dyn Error>> {
        let s3_fifo = self
            .larder
            .iter()
            .find(|(eviction, _)| *eviction == Eviction::S3Fifo);
        let s3_fifo = s3_fifo.map_or(0.0, |(_, sum)| sum / self.rows);
        for (eviction, sum) in &self.larder {
            let target = match eviction {
                Eviction::AdaptiveTinyLfu => Target::AtLeast(s3_fifo + 0.3),
                _ => Target::None,
            };
            for (peer, value) in [("quick_cache", self.quick_cache), ("moka", self.moka)] {
                Report.row(&Row {
                    benchmark: "hit_ratio",
                    case: format!("mean of all {}", name(*eviction)),
                    larder: sum / self.rows,
                    unit: "%",
                    peer: Some((peer.to_owned(), value / self.rows)),
                    ratios: Vec::new(),
                    target: to_hundredths(target),
                })?;
            }
        }
        Ok(())
    }
}

fn shards(eviction: Eviction, capacity: usize) -> usize {
    let most = eviction.shards_max(capacity as u64);
    usize::try_from(most).unwrap_or(SHARDS).min(SHARDS)
}

fn name(eviction: Eviction) -> &'static str {
    match eviction {
        Eviction::S3Fifo => "S3Fifo",
        Eviction::Sieve => "Sieve",
        Eviction::Lru => "Lru",
        Eviction::AdaptiveTinyLfu => "AdaptiveTinyLfu",
        _ => "unknown",
    }
}
