//! What callers do with a node: reads of every kind, waits, values read by hand, ends of what is kept.

use std::sync::Arc;
use std::time::Duration;

use larder::{Error, Invalidations, Reach, Token};

use super::super::between::Sabotage;
use super::super::database::{Commit, GROUPS, Key, ROWS, group, keys};
use super::super::handle::How;
use super::super::node::InHand;
use super::super::oracle::Checked;
use super::super::things::tag;
use super::World;

impl World {
    /// A node whose layer is open, and one of its pools with an id.
    fn place(&mut self, at: usize) -> Option<(usize, u64)> {
        let node = &self.nodes[at];
        let life = node.life.as_ref().filter(|_| !node.is_paused)?;
        let pool = self.random.index(life.pools.len());
        Some((pool, self.random.below(life.pools[pool].0.ids)))
    }

    pub(super) fn read(&mut self, at: usize) -> Checked {
        let Some((pool, id)) = self.place(at) else {
            return Ok(());
        };
        let database = self.database.lock().unwrap();
        let node = &mut self.nodes[at];
        let now = node.now();
        let (known, handle) = &mut node.life.as_mut().expect("it is open").pools[pool];
        let (before, is_peek) = (handle.stats(), self.random.chance(200));
        let ids: Vec<u64> = match self.random.below(3) {
            0 => (0..known.ids).collect(),
            _ => vec![id],
        };
        let got: Vec<Option<u64>> = match (is_peek, &ids[..]) {
            (true, ids) => ids.iter().map(|id| handle.peek(*id)).collect(),
            (false, [id]) => vec![handle.get(*id)],
            (false, ids) => handle.get_many(ids),
        };
        let after = handle.stats();
        let found = u64::try_from(got.iter().flatten().count()).unwrap();
        let asked = u64::try_from(got.len()).unwrap();
        let counted = if is_peek { (0, 0) } else { (found, asked - found) };
        let counts = (
            after.hits - before.hits,
            after.misses.total() - before.misses.total(),
        );
        if counts != counted {
            return Err(format!(
                "{counts:?} hits and misses were counted, which were {counted:?}"
            ));
        }
        let keys: Vec<_> = ids.iter().map(|id| handle.key(*id)).collect();
        for (key, got) in keys.iter().zip(&got) {
            node.check_read(&database, pool, *key, *got)?;
        }
        let known = &mut node.life.as_mut().expect("it is open").pools[pool].0;
        if !is_peek {
            known.used.extend(keys.iter().map(|key| (*key, now)));
        }
        drop(database);
        self.note(&format!("read {pool} {got:?}"), id);
        Ok(())
    }

    pub(super) fn fetch(&mut self, at: usize) -> Checked {
        let Some((pool, id)) = self.place(at) else {
            return Ok(());
        };
        let how = match self.random.below(10) {
            0 => How::Bypass,
            1 | 2 => {
                let ids = self.nodes[at].life.as_ref().expect("it is open").pools[pool]
                    .0
                    .ids;
                How::Many(
                    (0..1 + self.random.below(5))
                        .map(|more| (id + more * 3) % ids)
                        .collect(),
                )
            }
            _ => How::Plain,
        };
        self.call(at, pool, id, how, &[])
    }

    /// Begins a call, and mostly lets it run at once.
    fn call(&mut self, at: usize, pool: usize, id: u64, how: How, commits: &[Commit]) -> Checked {
        let database = Arc::clone(&self.database);
        let node = &mut self.nodes[at];
        let handle = &node.life.as_ref().expect("it is open").pools[pool].1;
        let ids = match &how {
            How::Many(ids) => ids.clone(),
            _ => vec![id],
        };
        let keys: Vec<Key> = ids.iter().map(|id| handle.key(*id)).collect();
        let mut asked = node.asked(&database.lock().unwrap(), pool, &keys);
        asked.is_past_memory = matches!(how, How::Bypass);
        asked.has_token = matches!(how, How::At(..));
        for commit in commits {
            let wanted = keys.iter().filter(|key| commit.keys.contains(key));
            for key in wanted {
                let floor = asked.token.entry(*key).or_default();
                *floor = commit.number.max(*floor);
            }
        }
        let life = node.life.as_mut().expect("it is open");
        for key in &keys {
            *life.pools[pool].0.asked_for.entry(*key).or_default() += 1;
        }
        life.call(pool, id, how, asked);
        if self.random.chance(700) {
            // What was under way may end as well: only this one counts as answered at once.
            let before = life.ended.lock().unwrap().len();
            node.run();
            let is_alone = before == 0;
            let at_once: &[usize] = if is_alone { &[at] } else { &[] };
            return self.collect(at_once);
        }
        Ok(())
    }

    /// Some of the last commits, and the token of all of them.
    fn token(&mut self) -> Option<(Vec<Commit>, Token)> {
        let database = self.database.lock().unwrap();
        let count = database.commits.len();
        let first = count.saturating_sub(8);
        let mut commits = Vec::new();
        for _ in 0..=self.random.below(3) {
            if count > 0 {
                commits.push(database.commits[first + self.random.index(count - first)].clone());
            }
        }
        drop(database);
        let token = commits
            .iter()
            .map(|commit| commit.token.clone())
            .reduce(|one, other| one.merge(&other))?;
        Some((commits, token))
    }

    pub(super) fn read_with_token(&mut self, at: usize) -> Checked {
        let (Some((pool, mut id)), Some((commits, token))) = (self.place(at), self.token()) else {
            return Ok(());
        };
        let is_row = pool < self.plan.pools.len();
        // Mostly something that was changed.
        let changed: Vec<u64> = commits
            .iter()
            .flat_map(|commit| &commit.keys)
            .filter_map(|key| match key {
                Key::Row(id) if is_row => Some(*id),
                Key::Page(id) if !is_row => Some(*id),
                _ => None,
            })
            .collect();
        if !changed.is_empty() && self.random.chance(800) {
            id = changed[self.random.index(changed.len())];
        }
        if self.random.chance(300) {
            let database = self.database.lock().unwrap();
            let node = &mut self.nodes[at];
            let handle = &node.life.as_ref().expect("it is open").pools[pool].1;
            let (key, got) = (handle.key(id), handle.get_at(id, &token));
            if let Some(got) = got {
                let wanted = commits
                    .iter()
                    .filter(|commit| commit.keys.contains(&key))
                    .map(|commit| commit.number)
                    .max();
                if got.is_some() && database.last_as(key, got) < wanted {
                    return Err(format!("{key:?} is read as {got:?} with the token of {wanted:?}"));
                }
                node.check_read(&database, pool, key, got)?;
                let now = node.now();
                let known = &mut node.life.as_mut().expect("it is open").pools[pool].0;
                known.used.insert(key, now);
            }
            drop(database);
            self.note(&format!("at {got:?}"), id);
            return Ok(());
        }
        let time = Duration::from_millis(self.random.below(2) * self.random.below(120));
        self.call(at, pool, id, How::At(token, time), &commits)
    }

    pub(super) fn wait(&mut self, at: usize) {
        let (Some(_), Some((commits, token))) = (self.place(at), self.token()) else {
            return;
        };
        let time = Duration::from_millis(self.random.below(300));
        let life = self.nodes[at].life.as_ref().expect("it is open");
        life.wait(token, commits.iter().map(|commit| commit.number).collect(), time);
    }

    /// A caller pins an id, and reads it from the database.
    pub(super) fn read_by_hand(&mut self, at: usize) {
        let Some((pool, id)) = self.place(at) else { return };
        let life = self.nodes[at].life.as_mut().expect("it is open");
        let handle = &life.pools[pool].1;
        let pin = handle.pin(id);
        let value = self.database.lock().unwrap().now(handle.key(id));
        life.in_hand.push(InHand { pool, id, value, pin });
    }

    /// Later the caller stores it.
    pub(super) fn store_by_hand(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let now = node.now();
        let Some(life) = node
            .life
            .as_mut()
            .filter(|life| !node.is_paused && !life.in_hand.is_empty())
        else {
            return;
        };
        let held = life.in_hand.swap_remove(self.random.index(life.in_hand.len()));
        let Some(version) = held.value else { return };
        let (known, handle) = &life.pools[held.pool];
        let pin = Some(held.pin).filter(|_| self.sabotage != Sabotage::FillWithoutPin);
        // Noted before, and taken back if it was refused: a refused value is nowhere.
        let key = handle.key(held.id);
        let is_stored = handle.insert(held.id, version, pin);
        if is_stored {
            known.brought.lock().unwrap().note(key, Some(version), now);
        }
        self.note("by hand", u64::from(is_stored));
    }

    /// A caller ends something on one node.
    pub(super) fn end_here(&mut self, at: usize) {
        let Some((_, id)) = self.place(at) else { return };
        let id = id % ROWS;
        let batch = Invalidations::default();
        let (batch, ended, is_by_tag): (_, Vec<Key>, bool) = match self.random.below(8) {
            0 => (batch.flush_everything(), keys().collect(), false),
            1 => (
                batch.collection("row").unwrap(),
                (0..ROWS).map(Key::Row).collect(),
                false,
            ),
            2 | 3 => {
                let of_group = (0..ROWS).filter(|other| group(*other) == group(id));
                (
                    batch.tag(tag(id)).unwrap(),
                    of_group.map(Key::Row).collect(),
                    true,
                )
            }
            4 => (
                batch.collection("row.lists").unwrap(),
                (0..GROUPS).map(Key::Page).collect(),
                false,
            ),
            _ => (batch.entity("row", id).unwrap(), vec![Key::Row(id)], false),
        };
        let number = self.database.lock().unwrap().number();
        let life = self.nodes[at].life.as_mut().expect("it is open");
        let token = life
            .runtime
            .block_on(life.layer.invalidate(&batch, Reach::ThisNode));
        assert!(token.unwrap().is_empty(), "it reaches no further");
        for key in ended {
            let floors = life.floors.entry(key).or_default();
            let floor = if is_by_tag {
                &mut floors.ended_by_tag
            } else {
                &mut floors.ended
            };
            *floor = number.max(*floor);
        }
        let everywhere = life
            .runtime
            .block_on(life.layer.invalidate(&Invalidations::default(), Reach::EveryNode));
        assert!(
            matches!(everywhere, Err(Error::NotConfigured { .. })),
            "there is no outbox"
        );
        self.note("end here", id);
    }

    /// The same through a pool.
    pub(super) fn end_in_pool(&mut self, at: usize) {
        let Some((pool, id)) = self.place(at) else { return };
        let number = self.database.lock().unwrap().number();
        let life = self.nodes[at].life.as_mut().expect("it is open");
        let handle = &life.pools[pool].1;
        match self.random.below(5) {
            0 => return handle.clear(),
            1 | 2 => handle.remove_in_batch(id),
            _ => handle.remove(id),
        }
        let floors = life.floors.entry(handle.key(id)).or_default();
        floors.ended = number.max(floors.ended);
    }

    /// Without an outbox there is nothing that a difference could be judged by, and it says so; in a layer that is being shut down, that.
    pub(super) fn verify(&mut self, at: usize) -> Checked {
        let Some((pool, _)) = self.place(at) else {
            return Ok(());
        };
        let life = self.nodes[at].life.as_ref().expect("it is open");
        let is_ending = life
            .layer
            .health()
            .parts
            .iter()
            .any(|part| part.state == "stopping");
        let mut verified = life.pools[pool].1.verify(life.layer.clone());
        match larder_testkit::poll_once(verified.as_mut()) {
            std::task::Poll::Ready(Err(Error::NotConfigured { part: "outbox" })) if !is_ending => Ok(()),
            std::task::Poll::Ready(Err(Error::ShuttingDown)) if is_ending => Ok(()),
            other => Err(format!("a verification without an outbox says {other:?}")),
        }
    }
}
