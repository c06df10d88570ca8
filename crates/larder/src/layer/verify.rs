//! Verification: entries of pools against a fresh load of each, so that a stale one is found and not only believed away.
//!
//! A difference proves nothing by itself: the row may have changed between the two looks. It counts only if the entry is still there, and still
//! believed, once this node has applied everything that was committed before the load had ended: then the commit that changed the row was never heard
//! of. A writer that did not record its changes is found like this.

mod pool;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use larder_core::{Applied, BoxFuture, Cause, Key, Reason, Target, Token};
use larder_pool::{Entity, Registry};

pub(super) use self::pool::{Same, Verified, VerifiedPool};
use super::limits::{EVIDENCE_MAX, VERIFY_CONCURRENCY};
use super::{Explained, Layer, Shared};
use crate::Error;

/// How long a node may take to hear of what was committed before a load.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// What is to be verified, and how.
#[derive(Clone)]
#[must_use = "give it to `Layer::verify`"]
pub struct VerifyPlan {
    chosen: Chosen,
    label: Option<String>,
    at_most: Option<usize>,
    is_sample: bool,
    pause: Duration,
    concurrency: usize,
    heal: bool,
}

/// Which pools.
#[derive(Clone)]
enum Chosen {
    All,
    Named(String),
    Typed(Find, &'static str),
}

/// How the pool of a type is found under a label.
type Find = fn(&Registry, Option<&str>) -> Option<Arc<dyn Verified>>;

impl VerifyPlan {
    /// Every live entry of every pool that the layer was told to verify, see [`LayerBuilder::verified_pool`](crate::LayerBuilder::verified_pool).
    pub fn all() -> Self {
        Self::new(Chosen::All)
    }

    /// Every live entry of the pools of an entity of this name that the layer was told to verify.
    pub fn pool(entity: impl Into<String>) -> Self {
        Self::new(Chosen::Named(entity.into()))
    }

    /// Every live entry of the pool of a type, whether or not the layer was told to verify it.
    pub fn of<T: Entity + PartialEq>() -> Self {
        let verified = |registry: &Registry, label: Option<&str>| {
            let pool = match label {
                Some(label) => registry.pool_as::<T>(label),
                None => registry.pool::<T>(),
            };
            pool.map(|pool| Arc::new(VerifiedPool::new(pool, label, Same::equal())) as Arc<dyn Verified>)
        };
        Self::new(Chosen::Typed(verified, T::name()))
    }

    fn new(chosen: Chosen) -> Self {
        VerifyPlan {
            chosen,
            label: None,
            at_most: None,
            is_sample: false,
            pause: Duration::ZERO,
            concurrency: VERIFY_CONCURRENCY,
            heal: true,
        }
    }

    /// Only pools under this label. Default: of a type, the one without; else all.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// No more entries than this of each pool, the first by id. Default: all.
    pub fn at_most(mut self, entries: usize) -> Self {
        (self.at_most, self.is_sample) = (Some(entries), false);
        self
    }

    /// So many entries of each pool, chosen at random; one may be chosen more than once.
    pub fn sample(mut self, entries: usize) -> Self {
        (self.at_most, self.is_sample) = (Some(entries), true);
        self
    }

    /// How long to rest between the beginnings of two loads. Default: not at all.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many loads may run at once, at least one. Default: 2.
    pub fn concurrency(mut self, loads: usize) -> Self {
        self.concurrency = loads.max(1);
        self
    }

    /// Whether an entry that is stale is invalidated. Default: yes.
    pub fn heal(mut self, heal: bool) -> Self {
        self.heal = heal;
        self
    }

    /// The entries of these pools that are to be compared.
    fn entries(&self, pools: &[Arc<dyn Verified>]) -> Vec<(Arc<dyn Verified>, Key)> {
        let at_most = self.at_most.unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        for pool in pools.iter().filter(|pool| pool.has_origin()) {
            let keys = if self.is_sample {
                pool.sample(at_most)
            } else {
                pool.first(at_most)
            };
            entries.extend(keys.into_iter().map(|key| (Arc::clone(pool), key)));
        }
        entries
    }

    /// The pools that it is about. An error if there is none of that name, or none that can be compared.
    fn pools(&self, layer: &Layer) -> Result<Vec<Arc<dyn Verified>>, Error> {
        let shared = &layer.shared;
        let has_label =
            |pool: &&Arc<dyn Verified>| self.label.is_none() || pool.label() == self.label.as_deref();
        let pools: Vec<Arc<dyn Verified>> = match &self.chosen {
            Chosen::All => shared.verified.iter().filter(has_label).cloned().collect(),
            Chosen::Named(name) => {
                let named = shared.verified.iter().filter(|pool| pool.entity() == name);
                let found: Vec<_> = named.filter(has_label).cloned().collect();
                let is_there = shared.registry.pools().iter().any(|pool| pool.name() == name);
                if found.is_empty() && !is_there {
                    return Err(layer.no_pool_of(name, self.label.as_deref()));
                }
                found
            }
            Chosen::Typed(find, name) => {
                let label = self.label.as_deref();
                let found = find(&shared.registry, label);
                vec![found.ok_or_else(|| layer.no_pool_of(name, label))?]
            }
        };
        if pools.is_empty() {
            return Err(Error::NotConfigured {
                part: "verified pool",
            });
        }
        if !matches!(self.chosen, Chosen::All) && pools.iter().any(|pool| !pool.has_origin()) {
            return Err(Error::NotConfigured { part: "loader" });
        }
        Ok(pools)
    }
}

impl std::fmt::Debug for VerifyPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyPlan")
            .field("label", &self.label)
            .field("at_most", &self.at_most)
            .field("is_sample", &self.is_sample)
            .field("heal", &self.heal)
            .finish_non_exhaustive()
    }
}

/// What came of a verification.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Entries that were as their origin has them.
    pub matching: u64,
    /// Entries that were replaced before they could be judged.
    pub moved: u64,
    /// Entries that had left before they could be judged.
    pub gone: u64,
    /// Entries whose origin could not be asked.
    pub origin_errors: u64,
    /// Entries that differed, and whose source could not be waited for.
    pub unsure: u64,
    /// Entries that were stale for certain.
    pub mismatched: u64,
    /// The evidence of these, as far as it is kept: of 1,024.
    pub mismatches: Vec<Mismatch>,
}

impl VerifyReport {
    /// How many entries were looked at.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.matching + self.moved + self.gone + self.origin_errors + self.unsure + self.mismatched
    }

    fn add(&mut self, checked: Checked) {
        match checked {
            Checked::Matching => self.matching += 1,
            Checked::Moved => self.moved += 1,
            Checked::Gone => self.gone += 1,
            Checked::OriginError => self.origin_errors += 1,
            Checked::Unsure => self.unsure += 1,
            Checked::Mismatched(evidence) => {
                self.mismatched += 1;
                if self.mismatches.len() < EVIDENCE_MAX {
                    self.mismatches.push(*evidence);
                }
            }
        }
    }
}

/// An entry that was stale: it was believed after everything had been applied that was committed before its origin said something else.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// The entity's name.
    pub entity: &'static str,
    /// The label of the pool, if it has one.
    pub label: Option<String>,
    /// The id.
    pub key: Key,
    /// The origin has no such entity any more.
    pub is_gone: bool,
    /// The digest of what was kept, if the pool's values are compared by digests.
    pub kept: Option<u64>,
    /// The digest of what the origin had, if there was something.
    pub origin: Option<u64>,
    /// Where the entry came from, and what was last heard of what it depends on, before it was ended.
    pub explanation: Explained,
}

/// What became of one entry.
pub(super) enum Checked {
    Matching,
    Moved,
    Gone,
    OriginError,
    Unsure,
    Mismatched(Box<Mismatch>),
}

/// A difference that is certain.
pub(super) struct Difference {
    pub(super) is_gone: bool,
    pub(super) kept: Option<u64>,
    pub(super) origin: Option<u64>,
}

impl Layer {
    /// Compares live entries of pools with what the pools' own loaders bring for each. What differs and is stale for certain is reported, and invalidated
    /// on this node unless the plan says otherwise; while one was found of late, [`Layer::health`] says so. May be dropped at any moment.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`]; [`Error::NotConfigured`] if no pool is to be verified, a named one has no loader, or the layer follows no outbox: then a
    /// difference cannot be judged; [`Error::ShuttingDown`] once the layer is being shut down, also while it runs.
    pub async fn verify(&self, plan: &VerifyPlan) -> Result<VerifyReport, Error> {
        if self.shared.closing.has_begun() {
            return Err(Error::ShuttingDown);
        }
        let stopped = pin!(self.shared.tasks.stopped());
        match select(pin!(self.verify_all(plan)), stopped).await {
            Either::Left((report, _)) => report,
            Either::Right(_) => Err(Error::ShuttingDown),
        }
    }

    async fn verify_all(&self, plan: &VerifyPlan) -> Result<VerifyReport, Error> {
        let shared = &self.shared;
        let pools = plan.pools(self)?;
        if shared.logs.is_empty() {
            return Err(Error::NotConfigured { part: "outbox" });
        }
        let mut report = VerifyReport::default();
        let mut running: FuturesUnordered<BoxFuture<'_, Checked>> = FuturesUnordered::new();
        for (pool, key) in plan.entries(&pools) {
            while running.len() >= plan.concurrency {
                running
                    .next()
                    .await
                    .into_iter()
                    .for_each(|checked| report.add(checked));
            }
            if !plan.pause.is_zero() {
                let mut rest = shared.runtime.sleep(plan.pause);
                // What runs goes on meanwhile.
                while let Either::Right((Some(checked), _)) = select(&mut rest, running.next()).await {
                    report.add(checked);
                }
                rest.await;
            }
            let heal = plan.heal;
            running.push(Box::pin(async move { shared.check(&*pool, key, heal).await }));
        }
        while let Some(checked) = running.next().await {
            report.add(checked);
        }
        Ok(report)
    }
}

impl Shared {
    /// Compares one entry with its origin, and does what is to be done if it is stale.
    pub(super) async fn check(&self, pool: &dyn Verified, key: Key, heal: bool) -> Checked {
        let checked = match pool.compare(self, &key).await {
            Ok(None) => Checked::Matching,
            Ok(Some(difference)) => self.found(pool, key, difference, heal),
            Err(checked) => checked,
        };
        self.objectives.checked(self.fence.time(), &checked);
        checked
    }

    fn found(&self, pool: &dyn Verified, key: Key, difference: Difference, heal: bool) -> Checked {
        let Difference {
            is_gone,
            kept,
            origin,
        } = difference;
        let Ok(target) = Target::entity(pool.entity(), key.clone()) else {
            return Checked::Gone;
        };
        let explanation = self.explain(&target);
        let why = "an entry was stale: whoever changed the row has not recorded it";
        tracing::error!(%target, is_gone, ?kept, ?origin, %explanation, "{why}");
        if heal {
            let cause = Cause::direct(Reason::new("verification found it stale"));
            self.fence.invalidate(&target, cause);
        }
        Checked::Mismatched(Box::new(Mismatch {
            entity: pool.entity(),
            label: pool.label().map(str::to_owned),
            key,
            is_gone,
            kept,
            origin,
            explanation,
        }))
    }

    /// Waits until everything is applied here that was committed before this was asked. False if that cannot be told, or takes too long.
    async fn catches_up(&self) -> bool {
        let mut token = Token::default();
        for log in &self.logs {
            match log.head().await {
                Ok(head) => token = token.merge(&head.token()),
                Err(_) => return false,
            }
        }
        let applied = self.fence.when_applied(token);
        let over = self.runtime.sleep(APPLIED_WITHIN);
        matches!(select(applied, over).await, Either::Left((Applied::Yes, _)))
    }
}
