//! How long rows are kept.

use std::time::Duration;

use larder_core::{Applied, Delivered, Fence, Invalidations, Target};
use larder_outbox::{Error, Group, Retention, RowState};

use super::ground::{Ground, MODES, ground, user};

const MINUTE: Duration = Duration::from_secs(60);
const HELD: Duration = Duration::from_secs(30);

/// Makes the rows up to a position older by so many minutes.
async fn age(ground: &Ground, position: i64, minutes: i64) {
    sqlx::query("UPDATE larder_log SET recorded_at = recorded_at - ? * 60000000 WHERE position <= ?")
        .bind(minutes)
        .bind(position)
        .execute(&ground.pool)
        .await
        .unwrap();
}

/// What is older than it is kept goes, in chunks, the oldest first; the newest commit stays, however old.
///
/// Contract: O105 (partial: `retention_max`), O107 (partial: chunks, the floor)
#[tokio::test]
async fn old_rows_go_and_the_newest_stays() {
    for mode in MODES {
        let ground = ground(mode).await;
        let start = ground.beginning().await;
        for id in 1..=30 {
            let batch = user(id).entity("user", id + 100).unwrap();
            ground.outbox.record_alone(&batch).await.unwrap();
        }
        let retention = Retention::new().retention_max(MINUTE).chunk(7);
        assert_eq!(ground.outbox.purge(retention).await.unwrap().rows, 0);
        age(&ground, 20, 2).await;
        let report = ground.outbox.purge(retention).await.unwrap();
        assert_eq!((report.rows, report.is_cut_short), (40, false));
        assert_eq!(ground.number("SELECT min(position) FROM larder_log").await, 21);
        let source = ground.outbox.source();
        assert!(matches!(source.read(&start, 9).await.unwrap(), Delivered::Purged));
        // A row that looks older than one before it waits for that.
        age(&ground, 30, 2).await;
        sqlx::query("UPDATE larder_log SET recorded_at = recorded_at + 600000000 WHERE position = 25")
            .execute(&ground.pool)
            .await
            .unwrap();
        assert_eq!(ground.outbox.purge(retention).await.unwrap().rows, 8);
        age(&ground, 30, 60).await;
        assert_eq!(ground.outbox.purge(retention).await.unwrap().rows, 10);
        assert_eq!(
            ground
                .number("SELECT count(*) FROM larder_log WHERE position = 30")
                .await,
            2
        );
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            0,
            "the newest stays"
        );
    }
}

/// A commit larger than a chunk goes in parts, and is told as purged from the first part on.
///
/// Contract: O107 (partial: chunks, the floor)
#[tokio::test]
async fn a_large_commit_goes_in_parts() {
    let ground = ground(MODES[0]).await;
    let start = ground.beginning().await;
    let mut batch = Invalidations::default();
    for id in 0..50 {
        batch.push(Target::entity("user", id).unwrap()).unwrap();
    }
    ground.outbox.record_alone(&batch).await.unwrap();
    ground.outbox.record_alone(&user(1)).await.unwrap();
    age(&ground, 1, 5).await;
    let writer = {
        let outbox = ground.outbox.clone();
        tokio::spawn(async move {
            for id in 0..20 {
                outbox.record_alone(&user(id)).await.unwrap();
            }
        })
    };
    let retention = Retention::new().retention_max(MINUTE).chunk(8);
    let report = ground.outbox.purge(retention).await.unwrap();
    writer.await.unwrap();
    assert_eq!(report.rows, 50);
    assert!(matches!(
        ground.outbox.source().read(&start, 9).await.unwrap(),
        Delivered::Purged
    ));
    assert_eq!(
        ground.number("SELECT count(*) FROM larder_log").await,
        21,
        "writers were not in the way"
    );
}

/// Whoever was behind is flushed; whoever was not goes on; a purge that meets a writer ends.
///
/// Contract: O105 (partial: `retention_max`), O107 (partial: busy means later)
#[tokio::test]
async fn who_was_behind_is_flushed() {
    let ground = ground(MODES[0]).await;
    let (behind, ahead) = (
        Fence::builder().build().unwrap(),
        Fence::builder().build().unwrap(),
    );
    let mut of_behind = ground.outbox.follower(&behind).build().unwrap();
    let mut of_ahead = ground.outbox.follower(&ahead).build().unwrap();
    of_behind.step().await.unwrap();
    of_ahead.step().await.unwrap();
    let elsewhere = larder_outbox::Outbox::builder(ground.pool.clone())
        .open()
        .await
        .unwrap();
    elsewhere.record_alone(&user(1)).await.unwrap();
    elsewhere.record_alone(&user(2)).await.unwrap();
    age(&ground, 2, 5).await;
    of_ahead.step().await.unwrap();
    let retention = Retention::new().retention_max(MINUTE);
    let writer = ground.outbox.begin().await.unwrap();
    let (_, impatient) = super::ground::impatient(&ground).await;
    assert!(impatient.purge(retention).await.unwrap().is_cut_short);
    writer.rollback().await.unwrap();
    assert_eq!(ground.outbox.purge(retention).await.unwrap().rows, 1);
    let token = elsewhere.record_alone(&user(3)).await.unwrap();
    let pin = behind.pin(&[Target::entity("user", 1).unwrap()]).unwrap();
    let step = of_behind.step().await.unwrap();
    assert!(step.gap && !pin.is_fresh());
    let step = of_ahead.step().await.unwrap();
    assert!(!step.gap && step.rows == 1);
    for fence in [behind, ahead] {
        assert_eq!(fence.applied(&token), Applied::Yes);
    }
}

/// Contract: O105 (partial: the range)
#[tokio::test]
async fn what_is_out_of_range_is_refused() {
    let ground = ground(MODES[0]).await;
    let day = Duration::from_secs(24 * 3_600);
    for (retention, option) in [
        (
            Retention::new().retention_max(MINUTE - Duration::from_secs(1)),
            "retention_max",
        ),
        (Retention::new().retention_max(31 * day), "retention_max"),
        (Retention::new().chunk(0), "chunk"),
        (Retention::new().chunk(10_001), "chunk"),
    ] {
        let Err(Error::Config(config)) = ground.outbox.purge(retention).await else {
            panic!("{retention:?} was taken");
        };
        assert_eq!(config.faults()[0].option, option);
    }
    ground
        .outbox
        .purge(Retention::new().retention_max(30 * day).chunk(10_000))
        .await
        .unwrap();
}

/// What every group has acknowledged goes sooner; what one of them has yet to do stays, until it is too old for that too.
///
/// Contract: O105 (partial: `retention_min` and groups)
#[tokio::test]
async fn what_nobody_needs_goes_sooner() {
    for mode in MODES {
        let ground = ground(mode).await;
        let store = ground.outbox.store();
        for group in ["one", "two"] {
            store.open_group(&Group::new(group)).await.unwrap();
        }
        for id in 1..=10 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        age(&ground, 10, 5).await;
        let retention = Retention::new()
            .retention_min(2 * MINUTE)
            .retention_max(60 * MINUTE);
        let claim = async |group, limit| store.claim(group, "worker", limit, HELD).await.unwrap();
        let one = claim("one", 6).await;
        let two = claim("two", 8).await;
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            0,
            "they are held"
        );
        store.acknowledge(&one, &one.ids()).await.unwrap();
        store.acknowledge(&two, &two.ids()[4..]).await.unwrap();
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            0,
            "the first are not done in both"
        );
        store.acknowledge(&two, &two.ids()[..4]).await.unwrap();
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            6,
            "what both have done"
        );
        assert_eq!(ground.number("SELECT min(position) FROM larder_log").await, 7);
        assert_eq!(
            ground.number("SELECT count(*) FROM larder_delivery").await,
            0,
            "nothing is copied"
        );
        age(&ground, 10, 60).await;
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            3,
            "too old for any"
        );
        let left = claim("one", 9).await;
        assert_eq!(left.rows().len(), 4, "and still the group's");
        assert_eq!(claim("two", 9).await.rows().len(), 2);
    }
}

/// What one worker holds stays, though another one has done everything after it.
///
/// Contract: O105 (partial: `retention_min` and groups)
#[tokio::test]
async fn what_is_held_stays_though_later_rows_are_done() {
    let ground = ground(MODES[0]).await;
    let store = ground.outbox.store();
    store.open_group(&Group::default()).await.unwrap();
    for id in 1..=10 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    age(&ground, 10, 5).await;
    let held = store.claim("default", "slow", 3, HELD).await.unwrap();
    let later = store.claim("default", "quick", 9, HELD).await.unwrap();
    store.acknowledge(&later, &later.ids()).await.unwrap();
    let retention = Retention::new().retention_min(MINUTE).retention_max(60 * MINUTE);
    assert_eq!(ground.outbox.purge(retention).await.unwrap().rows, 0);
    store.acknowledge(&held, &held.ids()).await.unwrap();
    assert_eq!(
        ground.outbox.purge(retention).await.unwrap().rows,
        9,
        "all but the newest"
    );
}

/// What a group has not done for too long becomes one row of everything.
///
/// Contract: O106
#[tokio::test]
async fn what_a_group_never_takes_becomes_everything() {
    let ground = ground(MODES[0]).await;
    let store = ground.outbox.store();
    for group in ["idle", "busy"] {
        store.open_group(&Group::new(group)).await.unwrap();
    }
    for id in 1..=20 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    let busy = store.claim("busy", "worker", 9, HELD).await.unwrap();
    let dead = larder_outbox::Failed {
        row: busy.rows()[8].id,
        error: "no".to_owned(),
        next: larder_outbox::Next::Dead,
    };
    store.fail(&busy, &[dead]).await.unwrap();
    store.acknowledge(&busy, &busy.ids()[..8]).await.unwrap();
    age(&ground, 20, 5).await;
    let hour = 60 * MINUTE;
    let retention = Retention::new()
        .retention_max(MINUTE)
        .claim_retention(hour)
        .chunk(6);
    let report = ground.outbox.purge(retention).await.unwrap();
    assert_eq!((report.rows, report.given_up), (19, 0));
    let pending = async |group| {
        let rows = store.rows_of(group, RowState::Pending, None, 100).await.unwrap();
        rows.iter().map(|row| row.target.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (pending("idle").await.len(), pending("busy").await.len()),
        (20, 11),
        "with copies"
    );
    sqlx::query("UPDATE larder_delivery SET recorded_at = recorded_at - 3600000000 WHERE position <= 15")
        .execute(&ground.pool)
        .await
        .unwrap();
    let report = ground.outbox.purge(retention).await.unwrap();
    assert_eq!((report.rows, report.given_up), (0, 15 + 6));
    for group in ["idle", "busy"] {
        let rows = pending(group).await;
        // Given up in chunks of six, and yet one row for all of them.
        let everything = rows.iter().filter(|row| *row == "everything").count();
        assert_eq!((rows.len() - everything, everything), (5, 1), "{group}: {rows:?}");
    }
    // It is none of those for which it stands: whoever has seen them does not take it for one.
    let claim = store.claim("idle", "worker", 100, HELD).await.unwrap();
    let mut stands_in = claim.rows().iter().filter(|row| row.target == Target::Everything);
    let id = stands_in.next().unwrap().id;
    assert!(id.ordinal() > 1 << 61, "{id}");
    let dead = store.rows_of("busy", RowState::Dead, None, 9).await.unwrap();
    assert_eq!(dead.len(), 1, "a dead letter stays, however old");
    let again = ground.outbox.purge(retention).await.unwrap();
    assert_eq!((again.rows, again.given_up), (0, 0), "once");
}
