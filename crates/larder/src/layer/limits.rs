//! The bounds of a layer, each with its default where it is an option.

use std::time::Duration;

/// How many pools a layer may have.
pub const POOLS_MAX: usize = 256;

/// How long a name may be, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// For how long a node is sure of what it keeps after it has heard from its source, by default.
pub const FRESHNESS: Duration = Duration::from_secs(2);

/// How long a read with a token waits for this node, by default, before it goes to the origin.
pub const WAIT_AT_MOST: Duration = Duration::from_millis(100);

/// After how long a task is run again that has ended; doubling.
pub const RESTART_AFTER: Duration = Duration::from_millis(100);

/// The longest such delay.
pub const RESTART_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often a task may end within [`RESTARTS_WITHIN`] before it counts as failed.
pub const RESTARTS_MAX: usize = 10;

/// See [`RESTARTS_MAX`].
pub const RESTARTS_WITHIN: Duration = Duration::from_secs(600);

/// After how many of its periods without progress a task counts as stuck.
pub const STUCK_AFTER_PERIODS: u32 = 10;

/// How many events of keys are kept, beside the invalidations that the fence remembers.
pub const EVENTS_MAX: usize = 65_536;

/// What these may take up.
pub const EVENTS_BYTES_MAX: usize = 4 << 20;

/// How many targets may be watched at once.
pub const WATCHED_MAX: usize = 64;

/// How many events an explanation has at most.
pub const TIMELINE_MAX: usize = 64;

/// How many loads a verification runs at once, by default.
pub const VERIFY_CONCURRENCY: usize = 2;

/// How many entries the continuous verifier looks at in a second, by default.
pub const VERIFY_RATE: u32 = 1;

/// The most.
pub const VERIFY_RATE_MAX: u32 = 1_000;

/// Of how many stale entries a verification keeps the evidence.
pub const EVIDENCE_MAX: usize = 1_024;

/// How long a shutdown may take, by default.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// The longest wait between two attempts of a transaction.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// How often a transaction is tried in all, by default, where it may be tried again.
pub const TRANSACTION_ATTEMPTS: u32 = 3;
