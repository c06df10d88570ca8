//! What resident keys weigh: one each, which costs nothing to remember, or what each was stored with.

/// What resident keys weigh.
pub(super) trait Weights {
    fn new(keys: usize) -> Self;
    fn of(&self, key: u32) -> u64;
    fn put(&mut self, key: u32, weight: u64);
}

/// Each weighs one.
pub(super) struct Ones;

/// Each has a weight of its own.
pub(super) struct Each(Vec<u64>);

impl Weights for Ones {
    fn new(_keys: usize) -> Self {
        Ones
    }

    fn of(&self, _key: u32) -> u64 {
        1
    }

    fn put(&mut self, _key: u32, _weight: u64) {}
}

impl Weights for Each {
    fn new(keys: usize) -> Self {
        Each(vec![0; keys])
    }

    fn of(&self, key: u32) -> u64 {
        self.0[key as usize]
    }

    fn put(&mut self, key: u32, weight: u64) {
        self.0[key as usize] = weight;
    }
}
