//! How one call loads: [`FetchOptions`]; and how all of a pool do unless they say otherwise: [`FetchConfig`].

use std::time::Duration;

use larder_core::Token;

use crate::Entity;
use crate::limits::{
    ERROR_HOLD_DEFAULT, FLIGHTS_DEFAULT, LOADER_TIMEOUT_MAX, NEGATIVE_ENTRIES_DEFAULT, REFRESH_AHEAD_MAX,
    WAIT_AT_MOST_DEFAULT,
};
use crate::shared::Shared;

/// How calls of a pool load unless they say otherwise. Each is an option of the builder of the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FetchConfig {
    /// How long a loader may take; none for as long as it likes.
    pub timeout: Option<Duration>,
    /// How long a call waits before it takes a stale value, if there is one.
    pub soft_timeout: Option<Duration>,
    /// Loads go on when nobody waits for them any more.
    pub detach: bool,
    /// How long it is remembered that the source has no such entity; none for not at all.
    pub negative_ttl: Option<Duration>,
    /// Of how many ids that is remembered.
    pub negative_entries: usize,
    /// For how long after its time to live a value is served while one background load renews it.
    pub stale_while_revalidate: Option<Duration>,
    /// For how long after its time to live a value is served when loading it fails.
    pub stale_on_error: Option<Duration>,
    /// For how long after a failure an id with a stale value is not loaded again.
    pub error_hold: Duration,
    /// A hit with less than this part of its time to live left starts a background load.
    pub refresh_ahead: Option<f64>,
    /// How long a call with a token waits until the node has applied it.
    pub wait_at_most: Duration,
    /// How many ids may be loaded at once.
    pub flights: usize,
    /// How many ids a loader of the pool's own is asked for at once, and for how long they are gathered.
    pub batcher: Option<(usize, Duration)>,
}

impl FetchConfig {
    /// For how long after its time to live an entry stays, to be served if need be.
    pub(crate) fn lingers(&self) -> Duration {
        let windows = [self.stale_while_revalidate, self.stale_on_error];
        windows.into_iter().flatten().max().unwrap_or_default()
    }

    /// The options that need a runtime.
    pub(crate) fn needing_runtime(&self) -> impl Iterator<Item = &'static str> {
        let batcher = self.batcher.map(|_| "batcher");
        let plan = FetchOptions::new().plan(self, "");
        batcher.into_iter().chain(plan.needing_runtime())
    }
}

impl Default for FetchConfig {
    fn default() -> Self {
        FetchConfig {
            timeout: None,
            soft_timeout: None,
            detach: false,
            negative_ttl: None,
            negative_entries: NEGATIVE_ENTRIES_DEFAULT,
            stale_while_revalidate: None,
            stale_on_error: None,
            error_hold: ERROR_HOLD_DEFAULT,
            refresh_ahead: None,
            wait_at_most: WAIT_AT_MOST_DEFAULT,
            flights: FLIGHTS_DEFAULT,
            batcher: None,
        }
    }
}

/// What is special about one call of [`Pool::get_or_fetch_with`](crate::Pool::get_or_fetch_with). What is not said is as
/// the pool was built.
///
/// ```
/// use std::time::Duration;
/// use larder_pool::FetchOptions;
///
/// let options = FetchOptions::new()
///     .timeout(Duration::from_secs(2))
///     .stale_on_error(Duration::from_secs(60));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct FetchOptions {
    timeout: Option<Duration>,
    soft_timeout: Option<Duration>,
    detach: bool,
    negative_ttl: Option<Duration>,
    stale_while_revalidate: Option<Duration>,
    stale_on_error: Option<Duration>,
    refresh_ahead: Option<f64>,
    at_least: Option<Token>,
    wait_at_most: Option<Duration>,
    bypass: bool,
}

impl FetchOptions {
    /// As the pool does it.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the loader may take, at most an hour; then it is dropped, and all who wait get
    /// [`FetchError::Timeout`](crate::FetchError::Timeout). A call that joins the load of another waits no longer than
    /// this itself. Needs a runtime.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// How long to wait before a stale value is taken, if there is one; the load goes on. Needs a runtime.
    pub fn soft_timeout(mut self, time: Duration) -> Self {
        self.soft_timeout = Some(time);
        self
    }

    /// The load goes on when nobody waits for it any more. Needs a runtime.
    pub fn detach(mut self) -> Self {
        self.detach = true;
        self
    }

    /// How long it is remembered that the source has no such entity.
    pub fn negative_ttl(mut self, time: Duration) -> Self {
        self.negative_ttl = Some(time);
        self
    }

    /// For how long after its time to live a value is served while one background load renews it. Values stay resident for
    /// as long as the pool was built for. Needs a runtime.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// For how long after its time to live a value is served when loading it fails. Values stay resident for as long as
    /// the pool was built for.
    pub fn stale_on_error(mut self, time: Duration) -> Self {
        self.stale_on_error = Some(time);
        self
    }

    /// A hit with less than this part of its time to live left, at most 0.9, starts a background load. Needs a runtime.
    pub fn refresh_ahead(mut self, part: f64) -> Self {
        self.refresh_ahead = Some(part);
        self
    }

    /// The answer includes everything that this token stands for: a node that has not applied it waits a little, and
    /// then loads past memory.
    pub fn at_least(mut self, token: Token) -> Self {
        self.at_least = Some(token);
        self
    }

    /// How long to wait until the node has applied the token. Without a runtime nobody waits.
    pub fn wait_at_most(mut self, time: Duration) -> Self {
        self.wait_at_most = Some(time);
        self
    }

    /// Loads past memory, alone, and keeps nothing.
    pub fn bypass(mut self) -> Self {
        self.bypass = true;
        self
    }

    /// What holds for a call of this pool. Within a transaction it loads alone, past memory, and keeps nothing: it may see what is never committed.
    pub(crate) fn plan_for<T: Entity>(mut self, pool: &Shared<T>, loader: &'static str) -> Plan {
        self.bypass |= pool.fence.is_in_transaction();
        self.plan(&pool.config.fetch, loader)
    }

    /// What holds for this call in this pool.
    fn plan(self, config: &FetchConfig, loader: &'static str) -> Plan {
        let part = self.refresh_ahead.or(config.refresh_ahead);
        Plan {
            timeout: self
                .timeout
                .or(config.timeout)
                .map(|time| time.min(LOADER_TIMEOUT_MAX)),
            soft_timeout: self.soft_timeout.or(config.soft_timeout),
            detach: self.detach || config.detach,
            negative_ttl: self.negative_ttl.or(config.negative_ttl),
            stale_while_revalidate: self.stale_while_revalidate.or(config.stale_while_revalidate),
            stale_on_error: self.stale_on_error.or(config.stale_on_error),
            // What is no number is no part.
            refresh_ahead: part
                .filter(|part| *part > 0.0)
                .map(|part| part.min(REFRESH_AHEAD_MAX)),
            at_least: self.at_least,
            wait_at_most: self.wait_at_most.unwrap_or(config.wait_at_most),
            bypass: self.bypass,
            is_counted: true,
            loader,
        }
    }
}

/// What holds for one call.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) timeout: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) detach: bool,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_on_error: Option<Duration>,
    pub(crate) refresh_ahead: Option<f64>,
    pub(crate) at_least: Option<Token>,
    pub(crate) wait_at_most: Duration,
    pub(crate) bypass: bool,
    /// Whether a load counts as a run of the loader: not if it waits for a batch, which is one.
    pub(crate) is_counted: bool,
    /// What the loader is called.
    pub(crate) loader: &'static str,
}

impl Plan {
    /// The first option that needs a runtime.
    pub(crate) fn needs_runtime(&self) -> Option<&'static str> {
        self.needing_runtime().next()
    }

    /// The options that need a runtime.
    fn needing_runtime(&self) -> impl Iterator<Item = &'static str> + use<> {
        let options = [
            ("timeout", self.timeout.is_some()),
            ("soft_timeout", self.soft_timeout.is_some()),
            ("detach", self.detach),
            ("stale_while_revalidate", self.stale_while_revalidate.is_some()),
            ("refresh_ahead", self.refresh_ahead.is_some()),
        ];
        let given = options.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(option, _)| option)
    }
}
