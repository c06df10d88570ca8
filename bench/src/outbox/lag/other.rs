//! The other process's part: a follower, or what services write by hand.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Fence, Invalidation, Position, Settled, Sink, SinkError, Target};
use larder_outbox::Outbox;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::MissedTickBehavior;

use crate::Outcome;
use crate::lags;
use crate::outbox::{options, runtime};

/// How often everybody asks.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the other process is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// A follower, which asks sooner after rows and then less and less often, up to the interval.
    Follower,
    /// A follower that always waits for the interval.
    FollowerAtIntervals,
    /// What services write by hand.
    Poller,
}

impl Role {
    const ALL: [Role; 3] = [Role::Follower, Role::FollowerAtIntervals, Role::Poller];

    pub(super) fn word(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::FollowerAtIntervals => "follower-at-intervals",
            Role::Poller => "poller",
        }
    }
}

/// The other process's part.
pub(super) fn play(role: &OsStr) -> Outcome {
    let role = Role::ALL.into_iter().find(|known| known.word() == role);
    let role = role.ok_or("the other process does not know what it is to be")?;
    let file = lags::database()?;
    runtime()?.block_on(lags::for_a_while(async {
        match role {
            Role::Follower => follow(&file, None).await,
            Role::FollowerAtIntervals => follow(&file, Some(INTERVAL)).await,
            Role::Poller => poll(&file).await,
        }
    }))
}

async fn follow(file: &Path, poll_min: Option<Duration>) -> Outcome {
    let pool = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options(file))
        .await?;
    let outbox = Outbox::builder(pool).open().await?;
    let fence = Fence::builder().build()?;
    let _registered = fence.sink(Arc::new(Printing))?;
    let mut follower = outbox.follower(&fence).poll_max(INTERVAL);
    if let Some(poll_min) = poll_min {
        follower = follower.poll_min(poll_min);
    }
    let mut follower = follower.build()?;
    follower.step().await?;
    lags::ready()?;
    follower.run(std::future::pending()).await?;
    Ok(())
}

async fn poll(file: &Path) -> Outcome {
    let mut connection = SqliteConnection::connect_with(&options(file)).await?;
    let mut cursor: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM poller")
        .fetch_one(&mut connection)
        .await?;
    lags::ready()?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT id, body FROM poller WHERE id > ? ORDER BY id")
            .bind(cursor)
            .fetch_all(&mut connection)
            .await?;
        for (id, _) in rows {
            cursor = id;
            lags::applied_now(u64::try_from(id)?)?;
        }
    }
}

/// Tells the process that has started this one of each commit.
struct Printing;

impl Sink for Printing {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        for row in rows {
            lags::applied_now(row.position().get()).map_err(SinkError::new)?;
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}
