//! The options of runs that take as long as they are told to: `[name] --seed N --minutes M`.

use crate::shell::{Failure, Stopwatch};
use std::time::Duration;

/// What a long run was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The one thing to run, or nothing for all.
    pub(crate) name: Option<String>,
    /// The first seed. Default: 0.
    pub(crate) seed: u64,
    /// How long everything together may take. Default: 1 minute.
    pub(crate) limit: Duration,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            name: None,
            seed: 0,
            limit: Duration::from_secs(60),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut number = || -> Result<u64, Failure> {
                let value = rest.next().and_then(|value| value.parse().ok());
                value.ok_or_else(|| Failure::usage(format!("{argument} needs a whole number")))
            };
            match argument.as_str() {
                "--seed" => options.seed = number()?,
                "--minutes" => options.limit = Duration::from_secs(number()?.saturating_mul(60)),
                name if !name.starts_with('-') && options.name.is_none() => {
                    options.name = Some(name.to_owned())
                }
                other => {
                    return Err(Failure::usage(format!(
                        "`{other}`: usage: [name] --seed N --minutes M"
                    )));
                }
            }
        }
        Ok(options)
    }

    /// The share of the time that each of `count` runs gets.
    pub(crate) fn share(&self, count: usize) -> Duration {
        self.limit / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
    }
}

/// The seeds from the first on, until the time is over; at least one.
pub(crate) fn seeds_for(first: u64, time: Duration) -> impl Iterator<Item = u64> {
    let watch = Stopwatch::start();
    (first..).take_while(move |seed| *seed == first || watch.elapsed() < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Failure> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["storage", "--seed", "7", "--minutes", "3"]).expect("well formed");
        let expected = Options {
            name: Some("storage".to_owned()),
            seed: 7,
            limit: Duration::from_secs(180),
        };
        assert_eq!(options, expected);
        assert_eq!(options.share(3), Duration::from_secs(60));
        for words in [&["--seed"][..], &["--minutes", "x"], &["--fast"], &["a", "b"]] {
            assert_eq!(parse(words).expect_err("malformed").code, 2, "{words:?}");
        }
    }

    #[test]
    fn a_run_without_time_tries_one_seed() {
        assert_eq!(seeds_for(5, Duration::ZERO).collect::<Vec<_>>(), [5]);
    }
}
