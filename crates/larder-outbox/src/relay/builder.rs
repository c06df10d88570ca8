//! [`RelayBuilder`]: every option of a relay, checked at once.

use std::fmt;
use std::time::Duration;

use larder_core::limits::{NODE_BYTES_MAX, cut_at_character};
use larder_core::sync::{Arc, Mutex};
use larder_core::{Clock, Entropy, Namespace, Runtime, SystemClock, SystemEntropy};

use super::report::Counts;
use super::{Backoff, Options, Publish, Relay, Shared};
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{
    BACKOFF_RANGE, BATCH_SIZE, CLAIM_TTL, CLAIM_TTL_RANGE, CONCURRENCY, MAX_ATTEMPTS, POLL_MAX, POLL_MIN,
    POLL_RANGE,
};
use crate::{Error, Group, OutboxStore, Start};

/// Says what a relay is to be.
#[must_use = "a builder does nothing until it opens"]
pub struct RelayBuilder<P> {
    store: Arc<dyn OutboxStore>,
    publish: P,
    group: Group,
    max_attempts: usize,
    options: Options,
}

impl<P: Publish> Relay<P> {
    /// A relay that takes rows of this log, and hands them to `publish`.
    pub fn builder(store: Arc<dyn OutboxStore>, publish: P) -> RelayBuilder<P> {
        let entropy = SystemEntropy::default();
        let owner = default_owner(entropy.next_u64());
        RelayBuilder {
            store,
            publish,
            group: Group::default(),
            max_attempts: MAX_ATTEMPTS.default(),
            options: Options {
                group: String::new(),
                owner,
                batch_size: BATCH_SIZE.default(),
                claim_ttl: CLAIM_TTL,
                backoff: Backoff::default(),
                max_attempts: 0,
                coalesce: false,
                concurrency: CONCURRENCY.default(),
                poll_min: POLL_MIN,
                poll_max: POLL_MAX,
                runtime: None,
                clock: Arc::new(SystemClock::new()),
                entropy: Arc::new(entropy),
            },
        }
    }
}

impl<P: Publish> RelayBuilder<P> {
    /// The group for which it works, 1 to 128 bytes without control characters. Default: `default`.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group.name = name.into();
        self
    }

    /// The name under which it holds rows, 1 to 128 bytes without control characters. Default: the host, the process, and a random
    /// part.
    pub fn owner(mut self, name: impl Into<String>) -> Self {
        self.options.owner = name.into();
        self
    }

    /// How many rows it claims at once: 1 to 4,096. Default: 256.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.options.batch_size = rows;
        self
    }

    /// For how long it holds them: a second to an hour. It holds them for longer while it publishes. Default: 30 s.
    pub fn claim_ttl(mut self, time: Duration) -> Self {
        self.options.claim_ttl = time;
        self
    }

    /// After how long a row that has failed comes again: a millisecond to a day. Default: a second, doubling to 5 minutes, shortened by up
    /// to half.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// With so many failures a row is a dead letter: 1 to 1,000. Default: 12.
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// See [`Group::namespaces`]. Default: all.
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        self.group = self.group.namespaces(namespaces);
        self
    }

    /// See [`Group::start`]. Default: the oldest row.
    pub fn start(mut self, start: Start) -> Self {
        self.group = self.group.start(start);
        self
    }

    /// See [`Group::keep_acknowledged`]. Default: not at all.
    pub fn keep_acknowledged(mut self, time: Duration) -> Self {
        self.group = self.group.keep_acknowledged(time);
        self
    }

    /// See [`Group::dead_letters_max`]. Default: 100,000.
    pub fn dead_letters_max(mut self, rows: usize) -> Self {
        self.group = self.group.dead_letters_max(rows);
        self
    }

    /// Of the rows of a batch that have the same target, only the first is published; what becomes of it becomes of all. Default: no.
    pub fn coalesce(mut self) -> Self {
        self.options.coalesce = true;
        self
    }

    /// How many batches [`Relay::run`] has in flight: 1 to 16. Default: 1.
    pub fn concurrency(mut self, batches: usize) -> Self {
        self.options.concurrency = batches;
        self
    }

    /// How soon [`Relay::run`] claims again after rows or a hint: 1 ms to a minute. Default: 2 ms.
    pub fn poll_min(mut self, poll_min: Duration) -> Self {
        self.options.poll_min = poll_min;
        self
    }

    /// How soon it claims again when there is nothing: `poll_min` to a minute. Default: 100 ms.
    pub fn poll_max(mut self, poll_max: Duration) -> Self {
        self.options.poll_max = poll_max;
        self
    }

    /// Who sleeps. Default: tokio, in whose context a round must then be polled.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.options.runtime = Some(runtime);
        self
    }

    /// By what it measures for how long the transport is down. All other times are the store's. Default: the system's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// Where jitter is drawn from. Default: the operating system.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.options.entropy = entropy;
        self
    }

    /// Begins the group, if nobody has.
    ///
    /// # Errors
    /// [`Error::Config`], with all faults, also if the group has begun with other namespaces; other errors of the store.
    pub async fn open(self) -> Result<Relay<P>, Error> {
        ConfigError::of_any(self.faults())?;
        self.store.open_group(&self.group).await?;
        let mut options = self.options;
        options.group = self.group.name;
        options.max_attempts = u32::try_from(self.max_attempts).unwrap_or(u32::MAX);
        Ok(Relay {
            shared: Arc::new(Shared {
                store: self.store,
                publish: self.publish,
                options,
                counts: Counts::default(),
                stalled: Mutex::new(None),
            }),
        })
    }

    fn faults(&self) -> Vec<ConfigFault> {
        let options = &self.options;
        let mut faults = self.group.faults();
        faults.extend(ConfigFault::of_name("owner", &options.owner));
        for (limit, given) in [
            (BATCH_SIZE, options.batch_size),
            (MAX_ATTEMPTS, self.max_attempts),
            (CONCURRENCY, options.concurrency),
        ] {
            faults.extend(ConfigFault::of_limit(limit, given));
        }
        let poll_max = (options.poll_min.max(POLL_RANGE.0), POLL_RANGE.1);
        let backoff_max = (options.backoff.first.max(BACKOFF_RANGE.0), BACKOFF_RANGE.1);
        for (option, given, range) in [
            ("claim_ttl", options.claim_ttl, CLAIM_TTL_RANGE),
            ("backoff", options.backoff.first, BACKOFF_RANGE),
            ("backoff_max", options.backoff.most, backoff_max),
            ("poll_min", options.poll_min, POLL_RANGE),
            ("poll_max", options.poll_max, poll_max),
        ] {
            faults.extend(ConfigFault::of_time(option, given, range));
        }
        faults
    }
}

/// The host, the process, and a random part.
fn default_owner(random: u64) -> String {
    let host = gethostname::gethostname();
    let host: String = host
        .to_string_lossy()
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    let rest = format!("/{}/{random:016x}", std::process::id());
    format!(
        "{}{rest}",
        cut_at_character(&host, NODE_BYTES_MAX.saturating_sub(rest.len()))
    )
}

impl<P> fmt::Debug for RelayBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder")
            .field("group", &self.group)
            .field("owner", &self.options.owner)
            .finish_non_exhaustive()
    }
}
