//! Groups, and what a claim holds.

use std::time::Duration;

use larder_core::Namespace;
use larder_core::limits::NODE_BYTES_MAX;
use larder_outbox::limits::{BATCH_SIZE, GROUPS_MAX};
use larder_outbox::{Error, Group, Start};

use super::{Check, HELD, Trial, texts, texts_of, users};

pub(super) const CHECKS: [(&str, Check); 8] = [
    ("each row once in each group", |trial| {
        Box::pin(each_row_once(trial))
    }),
    ("what is held is held", |trial| Box::pin(what_is_held(trial))),
    ("a claim has owner and lease", |trial| {
        Box::pin(owner_and_lease(trial))
    }),
    ("groups begin where they say", |trial| Box::pin(beginnings(trial))),
    ("groups of namespaces", |trial| Box::pin(namespaces(trial))),
    ("limits of claims and groups", |trial| Box::pin(limits(trial))),
    ("rows that cannot be read", |trial| Box::pin(unreadable(trial))),
    ("a claim in parts", |trial| Box::pin(in_parts(trial))),
];

/// Several groups take each row, each once; rows come in the order of their positions.
async fn each_row_once(trial: Trial) {
    trial.open("one").await;
    trial.open("two").await;
    for commit in 0..10 {
        trial.record((0..3).map(|row| 10 * commit + row)).await;
    }
    let expected = users((0..10).flat_map(|commit| (0..3).map(move |row| 10 * commit + row)));
    for group in ["one", "two"] {
        let mut seen = Vec::new();
        for worker in 0.. {
            let claim = trial.claim(group, &format!("worker-{}", worker % 2), 7).await;
            trial.holds(claim.rows().len() <= 7, "no more than the limit");
            if claim.is_empty() {
                break;
            }
            seen.extend(texts(&claim));
            if worker % 3 > 0 {
                trial.acknowledge(&claim).await;
            }
        }
        trial.same(seen, expected.clone(), "each row once, in order");
    }
    let none = trial.claim("one", "worker", 0).await;
    trial.holds(none.is_empty(), "a limit of zero gives nothing");
    let missing = trial.store().claim("three", "worker", 1, HELD).await;
    trial.holds(
        matches!(missing, Err(Error::NoSuchGroup { .. })),
        "a group that has not begun",
    );
    trial.holds(
        trial.is_ok(trial.store().drop_group("two").await),
        "it is dropped",
    );
    trial.holds(
        !trial.is_ok(trial.store().drop_group("two").await),
        "it is not there",
    );
    trial.open("two").await;
    trial.same(
        texts(&trial.claim("two", "worker", 100).await),
        expected,
        "a group of that name begins anew",
    );
}

/// Nobody else gets a row until its time is over; then the first one's word counts no more.
async fn what_is_held(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=4).await;
    let first = trial.claim("group", "first", 100).await;
    trial.ground.pass(HELD / 2).await;
    trial.holds(trial.claim("group", "second", 100).await.is_empty(), "it is held");
    trial.record([5]).await;
    trial.same(
        texts(&trial.claim("group", "second", 100).await),
        users([5]),
        "what is new is not",
    );
    trial.ground.pass(HELD).await;
    // All that is left in this is later than the claim of the fifth.
    let second = trial.claim("group", "third", 4).await;
    trial.same(texts(&second), users(1..=4), "its time is over");
    let late = trial.is_ok(trial.store().acknowledge(&first, &first.ids()).await);
    trial.same(
        (late.done, late.lost, late.unknown),
        (0, 4, 0),
        "the late one is told",
    );
    let late = trial.is_ok(trial.store().renew(&first, HELD).await);
    trial.same((late.done, late.lost), (0, 4), "and cannot hold them again");
    trial.acknowledge(&second).await;
    trial.ground.pass(2 * HELD).await;
    trial.same(
        texts(&trial.claim("group", "fourth", 100).await),
        users([5]),
        "the others are done",
    );
    // Whose time is over while nobody else has come may still complete.
    trial.record(6..=7).await;
    let slow = trial.claim("group", "slow", 100).await;
    trial.ground.pass(2 * HELD).await;
    trial.acknowledge(&slow).await;
}

/// Rows say who holds them, since when and for how long, by the store's clock.
async fn owner_and_lease(trial: Trial) {
    trial.open("group").await;
    trial.record([1]).await;
    trial.ground.pass(Duration::from_secs(5)).await;
    let claim = trial.claim("group", "worker", 1).await;
    let row = claim.rows().first().cloned();
    let row = trial.is_ok(row.ok_or("a row"));
    trial.same(row.owner.as_deref(), Some("worker"), "the owner");
    trial.same(row.lease, Some(claim.lease()), "the lease");
    let claimed_at = trial.is_ok(row.claimed_at.ok_or("a time"));
    trial.same(
        claim.lease().until().since(claimed_at),
        HELD,
        "it is held for so long",
    );
    trial.same(
        (row.attempts, row.last_error.clone()),
        (0, None),
        "it has not failed",
    );
    trial.same(row.reason.as_str(), "check", "the reason");
    trial.same(row.hash(), row.target.hash(), "the hash");
    trial.holds(!row.is_acknowledged() && !row.is_dead(), "it is pending");
    trial.same(row.invalidation().target(), &row.target, "as a follower has it");
}

async fn beginnings(trial: Trial) {
    trial.record(1..=2).await;
    trial.open("all").await;
    let late = Group::new("late").start(Start::Head);
    trial.is_ok(trial.store().open_group(&late).await);
    trial.record(3..=4).await;
    trial.same(
        texts(&trial.claim("all", "worker", 9).await),
        users(1..=4),
        "from the oldest on",
    );
    trial.same(
        texts(&trial.claim("late", "worker", 9).await),
        users(3..=4),
        "from the head on",
    );
    trial.is_ok(trial.store().open_group(&late.start(Start::Oldest)).await);
    trial.holds(
        trial.claim("late", "worker", 9).await.is_empty(),
        "it has begun where it did",
    );
}

async fn namespaces(trial: Trial) {
    let shop = trial.is_ok(Namespace::new("shop"));
    let group = Group::new("shop").namespaces([shop.clone()]);
    trial.is_ok(trial.store().open_group(&group).await);
    for round in 0..5 {
        trial.record_tags("blog", &["post", "author"]).await;
        trial.record_tags("shop", &[&format!("price-{round}")]).await;
        trial.record_in("blog", [round]).await;
    }
    let mut seen = Vec::new();
    loop {
        let claim = trial.claim("shop", "worker", 3).await;
        if claim.is_empty() {
            break;
        }
        seen.extend(texts(&claim));
        trial.acknowledge(&claim).await;
    }
    let expected =
        (0..5).flat_map(|round| [format!("tag:shop/price-{round}"), format!("entity:user/{round}")]);
    trial.same(
        seen,
        expected.collect(),
        "its own, and what belongs to no namespace",
    );
    trial.record_tags("blog", &["other"]).await;
    trial.holds(
        trial.claim("shop", "worker", 3).await.is_empty(),
        "others are passed over",
    );
    trial.record_tags("shop", &["late"]).await;
    trial.same(
        texts(&trial.claim("shop", "worker", 3).await),
        vec!["tag:shop/late".to_owned()],
        "its own again",
    );
    let blog = trial.is_ok(Namespace::new("blog"));
    for other in [Group::new("shop"), Group::new("shop").namespaces([shop, blog])] {
        let opened = trial.store().open_group(&other).await;
        trial.holds(
            matches!(opened, Err(Error::Config(_))),
            "its namespaces are fixed",
        );
    }
}

async fn limits(trial: Trial) {
    let store = trial.store();
    for at in 1..GROUPS_MAX {
        trial.open(&format!("group-{at}")).await;
    }
    let long = "g".repeat(NODE_BYTES_MAX);
    trial.open(&long).await;
    let more = store.open_group(&Group::new("one-more")).await;
    trial.holds(
        matches!(more, Err(Error::Config(_))),
        "one group more than there may be",
    );
    for name in [String::new(), format!("{long}g"), "line\nend".to_owned()] {
        let opened = store.open_group(&Group::new(&name)).await;
        trial.holds(matches!(opened, Err(Error::Config(_))), "the name of a group");
        let claimed = store.claim("group-1", &name, 1, HELD).await;
        trial.holds(matches!(claimed, Err(Error::Config(_))), "the name of an owner");
    }
    for dead_letters_max in [0, 10_000_001] {
        let opened = store
            .open_group(&Group::new("group-1").dead_letters_max(dead_letters_max))
            .await;
        trial.holds(matches!(opened, Err(Error::Config(_))), "how many dead letters");
    }
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
    for (limit, time, is_allowed) in [
        (BATCH_SIZE.max(), HELD, true),
        (BATCH_SIZE.max() + 1, HELD, false),
        (1, second, true),
        (1, second - Duration::from_millis(1), false),
        (1, hour, true),
        (1, hour + second, false),
    ] {
        let claimed = store.claim(&long, &long, limit, time).await;
        trial.same(claimed.is_ok(), is_allowed, &format!("{limit} rows for {time:?}"));
    }
}

/// A row that nobody can read is a dead letter; those beside it go on.
async fn unreadable(trial: Trial) {
    trial.open("group").await;
    trial.record([1]).await;
    trial.ground.record_unreadable().await;
    trial.record([2]).await;
    let claim = trial.claim("group", "worker", 9).await;
    trial.same(texts(&claim), users([1, 2]), "those beside it");
    trial.same(claim.dead_lettered(), 1, "it is told");
    trial.acknowledge(&claim).await;
    // Nothing but such rows.
    trial.ground.record_unreadable().await;
    trial.ground.record_unreadable().await;
    trial.record([3]).await;
    trial.same(
        texts(&trial.claim("group", "worker", 1).await),
        users([3]),
        "it is found behind them",
    );
    let status = trial.is_ok(trial.store().status("group", None).await);
    trial.same(status.dead_lettered.at_least(), 3, "dead letters");
}

/// What one held can be taken by several afterwards, a part each.
async fn in_parts(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=5).await;
    trial.record(6..=10).await;
    let all = trial.claim("group", "all", 10).await;
    let done = [0, 3, 7].map(|at| all.rows()[at].id);
    trial.is_ok(trial.store().acknowledge(&all, &done).await);
    trial.is_ok(trial.store().release(&all).await);
    let mut seen = Vec::new();
    for (limit, expected) in [(1, vec![2]), (3, vec![3, 5, 6]), (9, vec![7, 9, 10])] {
        let part = trial.claim("group", "part", limit).await;
        trial.same(texts(&part), users(expected), "the next of them");
        seen.push(part);
    }
    let late = trial.is_ok(trial.store().acknowledge(&all, &all.ids()).await);
    trial.same(late.done, 0, "who gave them back has nothing to say");
    trial.same(texts_of(&all.ids()).len(), 10, "ids are all different");
    for part in seen.iter().rev() {
        trial.acknowledge(part).await;
    }
    trial.ground.pass(2 * HELD).await;
    trial.holds(trial.claim("group", "last", 10).await.is_empty(), "all is done");
}
