//! [`check_store`]: what the outbox's contract asks of any store, tried through [`OutboxStore`] alone.
//!
//! Each check gets a store of its own from a [`StoreGround`], which also does to it what the trait does not say: lets its time pass, ages
//! and purges its rows, begins a new epoch, writes a row that nobody can read. Nothing here knows which store it is.

mod claims;
mod completing;
mod dead;
mod following;
mod model;
mod status;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{BoxFuture, Invalidations, Namespace, Token};
use larder_outbox::{Claim, Group, OutboxStore, RowId};

/// A store and what a check may do to it.
pub trait StoreGround: Send + Sync {
    /// The store, of which this is the only one.
    fn store(&self) -> Arc<dyn OutboxStore>;

    /// Lets so much time of the store pass.
    fn pass(&self, time: Duration) -> BoxFuture<'_, ()>;

    /// Commits a row of a kind that nobody knows, and nothing else.
    fn record_unreadable(&self) -> BoxFuture<'_, ()>;

    /// Removes every commit from the log but the newest, as a purge by age does.
    fn purge(&self) -> BoxFuture<'_, ()>;

    /// Begins a new epoch.
    fn new_epoch(&self) -> BoxFuture<'_, ()>;
}

/// Makes grounds, each with an empty store of its own.
pub trait StoreGrounds: Send + Sync {
    /// A new one.
    fn ground(&self) -> BoxFuture<'_, Box<dyn StoreGround>>;
}

/// A part of what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePart {
    /// Groups, and what a claim holds.
    Claims,
    /// What becomes of the rows of a claim.
    Completing,
    /// Dead letters.
    DeadLetters,
    /// Logs that are purged, and begin new epochs, under groups.
    Outliving,
    /// Numbers and pages.
    Status,
    /// The same log, followed and claimed.
    Following,
    /// Whatever workers do, and whenever they vanish, each row is in one place.
    Model,
}

impl StorePart {
    /// All of them.
    pub const ALL: [StorePart; 7] = [
        StorePart::Claims,
        StorePart::Completing,
        StorePart::DeadLetters,
        StorePart::Outliving,
        StorePart::Status,
        StorePart::Following,
        StorePart::Model,
    ];
}

/// Runs every check of every part.
///
/// # Panics
/// If the store does not keep what the contract promises; the message begins with the name of the check.
pub async fn check_store(grounds: &dyn StoreGrounds) {
    for part in StorePart::ALL {
        check_store_part(grounds, part).await;
    }
}

/// Runs the checks of one part.
///
/// # Panics
/// As [`check_store`] does.
pub async fn check_store_part(grounds: &dyn StoreGrounds, part: StorePart) {
    let checks: &[(&'static str, Check)] = match part {
        StorePart::Claims => &claims::CHECKS,
        StorePart::Completing => &completing::CHECKS,
        StorePart::DeadLetters => &dead::CHECKS,
        StorePart::Outliving => &dead::OUTLIVING,
        StorePart::Status => &status::CHECKS,
        StorePart::Following => &following::CHECKS,
        StorePart::Model => &[],
    };
    for (name, check) in checks {
        let ground = grounds.ground().await;
        check(Trial { name, ground }).await;
    }
    if part == StorePart::Model {
        for seed in crate::seeds(MODEL_SEEDS) {
            model::check(grounds.ground().await, seed).await;
        }
    }
}

/// Runs of the model.
const MODEL_SEEDS: u64 = 12;

type Check = fn(Trial) -> BoxFuture<'static, ()>;

/// One check on its way.
struct Trial {
    name: &'static str,
    ground: Box<dyn StoreGround>,
}

/// The time for which checks hold rows.
const HELD: Duration = Duration::from_secs(30);

impl Trial {
    fn store(&self) -> Arc<dyn OutboxStore> {
        self.ground.store()
    }

    /// Opens a group with nothing said but its name.
    async fn open(&self, group: &str) {
        self.is_ok(self.store().open_group(&Group::new(group)).await);
    }

    /// Commits rows of users.
    async fn record(&self, users: impl IntoIterator<Item = u64>) -> Token {
        self.record_in("default", users).await
    }

    async fn record_in(&self, namespace: &str, users: impl IntoIterator<Item = u64>) -> Token {
        let namespace = self.is_ok(Namespace::new(namespace));
        let mut batch = Invalidations::new(namespace, "check");
        for user in users {
            batch = self.is_ok(batch.entity("user", user));
        }
        self.is_ok(self.store().record(&batch).await)
    }

    /// Commits tags, which belong to one namespace.
    async fn record_tags(&self, namespace: &str, tags: &[&str]) {
        let mut batch = Invalidations::new(self.is_ok(Namespace::new(namespace)), "check");
        for tag in tags {
            batch = self.is_ok(batch.tag(*tag));
        }
        self.is_ok(self.store().record(&batch).await);
    }

    async fn claim(&self, group: &str, owner: &str, limit: usize) -> Claim {
        self.is_ok(self.store().claim(group, owner, limit, HELD).await)
    }

    async fn acknowledge(&self, claim: &Claim) {
        let done = self.is_ok(self.store().acknowledge(claim, &claim.ids()).await);
        self.same(done.done, claim.rows().len(), "rows that were acknowledged");
    }

    fn is_ok<R, E: fmt::Debug>(&self, result: Result<R, E>) -> R {
        result.unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
    }

    fn same<T: PartialEq + fmt::Debug>(&self, found: T, expected: T, what: &str) {
        assert_eq!(found, expected, "{}: {what}", self.name);
    }

    fn holds(&self, holds: bool, what: &str) {
        assert!(holds, "{}: {what}", self.name);
    }
}

/// The targets of a claim, as texts.
fn texts(claim: &Claim) -> Vec<String> {
    claim.rows().iter().map(|row| row.target.to_string()).collect()
}

/// Users of a claim, as texts of targets.
fn users(ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter().map(|id| format!("entity:user/{id}")).collect()
}

fn texts_of(ids: &[RowId]) -> BTreeSet<String> {
    ids.iter().map(RowId::to_string).collect()
}
