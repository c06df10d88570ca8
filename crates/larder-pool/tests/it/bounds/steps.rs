//! What an insert at capacity costs, in counted steps.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

use larder_pool::{Entity, EntityId, Key, Pool, ToKey};

thread_local! {
    static HASHED: Cell<u64> = const { Cell::new(0) };
    static COMPARED: Cell<u64> = const { Cell::new(0) };
    static CLONED: Cell<u64> = const { Cell::new(0) };
    static DROPPED: Cell<u64> = const { Cell::new(0) };
}

fn count(counter: &'static std::thread::LocalKey<Cell<u64>>) {
    counter.set(counter.get() + 1);
}

/// An id that counts what is done with it.
#[derive(Debug)]
struct Counted(u64);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        count(&HASHED);
        self.0.hash(state);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        count(&COMPARED);
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        count(&COMPARED);
        self.0.cmp(&other.0)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        count(&CLONED);
        Counted(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        count(&DROPPED);
    }
}

impl ToKey for Counted {
    fn append_to(&self, out: &mut Vec<u8>) {
        self.0.append_to(out);
    }
}

impl EntityId for Counted {
    fn from_key(key: &Key) -> Option<Self> {
        u64::from_key(key).map(Counted)
    }

    fn key_bytes(&self) -> usize {
        20
    }
}

struct Point(u64);

impl Entity for Point {
    type Id = Counted;
    type Fields = ();

    fn name() -> &'static str {
        "point"
    }

    fn id(&self) -> Counted {
        Counted(self.0)
    }
}

/// What was counted while 1,000 values came into a full pool of so many entries: hashed, compared, cloned, dropped, evicted.
fn steps(entries: u64) -> [u64; 5] {
    let pool = Pool::builder().capacity_entries(entries).build().unwrap();
    for id in 0..entries {
        pool.insert(Point(id)).unwrap();
    }
    let counters = [&HASHED, &COMPARED, &CLONED, &DROPPED];
    let before = counters.map(|counter| counter.get());
    for id in entries..entries + 1_000 {
        pool.insert(Point(id)).unwrap();
    }
    let after = counters.map(|counter| counter.get());
    let [hashed, compared, cloned, dropped] = [0, 1, 2, 3].map(|at| after[at] - before[at]);
    assert_eq!(pool.len() as u64, entries);
    [hashed, compared, cloned, dropped, pool.stats().removals.evicted()]
}

/// How many are many. Without optimisation a million take ten seconds to come in, so there it is a tenth of them.
const MANY: u64 = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

/// The id is hashed once for each, nobody is compared with it, and one leaves: whether there are a thousand or a million.
///
/// Contract: P40 (partial: one leaves for one, at every size)
#[test]
fn regression_18_an_insert_at_capacity_takes_the_same_steps_at_every_size() {
    let few = steps(1_000);
    assert_eq!(few, steps(MANY));
    let [hashed, compared, cloned, dropped, evicted] = few;
    assert_eq!((hashed, compared, cloned), (1_000, 0, 0));
    assert_eq!(
        (dropped, evicted),
        (1_000, 1_000),
        "whoever leaves, and nobody else"
    );
}
