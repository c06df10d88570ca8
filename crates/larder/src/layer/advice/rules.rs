//! The rules of the advisor: each looks at one thing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::BoxFuture;
use larder_core::sync::Ordering;
use larder_outbox::HealthReason;
use larder_pool::AnyPool;

use super::super::Shared;
use super::super::limits::{POOLS_MAX, WATCHED_MAX};
use super::super::waker::Waker;
use super::{Advice, AdviceCode};

/// How long a database may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What part of the memory there is pools may fill.
const MEMORY_SHARE: f64 = 0.8;
/// After how many rows an entity that none of them named is strange.
const ROWS_WITHOUT_A_NAME: u64 = 10_000;
/// So many entries that end together are too many.
const ENDING_TOGETHER: u64 = 1_000;
/// How many entries are looked at for that.
const SAMPLED: usize = 128;
/// Entries that end within so little time end together.
const TOGETHER: Duration = Duration::from_millis(10);
/// What part of a limit may be in use.
const LIMIT_SHARE: f64 = 0.9;
/// How many places in the code are named.
const PLACES_NAMED: usize = 3;

impl Shared {
    /// Everything that is to be said now.
    pub(super) async fn rules(&self) -> Vec<Advice> {
        let pools = self.registry.pools();
        let mut found = Vec::new();
        found.extend(memory(&pools));
        found.extend(self.silent_transactions());
        found.extend(debug_build());
        found.extend(self.limits());
        found.extend(self.wakers.iter().filter_map(Waker::advice));
        found.extend(self.unverified(&pools));
        for pool in &pools {
            found.extend(self.without_an_end(&**pool));
            found.extend(self.never_named(&**pool));
            found.extend(ending_together(&**pool));
        }
        for log in &self.logs {
            // A database that cannot be asked is told of by the follower.
            if let Some(Ok(weaknesses)) = self.within(log.weaknesses()).await {
                found.extend(
                    weaknesses
                        .into_iter()
                        .map(|text| Advice::new(AdviceCode::A11, text)),
                );
            }
            if let Some(Ok(health)) = self.within(log.health()).await {
                found.extend(health.reasons().iter().filter_map(of_log));
            }
        }
        found
    }

    /// An answer of a database, if it comes in time.
    async fn within<T>(&self, answer: BoxFuture<'_, T>) -> Option<T> {
        match select(answer, self.runtime.sleep(ANSWER_WITHIN)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => {
                tracing::warn!("the advisor was given no answer by a database");
                None
            }
        }
    }

    /// A04.
    fn without_an_end(&self, pool: &dyn AnyPool) -> Option<Advice> {
        let is_without = self.followed.is_empty() && !pool.expires();
        let text = || {
            format!(
                "{} is told of no change, and nothing in it ever expires",
                named(pool)
            )
        };
        is_without.then(|| Advice::new(AdviceCode::A04, text()))
    }

    /// A07.
    fn silent_transactions(&self) -> Option<Advice> {
        let silent = self.silent.lock();
        let mut places: Vec<String> = silent.iter().map(ToString::to_string).collect();
        drop(silent);
        places.sort();
        let first = places
            .iter()
            .take(PLACES_NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let text = format!(
            "transactions at {} places changed rows and recorded nothing: {first}",
            places.len()
        );
        (!places.is_empty()).then(|| Advice::new(AdviceCode::A07, text))
    }

    /// A08.
    fn never_named(&self, pool: &dyn AnyPool) -> Option<Advice> {
        let named_by = &self.advisor.named;
        let rows = named_by.rows.load(Ordering::Relaxed);
        if rows < ROWS_WITHOUT_A_NAME || named_by.all.load(Ordering::Relaxed) > 0 || pool.stats().entries == 0
        {
            return None;
        }
        let entities = named_by.entities.lock();
        let is_named = entities.iter().any(|entity| entity.as_str() == pool.name());
        let text = || {
            format!(
                "{} is kept, and none of {rows} rows has named its entity",
                named(pool)
            )
        };
        (!is_named).then(|| Advice::new(AdviceCode::A08, text()))
    }

    /// A10: of pools without an origin, one for each; of the others that nobody compares with theirs, one for all.
    fn unverified(&self, pools: &[Arc<dyn AnyPool>]) -> Vec<Advice> {
        let (with, without): (Vec<_>, Vec<_>) = pools.iter().partition(|pool| pool.loader_label().is_some());
        let advice = |text| Advice::new(AdviceCode::A10, text);
        let mut found: Vec<Advice> = without
            .into_iter()
            .map(|pool| {
                advice(format!(
                    "{} has no loader: nothing in it is compared with its origin",
                    named(&**pool)
                ))
            })
            .collect();
        let is_verified = |pool: &Arc<dyn AnyPool>| {
            let mut verified = self.verified.iter();
            verified.any(|verified| verified.entity() == pool.name() && verified.label() == pool.label())
        };
        let unverified: Vec<String> = with
            .into_iter()
            .filter(|pool| !is_verified(pool))
            .map(|pool| named(&**pool))
            .collect();
        if !unverified.is_empty() {
            let first = unverified
                .iter()
                .take(PLACES_NAMED)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            found.push(advice(format!(
                "{} of {} pools are never compared with their origin: {first}",
                unverified.len(),
                pools.len()
            )));
        }
        found
    }

    /// A20.
    fn limits(&self) -> Vec<Advice> {
        let in_use = [
            ("pools", self.registry.pools().len(), POOLS_MAX),
            ("watched targets", self.timeline.watched_count(), WATCHED_MAX),
        ];
        let full = in_use
            .into_iter()
            .filter(|(_, used, most)| is_nearly_full(*used, *most));
        full.map(|(what, used, most)| {
            Advice::new(
                AdviceCode::A20,
                format!("{used} of at most {most} {what} are in use"),
            )
        })
        .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a count")]
fn is_nearly_full(used: usize, most: usize) -> bool {
    used as f64 > most as f64 * LIMIT_SHARE
}

/// A01.
fn memory(pools: &[Arc<dyn AnyPool>]) -> Option<Advice> {
    let may_hold: f64 = pools.iter().map(|pool| bytes_when_full(&**pool)).sum();
    let there_is = memory_there_is()?;
    #[expect(clippy::cast_precision_loss, reason = "a share of many bytes")]
    let limit = there_is as f64 * MEMORY_SHARE;
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    let text = || {
        format!(
            "pools may hold {:.0} MiB, more than four fifths of the {:.0} MiB there are",
            mebibytes(may_hold),
            mebibytes(limit / MEMORY_SHARE)
        )
    };
    (may_hold > limit).then(|| Advice::new(AdviceCode::A01, text()))
}

/// What a pool will hold in bytes: its bound, or, if it has one on entries alone, that many of what it holds now.
#[expect(clippy::cast_precision_loss, reason = "an estimate of bytes")]
fn bytes_when_full(pool: &dyn AnyPool) -> f64 {
    let capacity = pool.capacity();
    if let Some(bytes) = capacity.bytes {
        return bytes as f64;
    }
    let stats = pool.stats();
    match (capacity.entries, stats.entries) {
        (Some(entries), there @ 1..) => stats.bytes as f64 / there as f64 * entries as f64,
        _ => 0.0,
    }
}

/// The memory of the machine, or of the control group if that allows less.
fn memory_there_is() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let of_machine = system.total_memory();
    let of_group = system.cgroup_limits().map(|limits| limits.total_memory);
    Some(
        of_group
            .filter(|group| *group > 0)
            .map_or(of_machine, |group| group.min(of_machine)),
    )
}

/// A15.
fn ending_together(pool: &dyn AnyPool) -> Option<Advice> {
    let stats = pool.stats();
    if stats.entries <= ENDING_TOGETHER || !pool.expires() {
        return None;
    }
    let mut ends: HashMap<u128, u64> = HashMap::new();
    let mut looked = 0;
    for explanation in pool.sample(SAMPLED) {
        looked += 1;
        let left = explanation.resident.and_then(|entry| entry.time_left);
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            *ends.entry(left.as_nanos() / TOGETHER.as_nanos()).or_default() += 1;
        }
    }
    let most = ends.into_values().max().unwrap_or(0);
    let together = stats.entries * most / u64::max(looked, 1);
    let text = || {
        format!(
            "about {together} entries of {} end at the same moment",
            named(pool)
        )
    };
    (together > ENDING_TOGETHER).then(|| Advice::new(AdviceCode::A15, text()))
}

/// A19.
fn debug_build() -> Option<Advice> {
    cfg!(debug_assertions).then(|| Advice::new(AdviceCode::A19, "this is a debug build".to_owned()))
}

/// A06 and A14.
fn of_log(reason: &HealthReason) -> Option<Advice> {
    let code = match reason {
        HealthReason::RetentionTooShort { .. } | HealthReason::CutOff { .. } => AdviceCode::A06,
        HealthReason::Dead { .. } | HealthReason::DeadLettersFull { .. } => AdviceCode::A14,
        _ => return None,
    };
    Some(Advice::new(code, reason.to_string()))
}

/// A pool as it is called.
fn named(pool: &dyn AnyPool) -> String {
    match pool.label() {
        Some(label) => format!("pool `{}` labelled `{label}`", pool.name()),
        None => format!("pool `{}`", pool.name()),
    }
}
