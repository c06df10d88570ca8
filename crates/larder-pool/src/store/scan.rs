//! [`Scan`]: everything that was resident after one commit, whatever writers do meanwhile.
//!
//! What a scan still needs is kept beside the current versions until it ends. It looks at one shard at a time, a page
//! under one lock, and runs nothing foreign while it does.

use std::sync::Arc;

use larder_memory::{Residents, SlotId};

use super::life::Judge;
use super::shard::{FormerVersion, Shard};
use crate::Entity;
use crate::limits::SCAN_ROWS;
use crate::panics::Panics;
use crate::shared::{Believes, Shared};

/// A state that is kept while this lives.
pub(crate) struct Scan<'a, T: Entity> {
    pool: &'a Arc<Shared<T>>,
    sequence: u64,
    believes: Believes,
}

/// One live row of a scan.
pub(crate) struct Row<T> {
    pub(crate) hash: u64,
    pub(crate) value: Arc<T>,
}

impl<'a, T: Entity> Scan<'a, T> {
    /// The state after the last commit that has returned, or a later one.
    pub(crate) fn begin(pool: &'a Arc<Shared<T>>) -> Self {
        let mut ledger = pool.ledger.lock();
        let sequence = ledger.sequence;
        *ledger.scans.entry(sequence).or_default() += 1;
        drop(ledger);
        let believes = pool.believes(&pool.judge());
        Scan {
            pool,
            sequence,
            believes,
        }
    }

    /// The commit after which it looks.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Every live row, shard by shard, in no order that means anything.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<T>> {
        let judge = self.pool.judge();
        let (mut shard, mut place) = (0, 0);
        std::iter::from_fn(move || {
            while shard < self.pool.shards.len() {
                let (rows, next) = self.page(shard, place, &judge);
                match next {
                    Some(next) => place = next,
                    None => (shard, place) = (shard + 1, 0),
                }
                if !rows.is_empty() {
                    return Some(rows);
                }
            }
            None
        })
        .flatten()
    }

    /// The rows of one page of a shard, and where the next one begins.
    fn page(&self, index: usize, from: usize, judge: &Judge<'_>) -> (Vec<Row<T>>, Option<usize>) {
        let shard = self.pool.shards.cell(index).read();
        let former = shard.former.as_ref().map_or(0, |former| former.places);
        let end = shard.entries.places().max(former);
        let until = end.min(from + SCAN_ROWS);
        let mut rows = Vec::new();
        for slot in (from..until).filter_map(SlotId::of_index) {
            rows.extend(self.row(&shard, slot, judge));
        }
        (rows, (until < end).then_some(until))
    }

    /// What stood in a slot after the commit that this looks at, if it is live.
    fn row(&self, shard: &Shard<T>, slot: SlotId, judge: &Judge<'_>) -> Option<Row<T>> {
        let entries = &shard.entries;
        if entries.has(slot) && entries.life(slot).born <= self.sequence {
            let life = entries.life(slot);
            let is_live = entries.death(slot, judge).is_none() && self.believes.allows(life.stored);
            return is_live.then(|| Row {
                hash: entries.hash(slot),
                value: Arc::clone(entries.value(slot)),
            });
        }
        let FormerVersion { version, hash, .. } = shard.former.as_ref()?.at(slot, self.sequence)?;
        let life = &version.life;
        let is_live = judge.death(life).is_none() && self.believes.allows(life.stored);
        is_live.then(|| Row {
            hash: *hash,
            value: Arc::clone(&version.value),
        })
    }
}

impl<T: Entity> Drop for Scan<'_, T> {
    fn drop(&mut self) {
        let mut ledger = self.pool.ledger.lock();
        if let Some(count) = ledger.scans.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                ledger.scans.remove(&self.sequence);
            }
        }
        let mut gone = Vec::new();
        for cell in self.pool.shards.cells() {
            if cell.read().former.is_none() {
                continue;
            }
            let is_needed =
                |former: &FormerVersion<T>| ledger.is_scanned(former.version.life.born, former.died);
            let mut shard = cell.write();
            if let Some(former) = &mut shard.former {
                gone.push(former.prune(is_needed));
                shard.former.take_if(|former| former.is_empty());
            }
        }
        if ledger.relayout && ledger.scans.is_empty() {
            self.pool.lay_out_anew(&mut ledger);
        }
        drop(ledger);
        // A panic of one keeps none of the others from being dropped, and never meets another on its way.
        let mut panics = Panics::default();
        for former in gone.into_iter().flatten() {
            panics.put_off(|| drop(former));
        }
        if !std::thread::panicking() {
            panics.go_on();
        }
    }
}
