//! [`Contrast`]: the same load over a plain cache, beside the pools in the same processes, and judged by the same checker.
//!
//! Such a cache knows of no positions, so nothing that it has applied is held against it. A caller who was told of a commit and then reads an older
//! row is given a stale one all the same. How much is left if only the bound counts is told beside, for it is what such a cache is built for.

use serde::Serialize;

use super::checker::{Change, Checker, Read, RowKey};
use super::figures::percent;
use super::words::Tally;

/// What is known of the plain cache while it runs.
pub(crate) struct Contrast {
    checker: Checker,
    /// Is told the same, but of no token.
    lenient: Checker,
    residents: u64,
    residents_wrong: u64,
}

/// How the plain cache did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Contrasted {
    pub(crate) reads: u64,
    pub(crate) hit_ratio: f64,
    pub(crate) checked: u64,
    /// Reads that were older than a commit that their caller knew of, or than a version acknowledged longer ago than the bound.
    pub(crate) stale: u64,
    /// Those of the second kind.
    pub(crate) stale_beyond_bound: u64,
    /// Entries that were resident at the end, and of them those that would have gone on being read wrongly until their time was over.
    pub(crate) residents: u64,
    pub(crate) residents_wrong: u64,
    /// Invalidations that were sent to the other node, and those of them that were lost on purpose.
    pub(crate) messages: u64,
    pub(crate) messages_lost: u64,
}

impl Contrast {
    pub(crate) fn new(bound_nanos: u64) -> Self {
        Contrast {
            checker: Checker::new(bound_nanos),
            lenient: Checker::new(bound_nanos),
            residents: 0,
            residents_wrong: 0,
        }
    }

    pub(crate) fn learn(&mut self, change: Change) {
        self.checker.learn(change);
        self.lenient.learn(change);
    }

    pub(crate) fn acknowledge(&mut self, position: u64, at_nanos: u64) {
        self.checker.acknowledge(position, at_nanos);
        self.lenient.acknowledge(position, at_nanos);
    }

    pub(crate) fn note(&mut self, read: Read) {
        self.checker.note(read);
    }

    pub(crate) fn take_waiting(&mut self) -> Vec<Read> {
        self.checker.take_waiting()
    }

    pub(crate) fn judge(&mut self, reads: &[Read]) {
        self.checker.judge(reads);
        let untold: Vec<Read> = reads.iter().map(|read| Read { token: None, ..*read }).collect();
        self.lenient.judge(&untold);
    }

    pub(crate) fn stale(&self) -> u64 {
        self.checker.stale()
    }

    /// What is resident at the end.
    pub(crate) fn resident(&mut self, row: RowKey, version: u64) {
        self.residents += 1;
        self.residents_wrong += u64::from(self.checker.now(row) != Some(version));
    }

    pub(crate) fn ended(&self, total: &Tally) -> Contrasted {
        Contrasted {
            reads: total.plain_reads,
            hit_ratio: percent(total.plain_hits, total.plain_reads) / 100.0,
            checked: self.checker.checked(),
            stale: self.checker.stale(),
            stale_beyond_bound: self.lenient.stale(),
            residents: self.residents,
            residents_wrong: self.residents_wrong,
            messages: total.plain_sent,
            messages_lost: total.plain_lost,
        }
    }
}
