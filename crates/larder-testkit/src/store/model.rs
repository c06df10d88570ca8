//! A store against a map of rows: whatever workers do, and whenever they vanish, each row is in one place, and nothing is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_core::{Invalidations, Namespace};
use larder_outbox::{Claim, DeadLetters, Failed, Group, Next};

use super::{StoreGround, Trial};
use crate::Random;

/// What the contract says of a row of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// It may be claimed from this second on.
    From(u64),
    /// The claim of this number holds it until this second.
    Held(usize, u64),
    Done,
    Dead,
}

struct Model {
    trial: Trial,
    random: Random,
    now: u64,
    rows: BTreeMap<String, Place>,
    claims: Vec<Claim>,
    recorded: u64,
    log: Vec<String>,
}

const GROUP: &str = "group";
const STEPS: usize = 120;

/// Runs one seed.
pub(super) async fn check(ground: Box<dyn StoreGround>, seed: u64) {
    let trial = Trial {
        name: "a store against its model",
        ground,
    };
    trial.is_ok(trial.store().open_group(&Group::new(GROUP)).await);
    let mut model = Model {
        trial,
        random: Random::seeded(seed),
        now: 0,
        rows: BTreeMap::new(),
        claims: Vec::new(),
        recorded: 0,
        log: vec![format!("seed {seed}")],
    };
    for _ in 0..STEPS {
        model.step().await;
    }
    model.drain().await;
}

impl Model {
    async fn step(&mut self) {
        match self.random.below(20) {
            0..=4 => self.record().await,
            5..=8 => self.claim().await,
            9..=11 => self.acknowledge().await,
            12..=13 => self.fail().await,
            14 => self.renew().await,
            15 => self.release().await,
            16..=17 => self.pass().await,
            18 => self.reset().await,
            _ => {
                self.log.push("purge".to_owned());
                self.trial.ground.purge().await;
            }
        }
        self.compare().await;
    }

    async fn record(&mut self) {
        let mut batch = Invalidations::new(Namespace::default(), "model");
        let count = 1 + self.random.below(6);
        for _ in 0..count {
            self.recorded += 1;
            batch = self.trial.is_ok(batch.entity("user", self.recorded));
            let text = format!("entity:user/{}", self.recorded);
            self.rows.insert(text, Place::From(self.now));
        }
        self.log.push(format!("record up to {}", self.recorded));
        self.trial.is_ok(self.trial.store().record(&batch).await);
    }

    fn is_free(&self, place: &Place) -> bool {
        match place {
            Place::From(from) => *from <= self.now,
            Place::Held(_, until) => *until <= self.now,
            Place::Done | Place::Dead => false,
        }
    }

    async fn claim(&mut self) {
        let limit = 1 + self.random.index(8);
        let time = 1 + self.random.below(20);
        let free = self.rows.values().filter(|place| self.is_free(place)).count();
        let store = self.trial.store();
        let claim = store
            .claim(GROUP, "worker", limit, Duration::from_secs(time))
            .await;
        let claim = self.trial.is_ok(claim);
        self.log.push(format!(
            "claim {limit} for {time} s at {}: {:?}",
            self.now,
            super::texts(&claim)
        ));
        self.same(claim.rows().len(), free.min(limit), "as many as are free");
        for row in claim.rows() {
            let text = row.target.to_string();
            let place = self.rows.get(&text).cloned();
            self.holds(
                place.as_ref().is_some_and(|place| self.is_free(place)),
                &format!("{text} was {place:?}"),
            );
            self.rows
                .insert(text, Place::Held(self.claims.len(), self.now + time));
        }
        self.claims.push(claim);
    }

    /// Some claim, and some of its rows; how many of these it still holds.
    fn some(&mut self) -> Option<(usize, Vec<usize>, usize)> {
        if self.claims.is_empty() {
            return None;
        }
        let at = self.claims.len() - 1 - self.random.index(self.claims.len().min(4));
        let is_whole = self.random.chance(500);
        let random = &mut self.random;
        let picked: Vec<usize> = (0..self.claims[at].rows().len())
            .filter(|_| is_whole || random.chance(500))
            .collect();
        let held = picked.iter().filter(|row| self.holds_row(at, **row)).count();
        Some((at, picked, held))
    }

    fn text(&self, claim: usize, row: usize) -> String {
        self.claims[claim].rows()[row].target.to_string()
    }

    fn holds_row(&self, claim: usize, row: usize) -> bool {
        matches!(self.rows.get(&self.text(claim, row)), Some(Place::Held(holder, _)) if *holder == claim)
    }

    fn put(&mut self, claim: usize, rows: &[usize], place: &Place) {
        for row in rows {
            if self.holds_row(claim, *row) {
                self.rows.insert(self.text(claim, *row), place.clone());
            }
        }
    }

    async fn acknowledge(&mut self) {
        let Some((at, picked, held)) = self.some() else {
            return;
        };
        let ids: Vec<_> = picked.iter().map(|row| self.claims[at].rows()[*row].id).collect();
        self.log.push(format!("acknowledge {picked:?} of claim {at}"));
        let done = self.trial.store().acknowledge(&self.claims[at], &ids).await;
        let done = self.trial.is_ok(done);
        self.same(
            (done.done, done.lost),
            (held, ids.len() - held),
            "what it still held",
        );
        self.put(at, &picked, &Place::Done);
    }

    async fn fail(&mut self) {
        let Some((at, picked, held)) = self.some() else {
            return;
        };
        let (next, place) = match self.random.below(3) {
            0 => (Next::Dead, Place::Dead),
            _ => {
                let after = self.random.below(10);
                (
                    Next::Retry(Duration::from_secs(after)),
                    Place::From(self.now + after),
                )
            }
        };
        let failed = |row: &usize| Failed {
            row: self.claims[at].rows()[*row].id,
            error: "no".to_owned(),
            next,
        };
        let failed: Vec<Failed> = picked.iter().map(failed).collect();
        self.log.push(format!("fail {picked:?} of claim {at}: {next:?}"));
        let done = self
            .trial
            .is_ok(self.trial.store().fail(&self.claims[at], &failed).await);
        self.same(
            (done.done, done.lost),
            (held, picked.len() - held),
            "what it still held",
        );
        self.put(at, &picked, &place);
    }

    async fn renew(&mut self) {
        let Some((at, ..)) = self.some() else { return };
        let all: Vec<usize> = (0..self.claims[at].rows().len()).collect();
        let held = all.iter().filter(|row| self.holds_row(at, **row)).count();
        let time = 1 + self.random.below(20);
        self.log.push(format!("renew claim {at} for {time} s"));
        let renewed = self
            .trial
            .store()
            .renew(&self.claims[at], Duration::from_secs(time))
            .await;
        let renewed = self.trial.is_ok(renewed);
        self.same(renewed.done, held, "what it still held");
        let until = self.now + time;
        self.put(at, &all, &Place::Held(at, until));
    }

    async fn release(&mut self) {
        let Some((at, ..)) = self.some() else { return };
        let all: Vec<usize> = (0..self.claims[at].rows().len()).collect();
        let held = all.iter().filter(|row| self.holds_row(at, **row)).count();
        self.log.push(format!("release claim {at}"));
        let given = self
            .trial
            .is_ok(self.trial.store().release(&self.claims[at]).await);
        self.same(given.done, held, "what it still held");
        let now = self.now;
        self.put(at, &all, &Place::From(now));
    }

    async fn pass(&mut self) {
        let time = 1 + self.random.below(15);
        self.log.push(format!("{time} s pass"));
        self.trial.ground.pass(Duration::from_secs(time)).await;
        self.now += time;
    }

    async fn reset(&mut self) {
        let dead = self.rows.values().filter(|place| **place == Place::Dead).count();
        self.log.push("reset".to_owned());
        let reset = self
            .trial
            .store()
            .reset_dead_letters(&DeadLetters::all().group(GROUP))
            .await;
        let reset = self.trial.is_ok(reset);
        self.same(usize::try_from(reset).ok(), Some(dead), "all that were dead");
        let now = self.now;
        for place in self.rows.values_mut().filter(|place| **place == Place::Dead) {
            *place = Place::From(now);
        }
    }

    /// The numbers that the store gives are those of the map.
    async fn compare(&self) {
        let status = self.trial.is_ok(self.trial.store().status(GROUP, None).await);
        let count = |is: fn(&Place) -> bool| self.rows.values().filter(|place| is(place)).count();
        let pending = count(|place| matches!(place, Place::From(_) | Place::Held(..)));
        self.same(
            usize::try_from(status.pending.at_least()).ok(),
            Some(pending),
            "what is pending",
        );
        let dead = count(|place| *place == Place::Dead);
        self.same(
            usize::try_from(status.dead_lettered.at_least()).ok(),
            Some(dead),
            "what is dead",
        );
    }

    /// At the end everything that is not done comes, and nothing else.
    async fn drain(&mut self) {
        self.reset().await;
        self.trial.ground.pass(Duration::from_secs(600)).await;
        self.now += 600;
        loop {
            self.claim().await;
            let Some(claim) = self.claims.last() else { break };
            if claim.is_empty() {
                break;
            }
            let all: Vec<usize> = (0..claim.rows().len()).collect();
            self.trial.acknowledge(claim).await;
            let at = self.claims.len() - 1;
            self.put(at, &all, &Place::Done);
        }
        let left: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, place)| **place != Place::Done)
            .collect();
        self.holds(left.is_empty(), &format!("left over: {left:?}"));
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, found: T, expected: T, what: &str) {
        assert!(
            found == expected,
            "{what}: {found:?}, expected {expected:?}, after\n{}",
            self.log.join("\n")
        );
    }

    fn holds(&self, holds: bool, what: &str) {
        assert!(holds, "{what}, after\n{}", self.log.join("\n"));
    }
}
