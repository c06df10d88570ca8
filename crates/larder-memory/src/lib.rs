//! What a memory tier is made of, written once for pool and cache: slots, groups, eviction policies, the timing wheel,
//! the budget that shards share, and the flights of loads.
//!
//! What is always true: nothing here runs user code under a lock, or scans a shard to serve one call; a hit allocates
//! nothing. Everything is single-threaded data that its owner locks, except [`Budget`], [`flight`], and what
//! [`Policy::hit`] does to [`Uses`], which are made to be shared.
//!
//! What it does not do: it keeps no values, reads no clock, hashes no key and promises nothing to users. Pools and
//! caches own the entries, the locks and the promises.
//!
//! Order of locks: the budget's is a leaf, so it may be taken under any lock of a caller. Flights have theirs, and call
//! nobody under them.

mod budget;
mod chunks;
pub mod eviction;
pub mod flight;
mod groups;
pub mod limits;
mod list;
mod prefetch;
mod slots;
mod striped;
mod wheel;

pub use budget::{Account, Bounds, Budget, Charge, Room, Short};
pub use eviction::{Eviction, Evictor, Node, Policy, Resident, Residents, Uses};
pub use groups::{Groups, MemberId};
pub use prefetch::prefetch;
pub use slots::{Beside, SlotId, Slots, SlotsFull};
pub use striped::Striped;
pub use wheel::{Due, TimerId, Wheel};
