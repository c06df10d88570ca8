//! What was found from outside by whoever edits tables, restores files and exchanges them.

use std::time::Duration;

use larder_core::{Certainty, Fence, LaneState, Target};
use larder_outbox::{Follower, Outbox};
use sqlx::sqlite::SqlitePoolOptions;

use super::ground::{Ground, MODES, ground, options, user};

/// The database itself refuses what is no number.
async fn refuses_texts(ground: &Ground) {
    for (table, columns) in [
        (
            "larder_delivery",
            &[
                "epoch",
                "position",
                "ordinal",
                "state",
                "attempts",
                "available_at",
                "lease",
                "until",
            ][..],
        ),
        (
            "larder_claim",
            &[
                "from_position",
                "to_ordinal",
                "rows_left",
                "lease",
                "until",
                "claimed_at",
            ],
        ),
        (
            "larder_group",
            &["next_position", "next_ordinal", "dead", "dead_max"],
        ),
    ] {
        for column in columns {
            for value in ["'garbage'", "x'fffe80'", "1.5", "CAST(x'fffe' AS TEXT)", "''"] {
                let sql = format!("UPDATE {table} SET {column} = {value}");
                let written = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                    .execute(&ground.pool)
                    .await;
                assert!(written.is_err(), "{table}.{column} = {value}");
            }
        }
    }
}

/// Somebody had written texts where numbers belong into the tables of groups and nodes, and one such row was in the way of every claim. The database refuses that
/// now; texts that are none, and lists that are cut, are read as well as they can be.
///
/// Contract: O88
#[tokio::test]
async fn one_bad_row_is_in_nobodys_way() {
    let ground = ground(MODES[0]).await;
    let store = ground.outbox.store();
    store.open_group(&larder_outbox::Group::default()).await.unwrap();
    for id in 1..=6 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    let half_minute = Duration::from_secs(30);
    let claim = store.claim("default", "worker", 3, half_minute).await.unwrap();
    let failed = larder_outbox::Failed {
        row: claim.rows()[0].id,
        error: "no".to_owned(),
        next: larder_outbox::Next::Retry(Duration::ZERO),
    };
    store.fail(&claim, &[failed]).await.unwrap();
    refuses_texts(&ground).await;
    for sql in [
        "UPDATE larder_delivery SET last_error = CAST(x'fffe' AS TEXT), owner = x'ff', namespace = x'ff', reason = x'ff', origin = 'x'",
        "UPDATE larder_claim SET done = x'01', owner = CAST(x'fffe' AS TEXT), until = 0",
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&ground.pool)
            .await
            .unwrap();
    }
    let all = store.claim("default", "other", 9, half_minute).await.unwrap();
    assert_eq!(
        all.rows().len(),
        6 + 1,
        "the list of what is done was damaged: the row in it comes again"
    );
    let done = store.acknowledge(&all, &all.ids()).await.unwrap();
    assert_eq!(done.lost, 0, "{done:?}");
}

/// The same when nothing was dropped: the reader was kept out by a writer's lock, and asked on another connection afterwards.
///
/// Contract: O42, O72
#[tokio::test]
async fn a_reader_that_was_kept_out_hears_of_what_it_missed() {
    let ground = ground(sqlx::sqlite::SqliteJournalMode::Delete).await;
    let impatient = options(&ground.file(), ground.mode).busy_timeout(Duration::from_millis(5));
    let impatient = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(impatient)
        .await
        .unwrap();
    let reader = Outbox::builder(impatient).open().await.unwrap();
    let fence = Fence::builder().build().unwrap();
    let mut follower = Follower::builder(reader.source(), &fence).build().unwrap();
    for round in 0..10 {
        follower.step().await.unwrap();
        follower.step().await.unwrap();
        let pin = fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap();
        let mut locked = ground.pool.begin_with("BEGIN EXCLUSIVE").await.unwrap();
        let _ = ground.outbox.record(&mut locked, &user(1)).await.unwrap();
        follower.step().await.unwrap_err();
        locked.commit().await.unwrap();
        let step = follower.step().await.unwrap();
        assert!(
            !(step.caught_up && pin.is_fresh()),
            "round {round}: it says that it has read everything"
        );
    }
}

/// A file was put back to an older copy while only relays and writers were there: rows came out under ids that other rows had had.
///
/// Contract: O43, O81
#[tokio::test]
async fn no_id_is_used_again_after_a_restore_under_a_relay() {
    let ground = ground(MODES[0]).await;
    let store = ground.outbox.store();
    store.open_group(&larder_outbox::Group::default()).await.unwrap();
    for id in 0..5 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    let half_minute = Duration::from_secs(30);
    let mut seen = std::collections::HashMap::new();
    let mut take = async |rows: usize| {
        let claim = store.claim("default", "worker", 9, half_minute).await.unwrap();
        store.acknowledge(&claim, &claim.ids()).await.unwrap();
        for row in claim.rows() {
            let before = seen.insert(row.id, row.target.clone());
            assert!(
                before.is_none_or(|before| before == row.target),
                "{} was {:?}",
                row.id,
                seen
            );
        }
        assert_eq!(claim.rows().len(), rows);
    };
    take(5).await;
    // What a restore of an older copy leaves: fewer rows, and a counter that has gone back.
    let backup = [
        "CREATE TABLE copy_of_log AS SELECT * FROM larder_log",
        "CREATE TABLE copy_of_meta AS SELECT * FROM larder_meta",
        "CREATE TABLE copy_of_group AS SELECT * FROM larder_group",
    ];
    let restore = [
        "DELETE FROM larder_log",
        "INSERT INTO larder_log SELECT * FROM copy_of_log",
        "INSERT OR REPLACE INTO larder_meta SELECT * FROM copy_of_meta",
        "INSERT OR REPLACE INTO larder_group SELECT * FROM copy_of_group",
    ];
    for (later, missing) in [(0..2_u64, 2_usize), (0..9, 9)] {
        for statement in backup {
            sqlx::query(statement).execute(&ground.pool).await.unwrap();
        }
        for id in 10..15 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        take(5).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        for statement in restore {
            sqlx::query(statement).execute(&ground.pool).await.unwrap();
        }
        for id in later {
            ground.outbox.record_alone(&user(100 + id)).await.unwrap();
        }
        take(missing).await;
        for table in ["log", "meta", "group"] {
            let sql = format!("DROP TABLE copy_of_{table}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&ground.pool)
                .await
                .unwrap();
        }
    }
}

/// A file was exchanged by another one under open connections, or removed: the node went on to believe what it had.
///
/// Contract: O43
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_exchanged_or_removed_is_noticed() {
    for mode in MODES {
        let ground = ground(mode).await;
        let clock = larder_testkit::SimClock::new();
        let fence = Fence::builder()
            .clock(std::sync::Arc::new(clock.clone()))
            .build()
            .unwrap();
        let mut follower = Follower::builder(ground.outbox.source(), &fence).build().unwrap();
        follower.step().await.unwrap();
        let file = ground.file();
        let copy = file.with_extension("copy");
        std::fs::copy(&file, &copy).unwrap();
        std::fs::rename(&copy, &file).unwrap();
        let refused = follower.step().await.unwrap_err();
        assert!(format!("{refused:?}").contains("FileReplaced"), "{refused:?}");
        clock.advance(Duration::from_secs(3));
        follower.step().await.unwrap_err();
        assert!(matches!(
            fence.certainty(),
            Certainty::Unsure {
                state: LaneState::Suspect,
                ..
            }
        ));
        std::fs::remove_file(&file).unwrap();
        follower.step().await.unwrap_err();
    }
}
