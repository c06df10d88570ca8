//! [`FollowerBuilder`]: every option of a follower, checked at once.

use std::fmt;
use std::time::Duration;

use larder_core::sync::{Arc, Mutex};
use larder_core::{CursorHome, Entropy, Fence, FenceError, Namespace, Runtime, Source, SystemEntropy};

use super::{Board, Follower, FollowerMetrics, Membership, Options};
use crate::database::Database;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{
    FRESHNESS, FRESHNESS_RANGE, NODE_LEASE_RANGE, POLL_MAX, POLL_MIN, POLL_RANGE, PUBLISH_EVERY,
    PUBLISH_EVERY_RANGE, ROWS_A_READ, ROWS_A_READ_MAX,
};
use crate::outbox::Local;
use crate::seat::Seat;
use crate::{Error, Member, Nodes, Outbox};

/// Says what a follower is to be.
#[must_use = "a builder does nothing until it builds"]
pub struct FollowerBuilder {
    source: Arc<dyn Source>,
    fence: Fence,
    outbox: Option<Arc<Local>>,
    nodes: Option<(Arc<dyn Nodes>, Member)>,
    node_lease: Option<Duration>,
    publish_every: Duration,
    options: Options,
}

impl Follower {
    /// A follower of `source` that feeds `fence`, which pools and other parts of this node share.
    pub fn builder(source: Arc<dyn Source>, fence: &Fence) -> FollowerBuilder {
        FollowerBuilder {
            source,
            fence: fence.clone(),
            outbox: None,
            nodes: None,
            node_lease: None,
            publish_every: PUBLISH_EVERY,
            options: Options {
                namespaces: None,
                home: None,
                runtime: None,
                metrics: None,
                entropy: Arc::new(SystemEntropy::default()),
                freshness: FRESHNESS,
                poll_min: POLL_MIN,
                poll_max: POLL_MAX,
                rows_a_read: ROWS_A_READ,
            },
        }
    }
}

impl<D: Database> Outbox<D> {
    /// A follower of this log, for `fence`. As long as it lives, what this outbox commits is applied to the fence before the
    /// commit returns.
    pub fn follower(&self, fence: &Fence) -> FollowerBuilder {
        let mut builder = Follower::builder(self.source(), fence);
        let local = self.local();
        let mut member = Member::new(local.origin.node(), local.origin.run());
        member.key = local.node_key;
        builder.nodes = Some((self.nodes(), member));
        builder.outbox = Some(local);
        builder
    }
}

impl FollowerBuilder {
    /// Rows of these namespaces only; those of entities, collections and everything always count. Default: all.
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        self.options.namespaces = Some(namespaces.into_iter().collect());
        self
    }

    /// Where the cursor is kept, beside the state that it protects. Default: nowhere, so that every start is a cold one.
    pub fn cursor_home(mut self, home: Arc<dyn CursorHome>) -> Self {
        self.options.home = Some(home);
        self
    }

    /// Who sleeps for [`Follower::run`]. Default: tokio, in whose context it must then be polled.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.options.runtime = Some(runtime);
        self
    }

    /// Who takes the figures of this follower. Default: nobody.
    pub fn metrics(mut self, metrics: Arc<dyn FollowerMetrics>) -> Self {
        self.options.metrics = Some(metrics);
        self
    }

    /// Where the jitter of retries is drawn from. Default: the operating system.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.options.entropy = entropy;
        self
    }

    /// For how long after a round that left nothing over this node is sure of what it keeps: 100 ms to an hour, at least twice
    /// `poll_max`, and at most `node_lease` where nodes know of each other. Default: 2 s.
    pub fn freshness(mut self, freshness: Duration) -> Self {
        self.options.freshness = freshness;
        self
    }

    /// How soon the source is asked again after rows or a hint: 1 ms to a minute. Default: 2 ms.
    pub fn poll_min(mut self, poll_min: Duration) -> Self {
        self.options.poll_min = poll_min;
        self
    }

    /// How soon it is asked again when there is nothing: `poll_min` to a minute. Default: 100 ms.
    pub fn poll_max(mut self, poll_max: Duration) -> Self {
        self.options.poll_max = poll_max;
        self
    }

    /// How many rows are asked for at once: 1 to 10,000. Default: 1,000.
    pub fn rows_a_read(mut self, rows: usize) -> Self {
        self.options.rows_a_read = rows;
        self
    }

    /// The table in which it makes itself known, and as what. Default: that of the outbox, under the name of the outbox's node; of another
    /// source none.
    pub fn nodes(mut self, nodes: Arc<dyn Nodes>, member: Member) -> Self {
        self.nodes = Some((nodes, member));
        self
    }

    /// For how long this node counts as live after it was last heard of: a second to 30 days, and at least `freshness`, so that others wait for a
    /// node that is sure of what it keeps. Default: 10 s, or `freshness` if that is more.
    pub fn node_lease(mut self, node_lease: Duration) -> Self {
        self.node_lease = Some(node_lease);
        self
    }

    /// How often at most it tells the others how far it has come: 50 ms to a minute. Without progress it gives a sign of life after half of
    /// `freshness`, or a third of `node_lease` if that is less. Default: 250 ms.
    pub fn publish_every(mut self, publish_every: Duration) -> Self {
        self.publish_every = publish_every;
        self
    }

    /// The follower, which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`], with all faults; [`Error::AlreadyFollowing`] while another one follows this source on this fence;
    /// [`Error::Fence`] if the fence has no place for one more source.
    pub fn build(mut self) -> Result<Follower, Error> {
        if let Some((_, member)) = &mut self.nodes {
            let least = member.lease.max(self.options.freshness);
            member.lease = self.node_lease.unwrap_or(least);
        }
        self.check()?;
        let lane = self.fence.lane(self.source.id()).map_err(|error| match error {
            FenceError::AlreadyFollowing { .. } => Error::AlreadyFollowing,
            other => Error::Fence(other),
        })?;
        if let Some(local) = &self.outbox {
            lane.set_origin(local.origin.clone());
        }
        let seat = Arc::new(Seat::new(self.fence, lane));
        if let Some(local) = &self.outbox {
            local.take_seat(&seat);
        }
        let freshness = self.options.freshness;
        Ok(Follower {
            source: self.source,
            seat,
            options: self.options,
            cursor: None,
            board: Arc::new(Mutex::new(Board::default())),
            unsettled: Vec::new(),
            saved: None,
            saved_at: None,
            gap: None,
            membership: self.nodes.map(|(nodes, member)| {
                let idle_every = (freshness / 2).min(member.lease / 3);
                Arc::new(Mutex::new(Membership::new(
                    nodes,
                    member,
                    self.publish_every,
                    idle_every,
                )))
            }),
        })
    }
}

impl FollowerBuilder {
    /// What is wrong with the options, all of it.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<(), Error> {
        let mut faults = self.options.faults();
        if let Some((_, member)) = &self.nodes {
            faults.extend(ConfigFault::of_name("node", &member.node));
            faults.extend(ConfigFault::of_time("node_lease", member.lease, NODE_LEASE_RANGE));
            // Else others would not wait for a node that is still sure of what it keeps.
            if self.options.freshness > member.lease && faults.is_empty() {
                faults.push(ConfigFault {
                    option: "freshness",
                    given: format!("{:?}", self.options.freshness),
                    allowed: format!("at most `node_lease`, which is {:?}", member.lease),
                });
            }
        }
        faults.extend(ConfigFault::of_time(
            "publish_every",
            self.publish_every,
            PUBLISH_EVERY_RANGE,
        ));
        ConfigError::of_any(faults)
    }
}

impl Options {
    fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let poll_max = (self.poll_min.max(POLL_RANGE.0), POLL_RANGE.1);
        faults.extend(ConfigFault::of_time("freshness", self.freshness, FRESHNESS_RANGE));
        faults.extend(ConfigFault::of_time("poll_min", self.poll_min, POLL_RANGE));
        faults.extend(ConfigFault::of_time("poll_max", self.poll_max, poll_max));
        if self.freshness < self.poll_max.saturating_mul(2) && faults.is_empty() {
            faults.push(ConfigFault {
                option: "freshness",
                given: format!("{:?}", self.freshness),
                allowed: format!("twice `poll_max` or more, which is {:?}", self.poll_max),
            });
        }
        if !(1..=ROWS_A_READ_MAX).contains(&self.rows_a_read) {
            faults.push(ConfigFault {
                option: "rows_a_read",
                given: self.rows_a_read.to_string(),
                allowed: format!("1 to {ROWS_A_READ_MAX}"),
            });
        }
        faults
    }
}

impl fmt::Debug for FollowerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowerBuilder")
            .field("source", &self.source.id())
            .finish_non_exhaustive()
    }
}
