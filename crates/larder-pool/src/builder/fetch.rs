//! How a pool loads: the options of its builder that concern loads, and what is wrong with them.

use std::sync::Arc;
use std::time::Duration;

use super::{PoolBuilder, out_of_range};
use crate::config::Capacity;
use crate::limits::{
    BATCHER_IDS_MAX, CAPACITY_ENTRIES_MAX, FLIGHTS_MAX, LOADER_TIMEOUT_MAX, REFRESH_AHEAD_MAX,
};
use crate::{BuildError, Entity, FetchConfig, Loader};

impl<T: Entity> PoolBuilder<T> {
    /// The pool's own way to its source, for [`Pool::fetch`](crate::Pool::fetch) and
    /// [`Pool::fetch_many`](crate::Pool::fetch_many). Default: none.
    pub fn loader<L: Loader<T>>(mut self, loader: L) -> Self {
        self.loader = Some(Arc::new(loader));
        self.loader_label.get_or_insert(std::any::type_name::<L>());
        self
    }

    /// What the loader is called where it is told who brought a value. Default: the name of its type.
    pub fn loader_label(mut self, label: &'static str) -> Self {
        self.loader_label = Some(label);
        self
    }

    /// Gathers the ids of single calls of [`Pool::fetch`](crate::Pool::fetch) for up to `window`, at most `max_ids` of them,
    /// 1 to 65,536, for one call of the loader's `load_many`. Needs a loader and a runtime. Default: each id by itself.
    pub fn batcher(mut self, max_ids: usize, window: Duration) -> Self {
        self.fetch.batcher = Some((max_ids, window));
        self
    }

    /// How long a loader may take: more than nothing, at most an hour; needs a runtime. Default: as long as it likes.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.fetch.timeout = Some(time);
        self
    }

    /// How long a call waits before it takes a stale value, if there is one; needs a runtime. Values stay resident past
    /// their time to live for as long as [`PoolBuilder::stale_while_revalidate`] or [`PoolBuilder::stale_on_error`] says.
    /// Default: until the load is done.
    pub fn soft_timeout(mut self, time: Duration) -> Self {
        self.fetch.soft_timeout = Some(time);
        self
    }

    /// Loads go on when nobody waits for them any more; needs a runtime. Default: they are dropped.
    pub fn detach(mut self) -> Self {
        self.fetch.detach = true;
        self
    }

    /// How long it is remembered that the source has no such entity, not zero. Default: not at all.
    pub fn negative_ttl(mut self, time: Duration) -> Self {
        self.fetch.negative_ttl = Some(time);
        self
    }

    /// Of how many ids that is remembered: 1 to the pool's capacity. Default: 4,096, or the capacity if that is less.
    pub fn negative_entries(mut self, ids: usize) -> Self {
        self.negative_entries = Some(ids);
        self
    }

    /// For how long after its time to live a value is served by calls that load, while one background load renews it; not
    /// zero, needs a runtime. Default: not at all.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.fetch.stale_while_revalidate = Some(time);
        self
    }

    /// For how long after its time to live a value is served when loading it fails, not zero. Default: not at all.
    pub fn stale_on_error(mut self, time: Duration) -> Self {
        self.fetch.stale_on_error = Some(time);
        self
    }

    /// For how long after a failure an id with a stale value is not loaded again. Default: a second.
    pub fn error_hold(mut self, time: Duration) -> Self {
        self.fetch.error_hold = time;
        self
    }

    /// A hit with less than this part of its time to live left, more than 0 and at most 0.9, starts a background load with
    /// that caller's loader; needs a runtime. Default: none does.
    pub fn refresh_ahead(mut self, part: f64) -> Self {
        self.fetch.refresh_ahead = Some(part);
        self
    }

    /// How long a call with a token waits until the node has applied it. Default: 100 ms.
    pub fn wait_at_most(mut self, time: Duration) -> Self {
        self.fetch.wait_at_most = time;
        self
    }

    /// How many ids may be loaded at once: 1 to 2^20. Default: 65,536.
    pub fn flights(mut self, ids: usize) -> Self {
        self.fetch.flights = ids;
        self
    }

    /// Finds what is wrong with the options above. How loads are done, if nothing is.
    pub(super) fn check_fetch(
        &self,
        capacity: Capacity,
        has_runtime: bool,
        faults: &mut Vec<BuildError>,
    ) -> FetchConfig {
        let mut fetch = self.fetch;
        self.check_fetch_times(faults);
        if !(1..=FLIGHTS_MAX).contains(&fetch.flights) {
            faults.push(out_of_range("flights", fetch.flights, "1 to 2^20"));
        }
        // Also refuses what is no number.
        if let Some(part) = fetch.refresh_ahead
            && !(part > 0.0 && part <= REFRESH_AHEAD_MAX)
        {
            faults.push(out_of_range("refresh_ahead", part, "more than 0, at most 0.9"));
        }
        if let Some((ids, _)) = fetch.batcher {
            if !(1..=BATCHER_IDS_MAX).contains(&ids) {
                faults.push(out_of_range("batcher", ids, "1 to 65,536 ids"));
            }
            if self.loader.is_none() {
                faults.push(out_of_range("batcher", "without a loader", "beside a loader"));
            }
        }
        let entries = capacity.entries.unwrap_or(CAPACITY_ENTRIES_MAX);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        match self.negative_entries {
            Some(ids) if ids == 0 || ids > entries => {
                faults.push(out_of_range(
                    "negative_entries",
                    ids,
                    "1 to the capacity in entries",
                ));
            }
            Some(ids) => fetch.negative_entries = ids,
            None => fetch.negative_entries = fetch.negative_entries.min(entries),
        }
        if !has_runtime {
            let missing = fetch.needing_runtime();
            faults.extend(missing.map(|option| BuildError::NeedsRuntime { option }));
        }
        fetch
    }

    fn check_fetch_times(&self, faults: &mut Vec<BuildError>) {
        let fetch = &self.fetch;
        let times = [
            ("timeout", fetch.timeout),
            ("soft_timeout", fetch.soft_timeout),
            ("negative_ttl", fetch.negative_ttl),
            ("stale_while_revalidate", fetch.stale_while_revalidate),
            ("stale_on_error", fetch.stale_on_error),
        ];
        for (option, time) in times {
            if time == Some(Duration::ZERO) {
                faults.push(out_of_range(option, "0 s", "more than nothing"));
            }
        }
        if let Some(time) = fetch.timeout.filter(|time| *time > LOADER_TIMEOUT_MAX) {
            faults.push(out_of_range("timeout", format!("{time:?}"), "at most an hour"));
        }
    }
}
