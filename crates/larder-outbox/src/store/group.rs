//! [`Group`]: what a group of workers is to take from the log.

use std::time::Duration;

use larder_core::Namespace;

use crate::Error;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{DEAD_LETTERS_MAX, GROUPS_MAX, KEEP_ACKNOWLEDGED_MAX};

/// A group of workers: each row is taken once by one of them; other groups take it as well.
///
/// A group begins when it is opened for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "give it to a store, or to a relay"]
pub struct Group {
    pub(crate) name: String,
    pub(crate) namespaces: Option<Vec<Namespace>>,
    pub(crate) start: Start,
    pub(crate) keep_acknowledged: Duration,
    pub(crate) dead_letters_max: usize,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest row that is kept.
    #[default]
    Oldest,
    /// After the rows that are there when it begins.
    Head,
}

impl Default for Group {
    fn default() -> Self {
        Group::new("default")
    }
}

impl Group {
    /// A group of this name, 1 to 128 bytes without control characters.
    pub fn new(name: impl Into<String>) -> Self {
        Group {
            name: name.into(),
            namespaces: None,
            start: Start::Oldest,
            keep_acknowledged: Duration::ZERO,
            dead_letters_max: DEAD_LETTERS_MAX.default(),
        }
    }

    /// Rows of these namespaces only; those of entities, collections and everything always count. Fixed when the group begins.
    /// Default: all.
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        let mut namespaces: Vec<Namespace> = namespaces.into_iter().collect();
        namespaces.sort();
        namespaces.dedup();
        self.namespaces = Some(namespaces);
        self
    }

    /// Where the group begins, if it does. Default: [`Start::Oldest`].
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// For how long single rows are kept after they were acknowledged, up to 90 days: a row of a table for each. Default: not at
    /// all.
    pub fn keep_acknowledged(mut self, time: Duration) -> Self {
        self.keep_acknowledged = time;
        self
    }

    /// With so many dead letters the group claims nothing more: 1 to 10^7. Default: 100,000.
    pub fn dead_letters_max(mut self, rows: usize) -> Self {
        self.dead_letters_max = rows;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespaces to which it is limited, sorted; none if to none.
    #[must_use]
    pub fn its_namespaces(&self) -> Option<&[Namespace]> {
        self.namespaces.as_deref()
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        faults.extend(ConfigFault::of_name("group", &self.name));
        if self.namespaces.as_ref().is_some_and(Vec::is_empty) {
            faults.push(ConfigFault {
                option: "namespaces",
                given: "none".to_owned(),
                allowed: "at least one, or all".to_owned(),
            });
        }
        let keep_range = (Duration::ZERO, KEEP_ACKNOWLEDGED_MAX);
        faults.extend(ConfigFault::of_time(
            "keep_acknowledged",
            self.keep_acknowledged,
            keep_range,
        ));
        faults.extend(ConfigFault::of_limit(DEAD_LETTERS_MAX, self.dead_letters_max));
        faults
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        ConfigError::of_any(self.faults())
    }

    /// The fault of beginning one more group than there may be.
    pub(crate) fn one_too_many(&self) -> Error {
        ConfigError::of(vec![ConfigFault {
            option: "group",
            given: format!("{:?}, one more than there may be", self.name),
            allowed: format!("{GROUPS_MAX} groups"),
        }])
    }

    /// The fault of asking for other namespaces than the group has.
    pub(crate) fn other_namespaces(&self, has: &str) -> Error {
        let given = self.namespaces.as_ref().map_or_else(
            || "all".to_owned(),
            |namespaces| {
                let names: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
                names.join(", ")
            },
        );
        ConfigError::of(vec![ConfigFault {
            option: "namespaces",
            given,
            allowed: format!("those with which the group began: {has}"),
        }])
    }
}
