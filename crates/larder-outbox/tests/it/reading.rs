//! The log as a source.

use std::time::Duration;

use larder_core::{Cursor, Delivered, Invalidations, Namespace, Position, Target};
use larder_testkit::{Random, for_each_seed};

use super::ground::{MODES, ground, texts, user};

/// Whatever the limit and wherever a reader stops, it sees every row of every commit, in order, and from an older cursor the
/// same rows again. A commit larger than the limit comes in parts, and is included after the last.
///
/// Contract: O32 (partial: SQLite), O41 (partial: the order)
#[test]
fn every_row_is_delivered_whatever_the_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for_each_seed(6, |seed| {
        runtime.block_on(async {
            let mut random = Random::seeded(seed);
            let mode = MODES[random.index(2)];
            let ground = ground(mode).await;
            let mut expected = Vec::new();
            let mut cursors: Vec<(usize, Cursor)> = vec![(0, ground.beginning().await)];
            for position in 1..=12_u64 {
                let mut batch = Invalidations::new(Namespace::default(), "x");
                let count = [1, 2, 7, 30][random.index(4)];
                for id in 0..count {
                    batch.push(Target::entity("user", id).unwrap()).unwrap();
                    expected.push((position, format!("entity:user/{id}")));
                }
                ground.outbox.record_alone(&batch).await.unwrap();
                let (seen, cursor) = cursors[random.index(cursors.len())].clone();
                let limit = 1 + random.index(9);
                let Delivered::Rows(part) = ground.outbox.source().read(&cursor, limit).await.unwrap() else {
                    panic!("seed {seed}: no rows");
                };
                assert!(part.rows.len() <= limit);
                let read = texts(&part.rows);
                assert_eq!(read, expected[seen..seen + read.len()], "seed {seed}");
                assert_eq!(part.caught_up, seen + read.len() == expected.len());
                let next = part.cursor.horizon().get();
                let whole = expected.iter().filter(|(at, _)| *at < next).count();
                let after = seen + read.len();
                assert!(whole <= after, "seed {seed}: it includes what was not delivered");
                if expected
                    .get(after)
                    .is_none_or(|(at, _)| *at != expected[after - 1].0)
                    && after > seen
                {
                    assert_eq!(whole, after, "seed {seed}: it lacks a commit that was delivered");
                }
                assert!(
                    expected[whole..after].iter().all(|(at, _)| *at == next),
                    "seed {seed}: one commit in part"
                );
                cursors.push((after, part.cursor));
            }
            for (seen, cursor) in cursors {
                let (rows, end) = ground.read_all(&cursor, 1 + random.index(40)).await;
                assert_eq!(texts(&rows), expected[seen..], "seed {seed}");
                assert_eq!(end, ground.outbox.head().await.unwrap().cursor);
            }
        });
    });
}

/// Rolled-back positions and transactions without rows are passed, and a reader that has caught up stays so.
///
/// Contract: O32 (partial: SQLite), O15 (partial: SQLite)
#[tokio::test]
async fn a_reader_that_has_caught_up_reads_nothing_twice() {
    for mode in MODES {
        let ground = ground(mode).await;
        let head = ground.outbox.head().await.unwrap();
        assert_eq!((head.cursor.horizon().get(), head.as_of.point()), (1, 0));
        let lost = ground.outbox.begin().await.unwrap();
        lost.rollback().await.unwrap();
        ground.outbox.record_alone(&user(1)).await.unwrap();
        let Delivered::Rows(batch) = ground.outbox.source().read(&head.cursor, 10).await.unwrap() else {
            panic!("no rows");
        };
        assert_eq!(
            (batch.rows.len(), batch.caught_up, batch.as_of.point()),
            (1, true, 1)
        );
        let Delivered::Rows(none) = ground.outbox.source().read(&batch.cursor, 10).await.unwrap() else {
            panic!("no rows");
        };
        assert_eq!((none.rows.len(), none.caught_up), (0, true));
        assert_eq!(none.cursor, batch.cursor);
        assert_eq!(none.cursor, ground.outbox.head().await.unwrap().cursor);
    }
}

/// Rows that others have written badly are delivered wider, and those beside them as they are.
///
/// Contract: O56 (partial: what a source makes of such rows)
#[tokio::test]
async fn rows_that_cannot_be_read_are_delivered_wider() {
    let ground = ground(MODES[0]).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    for (at, values) in [
        (2, "4, 'default', 'user', zeroblob(5000), 0, 1"),
        (3, "2, 'shop', x'FF00', '', 0, 1"),
        (4, "'words', 'shop', '', '', 0, 'yesterday'"),
        (5, "99, 'shop', '', '', 0, 1"),
    ] {
        let sql = format!(
            "INSERT INTO larder_log (position, kind, namespace, name, id, ordinal, recorded_at) VALUES ({at}, {values})"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&ground.pool)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE larder_meta SET value = 5 WHERE key = 'position'")
        .execute(&ground.pool)
        .await
        .unwrap();
    ground.outbox.record_alone(&user(2)).await.unwrap();
    let seen = ground.seen().await;
    let expected = [
        (1, "entity:user/1"),
        (2, "collection:user"),
        (2, "collection:user.lists"),
        (3, "namespace:shop"),
        (4, "everything"),
        (5, "everything"),
        (6, "entity:user/2"),
    ];
    let expected: Vec<(u64, String)> = expected
        .iter()
        .map(|(at, text)| (*at, (*text).to_owned()))
        .collect();
    assert_eq!(seen, expected);
}

/// Below the floor of a purge there may have been rows: that is said, and nothing is passed over in silence.
///
/// Contract: O32 (partial: `Purged`)
#[tokio::test]
async fn a_cursor_below_the_floor_is_told_so() {
    let ground = ground(MODES[0]).await;
    for id in 1..=4 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    let start = ground.beginning().await;
    let (_, end) = ground.read_all(&start, 100).await;
    for sql in [
        "DELETE FROM larder_log WHERE position < 4",
        "UPDATE larder_meta SET value = 4 WHERE key = 'floor'",
    ] {
        sqlx::query(sql).execute(&ground.pool).await.unwrap();
    }
    let source = ground.outbox.source();
    assert!(matches!(
        source.read(&start, 10).await.unwrap(),
        Delivered::Purged
    ));
    let at_floor = Cursor::ordered(start.source(), start.epoch(), Position::new(4), 0);
    assert!(
        matches!(source.read(&at_floor, 10).await.unwrap(), Delivered::Rows(batch) if batch.rows.len() == 1)
    );
    assert!(matches!(source.read(&end, 10).await.unwrap(), Delivered::Rows(batch) if batch.rows.is_empty()));
}

/// A read holds its snapshot no longer than it takes: a checkpoint that comes after it waits for nobody, and empties the log of the file.
///
/// Contract: O41 (partial: snapshots end with each read)
#[tokio::test]
async fn no_checkpoint_waits_for_a_reader() {
    let ground = ground(MODES[0]).await;
    let fence = larder_core::Fence::builder().build().unwrap();
    let mut follower = larder_outbox::Follower::builder(ground.outbox.source(), &fence)
        .rows_a_read(10)
        .build()
        .unwrap();
    follower.step().await.unwrap();
    for id in 0..100 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    for _ in 0..3 {
        // Half way through what there is to read.
        let step = follower.step().await.unwrap();
        assert!(!step.caught_up && step.rows == 10);
        let (busy, left, moved): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&ground.pool)
            .await
            .unwrap();
        assert_eq!((busy, left, moved), (0, 0, 0), "everything is in the file");
        ground.outbox.record_alone(&user(1)).await.unwrap();
    }
}

/// The log is read over a connection of its own: transactions that hold every connection of the pool hold up no follower, nor does one
/// that writes in them.
///
/// Contract: O41
#[tokio::test]
async fn a_pool_that_is_used_up_holds_up_no_follower() {
    let ground = ground(MODES[0]).await;
    let fence = larder_core::Fence::builder().build().unwrap();
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    follower.step().await.unwrap();
    let pin = fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap();
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let mut held = Vec::new();
    let mut writer = ground.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO users VALUES (1, 'Ada')")
        .execute(&mut *writer)
        .await
        .unwrap();
    while held.len() + 1 < 4 {
        held.push(ground.pool.begin().await.unwrap());
    }
    let step = tokio::time::timeout(Duration::from_secs(5), follower.step());
    let step = step.await.expect("the pool has no connection to give").unwrap();
    assert!(step.caught_up && !pin.is_fresh());
    let head = ground.outbox.head().await.unwrap();
    assert_eq!(head.as_of.point(), 1, "what is not committed is not seen");
    drop(held);
    writer.commit().await.unwrap();
}

/// Rows of one commit keep their order over several batches, and come in parts; also where somebody else has given them numbers that no cursor can say.
///
/// Contract: O32 (partial: SQLite)
#[tokio::test]
async fn a_large_commit_of_many_batches_comes_in_parts() {
    for spoil in [
        None,
        Some("ordinal + 5000000000"),
        Some("ordinal - 5000000000"),
        Some("ordinal * 3"),
    ] {
        let ground = ground(MODES[0]).await;
        let start = ground.beginning().await;
        let mut transaction = ground.outbox.begin().await.unwrap();
        for batch in 0..50 {
            // All but the first name something that the first has named.
            let batch = user(2 * batch)
                .entity("user", 2 * batch + 1)
                .unwrap()
                .entity("user", 0)
                .unwrap();
            let _ = transaction.record(&batch).await.unwrap();
        }
        transaction.commit().await.unwrap();
        ground.outbox.record_alone(&user(1_000)).await.unwrap();
        if let Some(ordinal) = spoil {
            let sql = format!("UPDATE larder_log SET ordinal = {ordinal} WHERE position = 1");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&ground.pool)
                .await
                .unwrap();
        }
        let expected: Vec<String> = (0..100)
            .chain([1_000])
            .map(|id| format!("entity:user/{id}"))
            .collect();
        for limit in [1, 7, 100, 1_000] {
            let (rows, _) = ground.read_all(&start, limit).await;
            let found: Vec<String> = texts(&rows).into_iter().map(|(_, text)| text).collect();
            assert_eq!(found, expected, "{spoil:?}, {limit} rows at a time");
        }
        let store = ground.outbox.store();
        store.open_group(&larder_outbox::Group::default()).await.unwrap();
        let mut claimed = Vec::new();
        loop {
            let claim = store
                .claim("default", "worker", 9, Duration::from_secs(30))
                .await
                .unwrap();
            if claim.is_empty() {
                break;
            }
            store.acknowledge(&claim, &claim.ids()).await.unwrap();
            claimed.extend(claim.rows().iter().map(|row| row.target.to_string()));
        }
        assert_eq!(claimed, expected, "{spoil:?}");
    }
}
