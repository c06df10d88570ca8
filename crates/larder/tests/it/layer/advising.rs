//! What the advisor says of a layer: each rule where it holds, and not where it does not.

use std::time::Duration;

use larder::outbox::{Outbox, OutboxRow, Published, Relay};
use larder::pool::WhenUnsure;
use larder::{
    AdviceCode, Entity as _, Error, Invalidations, Layer, LayerBuilder, Pool, Reach, Severity, Target,
};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Any, Ground, Team, User, until};

fn builder(ground: &Ground) -> LayerBuilder {
    Layer::builder("shop").outbox(Outbox::builder(ground.database.clone()))
}

/// Codes of everything that is advised, but that this is a debug build, which tests mostly are.
fn codes(layer: &Layer) -> Vec<&'static str> {
    let advice = layer.advice().into_iter();
    let codes = advice
        .map(|advice| advice.code)
        .filter(|code| *code != AdviceCode::A19);
    codes.map(AdviceCode::as_str).collect()
}

/// Nothing is wrong with a layer that is set up as it should be; each thing that is wrong is told, with its remedy, also by its health.
///
/// Contract: S49 (partial: A01, A04, A10, A19)
#[tokio::test]
async fn what_is_wrong_at_the_opening_is_told() {
    let ground = Ground::new().await;
    let good = builder(&ground)
        .verified_pool(ground.users())
        .open()
        .await
        .unwrap();
    assert_eq!(codes(&good), [""; 0]);
    let advice = good.advice();
    assert_eq!(
        advice.iter().any(|advice| advice.code == AdviceCode::A19),
        cfg!(debug_assertions)
    );
    let alone = Layer::builder("alone")
        .pool(Pool::<Team>::builder().time_to_live(Duration::from_secs(60)))
        .pool(Pool::<User>::builder().capacity_bytes(1 << 50));
    let alone = alone.silence(AdviceCode::A19).open().await.unwrap();
    assert_eq!(codes(&alone), ["A01", "A04", "A10", "A10"]);
    let texts: Vec<String> = alone.advice().iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("pools may hold 1073741824 MiB"), "{texts:?}");
    assert_eq!(
        texts[1],
        "A04: pool `user` is told of no change, and nothing in it ever expires; give the layer an outbox to follow, or the pool a time to live"
    );
    assert!(
        alone
            .advice()
            .iter()
            .all(|advice| advice.severity == Severity::Warning)
    );
    assert_eq!(alone.health().advice, alone.advice());
    let silenced = builder(&ground)
        .pool(ground.users())
        .silence(AdviceCode::A10)
        .silence(AdviceCode::A19);
    assert_eq!(silenced.open().await.unwrap().advice(), []);
}

/// What cannot work keeps a layer from opening, with everything else that is wrong.
///
/// Contract: S49 (partial: A05), S5 (partial: A05)
#[tokio::test]
async fn a_freshness_bound_below_two_intervals_is_refused() {
    let ground = Ground::new().await;
    let wrong = builder(&ground)
        .verify_rate(1_001)
        .followers(|follower| follower.poll_max(Duration::from_secs(2)))
        .freshness(Duration::from_secs(3), WhenUnsure::Bypass)
        .silence(AdviceCode::A05);
    let Err(Error::Invalid { problems }) = wrong.open().await else {
        panic!("it was opened")
    };
    let told: Vec<String> = problems
        .iter()
        .map(|problem| format!("{} {}", problem.part, problem.option))
        .collect();
    assert_eq!(told, ["layer verify_rate", "follower freshness"], "{problems:?}");
}

/// Contract: S49 (partial: A11)
#[tokio::test]
async fn a_database_that_may_lose_something_is_told_of() {
    let ground = Ground::new().await;
    for (journal, synchronous, expected) in [
        (SqliteJournalMode::Wal, SqliteSynchronous::Normal, vec![]),
        (
            SqliteJournalMode::Wal,
            SqliteSynchronous::Off,
            vec!["synchronous is OFF"],
        ),
        (
            SqliteJournalMode::Delete,
            SqliteSynchronous::Full,
            vec!["journal_mode is delete"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("own.db"))
            .create_if_missing(true)
            .journal_mode(journal)
            .synchronous(synchronous);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        let outbox = Outbox::builder(pool);
        outbox.migrate().await.unwrap();
        let layer = Layer::builder("shop")
            .outbox(outbox)
            .verified_pool(ground.users())
            .open()
            .await
            .unwrap();
        let told: Vec<String> = layer
            .advice()
            .into_iter()
            .filter(|it| it.code == AdviceCode::A11)
            .map(|it| it.text)
            .collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        assert!(
            told.iter()
                .zip(&expected)
                .all(|(told, expected)| told.starts_with(expected)),
            "{told:?}"
        );
    }
}

/// Looked at again, it tells what has come up since: transactions that record nothing, by their place; an entity that no row names; entries that end together;
/// dead letters; limits that are nearly reached. And no more of it once it is over.
///
/// Contract: S49 (partial: A07, A08, A14)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_up_later_is_told_at_the_next_look() {
    let ground = Ground::new().await;
    let refusing = |rows: &[OutboxRow]| vec![Published::Permanent("no such queue".into()); rows.len()];
    let first = builder(&ground)
        .verified_pool(ground.users())
        .relay(move |store| Relay::builder(store, refusing).group("mail"));
    let first = first.open().await.unwrap();
    let outbox = first.outbox::<Sqlite>().unwrap();
    let silent = first.transaction(&outbox, async |tx| {
        sqlx::query("UPDATE users SET name = name")
            .execute(tx.connection())
            .await?;
        Ok::<_, Any>(())
    });
    silent.await.unwrap();
    let users = first.pool::<User>().unwrap();
    users.fetch(&7).await.unwrap();
    let mut token = larder::Token::default();
    for part in 0..10_u64 {
        let mut batch = Invalidations::default();
        for id in 0..1_000 {
            batch
                .push(Target::entity("order", part * 1_000 + id).unwrap())
                .unwrap();
        }
        token = first.invalidate(&batch, Reach::EveryNode).await.unwrap();
    }
    let wait = larder::outbox::Wait::local(Duration::from_secs(20));
    assert!(first.wait(&token, wait.clone()).await.unwrap().satisfied);
    until(|| first.cursors()[0].behind == Some(0)).await;
    let store = outbox.store();
    let dead =
        async || store.status("mail", None).await.unwrap().dead_lettered != larder::outbox::Count::Exactly(0);
    while !dead().await {
        tokio::task::yield_now().await;
    }
    first.look_for_advice().await;
    assert_eq!(codes(&first), ["A07", "A08", "A14"]);
    let texts: Vec<String> = first.advice().into_iter().map(|advice| advice.text).collect();
    assert!(texts[0].contains("advising.rs"), "{texts:?}");
    assert!(
        texts[1].starts_with("pool `user` is kept, and none of 1"),
        "{texts:?}"
    );
    let named = Invalidations::default().entity(User::name(), 8).unwrap();
    let token = first.invalidate(&named, Reach::EveryNode).await.unwrap();
    assert!(first.wait(&token, wait).await.unwrap().satisfied);
    until(|| first.cursors()[0].behind == Some(0)).await;
    first.look_for_advice().await;
    assert!(
        !codes(&first).contains(&"A08"),
        "it was named: {:?}",
        first.advice()
    );
}

/// Contract: S49 (partial: A15, A20)
#[tokio::test]
async fn what_ends_together_and_what_is_full_is_told() {
    let ground = Ground::new().await;
    for (jitter, expected) in [(0.0, true), (0.5, false)] {
        let pool = Pool::<Team>::builder()
            .time_to_live(Duration::from_secs(600))
            .jitter(jitter);
        let layer = builder(&ground)
            .pool(pool)
            .silence(AdviceCode::A10)
            .open()
            .await
            .unwrap();
        let teams = layer.pool::<Team>().unwrap();
        let mut batch = teams.batch();
        for id in 0..2_000 {
            batch = batch.insert(Team { id });
        }
        batch.commit().unwrap();
        layer.look_for_advice().await;
        assert_eq!(
            codes(&layer).contains(&"A15"),
            expected,
            "jitter {jitter}: {:?}",
            layer.advice()
        );
        (0..57).for_each(|id| layer.watch(&Target::entity("team", id).unwrap()).unwrap());
        layer.look_for_advice().await;
        assert!(!codes(&layer).contains(&"A20"));
        layer.watch(&Target::entity("team", 57).unwrap()).unwrap();
        layer.look_for_advice().await;
        assert!(codes(&layer).contains(&"A20"));
    }
}
