//! What becomes of the rows of a claim.

use std::time::Duration;

use larder_outbox::{Failed, Group, Next, RowState};

use super::{Check, HELD, Trial, texts, users};

pub(super) const CHECKS: [(&str, Check); 6] = [
    ("rows are acknowledged by id", |trial| Box::pin(by_id(trial))),
    ("a failure comes again", |trial| Box::pin(comes_again(trial))),
    ("a claim is held longer", |trial| Box::pin(held_longer(trial))),
    ("what is given back", |trial| Box::pin(given_back(trial))),
    ("a retry beside the rest of its batch", |trial| {
        Box::pin(retry_beside_its_batch(trial))
    }),
    ("rows are kept when they are done", |trial| Box::pin(kept(trial))),
];

async fn by_id(trial: Trial) {
    trial.open("group").await;
    trial.open("other").await;
    trial.record(1..=4).await;
    let claim = trial.claim("group", "worker", 9).await;
    let other = trial.claim("other", "worker", 9).await;
    trial.same(other.ids(), claim.ids(), "a row has one id in all groups");
    let store = trial.store();
    let done = trial.is_ok(store.acknowledge(&claim, &claim.ids()[1..3]).await);
    trial.same((done.done, done.lost, done.unknown), (2, 0, 0), "two of four");
    let again = trial.is_ok(store.acknowledge(&claim, &claim.ids()[1..3]).await);
    trial.same(
        (again.done, again.lost, again.unknown),
        (0, 2, 0),
        "no row is completed twice",
    );
    trial.record([5]).await;
    let foreign = trial.claim("group", "worker", 9).await;
    let unknown = trial.is_ok(store.acknowledge(&claim, &foreign.ids()).await);
    trial.same(
        (unknown.done, unknown.lost, unknown.unknown),
        (0, 0, 1),
        "a row of another claim",
    );
    let none = trial.is_ok(store.acknowledge(&claim, &[]).await);
    trial.same((none.done, none.lost, none.unknown), (0, 0, 0), "nothing");
    let rest = trial.is_ok(store.acknowledge(&claim, &claim.ids()).await);
    trial.same((rest.done, rest.lost), (2, 2), "the rest of it");
    trial.acknowledge(&foreign).await;
    trial.ground.pass(2 * HELD).await;
    trial.holds(trial.claim("group", "worker", 9).await.is_empty(), "all is done");
    trial.same(
        texts(&trial.claim("other", "worker", 9).await),
        users(1..=5),
        "but not in the other group",
    );
}

async fn comes_again(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=3).await;
    let claim = trial.claim("group", "worker", 9).await;
    let minute = Duration::from_secs(60);
    let long = "x".repeat(2_000);
    let failed: Vec<Failed> = [Next::Retry(minute), Next::Retry(Duration::ZERO), Next::Dead]
        .into_iter()
        .zip(claim.ids())
        .map(|(next, row)| Failed {
            row,
            error: long.clone(),
            next,
        })
        .collect();
    let store = trial.store();
    let done = trial.is_ok(store.fail(&claim, &failed).await);
    trial.same(
        (done.done, done.lost, done.unknown),
        (3, 0, 0),
        "three have failed",
    );
    let again = trial.is_ok(store.fail(&claim, &failed).await);
    trial.same((again.done, again.lost), (0, 3), "once");
    let at_once = trial.claim("group", "worker", 9).await;
    trial.same(texts(&at_once), users([2]), "the one that may come at once");
    trial.same(at_once.rows()[0].attempts, 1, "its attempts");
    trial.same(
        at_once.rows()[0].last_error.as_ref().map(String::len),
        Some(1_024),
        "its error, cut",
    );
    let failed = Failed {
        row: at_once.rows()[0].id,
        error: "again".to_owned(),
        next: Next::Retry(2 * minute),
    };
    trial.is_ok(store.fail(&at_once, &[failed]).await);
    trial.ground.pass(minute - Duration::from_secs(1)).await;
    trial.holds(
        trial.claim("group", "worker", 9).await.is_empty(),
        "not before its time",
    );
    trial.ground.pass(Duration::from_secs(2)).await;
    let first = trial.claim("group", "worker", 9).await;
    trial.same(texts(&first), users([1]), "at its time");
    trial.acknowledge(&first).await;
    trial.ground.pass(2 * minute).await;
    trial.record([4]).await;
    let both = trial.claim("group", "worker", 9).await;
    trial.same(texts(&both), users([2, 4]), "the retry before the new one");
    trial.same(both.rows()[0].attempts, 2, "its attempts");
    trial.same(
        both.rows()[0].last_error.as_deref(),
        Some("again"),
        "its last error",
    );
    trial.acknowledge(&both).await;
    trial.ground.pass(10 * minute).await;
    trial.holds(
        trial.claim("group", "worker", 9).await.is_empty(),
        "the dead one does not come",
    );
}

async fn held_longer(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=2).await;
    let claim = trial.claim("group", "worker", 1).await;
    let failed = Failed {
        row: claim.rows()[0].id,
        error: "once".to_owned(),
        next: Next::Retry(Duration::ZERO),
    };
    trial.is_ok(trial.store().fail(&claim, &[failed]).await);
    // One that has failed, and one that has not.
    let claim = trial.claim("group", "worker", 9).await;
    trial.same(claim.rows().len(), 2, "both");
    for _ in 0..3 {
        trial.ground.pass(HELD / 3 * 2).await;
        let renewed = trial.is_ok(trial.store().renew(&claim, HELD).await);
        trial.same((renewed.done, renewed.lost), (2, 0), "held on");
        trial.holds(
            trial.claim("group", "other", 9).await.is_empty(),
            "nobody else gets them",
        );
    }
    trial.ground.pass(2 * HELD).await;
    let renewed = trial.is_ok(trial.store().renew(&claim, HELD).await);
    trial.same(renewed.done, 2, "as long as nobody has taken them");
    trial.acknowledge(&claim).await;
}

async fn given_back(trial: Trial) {
    trial.open("group").await;
    trial.record(1..=2).await;
    let claim = trial.claim("group", "worker", 1).await;
    let failed = Failed {
        row: claim.rows()[0].id,
        error: "once".to_owned(),
        next: Next::Retry(Duration::ZERO),
    };
    trial.is_ok(trial.store().fail(&claim, &[failed]).await);
    let claim = trial.claim("group", "worker", 9).await;
    let given = trial.is_ok(trial.store().release(&claim).await);
    trial.same((given.done, given.lost), (2, 0), "both are given back");
    let next = trial.claim("group", "other", 9).await;
    let mut attempts: Vec<(String, u32)> = next
        .rows()
        .iter()
        .map(|row| (row.target.to_string(), row.attempts))
        .collect();
    attempts.sort();
    let expected = vec![("entity:user/1".to_owned(), 1), ("entity:user/2".to_owned(), 0)];
    trial.same(attempts, expected, "at once, and uncounted");
    let late = trial.is_ok(trial.store().acknowledge(&claim, &claim.ids()).await);
    trial.same(
        (late.done, late.lost),
        (0, 2),
        "who gave them back does not hold them",
    );
    trial.acknowledge(&next).await;
}

/// Rows that are done are kept for as long as the group says, and are no burden to claims.
async fn kept(trial: Trial) {
    let group = Group::new("group").keep_acknowledged(Duration::from_secs(600));
    let store = trial.store();
    trial.is_ok(store.open_group(&group).await);
    trial.record(1..=3).await;
    let claim = trial.claim("group", "worker", 9).await;
    let failed = Failed {
        row: claim.rows()[0].id,
        error: "once".to_owned(),
        next: Next::Retry(Duration::ZERO),
    };
    trial.is_ok(store.fail(&claim, &[failed]).await);
    trial.is_ok(store.acknowledge(&claim, &claim.ids()[1..]).await);
    let retry = trial.claim("group", "worker", 9).await;
    trial.acknowledge(&retry).await;
    let rows = trial.is_ok(store.rows_of("group", RowState::Acknowledged, None, 9).await);
    let texts: Vec<String> = rows.iter().map(|row| row.target.to_string()).collect();
    trial.same(texts, users(1..=3), "all three are kept");
    for row in &rows {
        trial.holds(
            row.is_acknowledged() && row.acknowledged_at.is_some(),
            "since when they are done",
        );
        trial.same(row.last_error.clone(), None, "the error is gone");
    }
    let page = trial.is_ok(
        store
            .rows_of("group", RowState::Acknowledged, Some(rows[0].id), 1)
            .await,
    );
    trial.same(
        page.first().map(|row| row.id),
        Some(rows[1].id),
        "a page begins after a row",
    );
    trial.ground.pass(2 * HELD).await;
    trial.holds(
        trial.claim("group", "worker", 9).await.is_empty(),
        "none comes again",
    );
}

/// One claim may hold a row that has failed and what was left of the batch from which it came: all of it can be completed.
async fn retry_beside_its_batch(trial: Trial) {
    for what in ["acknowledge", "one by one", "fail", "renew", "release"] {
        let group = format!("group for {what}");
        trial.open(&group).await;
        trial.record(1..=3).await;
        let store = trial.store();
        let first = trial.claim(&group, "first", 3).await;
        let failed = |row, next| Failed {
            row,
            error: "no".to_owned(),
            next,
        };
        let retry = failed(first.ids()[1], Next::Retry(Duration::ZERO));
        trial.is_ok(store.fail(&first, &[retry]).await);
        trial.ground.pass(2 * HELD).await;
        let both = trial.claim(&group, "second", 3).await;
        trial.same(both.rows().len(), 3, "the retry, and the rest of the batch");
        let (mut done, mut lost) = (0, 0);
        match what {
            "acknowledge" => {
                let completed = trial.is_ok(store.acknowledge(&both, &both.ids()).await);
                (done, lost) = (completed.done, completed.lost);
            }
            "one by one" => {
                for id in both.ids() {
                    let completed = trial.is_ok(store.acknowledge(&both, &[id]).await);
                    (done, lost) = (done + completed.done, lost + completed.lost);
                }
            }
            "fail" => {
                let all: Vec<Failed> = both
                    .ids()
                    .into_iter()
                    .map(|row| failed(row, Next::Dead))
                    .collect();
                let completed = trial.is_ok(store.fail(&both, &all).await);
                (done, lost) = (completed.done, completed.lost);
            }
            _ => {
                let completed = if what == "renew" {
                    trial.is_ok(store.renew(&both, HELD).await)
                } else {
                    trial.is_ok(store.release(&both).await)
                };
                (done, lost) = (completed.done, completed.lost);
            }
        }
        trial.same((done, lost), (3, 0), what);
        trial.is_ok(store.drop_group(&group).await);
    }
}
