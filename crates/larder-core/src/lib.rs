//! The words, the seams and the fence that every part of Larder shares.
//!
//! No policy of I/O and no async runtime: what waits gives a plain future.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod sync;
