//! Verification: entries of a pool against a fresh load of each, so that a stale one is found and not only believed away.
//!
//! A difference proves nothing by itself: the row may have changed between the two looks. It counts only if the entry is still there, and still
//! believed, once this node has applied everything that was committed before the load had ended: then the commit that changed the row was never heard
//! of. A writer that did not record its changes is found like this.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Applied, Cause, Key, Reason, Target, ToKey as _, Token};
use larder_pool::{Entity, FetchOptions, Pool};

use super::Layer;
use crate::Error;

/// How long a node may take to hear of what was committed before a load.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// What is to be verified.
#[derive(Clone, Debug)]
#[must_use = "give it to `Layer::verify`"]
pub struct VerifyPlan {
    label: Option<String>,
    at_most: usize,
    pause: Duration,
    heal: bool,
}

impl VerifyPlan {
    /// Every live entry of a pool; one load at a time.
    pub fn new() -> Self {
        VerifyPlan {
            label: None,
            at_most: usize::MAX,
            pause: Duration::ZERO,
            heal: true,
        }
    }

    /// The pool under this label. Default: the one without.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// No more entries than this, the first by id. Default: all.
    pub fn at_most(mut self, entries: usize) -> Self {
        self.at_most = entries;
        self
    }

    /// How long to rest between two entries. Default: not at all.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Whether an entry that is stale is invalidated. Default: yes.
    pub fn heal(mut self, heal: bool) -> Self {
        self.heal = heal;
        self
    }
}

impl Default for VerifyPlan {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a verification.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Entries that were as their origin has them.
    pub matching: u64,
    /// Entries that had left, or were replaced, before they could be judged.
    pub moved: u64,
    /// Entries whose origin could not be asked, or whose source could not be waited for.
    pub unknown: u64,
    /// Entries that were stale for certain.
    pub mismatches: Vec<Mismatch>,
}

/// An entry that was stale: it was believed after everything had been applied that was committed before its origin said something else.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// The entity's name.
    pub entity: &'static str,
    /// Its id.
    pub key: Key,
    /// The origin has no such entity any more.
    pub is_gone: bool,
    /// Where the entry came from, and what was last heard of what it depends on.
    pub explanation: larder_pool::Explanation,
}

/// What became of one entry.
enum Verdict {
    Matching,
    Moved,
    Unknown,
    Stale { is_gone: bool },
}

impl Layer {
    /// Compares live entries of a pool with what the pool's own loader brings for each. What differs and is stale for certain is reported, and
    /// invalidated on this node unless the plan says otherwise. One load at a time; may be dropped at any moment.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`]; [`Error::NotConfigured`] if the pool has no loader, or the layer follows no outbox: then a difference cannot be judged.
    pub async fn verify<T: Entity + PartialEq>(&self, plan: &VerifyPlan) -> Result<VerifyReport, Error> {
        let pool: Pool<T> = match &plan.label {
            Some(label) => self.pool_as(label)?,
            None => self.pool()?,
        };
        if !pool.config().loader {
            return Err(Error::NotConfigured { part: "loader" });
        }
        if self.shared.logs.is_empty() {
            return Err(Error::NotConfigured { part: "outbox" });
        }
        let mut report = VerifyReport::default();
        let snapshot = pool.snapshot();
        for (id, seen) in snapshot.ids().zip(snapshot.iter()).take(plan.at_most) {
            match self.verdict(&pool, id, seen).await {
                Verdict::Matching => report.matching += 1,
                Verdict::Moved => report.moved += 1,
                Verdict::Unknown => report.unknown += 1,
                Verdict::Stale { is_gone } => self.found::<T>(&pool, id, is_gone, plan.heal, &mut report),
            }
            if !plan.pause.is_zero() {
                self.shared.runtime.sleep(plan.pause).await;
            }
        }
        Ok(report)
    }

    async fn verdict<T: Entity + PartialEq>(&self, pool: &Pool<T>, id: &T::Id, seen: &Arc<T>) -> Verdict {
        let Ok(fetched) = pool.fetch_with(id, FetchOptions::new().bypass()).await else {
            return Verdict::Unknown;
        };
        if fetched.value.as_deref() == Some(&**seen) {
            return Verdict::Matching;
        }
        // Everything that the load can have seen was committed before these heads.
        let mut token = Token::default();
        for log in &self.shared.logs {
            match log.head().await {
                Ok(head) => token = token.merge(&head.token()),
                Err(_) => return Verdict::Unknown,
            }
        }
        let applied = self.shared.fence.when_applied(token);
        let over = self.shared.runtime.sleep(APPLIED_WITHIN);
        match futures_util::future::select(applied, over).await {
            futures_util::future::Either::Left((Applied::Yes, _)) => {}
            _ => return Verdict::Unknown,
        }
        match pool.peek(id) {
            Some(now) if Arc::ptr_eq(&now, seen) => Verdict::Stale {
                is_gone: fetched.value.is_none(),
            },
            _ => Verdict::Moved,
        }
    }

    fn found<T: Entity>(
        &self,
        pool: &Pool<T>,
        id: &T::Id,
        is_gone: bool,
        heal: bool,
        report: &mut VerifyReport,
    ) {
        let explanation = pool.explain(id);
        let Ok(key) = id.to_key() else { return };
        tracing::error!(
            entity = T::name(),
            ?key,
            "an entry was stale: whoever changed the row has not recorded it"
        );
        if heal && let Ok(target) = Target::entity(T::name(), key.clone()) {
            let cause = Cause::direct(Reason::new("verification found it stale"));
            self.shared.fence.invalidate(&target, cause);
        }
        report.mismatches.push(Mismatch {
            entity: T::name(),
            key,
            is_gone,
            explanation,
        });
    }
}
