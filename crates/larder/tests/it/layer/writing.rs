//! Transactions, reads with their tokens, invalidations without one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use larder::outbox::{Outbox, TransactionError, Wait};
use larder::pool::{EntryState, WhenUnsure};
use larder::{Applied, Error, Invalidations, Last, Layer, Reach, Retry, Target, Tx, VerifyPlan};
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
        let body = async |tx: &mut Tx<'_, Sqlite>| {
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

/// Everything that a body can name is committed with its rows and its reason, begins with the right to write, and ends on another node what it names there.
///
/// Contract: S17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_body_names_is_recorded_with_its_reason() {
    let ground = Ground::new().await;
    let (here, there) = (ground.layer().await, ground.layer().await);
    let outbox = here.outbox::<Sqlite>().unwrap();
    let impatient = ground.impatient().await;
    let committed = here.transaction(&outbox, async |tx| {
        // It is immediate: nobody else can begin to write, although nothing was written yet.
        assert!(impatient.begin_with("BEGIN IMMEDIATE").await.is_err());
        tx.reason("price list of May").invalidate::<User>(&7)?;
        tx.tag("shop", "prices")?
            .target(Target::key("shop", "front")?)?
            .target(Target::namespace("pages")?)?
            .target(Target::collection("product")?)?;
        Ok::<_, Any>(())
    });
    let ((), token) = committed.await.unwrap();
    assert!(
        there
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap()
            .satisfied
    );
    for target in [
        Target::entity("user", 7).unwrap(),
        Target::collection("user.lists").unwrap(),
        Target::tag("shop", "prices").unwrap(),
        Target::key("shop", "front").unwrap(),
        Target::namespace("pages").unwrap(),
        Target::collection("product").unwrap(),
    ] {
        let Last::At(last) = there.fence().last(&target) else {
            panic!("{target} was not heard of")
        };
        assert_eq!(last.reason.as_str(), "price list of May", "{target}");
        assert_eq!(
            last.commit.unwrap().position,
            token.requirements()[0].max_position()
        );
    }
    let everything = here.transaction(&outbox, async |tx| {
        tx.target(Target::Everything)?;
        Ok::<_, Any>(())
    });
    let ((), token) = everything.await.unwrap();
    name(&there, 8).await;
    assert!(
        there
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap()
            .satisfied
    );
    let reads = ground.loads.load(Ordering::Relaxed);
    name(&here, 8).await;
    assert_eq!(
        ground.loads.load(Ordering::Relaxed) - reads,
        1,
        "everything has ended"
    );
}

/// A commit that was sent is finished and applied, though nobody waits for it.
///
/// Contract: S19 (partial: dropped)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_waits_for_is_applied() {
    let ground = Ground::new().await;
    // The follower looks once a minute: whatever is applied sooner was applied by the commit.
    let minute = Duration::from_secs(60);
    let layer = ground
        .builder()
        .file_hints(false)
        .followers(move |follower| follower.poll_min(minute).poll_max(minute).node_lease(10 * minute))
        .freshness(5 * minute, WhenUnsure::Bypass);
    let layer = layer.open().await.unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    // Of which the layer hears nothing by itself.
    let other = Outbox::builder(ground.database.clone()).open().await.unwrap();
    let mut committed = 0;
    // It is dropped after one wait, after two, and so on: its last is for the commit.
    for waits in (0..96).map(|round| 1 + round % 16) {
        let before = other.head().await.unwrap().as_of.point();
        let pin = layer.fence().pin(&[Target::entity("user", 7).unwrap()]).unwrap();
        let write = layer.transaction(&outbox, async |tx| {
            sqlx::query("UPDATE users SET name = name || '!' WHERE id = 7")
                .execute(tx.connection())
                .await?;
            tx.invalidate::<User>(&7)?;
            Ok::<_, Any>(())
        });
        let is_whole = ends_within(waits, write).await;
        // Whoever comes next waits until the transaction is over, either way.
        let next = Invalidations::default().entity("other", waits).unwrap();
        other.record_alone(&next).await.unwrap();
        let after = other.head().await.unwrap().as_of.point();
        if after - before == 2 {
            committed += u64::from(!is_whole);
            until(|| !pin.is_fresh()).await;
        }
    }
    assert!(committed > 0, "it was never dropped after the commit was sent");
}

/// Whether it ends before it has waited so often; if not, it is dropped then.
async fn ends_within(waits: u64, work: impl Future) -> bool {
    let (mut work, mut left) = (std::pin::pin!(work), waits);
    std::future::poll_fn(|context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        left -= 1;
        if left == 0 {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// What a body invalidates is sent with the commit: if it cannot be recorded, nothing is committed, and it is counted as that.
///
/// Contract: S17 (partial: not recorded), S22 (partial: failed records)
#[tokio::test]
async fn what_cannot_be_recorded_is_not_committed() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let failed = layer.transaction(&outbox, async |tx| {
        for sql in [
            "UPDATE users SET name = 'lost' WHERE id = 8",
            "ALTER TABLE larder_log RENAME TO elsewhere",
        ] {
            sqlx::query(sql).execute(tx.connection()).await?;
        }
        tx.tag("shop", "team:8")?;
        Ok::<_, Any>(())
    });
    let failed = failed.await;
    assert!(matches!(failed, Err(TransactionError::Record)), "{failed:?}");
    assert_eq!(layer.stats().failed_records, 1);
    let read = layer.transaction(&outbox, async |tx| {
        let names = sqlx::query_scalar("SELECT name FROM users WHERE id = 8");
        let name: String = names.fetch_one(tx.connection()).await?;
        tx.tag("shop", "team:8")?;
        Ok::<_, Any>(name)
    });
    let (name, _) = read.await.expect("the log is there again");
    assert_ne!(name, "lost");
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

/// A transaction that found somebody else in its way is tried again; one that was refused for another reason is not.
///
/// Contract: S22 (partial: SQLite)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_database_is_asked_again() {
    let ground = Ground::new().await;
    let impatient = ground.impatient().await;
    let layer = Layer::builder("shop")
        .outbox(Outbox::builder(impatient))
        .open()
        .await
        .unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let write = async |tx: &mut Tx<'_, Sqlite>| {
        sqlx::query("UPDATE users SET name = name || '!' WHERE id = 7")
            .execute(tx.connection())
            .await?;
        tx.invalidate::<User>(&7)?;
        Ok::<_, Any>(())
    };
    let retry = || Retry::new().backoff(Duration::from_millis(40));
    let blocker = ground.database.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = layer
        .transaction_retrying(&outbox, retry().attempts(2), write)
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransactionError::Begin(larder::outbox::Error::Busy(_))),
        "{error:?}"
    );
    assert_eq!((layer.stats().retries, layer.stats().commits), (1, 0));
    let free = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        blocker.rollback().await.unwrap();
    });
    layer
        .transaction_retrying(&outbox, retry().attempts(50), write)
        .await
        .unwrap();
    free.await.unwrap();
    assert!(
        layer.stats().retries > 1 && layer.stats().commits == 1,
        "{:?}",
        layer.stats()
    );
    // One that waits for others: what is tried again from here on is what the body says.
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let before = layer.stats();
    let tries = AtomicU64::new(0);
    for (worth, expected) in [(false, 1), (true, 3)] {
        tries.store(0, Ordering::Relaxed);
        let failing = async |tx: &mut Tx<'_, Sqlite>| {
            tries.fetch_add(1, Ordering::Relaxed);
            tx.invalidate::<User>(&7)?;
            Err::<(), Any>("no".into())
        };
        let retry = Retry::new()
            .backoff(Duration::ZERO)
            .when_body(move |_: &Any| worth);
        layer
            .transaction_retrying(&outbox, retry, failing)
            .await
            .unwrap_err();
        assert_eq!(tries.load(Ordering::Relaxed), expected);
    }
    let after = layer.stats();
    assert_eq!(
        (after.rollbacks - before.rollbacks, after.retries - before.retries),
        (4, 2)
    );
    let name: String = sqlx::query_scalar("SELECT name FROM users WHERE id = 7")
        .fetch_one(&ground.database)
        .await
        .unwrap();
    assert_eq!(name, "Ada!", "only the last attempt is there");
}

/// A row that somebody changed without recording it is found by comparing with the origin, explained, and ended; one that is merely on its way is not
/// counted.
///
/// Contract: S45 (partial: pools, one by one), S36 (partial: pools), S43 (partial: pools and fence)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_does_not_record_is_found() {
    let ground = Ground::new().await;
    let (layer, other) = (ground.layer().await, ground.layer().await);
    let users = layer.pool::<User>().unwrap();
    assert_eq!(
        (name(&layer, 7).await, name(&layer, 8).await),
        ("Ada".to_owned(), "Grace".to_owned())
    );
    let report = layer.verify(&VerifyPlan::of::<User>()).await.unwrap();
    assert_eq!((report.matching, report.mismatches.len()), (2, 0));
    // Recorded elsewhere: whatever is seen on the way, it is not stale for certain.
    for round in 0..20 {
        rename(&other, 8, &format!("Grace {round}")).await;
        let report = layer.verify(&VerifyPlan::of::<User>()).await.unwrap();
        assert!(report.mismatches.is_empty() && report.unsure == 0, "{report:?}");
        name(&layer, 8).await;
    }
    let silent = "UPDATE users SET name = 'Ada Lovelace' WHERE id = 7";
    sqlx::query(silent).execute(&ground.database).await.unwrap();
    assert_eq!(name(&layer, 7).await, "Ada", "nobody has said that it changed");
    let only_look = VerifyPlan::of::<User>().heal(false).at_most(1);
    for plan in [only_look, VerifyPlan::of::<User>()] {
        let report = layer.verify(&plan).await.unwrap();
        let [found] = report.mismatches.as_slice() else {
            panic!("{report:?}")
        };
        assert_eq!(
            (found.entity, found.key.as_bytes(), found.is_gone),
            ("user", &b"7"[..], false)
        );
        assert!(found.explanation.pools[0].explanation.resident.is_some());
    }
    assert_eq!(name(&layer, 7).await, "Ada Lovelace", "it was ended");
    sqlx::query("DELETE FROM users WHERE id = 7")
        .execute(&ground.database)
        .await
        .unwrap();
    let report = layer.verify(&VerifyPlan::of::<User>()).await.unwrap();
    assert!(report.mismatches[0].is_gone && users.get(&7).is_none());
    let explained = layer.explain(&Target::entity("user", 7).unwrap());
    let Last::At(last) = &explained.fence.targets[0].last else {
        panic!("{explained:?}")
    };
    assert_eq!(last.reason.as_str(), "verification found it stale");
    assert_eq!((explained.pools.len(), explained.cursors.len()), (1, 1));
    assert_eq!(explained.pools[0].explanation.state, EntryState::Absent);
    let never = layer.explain(&Target::tag("default", "never").unwrap());
    assert!(
        never.pools.is_empty() && matches!(never.fence.targets[0].last, Last::Never),
        "{never:?}"
    );
    let alone = Layer::builder("alone").pool(ground.users()).open().await.unwrap();
    let refused = alone.verify(&VerifyPlan::of::<User>()).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotConfigured { part: "outbox" }),
        "{refused}"
    );
}
