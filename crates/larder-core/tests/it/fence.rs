//! The fence against section 8 of its contract, clause by clause, and against a plain map.
//!
//! Only the public API is used, and every double is written from the contract. What needs two threads at chosen points
//! is left to the model checkers.

// What the fence is surrounded by, and the allocator that counts.
mod allocations;
mod doubles;

// Pins, and what an invalidation does to them: F1 to F9, F12, F13.
mod pins;
// Cells and memory: F13, F27.
mod cells;
// Targets known late, and the ring that is asked about them: F10, F11.
mod late;
// Loads from copies: F14.
mod copies;
// Bounds that are not known yet, and commits of this node: F15, O59.
mod bounds;
// Floors, journals and entries from disk: F16 to F19.
mod disk;
// Drop hooks, and foreign code in general: F20, F24.
mod hooks;
// Lanes and tokens: F21, F22, O63.
mod progress;
// Whoever waits for a token: F22, O63.
mod waits;
// Whether this node may believe that it has heard everything: F23.
mod certainty;
// Building, two fences, seeds: F25, F28, F29.
mod building;
// What the fence tells of itself: F26.
mod telling;
// Ways to use it against itself, each tried once from outside.
mod attacks;
// All of it against a plain map, from proptest and from seeds.
mod model;
