//! Transactions whose last batch is sent with their commit.

use std::time::Duration;

use larder_core::{Applied, Fence, Target};
use larder_outbox::{CommitError, Error, Outbox};
use sqlx::Executor as _;
use sqlx::sqlite::SqlitePoolOptions;

use super::ground::{MODES, ground, options, user};

/// What triggers have recorded is asked for before the commit, and is part of it here and in its token.
///
/// Contract: O20 (partial: SQLite), O21 (partial: without waits)
#[tokio::test]
async fn a_last_batch_is_committed_with_what_triggers_have_recorded() {
    for mode in MODES {
        let ground = ground(mode).await;
        let trigger = "CREATE TRIGGER added AFTER INSERT ON users BEGIN \
                       INSERT INTO larder_record (kind, name, id) VALUES ('entity', 'user', NEW.id); END";
        ground.pool.execute(trigger).await.unwrap();
        let fence = Fence::builder().build().unwrap();
        let mut follower = ground.outbox.follower(&fence).build().unwrap();
        follower.step().await.unwrap();
        let pins = [1, 2, 7].map(|id| fence.pin(&[Target::entity("user", id).unwrap()]).unwrap());
        let mut transaction = ground.outbox.begin().await.unwrap();
        let _ = transaction.record(&user(1)).await.unwrap();
        let add = "INSERT INTO users VALUES (7, 'Ada')";
        transaction.connection().execute(add).await.unwrap();
        let token = transaction.commit_with(&user(2)).await.unwrap();
        assert!(pins.iter().all(|pin| !pin.is_fresh()));
        assert_eq!(fence.applied(&token), Applied::Yes);
        let expected = [(1, 1), (1, 2), (2, 7)].map(|(position, id)| (position, format!("entity:user/{id}")));
        assert_eq!(ground.seen().await, expected);
        let last = token.requirements()[0].max_position();
        assert_eq!(last.get(), 2, "the token asks for what the trigger has recorded");
    }
}

/// A batch that is refused keeps the rows from being committed, and leaves a connection that others can use.
///
/// Contract: O16, O24
#[tokio::test]
async fn nothing_is_committed_without_its_last_batch() {
    for mode in MODES {
        let ground = ground(mode).await;
        let mut transaction = ground.outbox.begin().await.unwrap();
        for sql in [
            "INSERT INTO users VALUES (1, 'Ada')",
            "ALTER TABLE larder_log RENAME TO elsewhere",
        ] {
            transaction.connection().execute(sql).await.unwrap();
        }
        let ended = transaction.commit_with(&user(1)).await;
        assert!(
            matches!(ended, Err(CommitError::NotRecorded(Error::SchemaMissing))),
            "{ended:?}"
        );
        assert_eq!(ground.number("SELECT count(*) FROM users").await, 0);
        ground.outbox.record_alone(&user(1)).await.unwrap();
        assert_eq!(ground.seen().await.len(), 1, "the connection goes on");
    }
}

/// Wherever an end is dropped, both are committed or neither is, and the connection comes back to its pool within no transaction, in fact and by sqlx's count.
///
/// Contract: O16, O23 (partial: dropped midway)
#[tokio::test]
async fn an_end_that_is_dropped_leaves_a_connection_as_it_was() {
    for mode in MODES {
        let ground = ground(mode).await;
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options(&ground.file(), mode)).await.unwrap();
        let outbox = Outbox::builder(pool.clone()).open().await.unwrap();
        for id in 0..120_u64 {
            let mut transaction = outbox.begin().await.unwrap();
            let add = sqlx::query("INSERT INTO users VALUES (?, 'Ada')").bind(i64::try_from(id).unwrap());
            add.execute(transaction.connection()).await.unwrap();
            let batch = user(id);
            let mut ending = Box::pin(transaction.commit_with(&batch));
            if id % 10 > 0 {
                let _ = larder_testkit::poll_once(ending.as_mut());
                let so_far = Duration::from_micros(25 * (id % 40));
                tokio::time::timeout(so_far, std::future::pending::<()>())
                    .await
                    .unwrap_err();
            }
            drop(ending);
            let transaction = pool.begin_with("BEGIN IMMEDIATE").await;
            transaction
                .expect("nobody is within one")
                .rollback()
                .await
                .unwrap();
            let halves = "SELECT (SELECT count(*) FROM users) - (SELECT count(*) FROM larder_log)";
            assert_eq!(ground.number(halves).await, 0, "{mode:?}, {id}");
        }
    }
}
