//! Single-flight loads: of all who ask for a key at the same time, one loads and the others share.
//!
//! What is always true:
//!
//! - A key has at most one flight that can be joined. Who may join is asked of the flight's context at that
//!   moment; a flight that may not be joined any more still lands for those who joined before.
//! - Of all loads of a key only the one that began last may store what it brings, and only if no writer of the key has
//!   overtaken it.
//! - A load is driven by whichever of its waiters is polled: the one that started it is nothing special. When the
//!   last waiter goes away the load is dropped, and the next caller starts afresh.
//! - A panic in a load lands as a result like any other. A load that is polled from within itself says so.
//! - Nothing foreign (a load, a waker, a key's drop, a result's drop or clone) runs under a lock of this module.
//!   Keys are hashed by the caller, before.
//!
//! One load may carry many keys, each a flight of its own: batches and single loads share one table. It needs no
//! runtime, starts nothing, and stores nothing.
//!
//! Order of locks: one shard of the table, then one load.

mod load;
mod table;
mod turn;
mod waiter;

pub use load::{LoadFuture, Overtaken};
pub use table::{Claim, Claimed, Flights, FlightsFull, Overtook};
pub use turn::Turn;
pub use waiter::{Landed, Waiter, Waiters};
