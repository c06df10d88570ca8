//! Rounds until somebody says stop: soon again after rows and hints, slower and slower while there is nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::TaskFuture;

use super::membership::LetGo;
use super::{Follower, Membership};
use crate::Error;
use crate::limits::POLL_MIN;
use crate::pace;

/// For how long a node tries to say that it goes.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Why a wait is over.
enum Woken {
    Stopped,
    TimeOver,
    Hinted,
}

impl Follower {
    /// Repeats [`Follower::step`] until `stop` resolves; then saves the cursor and returns. A source that does not answer is
    /// asked again, for ever: after 100 ms, doubling to 5 s.
    ///
    /// Dropped at any moment, nothing is lost but the last saving.
    ///
    /// # Errors
    /// At the start only: [`Error::NodeInUse`] while another process is the node of this name, and [`Error::Config`] if there are too many.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let membership = self.membership.clone();
        let _letting_go = membership.as_deref().map(LetGo);
        let mut stop = pin!(stop);
        let (mut idle, mut failures) = (self.options.poll_min, 0_u32);
        loop {
            let began = self.seat.fence.time();
            // Asked for before the round, so that a hint during it is not missed.
            let source = std::sync::Arc::clone(&self.source);
            let mut hinted = source.hinted();
            let stepped = self.round().await;
            let pause = match &stepped {
                Ok(step) if !step.caught_up => {
                    (idle, failures) = (self.options.poll_min, 0);
                    Duration::ZERO
                }
                Ok(step) => {
                    failures = 0;
                    idle = if step.rows > 0 {
                        self.options.poll_min
                    } else {
                        idle.saturating_mul(2).min(self.options.poll_max)
                    };
                    idle
                }
                Err(Error::Source(_)) => {
                    failures = failures.saturating_add(1);
                    pace::after_failures(failures, self.options.entropy.next_u64())
                }
                Err(_) => return stepped.map(drop),
            };
            // What is left over is read at once, unless somebody says stop.
            let over: TaskFuture = if pause.is_zero() {
                Box::pin(std::future::ready(()))
            } else {
                pace::sleep(self.options.runtime.as_ref(), pause.min(self.sign_of_life_in()))
            };
            let woken = wait(stop.as_mut(), over, hinted.as_mut());
            match Membership::beside(self.membership.as_deref(), woken).await {
                Woken::Stopped => break,
                Woken::TimeOver => {}
                Woken::Hinted => {
                    idle = self.options.poll_min;
                    // Commits that follow upon each other are read together: a round for each would take from them what it costs.
                    let rest = idle
                        .min(POLL_MIN)
                        .saturating_sub(self.seat.fence.time().since(began));
                    if !rest.is_zero() {
                        let over = pace::sleep(self.options.runtime.as_ref(), rest);
                        let resting = select(stop.as_mut(), over);
                        if let Either::Left(_) = Membership::beside(self.membership.as_deref(), resting).await
                        {
                            break;
                        }
                    }
                }
            }
        }
        self.save_now();
        if let Some(membership) = &self.membership {
            // A log that is gone keeps nobody from ending.
            let over = pace::sleep(self.options.runtime.as_ref(), LEAVE_WITHIN);
            select(pin!(Membership::leave(membership)), over).await;
        }
        Ok(())
    }

    /// When the next sign of life is due, so that nobody sleeps over it.
    fn sign_of_life_in(&self) -> Duration {
        let known = self.membership.as_ref().zip(self.cursor.as_ref());
        let due = known.map(|(membership, cursor)| membership.lock().due_in(self.seat.fence.time(), cursor));
        due.map_or(Duration::MAX, |due| due.max(self.options.poll_min))
    }
}

async fn wait(
    mut stop: Pin<&mut impl Future<Output = ()>>,
    mut over: TaskFuture,
    mut hinted: Pin<&mut (dyn Future<Output = ()> + Send + '_)>,
) -> Woken {
    poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Woken::Stopped);
        }
        if hinted.as_mut().poll(context).is_ready() {
            return Poll::Ready(Woken::Hinted);
        }
        over.as_mut().poll(context).map(|()| Woken::TimeOver)
    })
    .await
}
