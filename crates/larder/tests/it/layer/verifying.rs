//! What is kept against its origin: on demand, all the time, and what that makes of a layer's health.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::outbox::Outbox;
use larder::pool::LoadContext;
use larder::{Entity, Error, Layer, LayerBuilder, Pool, VerifyPlan};

use super::{Any, Ground, Team, User, name, until};

#[derive(Debug, PartialEq, Entity)]
struct Note {
    id: u32,
    version: u64,
}

fn digest(note: &Note) -> u64 {
    note.version.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A pool of notes, all of one version, which the test changes in silence.
fn notes(version: &Arc<AtomicU64>) -> larder::pool::PoolBuilder<Note> {
    let version = Arc::clone(version);
    Pool::builder().loader(move |load: LoadContext<Note>| {
        let version = version.load(Ordering::SeqCst);
        async move {
            match load.id {
                99 => Err::<Option<Note>, Any>("this one cannot be asked for".into()),
                id => Ok((version < 9).then_some(Note { id, version })),
            }
        }
    })
}

fn builder(ground: &Ground) -> LayerBuilder {
    // Nothing is verified but by the test.
    Layer::builder("shop")
        .outbox(Outbox::builder(ground.database.clone()))
        .verify_rate(0)
}

/// All pools that are to be verified, one of them by its name, or a sample; each entry is counted by what became of it, digests stand beside what differs.
///
/// Contract: S45 (partial: pools), O112
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_chosen_is_compared() {
    let ground = Ground::new().await;
    let version = Arc::new(AtomicU64::new(1));
    let layer = builder(&ground)
        .verified_pool(ground.users())
        .verified_pool_by(notes(&version), digest)
        .pool(Pool::<Team>::builder())
        .open()
        .await
        .unwrap();
    let pool = layer.pool::<Note>().unwrap();
    for id in 1..=20 {
        pool.fetch(&id).await.unwrap();
    }
    pool.insert(Note { id: 99, version: 1 }).unwrap();
    name(&layer, 7).await;
    let all = layer.verify(&VerifyPlan::all()).await.unwrap();
    assert_eq!(
        (all.matching, all.origin_errors, all.mismatched),
        (21, 1, 0),
        "{all:?}"
    );
    assert_eq!(all.checked(), 22);
    let named = layer.verify(&VerifyPlan::pool("user")).await.unwrap();
    assert_eq!((named.matching, named.checked()), (1, 1));
    let sampled = layer.verify(&VerifyPlan::pool("note").sample(5)).await.unwrap();
    assert_eq!(sampled.checked(), 5);
    assert!(
        layer
            .health()
            .parts
            .iter()
            .all(|part| part.part != "verification")
    );

    version.store(2, Ordering::SeqCst);
    let looked = layer
        .verify(&VerifyPlan::all().heal(false).at_most(3))
        .await
        .unwrap();
    assert_eq!(
        (looked.mismatched, looked.matching),
        (3, 1),
        "of each pool three, and nothing is ended"
    );
    let found = layer.verify(&VerifyPlan::all()).await.unwrap();
    assert_eq!((found.mismatched, found.mismatches.len()), (20, 20), "{found:?}");
    let first = &found.mismatches[0];
    let (one, two) = (Note { id: 0, version: 1 }, Note { id: 0, version: 2 });
    assert_eq!(
        (first.kept, first.origin, first.is_gone),
        (Some(digest(&one)), Some(digest(&two)), false)
    );
    assert!(
        first.explanation.sentence().contains("is resident and fresh"),
        "as it was: {}",
        first.explanation
    );
    assert!(pool.get(&1).is_none(), "it was ended");
    version.store(9, Ordering::SeqCst);
    pool.insert(Note { id: 3, version: 3 }).unwrap();
    let gone = layer.verify(&VerifyPlan::of::<Note>()).await.unwrap();
    assert!(
        gone.mismatches[0].is_gone && gone.mismatches[0].kept.is_none(),
        "{gone:?}"
    );
    degraded(&layer, 24);
}

/// The layer's health says how many stale entries were found, and that it is ready all the same.
fn degraded(layer: &Layer, count: u64) {
    let health = layer.health();
    let part = health
        .parts
        .iter()
        .find(|part| part.part == "verification")
        .unwrap();
    assert_eq!((part.state, part.ready, health.live), ("degraded", true, true));
    assert!(
        part.why
            .as_ref()
            .unwrap()
            .starts_with(&format!("{count} entries")),
        "{part:?}"
    );
}

/// What is not there, or cannot be compared, is named; it never passes for a clean bill.
///
/// Contract: S45 (partial: what cannot be verified), S50 (partial: verify)
#[tokio::test]
async fn what_cannot_be_verified_is_named() {
    let ground = Ground::new().await;
    let layer = builder(&ground)
        .pool(Pool::<Team>::builder())
        .open()
        .await
        .unwrap();
    for (plan, expected) in [
        (VerifyPlan::all(), "the layer has no verified pool"),
        (VerifyPlan::pool("team"), "the layer has no verified pool"),
        (
            VerifyPlan::pool("note"),
            "the layer has no pool of `note`; it has `team`",
        ),
        (
            VerifyPlan::of::<User>(),
            "the layer has no pool of `user`; it has `team`",
        ),
        (
            VerifyPlan::of::<User>().label("old"),
            "the layer has no pool of `user` labelled `old`; it has `team`",
        ),
    ] {
        let refused = layer.verify(&plan).await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    #[derive(Debug, PartialEq, Entity)]
    struct Loose {
        id: u8,
    }
    let without = builder(&ground)
        .verified_pool(Pool::<Loose>::builder())
        .open()
        .await
        .unwrap();
    let refused = without.verify(&VerifyPlan::pool("loose")).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotConfigured { part: "loader" }),
        "{refused}"
    );
    assert_eq!(without.verify(&VerifyPlan::all()).await.unwrap().checked(), 0);
}

/// No more loads run at once than the plan says, and dropping it ends it: nothing more is asked.
///
/// Contract: S45 (partial: limits)
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_verification_is_limited_and_may_be_dropped() {
    let ground = Ground::new().await;
    let (now, most, all) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let counts = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&all));
    let slow = Pool::<Note>::builder().loader(move |load: LoadContext<Note>| {
        let (now, most, all) = counts.clone();
        async move {
            all.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Any>(Note {
                id: load.id,
                version: 1,
            })
        }
    });
    let layer = builder(&ground)
        .verified_pool_by(slow, digest)
        .open()
        .await
        .unwrap();
    let pool = layer.pool::<Note>().unwrap();
    (0..200).for_each(|id| drop(pool.insert(Note { id, version: 1 }).unwrap()));
    for concurrency in [1, 2, 5] {
        most.store(0, Ordering::SeqCst);
        let report = layer
            .verify(&VerifyPlan::all().at_most(40).concurrency(concurrency))
            .await
            .unwrap();
        let reached = usize::try_from(most.load(Ordering::SeqCst)).unwrap();
        assert_eq!((report.matching, reached), (40, concurrency));
    }
    let before = all.load(Ordering::SeqCst);
    let plan = VerifyPlan::all().pause(Duration::from_millis(5));
    let cut = tokio::time::timeout(Duration::from_millis(60), layer.verify(&plan)).await;
    assert!(cut.is_err());
    let asked = all.load(Ordering::SeqCst) - before;
    assert!((1..=13).contains(&asked), "it rests between them: {asked}");
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(all.load(Ordering::SeqCst) - before, asked, "nobody goes on");
}

/// Without anybody asking, a row that was changed in silence is found and ended; shares of matches and of certainty are told by window.
///
/// Contract: S46
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifier_finds_what_nobody_asked_about() {
    let ground = Ground::new().await;
    let outbox = Outbox::builder(ground.database.clone());
    let layer = Layer::builder("shop")
        .outbox(outbox)
        .verified_pool(ground.users())
        .verify_rate(200);
    let layer = layer.open().await.unwrap();
    assert_eq!(layer.objectives().map(|it| it.matching_ratio()), [None; 3]);
    name(&layer, 7).await;
    until(|| layer.objectives()[0].checks > 5).await;
    assert_eq!(layer.objectives().map(|it| it.matching_ratio()), [Some(1.0); 3]);
    let silent = "UPDATE users SET name = 'Ada Lovelace' WHERE id = 7";
    sqlx::query(silent).execute(&ground.database).await.unwrap();
    let users = layer.pool::<User>().unwrap();
    until(|| users.peek(&7).is_none()).await;
    assert_eq!(name(&layer, 7).await, "Ada Lovelace");
    until(|| layer.objectives()[0].looks > 0).await;
    let [minutes, _, day] = layer.objectives();
    assert!(minutes.checks > minutes.matching && day.matching_ratio().unwrap() < 1.0);
    assert_eq!(minutes.sure_ratio(), Some(1.0));
    let names: Vec<String> = layer.tasks().into_iter().map(|task| task.name).collect();
    assert!(
        names.contains(&"verifier".to_owned()) && names.contains(&"freshness".to_owned()),
        "{names:?}"
    );
    let report = layer.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
}
