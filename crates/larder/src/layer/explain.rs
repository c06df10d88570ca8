//! [`Explained`]: what a layer knows of a target, and what that comes to.

use std::fmt;
use std::time::Duration;

use larder_core::{Befallen, Certainty, Fence, Last, Moment, Target};
use larder_pool::EntryState;

use super::timeline::{Happened, TimelineEvent, timeline_of};
use super::{CursorStatus, Layer, Shared};

/// What a layer knows of a target: where it is resident, what was last heard of it, what has befallen it of late, and how far this node has come. Shown,
/// it is a few lines for people, the verdict first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// What was asked for.
    pub target: Target,
    /// When, by the clock of the fence.
    pub time: Moment,
    /// What it comes to.
    pub verdict: Verdict,
    /// What the fence remembers of it and of its parents, and which of them decides.
    pub fence: larder_core::Explanation,
    /// Of an entity: what each pool of it knows of this id.
    pub pools: Vec<ExplainedPool>,
    /// What has happened to it and to its parents of late, newest first: every invalidation and every fill that was rejected, as far as they are remembered;
    /// fills, removals and stale answers of keys that are sampled or watched.
    pub timeline: Vec<TimelineEvent>,
    /// How far each source has been applied here.
    pub cursors: Vec<CursorStatus>,
    /// If the body of a transaction asks: what that has invalidated so far of all that this depends on. Nobody else knows of it before the commit.
    pub in_transaction: Option<Target>,
}

/// What a pool knows of an id.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainedPool {
    /// The label of the pool, if it has one.
    pub label: Option<String>,
    /// What its own loader is called, if it has one.
    pub loader: Option<&'static str>,
    /// What it knows.
    pub explanation: larder_pool::Explanation,
}

/// What is to be thought of a target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is resident, and nothing that it depends on was invalidated since it was read.
    Fresh,
    /// It is resident and may be read, but this node cannot be sure to have heard of every invalidation: pools do what they were told for that.
    Unsure,
    /// It is resident, and not to be read: this was invalidated after it was read.
    Ended {
        /// The target that decides.
        by: Target,
    },
    /// It is resident and others may read it, but not who asks: the transaction in which that is has invalidated this.
    EndedInTransaction {
        /// The target that decides.
        by: Target,
    },
    /// It is resident, and its time to live or to idle is over.
    Expired,
    /// It is being loaded.
    Loading,
    /// The source is known to have no such entity.
    Negative,
    /// It names an entity that no pool of the layer keeps.
    NoSuchPool,
    /// Nothing of it is resident. What happened to it last, if that is known.
    Absent {
        /// The last event.
        last: Option<Box<TimelineEvent>>,
    },
}

impl Layer {
    /// What is known of a target, also if nothing of it is kept: found without loading and without a trace. In the body of a transaction, as that sees it.
    ///
    /// O(what it depends on, and its timeline).
    #[must_use]
    pub fn explain(&self, target: &Target) -> Explained {
        self.shared.explain(target)
    }
}

impl Shared {
    /// See [`Layer::explain`].
    pub(super) fn explain(&self, target: &Target) -> Explained {
        let fence = &self.fence;
        let mut pools = Vec::new();
        if let Target::Entity { entity, id } = target {
            for pool in self.registry.pools() {
                if pool.name() != entity.as_str() {
                    continue;
                }
                pools.extend(pool.explain(id).map(|explanation| ExplainedPool {
                    label: pool.label().map(str::to_owned),
                    loader: pool.loader_label(),
                    explanation,
                }));
            }
        }
        let timeline = timeline_of(fence, &self.timeline, target);
        let explained = fence.explain(std::slice::from_ref(target));
        let of_pools = pools.iter().flat_map(|pool| &pool.explanation.targets);
        let in_transaction = ended_in_transaction(fence, explained.targets.iter().chain(of_pools));
        Explained {
            target: target.clone(),
            time: fence.time(),
            verdict: Verdict::of(target, &pools, &timeline, fence),
            fence: explained,
            in_transaction,
            pools,
            timeline,
            cursors: self.following(),
        }
    }
}

impl Verdict {
    /// Of several pools that know an id, what is worth most to a reader.
    fn of(target: &Target, pools: &[ExplainedPool], timeline: &[TimelineEvent], fence: &Fence) -> Self {
        let certainty = fence.certainty();
        let mut verdicts = pools.iter().map(|pool| {
            let explanation = &pool.explanation;
            if let EntryState::Live | EntryState::Absent = explanation.state
                && explanation.resident.is_some()
                && let Some(by) = ended_in_transaction(fence, &explanation.targets)
            {
                return Verdict::EndedInTransaction { by };
            }
            match explanation.state {
                EntryState::Live if certainty == Certainty::Sure => Verdict::Fresh,
                EntryState::Live => Verdict::Unsure,
                // What a pool does not believe while the node is unsure.
                EntryState::Absent if explanation.resident.is_some() => Verdict::Unsure,
                EntryState::Fenced => {
                    let by = explanation.deciding.and_then(|at| explanation.targets.get(at));
                    by.map_or(Verdict::Expired, |by| Verdict::Ended {
                        by: by.target.clone(),
                    })
                }
                EntryState::Expired | EntryState::Stale | EntryState::Idle => Verdict::Expired,
                EntryState::Loading => Verdict::Loading,
                EntryState::Negative => Verdict::Negative,
                _ => Verdict::Absent {
                    last: timeline.first().cloned().map(Box::new),
                },
            }
        });
        if let Target::Entity { .. } = target
            && pools.is_empty()
        {
            return Verdict::NoSuchPool;
        }
        let absent = || Verdict::Absent {
            last: timeline.first().cloned().map(Box::new),
        };
        let first = verdicts.next().unwrap_or_else(absent);
        verdicts.fold(
            first,
            |best, next| if next.rank() < best.rank() { next } else { best },
        )
    }

    fn rank(&self) -> u8 {
        match self {
            Verdict::Fresh => 0,
            Verdict::Unsure => 1,
            Verdict::Ended { .. } | Verdict::EndedInTransaction { .. } => 2,
            Verdict::Expired => 3,
            Verdict::Loading => 4,
            Verdict::Negative => 5,
            Verdict::NoSuchPool | Verdict::Absent { .. } => 6,
        }
    }
}

/// Which of these targets the transaction within which the caller runs has invalidated, if it runs within one: the widest.
fn ended_in_transaction<'a>(
    fence: &Fence,
    targets: impl IntoIterator<Item = &'a larder_core::Explained>,
) -> Option<Target> {
    let targets = targets.into_iter().map(|explained| &explained.target);
    let ended = targets.filter(|target| fence.is_ended_in_transaction(std::slice::from_ref(target)));
    ended
        .min_by_key(|target| target.lineage().to_vec().len())
        .cloned()
}

impl Explained {
    /// The verdict in one sentence, which also says what the transaction that asks has invalidated of the target.
    #[must_use]
    pub fn sentence(&self) -> String {
        let sentence = self.verdict_in_words();
        match (&self.verdict, &self.in_transaction) {
            (Verdict::EndedInTransaction { .. }, _) | (_, None) => sentence,
            (_, Some(by)) => format!("{sentence}; this transaction has invalidated {by}"),
        }
    }

    fn verdict_in_words(&self) -> String {
        let target = &self.target;
        match &self.verdict {
            Verdict::Fresh => {
                format!(
                    "{target} is resident and fresh: nothing that it depends on was invalidated since it was read"
                )
            }
            Verdict::Unsure => {
                format!(
                    "{target} is resident, but this node cannot be sure to have heard of every invalidation"
                )
            }
            Verdict::Ended { by } => {
                let last = self.fence_of(by).unwrap_or_default();
                format!("{target} is resident and not served: {by} was invalidated after it was read{last}")
            }
            Verdict::EndedInTransaction { by } => {
                format!(
                    "{target} is resident and not served here: this transaction has invalidated {by}, which others hear of when it commits"
                )
            }
            Verdict::Expired => format!("{target} is resident and not served: its time is over"),
            Verdict::Loading => format!("{target} is absent, and being loaded"),
            Verdict::Negative => format!("{target} is known to be absent in its source"),
            Verdict::NoSuchPool => format!("{target} is kept by no pool of this layer"),
            Verdict::Absent { last: Some(last) } => {
                let ago = self.time.since(last.time);
                format!("{target} is absent: {}, {ago:.1?} ago", told(last, &self.target))
            }
            Verdict::Absent { last: None } => {
                format!("{target} is absent: nothing of it was seen of late")
            }
        }
    }

    /// What the timeline knows of the last invalidation of a target.
    fn fence_of(&self, target: &Target) -> Option<String> {
        let of_pools = self.pools.iter().flat_map(|pool| &pool.explanation.targets);
        let explained = self.fence.targets.iter().chain(of_pools);
        let last = explained
            .filter(|explained| explained.target == *target)
            .find_map(|it| match &it.last {
                Last::At(last) => Some(last),
                _ => None,
            })?;
        let ago = self.time.since(last.time);
        Some(format!(" ({}, {ago:.1?} ago)", invalidated(last)))
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        for ExplainedPool {
            label, explanation, ..
        } in &self.pools
        {
            let label = label
                .as_ref()
                .map(|label| format!(" `{label}`"))
                .unwrap_or_default();
            write!(f, "  pool{label}: {:?}", explanation.state)?;
            if let Some(entry) = &explanation.resident {
                write!(f, ", {:?} {:.1?} ago", entry.origin, entry.age)?;
                if let Some(left) = entry.time_left.filter(|left| *left < Duration::MAX) {
                    write!(f, ", {left:.1?} left")?;
                }
                if let Some(as_of) = entry.as_of {
                    write!(f, ", from a copy at {}", as_of.point())?;
                }
            }
            writeln!(f)?;
        }
        for cursor in &self.cursors {
            let CursorStatus { source, state, .. } = cursor;
            let position = cursor
                .position
                .map_or(0, |position| position.get().saturating_sub(1));
            write!(f, "  source {source}: {state:?}, applied to {position}")?;
            if let Some(behind) = cursor.behind {
                write!(f, ", {behind} behind")?;
            }
            writeln!(f)?;
        }
        for event in &self.timeline {
            let ago = self.time.since(event.time);
            writeln!(f, "  {ago:.1?} ago: {}", told(event, &self.target))?;
        }
        Ok(())
    }
}

/// An event in words.
fn told(event: &TimelineEvent, asked: &Target) -> String {
    let of = if event.target == *asked {
        String::new()
    } else {
        format!("{} was ", event.target)
    };
    match &event.what {
        Happened::Invalidated(last) => format!("{of}invalidated {}", invalidated(last)),
        Happened::Befallen(Befallen::Filled { loader, .. }) => format!("filled by {}", short(loader)),
        Happened::Befallen(Befallen::Rejected { loader, why, .. }) => {
            format!("loaded by {} and not kept ({why})", short(loader))
        }
        Happened::Befallen(Befallen::Removed { why, .. }) => format!("removed ({why})"),
        Happened::Befallen(Befallen::ServedStale) => "served past its time".to_owned(),
        Happened::Befallen(other) => format!("{other:?}"),
    }
}

/// A text without control characters, which would end its line or speak to a terminal.
fn one_line(text: &str) -> String {
    let shown = |letter: char| match letter {
        control if control.is_control() => control.escape_default().to_string(),
        plain => plain.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A loader without a label is called by its type: where a closure stands, not that it is one.
fn short(loader: &str) -> &str {
    loader.trim_end_matches("::{{closure}}")
}

/// By what, and why.
fn invalidated(last: &larder_core::Invalidated) -> String {
    let by = last.commit.map_or_else(
        || "on this node".to_owned(),
        |commit| format!("at position {} of {}", commit.position, commit.source),
    );
    match last.reason.as_str() {
        "" => by,
        // Whoever wrote it may have written anything.
        reason => format!("{by}, {}", one_line(reason)),
    }
}
