//! Rows of results, printed so that people and `cargo xtask bench` can read them.
//!
//! A row is one line of ten fields separated by tabs: `row`, benchmark, case, Larder's value, unit, peer, the peer's value,
//! their ratio, target, and `met`, `missed` or `info`.

use std::fmt;
use std::io::Write as _;

/// What a measurement is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Larder's value is at most this many times the peer's.
    RatioAtMost(f64),
    /// Larder's value is at least this many times the peer's.
    RatioAtLeast(f64),
    /// Larder's value is at most this, in its own unit.
    AtMost(f64),
    /// Larder's value is at least this, in its own unit.
    AtLeast(f64),
    /// Nothing: the number is told for information.
    None,
}

/// One measurement, beside a peer's or alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The benchmark, by the name that the contract gives it.
    pub benchmark: &'static str,
    /// What was varied, in a few words.
    pub case: String,
    /// Larder's value.
    pub larder: f64,
    /// The unit of both values: `ns`, `B`, `x`, `%`.
    pub unit: &'static str,
    /// The peer and its value.
    pub peer: Option<(String, f64)>,
    /// Larder's value over the peer's in each round, where both were measured side by side; else empty. Their median is the
    /// row's ratio, so that a target is missed when it was missed in most rounds.
    pub ratios: Vec<f64>,
    /// What is asked of Larder's value.
    pub target: Target,
}

impl Row {
    /// Larder's value over the peer's: the median of the rounds, or the quotient of both values.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (_, value) = self.peer.as_ref()?;
        let mut sorted = self.ratios.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied();
        Some(median.unwrap_or(self.larder / value))
    }

    /// Whether the target is met; nothing if there is none. A ratio that cannot be told is not met.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio();
        match self.target {
            Target::RatioAtMost(most) => Some(ratio.is_some_and(|ratio| ratio <= most)),
            Target::RatioAtLeast(least) => Some(ratio.is_some_and(|ratio| ratio >= least)),
            Target::AtMost(most) => Some(self.larder <= most),
            Target::AtLeast(least) => Some(self.larder >= least),
            Target::None => None,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self
            .is_met()
            .map_or("info", |met| if met { "met" } else { "missed" });
        let number = |value| shown(value, self.unit);
        let (peer, value) = match &self.peer {
            Some((peer, value)) => (peer.as_str(), number(*value)),
            None => ("-", "-".to_owned()),
        };
        let told = self.ratio().filter(|ratio| ratio.is_finite());
        let ratio = told.map_or_else(|| "-".to_owned(), ratio_shown);
        let Self {
            benchmark,
            case,
            unit,
            target,
            ..
        } = self;
        let larder = number(self.larder);
        write!(
            f,
            "row\t{benchmark}\t{case}\t{larder}\t{unit}\t{peer}\t{value}\t{ratio}\t{target}\t{verdict}"
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "<= {most} x"),
            Self::RatioAtLeast(least) => write!(f, ">= {least} x"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::None => f.write_str("-"),
        }
    }
}

/// Where rows are printed: standard output, a line each, at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report;

impl Report {
    /// Prints one row.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn row(self, row: &Row) -> std::io::Result<()> {
        writeln!(std::io::stdout().lock(), "{row}")
    }
}

/// Two places, and four where two would say nothing.
fn ratio_shown(ratio: f64) -> String {
    if ratio < 0.05 {
        format!("{ratio:.4}")
    } else {
        format!("{ratio:.2}")
    }
}

/// Three digits are what five rounds can tell apart; a percentage is counted, not timed.
fn shown(value: f64, unit: &str) -> String {
    match value.abs() {
        _ if unit == "%" => format!("{value:.2}"),
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(larder: f64, peer: Option<f64>, target: Target) -> Row {
        let peer = peer.map(|value| ("moka".to_owned(), value));
        Row {
            benchmark: "fence_pin",
            case: "1 target".to_owned(),
            larder,
            unit: "ns",
            peer,
            ratios: Vec::new(),
            target,
        }
    }

    #[test]
    fn a_row_has_ten_fields() {
        let line = row(30.0, Some(120.0), Target::RatioAtMost(1.0)).to_string();
        assert_eq!(
            line,
            "row\tfence_pin\t1 target\t30.0\tns\tmoka\t120\t0.25\t<= 1 x\tmet"
        );
        let line = row(36.0, Some(144_000.0), Target::RatioAtMost(0.01)).to_string();
        assert!(line.contains("\t0.0003\t<= 0.01 x\tmet"), "{line}");
        let line = row(450.0, None, Target::AtMost(400.0)).to_string();
        assert_eq!(line, "row\tfence_pin\t1 target\t450\tns\t-\t-\t-\t<= 400\tmissed");
        assert!(row(1.0, None, Target::None).to_string().ends_with("\t-\tinfo"));
        let percent = Row {
            unit: "%",
            ..row(46.468, None, Target::None)
        };
        assert!(percent.to_string().contains("\t46.47\t%\t"));
    }

    #[test]
    fn a_target_is_met_or_missed() {
        assert_eq!(
            row(3.0, Some(1.0), Target::RatioAtLeast(3.0)).is_met(),
            Some(true)
        );
        assert_eq!(
            row(2.9, Some(1.0), Target::RatioAtLeast(3.0)).is_met(),
            Some(false)
        );
        assert_eq!(row(1.8, None, Target::AtLeast(1.8)).is_met(), Some(true));
        assert_eq!(
            row(1.0, None, Target::RatioAtMost(9.0)).is_met(),
            Some(false),
            "there is no peer"
        );
    }

    #[test]
    fn a_target_is_missed_when_most_rounds_missed_it() {
        let target = Target::RatioAtMost(1.0);
        let in_rounds = |ratios: [f64; 5]| Row {
            ratios: ratios.to_vec(),
            ..row(1.0, Some(1.0), target)
        };
        assert_eq!(in_rounds([9.0, 0.9, 0.8, 9.0, 1.0]).is_met(), Some(true));
        let missed = in_rounds([9.0, 0.9, 0.8, 9.0, 1.1]);
        assert_eq!(missed.is_met(), Some(false));
        assert!(missed.to_string().contains("\t1.10\t"), "{missed}");
    }
}
