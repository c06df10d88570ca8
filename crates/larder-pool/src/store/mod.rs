//! The entries of a pool: where they lie, how they change, and who sees what when.
//!
//! - `entry`, `life`, `shard`: what is kept of an id, behind which lock;
//! - `ledger`: the commit lock, the order of commits, and what each of them leaves to be told and dropped;
//! - `read`: reads, which take one shard's lock each;
//! - `put`, `take`: one value in, one or all out;
//! - `room`: who leaves when there is no room, and the expired;
//! - `absence`: what the source does not have;
//! - `together`: many changes that become visible at once, and `settle`, what they drive out;
//! - `waste`: what is told, reported and dropped after a commit;
//! - `scan`: everything that was resident after one commit;
//! - `resize`: another capacity.

mod absence;
mod entry;
mod ledger;
mod life;
mod put;
mod read;
mod resize;
mod room;
mod scan;
mod settle;
mod shard;
mod take;
mod together;
mod waste;

pub(crate) use ledger::{Ledger, Sizes};
pub(crate) use life::{Death, Extra, Idle, Judge, Life, TAG_BYTES};
pub(crate) use put::{Arrival, Guard, Named, Refusal, Rule};
pub(crate) use read::Use;
pub(crate) use scan::{Row, Scan};
pub(crate) use shard::{Shard, Shards};
pub(crate) use together::{EachRule, Operation, Stopped, Together};
