//! Operations in memory: what each does, refuses and survives, alone and beside others.

// Rows and a pool under simulated time.
mod rows;
// An entity whose foreign code does what a test plans.
mod thorn;

// What a builder refuses, and what it is without being told.
mod building;
// Ids, names and shapes.
mod identity;
// What an insert refuses, and what may be said of one.
mod inserts;
// Reads, sizes, and what dead entries count for.
mod reads;
// Out: by id, by tag, by closure, all at once.
mod removals;
// Values in place of others.
mod updates;
// The end of a pool and of its background work.
mod endings;
// The order of commits and of events.
mod order;
// Batches: all of it or nothing.
mod batches;
// Batches that do not fit.
mod crowds;
// Batches and scans beside other threads.
mod threads;
// Who waits for whom.
mod waits;
// One thread in the middle of another's call.
mod races;
// Panics in foreign code.
mod panics;
// Foreign code that calls the pool.
mod reentry;
// A glob import beside the derive.
mod glob;
