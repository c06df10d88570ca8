//! What may be read, and what must hold of a node at any moment: written from docs/design.md, section 5, and the contracts. It asks the layer for no more
//! than what a caller is told: which tokens it has applied, and whether it is sure.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::pool::{EntryState, FetchError, LoadOutcome};
use larder::{Applied, Certainty, TaskState};

use super::database::{Database, Key};
use super::features::Feature;
use super::handle::Answer;
use super::node::{Ended, FRESHNESS, Known, Life, Node, WaitEnded};
use super::things::{SHORTENED, STALE_FOR, TIME_TO_IDLE, TIME_TO_LIVE, is_mortal};

pub type Checked = Result<(), String>;

/// The last commits that no read of a key on a node may be older than.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors {
    /// The node has said that it has applied it.
    pub applied: u64,
    /// It was the last one when a caller ended the key on this node.
    pub ended: u64,
    /// The same by a tag, which what is not there does not have.
    pub ended_by_tag: u64,
}

/// How things were when a call began.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Duration,
    pub floors: BTreeMap<Key, Floors>,
    /// Whether the caller has a token, and what it asks for.
    pub has_token: bool,
    pub token: BTreeMap<Key, u64>,
    /// How often the loader had been called, and whether anything was being loaded.
    pub calls: u64,
    pub has_flights: bool,
    /// Loads past memory.
    pub is_past_memory: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// It was in memory when the call began, which has not waited.
    Memory,
    /// It was in memory past its time to live.
    Stale,
    /// It may have been loaded meanwhile.
    Load,
}

impl Node {
    /// What no read of these keys may be older than that begins now.
    pub fn asked(&mut self, database: &Database, pool: usize, keys: &[Key]) -> Asked {
        let at = self.now();
        let life = self.life.as_mut().expect("it is open");
        let floors = keys
            .iter()
            .map(|key| (*key, life.floor(database, *key)))
            .collect();
        let (known, handle) = &life.pools[pool];
        Asked {
            at,
            floors,
            has_token: false,
            token: BTreeMap::new(),
            calls: known.brought.lock().unwrap().calls,
            has_flights: handle.stats().flights > 0,
            is_past_memory: false,
        }
    }

    /// What a read of memory has found.
    pub fn check_read(&mut self, database: &Database, pool: usize, key: Key, got: Option<u64>) -> Checked {
        if got.is_none() {
            return Ok(());
        }
        let asked = self.asked(database, pool, &[key]);
        let now = asked.at;
        self.check_value(database, (pool, key, got), &asked, (From::Memory, now))
    }

    /// What a call has brought.
    pub fn check_ended(&mut self, database: &Database, ended: &Ended, was_at_once: bool) -> Checked {
        let Some(life) = self.life.as_ref() else {
            return Ok(());
        };
        let known = &life.pools[ended.pool].0;
        let no_load = known.brought.lock().unwrap().calls == ended.asked.calls && !ended.asked.has_flights;
        let is_from_memory = was_at_once && no_load && !ended.asked.is_past_memory;
        for answer in &ended.answers {
            let from = match (is_from_memory, answer.stale) {
                (true, false) => From::Memory,
                (_, true) => From::Stale,
                _ => From::Load,
            };
            self.check_answer(database, ended, answer, from)?;
        }
        Ok(())
    }

    fn check_answer(&mut self, database: &Database, ended: &Ended, answer: &Answer, from: From) -> Checked {
        let life = self.life.as_ref().expect("it is open");
        let known = &life.pools[ended.pool].0;
        let got = match &answer.got {
            Ok(got) => *got,
            Err(error) => return self.check_error(known, ended, error),
        };
        let is_served_stale = known.has(Feature::StaleWhileRevalidate) || known.has(Feature::StaleOnError);
        if answer.stale && !is_served_stale {
            return Err(self.fault(answer.key, got, "a stale value was served where none may be"));
        }
        let is_unsure = self.heard().is_none_or(|heard| heard + FRESHNESS < self.now());
        if from == From::Memory && got.is_some() && is_unsure && answer.degraded == Some(false) {
            return Err(self.fault(answer.key, got, "an answer of an unsure node is not marked"));
        }
        let wanted = ended.asked.token.get(&answer.key).copied().unwrap_or_default();
        let last = database.last_as(answer.key, got);
        if last.is_none_or(|last| last < wanted) {
            return Err(self.fault(
                answer.key,
                got,
                &format!("older than the token, which is {wanted}"),
            ));
        }
        let read = (ended.pool, answer.key, got);
        self.check_value(database, read, &ended.asked, (from, ended.at))
    }

    /// An error must have a cause that is there.
    fn check_error(&self, known: &Known, ended: &Ended, error: &FetchError) -> Checked {
        let moods = self.moods.lock().unwrap();
        let life = self.life.as_ref().expect("it is open");
        let has_cause = match error {
            FetchError::Loader(error) => {
                moods.fails && error.downcast_ref::<super::things::Refused>().is_some()
            }
            FetchError::Panicked { .. } => moods.panics,
            FetchError::Timeout { .. } => known.has(Feature::Timeout) && moods.is_slow,
            FetchError::Behind => ended.asked.has_token && known.has(Feature::Replica),
            FetchError::Stopped => life.closing.is_some(),
            _ => false,
        };
        // A batch of several calls fails as a whole, after the cause has gone.
        if has_cause || known.has(Feature::Batcher) {
            return Ok(());
        }
        Err(format!(
            "node {}: an error without a cause: {error:?}",
            self.number
        ))
    }

    fn check_value(
        &self,
        database: &Database,
        (pool, key, got): (usize, Key, Option<u64>),
        asked: &Asked,
        (from, at): (From, Duration),
    ) -> Checked {
        let life = self.life.as_ref().expect("it is open");
        let known = &life.pools[pool].0;
        let Some(last) = database.last_as(key, got) else {
            return Err(self.fault(key, got, "it never was that"));
        };
        let brought = known.brought.lock().unwrap().last(key, got);
        let Some(brought) = brought else {
            return Err(self.fault(key, got, "nobody has brought that"));
        };
        let is_replica = known.has(Feature::Replica);
        // What a copy has brought while the caller waited is given to it, and not kept.
        let is_of_copy = is_replica && from == From::Load && brought >= asked.at;
        let floors = asked.floors[&key];
        if last < floors.applied && !is_of_copy {
            return Err(self.fault(key, got, &format!("commit {} was applied", floors.applied)));
        }
        let ended = match got {
            Some(_) => floors.ended.max(floors.ended_by_tag),
            None => floors.ended,
        };
        // A copy is compared with commits alone.
        if last < ended && !is_replica {
            return Err(self.fault(key, got, &format!("it was ended here after commit {ended}")));
        }
        if from == From::Load {
            return Ok(());
        }
        self.check_age(known, (key, got), brought, (from, at))?;
        self.check_bound(database, known, (key, got), brought, at)
    }

    /// What is in memory is no older than it may be.
    fn check_age(
        &self,
        known: &Known,
        (key, got): (Key, Option<u64>),
        brought: Duration,
        (from, now): (From, Duration),
    ) -> Checked {
        let stale = from == From::Stale;
        let limit = TIME_TO_LIVE + if stale { STALE_FOR } else { Duration::ZERO };
        if got.is_some() && is_mortal(&known.features) && now >= brought + limit {
            return Err(self.fault(key, got, "its time to live is over"));
        }
        let used = known.used.get(&key).copied().unwrap_or_default().max(brought);
        let may_be_used = known.asked_for.get(&key).is_some_and(|calls| *calls > 0);
        let is_idle = known.has(Feature::TimeToIdle) && !may_be_used && now >= used + TIME_TO_IDLE;
        if got.is_some() && is_idle {
            return Err(self.fault(key, got, "its time to idle is over"));
        }
        Ok(())
    }

    /// A node that has not heard from its source knows it; one that is sure reads nothing older than the bound.
    fn check_bound(
        &self,
        database: &Database,
        known: &Known,
        (key, got): (Key, Option<u64>),
        brought: Duration,
        now: Duration,
    ) -> Checked {
        let life = self.life.as_ref().expect("it is open");
        let is_unsure = self.heard().is_none_or(|heard| heard + FRESHNESS < now);
        if is_unsure && known.has(Feature::Shorten) {
            if brought + SHORTENED < now {
                return Err(self.fault(key, got, "too old for a node that is unsure"));
            }
        } else if is_unsure && !known.has(Feature::Serve) {
            return Err(self.fault(key, got, "memory is bypassed by a node that is unsure"));
        }
        // What it was at another time cannot be asked any more.
        let is_now = now == self.now();
        let is_sure = is_now && life.layer.fence().certainty() == Certainty::Sure;
        let bound = database.number_before(now.saturating_sub(FRESHNESS));
        let last = database.last_as(key, got).unwrap_or_default();
        if is_sure && last < bound {
            return Err(self.fault(key, got, &format!("commit {bound} is older than the bound")));
        }
        Ok(())
    }

    /// What a wait has ended with.
    pub fn check_wait(&mut self, database: &Database, ended: &WaitEnded) -> Checked {
        let Some(life) = self.life.as_mut() else {
            return Ok(());
        };
        let waited = match &ended.waited {
            Ok(waited) => waited,
            Err(larder::Error::ShuttingDown) if life.closing.is_some() => return Ok(()),
            Err(error) => return Err(format!("a wait has failed: {error}")),
        };
        if !waited.satisfied {
            let is_told = waited.timed_out || waited.unknown;
            let has_waited = waited.unknown || waited.elapsed >= ended.time;
            return match is_told && has_waited {
                true => Ok(()),
                false => Err(format!("a wait has ended without a reason: {waited:?}")),
            };
        }
        if life.layer.fence().applied(&ended.token) != Applied::Yes {
            return Err("a wait was satisfied, and its token is not".to_owned());
        }
        let keys: Vec<(u64, Key)> = ended
            .commits
            .iter()
            .filter_map(|number| database.commits.iter().find(|commit| commit.number == *number))
            .flat_map(|commit| commit.keys.iter().map(|key| (commit.number, *key)))
            .collect();
        for (number, key) in keys {
            let floors = life.floors.entry(key).or_default();
            floors.applied = floors.applied.max(number);
        }
        Ok(())
    }

    /// When the node asked last and was told everything.
    pub fn heard(&self) -> Option<Duration> {
        let heard = self.life.as_ref()?.between.heard()?;
        Some(heard.since(self.origin))
    }

    fn fault(&self, key: Key, got: Option<u64>, why: &str) -> String {
        let plan = &self.ground.plan;
        format!(
            "node {}: {key:?} is read as {got:?}: {why}; {plan:?}",
            self.number
        )
    }

    /// What holds at any moment, of the node and of one of its pools.
    pub fn check(&self, pool: usize, id: u64) -> Checked {
        let Some(life) = &self.life else { return Ok(()) };
        let number = self.number;
        let is_sure = life.layer.fence().certainty() == Certainty::Sure;
        let has_heard = self.heard().is_some_and(|heard| heard + FRESHNESS >= self.now());
        if is_sure && !has_heard {
            return Err(format!(
                "node {number} is sure, and has not heard from its source"
            ));
        }
        let health = life.layer.health();
        let has_failed = |state| matches!(state, TaskState::Failed | TaskState::Ended);
        let all_run = !life.layer.tasks().iter().any(|task| has_failed(task.state));
        if health.ready && !(is_sure && all_run && life.closing.is_none()) {
            return Err(format!("node {number} is ready, and should not be: {health:?}"));
        }
        if !health.live {
            return Err(format!("node {number} does not live"));
        }
        let (known, handle) = &life.pools[pool % life.pools.len()];
        let id = id % known.ids;
        // Which costs more than all else here.
        let is_explained = id < 3;
        let state = is_explained.then(|| handle.state(&life.layer, id)).flatten();
        let found = handle.peek(id);
        if is_explained && (state == Some(EntryState::Live)) != found.is_some() {
            return Err(self.fault(handle.key(id), found, &format!("it is explained as {state:?}")));
        }
        check_figures(known, &**handle).map_err(|fault| format!("node {number}: {fault}"))
    }
}

/// Bounds are kept, and figures agree with what a listener has heard.
fn check_figures(known: &Known, handle: &dyn super::handle::Handle) -> Checked {
    let (entries, bytes, capacity) = handle.size();
    if capacity.entries.is_some_and(|most| entries > most) || capacity.bytes.is_some_and(|most| bytes > most)
    {
        return Err(format!(
            "{entries} entries of {bytes} bytes are more than {capacity:?}"
        ));
    }
    let (stats, heard) = (handle.stats(), known.heard.lock().unwrap());
    let resident = u64::try_from(heard.resident.len()).unwrap();
    if (stats.entries, stats.bytes) != (entries, bytes) || resident != entries {
        return Err(format!(
            "{resident} were heard of, {entries} are there, {stats:?}"
        ));
    }
    if stats.inserts + stats.updates != heard.stored || stats.removals.total() != heard.left {
        return Err(format!(
            "{} came and {} left, {stats:?}",
            heard.stored, heard.left
        ));
    }
    let (calls, cancelled) = (
        known.brought.lock().unwrap().calls,
        stats.loads.of(LoadOutcome::Cancelled),
    );
    // One that was cancelled may never have come to its loader.
    let ended = stats.loads.total() - cancelled;
    let is_over = stats.flights == 0 && known.brought.lock().unwrap().under_way == 0;
    if ended > calls || (is_over && calls > stats.loads.total()) {
        return Err(format!("{ended} of {calls} loads have ended, {stats:?}"));
    }
    Ok(())
}

impl Life {
    /// What no read of a key may be older than from now on.
    pub fn floor(&mut self, database: &Database, key: Key) -> Floors {
        let floors = self.floors.entry(key).or_default();
        let newer = database
            .of(key)
            .take_while(|commit| commit.number > floors.applied);
        let fence = self.layer.fence();
        let applied = newer
            .into_iter()
            .find(|commit| fence.applied(&commit.token) == Applied::Yes);
        if let Some(commit) = applied {
            floors.applied = commit.number;
        }
        *floors
    }
}
