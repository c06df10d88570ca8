//! The end: everything heals, everybody catches up, and nothing may differ; then every layer is shut down, and nothing of it may go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::{Applied, Ended as PartEnd};

use super::super::features::Feature;
use super::super::handle::How;
use super::super::node::Node;
use super::super::oracle::Checked;
use super::World;

impl World {
    /// A shutdown says the same to whoever asks, and the truth.
    pub(super) fn check_reports(&mut self, at: usize) -> Checked {
        let Some(life) = &self.nodes[at].life else {
            return Ok(());
        };
        let reports = life.reports.lock().unwrap();
        let Some(first) = reports.first() else {
            return Ok(());
        };
        if reports.iter().any(|report| report != first) {
            return Err(format!("two reports of one shutdown: {reports:?}"));
        }
        // Each pool, the follower, who looks whether the node is sure, and the advisor.
        if first.parts.len() != life.pools.len() + 3 {
            return Err(format!("a part is missing: {first:?}"));
        }
        let is_clean = first.parts.iter().all(|part| part.ended == PartEnd::Clean);
        let tasks = life.layer.tasks();
        if is_clean && tasks.iter().any(|task| task.state != larder::TaskState::Ended) {
            return Err(format!("a task goes on after a clean end: {tasks:?}"));
        }
        Ok(())
    }

    /// Everything heals, writers stop, and everybody catches up: then nothing is kept that is not what the database has.
    pub(super) fn rest(&mut self) -> Checked {
        self.open.clear();
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            node.is_paused = false;
            *node.weather.lock().unwrap() = Default::default();
            let mut moods = node.moods.lock().unwrap();
            (moods.fails, moods.panics, moods.is_slow) = (false, false, false);
        }
        // Calls that are under way may still fail for what was.
        for node in &mut self.nodes {
            if let Some(life) = &node.life {
                life.ended.lock().unwrap().clear();
            }
        }
        for round in 0..120 {
            self.pass(Duration::from_millis(500));
            for node in &mut self.nodes {
                if node.life.as_ref().is_some_and(|life| life.closing.is_some()) {
                    node.drop_layer();
                }
                if let Some(life) = &node.life {
                    life.ended.lock().unwrap().clear();
                }
                node.open();
            }
            if round > 4 && self.nodes.iter().all(|node| self.has_caught_up(node)) {
                return self.check_rest();
            }
        }
        let health: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.life.as_ref().map(|life| life.layer.health()))
            .collect();
        Err(format!("somebody does not catch up: {health:?}"))
    }

    fn has_caught_up(&self, node: &Node) -> bool {
        let Some(life) = &node.life else { return false };
        let database = self.database.lock().unwrap();
        let mut commits = database.commits.iter();
        let applied = commits.all(|commit| life.layer.fence().applied(&commit.token) == Applied::Yes);
        applied && life.layer.health().ready && life.layer.cursors()[0].behind == Some(0)
    }

    fn check_rest(&mut self) -> Checked {
        for at in 0..self.nodes.len() {
            let database = Arc::clone(&self.database);
            let node = &mut self.nodes[at];
            let life = node.life.as_ref().expect("it has caught up");
            for (known, handle) in &life.pools {
                let database = database.lock().unwrap();
                let peeked = (0..known.ids).filter_map(|id| Some((handle.key(id), handle.peek(id)?)));
                for (key, version) in peeked.chain(handle.residents()) {
                    let there = database.now(key);
                    if Some(version) != there {
                        return Err(format!(
                            "at rest node {at} keeps {key:?} as {version}, which is {there:?}"
                        ));
                    }
                }
                let (stats, under_way) = (handle.stats(), known.brought.lock().unwrap().under_way);
                if stats.flights != 0 || under_way != 0 {
                    return Err(format!("at rest {under_way} loads are under way, {stats:?}"));
                }
            }
            let pools: Vec<(usize, u64)> = life
                .pools
                .iter()
                .map(|(known, _)| known.ids)
                .enumerate()
                .collect();
            for (pool, ids) in pools {
                // Of what is not in memory some will do.
                for _ in 0..3 {
                    let id = self.random.below(ids);
                    self.fetch_at_rest(at, pool, id)?;
                }
            }
            (0..4).try_for_each(|pool| self.nodes[at].check(pool, 0))?;
        }
        Ok(())
    }

    /// Whoever asks now is told what there is. A copy is behind as before.
    fn fetch_at_rest(&mut self, at: usize, pool: usize, id: u64) -> Checked {
        let life = self.nodes[at].life.as_ref().expect("it has caught up");
        let (known, handle) = &life.pools[pool];
        if known.has(Feature::Replica) {
            return Ok(());
        }
        let call = handle.fetch(&life.layer, id, How::Plain);
        let is_gathered = known.has(Feature::Batcher);
        let slot = Arc::new(Mutex::new(None));
        let answered = Arc::clone(&slot);
        larder::Runtime::spawn(
            &life.runtime,
            Box::pin(async move {
                *answered.lock().unwrap() = Some(call.await);
            }),
        );
        let key = handle.key(id);
        if is_gathered {
            self.pass(Duration::from_millis(6));
        }
        self.nodes[at].run();
        let there = self.database.lock().unwrap().now(key);
        let answers = slot.lock().unwrap().take();
        let got = answers.as_ref().and_then(|answers| answers[0].got.as_ref().ok());
        match got == Some(&there) {
            true => Ok(()),
            false => Err(format!(
                "at rest node {at} reads {key:?} as {answers:?}, which is {there:?}"
            )),
        }
    }

    /// All layers are shut down and let go of; nothing of them goes on.
    pub(super) fn end(&mut self) -> Checked {
        for node in &mut self.nodes {
            let now = node.now();
            let life = node.life.as_mut().expect("it has caught up");
            life.shut_down(now, Duration::from_secs(10));
        }
        self.pass(Duration::from_secs(1));
        for at in 0..self.nodes.len() {
            self.check_reports(at)?;
            let life = self.nodes[at].life.as_ref().expect("it has caught up");
            let reports = life.reports.lock().unwrap().clone();
            if reports.len() != 2 || !reports[0].is_clean() {
                return Err(format!("at rest node {at} ends with {reports:?}"));
            }
            self.nodes[at].check(0, 1)?;
            self.nodes[at].drop_layer();
        }
        self.pass(Duration::from_secs(2));
        for node in &self.nodes {
            for grave in &node.graves {
                let left = grave.runtime.tasks();
                if left > 0 || !grave.are_gone.iter().all(|is_gone| is_gone()) {
                    return Err(format!("of a layer that is gone {left} tasks go on"));
                }
            }
        }
        let now = u64::try_from(self.now.as_nanos()).unwrap();
        self.note("end", now);
        Ok(())
    }
}
