//! What a node and whoever started it say to each other: a line for each thing, in words and numbers.
//!
//! Lines that cannot be read are none: a process that is killed may leave half of one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::checker::Read;

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It serves.
    Ready(Ready),
    /// A read, to be checked.
    Read(Read),
    /// A read of the plain cache beside, to be checked by the same rules.
    Plain(Read),
    /// A commit was acknowledged, of this position, at this time; and which row it changed, with its token.
    Acknowledged {
        position: u64,
        at_nanos: u64,
        row: (u8, i64),
        token: String,
    },
    /// Rows up to this position were applied, at this time.
    Applied { position: u64, at_nanos: u64 },
    /// What was done since the last time.
    Tally(Box<Tally>),
    /// Something did not work, and why: the first that did not.
    Failed(String),
}

/// How a node is that serves from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Where it is read.
    pub(crate) port: u16,
    /// Where the plain cache beside hears of what others have changed; 0 if there is none.
    pub(crate) plain_port: u16,
    /// What it had applied by then.
    pub(crate) applied: u64,
}

/// What a node has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) writes: u64,
    pub(crate) rollbacks: u64,
    pub(crate) failures: u64,
    /// Of the writes, rows that were changed in bursts.
    pub(crate) burst_writes: u64,
    /// Of the plain cache beside.
    pub(crate) plain_reads: u64,
    pub(crate) plain_hits: u64,
    /// Messages to the plain cache of the other node, and those of them that were lost on purpose.
    pub(crate) plain_sent: u64,
    pub(crate) plain_lost: u64,
    /// How many reads took less than 2^n nanoseconds and not less than half of it, for each n.
    pub(crate) times: [u64; 32],
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.writes += other.writes;
        self.rollbacks += other.rollbacks;
        self.failures += other.failures;
        self.burst_writes += other.burst_writes;
        self.plain_reads += other.plain_reads;
        self.plain_hits += other.plain_hits;
        self.plain_sent += other.plain_sent;
        self.plain_lost += other.plain_lost;
        for (own, other) in self.times.iter_mut().zip(other.times) {
            *own += other;
        }
    }

    /// The time that this share of reads did not take longer than, to within a factor of two.
    pub(crate) fn time(&self, share: f64) -> Duration {
        let all: u64 = self.times.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let wanted = all as f64 * share;
        let mut seen = 0;
        for (power, count) in self.times.iter().enumerate() {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
            if *count > 0 && seen as f64 >= wanted {
                return Duration::from_nanos(1 << power);
            }
        }
        Duration::ZERO
    }
}

impl Said {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Said::Ready(ready) => format!("ready {} {} {}", ready.port, ready.plain_port, ready.applied),
            Said::Read(read) => read_to_line("read", read),
            Said::Plain(read) => read_to_line("plain", read),
            Said::Acknowledged {
                position,
                at_nanos,
                row: (kind, id),
                token,
            } => format!("ack {position} {at_nanos} {kind} {id} {token}"),
            Said::Applied { position, at_nanos } => format!("applied {position} {at_nanos}"),
            Said::Failed(why) => format!("failed {}", why.replace(['\r', '\n'], " ")),
            Said::Tally(tally) => {
                let times: Vec<String> = tally.times.iter().map(u64::to_string).collect();
                let Tally {
                    reads,
                    hits,
                    writes,
                    rollbacks,
                    failures,
                    burst_writes,
                    plain_reads,
                    plain_hits,
                    plain_sent,
                    plain_lost,
                    ..
                } = &**tally;
                format!(
                    "tally {reads} {hits} {writes} {rollbacks} {failures} {burst_writes} {plain_reads} {plain_hits} {plain_sent} {plain_lost} {}",
                    times.join(",")
                )
            }
        }
    }

    /// What a line of this node says.
    pub(crate) fn of_line(node: usize, line: &str) -> Option<Self> {
        if let Some(why) = line.strip_prefix("failed ") {
            return Some(Said::Failed(why.to_owned()));
        }
        let mut words = line.split(' ');
        let said = match words.next()? {
            "ready" => Said::Ready(Ready {
                port: words.next()?.parse().ok()?,
                plain_port: words.next()?.parse().ok()?,
                applied: words.next()?.parse().ok()?,
            }),
            "read" => Said::Read(read_of(node, &mut words)?),
            "plain" => Said::Plain(read_of(node, &mut words)?),
            "ack" => Said::Acknowledged {
                position: words.next()?.parse().ok()?,
                at_nanos: words.next()?.parse().ok()?,
                row: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
                token: words.next()?.to_owned(),
            },
            "applied" => Said::Applied {
                position: words.next()?.parse().ok()?,
                at_nanos: words.next()?.parse().ok()?,
            },
            "tally" => Said::Tally(Box::new(tally_of(&mut words)?)),
            _ => return None,
        };
        words.next().is_none().then_some(said)
    }
}

fn read_to_line(word: &str, read: &Read) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let (version, token) = (number(read.version), number(read.token));
    let (kind, id) = read.row;
    format!(
        "{word} {kind} {id} {version} {} {token} {}",
        read.applied, read.began_nanos
    )
}

fn read_of<'a>(node: usize, words: &mut impl Iterator<Item = &'a str>) -> Option<Read> {
    Some(Read {
        node,
        row: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        version: optional(words.next()?)?,
        applied: words.next()?.parse().ok()?,
        token: optional(words.next()?)?,
        began_nanos: words.next()?.parse().ok()?,
    })
}

fn tally_of<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Tally> {
    let mut number = || words.next()?.parse().ok();
    let mut tally = Tally {
        reads: number()?,
        hits: number()?,
        writes: number()?,
        rollbacks: number()?,
        failures: number()?,
        burst_writes: number()?,
        plain_reads: number()?,
        plain_hits: number()?,
        plain_sent: number()?,
        plain_lost: number()?,
        times: [0; 32],
    };
    let mut times = words.next()?.split(',');
    for place in &mut tally.times {
        *place = times.next()?.parse().ok()?;
    }
    Some(tally)
}

/// A number, or that there is none.
pub(crate) fn optional(word: &str) -> Option<Option<u64>> {
    if word == "-" {
        return Some(None);
    }
    word.parse().ok().map(Some)
}

/// Now, by the clock that all processes of a machine share.
#[expect(clippy::disallowed_methods, reason = "the checker has a clock of its own")]
pub(crate) fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let mut times = [0; 32];
        times[9] = 7;
        let read = Read {
            node: 1,
            row: (2, -7),
            version: None,
            applied: 4,
            token: Some(9),
            began_nanos: 5,
        };
        for said in [
            Said::Ready(Ready {
                port: 80,
                plain_port: 0,
                applied: 7,
            }),
            Said::Read(read),
            Said::Plain(read),
            Said::Acknowledged {
                position: 1,
                at_nanos: 2,
                row: (3, 4),
                token: "l1.x".to_owned(),
            },
            Said::Applied {
                position: 1,
                at_nanos: 2,
            },
            Said::Tally(Box::new(Tally {
                reads: 1,
                hits: 2,
                writes: 3,
                rollbacks: 4,
                failures: 5,
                burst_writes: 10,
                plain_reads: 6,
                plain_hits: 7,
                plain_sent: 8,
                plain_lost: 9,
                times,
            })),
        ] {
            let line = said.to_line();
            assert_eq!(Said::of_line(1, &line), Some(said));
            // Half of a line is none, or one that was cut within its last number.
            let half = line.rsplit_once(' ').map_or("", |(half, _)| half);
            assert_eq!(Said::of_line(1, half), None, "{half}");
        }
    }

    #[test]
    fn a_failure_is_told_in_one_line() {
        let said = Said::Failed("it is\nfull".to_owned());
        let heard = Said::of_line(0, &said.to_line());
        assert_eq!(heard, Some(Said::Failed("it is full".to_owned())));
    }

    #[test]
    fn times_are_told_to_within_a_factor_of_two() {
        let mut tally = Tally::default();
        (tally.times[8], tally.times[20]) = (99, 1);
        assert_eq!(tally.time(0.5), Duration::from_nanos(256));
        assert_eq!(tally.time(0.999), Duration::from_nanos(1 << 20));
    }
}
