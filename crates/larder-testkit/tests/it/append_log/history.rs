//! [`History`]: what a test knows that a log was told and has answered, and what therefore may be found after a crash.
//!
//! Written from the contract alone. Times are steps of the disk: what begins at step `s` may show from step `s + 1` on.

use std::collections::BTreeMap;

/// What was asked of a log and what it said.
#[derive(Debug, Default)]
pub(super) struct History {
    attempts: Vec<Attempt>,
    /// For each index the step since which its record is durable, and the record.
    settled: BTreeMap<u64, (u64, Vec<u8>)>,
    removals: Vec<Removal>,
}

#[derive(Debug)]
struct Attempt {
    begun: u64,
    index: u64,
    payload: Vec<u8>,
    /// Since when it is known that this record is not there.
    refused: Option<u64>,
}

#[derive(Debug)]
struct Removal {
    begun: u64,
    answered: Option<u64>,
    /// The first index if it is done.
    first: u64,
}

impl History {
    /// A record is about to be appended.
    pub(super) fn begin_append(&mut self, step: u64, index: u64, payload: &[u8]) {
        self.attempts.push(Attempt {
            begun: step,
            index,
            payload: payload.to_vec(),
            refused: None,
        });
    }

    /// The append that was begun last was refused: it will never show.
    pub(super) fn refused(&mut self, step: u64) {
        self.attempts.last_mut().unwrap().refused = Some(step);
    }

    /// All records below `next` that were appended are durable.
    pub(super) fn durable(&mut self, step: u64, next: u64) {
        for index in 0..next {
            let attempt = self
                .attempts
                .iter()
                .rev()
                .find(|attempt| attempt.index == index && attempt.refused.is_none());
            let payload = attempt.expect("a durable record was appended").payload.clone();
            self.settled.entry(index).or_insert((step, payload));
        }
    }

    /// The log was opened and served these records, so they are durable and no others are there.
    pub(super) fn served(&mut self, step: u64, first: u64, records: &[Vec<u8>]) -> Result<(), String> {
        self.check(step, first, records)?;
        let next = first + u64::try_from(records.len()).unwrap();
        for (index, record) in (first..).zip(records) {
            self.settled
                .entry(index)
                .or_insert_with(|| (step, record.clone()));
        }
        for attempt in &mut self.attempts {
            let found = attempt
                .index
                .checked_sub(first)
                .and_then(|at| records.get(usize::try_from(at).unwrap()));
            if attempt.index >= next || found.is_some_and(|found| *found != attempt.payload) {
                attempt.refused.get_or_insert(step);
            }
        }
        // A removal that was in doubt is decided: done, or not done and not to be done later.
        self.removals
            .retain(|removal| removal.answered.is_some() || removal.first <= first);
        for removal in &mut self.removals {
            removal.answered.get_or_insert(step);
        }
        Ok(())
    }

    /// A removal after which the log begins at `first` is about to be asked for.
    pub(super) fn begin_removal(&mut self, step: u64, first: u64) {
        self.removals.push(Removal {
            begun: step,
            answered: None,
            first,
        });
    }

    /// The removal that was begun last is done.
    pub(super) fn removed(&mut self, step: u64) {
        self.removals.last_mut().unwrap().answered = Some(step);
    }

    /// The removal that was begun last was refused: nothing was removed.
    pub(super) fn not_removed(&mut self) {
        self.removals.pop();
    }

    /// Whether a log that crashed after `step` may hold these records.
    pub(super) fn check(&self, step: u64, first: u64, records: &[Vec<u8>]) -> Result<(), String> {
        let next = first + u64::try_from(records.len()).unwrap();
        let settled = self.settled.iter().filter(|(_, (since, _))| *since <= step);
        for (index, (_, payload)) in settled {
            let found = index
                .checked_sub(first)
                .and_then(|at| records.get(usize::try_from(at).unwrap()));
            match found {
                Some(found) if found == payload => {}
                Some(_) => return Err(format!("record {index} was acknowledged and is another")),
                None if *index >= next => return Err(format!("record {index} was acknowledged and is gone")),
                None => {}
            }
        }
        let removed = |removal: &&Removal| removal.answered.is_some_and(|answered| answered <= step);
        let least = self
            .removals
            .iter()
            .filter(removed)
            .map(|removal| removal.first)
            .max()
            .unwrap_or(0);
        let begun = self
            .removals
            .iter()
            .any(|removal| removal.begun < step && removal.first == first);
        if first < least || (first != 0 && !begun) {
            return Err(format!("begins at {first}, which nobody asked for"));
        }
        self.check_origin(step, first, records)
    }

    /// Whether each of these records was appended, as this one and not refused, before `step`.
    pub(super) fn check_origin(&self, step: u64, first: u64, records: &[Vec<u8>]) -> Result<(), String> {
        for (index, record) in (first..).zip(records) {
            let known = self.attempts.iter().any(|attempt| {
                attempt.index == index
                    && attempt.payload == *record
                    && attempt.begun < step
                    && attempt.refused.is_none_or(|refused| refused > step)
            });
            if !known {
                return Err(format!(
                    "record {index} of {} bytes is there though it must not be",
                    record.len()
                ));
            }
        }
        Ok(())
    }
}
