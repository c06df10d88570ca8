//! Transactions that the outbox begins, and how they end.

use larder_outbox::{CommitError, TransactionError};

use super::ground::{MODES, ground, user};

#[derive(Debug, thiserror::Error)]
enum Oops {
    #[error("of the body")]
    Body,
    #[error(transparent)]
    Outbox(#[from] larder_outbox::Error),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Contract: O24
#[tokio::test]
async fn a_body_that_succeeds_is_committed_and_one_that_fails_is_not() {
    for mode in MODES {
        let ground = ground(mode).await;
        let done = ground.outbox.transaction(|transaction| {
            Box::pin(async move {
                sqlx::query("INSERT INTO users VALUES (1, 'Ada')")
                    .execute(transaction.connection())
                    .await?;
                transaction.record(&user(1)).await?;
                Ok::<_, Oops>("done")
            })
        });
        let (result, token) = done.await.unwrap();
        assert_eq!((result, token.requirements().len()), ("done", 1));
        let failed = ground.outbox.transaction(|transaction| {
            Box::pin(async move {
                sqlx::query("INSERT INTO users VALUES (2, 'Ada')")
                    .execute(transaction.connection())
                    .await?;
                transaction.record(&user(2)).await?;
                Err::<(), _>(Oops::Body)
            })
        });
        assert!(matches!(failed.await, Err(TransactionError::Body(Oops::Body))));
        assert_eq!(ground.number("SELECT count(*) FROM users").await, 1);
        assert_eq!(ground.seen().await.len(), 1);
    }
}

/// A panic rolls back and goes on to the caller; what runs on another thread may do the same.
///
/// Contract: O24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_rolls_back_and_goes_on() {
    let ground = ground(MODES[0]).await;
    let outbox = ground.outbox.clone();
    let task = tokio::spawn(async move {
        let body = outbox.transaction(|transaction| {
            Box::pin(async move {
                transaction.record(&user(1)).await?;
                if true {
                    panic!("on purpose");
                }
                Ok::<(), Oops>(())
            })
        });
        body.await.map(drop)
    });
    let panic = task.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    ground.outbox.record_alone(&user(2)).await.unwrap();
    assert_eq!(ground.seen().await, [(1, "entity:user/2".to_owned())]);
}

/// A body that goes on after a batch was refused does not commit its rows without it.
///
/// Contract: O24
#[tokio::test]
async fn rows_are_not_committed_without_their_batch() {
    let ground = ground(MODES[0]).await;
    let done = ground.outbox.transaction(|transaction| {
        Box::pin(async move {
            sqlx::query("INSERT INTO users VALUES (1, 'Ada')")
                .execute(transaction.connection())
                .await?;
            sqlx::query("ALTER TABLE larder_log RENAME TO elsewhere")
                .execute(transaction.connection())
                .await?;
            drop(transaction.record(&user(1)).await);
            sqlx::query("ALTER TABLE elsewhere RENAME TO larder_log")
                .execute(transaction.connection())
                .await?;
            Ok::<_, Oops>(())
        })
    });
    assert!(matches!(done.await, Err(TransactionError::Record)));
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 0);
}

/// A commit that a constraint forbids has certainly changed nothing, and says so.
///
/// Contract: O23 (partial: certainly rolled back), O24
#[tokio::test]
async fn a_commit_that_is_refused_says_that_nothing_was_committed() {
    let ground = ground(MODES[0]).await;
    sqlx::query("CREATE TABLE posts (author INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
        .execute(&ground.pool)
        .await
        .unwrap();
    for is_sent_with_it in [false, true] {
        let mut transaction = ground.outbox.begin().await.unwrap();
        sqlx::query("INSERT INTO posts VALUES (9)")
            .execute(transaction.connection())
            .await
            .unwrap();
        let ended = if is_sent_with_it {
            transaction.commit_with(&user(9)).await
        } else {
            let _ = transaction.record(&user(9)).await.unwrap();
            transaction.commit().await
        };
        assert!(matches!(ended, Err(CommitError::NotCommitted(_))), "{ended:?}");
        assert!(ground.seen().await.is_empty());
    }
    ground.outbox.record_alone(&user(1)).await.unwrap();
    assert_eq!(ground.seen().await.len(), 1, "the connection goes on");
}

/// Contract: O26
#[tokio::test]
async fn a_batch_may_have_a_transaction_of_its_own() {
    for mode in MODES {
        let ground = ground(mode).await;
        let token = ground.outbox.record_alone(&user(7)).await.unwrap();
        assert_eq!(ground.seen().await, [(1, "entity:user/7".to_owned())]);
        let head = ground.outbox.head().await.unwrap();
        assert!(token.requirements()[0].is_satisfied_by(&head.cursor, |_| false));
        assert_eq!(head.as_of.point(), 1);
    }
}
