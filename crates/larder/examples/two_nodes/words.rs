//! What the processes say to each other: lines of words.

use larder::{Clock as _, Moment, SystemClock, Token};

/// Now, by a clock that all processes of the machine share.
pub(crate) fn now_nanos() -> u64 {
    SystemClock::default()
        .monotonic()
        .since(Moment::ORIGIN)
        .as_nanos()
        .try_into()
        .unwrap_or(u64::MAX)
}

/// A commit, told by the process that has made it.
#[derive(Clone, Debug)]
pub(crate) struct Wrote {
    pub(crate) row: u64,
    pub(crate) version: u64,
    /// When the commit returned.
    pub(crate) at_nanos: u64,
    pub(crate) token: Token,
}

/// What a process has done since it last said so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) loads: u64,
    pub(crate) stale: u64,
    pub(crate) late: u64,
}

/// A line that a process says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// It serves reads, and is sure of them.
    Ready,
    Wrote(Wrote),
    /// A commit of the other process was applied here so long after it returned there.
    Lag(u64),
    Tally(Tally),
}

impl Said {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Said::Ready => "ready".to_owned(),
            Said::Wrote(wrote) => wrote.to_line(),
            Said::Lag(nanos) => format!("lag {nanos}"),
            Said::Tally(tally) => {
                let Tally {
                    reads,
                    loads,
                    stale,
                    late,
                } = tally;
                format!("tally {reads} {loads} {stale} {late}")
            }
        }
    }

    /// None if it is no such line.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split(' ').map(|number| number.parse().ok());
        let mut number = || numbers.next().flatten();
        Some(match word {
            "ready" => Said::Ready,
            "wrote" => Said::Wrote(Wrote::of_line(line)?),
            "lag" => Said::Lag(number()?),
            "tally" => Said::Tally(Tally {
                reads: number()?,
                loads: number()?,
                stale: number()?,
                late: number()?,
            }),
            _ => return None,
        })
    }
}

impl Wrote {
    pub(crate) fn to_line(&self) -> String {
        let Wrote {
            row,
            version,
            at_nanos,
            token,
        } = self;
        format!("wrote {row} {version} {at_nanos} {token}")
    }

    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        Some(Wrote {
            row: words.next()?.parse().ok()?,
            version: words.next()?.parse().ok()?,
            at_nanos: words.next()?.parse().ok()?,
            token: words.next()?.parse().ok()?,
        })
    }
}
