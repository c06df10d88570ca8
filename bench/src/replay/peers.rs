//! The other engines, as their users set them up: bounded in entries, otherwise with their defaults.

use super::Engine;

/// `quick_cache`, in one shard so that its order is over the whole.
pub struct QuickCache(quick_cache::unsync::Cache<u64, ()>);

impl QuickCache {
    /// An empty cache of `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(quick_cache::unsync::Cache::new(capacity))
    }
}

impl Engine for QuickCache {
    fn access(&mut self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn resident(&mut self) -> usize {
        self.0.len()
    }
}

/// `moka`, the synchronous one. Its upkeep is run at each look, as its threads would.
pub struct Moka(moka::sync::Cache<u64, ()>);

impl Moka {
    /// An empty cache of `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(moka::sync::Cache::new(capacity as u64))
    }
}

impl Engine for Moka {
    fn access(&mut self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn resident(&mut self) -> usize {
        self.0.run_pending_tasks();
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }
}
