//! What a group has yet to do, in numbers.

use std::time::Duration;

use larder_core::{Epoch, Namespace, Position, SourceId, Token};
use larder_outbox::{Count, Failed, Next, RowState};

use super::{Check, HELD, Trial};

pub(super) const CHECKS: [(&str, Check); 3] = [
    ("what is pending", |trial| Box::pin(pending(trial))),
    ("what a token asks for", |trial| Box::pin(of_token(trial))),
    ("rows in pages", |trial| Box::pin(pages(trial))),
];

async fn pending(trial: Trial) {
    trial.open("group").await;
    let store = trial.store();
    let status = trial.is_ok(store.status("group", None).await);
    trial.same(
        (status.pending, status.oldest_pending),
        (Count::Exactly(0), Duration::ZERO),
        "nothing",
    );
    trial.same(
        (status.acknowledged_at, status.failed_attempts),
        (None, 0),
        "never",
    );
    trial.record_in("shop", 1..=3).await;
    trial.ground.pass(Duration::from_secs(60)).await;
    trial.record_in("blog", 4..=5).await;
    let claim = trial.claim("group", "worker", 4).await;
    let status = trial.is_ok(store.status("group", None).await);
    trial.same(status.pending, Count::Exactly(5), "held or not");
    let minute = Duration::from_secs(60)..Duration::from_secs(90);
    trial.holds(minute.contains(&status.oldest_pending), "the age of the oldest");
    trial.is_ok(store.acknowledge(&claim, &claim.ids()[..2]).await);
    let failed = |at: usize, next| Failed {
        row: claim.rows()[at].id,
        error: "no".to_owned(),
        next,
    };
    let failures = [failed(2, Next::Dead), failed(3, Next::Retry(HELD))];
    trial.is_ok(store.fail(&claim, &failures).await);
    let status = trial.is_ok(store.status("group", None).await);
    trial.same(
        (status.pending, status.dead_lettered),
        (Count::Exactly(2), Count::Exactly(1)),
        "what is left",
    );
    trial.same(
        (status.acknowledged_at.is_some(), status.failed_attempts),
        (true, 2),
        "what was",
    );
    trial.holds(
        status.oldest_pending < Duration::from_secs(30),
        "the older ones are done",
    );
    for (namespace, pending, dead) in [("shop", 0, 1), ("blog", 2, 0), ("none", 0, 0)] {
        let namespace = trial.is_ok(Namespace::new(namespace));
        let status = trial.is_ok(store.status("group", Some(&namespace)).await);
        let counts = (status.pending, status.dead_lettered);
        trial.same(
            counts,
            (Count::Exactly(pending), Count::Exactly(dead)),
            namespace.as_str(),
        );
    }
}

async fn of_token(trial: Trial) {
    trial.open("group").await;
    let store = trial.store();
    let first = trial.record(1..=3).await;
    let second = trial.record(4..=6).await;
    let both = first.merge(&second);
    let count = async |token: &Token| {
        let status = trial.is_ok(store.status_of("group", token).await);
        (
            status.pending.at_least(),
            status.dead_lettered.at_least(),
            status.unknown,
        )
    };
    trial.same(
        count(&Token::default()).await,
        (0, 0, false),
        "a token of nothing",
    );
    trial.same(
        (count(&first).await, count(&both).await),
        ((3, 0, false), (6, 0, false)),
        "nobody has had them",
    );
    let claim = trial.claim("group", "worker", 4).await;
    trial.same(
        (count(&first).await, count(&second).await),
        ((3, 0, false), (3, 0, false)),
        "some are held",
    );
    trial.is_ok(store.acknowledge(&claim, &claim.ids()[1..]).await);
    trial.same(
        (count(&first).await, count(&second).await),
        ((1, 0, false), (2, 0, false)),
        "some are done",
    );
    let dead = Failed {
        row: claim.rows()[0].id,
        error: "no".to_owned(),
        next: Next::Dead,
    };
    trial.is_ok(store.fail(&claim, &[dead]).await);
    trial.same(count(&first).await, (0, 1, false), "one is dead");
    let rest = trial.claim("group", "worker", 9).await;
    trial.ground.new_epoch().await;
    trial.same(count(&second).await, (2, 0, false), "in an epoch that is over");
    trial.acknowledge(&rest).await;
    trial.same(count(&second).await, (0, 0, false), "all are done");
    // Of what nobody has decided, nobody can say that it is done.
    let head = trial.is_ok(store.source().head().await);
    let (source, epoch) = (head.cursor.source(), head.cursor.epoch());
    let far = Position::new(head.cursor.end().get() + 1_000);
    trial.holds(
        count(&Token::commit(source, epoch, far)).await.0 > 0,
        "a commit that is yet to come",
    );
    let foreign = Token::commit(SourceId::new(1), epoch, Position::new(1));
    trial.holds(count(&foreign).await.2, "another source");
    trial.holds(
        count(&Token::commit(source, Epoch::new(1), far)).await.2,
        "an epoch that never was",
    );
    trial.holds(
        count(&Token::origin_only()).await.2,
        "what only the origin can tell",
    );
}

async fn pages(trial: Trial) {
    trial.open("group").await;
    let store = trial.store();
    for commit in 0..10_u64 {
        trial.record((0..5).map(|row| 100 * commit + row)).await;
    }
    let held = trial.claim("group", "worker", 12).await;
    trial.is_ok(store.acknowledge(&held, &held.ids()[..2]).await);
    let failed = |at: usize| Failed {
        row: held.rows()[at].id,
        error: "no".to_owned(),
        next: Next::Retry(HELD),
    };
    trial.is_ok(store.fail(&held, &[failed(4), failed(7)]).await);
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = trial.is_ok(store.rows_of("group", RowState::Pending, after, 7).await);
        trial.holds(page.len() <= 7, "no longer than asked for");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page);
    }
    let positions: Vec<(Position, u64)> = seen.iter().map(|row| (row.position(), row.ordinal())).collect();
    trial.holds(
        positions.is_sorted_by(|one, next| one < next),
        "in order, each once",
    );
    trial.same(seen.len(), 48, "all that are pending");
    let are_held = seen
        .iter()
        .filter(|row| row.owner.as_deref() == Some("worker"))
        .count();
    trial.same(are_held, 8, "those that are held say by whom");
    trial.same(
        seen.iter().filter(|row| row.attempts == 1).count(),
        2,
        "and those that failed, how often",
    );
}
