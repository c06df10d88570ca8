//! [`Health`]: what is wrong with a log, its groups and its nodes, in the eyes of whoever runs them.

use std::fmt;
use std::time::Duration;

use crate::{Error, OutboxStore, RelayDiagnostics, Retention};

/// From when on something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "give it to `Outbox::health`"]
pub struct HealthPolicy {
    pending_max: u64,
    age_max: Duration,
    dead_max: u64,
    retention: Retention,
}

/// What is wrong; nothing if it is clean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    reasons: Vec<HealthReason>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthReason {
    /// A group has yet to do so many rows, or more.
    Pending {
        /// The group.
        group: String,
        /// Rows.
        rows: u64,
    },
    /// The oldest row that a group has yet to do is so old.
    Age {
        /// The group.
        group: String,
        /// Its age.
        oldest: Duration,
    },
    /// A group has so many dead letters, or more.
    Dead {
        /// The group.
        group: String,
        /// Dead letters.
        rows: u64,
    },
    /// A group has as many dead letters as it may, and claims nothing more.
    DeadLettersFull {
        /// The group.
        group: String,
    },
    /// A live node has not heard of a row that is about to be purged.
    RetentionTooShort {
        /// The node.
        node: String,
        /// How old the row is.
        oldest: Duration,
    },
    /// A live node lacks rows that are gone: it has yet to flush.
    CutOff {
        /// The node.
        node: String,
    },
    /// The transport of a relay is down.
    Stalled {
        /// The group for which it works.
        group: String,
    },
    /// The tables are not as this version of Larder needs them.
    Schema {
        /// What is the matter with them.
        what: String,
    },
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy {
            pending_max: 10_000,
            age_max: Duration::from_secs(300),
            dead_max: 0,
            retention: Retention::default(),
        }
    }
}

impl HealthPolicy {
    /// Up to 10,000 rows pending, none for longer than five minutes, no dead letters, and the retention of [`Retention::new`].
    pub fn new() -> Self {
        Self::default()
    }

    /// More rows pending than this in one group are wrong. Counted up to 100,000. Default: 10,000.
    pub fn pending_max(mut self, rows: u64) -> Self {
        self.pending_max = rows;
        self
    }

    /// A row that is pending for longer than this is wrong. Default: 5 minutes.
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = age;
        self
    }

    /// More dead letters than this in one group are wrong. Default: none.
    pub fn dead_max(mut self, rows: u64) -> Self {
        self.dead_max = rows;
        self
    }

    /// How rows are purged here: a live node that has not heard of one which is older than half of its `retention_max` is too slow.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }
}

impl Health {
    /// Looks at all groups and live nodes of a log.
    ///
    /// # Errors
    /// What the store says, if it cannot be asked.
    pub async fn of(store: &dyn OutboxStore, policy: &HealthPolicy) -> Result<Health, Error> {
        let mut health = Health::default();
        for group in store.groups().await? {
            health.look_at_group(store, policy, group).await?;
        }
        for node in store.nodes().list().await? {
            let Some(applied) = node.applied.filter(|_| node.is_live) else {
                continue;
            };
            let behind = store.behind(&applied).await?;
            if behind.is_cut_off {
                health.reasons.push(HealthReason::CutOff { node: node.node });
            } else if behind.oldest > policy.retention.retention_max / 2 {
                health.reasons.push(HealthReason::RetentionTooShort {
                    node: node.node,
                    oldest: behind.oldest,
                });
            }
        }
        Ok(health)
    }

    async fn look_at_group(
        &mut self,
        store: &dyn OutboxStore,
        policy: &HealthPolicy,
        group: String,
    ) -> Result<(), Error> {
        let status = match store.status(&group, None).await {
            // Dropped since.
            Err(Error::NoSuchGroup { .. }) => return Ok(()),
            status => status?,
        };
        let (pending, dead) = (status.pending.at_least(), status.dead_lettered.at_least());
        let all = [
            (
                status.is_full,
                HealthReason::DeadLettersFull { group: group.clone() },
            ),
            (
                pending > policy.pending_max,
                HealthReason::Pending {
                    group: group.clone(),
                    rows: pending,
                },
            ),
            (
                status.oldest_pending > policy.age_max,
                HealthReason::Age {
                    group: group.clone(),
                    oldest: status.oldest_pending,
                },
            ),
            (dead > policy.dead_max, HealthReason::Dead { group, rows: dead }),
        ];
        self.reasons.extend(
            all.into_iter()
                .filter_map(|(is_wrong, reason)| is_wrong.then_some(reason)),
        );
        Ok(())
    }

    /// The same, with what a relay of this process says of its transport.
    #[must_use]
    pub fn with_relay(mut self, group: &str, diagnostics: &RelayDiagnostics) -> Self {
        if diagnostics.is_stalled {
            self.reasons.push(HealthReason::Stalled {
                group: group.to_owned(),
            });
        }
        self
    }

    pub(crate) fn schema(error: &Error) -> Self {
        Health {
            reasons: vec![HealthReason::Schema {
                what: error.to_string(),
            }],
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.reasons.is_empty()
    }

    /// What is wrong.
    #[must_use]
    pub fn reasons(&self) -> &[HealthReason] {
        &self.reasons
    }
}

impl fmt::Display for HealthReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending { group, rows } => write!(f, "group {group:?} has yet to do {rows} rows"),
            Self::Age { group, oldest } => write!(f, "group {group:?} has had a row to do for {oldest:?}"),
            Self::Dead { group, rows } => write!(f, "group {group:?} has {rows} dead letters"),
            Self::DeadLettersFull { group } => {
                write!(
                    f,
                    "group {group:?} has as many dead letters as it may, and claims nothing more"
                )
            }
            Self::RetentionTooShort { node, oldest } => {
                write!(
                    f,
                    "node {node:?} has not heard of a row that is {oldest:?} old, and will be purged"
                )
            }
            Self::CutOff { node } => write!(f, "node {node:?} lacks rows that are gone"),
            Self::Stalled { group } => write!(f, "the transport of group {group:?} is down"),
            Self::Schema { what } => f.write_str(what),
        }
    }
}
