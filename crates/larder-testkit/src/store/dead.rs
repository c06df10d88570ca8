//! Dead letters, and what is kept of a log that goes.

use std::time::Duration;

use larder_core::{Namespace, Target};
use larder_outbox::{Claim, DeadLetters, Error, Failed, Group, Next, RowState};

use super::{Check, HELD, Trial, texts, texts_of, users};

pub(super) const CHECKS: [(&str, Check); 2] = [
    ("dead letters are reset and discarded", |trial| {
        Box::pin(reset_and_discard(trial))
    }),
    ("dead letters fill up", |trial| Box::pin(fill_up(trial))),
];

pub(super) const OUTLIVING: [(&str, Check); 2] = [
    ("groups outlive a purge", |trial| Box::pin(purge(trial))),
    ("groups outlive an epoch", |trial| Box::pin(epoch(trial))),
];

async fn all_dead(trial: &Trial, group: &str) -> Claim {
    let claim = trial.claim(group, "worker", 4_096).await;
    let dead = |row: &larder_outbox::OutboxRow| Failed {
        row: row.id,
        error: "no such place".to_owned(),
        next: Next::Dead,
    };
    let failed: Vec<Failed> = claim.rows().iter().map(dead).collect();
    let done = trial.is_ok(trial.store().fail(&claim, &failed).await);
    trial.same(done.done, claim.rows().len(), "all are dead");
    claim
}

async fn reset_and_discard(trial: Trial) {
    trial.open("one").await;
    trial.open("two").await;
    trial.record_in("shop", 1..=3).await;
    trial.record_in("blog", 4..=6).await;
    let claim = all_dead(&trial, "one").await;
    let _ = all_dead(&trial, "two").await;
    let store = trial.store();
    let dead = trial.is_ok(store.rows_of("one", RowState::Dead, None, 9).await);
    trial.same(dead.len(), 6, "all are listed");
    for row in &dead {
        trial.holds(row.is_dead() && row.attempts == 1, "dead after one attempt");
        trial.same(row.last_error.as_deref(), Some("no such place"), "the error");
    }
    trial.ground.purge().await;
    trial.same(
        trial
            .is_ok(store.rows_of("one", RowState::Dead, None, 9).await)
            .len(),
        6,
        "with copies of their own",
    );
    let one = DeadLetters::all().group("one");
    let shop = trial.is_ok(Namespace::new("shop"));
    let counts = [
        (DeadLetters::all().namespace(shop), 6),
        (one.clone().ids([claim.rows()[3].id]), 1),
        (one.clone().target(trial.is_ok(Target::entity("user", 5))), 1),
        (one.clone().target(trial.is_ok(Target::entity("user", 1))), 0),
    ];
    for (which, expected) in counts {
        trial.same(
            trial.is_ok(store.reset_dead_letters(&which).await),
            expected,
            &format!("{which:?}"),
        );
    }
    let again = trial.claim("one", "worker", 9).await;
    let mut found = texts(&again);
    found.sort();
    trial.same(found, users(1..=5), "they are pending");
    for row in again.rows() {
        trial.same(
            (row.attempts, row.last_error.clone()),
            (0, None),
            "as if they had never failed",
        );
    }
    trial.same(
        trial.is_ok(store.discard_dead_letters(&one, "tested").await),
        1,
        "the last one of this group",
    );
    trial.acknowledge(&again).await;
    let status = trial.is_ok(store.status("two", None).await);
    trial.same(
        status.dead_lettered.at_least(),
        3,
        "the other group keeps its own",
    );
    let missing = store.reset_dead_letters(&DeadLetters::all().group("three")).await;
    trial.holds(matches!(missing, Err(Error::NoSuchGroup { .. })), "no such group");
}

/// With as many dead letters as a group may have it claims nothing more, and rows wait in the log.
async fn fill_up(trial: Trial) {
    let store = trial.store();
    trial.is_ok(store.open_group(&Group::new("group").dead_letters_max(3)).await);
    trial.record(1..=2).await;
    let _ = all_dead(&trial, "group").await;
    trial.record([3]).await;
    let _ = all_dead(&trial, "group").await;
    trial.record([4]).await;
    let full = store.claim("group", "worker", 1, HELD).await;
    trial.holds(
        matches!(full, Err(Error::DeadLettersFull { dead: 3, .. })),
        "it is full",
    );
    let status = trial.is_ok(store.status("group", None).await);
    trial.same(status.pending.at_least(), 1, "the row waits");
    trial.is_ok(store.open_group(&Group::new("group").dead_letters_max(4)).await);
    trial.same(
        texts(&trial.claim("group", "worker", 9).await),
        users([4]),
        "one more is allowed",
    );
    trial.is_ok(store.open_group(&Group::new("group").dead_letters_max(3)).await);
    let all = DeadLetters::all().group("group");
    trial.same(
        trial.is_ok(store.discard_dead_letters(&all, "tested").await),
        3,
        "all are gone",
    );
    trial.record([5]).await;
    trial.same(
        texts(&trial.claim("group", "worker", 9).await),
        users([5]),
        "it goes on",
    );
}

/// What is purged under a group is still the group's: what nobody has had, what is held, and what was held in part.
async fn purge(trial: Trial) {
    trial.open("group").await;
    trial.open("idle").await;
    trial.record(1..=4).await;
    let held = trial.claim("group", "holder", 9).await;
    trial.is_ok(trial.store().acknowledge(&held, &held.ids()[..1]).await);
    trial.record(5..=6).await;
    trial.record([7]).await;
    trial.ground.purge().await;
    trial.record([8]).await;
    let fresh = trial.claim("group", "worker", 9).await;
    let mut found = texts(&fresh);
    found.sort();
    trial.same(found, users(5..=8), "what nobody has had, and no more");
    let done = trial.is_ok(trial.store().acknowledge(&held, &held.ids()).await);
    trial.same((done.done, done.lost), (3, 1), "whoever held rows completes them");
    trial.acknowledge(&fresh).await;
    trial.ground.pass(2 * HELD).await;
    trial.holds(trial.claim("group", "worker", 9).await.is_empty(), "all is done");
    let idle = trial.claim("idle", "worker", 9).await;
    let mut found = texts(&idle);
    found.sort();
    trial.same(found, users(1..=8), "a group that has done nothing lacks nothing");
}

/// A new epoch takes nothing from a group, and what comes after it is not taken for what was before.
async fn epoch(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=3).await;
    trial.record(4..=6).await;
    let done = trial.claim("group", "worker", 2).await;
    trial.acknowledge(&done).await;
    let held = trial.claim("group", "worker", 2).await;
    trial.ground.new_epoch().await;
    trial.record(7..=8).await;
    let completed = trial.is_ok(trial.store().acknowledge(&held, &held.ids()).await);
    trial.same(
        (completed.done, completed.lost),
        (2, 0),
        "what was held can be completed",
    );
    let rest = trial.claim("group", "worker", 9).await;
    let mut found = texts(&rest);
    found.sort();
    trial.same(found, users(5..=8), "nothing is lost, nothing comes twice");
    let mut ids = texts_of(&rest.ids());
    ids.extend(texts_of(&held.ids()));
    ids.extend(texts_of(&done.ids()));
    trial.same(ids.len(), 8, "no id is used again");
    trial.acknowledge(&rest).await;
    trial.ground.pass(Duration::from_secs(3_600)).await;
    trial.holds(trial.claim("group", "worker", 9).await.is_empty(), "all is done");
}
