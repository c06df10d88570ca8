//! Hashes of targets.
//!
//! XXH3-128 over parts that are each preceded by their length. Stable for good: what it gives for a target stands in
//! `docs/formats/outbox.md` and on disks. Nothing is allocated, since every load hashes what it depends on.

use std::fmt;
use std::ops::Deref;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The hash of a target: XXH3-128 with seed 0, in the canonical (big-endian) order of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetHash([u8; 16]);

impl TargetHash {
    /// The hash of [`Target::Everything`](crate::Target::Everything).
    pub const EVERYTHING: Self = Self(0x9077_b14a_557b_0931_fcec_95fd_830e_dbda_u128.to_be_bytes());

    /// The sixteen bytes, in the order in which they are printed.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The hash with these bytes, as [`Self::as_bytes`] gave them. Any bytes are a hash.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for TargetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TargetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hashes of a target and of all its parents, from the target up to everything: one to three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    hashes: [TargetHash; 3],
    count: usize,
}

impl Lineage {
    /// Everything alone.
    pub(super) const EVERYTHING: Self = Self {
        hashes: [TargetHash::EVERYTHING; 3],
        count: 1,
    };

    /// A target right under everything.
    pub(super) const fn under_everything(own: TargetHash) -> Self {
        Self {
            hashes: [own, TargetHash::EVERYTHING, TargetHash::EVERYTHING],
            count: 2,
        }
    }

    /// A target whose parent is right under everything.
    pub(super) const fn under(parent: TargetHash, own: TargetHash) -> Self {
        Self {
            hashes: [own, parent, TargetHash::EVERYTHING],
            count: 3,
        }
    }
}

impl Deref for Lineage {
    type Target = [TargetHash];

    #[inline]
    fn deref(&self) -> &[TargetHash] {
        self.hashes.get(..self.count).unwrap_or(&self.hashes)
    }
}

/// What the hash of every target of a kind begins with: the format's name and the kind's word, each preceded by its
/// length. It is written once here, so that hashing copies it as a whole.
#[derive(Clone, Copy)]
pub(super) struct Head(&'static [u8]);

impl Head {
    pub(super) const KEY: Self = Self(b"\x10\0\0\0larder-target-v1\x03\0\0\0key");
    pub(super) const TAG: Self = Self(b"\x10\0\0\0larder-target-v1\x03\0\0\0tag");
    pub(super) const DEPENDENCY: Self = Self(b"\x10\0\0\0larder-target-v1\x0a\0\0\0dependency");
    pub(super) const ENTITY: Self = Self(b"\x10\0\0\0larder-target-v1\x06\0\0\0entity");
    pub(super) const COLLECTION: Self = Self(b"\x10\0\0\0larder-target-v1\x0a\0\0\0collection");
    pub(super) const NAMESPACE: Self = Self(b"\x10\0\0\0larder-target-v1\x09\0\0\0namespace");
    pub(super) const PRIVATE: Self = Self(b"\x10\0\0\0larder-target-v1\x07\0\0\0private");
}

/// What is hashed in one go from the stack, in bytes with all lengths. Names of ordinary length fit.
const STACK_BYTES: usize = 256;

/// XXH3-128 over the head and `parts`, each preceded by its length (`u32`, little-endian).
#[inline]
pub(super) fn hash_parts<const N: usize>(head: Head, parts: [&[u8]; N]) -> TargetHash {
    let mut buffer = [0_u8; STACK_BYTES];
    let (start, mut rest) = buffer.split_at_mut(head.0.len());
    start.copy_from_slice(head.0);
    for part in parts {
        let Some((length, after)) = rest.split_first_chunk_mut() else {
            return hash_long(head, &parts);
        };
        let Some((bytes, after)) = after.split_at_mut_checked(part.len()) else {
            return hash_long(head, &parts);
        };
        *length = part_length(part);
        bytes.copy_from_slice(part);
        rest = after;
    }
    let used = STACK_BYTES - rest.len();
    TargetHash(xxh3_128(buffer.get(..used).unwrap_or(&buffer)).to_be_bytes())
}

/// The same hash for parts that do not fit on the stack, fed piece by piece. No allocation either.
#[cold]
pub(super) fn hash_long(head: Head, parts: &[&[u8]]) -> TargetHash {
    let mut hasher = Xxh3::new();
    hasher.update(head.0);
    for part in parts {
        hasher.update(&part_length(part));
        hasher.update(part);
    }
    TargetHash(hasher.digest128().to_be_bytes())
}

fn part_length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len())
        .expect("invariant: no part is longer than its limit, 4,096 bytes")
        .to_le_bytes()
}
