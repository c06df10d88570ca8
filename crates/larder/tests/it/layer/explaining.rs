//! What a layer can say of a target: why it is fresh, stale or absent, and what has befallen it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::pool::{FetchOptions, LoadContext, PoolBuilder, Reason};
use larder::{
    Befallen, Error, ExplainedTarget, Happened, Invalidations, Key, Layer, Pool, Reach, Target, Verdict,
};
use larder_testkit::SimClock;
use sqlx::Sqlite;

use super::{Any, Ground, User, name, rename, until};

fn user(id: i64) -> Target {
    Target::entity("user", id).unwrap()
}

/// What has happened to a target, newest first, in short.
fn timeline(explained: &ExplainedTarget) -> Vec<String> {
    let short = |happened: &Happened| match happened {
        Happened::Invalidated(it) if it.commit.is_some() => format!("committed: {}", it.reason),
        Happened::Invalidated(it) => format!("invalidated: {}", it.reason),
        Happened::Befallen(Befallen::Filled { loader, .. }) => format!("filled by {loader}"),
        Happened::Befallen(Befallen::Rejected { loader, why, .. }) => format!("{why}, by {loader}"),
        Happened::Befallen(Befallen::Removed { why, .. }) => (*why).to_owned(),
        Happened::Befallen(other) => format!("{other:?}"),
        other => format!("{other:?}"),
    };
    let events = explained.timeline.iter();
    let of_its_own = events.filter(|event| event.target != Target::Everything);
    of_its_own.map(|event| short(&event.what)).collect()
}

/// A watched key, from its first load to its last: who brought it, what ended it and from which commit, that it was loaded in vain meanwhile; and the same
/// of one that nobody ever asked for.
///
/// Contract: S43 (partial: pools and fence), S44 (partial: watched keys)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_befalls_a_watched_key_is_told() {
    let ground = Ground::new().await;
    let users = ground.users().loader_label("users by id");
    let outbox = larder::outbox::Outbox::builder(ground.database.clone());
    let layer = Layer::builder("shop")
        .outbox(outbox)
        .pool(users)
        .open()
        .await
        .unwrap();
    layer.watch(&user(7)).unwrap();
    let never = layer.explain(&user(7));
    // Only that whoever begins to follow a source can vouch for nothing from before.
    let [first] = never.timeline.as_slice() else {
        panic!("{never}")
    };
    assert_eq!(first.target, Target::Everything);
    let sentence = never.sentence();
    assert!(
        sentence.starts_with("entity:user/7 is absent: everything was invalidated on this node, start"),
        "{never}"
    );

    name(&layer, 7).await;
    let fresh = layer.explain(&user(7));
    assert!(matches!(fresh.verdict, Verdict::Fresh), "{fresh:?}");
    assert_eq!(
        (timeline(&fresh), fresh.pools[0].loader),
        (vec!["filled by users by id".to_owned()], Some("users by id"))
    );
    let Happened::Befallen(Befallen::Filled { began, .. }) = &fresh.timeline[0].what else {
        panic!("{fresh:?}")
    };
    let stored = fresh.pools[0].explanation.resident.as_ref().unwrap().stamp;
    assert!(*began <= stored, "the load began before it was stored");

    let token = rename(&layer, 7, "Ada Lovelace").await;
    let ended = layer.explain(&user(7));
    assert_eq!(
        timeline(&ended),
        ["invalidated", "committed: renamed", "filled by users by id"]
    );
    assert!(ended.sentence().contains("removed (invalidated)"), "{ended}");
    let position = token.requirements()[0].max_position();
    assert!(
        ended
            .to_string()
            .contains(&format!("invalidated at position {position} of ")),
        "{ended}"
    );
}

/// Of a key that nobody watches: that it was loaded in vain, and that it ended with all of its kind; and of what no key names, that nothing is known.
///
/// Contract: S43 (partial: pools and fence), S44 (partial: rejected fills)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_in_vain_is_told() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let users = layer.pool::<User>().unwrap();
    // A load is in flight while its row is changed elsewhere: it is not kept, and that is told of every key.
    let outcome = users.get_or_fetch(&8, |load: LoadContext<User>| {
        let layer = layer.clone();
        async move {
            rename(&layer, 8, "Grace Hopper").await;
            Ok::<_, Any>(User {
                id: load.id,
                name: "Grace".to_owned(),
            })
        }
    });
    assert_eq!(outcome.await.unwrap().unwrap().name, "Grace");
    let rejected = layer.explain(&user(8));
    assert_eq!(timeline(&rejected)[1], "committed: renamed");
    assert!(timeline(&rejected)[0].starts_with("overtaken, by "), "{rejected}");
    assert!(
        rejected.sentence().contains("and not kept (overtaken)"),
        "{rejected}"
    );

    let all = Invalidations::default().with_reason("nightly import");
    let all = all.collection("user").unwrap();
    name(&layer, 7).await;
    layer.invalidate(&all, Reach::ThisNode).await.unwrap();
    let of_all = layer.explain(&user(7));
    assert!(
        timeline(&of_all).contains(&"invalidated: nightly import".to_owned()),
        "{of_all}"
    );
    let Verdict::Ended { by } = &of_all.verdict else {
        panic!("{of_all}")
    };
    assert_eq!(*by, Target::collection("user").unwrap());
    let sentence = of_all.sentence();
    assert!(
        sentence.contains("collection:user was invalidated after it was read (on this node, nightly import"),
        "{sentence}"
    );

    users.clear(Reason::Manual);
    let tag = layer.explain(&Target::tag("default", "never").unwrap());
    assert!(timeline(&tag).is_empty() && tag.pools.is_empty());
    assert_eq!(tag.cursors.len(), 1);
}

/// What leaves by itself says why, and what is served past its time says so.
///
/// Contract: S43 (partial: evicted and expired), S44 (partial: evictions, expiries, stale answers)
#[tokio::test]
async fn what_leaves_by_itself_says_why() {
    let clock = Arc::new(SimClock::new());
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let builder: PoolBuilder<User> = Pool::builder()
        .capacity_entries(1)
        .time_to_live(Duration::from_secs(10))
        .stale_on_error(Duration::from_secs(100))
        .loader_label("rows")
        .loader(move |load: LoadContext<User>| {
            let is_down = down.load(Ordering::Relaxed);
            async move {
                let name = "Ada".to_owned();
                if is_down {
                    Err("down")
                } else {
                    Ok(User { id: load.id, name })
                }
            }
        });
    let layer = Layer::builder("alone")
        .clock(clock.clone())
        .pool(builder)
        .open()
        .await
        .unwrap();
    let users = layer.pool::<User>().unwrap();
    (1..4).for_each(|id| layer.watch(&user(id)).unwrap());
    users.fetch(&1).await.unwrap();
    clock.advance(Duration::from_secs(11));
    is_down.store(true, Ordering::Relaxed);
    assert!(users.fetch_with(&1, FetchOptions::new()).await.unwrap().stale);
    let expired = layer.explain(&user(1));
    assert!(matches!(expired.verdict, Verdict::Expired), "{expired}");
    assert_eq!(timeline(&expired), ["ServedStale", "filled by rows"]);
    is_down.store(false, Ordering::Relaxed);
    for id in [2, 3, 2, 3, 2] {
        users.fetch(&id).await.unwrap();
    }
    let told: Vec<String> = (1..4)
        .flat_map(|id| timeline(&layer.explain(&user(id))))
        .collect();
    assert!(told.contains(&"evicted".to_owned()), "{told:?}");
    users.clear(Reason::Manual);
    users.fetch(&3).await.unwrap();
    clock.advance(Duration::from_secs(200));
    users.sweep(usize::MAX);
    assert_eq!(timeline(&layer.explain(&user(3)))[0], "expired");
}

/// Up to 64 may be watched; one more is refused by name, and one that is not watched any more makes room.
///
/// Contract: S44 (partial: 64 watched targets), S144 (partial: watched targets)
#[tokio::test]
async fn sixty_four_may_be_watched() {
    let ground = Ground::new().await;
    let layer = Layer::builder("alone").pool(ground.users()).open().await.unwrap();
    let never = layer.explain(&user(7));
    assert!(matches!(never.verdict, Verdict::Absent { last: None }) && never.timeline.is_empty());
    assert_eq!(
        never.sentence(),
        "entity:user/7 is absent: nothing of it was seen of late"
    );
    (0..64).for_each(|id| layer.watch(&user(id)).unwrap());
    layer.watch(&user(5)).unwrap();
    let refused = layer.watch(&user(64)).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::TooMany {
                what: "watched targets",
                max: 64
            }
        ),
        "{refused}"
    );
    assert!(layer.unwatch(&user(5)) && !layer.unwatch(&user(5)));
    layer.watch(&user(64)).unwrap();
}

/// An unwatched key of which nothing is written down still has its invalidations, and an id that no key can be made of is no fault.
///
/// Contract: S44 (partial: all invalidations)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invalidation_is_told() {
    let ground = Ground::new().await;
    let (here, there) = (ground.layer().await, ground.layer().await);
    for round in 0..5 {
        rename(&here, 7, &format!("Ada {round}")).await;
    }
    until(|| timeline(&there.explain(&user(7))).len() == 5).await;
    let told = there.explain(&user(7));
    assert_eq!(timeline(&told), vec!["committed: renamed"; 5]);
    let lists = there.explain(&Target::collection("user.lists").unwrap());
    assert_eq!(timeline(&lists).len(), 5, "the lists of its kind too");
    let strange = Target::entity("user", Key::new(b"no number").unwrap()).unwrap();
    assert!(there.explain(&strange).pools.is_empty());
}

/// To the body of a transaction a target is what that has made of it, by whichever target; to all others it is what it was.
///
/// Contract: S43 (partial: within a transaction), S21 (partial: explanations)
#[tokio::test]
async fn a_body_is_told_what_it_has_invalidated() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    for by in [user(7), Target::collection("user").unwrap(), Target::Everything] {
        name(&layer, 7).await;
        let rolled_back = layer.transaction(&outbox, async |tx| {
            let before = layer.explain(&user(7));
            assert!(
                matches!(before.verdict, Verdict::Fresh) && before.in_transaction.is_none(),
                "{before}"
            );
            tx.target(by.clone())?;
            let explained = layer.explain(&user(7));
            assert!(
                matches!(&explained.verdict, Verdict::EndedInTransaction { by: found } if *found == by),
                "{explained}"
            );
            let sentence = explained.sentence();
            let expected = format!("not served here: this transaction has invalidated {by}, ");
            assert!(sentence.contains(&expected), "{sentence}");
            // Nothing of it is kept, and it is said all the same.
            let absent = layer.explain(&user(8));
            assert!(matches!(absent.verdict, Verdict::Absent { .. }), "{absent}");
            let says_so = absent
                .sentence()
                .ends_with(&format!("; this transaction has invalidated {by}"));
            assert_eq!(
                (says_so, absent.in_transaction.is_some()),
                (by != user(7), by != user(7))
            );
            let others = layer.clone();
            let seen = tokio::spawn(async move { others.explain(&user(7)) }).await?;
            assert!(
                matches!(seen.verdict, Verdict::Fresh) && seen.in_transaction.is_none(),
                "{seen}"
            );
            Err::<(), Any>("rolled back".into())
        });
        rolled_back.await.unwrap_err();
        assert!(matches!(layer.explain(&user(7)).verdict, Verdict::Fresh));
    }
}
