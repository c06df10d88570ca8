//! What a memory tier is made of, written once for pool and cache.
//!
//! It promises nothing of its own: pool and cache make the promises, and this keeps them.

pub mod flight;
