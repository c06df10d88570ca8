//! Transactions, reads with their tokens, invalidations without one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::outbox::{TransactionError, Wait};
use larder::{Applied, Error, Invalidations, Layer, Reach, Target};
use sqlx::Sqlite;

use super::{Any, Ground, User, name, rename, until};

/// A write on one node is applied there when its transaction returns, and on the other once that has applied the token; a read with the token is
/// never older, wherever.
///
/// Contract: S17 (partial: commit), S18, S25 (partial: pools)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_seen_by_every_layer() {
    let ground = Ground::new().await;
    let (here, there) = (ground.layer().await, ground.layer().await);
    for round in 0..20 {
        let old = (name(&here, 7).await, name(&there, 7).await);
        assert_eq!(old.0, old.1);
        let new = format!("Ada {round}");
        let token = rename(&here, 7, &new).await;
        assert_eq!(here.fence().applied(&token), Applied::Yes, "when it returns");
        assert_eq!(name(&here, 7).await, new);
        let read = there.at(token.clone()).wait_at_most(Duration::ZERO);
        let read = read.pool::<User>().unwrap().fetch(&7).await.unwrap().unwrap();
        assert_eq!(read.name, new, "whether or not it was applied");
        let waited = there
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap();
        assert!(waited.satisfied);
        assert_eq!(name(&there, 7).await, new);
    }
    assert!(name(&there, 8).await == "Grace" && ground.loads.load(Ordering::Relaxed) < 80);
}

/// Contract: S17 (partial: rolled back)
#[tokio::test]
async fn a_body_that_fails_or_panics_leaves_nothing() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    assert_eq!(name(&layer, 7).await, "Ada");
    let failed = layer.transaction(&outbox, async |tx| {
        sqlx::query("DELETE FROM users").execute(tx.connection()).await?;
        tx.invalidate_all::<User>()?;
        Err::<(), Any>("no".into())
    });
    let error = failed.await.unwrap_err();
    assert!(
        matches!(&error, TransactionError::Body(body) if body.to_string() == "no"),
        "{error:?}"
    );
    let panicking = layer.clone();
    let panicked = tokio::spawn(async move {
        let outbox = panicking.outbox::<Sqlite>().unwrap();
        let body = async |tx: &mut larder::Tx<'_, Sqlite>| {
            sqlx::query("DELETE FROM users").execute(tx.connection()).await?;
            tx.invalidate_all::<User>()?;
            if tx.connection().lock_handle().await.is_ok() {
                panic!("in the body");
            }
            Ok::<(), Any>(())
        };
        panicking
            .transaction(&outbox, body)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    });
    assert!(panicked.await.unwrap_err().is_panic(), "it goes on to the caller");
    assert!(
        layer.pool::<User>().unwrap().contains(&7),
        "nothing was invalidated"
    );
    assert_eq!(
        outbox.head().await.unwrap().as_of.point(),
        0,
        "nothing was recorded"
    );
    rename(&layer, 7, "Ada Lovelace").await;
    assert_eq!(name(&layer, 7).await, "Ada Lovelace", "the layer is unharmed");
}

/// A commit that was sent is finished and applied, though nobody waits for it.
///
/// Contract: S19 (partial: dropped)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_waits_for_is_applied() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let mut committed = 0;
    for round in 0..60_u64 {
        let before = outbox.head().await.unwrap().as_of.point();
        let pin = layer.fence().pin(&[Target::entity("user", 7).unwrap()]).unwrap();
        let write = layer.transaction(&outbox, async |tx| {
            sqlx::query("UPDATE users SET name = name || '!' WHERE id = 7")
                .execute(tx.connection())
                .await?;
            tx.invalidate::<User>(&7)?;
            Ok::<_, Any>(())
        });
        drop(tokio::time::timeout(Duration::from_micros(round * 20), write).await);
        // Whoever comes next waits until the transaction is over, either way.
        let next = Invalidations::default().entity("other", round).unwrap();
        outbox.record_alone(&next).await.unwrap();
        let after = outbox.head().await.unwrap().as_of.point();
        if after - before == 2 {
            committed += 1;
            until(|| !pin.is_fresh()).await;
        }
    }
    assert!(committed > 0, "it was never dropped after the commit was sent");
}

/// Contract: S20
#[tokio::test]
async fn rows_that_change_in_silence_are_noticed() {
    let ground = Ground::new().await;
    let strict = ground.builder().require_record(true).open().await.unwrap();
    let lenient = ground.layer().await;
    for (layer, is_strict) in [(&strict, true), (&lenient, false)] {
        let outbox = layer.outbox::<Sqlite>().unwrap();
        let rename = format!("UPDATE users SET name = '{is_strict}' WHERE id = 8");
        let silent = layer.transaction(&outbox, async |tx| {
            sqlx::query(sqlx::AssertSqlSafe(rename))
                .execute(tx.connection())
                .await?;
            Ok::<_, Any>(())
        });
        match silent.await {
            Ok(((), token)) => {
                assert!(!is_strict);
                let head = outbox.head().await.unwrap();
                assert_eq!(token, head.token(), "it asks for all that there was");
            }
            Err(error) => assert!(
                is_strict && matches!(error, TransactionError::Record),
                "{error:?}"
            ),
        }
        let read = layer.transaction(&outbox, async |tx| {
            let names = sqlx::query_scalar("SELECT name FROM users WHERE id = 8");
            let name: String = names.fetch_one(tx.connection()).await?;
            Ok::<_, Any>(name)
        });
        let (name, _) = read.await.unwrap();
        assert_ne!(name, "true", "it was rolled back");
        assert_eq!(name == "false", !is_strict);
    }
}

/// Contract: S26 (partial: pools)
#[tokio::test]
async fn an_invalidation_reaches_this_node_or_every_node() {
    let ground = Ground::new().await;
    let (here, there) = (ground.layer().await, ground.layer().await);
    let batch = Invalidations::default().entity("user", 7).unwrap();
    for (reach, reaches) in [(Reach::ThisNode, false), (Reach::EveryNode, true)] {
        assert_eq!(name(&here, 7).await, name(&there, 7).await);
        let token = here.invalidate(&batch, reach).await.unwrap();
        assert!(here.pool::<User>().unwrap().get(&7).is_none());
        assert_eq!(token.requirements().is_empty(), !reaches);
        let waited = there
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap();
        assert!(waited.satisfied);
        assert_eq!(there.pool::<User>().unwrap().contains(&7), !reaches, "{reach:?}");
    }
    let alone = Layer::builder("alone").pool(ground.users()).open().await.unwrap();
    name(&alone, 7).await;
    let refused = alone.invalidate(&batch, Reach::EveryNode).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotConfigured { part: "outbox" }),
        "{refused}"
    );
    assert!(
        alone.pool::<User>().unwrap().get(&7).is_none(),
        "this node has applied it all the same"
    );
}
