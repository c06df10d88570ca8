//! Shards over one budget: what anybody can see stays within the bounds, and nothing leaves without need.

use std::sync::Arc;

use larder_core::sync::Mutex;
use larder_memory::{Bounds, Budget, Charge};
use shuttle::thread;

use crate::explore::{explore, explore_times};

/// Shards that hold the charges of their entries, and what has been evicted so far.
struct Shards {
    budget: Budget,
    shards: Vec<Mutex<Vec<Charge>>>,
    evicted: Mutex<u64>,
}

impl Shards {
    fn new(entries: u64, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(Bounds { entries, bytes }),
            shards: (0..2).map(|_| Mutex::new(Vec::new())).collect(),
            evicted: Mutex::new(0),
        })
    }

    /// As a pool inserts: reserve, evict in the own shard and then in the others until there is room, publish.
    fn insert(&self, shard: usize, charge: Charge) {
        let mut room = self.budget.room();
        while room.fill(charge).is_err() {
            let mut others = (0..self.shards.len()).map(|step| (shard + step) % self.shards.len());
            match others.find_map(|at| self.evict(at)) {
                Some(left) => room.take_over(left),
                None => {
                    room.give_back();
                    thread::yield_now();
                }
            }
        }
        self.shards[shard].lock().push(charge);
        room.keep(charge);
    }

    fn evict(&self, shard: usize) -> Option<Charge> {
        let mut entries = self.shards[shard].lock();
        let left = (!entries.is_empty()).then(|| entries.remove(0))?;
        *self.evicted.lock() += 1;
        Some(left)
    }

    fn remove(&self, shard: usize) {
        let left = self.shards[shard].lock().pop();
        if let Some(left) = left {
            self.budget.release(left);
        }
    }

    /// What is resident at one moment: all shards are locked, in order.
    fn resident(&self) -> (u64, u64) {
        let shards: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        let entries = shards.iter().map(|shard| shard.len() as u64).sum();
        let bytes = shards
            .iter()
            .flat_map(|shard| shard.iter().map(|charge| charge.bytes));
        (entries, bytes.sum())
    }
}

/// Writers insert, evict and remove in two shards while somebody looks. Some pairs are too many bytes and some threes too many
/// entries: residents and reservations stay within both bounds
/// at every moment, and in the end what is reserved is what is resident.
///
/// Contract: P38 (partial: the budget, without a pool)
#[test]
fn residents_never_exceed_the_bounds() {
    explore("residents_never_exceed_the_bounds", || {
        let shards = Shards::new(2, 7);
        let writers: Vec<_> = (0..3_usize)
            .map(|number| {
                let shards = Arc::clone(&shards);
                thread::spawn(move || {
                    shards.insert(number % 2, Charge::entry(3 + number as u64));
                    shards.insert((number + 1) % 2, Charge::entry(1));
                    shards.remove(number % 2);
                })
            })
            .collect();
        for _ in 0..4 {
            let (entries, bytes) = shards.resident();
            assert!(
                entries <= 2 && bytes <= 7,
                "{entries} entries, {bytes} bytes are seen"
            );
            let used = shards.budget.used();
            assert!(used.entries <= 2 && used.bytes <= 7, "{used:?} is reserved");
        }
        for writer in writers {
            writer.join().unwrap();
        }
        let used = shards.budget.used();
        assert_eq!(shards.resident(), (used.entries, used.bytes), "room has leaked");
    });
}

/// Two values that fit are inserted while a third, of which nothing fits, is refused again and again: its refusals take
/// no room from the others even for a moment, so nothing is evicted.
///
/// Contract: P40 (partial: the budget, without a pool)
#[test]
fn a_refusal_makes_nobody_evict() {
    explore("a_refusal_makes_nobody_evict", || {
        let shards = Shards::new(2, 10);
        let refused = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(shards.budget.room().fill(Charge::entry(11)).is_err());
                    let many = Charge { entries: 3, bytes: 1 };
                    assert!(shards.budget.room().fill(many).is_err());
                }
            })
        };
        let writer = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || shards.insert(0, Charge::entry(5)))
        };
        shards.insert(1, Charge::entry(5));
        writer.join().unwrap();
        refused.join().unwrap();
        assert_eq!(*shards.evicted.lock(), 0, "there was room");
        assert_eq!(shards.resident(), (2, 10));
    });
}

/// Two values, each more than half of the whole, evict what is there for themselves at the same time: both get through,
/// one after the other, whichever way the victims were shared out between them.
///
/// Contract: P40 (partial: the budget, without a pool)
#[test]
fn two_large_values_do_not_wait_for_each_other() {
    explore_times("two_large_values_do_not_wait_for_each_other", 2, || {
        let shards = Shards::new(10, 10);
        for shard in [0, 1, 0, 1] {
            shards.insert(shard, Charge::entry(2));
        }
        let other = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || shards.insert(0, Charge::entry(7)))
        };
        shards.insert(1, Charge::entry(7));
        other.join().unwrap();
        let (entries, bytes) = shards.resident();
        assert!(bytes <= 10 && entries <= 2, "{entries} entries, {bytes} bytes");
        assert_eq!(shards.budget.used(), Charge { entries, bytes });
    });
}
