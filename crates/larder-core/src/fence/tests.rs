//! Unit tests of the fence.
