//! What was found by trying to break it from outside, each as it was found.

use std::time::Duration;

use larder_core::{Applied, Certainty, Fence, Invalidations, LaneState, Target};
use larder_outbox::{CommitError, Error, Follower, Outbox, OutboxTx};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Executor as _, Sqlite};

use super::ground::{Ground, MODES, ground, impatient, options, user};

struct Node {
    outbox: Outbox<Sqlite>,
    fence: Fence,
    follower: Follower,
}

impl Node {
    async fn on(ground: &Ground, connections: u32, rows_a_read: usize) -> Self {
        let pool = SqlitePoolOptions::new().max_connections(connections);
        let pool = pool
            .connect_with(options(&ground.file(), ground.mode))
            .await
            .unwrap();
        let outbox = Outbox::builder(pool).open().await.unwrap();
        let fence = Fence::builder().build().unwrap();
        let mut follower = outbox.follower(&fence).rows_a_read(rows_a_read).build().unwrap();
        follower.step().await.unwrap();
        Node {
            outbox,
            fence,
            follower,
        }
    }

    fn pin(&self, id: u64) -> larder_core::Pin {
        self.fence.pin(&[Target::entity("user", id).unwrap()]).unwrap()
    }
}

async fn roll_back_by_itself(transaction: &mut OutboxTx<'static, Sqlite>) -> Result<(), sqlx::Error> {
    let again = "INSERT OR ROLLBACK INTO users VALUES (1, 'again')";
    transaction.connection().execute(again).await.map(drop)
}

/// A transaction that SQLite has rolled back by itself leaves a connection that sqlx believes to be within one. A follower that
/// drew it from the pool read the same snapshot for ever, and was sure; among several it took that for a restored file, and
/// emptied the log.
///
/// Contract: O32 (partial: SQLite), O43
#[tokio::test]
async fn a_connection_that_was_rolled_back_by_itself_freezes_nobody() {
    for mode in MODES {
        for connections in [1, 2, 5] {
            let ground = ground(mode).await;
            ground
                .pool
                .execute("INSERT INTO users VALUES (1, 'Ada')")
                .await
                .unwrap();
            let mut node = Node::on(&ground, connections, 1_000).await;
            for _ in 0..connections {
                let failed = node
                    .outbox
                    .transaction(|transaction| Box::pin(roll_back_by_itself(transaction)))
                    .await;
                assert!(failed.is_err());
            }
            for id in 0..12 {
                let pin = node.pin(id);
                let token = ground.outbox.record_alone(&user(id)).await.unwrap();
                let step = node.follower.step().await.unwrap();
                assert_eq!((step.rows, step.gap), (1, false), "{connections} connections");
                assert!(!pin.is_fresh() && node.fence.applied(&token) == Applied::Yes);
            }
            node.outbox.record_alone(&user(1)).await.unwrap();
            assert_eq!(ground.outbox.head().await.unwrap().former, []);
        }
    }
}

/// A trigger records at a position of its own. The token of the commit did not ask for it, and the own node did not apply it.
///
/// Contract: O21 (partial: without waits), O30 (partial: SQLite)
#[tokio::test]
async fn a_commit_covers_what_its_triggers_have_recorded() {
    let ground = ground(MODES[0]).await;
    for sql in [
        "INSERT INTO users VALUES (7, 'Ada')",
        "CREATE TRIGGER renamed AFTER UPDATE ON users BEGIN \
         INSERT INTO larder_record (kind, name, id) VALUES ('entity', 'user', NEW.id); END",
    ] {
        ground.pool.execute(sql).await.unwrap();
    }
    let rename = "UPDATE users SET name = name || '!' WHERE id = 7";
    for (before, after) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut here, mut there) = (Node::on(&ground, 3, 1_000).await, Node::on(&ground, 3, 1).await);
        let (of_here, of_there) = (here.pin(7), there.pin(7));
        let mut transaction = here.outbox.begin().await.unwrap();
        if before {
            let _ = transaction.record(&user(1)).await.unwrap();
        }
        transaction.connection().execute(rename).await.unwrap();
        if after {
            let _ = transaction.record(&user(2)).await.unwrap();
        }
        let token = transaction.commit().await.unwrap();
        assert!(!of_here.is_fresh() && here.fence.applied(&token) == Applied::Yes);
        here.follower.step().await.unwrap();
        while there.fence.applied(&token) != Applied::Yes {
            assert!(!there.follower.step().await.unwrap().gap);
        }
        assert!(!of_there.is_fresh(), "{before} {after}: applied means all of it");
    }
}

/// Long ids in rows of others were recorded as their namespace, whatever the kind; without a kind nothing was recorded at all.
///
/// Contract: O30 (partial: SQLite), O56 (partial: rows of others)
#[tokio::test]
async fn rows_of_others_are_never_narrower_than_what_was_asked() {
    let ground = ground(MODES[0]).await;
    for (kind, id, expected) in [
        ("NULL", "'1'", vec!["everything"]),
        ("NULL", "LONG", vec!["everything"]),
        ("'everything'", "LONG", vec!["everything"]),
        ("'collection'", "LONG", vec!["collection:user"]),
        ("'tag'", "LONG", vec!["tag:default/user"]),
        ("'namespace'", "LONG", vec!["namespace:default"]),
        ("'ENTITY'", "LONG", vec!["everything"]),
        (
            "'entity'",
            "LONG",
            vec!["collection:user", "collection:user.lists"],
        ),
        (
            "'entity'",
            "NULL",
            vec!["collection:user", "collection:user.lists"],
        ),
        ("'entity'", "''", vec!["entity:user/"]),
        ("'entity'", "42.0", vec!["entity:user/42"]),
        ("'entity'", "-7", vec!["entity:user/-7"]),
        (
            "'entity'",
            "1.5",
            vec!["collection:user", "collection:user.lists"],
        ),
        (
            "'entity'",
            "1e300",
            vec!["collection:user", "collection:user.lists"],
        ),
        ("'key'", "LONG", vec!["namespace:default"]),
        ("'key'", "NULL", vec!["namespace:default"]),
    ] {
        let head = ground.outbox.head().await.unwrap().cursor;
        let id = id.replace("LONG", "printf('%.*c', 1025, 'x')");
        let sql = format!("INSERT INTO larder_record (kind, name, id) VALUES ({kind}, 'user', {id})");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&ground.pool)
            .await
            .unwrap();
        let (rows, _) = ground.read_all(&head, 10).await;
        let texts: Vec<String> = rows.iter().map(|row| row.target().to_string()).collect();
        assert_eq!(texts, expected, "{kind} {id}");
    }
}

/// Where the numbers of the log are damaged nothing was recorded, and that was told as success. It is an error, for the writer of
/// a row through the view too, and followers are not sure.
///
/// Contract: O16, O30 (partial: SQLite)
#[tokio::test]
async fn damaged_numbers_are_an_error_for_everybody() {
    for damage in [
        "UPDATE larder_meta SET value = -7 WHERE key = 'position'",
        "UPDATE larder_meta SET value = 9223372036854775807 WHERE key = 'position'",
        "DELETE FROM larder_meta WHERE key = 'position'",
    ] {
        let ground = ground(MODES[0]).await;
        let mut node = Node::on(&ground, 3, 1_000).await;
        ground.outbox.record_alone(&user(1)).await.unwrap();
        node.follower.step().await.unwrap();
        ground.pool.execute(damage).await.unwrap();
        let alone = ground.outbox.record_alone(&user(2)).await;
        assert!(alone.is_err(), "{damage}");
        let mut transaction = ground.pool.begin().await.unwrap();
        let recorded = ground.outbox.record(&mut transaction, &user(2)).await;
        assert!(recorded.is_err(), "{damage}: {recorded:?}");
        transaction.rollback().await.unwrap();
        let through_view = "INSERT INTO larder_record (kind, name, id) VALUES ('entity', 'user', '2')";
        assert!(ground.pool.execute(through_view).await.is_err(), "{damage}");
        assert_eq!(ground.number("SELECT count(*) FROM larder_log").await, 1);
        if damage.contains("-7") || damage.contains("DELETE") {
            assert!(node.follower.step().await.is_err(), "{damage}");
            assert!(matches!(
                Outbox::builder(ground.pool.clone()).open().await,
                Err(Error::Damaged)
            ));
        }
    }
}

/// The file was put back behind a commit of the own node before its follower had met it. The follower noticed nothing, kept
/// what had been read meanwhile, and took the next commit at that position for its own.
///
/// Contract: O43, O57 (partial: a log that was put back)
#[tokio::test]
async fn a_log_that_was_put_back_behind_an_own_commit_is_noticed() {
    let ground = ground(MODES[0]).await;
    let mut node = Node::on(&ground, 3, 1_000).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    node.follower.step().await.unwrap();
    let lost = node.outbox.record_alone(&user(2)).await.unwrap();
    let filled = node.pin(2);
    // As a restore of the file would: the commit is not there any more.
    for sql in [
        "DELETE FROM larder_log WHERE position = 2",
        "UPDATE larder_meta SET value = 1 WHERE key = 'position'",
    ] {
        ground.pool.execute(sql).await.unwrap();
    }
    let step = node.follower.step().await.unwrap();
    assert!(step.gap && !filled.is_fresh());
    let pin = node.pin(3);
    let other = ground.outbox.record_alone(&user(3)).await.unwrap();
    assert_eq!(other, lost, "the position is given out again");
    assert_ne!(node.fence.applied(&other), Applied::Yes, "it is another commit");
    node.follower.step().await.unwrap();
    assert!(!pin.is_fresh() && node.fence.applied(&other) == Applied::Yes);
}

/// Another log in the place of this one was followed under the name of this one.
///
/// Contract: O25 (partial: SQLite), O69 (partial: `Suspect`)
#[tokio::test]
async fn another_log_in_its_place_is_not_followed() {
    let ground = ground(MODES[0]).await;
    let mut node = Node::on(&ground, 3, 1_000).await;
    ground
        .pool
        .execute("UPDATE larder_meta SET value = value + 1 WHERE key = 'source'")
        .await
        .unwrap();
    assert!(node.follower.step().await.is_err());
    assert!(node.outbox.head().await.is_err());
    assert_ne!(node.follower.handle().status().state, LaneState::Gap);
    assert_eq!(node.fence.certainty(), Certainty::Sure, "until its lease is over");
}

/// A batch that was dropped on its way was committed in part.
///
/// Contract: O16, O24
#[tokio::test]
async fn a_batch_that_was_dropped_half_way_is_not_committed() {
    let ground = ground(MODES[0]).await;
    let mut batch = Invalidations::default();
    for id in 0..4_000 {
        batch.push(Target::entity("user", id).unwrap()).unwrap();
    }
    let mut times = 0;
    for polls in [1, 2, 4] {
        let mut transaction = ground.outbox.begin().await.unwrap();
        let mut recording = Box::pin(transaction.record(&batch));
        let mut dropped = true;
        for _ in 0..polls {
            tokio::task::yield_now().await;
            if larder_testkit::poll_once(recording.as_mut()).is_ready() {
                dropped = false;
                break;
            }
        }
        drop(recording);
        let ended = transaction.commit().await;
        if dropped {
            times += 1;
            assert!(matches!(ended, Err(CommitError::Incomplete)), "{ended:?}");
            assert_eq!(ground.number("SELECT count(*) FROM larder_log").await, 0);
        }
    }
    assert!(times > 0, "it was dropped on its way");
}

/// Texts in UTF-16 were all read as something else.
///
/// Contract: O44
#[tokio::test]
async fn a_database_in_utf_16_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pool = super::ground::pool(&folder.path().join("wide.db"), MODES[1]).await;
    pool.execute("PRAGMA encoding = 'UTF-16le'; CREATE TABLE wide (text TEXT)")
        .await
        .unwrap();
    let Err(Error::Config(config)) = Outbox::builder(pool).migrate().await else {
        panic!("it was taken");
    };
    assert!(config.to_string().contains("UTF-16le"), "{config}");
}

/// A round was dropped while it asked whether anybody had committed; the next one asked on another connection, whose numbers begin anew, found the number of the
/// first one, and said that there was nothing to read.
///
/// Contract: O42, O47
#[tokio::test]
async fn a_step_that_is_dropped_does_not_eat_the_news() {
    for mode in MODES {
        let ground = ground(mode).await;
        let fence = Fence::builder().build().unwrap();
        let elsewhere = Outbox::builder(super::ground::pool(&ground.file(), mode).await)
            .open()
            .await
            .unwrap();
        let mut follower = Follower::builder(elsewhere.source(), &fence).build().unwrap();
        for round in 0..60_u64 {
            follower.step().await.unwrap();
            follower.step().await.unwrap();
            let pin = fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap();
            ground.outbox.record_alone(&user(1)).await.unwrap();
            {
                // Polled a few times, and dropped.
                let mut step = Box::pin(follower.step());
                for _ in 0..=round % 6 {
                    let polled = larder_testkit::poll_once(step.as_mut());
                    if polled.is_ready() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            }
            let step = follower.step().await.unwrap();
            assert!(
                !(step.caught_up && pin.is_fresh()),
                "{mode:?}, round {round}: it says that it has read everything"
            );
        }
    }
}

/// Between two steps by hand a sign of life was left half way: it held a connection, and sometimes the right to write, for as long as nobody came
/// back to it.
///
/// Contract: O50 (partial: never blocking)
#[tokio::test]
async fn nothing_is_held_between_two_steps() {
    for mode in MODES {
        let ground = ground(mode).await;
        let (_, impatient) = impatient(&ground).await;
        let fence = Fence::builder().build().unwrap();
        let follower = ground.outbox.follower(&fence);
        let mut follower = follower.publish_every(Duration::from_millis(50)).build().unwrap();
        let mut beaten = std::collections::BTreeSet::new();
        for id in 0..12 {
            impatient.record_alone(&user(id)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            // A sign of life is due after the first, and the second has little else to do.
            for _ in 0..2 {
                follower.step().await.unwrap();
            }
            // A connection is given back by a task of its own.
            tokio::task::yield_now().await;
            impatient
                .record_alone(&user(id))
                .await
                .expect("nobody else writes");
            let nodes = ground.outbox.nodes().list().await.unwrap();
            beaten.extend(nodes[0].applied.as_ref().map(larder_core::Cursor::horizon));
        }
        assert!(
            beaten.len() > 6,
            "signs of life are given all the same: {beaten:?}"
        );
        let closed = tokio::time::timeout(Duration::from_secs(20), ground.pool.close());
        closed.await.expect("every connection was given back");
    }
}
