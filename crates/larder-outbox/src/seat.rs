//! [`Seat`]: where a node takes invalidations on, from its follower and from its own commits.
//!
//! What is always true: the fence is raised before a sink is called, and both before progress is published. A commit that is
//! certain is remembered until the follower meets it, and ends nothing a second time; one that is not certain is applied
//! now and again when the follower meets it.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_core::sync::Mutex;
use larder_core::{
    AsOf, Cause, Epoch, Fence, Invalidation, Lane, Position, Reason, Settled, Sink, Target, TargetHash,
};

use crate::limits::SINK_TRIES;

/// Own commits whose rows are not given to the sinks a second time; of older ones they are.
const OWN_COMMITS_MAX: usize = 65_536;

pub(crate) struct Seat {
    pub(crate) fence: Fence,
    pub(crate) lane: Lane,
    /// Commits of this node that the sinks have been told of, with what they have yet to settle.
    own: Mutex<BTreeMap<Position, Known>>,
}

/// An own commit that the follower has not met yet.
struct Known {
    targets: HashSet<TargetHash>,
    settled: Vec<Settled>,
}

/// A commit of this node.
pub(crate) struct Own {
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
    /// Certainly includes the commit, if that is known.
    pub(crate) bound: Option<AsOf>,
    pub(crate) rows: Vec<Invalidation>,
}

/// What the sinks made of some rows.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) settled: Vec<Settled>,
    /// Sinks that were asked to widen.
    pub(crate) widened: usize,
    /// Sinks that could not do even that: what they keep may be read by others than this fence.
    pub(crate) unsure: usize,
}

impl Seat {
    pub(crate) fn new(fence: Fence, lane: Lane) -> Self {
        Seat {
            fence,
            lane,
            own: Mutex::new(BTreeMap::new()),
        }
    }

    /// Applies a commit that has certainly happened: before this returns, nothing older is read here.
    pub(crate) fn commit(&self, own: Own) {
        let targets = own.rows.iter().map(|row| row.target().clone()).collect();
        let reason = own
            .rows
            .first()
            .map(|row| row.reason().clone())
            .unwrap_or_default();
        let commit = self
            .lane
            .own_commit(own.epoch, own.position, own.bound, &reason, targets);
        let told = self.tell(&own.rows);
        {
            let mut known = self.own.lock();
            let targets = own.rows.iter().map(Invalidation::hash).collect();
            let settled = told.settled;
            known.insert(own.position, Known { targets, settled });
            if known.len() > OWN_COMMITS_MAX {
                known.pop_first();
            }
        }
        commit.publish();
    }

    /// Applies what may have been committed, or may yet be: the follower applies it again.
    pub(crate) fn suspect(&self, rows: &[Invalidation]) {
        for row in rows {
            let cause = self.lane.cause(row.position(), None, row.reason().clone());
            self.fence.invalidate(row.target(), cause);
        }
        drop(self.tell(rows));
    }

    /// Applies what the source has delivered.
    pub(crate) fn deliver(&self, rows: &[Invalidation], as_of: AsOf) -> Told {
        // All rows are raised when a panic of a hook comes out of this.
        if catch_unwind(AssertUnwindSafe(|| self.lane.raise(rows, as_of))).is_err() {
            tracing::error!("a hook of the fence panicked");
        }
        let mut told = Told::default();
        let mut others = Vec::with_capacity(rows.len());
        {
            let mut known = self.own.lock();
            for row in rows {
                match known.get_mut(&row.position()) {
                    Some(own) if own.targets.contains(&row.hash()) => told.settled.append(&mut own.settled),
                    _ => others.push(row.clone()),
                }
            }
        }
        let of_others = self.tell(&others);
        told.settled.extend(of_others.settled);
        told.widened = of_others.widened;
        told.unsure = of_others.unsure;
        told
    }

    /// The greatest position of an own commit that the follower has not met.
    pub(crate) fn newest_own(&self) -> Option<Position> {
        self.own.lock().last_key_value().map(|(position, _)| *position)
    }

    /// The follower has met every own commit below this.
    pub(crate) fn forget_below(&self, position: Position) {
        let mut known = self.own.lock();
        let kept = known.split_off(&position);
        let met = std::mem::replace(&mut *known, kept);
        drop(known);
        drop(met);
    }

    /// Positions mean something else from here on.
    pub(crate) fn forget_all(&self) {
        let met = std::mem::take(&mut *self.own.lock());
        drop(met);
    }

    /// Ends everything on this node.
    pub(crate) fn flush(&self, reason: &str) -> Told {
        self.fence
            .widen(&Target::Everything, Cause::direct(Reason::new(reason)));
        let mut told = Told::default();
        for sink in self.fence.sinks() {
            self.widen(&*sink, &Target::Everything, &mut told);
        }
        told
    }

    /// Tells each sink; one that fails is asked again, then to widen.
    fn tell(&self, rows: &[Invalidation]) -> Told {
        let mut told = Told::default();
        let Some(last) = rows.last() else {
            return told;
        };
        for sink in self.fence.sinks() {
            match (0..SINK_TRIES).find_map(|_| applied(&*sink, rows, last.position())) {
                Some(settled) => told.settled.push(settled),
                None => {
                    told.widened += 1;
                    self.widen(&*sink, &Target::Everything, &mut told);
                }
            }
        }
        told
    }

    fn widen(&self, sink: &dyn Sink, target: &Target, told: &mut Told) {
        let done = catch_unwind(AssertUnwindSafe(|| sink.widen(target)));
        match done {
            Ok(Ok(settled)) => told.settled.push(settled),
            Ok(Err(error)) => {
                tracing::error!(%error, "a sink could not widen");
                told.unsure += 1;
            }
            Err(_) => {
                tracing::error!("a sink panicked while it widened");
                told.unsure += 1;
            }
        }
    }
}

fn applied(sink: &dyn Sink, rows: &[Invalidation], at: Position) -> Option<Settled> {
    match catch_unwind(AssertUnwindSafe(|| sink.apply(rows, at))) {
        Ok(Ok(settled)) => Some(settled),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a sink failed");
            None
        }
        Err(_) => {
            tracing::warn!("a sink panicked");
            None
        }
    }
}
