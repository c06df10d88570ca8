//! Commits of which nobody can say whether they happened: the database could not write to its end.
//!
//! A process may write files up to a size only (`RLIMIT_FSIZE`), which is set while it is inside its commit, and lifted afterwards. It is
//! this test binary again, started so that it is told of the limit by an error instead of a signal.
#![cfg(target_os = "linux")]

use std::process::Command;

use larder_core::{Applied, Fence, Target};
use larder_outbox::{CommitError, TransactionError};

use super::ground::{MODES, ground, user};

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
        for mode in MODES {
            for way in [Way::ByHand, Way::ByBody] {
                fail_a_commit(mode, way).await;
            }
        }
        // With a rollback journal the batch itself fails then, and nobody asks for the commit.
        fail_a_commit(MODES[0], Way::WithItsBatch).await;
    });
}

/// Who commits.
#[derive(Clone, Copy)]
enum Way {
    ByHand,
    ByBody,
    /// The batch is sent with the commit.
    WithItsBatch,
}

async fn fail_a_commit(mode: sqlx::sqlite::SqliteJournalMode, way: Way) {
    let ground = ground(mode).await;
    let fence = Fence::builder().build().unwrap();
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    follower.step().await.unwrap();
    let pin = fence.pin(&[Target::entity("user", 7).unwrap()]).unwrap();
    let token = if let Way::ByBody = way {
        let failed = ground.outbox.transaction(|transaction| {
            Box::pin(async move {
                let _ = transaction.record(&user(7)).await?;
                limit_files("1");
                Ok::<_, larder_outbox::Error>(())
            })
        });
        match failed.await {
            Err(TransactionError::Unknown { token, .. }) => token,
            other => panic!("{mode:?}: {other:?}"),
        }
    } else {
        let mut transaction = ground.outbox.begin().await.unwrap();
        let mut batch = user(7);
        if let Way::ByHand = way {
            let _ = transaction.record(&batch).await.unwrap();
            batch = larder_core::Invalidations::default();
        }
        limit_files("1");
        match transaction.commit_with(&batch).await {
            Err(CommitError::Unknown { token, .. }) => token,
            other => panic!("{mode:?}: {other:?}"),
        }
    };
    assert!(!pin.is_fresh(), "{mode:?}: it may have happened");
    assert_eq!(fence.applied(&token), Applied::No, "{mode:?}: nobody knows yet");
    limit_files("unlimited");
    // The database has decided against it. Its position is given to the next, and with that the token is decided too.
    ground.outbox.record_alone(&user(8)).await.unwrap();
    while !follower.step().await.unwrap().caught_up {}
    assert_eq!(fence.applied(&token), Applied::Yes, "{mode:?}");
    let head = ground.outbox.head().await.unwrap();
    let decided = token.requirements()[0].is_satisfied_by(&head.cursor, |_| false);
    assert!(decided, "{mode:?}");
    assert_eq!(
        ground.seen().await.len(),
        1,
        "{mode:?}: the first was rolled back"
    );
}

/// Who cannot know whether a commit happened applies it here, says so, and gives a token that is satisfied once it is decided.
///
/// Contract: O23
#[test]
fn a_commit_whose_end_nobody_knows_is_applied_all_the_same() {
    // A process that ignores the signal is told by an error.
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["deciding::a_part_that_decides", "--exact"])
        .env(PART, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
