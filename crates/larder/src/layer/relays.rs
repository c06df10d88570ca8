//! [`Relayed`]: a relay of the layer, as one who reads a source: how far its group has come, looked up now and then.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Clock, Epoch, LaneState, Moment, Position, Runtime, SourceId};
use larder_outbox::{Count, Error, OutboxStatus, OutboxStore, RelayDiagnostics, RowState};
use larder_pool::WhenUnsure;

use super::cursors::{CursorStatus, ReaderKind};
use super::tasks::{Done, Stop, Supervisor};

/// How often groups are asked how far they have come.
const LOOK: Duration = Duration::from_secs(2);

/// A relay, without its transport.
pub(super) struct Relayed {
    pub(super) source: SourceId,
    pub(super) group: String,
    pub(super) owner: String,
    pub(super) store: Arc<dyn OutboxStore>,
    /// When it last began a round.
    pub(super) last_round: Arc<dyn Fn() -> Option<Moment> + Send + Sync>,
    pub(super) diagnostics: Box<dyn Fn() -> RelayDiagnostics + Send + Sync>,
    pub(super) seen: Mutex<Seen>,
}

/// What the database last said of a group.
#[derive(Default)]
pub(super) struct Seen {
    /// The epoch, and the first position of which something is pending, or the one after the last if nothing is.
    next: Option<(Epoch, Position)>,
    head: Option<Position>,
    status: Option<OutboxStatus>,
    error: Option<String>,
}

impl Relayed {
    async fn look(&self) -> Result<Seen, Error> {
        // Asked for first: what is not pending afterwards was acknowledged, up to there.
        let head = self.store.source().head().await.map_err(Error::Source)?.cursor;
        let first = self
            .store
            .rows_of(&self.group, RowState::Pending, None, 1)
            .await?;
        let first = first.into_iter().next();
        let pending = first.as_ref().map(|row| (row.id.epoch(), row.id.position()));
        Ok(Seen {
            next: Some(pending.unwrap_or((head.epoch(), head.horizon()))),
            head: Some(Position::new(head.horizon().get().saturating_sub(1))),
            status: Some(self.store.status(&self.group, None).await?),
            error: first.and_then(|row| row.last_error),
        })
    }

    async fn note(&self) {
        let looked = self.look().await;
        let mut seen = self.seen.lock();
        match looked {
            Ok(now) => *seen = now,
            Err(error) => seen.error = Some(error.to_string()),
        }
    }

    /// As a reader of its source.
    pub(super) fn cursor(&self, now: Moment, policy: WhenUnsure) -> CursorStatus {
        let seen = self.seen.lock();
        let pending = seen.status.map(|status| match status.pending {
            Count::Exactly(rows) | Count::AtLeast(rows) => rows,
        });
        CursorStatus {
            kind: ReaderKind::Relay,
            source: self.source,
            node: Some(self.owner.clone()),
            group: Some(self.group.clone()),
            epoch: seen.next.map(|(epoch, _)| epoch),
            position: seen.next.map(|(_, position)| position),
            head: seen.head,
            behind: pending,
            lag: seen.status.map(|status| status.oldest_pending),
            last_contact: (self.last_round)().map(|last| now.since(last)),
            state: match pending {
                None => LaneState::Starting,
                Some(_) if (self.diagnostics)().is_stalled => LaneState::Suspect,
                Some(0) => LaneState::Live,
                Some(_) => LaneState::Lagging,
            },
            policy,
            affected_reads: 0,
            last_error: seen.error.clone(),
        }
    }
}

/// Looks now and then, by a task. Without relays nobody is asked.
pub(super) fn watch(
    relays: &[Arc<Relayed>],
    tasks: &Supervisor,
    runtime: &Arc<dyn Runtime>,
    clock: &Arc<dyn Clock>,
) {
    if relays.is_empty() {
        return;
    }
    let last = Arc::new(Mutex::new(clock.monotonic()));
    let (relays, runtime, clock) = (relays.to_vec(), Arc::clone(runtime), Arc::clone(clock));
    let noted = Arc::clone(&last);
    let work = move |stop: Stop| -> BoxFuture<'static, Done> {
        let (relays, runtime, clock) = (relays.clone(), Arc::clone(&runtime), Arc::clone(&clock));
        let noted = Arc::clone(&noted);
        Box::pin(async move {
            let mut stopped = pin!(stop.stopped());
            loop {
                let round = pin!(async {
                    for relay in &relays {
                        relay.note().await;
                    }
                    *noted.lock() = clock.monotonic();
                    runtime.sleep(LOOK).await;
                });
                if let Either::Left(_) = select(stopped.as_mut(), round).await {
                    return Ok(());
                }
            }
        })
    };
    tasks.run(
        "groups".to_owned(),
        LOOK,
        Box::new(move || Some(*last.lock())),
        work,
    );
}
