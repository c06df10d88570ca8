//! [`Accesses`]: what was done, in order, to keys that are numbered by their first access.

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads the key, and stores it if it was absent. It hits, or it misses.
    Get,
    /// Stores the key, whether it was there or not. No hit and no miss.
    Set,
    /// Removes the key. No hit and no miss.
    Delete,
}

/// In what a capacity is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Each key weighs one.
    Entries,
    /// Each key weighs its size.
    Bytes,
}

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The number of its key.
    pub key: u32,
    /// What it does.
    pub op: Op,
    /// What the key weighs from now on, in the unit that was asked for.
    pub weight: u64,
}

/// Accesses in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    keys: Vec<u32>,
    /// Empty as long as all are reads.
    ops: Vec<Op>,
    /// Empty as long as nothing has a size.
    sizes: Vec<u64>,
    distinct: usize,
}

impl Accesses {
    /// Appends an access of a key of whatever size.
    pub fn push(&mut self, key: u32, op: Op, size: u64) {
        let before = self.keys.len();
        if op != Op::Get && self.ops.is_empty() {
            self.ops.resize(before, Op::Get);
        }
        if op != Op::Get || !self.ops.is_empty() {
            self.ops.push(op);
        }
        if size > 0 && self.sizes.is_empty() {
            self.sizes.resize(before, 0);
        }
        if size > 0 || !self.sizes.is_empty() {
            self.sizes.push(size);
        }
        self.keys.push(key);
        self.distinct = self.distinct.max(key as usize + 1);
    }

    /// Leaves only so many, from the beginning.
    pub fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.ops.truncate(len);
        self.sizes.truncate(len);
        self.distinct = self.keys.iter().max().map_or(0, |key| *key as usize + 1);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.distinct
    }

    /// Whether anything has a size.
    #[must_use]
    pub fn has_sizes(&self) -> bool {
        !self.sizes.is_empty()
    }

    /// In which units it can be simulated.
    #[must_use]
    pub fn units(&self) -> &'static [Unit] {
        if self.has_sizes() {
            &[Unit::Entries, Unit::Bytes]
        } else {
            &[Unit::Entries]
        }
    }

    /// The accesses, weighed in `unit`.
    pub fn iter(&self, unit: Unit) -> impl Iterator<Item = Access> + '_ {
        self.keys.iter().enumerate().map(move |(at, key)| Access {
            key: *key,
            op: self.ops.get(at).copied().unwrap_or(Op::Get),
            weight: match unit {
                Unit::Entries => 1,
                Unit::Bytes => self.sizes.get(at).copied().unwrap_or(0),
            },
        })
    }

    /// The number of each access' key.
    #[must_use]
    pub fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// What each access does; empty if all are reads.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// What is read in all: how often, and how many bytes.
    #[must_use]
    pub fn reads(&self) -> (u64, u128) {
        let reads = self.iter(Unit::Bytes).filter(|access| access.op == Op::Get);
        reads.fold((0, 0), |(count, bytes), access| {
            (count + 1, bytes + u128::from(access.weight))
        })
    }

    /// What all keys weigh together, each with its last size: as much as a cache could need.
    #[must_use]
    pub fn total(&self, unit: Unit) -> u64 {
        let mut last = vec![0; self.distinct];
        for access in self.iter(unit) {
            last[access.key as usize] = access.weight;
        }
        let total: u128 = last.into_iter().map(u128::from).sum();
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}
