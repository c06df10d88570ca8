//! What is wrong with a layer's own options, with how its followers are tuned, and with its outboxes: all of it, before anything is opened.

use std::sync::Arc;

use larder_core::Fence;
use larder_core::limits::NODE_BYTES_MAX;
use larder_outbox::limits::FRESHNESS_RANGE;
use larder_outbox::{CommitOrder, Follower, MemoryStore};

use super::super::limits::{NAME_BYTES_MAX, POOLS_MAX, VERIFY_RATE_MAX};
use super::LayerBuilder;
use super::unbuilt::of_config;
use crate::Problem;

impl LayerBuilder {
    /// What is wrong with how followers are tuned: asked of one that follows nothing.
    fn problems_of_followers(&self) -> Vec<Problem> {
        let nothing = MemoryStore::new(
            CommitOrder::Ordered,
            Arc::clone(&self.clock),
            Arc::clone(&self.entropy),
        );
        let Ok(fence) = Fence::builder().build() else {
            return Vec::new();
        };
        let follower = (self.tune)(Follower::builder(nothing.source(), &fence)).freshness(self.freshness);
        match follower.check() {
            Err(larder_outbox::Error::Config(error)) => of_config("follower", &error),
            _ => Vec::new(),
        }
    }

    /// What is wrong with the layer's own options, and with those of outboxes.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let names = [
            ("name", Some(&self.name), NAME_BYTES_MAX),
            ("node", self.node.as_ref(), NODE_BYTES_MAX),
        ];
        for (option, name, most) in names {
            let Some(name) = name else { continue };
            if !(1..=most).contains(&name.len()) || name.chars().any(char::is_control) {
                let allowed = format!("1 to {most} bytes without control characters");
                problems.push(Problem::new("layer", option, format!("{name:?}"), allowed));
            }
        }
        let (least, most) = FRESHNESS_RANGE;
        if !(least..=most).contains(&self.freshness) {
            let given = format!("{:?}", self.freshness);
            problems.push(Problem::new(
                "layer",
                "freshness",
                given,
                format!("{least:?} to {most:?}"),
            ));
        }
        if self.verify_rate > VERIFY_RATE_MAX {
            let allowed = format!("0 to {VERIFY_RATE_MAX}");
            problems.push(Problem::new("layer", "verify_rate", self.verify_rate, allowed));
        }
        if self.pools.len() > POOLS_MAX {
            problems.push(Problem::new(
                "layer",
                "pool",
                self.pools.len(),
                format!("at most {POOLS_MAX} pools"),
            ));
        }
        for (at, pool) in self.pools.iter().enumerate() {
            let (before, _) = self.pools.split_at(at);
            if before.iter().any(|other| other.place() == pool.place()) {
                let allowed = "one pool for each type and label".to_owned();
                problems.push(Problem::new(pool.part(), "label", "there already", allowed));
            }
        }
        if !self.relays.is_empty() && self.outboxes.is_empty() {
            problems.push(Problem::new("layer", "relay", "given", "with an outbox"));
        }
        if problems.iter().all(|problem| problem.option != "freshness") {
            problems.extend(self.problems_of_followers());
        }
        for outbox in &self.outboxes {
            outbox.check(&mut problems);
        }
        problems
    }
}
