//! What other processes commit, as soon as they do.

use std::time::Duration;

use larder::outbox::Wait;
use larder::{Layer, LayerBuilder, TaskState};

use super::{Ground, rename};

/// How long a follower sleeps, unless it is woken. Longer than any hint takes, however slow the machine is.
const SLEEP: Duration = Duration::from_secs(40);

/// A layer whose follower asks seldom.
fn slow(ground: &Ground) -> LayerBuilder {
    let bypass = larder::pool::WhenUnsure::Bypass;
    let builder = ground.builder().freshness(3 * SLEEP, bypass);
    builder.followers(|follower| follower.poll_min(SLEEP).poll_max(SLEEP))
}

fn is_woken(layer: &Layer) -> bool {
    let tasks = layer.tasks();
    let task = tasks.iter().find(|task| task.name.starts_with("file hints "));
    task.is_some_and(|task| task.state == TaskState::Running)
}

/// Another layer's outbox wakes no follower of this one but by what it writes to the file.
///
/// Contract: S23 (partial: woken by files), O102 (partial: files)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_is_woken_by_what_another_process_writes() {
    let ground = Ground::new().await;
    let here = ground.layer().await;
    let there = slow(&ground).open().await.unwrap();
    assert!(is_woken(&there));
    for round in 0..3 {
        let token = rename(&here, 7, &format!("Ada {round}")).await;
        let waited = there.wait(&token, Wait::local(SLEEP / 2)).await.unwrap();
        assert!(waited.satisfied, "round {round}: {waited:?}");
    }
    let asleep = slow(&ground).file_hints(false).open().await.unwrap();
    assert!(!is_woken(&asleep));
    let token = rename(&here, 7, "Augusta").await;
    let waited = asleep
        .wait(&token, Wait::local(Duration::from_millis(300)))
        .await
        .unwrap();
    assert!(!waited.satisfied, "nothing wakes it: {waited:?}");
    let waited = there.wait(&token, Wait::local(SLEEP / 2)).await.unwrap();
    assert!(waited.satisfied, "{waited:?}");
}
