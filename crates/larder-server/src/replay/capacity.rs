//! [`Capacity`]: how much a cache may hold, as it is said; [`Capacities`]: what that is for a trace.

use larder_server::trace::limits::CAPACITY_MAX;
use larder_server::trace::{Accesses, Trace, Unit};

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Capacity {
    Entries(u64),
    Bytes(u64),
    /// Of the distinct keys, and of their bytes.
    Percent(f64),
}

const UNITS: [(&str, u64); 5] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("B", 1),
];

impl std::str::FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parsed(text).ok_or_else(|| {
            format!("`{text}` is no number of entries from 1 on (5000), no size (64MiB; B, KiB, MiB, GiB, TiB), and no percentage above 0 and up to 100 (1%)")
        })
    }
}

fn parsed(text: &str) -> Option<Capacity> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok()?;
        return (percent > 0.0 && percent <= 100.0).then_some(Capacity::Percent(percent));
    }
    let within = |amount: &u64| (1..=CAPACITY_MAX).contains(amount);
    let unit = UNITS
        .into_iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, bytes)));
    if let Some((amount, bytes)) = unit {
        let amount: u64 = amount.parse().ok()?;
        return amount.checked_mul(bytes).filter(within).map(Capacity::Bytes);
    }
    text.parse().ok().filter(within).map(Capacity::Entries)
}

/// Capacities in both units, ascending, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capacities {
    pub(crate) entries: Vec<u64>,
    pub(crate) bytes: Vec<u64>,
}

impl Capacities {
    /// What was said, for these accesses.
    pub(crate) fn of(said: &[Capacity], accesses: &Accesses) -> Result<Self, String> {
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for capacity in said {
            match *capacity {
                Capacity::Entries(amount) => entries.push(amount),
                Capacity::Bytes(amount) if accesses.has_sizes() => bytes.push(amount),
                Capacity::Bytes(_) => {
                    return Err(
                        "the trace has no sizes: say --capacity in entries (5000) or in percent (1%)"
                            .to_owned(),
                    );
                }
                Capacity::Percent(percent) => {
                    entries.push(part(accesses.total(Unit::Entries), percent));
                    if accesses.has_sizes() {
                        bytes.push(part(accesses.total(Unit::Bytes), percent));
                    }
                }
            }
        }
        for amounts in [&mut entries, &mut bytes] {
            amounts.sort_unstable();
            amounts.dedup();
        }
        Ok(Capacities { entries, bytes })
    }

    pub(crate) fn in_unit(&self, unit: Unit) -> &[u64] {
        match unit {
            Unit::Entries => &self.entries,
            Unit::Bytes => &self.bytes,
        }
    }

    /// At how many entries pools are driven: the most that was said, or a tenth of the keys.
    pub(crate) fn driven(&self, trace: &Trace) -> u64 {
        let tenth = part(trace.accesses.total(Unit::Entries), 10.0);
        self.entries.last().copied().unwrap_or(tenth)
    }
}

/// So many percent, rounded down; at least 1.
fn part(whole: u64, percent: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, rounded down"
    )]
    let part = (whole as f64 * percent / 100.0) as u64;
    part.clamp(1, CAPACITY_MAX)
}
