//! Restored and replaced files.

use larder_core::{Cursor, Delivered};
use larder_outbox::Outbox;

use super::ground::{Ground, MODES, ground, pool, user};

/// The file as it is now, as one that could be put in its place.
async fn copy(ground: &Ground) -> std::path::PathBuf {
    let to = ground.folder.path().join("copy.db");
    drop(std::fs::remove_file(&to));
    sqlx::query("VACUUM INTO ?")
        .bind(to.to_str().unwrap())
        .execute(&ground.pool)
        .await
        .unwrap();
    to
}

async fn opened(file: &std::path::Path) -> Outbox<sqlx::Sqlite> {
    let pool = pool(file, MODES[0]).await;
    Outbox::builder(pool).open().await.unwrap()
}

async fn is_other_epoch(outbox: &Outbox<sqlx::Sqlite>, cursor: &Cursor) -> bool {
    matches!(
        outbox.source().read(cursor, 10).await.unwrap(),
        Delivered::OtherEpoch
    )
}

/// A copy that is older than what was read begins a new epoch, of which the old one is a former; a cursor of the new one
/// reads on.
///
/// Contract: O43, O45 (partial: without groups), O13 (partial: SQLite)
#[tokio::test]
async fn an_older_copy_is_noticed() {
    let ground = ground(MODES[0]).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let file = copy(&ground).await;
    ground.outbox.record_alone(&user(2)).await.unwrap();
    let cursor = ground.outbox.head().await.unwrap().cursor;
    let restored = opened(&file).await;
    assert!(is_other_epoch(&restored, &cursor).await);
    let head = restored.head().await.unwrap();
    assert_ne!(head.cursor.epoch(), cursor.epoch());
    assert_eq!(head.former, [cursor.epoch()]);
    assert!(is_other_epoch(&restored, &cursor).await, "it stays so");
    assert_eq!(
        restored.head().await.unwrap().cursor,
        head.cursor,
        "and is begun once"
    );
    restored.record_alone(&user(3)).await.unwrap();
    let Delivered::Rows(batch) = restored.source().read(&head.cursor, 10).await.unwrap() else {
        panic!("no rows");
    };
    assert_eq!(
        super::ground::texts(&batch.rows),
        [(2, "entity:user/3".to_owned())]
    );
}

/// A copy in which others have written as much since is noticed by the row that was read last.
///
/// Contract: O43
#[tokio::test]
async fn a_copy_that_went_another_way_is_noticed() {
    let ground = ground(MODES[0]).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let file = copy(&ground).await;
    let both = user(2).entity("user", 3).unwrap().entity("user", 4).unwrap();
    ground.outbox.record_alone(&both).await.unwrap();
    let start = ground.beginning().await;
    let restored = opened(&file).await;
    restored.record_alone(&user(9)).await.unwrap();
    restored.record_alone(&user(10)).await.unwrap();
    assert!(
        !is_other_epoch(&restored, &start).await,
        "nothing was read there that is not here"
    );
    // Half way through a commit, too.
    let Delivered::Rows(part) = ground.outbox.source().read(&start, 2).await.unwrap() else {
        panic!("no rows");
    };
    assert_eq!((part.rows.len(), part.caught_up), (2, false));
    assert!(is_other_epoch(&restored, &part.cursor).await);
}

/// Contract: O43
#[tokio::test]
async fn an_operator_may_begin_a_new_epoch() {
    for mode in MODES {
        let ground = ground(mode).await;
        ground.outbox.record_alone(&user(1)).await.unwrap();
        let before = ground.outbox.head().await.unwrap();
        ground.outbox.new_epoch().await.unwrap();
        let after = ground.outbox.head().await.unwrap();
        assert_eq!(after.former, [before.cursor.epoch()]);
        assert!(is_other_epoch(&ground.outbox, &before.cursor).await);
        ground.outbox.new_epoch().await.unwrap();
        assert_eq!(ground.outbox.head().await.unwrap().former.len(), 2);
        ground.outbox.record_alone(&user(2)).await.unwrap();
        let head = ground.outbox.head().await.unwrap();
        assert_eq!(head.as_of.point(), 2, "positions go on");
        assert_eq!(
            ground.number("SELECT count(*) FROM larder_log").await,
            1,
            "the log was emptied"
        );
    }
}

/// A copy without any row has none to compare: it ends before what was read.
///
/// Contract: O43
#[tokio::test]
async fn a_copy_from_before_the_first_row_is_noticed() {
    let ground = ground(MODES[0]).await;
    let file = copy(&ground).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let cursor = ground.outbox.head().await.unwrap().cursor;
    let restored = opened(&file).await;
    assert!(is_other_epoch(&restored, &cursor).await);
    assert_eq!(restored.head().await.unwrap().former, [cursor.epoch()]);
}
