//! Transactions of which nobody can say whether they were committed: the database could not write to its end.
//!
//! A process may write files up to a size only (`RLIMIT_FSIZE`), which is set while it is inside a transaction, and lifted once that is over. It is this
//! test binary again, started so that it is told of the limit by an error instead of a signal.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::outbox::{TransactionError, Wait};
use larder::pool::{LoadContext, WhenUnsure};
use larder::{Applied, Last, Layer, Target, Token, Tx};
use sqlx::Sqlite;

use super::{Any, Ground, User, name, rename, until};

const PART: &str = "LARDER_TEST_DECIDING";

/// From here on no file of this process can be written beyond so many bytes.
fn limit_files(bytes: &str) {
    let pid = std::process::id().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(done.expect("prlimit is part of util-linux").success());
}

/// What the process does. As a test of its own it has nothing to do.
#[test]
fn a_part_that_decides() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let ground = Ground::new().await;
        // The follower looks once a minute: whatever is applied sooner was applied by the commit.
        let minute = Duration::from_secs(60);
        let layer = ground
            .builder()
            .file_hints(false)
            .followers(move |follower| follower.poll_min(minute).poll_max(minute).node_lease(10 * minute))
            .freshness(5 * minute, WhenUnsure::Bypass);
        let layer = layer.open().await.unwrap();
        fail_a_commit(&ground, &layer).await;
        fail_a_commit_that_nobody_waits_for(&layer).await;
    });
}

async fn rename_both(tx: &mut Tx<'_, Sqlite>) -> Result<(), Any> {
    sqlx::query("UPDATE users SET name = 'nobody'")
        .execute(tx.connection())
        .await?;
    tx.reason("renamed")
        .invalidate::<User>(&7)?
        .invalidate::<User>(&8)?;
    limit_files("1");
    Ok(())
}

/// One is cached, the other is being loaded.
async fn fail_a_commit(ground: &Ground, layer: &Layer) {
    let (users, outbox) = (layer.pool::<User>().unwrap(), layer.outbox::<Sqlite>().unwrap());
    let pin = layer.fence().pin(&[Target::entity("user", 7).unwrap()]).unwrap();
    assert_eq!(name(layer, 7).await, "Ada");
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let loading = tokio::spawn({
        let users = users.clone();
        async move {
            let load = |load: LoadContext<User>| async move {
                begun.send(()).unwrap();
                released.await?;
                let name = "Grace".to_owned();
                Ok::<_, Any>(User { id: load.id, name })
            };
            users.get_or_fetch(&8, load).await.unwrap().unwrap()
        }
    });
    has_begun.await.unwrap();
    let ended = layer.transaction(&outbox, rename_both).await;
    let Err(TransactionError::Unknown { token, .. }) = ended else {
        panic!("{ended:?}")
    };
    assert!(!pin.is_fresh() && users.get(&7).is_none(), "it may have happened");
    let Last::At(last) = layer.fence().last(&Target::entity("user", 7).unwrap()) else {
        panic!("it was not heard of")
    };
    let bound = last.commit.unwrap().bound;
    assert_eq!((last.reason.as_str(), bound), ("renamed", None));
    assert_eq!((layer.stats().unknown_outcomes, layer.stats().commits), (1, 0));
    assert_eq!(layer.fence().applied(&token), Applied::No, "nobody knows yet");
    release.send(()).unwrap();
    assert_eq!(loading.await.unwrap().name, "Grace");
    assert!(users.get(&8).is_none(), "it was read before");
    limit_files("unlimited");
    let loads = ground.loads.load(Ordering::Relaxed);
    assert_eq!(name(layer, 7).await, "Ada", "the database has decided against it");
    assert_eq!(ground.loads.load(Ordering::Relaxed) - loads, 1);
    settle(layer, &token).await;
}

/// The next commit is given the same position, and once the follower has seen it, the token is decided too.
async fn settle(layer: &Layer, token: &Token) {
    rename(layer, 8, "Grace Hopper").await;
    let long = Wait::local(Duration::from_secs(20));
    let waited = layer.wait(token, long).await.unwrap();
    assert!(waited.satisfied, "{waited:?}");
}

/// It is dropped while the database commits, which goes on and fails after that.
async fn fail_a_commit_that_nobody_waits_for(layer: &Layer) {
    let outbox = layer.outbox::<Sqlite>().unwrap();
    name(layer, 7).await;
    let pin = layer.fence().pin(&[Target::entity("user", 7).unwrap()]).unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let (go_on, told_to) = std::sync::mpsc::channel::<()>();
    let mut once = Some((begun, told_to));
    let write = layer.transaction(&outbox, async |tx: &mut Tx<'_, Sqlite>| {
        let mut handle = tx.connection().lock_handle().await?;
        handle.set_commit_hook(move || {
            if let Some((begun, told_to)) = once.take() {
                begun.send(()).unwrap();
                told_to.recv().unwrap();
            }
            true
        });
        drop(handle);
        rename_both(tx).await
    });
    tokio::select! {
        ended = write => panic!("{ended:?}"),
        begun = has_begun => begun.unwrap(),
    }
    assert!(pin.is_fresh(), "it is under way");
    go_on.send(()).unwrap();
    until(|| !pin.is_fresh()).await;
    limit_files("unlimited");
    assert!(layer.pool::<User>().unwrap().get(&7).is_none());
    assert_eq!(name(layer, 7).await, "Ada", "the database has decided against it");
}

/// Who cannot know whether a commit happened is told so, and nothing that was read before it is served or kept afterwards, also if nobody waits for the
/// end of it; once the database has decided, so has the token.
///
/// Contract: S19
#[test]
fn a_commit_whose_end_nobody_knows_is_applied_all_the_same() {
    // A process that ignores the signal is told by an error.
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["layer::deciding::a_part_that_decides", "--exact"])
        .env(PART, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
