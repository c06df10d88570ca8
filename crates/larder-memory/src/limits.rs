//! Every limit of a memory tier's parts, in one place.
//!
//! Each is a constant, tested at its bound. What happens at a limit is written at the type that it belongs to.

/// The most values of one [`Slots`](crate::Slots), and so the most entries of a shard: 2^32 − 2.
pub const SLOTS_MAX: usize = 4_294_967_294;
