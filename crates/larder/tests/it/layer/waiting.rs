//! Waits through a layer, mode by mode, over two nodes of one database: for what each waits, and what it comes to.

use std::sync::Arc;
use std::time::Duration;

use larder::outbox::{self, OutboxRow, Publish, Published, Relay, Wait, WaitMode, Waited};
use larder::pool::WhenUnsure;
use larder::{BoxFuture, Error, Invalidations, Layer, LayerBuilder, Position, Reach, Token};
use larder_testkit::SimClock;
use tokio::sync::watch;

use super::{Ground, rename, until};

const NONE: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(20);

/// A node that looks once a minute: until then it knows what it has committed itself, and what it read on that occasion.
fn slow(builder: LayerBuilder, node: &str) -> LayerBuilder {
    let minute = Duration::from_secs(60);
    let followers = builder.node(node).followers(move |follower| {
        let follower = follower.poll_min(minute).poll_max(minute);
        follower
            .publish_every(Duration::from_millis(50))
            .node_lease(10 * minute)
    });
    // Nothing wakes it but what it does itself.
    let followers = followers.file_hints(false);
    followers.freshness(5 * minute, WhenUnsure::Bypass)
}

/// Has a slow node read what there is, and say so: the second time, if it has only just said something.
async fn catch_up(layer: &Layer) {
    for id in 0..3 {
        let batch = Invalidations::default().entity("other", id).unwrap();
        layer.invalidate(&batch, Reach::EveryNode).await.unwrap();
        tokio::time::sleep(SHORT).await;
    }
}

/// A slow node whose first rounds are over.
async fn resting(builder: LayerBuilder) -> Layer {
    let layer = slow(builder, "there").open().await.unwrap();
    catch_up(&layer).await;
    let half_a_second = Duration::from_millis(500);
    let is_resting = |last: Duration| last > half_a_second;
    until(|| layer.cursors()[0].last_contact.is_some_and(is_resting)).await;
    layer
}

#[track_caller]
fn assert_satisfied(waited: &Waited, mode: &WaitMode) {
    assert_eq!(&waited.mode, mode);
    let is_any_other = waited.degraded || waited.timed_out || waited.unknown;
    assert!(waited.satisfied && !is_any_other, "{waited:?}");
    assert!(
        waited.pending == 0 && waited.lagging.is_empty() && waited.elapsed < LONG,
        "{waited:?}"
    );
}

#[track_caller]
fn assert_over(waited: &Waited, mode: &WaitMode, pending: usize, lagging: &[&str]) {
    assert_eq!(&waited.mode, mode);
    assert!(waited.timed_out && waited.degraded, "{waited:?}");
    assert!(!waited.satisfied && !waited.unknown, "{waited:?}");
    assert_eq!(
        (waited.pending, &*waited.lagging),
        (pending, lagging_of(lagging).as_slice())
    );
}

fn lagging_of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits of every mode, before what they wait for and after it.
///
/// Contract: S23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_waits_for_what_it_names() {
    let ground = Ground::new().await;
    let here = slow(ground.builder(), "here").open().await.unwrap();
    let there = resting(ground.builder()).await;
    let token = rename(&here, 7, "Ada Lovelace").await;
    waits_that_end_before(&here, &there, &token).await;
    let (all, two) = (WaitMode::AllNodes, WaitMode::Quorum(2));
    let waited = tokio::join!(
        there.wait(&token, Wait::local(LONG)),
        there.wait(&token, Wait::best_effort(LONG)),
        here.wait(&token, Wait::all_nodes(LONG)),
        here.wait(&token, Wait::quorum(2, LONG)),
        catch_up(&there),
    );
    assert_satisfied(&waited.0.unwrap(), &WaitMode::Local);
    assert_satisfied(&waited.1.unwrap(), &WaitMode::BestEffort);
    assert_satisfied(&waited.2.unwrap(), &all);
    assert_satisfied(&waited.3.unwrap(), &two);
    let too_many = here.wait(&token, Wait::quorum(3, NONE)).await.unwrap();
    assert_over(&too_many, &WaitMode::Quorum(3), 1, &[]);
    waits_for_a_group(&ground, &here).await;
    waits_without_a_look().await;
}

/// While the other node has not heard of it.
async fn waits_that_end_before(here: &Layer, there: &Layer, token: &Token) {
    let none = there.wait(token, Wait::none()).await.unwrap();
    assert_satisfied(&none, &WaitMode::None);
    assert_satisfied(
        &here.wait(token, Wait::local(NONE)).await.unwrap(),
        &WaitMode::Local,
    );
    for time in [NONE, SHORT] {
        let local = there.wait(token, Wait::local(time)).await.unwrap();
        assert_over(&local, &WaitMode::Local, 1, &[]);
        let best = there.wait(token, Wait::best_effort(time)).await.unwrap();
        assert_over(&best, &WaitMode::BestEffort, 1, &[]);
        let all = here.wait(token, Wait::all_nodes(time)).await.unwrap();
        assert_over(&all, &WaitMode::AllNodes, 1, &["there"]);
        let two = here.wait(token, Wait::quorum(2, time)).await.unwrap();
        assert_over(&two, &WaitMode::Quorum(2), 1, &["there"]);
        for waited in [local, best, all, two] {
            assert!(time <= waited.elapsed && waited.elapsed < LONG, "{waited:?}");
        }
    }
    let one = here.wait(token, Wait::quorum(1, NONE)).await.unwrap();
    assert_satisfied(&one, &WaitMode::Quorum(1));
    // It does, and says so; but one of so many is who waits.
    catch_up(here).await;
    let one = there.wait(token, Wait::quorum(1, NONE)).await.unwrap();
    assert!(one.timed_out && one.pending == 1, "{one:?}");
}

/// Gives an answer once it is told which.
struct Held(watch::Receiver<Option<Published>>);

impl Publish for Held {
    fn publish<'a>(&'a self, rows: &'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> {
        let mut answer = self.0.clone();
        Box::pin(async move {
            let answer = answer.wait_for(Option::is_some).await.unwrap().clone();
            vec![answer.unwrap(); rows.len()]
        })
    }
}

/// Two rows a commit: the entity, and its lists. Whoever waits need not be the node that relays.
async fn waits_for_a_group(ground: &Ground, other: &Layer) {
    let (answer, held) = watch::channel(None);
    let relay = |store| Relay::builder(store, Held(held)).group("mail");
    let layer = slow(ground.builder(), "relaying")
        .relay(relay)
        .open()
        .await
        .unwrap();
    let (token, mode) = (
        rename(&layer, 7, "Ada").await,
        WaitMode::Relayed("mail".to_owned()),
    );
    let wait = |time| Wait::relayed("mail", time);
    for time in [NONE, SHORT] {
        let waited = other.wait(&token, wait(time)).await.unwrap();
        assert_over(&waited, &mode, 2, &[]);
        assert!(time <= waited.elapsed && waited.elapsed < LONG, "{waited:?}");
    }
    let (waited, elsewhere, ()) = tokio::join!(
        layer.wait(&token, wait(LONG)),
        other.wait(&token, wait(LONG)),
        async {
            tokio::time::sleep(SHORT).await;
            answer.send_replace(Some(Published::Done));
        }
    );
    assert_satisfied(&waited.unwrap(), &mode);
    assert_satisfied(&elsewhere.unwrap(), &mode);
    answer.send_replace(Some(Published::Permanent("no such address".to_owned())));
    let token = rename(&layer, 7, "Ada Lovelace").await;
    let dead = other.wait(&token, wait(LONG)).await.unwrap();
    assert!(
        dead.degraded && !dead.satisfied && !dead.timed_out,
        "at once: {dead:?}"
    );
    assert_eq!((&dead.mode, dead.pending), (&mode, 2));
    assert!(dead.elapsed < LONG, "{dead:?}");
    let missing = other.wait(&token, Wait::relayed("none", NONE)).await.unwrap_err();
    assert!(
        matches!(&missing, Error::Outbox(outbox::Error::NoSuchGroup { .. })),
        "{missing:?}"
    );
}

/// Waits for nodes look together, every 50 ms at most, by a clock that stands still here; waits for this node look nowhere.
async fn waits_without_a_look() {
    let (ground, clock) = (Ground::new().await, SimClock::new());
    let builder = slow(ground.builder(), "here").clock(Arc::new(clock.clone()));
    let here = builder.open().await.unwrap();
    let there = resting(ground.builder()).await;
    let token = rename(&here, 7, "Ada Lovelace").await;
    let all = || here.wait(&token, Wait::all_nodes(NONE));
    assert_over(&all().await.unwrap(), &WaitMode::AllNodes, 1, &["there"]);
    for table in ["larder_node", "larder_log", "larder_meta"] {
        let sql = format!("DROP TABLE {table}");
        let dropped = sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&ground.database)
            .await;
        dropped.unwrap();
    }
    for _ in 0..100 {
        assert_over(&all().await.unwrap(), &WaitMode::AllNodes, 1, &["there"]);
    }
    assert_satisfied(
        &here.wait(&token, Wait::local(NONE)).await.unwrap(),
        &WaitMode::Local,
    );
    let local = there.wait(&token, Wait::local(SHORT)).await.unwrap();
    assert_over(&local, &WaitMode::Local, 1, &[]);
    clock.advance(Duration::from_millis(50));
    let failed = all().await.unwrap_err();
    assert!(matches!(failed, Error::Outbox(_)), "{failed:?}");
}

/// A pool that is used up gave a wait its own error after its own time, which may be half a minute.
///
/// Contract: O65 (partial: a database that gives no answer)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_gives_no_answer_holds_up_no_wait() {
    let ground = Ground::new().await;
    let layer = slow(ground.builder(), "here").open().await.unwrap();
    let token = rename(&layer, 7, "Ada Lovelace").await;
    let mut held = Vec::new();
    while held.len() < 4 {
        held.push(ground.database.acquire().await.unwrap());
    }
    let time = Duration::from_millis(200);
    for wait in [
        Wait::all_nodes(time),
        Wait::quorum(2, time),
        Wait::relayed("mail", time),
    ] {
        let waited = layer.wait(&token, wait).await.unwrap();
        assert!(
            waited.timed_out && !waited.satisfied && waited.pending > 0,
            "{waited:?}"
        );
        assert!(time <= waited.elapsed && waited.elapsed < LONG, "{waited:?}");
    }
    drop(held);
    let waited = layer.wait(&token, Wait::all_nodes(LONG)).await.unwrap();
    assert!(waited.satisfied, "{waited:?}");
}

/// A wait for others waited out its time for a position that was never given out.
///
/// Contract: S24 (partial: waits for others)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_was_never_given_out_is_unknown_to_every_wait() {
    let ground = Ground::new().await;
    let layer = ground.builder().relay(|store| {
        let publish = |rows: &[OutboxRow]| vec![Published::Done; rows.len()];
        Relay::builder(store, publish).group("mail")
    });
    let layer = layer.open().await.unwrap();
    rename(&layer, 7, "Ada Lovelace").await;
    let cursor = layer.cursors().remove(0);
    let never = Token::commit(cursor.source, cursor.epoch.unwrap(), Position::new(1_000));
    for wait in [
        Wait::local(LONG),
        Wait::all_nodes(LONG),
        Wait::quorum(1, LONG),
        Wait::relayed("mail", LONG),
    ] {
        let waited = layer.wait(&never, wait).await.unwrap();
        assert!(
            waited.unknown && !waited.satisfied && !waited.timed_out,
            "{waited:?}"
        );
    }
}
