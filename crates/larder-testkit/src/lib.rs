//! Simulated clock, storage and runtime, models and checkers for the tests of Larder.
//!
//! It stands on the parts, so only their `tests/` use it; nothing that ships does.

mod append_log;
mod clock;
pub mod decode;
mod entropy;
pub mod eviction;
mod runtime;
mod seed;
mod storage;
#[cfg(feature = "outbox")]
mod store;

pub use append_log::{AppendLog, AppendLogError, Cut};
pub use clock::SimClock;
pub use entropy::SimEntropy;
pub use runtime::{SimRuntime, poll_once};
pub use seed::{FACTOR_VARIABLE, Random, SEED_VARIABLE, for_each_seed, seeds};
pub use storage::{CrashPoint, Fault, Injection, Loss, SECTOR_BYTES, SimStorage};
#[cfg(feature = "outbox")]
pub use store::{StoreGround, StoreGrounds, StorePart, check_store, check_store_part};
