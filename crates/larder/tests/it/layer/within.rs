//! What a body sees of pools while its transaction is open, and what others see of what it loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::outbox::TransactionError;
use larder::pool::{LoadContext, Reason, WhenUnsure};
use larder::{Entity, Layer, Pool, Target};
use sqlx::Sqlite;

use super::{Any, Ground, Team, User, name};

/// Whatever a body fetches, by whichever call, comes from the loader, which may see what is never committed, and is kept nowhere: after a rollback nobody
/// sees it.
///
/// Contract: S21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_body_fetches_is_kept_nowhere() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let users = layer.pool::<User>().unwrap();
    let uncommitted = |id| async move {
        let name = "never committed".to_owned();
        Ok::<_, Any>(User { id, name })
    };
    for is_resident in [false, true] {
        if is_resident {
            assert_eq!((name(&layer, 7).await, name(&layer, 8).await).0, "Ada");
        }
        let loads = ground.loads.load(Ordering::Relaxed);
        let rolled_back = layer.transaction(&outbox, async |tx| {
            sqlx::query("UPDATE users SET name = 'never committed'")
                .execute(tx.connection())
                .await?;
            // Not on the connection of the transaction: what is committed.
            assert_eq!(users.fetch(&7).await?.unwrap().name, "Ada");
            let fetched = users.get_or_fetch(&7, |load| uncommitted(load.id)).await?;
            assert_eq!(
                fetched.unwrap().name,
                "never committed",
                "resident: {is_resident}"
            );
            let many = users.fetch_many([&7, &9, &8, &7]).await?;
            let names: Vec<Option<&str>> = many
                .iter()
                .map(|user| user.as_ref().unwrap().as_ref().map(|user| &*user.name))
                .collect();
            assert_eq!(names, [Some("Ada"), None, Some("Grace"), Some("Ada")]);
            let many = users.get_or_fetch_many([&7, &8], async |load| {
                let of = |id| User {
                    id,
                    name: "never committed".to_owned(),
                };
                Ok::<_, Any>(load.ids.into_iter().map(of).collect::<Vec<_>>())
            });
            assert!(
                many.await?
                    .iter()
                    .all(|user| user.as_ref().unwrap().as_ref().unwrap().name == "never committed")
            );
            Err::<(), Any>("rolled back".into())
        });
        let error = rolled_back.await.unwrap_err();
        assert!(
            matches!(&error, TransactionError::Body(why) if why.to_string() == "rolled back"),
            "{error:?}"
        );
        // One for a single id, one by one for the three of the other call.
        assert_eq!(ground.loads.load(Ordering::Relaxed) - loads, 4);
        assert_eq!(users.len(), if is_resident { 2 } else { 0 }, "nothing was kept");
        assert_eq!(name(&layer, 7).await, "Ada");
        users.clear(Reason::Manual);
    }
}

/// Nobody outside joins a load of the body, and the body joins none of theirs, on whichever thread it goes on.
///
/// Contract: S21 (partial: loads in flight)
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_load_of_a_body_is_shared_with_nobody() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let users = layer.pool::<User>().unwrap();
    let (begun, mut has_begun) = tokio::sync::mpsc::channel::<()>(1);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let of_body = {
        let (users, layer) = (users.clone(), layer.clone());
        tokio::spawn(async move {
            let done = layer.transaction(&outbox, async |_| {
                let load = |load: LoadContext<User>| async move {
                    begun.send(()).await?;
                    released.await?;
                    Ok::<_, Any>(User {
                        id: load.id,
                        name: "uncommitted".to_owned(),
                    })
                };
                Ok::<_, Any>(users.get_or_fetch(&7, load).await?.unwrap().name.clone())
            });
            done.await.map_err(|error| error.to_string())
        })
    };
    has_begun.recv().await.unwrap();
    assert_eq!(name(&layer, 7).await, "Ada", "it was waited for by nobody else");
    release.send(()).unwrap();
    assert_eq!(of_body.await.unwrap().unwrap().0, "uncommitted");
    assert_eq!(users.get(&7).unwrap().name, "Ada");
}

#[derive(Debug, Entity)]
struct Page {
    id: u32,
    #[entity(tag = "topic")]
    topic: String,
}

/// What a body has invalidated, by whichever target, is a miss to it in every read, at once; to all others it is what it was, until the commit.
///
/// Contract: S21 (partial: misses)
#[tokio::test]
async fn what_a_body_has_invalidated_is_a_miss_to_it() {
    let ground = Ground::new().await;
    let loads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&loads);
    // One that asks for nothing but the entry, where a hit is found in the plainest way.
    let pages = Pool::<Page>::builder().loader(move |load: LoadContext<Page>| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Any>(page(load.id)) }
    });
    let layer = ground.builder().pool(pages).open().await.unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let pages = layer.pool::<Page>().unwrap();
    let fill = || async {
        for id in 0..4 {
            pages.fetch(&id).await.unwrap();
        }
    };
    let seen = || -> Vec<u32> {
        let gotten: Vec<u32> = (0..4).filter(|id| pages.get(id).is_some()).collect();
        let peeked: Vec<u32> = (0..4).filter(|id| pages.peek(id).is_some()).collect();
        let contained: Vec<u32> = (0..4).filter(|id| pages.contains(id)).collect();
        let many = pages.get_many(&[0, 1, 2, 3]).into_iter().flatten();
        let many: Vec<u32> = many.map(|page| page.id).collect();
        assert!(gotten == peeked && gotten == contained && gotten == many);
        gotten
    };
    let all: Vec<u32> = vec![0, 1, 2, 3];
    for (target, left) in [
        (Target::entity("page", 1).unwrap(), vec![0, 2, 3]),
        (Target::tag("default", "topic:odd").unwrap(), vec![0, 2]),
        (Target::collection("page").unwrap(), vec![]),
        (Target::namespace("default").unwrap(), vec![]),
        (Target::Everything, vec![]),
        (Target::entity("user", 1).unwrap(), all.clone()),
    ] {
        fill().await;
        let rolled_back = layer.transaction(&outbox, async |tx| {
            assert_eq!(seen(), all);
            tx.target(target.clone())?;
            assert_eq!(seen(), left, "{target}");
            let others = tokio::spawn({
                let pages = pages.clone();
                async move { (0..4).filter(|id| pages.get(id).is_some()).count() }
            });
            assert_eq!(others.await?, 4, "to others it is what it was");
            // What somebody writes there is no fill, and judged by the same words.
            pages.insert(page(1))?;
            assert_eq!(seen(), left, "{target}");
            Err::<(), Any>("rolled back".into())
        });
        rolled_back.await.unwrap_err();
        assert_eq!(seen(), all, "nothing was invalidated");
    }
}

/// The commit ends for all what the body had ended for itself, in pools that ask for nothing but the entry too; and a body of one layer is outside of
/// every other.
///
/// Contract: S21 (partial: pools of other layers)
#[tokio::test]
async fn a_body_concerns_its_own_layer() {
    let ground = Ground::new().await;
    // A hit is found in the plainest way.
    let teams = Pool::<Team>::builder().when_unsure(WhenUnsure::Serve);
    let layer = ground.builder().pool(teams).open().await.unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let (teams, users) = (layer.pool::<Team>().unwrap(), layer.pool::<User>().unwrap());
    teams.insert(Team { id: 3 }).unwrap();
    name(&layer, 7).await;
    let committed = layer.transaction(&outbox, async |tx| {
        tx.invalidate::<User>(&7)?;
        assert!(users.get(&7).is_none() && teams.get(&3).is_some());
        tx.invalidate::<Team>(&3)?;
        assert!(teams.get(&3).is_none());
        Ok::<_, Any>(())
    });
    committed.await.unwrap();
    assert!(
        users.get(&7).is_none() && teams.get(&3).is_none(),
        "by the commit"
    );
    // A transaction of another layer is none of this one.
    let other = Layer::builder("other").outbox(larder::outbox::Outbox::builder(ground.database.clone()));
    let other = other.open().await.unwrap();
    name(&layer, 7).await;
    let (elsewhere, before) = (
        other.outbox::<Sqlite>().unwrap(),
        ground.loads.load(Ordering::Relaxed),
    );
    let done = other.transaction(&elsewhere, async |tx| {
        tx.target(Target::Everything)?;
        assert!(users.get(&7).is_some() && users.fetch(&7).await?.is_some());
        Err::<(), Any>("rolled back".into())
    });
    done.await.unwrap_err();
    assert_eq!(ground.loads.load(Ordering::Relaxed), before);
}

fn page(id: u32) -> Page {
    let topic = if id.is_multiple_of(2) { "even" } else { "odd" };
    Page {
        id,
        topic: topic.to_owned(),
    }
}
