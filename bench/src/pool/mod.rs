//! The typed pool beside other caches and maps: the benchmarks of the pool's contract, section 20, with its targets.
//!
//! Unless a benchmark says otherwise there are 100,000 entries under numbers, values of 24 bytes in an `Arc`, and uniform
//! random keys; the pool has its default policy, its counters and its own fence. Queries, indexes, deltas, tiers and
//! containers have no benchmark here before the pool has them.
//!
//! Always true: every subject of a comparison holds the same values under the same keys, hands out an `Arc` and takes a new
//! one, and runs with the settings that its documentation calls fast. Where a peer lacks an operation it is left out of the
//! rows that need it: `quick_cache` and papaya have no time to live, papaya no capacity and no fetch.

mod churn;
mod engines;
mod fetch;
mod get;
mod herd;
mod insert;
mod keys;
mod memory;
mod mixed;
mod writing;

pub use churn::expiry_churn;
pub use fetch::{fetch_hit, fetch_miss};
pub use get::{get, get_two_threads};
pub use herd::fetch_herd;
pub use insert::{insert, insert_at_capacity};
pub use memory::memory;
pub use mixed::mixed_zipf;
pub use writing::get_while_writing;

use crate::Outcome;
use crate::{Measured, Report, Row, Target};

/// How many entries there are, unless a benchmark says otherwise.
const ENTRIES: u64 = 100_000;
/// Room for twice as many: an engine in shards evicts from a full shard while another has room, and these evict nothing.
const ROOMY: u64 = 2 * ENTRIES;

/// What is compared of two subjects.
#[derive(Clone, Copy)]
enum Unit {
    /// How long an operation took.
    Nanoseconds,
    /// How many millions of operations were done in a second.
    Throughput,
}

/// The rows of one benchmark, whose subjects were measured side by side.
struct Rows<'a> {
    report: Report,
    benchmark: &'static str,
    unit: Unit,
    measured: &'a [Measured],
}

impl Rows<'_> {
    /// A row for each of the peers: what `larder` took in this case, beside what the peer did.
    fn beside(&self, case: &str, larder: &str, peers: &[(&str, Target)]) -> Outcome {
        let larder = self.named(larder);
        for (name, target) in peers {
            let peer = self.named(name);
            let (value, unit): (fn(&Measured) -> f64, _) = match self.unit {
                Unit::Nanoseconds => (Measured::nanoseconds, "ns"),
                Unit::Throughput => (|one| one.per_second() / 1e6, "M/s"),
            };
            let ratios = match self.unit {
                Unit::Nanoseconds => larder.over(peer),
                Unit::Throughput => peer.over(larder),
            };
            self.report.row(&Row {
                benchmark: self.benchmark,
                case: case.to_owned(),
                larder: value(larder),
                unit,
                peer: Some(((*name).to_owned(), value(peer))),
                ratios,
                target: *target,
            })?;
        }
        Ok(())
    }

    fn named(&self, name: &str) -> &Measured {
        let mut measured = self.measured.iter();
        let found = measured.find(|one| one.name() == name);
        found.unwrap_or_else(|| panic!("`{name}` was measured"))
    }
}
