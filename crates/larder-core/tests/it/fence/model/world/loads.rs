//! Steps of loads and entries: pins, values from the source and from copies, late targets, and what comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_core::{Journal, Pin};

use super::super::oracle::{Verdict, closure};
use super::{Entry, Saved, Value, World, nth_of, recent_of};

/// Few, so that a target is often held by nobody: then only ring and journal know of its invalidations.
const ENTRIES_MAX: usize = 8;

impl World {
    pub(super) fn pin(&mut self, targets: &[usize]) {
        let pin = self.fence.pin(&self.named(targets)).unwrap();
        assert!(pin.is_fresh(), "M2: nothing has happened since");
        let at = self.oracle.now();
        self.keep(pin, targets, at, None);
    }

    fn keep(&mut self, pin: Pin, targets: &[usize], at: u64, value: Option<Value>) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(0);
        }
        self.entries.push(Entry {
            pin,
            held: closure(targets.iter().copied()),
            at,
            dead: false,
            compared: false,
            value,
        });
    }

    pub(super) fn read(&mut self, nth: u8, lane: usize) {
        let position = self.head(lane);
        if let Some(nth) = nth_of(self.entries.len(), nth) {
            let entry = &mut self.entries[nth];
            entry.value.get_or_insert(Value { lane, position });
        }
    }

    pub(super) fn read_copy(&mut self, nth: u8, lane: usize, behind: u8) {
        let position = self.head(lane).saturating_sub(u64::from(behind % 6));
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        if entry.value.is_some() {
            return;
        }
        let verdict = self.oracle.as_of(&entry.held, lane, position);
        let accepted = entry.pin.as_of(self.logs[lane].at(position)).is_ok();
        assert!(
            verdict.allows(accepted),
            "copy at {position}: {verdict:?}, accepted: {accepted}"
        );
        self.refused_as_of += u64::from(!accepted);
        entry.dead |= !accepted;
        entry.compared |= accepted;
        entry.value = Some(Value { lane, position });
    }

    pub(super) fn read_unknown(&mut self, nth: u8, hold: u64) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        let verdict = self.oracle.as_of_unknown(&entry.held, hold);
        let accepted = entry.pin.as_of_unknown(Duration::from_millis(100 * hold)).is_ok();
        assert!(
            verdict.allows(accepted),
            "hold {hold}: {verdict:?}, accepted: {accepted}"
        );
        self.refused_as_of += u64::from(!accepted);
        entry.dead |= !accepted;
        entry.compared |= accepted;
    }

    pub(super) fn extend(&mut self, nth: u8, targets: &[usize]) {
        let named = self.named(targets);
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        let late = closure(targets.iter().copied());
        let verdict = match self.oracle.extend(&entry.held, entry.at, &late) {
            _ if entry.compared && !late.is_subset(&entry.held) => Verdict::Refuse,
            _ if entry.dead && !late.is_subset(&entry.held) => Verdict::Either,
            verdict => verdict,
        };
        let accepted = entry.pin.extend(&named).is_ok();
        assert!(
            verdict.allows(accepted),
            "{late:?} late: {verdict:?}, accepted: {accepted}"
        );
        self.refused_too_old += u64::from(!accepted);
        if accepted {
            entry.held.extend(late);
        } else {
            entry.dead = true;
        }
    }

    pub(super) fn clone_entry(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &self.entries[nth];
        let (dead, compared, pin, held) = (
            entry.dead,
            entry.compared,
            entry.pin.clone(),
            entry.held.iter().copied().collect::<Vec<_>>(),
        );
        self.keep(pin, &held, entry.at, entry.value);
        let clone = self.entries.last_mut().unwrap();
        (clone.dead, clone.compared) = (dead, compared);
    }

    pub(super) fn save(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &self.entries[nth];
        if !entry.dead {
            self.saved.push(Saved {
                started: entry.pin.started(),
                targets: entry.held.iter().copied().collect(),
                at: entry.at,
                value: entry.value,
            });
        }
    }

    pub(super) fn resume(&mut self, nth: u8) {
        let Some(nth) = recent_of(self.saved.len(), nth) else {
            return;
        };
        let saved = self.saved.swap_remove(nth);
        let held = closure(saved.targets.iter().copied());
        let verdict = self.oracle.extend(&BTreeSet::new(), saved.at, &held);
        let resumed = self
            .fence
            .resume(self.fence.run(), saved.started, &self.named(&saved.targets));
        assert!(
            verdict.allows(resumed.is_some()),
            "{verdict:?}, resumed: {}",
            resumed.is_some()
        );
        self.refused_too_old += u64::from(resumed.is_none());
        if let Some(pin) = resumed {
            self.keep(pin, &saved.targets, saved.at, saved.value);
        }
    }

    pub(super) fn restore(&mut self, nth: u8) {
        let Some(nth) = recent_of(self.saved.len(), nth) else {
            return;
        };
        let saved = self.saved.swap_remove(nth);
        let held = closure(saved.targets.iter().copied());
        let verdict = self
            .oracle
            .restore(&held, saved.at, saved.started < self.table.floor());
        let restored = self.disk.restore(saved.started, &self.named(&saved.targets));
        assert!(
            verdict.allows(restored.is_some()),
            "{verdict:?}, restored: {}",
            restored.is_some()
        );
        if let Some(pin) = restored {
            self.keep(pin, &saved.targets, saved.at, saved.value);
        }
    }
}
