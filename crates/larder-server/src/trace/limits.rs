//! Every limit of reading and simulating a trace.

/// The most bytes that an archive may unpack to: 1 GiB. A few bytes can unpack to as much as one likes; who means it unpacks first.
pub const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// The most memory that unpacking may take, in KiB: 256 MiB. `xz -9` takes 65 MiB, `zstd --ultra` 128 MiB.
pub const UNPACKING_KIB_MAX: u32 = 256 << 10;

/// The longest line, in bytes, without its end. A longer one cannot be read.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// The most blocks that one line of a list may stand for. Greater numbers mean that the file is something else.
pub const BLOCKS_MAX: u64 = 1 << 20;

/// The most accesses of a trace: 268,435,456, which take 1 GiB. A line of a list may stand for a million of them.
pub const ACCESSES_MAX: usize = 1 << 28;

/// The largest thing that is accessed, in bytes: 1 TiB. A greater size means that the line is something else.
pub const SIZE_BYTES_MAX: u64 = 1 << 40;

/// The greatest capacity, in entries or bytes: 2^60, as of pools.
pub const CAPACITY_MAX: u64 = 1 << 60;

/// How many accesses a sample has, about; a trace of fewer is its own sample.
pub const SAMPLE_ACCESSES: usize = 1 << 18;

/// How many keys a sample has at least, about.
pub const SAMPLE_KEYS: usize = 1 << 13;

/// The smallest capacity of a sample, in entries: below, a share of a share is no entry at all.
pub const SAMPLE_ENTRIES_MIN: u64 = 128;
