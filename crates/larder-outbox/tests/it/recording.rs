//! Batches in the caller's transactions.

use larder_core::{Invalidations, Namespace, Target, Timestamp, Token};
use larder_outbox::Error;
use sqlx::Acquire as _;

use super::ground::{MODES, ground, pool, user};

/// Rows and invalidations are committed together, or neither is.
///
/// Contract: O16
#[tokio::test]
async fn both_commit_or_neither_does() {
    for mode in MODES {
        let ground = ground(mode).await;
        for (id, commits) in [(1_u32, true), (2, false), (3, true)] {
            let mut transaction = ground.pool.begin().await.unwrap();
            let _ = ground
                .outbox
                .record(&mut transaction, &user(u64::from(id)))
                .await
                .unwrap();
            sqlx::query("INSERT INTO users VALUES (?, 'Ada')")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .unwrap();
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
        }
        assert_eq!(ground.number("SELECT sum(id) FROM users").await, 4);
        let seen = ground.seen().await;
        assert_eq!(
            seen,
            [(1, "entity:user/1".to_owned()), (2, "entity:user/3".to_owned())]
        );
    }
}

/// A savepoint that is rolled back takes its rows with it, and no others.
///
/// Contract: O16
#[tokio::test]
async fn a_savepoint_takes_back_only_its_own() {
    let ground = ground(MODES[0]).await;
    let mut transaction = ground.pool.begin().await.unwrap();
    let first = ground.outbox.record(&mut transaction, &user(1)).await.unwrap();
    let mut inner = transaction.begin().await.unwrap();
    let lost = ground.outbox.record(&mut inner, &user(2)).await.unwrap();
    inner.rollback().await.unwrap();
    let last = ground.outbox.record(&mut transaction, &user(3)).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(
        (first.position().unwrap().get(), lost.position().unwrap().get()),
        (1, 2)
    );
    assert_eq!(
        last.position().unwrap().get(),
        2,
        "the number came back with the savepoint"
    );
    let seen = ground.seen().await;
    assert_eq!(
        seen,
        [(1, "entity:user/1".to_owned()), (2, "entity:user/3".to_owned())]
    );
    let token = ground.outbox.committed([first, lost, last]);
    assert!(token.requirements()[0].is_satisfied_by(&ground.outbox.head().await.unwrap().cursor, |_| false));
}

/// The receipt says what was written, and whether the batch has widened itself.
///
/// Contract: O18, O10
#[tokio::test]
async fn a_receipt_says_what_was_written() {
    let ground = ground(MODES[0]).await;
    let shop = Namespace::new("shop").unwrap();
    let batch = Invalidations::new(shop.clone(), "paid")
        .entity_and_lists("order", 7)
        .unwrap()
        .tag("team:7")
        .unwrap();
    let mut transaction = ground.pool.begin().await.unwrap();
    let recorded = ground.outbox.record(&mut transaction, &batch).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(recorded.namespace(), &shop);
    assert_eq!((recorded.inserted(), recorded.collapsed()), (3, false));
    let now = ground
        .number("SELECT CAST((julianday('now') - 2440587.5) * 86400 AS INTEGER)")
        .await;
    let at = recorded.recorded_at();
    assert!(
        (at.as_micros() / 1_000_000 - now).abs() <= 5,
        "{at} is by the database's clock"
    );

    let mut wide = Invalidations::new(shop, "all").collapse_count(16).unwrap();
    for id in 0..20 {
        wide.push(Target::entity("order", id).unwrap()).unwrap();
    }
    let mut transaction = ground.pool.begin().await.unwrap();
    let recorded = ground.outbox.record(&mut transaction, &wide).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((recorded.inserted(), recorded.collapsed()), (2, true));
    let seen: Vec<String> = ground.seen().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        seen,
        [
            "entity:order/7",
            "collection:order.lists",
            "tag:shop/team:7",
            "collection:order",
            "collection:order.lists"
        ]
    );
}

/// An empty batch sends nothing, not even to a database that is not there, and its token asks for nothing.
///
/// Contract: O18
#[tokio::test]
async fn an_empty_batch_sends_nothing() {
    let ground = ground(MODES[0]).await;
    let mut transaction = ground.pool.begin().await.unwrap();
    sqlx::query("DROP VIEW larder_record")
        .execute(&mut *transaction)
        .await
        .unwrap();
    for table in [
        "DROP TABLE larder_log",
        "DROP TABLE larder_meta",
        "DROP TABLE larder_node",
    ] {
        sqlx::query(table).execute(&mut *transaction).await.unwrap();
    }
    let recorded = ground
        .outbox
        .record(&mut transaction, &Invalidations::default())
        .await
        .unwrap();
    assert_eq!((recorded.position(), recorded.inserted()), (None, 0));
    assert_eq!(recorded.recorded_at(), Timestamp::UNIX_EPOCH);
    let refused = ground.outbox.record(&mut transaction, &user(1)).await;
    assert!(matches!(refused, Err(Error::SchemaMissing)), "{refused:?}");
    transaction.rollback().await.unwrap();
    assert_eq!(ground.outbox.committed([recorded]), Token::default());
    let alone = ground
        .outbox
        .record_alone(&Invalidations::default())
        .await
        .unwrap();
    assert!(alone.is_empty());
    assert!(ground.seen().await.is_empty());
}

/// The same target at the same position is one row; two commits never share one.
///
/// Contract: O19, O20 (partial: SQLite)
#[tokio::test]
async fn a_target_counts_once_for_each_commit() {
    let ground = ground(MODES[0]).await;
    let mut transaction = ground.outbox.begin().await.unwrap();
    let first = transaction.record(&user(1)).await.unwrap();
    let both = user(1).entity("user", 2).unwrap();
    let second = transaction.record(&both).await.unwrap();
    assert_eq!((first.inserted(), second.inserted()), (1, 1));
    assert_eq!(first.position(), second.position());
    transaction.commit().await.unwrap();
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let seen = ground.seen().await;
    let text = |id: u64| format!("entity:user/{id}");
    assert_eq!(seen, [(1, text(1)), (1, text(2)), (2, text(1))]);
    assert_eq!(
        ground
            .number("SELECT count(DISTINCT position || '-' || ordinal) FROM larder_log")
            .await,
        3
    );
}

/// In a plain transaction each call has a position of its own, and the token covers the last.
///
/// Contract: O20 (partial: SQLite), O22 (partial: the token), O60 (partial: SQLite)
#[tokio::test]
async fn a_plain_transaction_has_a_position_for_each_call() {
    let ground = ground(MODES[0]).await;
    let mut transaction = ground.pool.begin().await.unwrap();
    let mut receipts = Vec::new();
    for id in 1..=3 {
        receipts.push(ground.outbox.record(&mut transaction, &user(id)).await.unwrap());
    }
    transaction.commit().await.unwrap();
    let positions: Vec<u64> = receipts.iter().map(|one| one.position().unwrap().get()).collect();
    assert_eq!(positions, [1, 2, 3]);
    let token = ground.outbox.committed(receipts);
    let requirement = &token.requirements()[0];
    assert_eq!(requirement.max_position().get(), 3);
    assert!(
        positions
            .iter()
            .all(|at| requirement.requires(larder_core::Position::new(*at)))
    );

    let mut transaction = ground.outbox.begin().await.unwrap();
    for id in 4..=6 {
        let _ = transaction.record(&user(id)).await.unwrap();
    }
    let token = transaction.commit().await.unwrap();
    assert_eq!(token.requirements()[0].singles().len(), 1);
    assert_eq!(token.requirements()[0].max_position().get(), 4);
}

/// A position stays that of its transaction though a savepoint has taken the counter back.
///
/// Contract: O19, O20 (partial: SQLite)
#[tokio::test]
async fn no_two_commits_share_a_position_after_a_savepoint() {
    let ground = ground(MODES[0]).await;
    let mut transaction = ground.outbox.begin().await.unwrap();
    sqlx::query("SAVEPOINT inner_one")
        .execute(transaction.connection())
        .await
        .unwrap();
    let _ = transaction.record(&user(1)).await.unwrap();
    sqlx::query("ROLLBACK TO inner_one")
        .execute(transaction.connection())
        .await
        .unwrap();
    let second = transaction.record(&user(2)).await.unwrap();
    let token = transaction.commit().await.unwrap();
    assert_eq!(token.requirements()[0].max_position(), second.position().unwrap());
    ground.outbox.record_alone(&user(3)).await.unwrap();
    let seen = ground.seen().await;
    assert_eq!(
        seen,
        [(1, "entity:user/2".to_owned()), (2, "entity:user/3".to_owned())]
    );
}

/// What a transaction cannot do is said by name, and nothing is recorded.
///
/// Contract: O25 (partial: SQLite)
#[tokio::test]
async fn what_cannot_be_recorded_is_refused_by_name() {
    for mode in MODES {
        let (ours, other) = (ground(mode).await, ground(mode).await);
        let mut foreign = other.pool.begin().await.unwrap();
        let refused = ours.outbox.record(&mut foreign, &user(1)).await;
        assert!(matches!(refused, Err(Error::WrongDatabase)), "{refused:?}");
        foreign.rollback().await.unwrap();

        let writer = ours.outbox.begin().await.unwrap();
        let (pool, impatient) = super::ground::impatient(&ours).await;
        let mut late = pool.begin().await.unwrap();
        let refused = impatient.record(&mut late, &user(1)).await;
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
        assert!(refused.unwrap_err().is_retryable());
        late.rollback().await.unwrap();
        let refused = impatient.begin().await;
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
        writer.rollback().await.unwrap();

        let reader = super::ground::options(&ours.file(), mode).read_only(true);
        let reader = sqlx::SqlitePool::connect_with(reader).await.unwrap();
        let mut reading = reader.begin().await.unwrap();
        let refused = ours.outbox.record(&mut reading, &user(1)).await;
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
        drop(reading);
        assert!(ours.seen().await.is_empty() && other.seen().await.is_empty());
    }
}

/// A new epoch of the same source is adopted by whoever records.
///
/// Contract: O25 (partial: SQLite)
#[tokio::test]
async fn a_new_epoch_is_adopted() {
    let ground = ground(MODES[0]).await;
    let before = ground.outbox.record_alone(&user(1)).await.unwrap();
    let elsewhere = pool(&ground.file(), MODES[0]).await;
    let elsewhere = larder_outbox::Outbox::builder(elsewhere).open().await.unwrap();
    elsewhere.new_epoch().await.unwrap();
    let after = ground.outbox.record_alone(&user(2)).await.unwrap();
    let epoch = |token: &Token| token.requirements()[0].epoch();
    assert_ne!(epoch(&before), epoch(&after));
    let head = ground.outbox.head().await.unwrap();
    assert_eq!(epoch(&after), head.cursor.epoch());
    assert_eq!(head.former, [epoch(&before)]);
}
