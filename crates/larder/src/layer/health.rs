//! [`Health`]: whether a node lives, whether it is ready, and why not.

use std::time::Duration;

use larder_core::LaneState;

use super::Shared;
use super::advice::Advice;
use super::objectives::DEGRADED_FOR;
use super::tasks::TaskState;

/// How a node does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// It answers.
    pub live: bool,
    /// What it serves may be relied on, and all of its tasks run.
    pub ready: bool,
    /// Each part of which something is to be said, and how it does.
    pub parts: Vec<PartHealth>,
    /// What is likely to go wrong.
    pub advice: Vec<Advice>,
}

/// How a part does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHealth {
    /// Which part: `follower <source>`, `task <name>`, `verification`, `layer`.
    pub part: String,
    /// Whether it keeps the node from being ready.
    pub ready: bool,
    /// In one word: `live`, `starting`, `lagging`, `suspect`, `gap`; `running`, `restarting`, `failed`, `stuck`; `degraded`, while an entry was
    /// found stale within the last hour; `stopping`.
    pub state: &'static str,
    /// For how long.
    pub since: Option<Duration>,
    /// Why, if there is more to say.
    pub why: Option<String>,
}

impl Health {
    pub(super) fn of(shared: &Shared) -> Self {
        let now = shared.fence.time();
        let mut parts = Vec::new();
        for followed in &shared.followed {
            let status = followed.handle.status();
            parts.push(PartHealth {
                part: format!("follower {}", followed.source),
                ready: status.state == LaneState::Live,
                state: word(status.state),
                since: status.since.map(|since| now.since(since)),
                why: status.last_error.filter(|_| status.state != LaneState::Live),
            });
        }
        for task in shared.tasks.statuses() {
            parts.push(PartHealth {
                part: format!("task {}", task.name),
                ready: !matches!(task.state, TaskState::Failed | TaskState::Ended),
                state: match task.state {
                    TaskState::Running => "running",
                    TaskState::Restarting => "restarting",
                    TaskState::Failed => "failed",
                    TaskState::Stuck => "stuck",
                    TaskState::Ended => "ended",
                },
                since: None,
                why: task.last_error,
            });
        }
        let (stale, last) = shared.objectives.stale();
        if let Some(last) = last.filter(|last| now.since(*last) < DEGRADED_FOR) {
            parts.push(PartHealth {
                part: "verification".to_owned(),
                ready: true,
                state: "degraded",
                since: Some(now.since(last)),
                why: Some(format!(
                    "{stale} entries were found stale; the last was found then"
                )),
            });
        }
        if shared.closing.has_begun() {
            parts.push(PartHealth {
                part: "layer".to_owned(),
                ready: false,
                state: "stopping",
                since: None,
                why: None,
            });
        }
        let is_sure = shared.fence.is_sure();
        Health {
            live: true,
            ready: is_sure && parts.iter().all(|part| part.ready),
            parts,
            advice: shared.advisor.found(),
        }
    }
}

fn word(state: LaneState) -> &'static str {
    match state {
        LaneState::Starting => "starting",
        LaneState::Live => "live",
        LaneState::Lagging => "lagging",
        LaneState::Gap => "gap",
        _ => "suspect",
    }
}
