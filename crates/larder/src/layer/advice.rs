//! The advisor: what is likely to go wrong with a layer as it is set up, and what to do about it.
//!
//! It looks when the layer opens and once a minute. What is wrong for certain keeps a layer from opening ([`Error::Invalid`](crate::Error::Invalid)); the rest
//! is told here, in the log once, and in [`Layer::health`].

mod rules;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::sync::{AtomicU64, Mutex, Ordering};
use larder_core::{EntityName, Invalidation, Position, Registration, Settled, Sink, SinkError, Target};

use super::{Layer, Shared, verifier};

/// How often the advisor looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What an advice is about. The codes stand for good; those of parts that are yet to come are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AdviceCode {
    /// What pools may hold is more than four fifths of the memory there is.
    A01,
    /// A pool has neither a source of invalidations nor a time to live.
    A04,
    /// The freshness bound is below two poll intervals. A layer like that does not open.
    A05,
    /// Rows are kept for a shorter time than a live node needs.
    A06,
    /// Transactions changed rows and recorded nothing.
    A07,
    /// A pool's entity was never named in 10,000 rows.
    A08,
    /// Pools cannot be verified: they have no loader, or nobody said how their values are compared.
    A10,
    /// The database is set to lose what it has acknowledged, or to be slow.
    A11,
    /// What other processes commit wakes nobody here: followers hear of it when they ask next.
    A12,
    /// There are dead letters.
    A14,
    /// More than 1,000 entries end at the same moment.
    A15,
    /// It is a debug build.
    A19,
    /// More than nine tenths of a limit are in use.
    A20,
}

impl AdviceCode {
    /// As it is written: `A01`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AdviceCode::A01 => "A01",
            AdviceCode::A04 => "A04",
            AdviceCode::A05 => "A05",
            AdviceCode::A06 => "A06",
            AdviceCode::A07 => "A07",
            AdviceCode::A08 => "A08",
            AdviceCode::A10 => "A10",
            AdviceCode::A11 => "A11",
            AdviceCode::A12 => "A12",
            AdviceCode::A14 => "A14",
            AdviceCode::A15 => "A15",
            AdviceCode::A19 => "A19",
            AdviceCode::A20 => "A20",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            AdviceCode::A01 => "lower the capacities of pools, or give the process more memory",
            AdviceCode::A04 => "give the layer an outbox to follow, or the pool a time to live",
            AdviceCode::A05 => "raise the freshness bound, or let followers ask more often",
            AdviceCode::A06 => "keep rows for longer, or stop nodes that are not needed",
            AdviceCode::A07 => "name in the transaction what it changes: tx.invalidate::<T>(&id)",
            AdviceCode::A08 => "record what changes this entity, or give its pool a time to live",
            AdviceCode::A10 => "give it a loader, and the layer its builder by verified_pool",
            AdviceCode::A11 => "set journal_mode to WAL and synchronous to NORMAL or FULL",
            AdviceCode::A12 => "raise fs.inotify.max_user_instances, or turn file hints off",
            AdviceCode::A14 => "look at their errors, mend the cause, and try them again",
            AdviceCode::A15 => "give the pool a jitter, so that not all are loaded anew at once",
            AdviceCode::A19 => "build with --release",
            AdviceCode::A20 => "raise the limit, or need less of it",
        }
    }

    /// How grave it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            AdviceCode::A05 => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for AdviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How grave an advice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Severity {
    /// It works, and may not go well.
    Warning,
    /// It cannot work.
    Error,
}

/// What is likely to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// What it is about.
    pub code: AdviceCode,
    /// How grave it is.
    pub severity: Severity,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Advice {
    pub(super) fn new(code: AdviceCode, text: String) -> Self {
        Advice {
            code,
            severity: code.severity(),
            text,
            remedy: code.remedy(),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.code, self.text, self.remedy)
    }
}

/// What the advisor knows.
pub(super) struct Advisor {
    silenced: HashSet<AdviceCode>,
    found: Mutex<Vec<Advice>>,
    /// What was told in the log already.
    told: Mutex<HashSet<String>>,
    named: Arc<Named>,
    _registration: Registration,
}

/// Of which entities rows have spoken.
#[derive(Default)]
struct Named {
    rows: AtomicU64,
    entities: Mutex<HashSet<EntityName>>,
    /// Everything was named: by a widening, or by a row.
    all: AtomicU64,
}

/// Of how many entities it is remembered that rows speak of them.
const NAMED_MAX: usize = 4_096;

impl Sink for Named {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        let mut entities = self.entities.lock();
        let mut note = |entity: &EntityName| {
            if !entities.contains(entity) && entities.len() < NAMED_MAX {
                entities.insert(entity.clone());
            }
        };
        for row in rows {
            match row.target() {
                Target::Entity { entity, .. } => note(entity),
                Target::Collection { name } => {
                    if let Ok(entity) = EntityName::new(name.as_str()) {
                        note(&entity);
                    }
                }
                Target::Everything | Target::Namespace { .. } => {
                    self.all.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        drop(entities);
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.rows.fetch_add(count, Ordering::Relaxed);
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

impl Advisor {
    pub(super) fn new(
        fence: &larder_core::Fence,
        silenced: HashSet<AdviceCode>,
    ) -> Result<Self, larder_core::FenceError> {
        let named = Arc::<Named>::default();
        let registration = fence.sink(Arc::clone(&named) as Arc<dyn Sink>)?;
        Ok(Advisor {
            silenced,
            found: Mutex::default(),
            told: Mutex::default(),
            named,
            _registration: registration,
        })
    }

    pub(super) fn found(&self) -> Vec<Advice> {
        self.found.lock().clone()
    }
}

impl Shared {
    /// Looks at everything, and tells in the log what was not told yet.
    pub(super) async fn advise(&self) {
        let mut found = self.rules().await;
        found.retain(|advice| !self.advisor.silenced.contains(&advice.code));
        found.sort_by_key(|advice| advice.code);
        for advice in &found {
            if self.advisor.told.lock().insert(advice.to_string()) {
                let Advice {
                    code, text, remedy, ..
                } = advice;
                tracing::warn!(%code, %text, %remedy, "an advice");
            }
        }
        *self.advisor.found.lock() = found;
    }
}

/// Has it look once a minute, as a task of the layer.
pub(super) fn start(shared: &Arc<Shared>) {
    verifier::every(shared, "advisor", LOOK_EVERY, |shared| {
        Box::pin(async move { shared.advise().await })
    });
}

impl Layer {
    /// Has the advisor look now, and gives what it sees.
    pub async fn look_for_advice(&self) -> Vec<Advice> {
        self.shared.advise().await;
        self.advice()
    }

    /// What the advisor saw when it last looked, by code: at the opening, and once a minute.
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        self.shared.advisor.found()
    }
}
