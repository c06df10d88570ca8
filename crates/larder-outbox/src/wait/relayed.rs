//! Waits for a group: all of a process that wait for one group read together, when rows were completed in this process, and every `poll_interval`
//! otherwise.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use larder_core::sync::{Arc, Mutex};
use larder_core::{Applied, Moment, Token};

use super::others::Others;
use super::{Ended, Own, Waiter};
use crate::{Error, TokenStatus};

/// Who waits for which group.
#[derive(Default)]
pub(super) struct Relays {
    groups: Mutex<HashMap<String, Arc<Board>>>,
}

/// What those who wait for a group share.
#[derive(Default)]
struct Board {
    waiting: Mutex<Waiting>,
    /// Held by whoever reads.
    reading: tokio::sync::Mutex<Option<Moment>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    tokens: BTreeMap<u64, (Token, Option<TokenStatus>)>,
}

/// A place among those who wait for a group.
struct Place {
    board: Arc<Board>,
    number: u64,
}

impl Relays {
    fn take(&self, group: &str, token: &Token) -> Place {
        let mut groups = self.groups.lock();
        // Groups for which nobody waits any more are forgotten.
        groups.retain(|name, board| name == group || Arc::strong_count(board) > 1);
        let board = Arc::clone(groups.entry(group.to_owned()).or_default());
        drop(groups);
        let mut waiting = board.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.tokens.insert(number, (token.clone(), None));
        drop(waiting);
        Place { board, number }
    }
}

impl Place {
    fn status(&self) -> Option<TokenStatus> {
        self.board
            .waiting
            .lock()
            .tokens
            .get(&self.number)
            .and_then(|(_, status)| *status)
    }

    /// Reads for all who wait, unless somebody has since `after`.
    async fn read(
        &self,
        others: &Others,
        group: &str,
        after: Moment,
        now: impl Fn() -> Moment,
    ) -> Result<(), Error> {
        let mut read_at = self.board.reading.lock().await;
        if read_at.is_some_and(|at| at > after) && self.status().is_some() {
            return Ok(());
        }
        let (numbers, tokens): (Vec<u64>, Vec<Token>) = {
            let waiting = self.board.waiting.lock();
            waiting
                .tokens
                .iter()
                .map(|(number, (token, _))| (*number, token.clone()))
                .unzip()
        };
        let at = now();
        let statuses = others.store.statuses_of(group, &tokens).await?;
        let mut waiting = self.board.waiting.lock();
        for (number, status) in numbers.iter().zip(statuses) {
            if let Some((_, seen)) = waiting.tokens.get_mut(number) {
                *seen = Some(status);
            }
        }
        drop(waiting);
        *read_at = Some(at);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.waiting.lock().tokens.remove(&self.number);
    }
}

impl Waiter {
    pub(super) async fn relayed(
        &self,
        others: &Others,
        group: &str,
        token: &Token,
        time: Duration,
    ) -> Result<Ended, Error> {
        let began = self.fence.time();
        let place = others.relays.take(group, token);
        // A node that does not follow the source cannot tell, and need not.
        let follows = self.fence.applied(token) != Applied::Unknown;
        let mut heard = Own::of(&self.fence, token);
        loop {
            // Asked for before the read, so that what is completed during it is not missed.
            let completed = others.store.completed();
            let now = self.fence.time();
            place.read(others, group, now, || self.fence.time()).await?;
            let status = place.status().unwrap_or_else(TokenStatus::unknown);
            if status.is_done() {
                return Ok(Ended::satisfied());
            }
            let is_nowhere = follows && heard.now(&self.fence, token) == Applied::Unknown;
            let unknown = status.unknown || is_nowhere;
            let dead = status.dead_lettered.at_least();
            let left = time.saturating_sub(self.fence.time().since(began));
            if unknown || dead > 0 || left.is_zero() {
                let rows = status.pending.at_least().saturating_add(dead);
                return Ok(Ended {
                    timed_out: !unknown && dead == 0,
                    unknown,
                    pending: usize::try_from(rows).unwrap_or(usize::MAX),
                    ..Ended::default()
                });
            }
            let pause = self.sleep(left.min(self.poll_interval));
            select(pin!(completed), pause).await;
        }
    }
}
