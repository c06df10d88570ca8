//! What a question about a group costs, in the steps of SQLite's own machine, which are the same whatever else the computer does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_core::{Invalidations, Target};
use larder_outbox::{Count, Group, Outbox, OutboxStore};
use sqlx::sqlite::SqlitePoolOptions;

use super::ground::{MODES, ground, options};

const HELD: Duration = Duration::from_secs(30);
const ROWS: u64 = 20_000;

/// The store of a file on one connection, which counts its steps.
async fn counting(ground: &super::ground::Ground) -> (Arc<dyn OutboxStore>, Arc<AtomicU64>) {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .after_connect(move |connection, _| {
            let counter = Arc::clone(&counter);
            Box::pin(async move {
                let mut handle = connection.lock_handle().await?;
                handle.set_progress_handler(1, move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                    true
                });
                Ok(())
            })
        });
    let pool = pool
        .connect_with(options(&ground.file(), ground.mode))
        .await
        .unwrap();
    (Outbox::builder(pool).open().await.unwrap().store(), steps)
}

/// Rows that are done cost nothing, however many they are; rows that are pending are counted, which shows that steps are.
///
/// Contract: O108
#[tokio::test]
async fn a_status_does_not_look_at_what_is_done() {
    let ground = ground(MODES[0]).await;
    let (store, steps) = counting(&ground).await;
    store.open_group(&Group::default()).await.unwrap();
    let ask = async |pending: u64| {
        // Once before, so that statements are known.
        store.status("default", None).await.unwrap();
        let before = steps.load(Ordering::Relaxed);
        let status = store.status("default", None).await.unwrap();
        assert_eq!(status.pending, Count::Exactly(pending));
        steps.load(Ordering::Relaxed) - before
    };
    let empty = ask(0).await;
    let mut all = Invalidations::default().collapse_count(65_536).unwrap();
    for id in 0..ROWS {
        all.push(Target::entity("user", id).unwrap()).unwrap();
    }
    ground.outbox.record_alone(&all).await.unwrap();
    let pending = ask(ROWS).await;
    assert!(pending > ROWS, "it counts {pending} steps for {ROWS} rows");
    loop {
        let claim = store.claim("default", "worker", 4_096, HELD).await.unwrap();
        if claim.is_empty() {
            break;
        }
        store.acknowledge(&claim, &claim.ids()).await.unwrap();
    }
    // The last commit is looked at, since the group has come to its last row.
    ground
        .outbox
        .record_alone(&Invalidations::default().entity("user", 1).unwrap())
        .await
        .unwrap();
    let claim = store.claim("default", "worker", 1, HELD).await.unwrap();
    store.acknowledge(&claim, &claim.ids()).await.unwrap();
    let done = ask(0).await;
    assert!(
        done < empty + 200,
        "{done} steps after {ROWS} rows are done, {empty} before"
    );
}
