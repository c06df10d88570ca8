//! How long entries stay and how many: expiry, capacity and eviction, on simulated time.

// Rows, and a pool whose time, changes and readers the tests hold in their hands.
pub mod ground;
// Deadlines, and when what has expired leaves.
mod expiry;
// Times to idle, and jitter.
mod idle;
// Sweeps, asked for and in the background.
mod sweeps;
// The bounds, what is charged, and what is too heavy.
mod capacity;
// Who leaves, in which order.
mod order;
// Room for many: the expired go first, and the bounds hold at every moment.
mod pressure;
// What an insert at capacity costs, counted.
mod steps;
