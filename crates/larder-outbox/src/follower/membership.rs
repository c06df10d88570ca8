//! [`Membership`]: this follower as a node among others: it makes itself known, gives signs of life beside its rounds, and learns
//! when another process has taken its place.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use larder_core::sync::{Arc, Mutex};
use larder_core::{BoxFuture, Cursor, Entropy, Moment, TaskFuture};

use crate::{Beaten, Error, Joined, Member, Nodes, Progress};

/// A sign of life on its way.
type Beating = BoxFuture<'static, Result<Beaten, Error>>;

/// Drops a sign of life that is under way, whenever whoever would bring it to its end is dropped itself.
pub(super) struct LetGo<'a>(pub(super) &'a Mutex<Membership>);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        Membership::let_go(self.0);
    }
}

pub(super) struct Membership {
    nodes: Arc<dyn Nodes>,
    member: Member,
    is_known: bool,
    /// No sooner than this after the last sign of life, if there is progress.
    publish_every: Duration,
    /// And this, if there is none.
    idle_every: Duration,
    beaten_at: Option<Moment>,
    beaten: Option<Cursor>,
    under_way: Option<Beating>,
    is_superseded: bool,
    has_warned: bool,
}

impl Membership {
    pub(super) fn new(
        nodes: Arc<dyn Nodes>,
        member: Member,
        publish_every: Duration,
        idle_every: Duration,
    ) -> Self {
        Membership {
            nodes,
            member,
            is_known: false,
            publish_every,
            idle_every,
            beaten_at: None,
            beaten: None,
            under_way: None,
            is_superseded: false,
            has_warned: false,
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.member.node
    }

    /// Makes this process known, if it is not: whether it took another one's place. That the table cannot be written is no reason not to
    /// follow.
    pub(super) async fn join(this: &Mutex<Self>, now: Moment) -> Result<bool, Error> {
        let (nodes, member) = {
            let membership = this.lock();
            let is_soon = membership
                .beaten_at
                .is_some_and(|at| now.since(at) < membership.idle_every);
            if membership.is_known || is_soon {
                return Ok(false);
            }
            (Arc::clone(&membership.nodes), membership.member.clone())
        };
        let node = member.node.clone();
        let joined = nodes.join(member).await;
        let mut membership = this.lock();
        match joined {
            Ok(Joined::InUse(last_seen)) => Err(Error::NodeInUse { node, last_seen }),
            Ok(joined) => {
                membership.beaten_at = Some(now);
                membership.is_known = true;
                Ok(joined == Joined::TookOver)
            }
            Err(error @ Error::Config(_)) => Err(error),
            Err(error) => {
                membership.beaten_at = Some(now);
                membership.warn(&error);
                Ok(false)
            }
        }
    }

    fn warn(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(%error, node = self.member.node, "this node could not make itself known, and tries again");
        }
    }

    /// Gives a sign of life if it is time, which goes on beside what this process does next.
    pub(super) fn beat(&mut self, now: Moment, applied: &Cursor, saved: Option<&Cursor>) {
        if self.under_way.is_some()
            || self.is_superseded
            || !self.is_known
            || !self.due_in(now, applied).is_zero()
        {
            return;
        }
        let progress = Progress {
            applied: applied.clone(),
            saved: saved.cloned(),
        };
        self.beaten_at = Some(now);
        self.beaten = Some(applied.clone());
        self.under_way = Some(self.nodes.beat(self.member.clone(), progress));
    }

    /// After how long the next sign of life is due.
    pub(super) fn due_in(&self, now: Moment, applied: &Cursor) -> Duration {
        let (Some(at), Some(beaten)) = (self.beaten_at, &self.beaten) else {
            return Duration::ZERO;
        };
        let every = if beaten == applied {
            self.idle_every
        } else {
            self.publish_every
        };
        every.saturating_sub(now.since(at))
    }

    /// Whether another process has taken this one's place since this was last asked. It goes on under a name drawn at random.
    pub(super) fn was_superseded(&mut self, entropy: &dyn Entropy) -> bool {
        if !std::mem::take(&mut self.is_superseded) {
            return false;
        }
        let random = format!("{:016x}", entropy.next_u64());
        tracing::warn!(
            node = self.member.node,
            now = random,
            "another process has taken the place of this node"
        );
        self.member.node = random;
        self.member.key = None;
        (self.is_known, self.beaten_at, self.beaten) = (false, None, None);
        true
    }

    /// Lets a sign of life go on while `main` does.
    pub(super) async fn beside<F: Future>(this: Option<&Mutex<Self>>, main: F) -> F::Output {
        let mut main = pin!(main);
        poll_fn(|context| {
            if let Some(this) = this {
                Self::go_on(this, context);
            }
            main.as_mut().poll(context)
        })
        .await
    }

    fn go_on(this: &Mutex<Self>, context: &mut Context<'_>) {
        // Polled without the lock: it is foreign code.
        let Some(mut beating) = this.lock().under_way.take() else {
            return;
        };
        let polled = beating.as_mut().poll(context);
        let mut membership = this.lock();
        match polled {
            Poll::Pending => membership.under_way = Some(beating),
            Poll::Ready(Ok(Beaten::Alive)) => membership.has_warned = false,
            Poll::Ready(Ok(Beaten::Superseded)) => membership.is_superseded = true,
            Poll::Ready(Err(error)) => membership.warn(&error),
        }
    }

    /// Lets a sign of life that is under way come to its end, or, if that takes longer than `limit`, drops it, to be tried again: left as it is it would
    /// hold a connection, and perhaps the right to write, for as long as nobody comes back to it.
    pub(super) async fn settle(this: &Mutex<Self>, limit: impl FnOnce() -> TaskFuture) {
        let (mut limit, mut over) = (Some(limit), None::<TaskFuture>);
        poll_fn(|context| {
            Self::go_on(this, context);
            if this.lock().under_way.is_none() {
                return Poll::Ready(());
            }
            if let Some(limit) = limit.take() {
                over = Some(limit());
            }
            over.as_mut()
                .map_or(Poll::Ready(()), |over| over.as_mut().poll(context))
        })
        .await;
        Self::let_go(this);
    }

    fn let_go(this: &Mutex<Self>) {
        let mut membership = this.lock();
        let dropped = membership.under_way.take();
        if dropped.is_some() {
            membership.beaten_at = None;
        }
        drop(membership);
        drop(dropped);
    }

    /// It follows no longer.
    pub(super) async fn leave(this: &Mutex<Self>) {
        let (nodes, member) = {
            let mut membership = this.lock();
            membership.under_way = None;
            if !std::mem::take(&mut membership.is_known) {
                return;
            }
            (membership.beaten_at, membership.beaten) = (None, None);
            (Arc::clone(&membership.nodes), membership.member.clone())
        };
        if let Err(error) = nodes.leave(member).await {
            tracing::warn!(%error, "this node could not say that it has gone");
        }
    }
}
