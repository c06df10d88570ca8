//! Relays of a layer: as tasks, and as readers of their source.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::{Backoff, OutboxRow, Published, Relay, Wait};
use larder::{LaneState, ReaderKind, Target};

use super::opening::without_file_hints;
use super::{Ground, rename, until};

/// The relay's rows arrive, and waits for its group are satisfied by it.
///
/// Contract: S23 (partial: relayed), S38 (partial: followers and relays)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_a_task_of_the_layer() {
    let ground = Ground::new().await;
    let published = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&published);
    let layer = ground.builder().relay(move |store| {
        let publish = move |rows: &[OutboxRow]| {
            sink.lock()
                .unwrap()
                .extend(rows.iter().map(|row| row.target.to_string()));
            vec![Published::Done; rows.len()]
        };
        Relay::builder(store, publish).group("mail")
    });
    let layer = layer.open().await.unwrap();
    let token = rename(&layer, 7, "Ada Lovelace").await;
    let waited = layer
        .wait(&token, Wait::relayed("mail", Duration::from_secs(20)))
        .await
        .unwrap();
    assert!(waited.satisfied, "{waited:?}");
    assert_eq!(
        *published.lock().unwrap(),
        ["entity:user/7", "collection:user.lists"]
    );
    let names: Vec<_> = layer.tasks().into_iter().map(|task| task.name).collect();
    let names = without_file_hints(names);
    assert_eq!(names[1..], ["relay mail", "groups", "freshness", "advisor"]);
}

/// A relay is shown in the form of a follower: which group, how far that has come, what is left, since when, and what keeps it.
///
/// Contract: S37 (partial: relays)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_shown_as_a_reader() {
    let ground = Ground::new().await;
    let is_up = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&is_up);
    let layer = ground.builder().node("a").relay(move |store| {
        let publish = move |rows: &[OutboxRow]| {
            let published = if asked.load(Ordering::Relaxed) {
                Published::Done
            } else {
                Published::Retry("no answer".into())
            };
            vec![published; rows.len()]
        };
        let relay = Relay::builder(store, publish).group("mail").owner("post");
        relay.backoff(Backoff::fixed(Duration::from_secs(3_600)))
    });
    let layer = layer.open().await.unwrap();
    let relay = || {
        layer
            .cursors()
            .into_iter()
            .find(|cursor| cursor.kind == ReaderKind::Relay)
    };
    rename(&layer, 7, "Ada Lovelace").await;
    // It is looked up every two seconds.
    until(|| {
        relay().is_some_and(|relay| {
            relay.behind == Some(0) && relay.position.is_some_and(|next| next.get() == 2)
        })
    })
    .await;
    let follower = layer.cursors().remove(0);
    let done = relay().unwrap();
    assert_eq!((follower.kind, follower.group), (ReaderKind::Follower, None));
    assert_eq!(
        (done.source, done.epoch, done.head),
        (follower.source, follower.epoch, follower.head)
    );
    assert_eq!(
        (done.node.as_deref(), done.group.as_deref()),
        (Some("post"), Some("mail"))
    );
    assert_eq!((done.state, done.lag), (LaneState::Live, Some(Duration::ZERO)));
    assert!(done.last_contact.unwrap() < Duration::from_secs(10), "{done:?}");

    is_up.store(false, Ordering::Relaxed);
    rename(&layer, 7, "Ada").await;
    rename(&layer, 8, "Grace Hopper").await;
    until(|| relay().is_some_and(|relay| relay.behind == Some(4) && relay.last_error.is_some())).await;
    let late = relay().unwrap();
    assert_eq!(late.position.unwrap().get(), 2, "the first that is pending");
    assert!(
        late.lag.unwrap() > Duration::ZERO && late.state == LaneState::Lagging,
        "{late:?}"
    );
    assert!(late.last_error.unwrap().contains("no answer"));
    let asked = layer.explain(&Target::entity("user", 7).unwrap());
    assert!(
        asked
            .cursors
            .iter()
            .all(|cursor| cursor.kind == ReaderKind::Follower)
    );
}
