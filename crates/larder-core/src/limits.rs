//! Every limit of the words and of the fence, in one place.
//!
//! A constant ending in `_MAX` is fixed. A [`Limit`] is an option with a default and an allowed range; the option
//! has the constant's name in lower case. Each one is tested at its bound and one beyond. What a limit does when it
//! is passed (refuse, cut, widen, round up) is written at the type that it belongs to; nothing here decides it.

use thiserror::Error;

/// Longest namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 255;
/// Longest entity name, in bytes.
pub const ENTITY_BYTES_MAX: usize = 255;
/// Longest collection name, in bytes, a suffix [`LISTS_SUFFIX`] not counted.
pub const COLLECTION_BYTES_MAX: usize = 255;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 512;
/// Longest name of a dependency, in bytes.
pub const DEPENDENCY_BYTES_MAX: usize = 512;
/// Longest key or id, in bytes.
pub const KEY_BYTES_MAX: usize = 4_096;
/// Longest name of a node, in bytes. An owner, a group and an origin have the same limit.
pub const NODE_BYTES_MAX: usize = 128;
/// A reason is cut to this many bytes, at a character.
pub const REASON_BYTES_MAX: usize = 256;
/// The text of an error that is kept (the last one of a row) is cut to this many bytes, at a character.
pub const ERROR_TEXT_BYTES_MAX: usize = 1_024;

/// What the name of a collection's lists ends in.
pub const LISTS_SUFFIX: &str = ".lists";

/// How many targets of one kind and place a batch holds before it widens itself.
pub const COLLAPSE_COUNT: Limit = Limit::new("collapse_count", 4_096, 16, 65_536);
/// Most targets of a batch, of whatever kinds. It is the greatest [`COLLAPSE_COUNT`], so that a batch of one kind
/// never meets it first.
pub const BATCH_TARGETS_MAX: usize = 65_536;

/// Most open positions that a cursor keeps.
pub const CURSOR_OPEN_MAX: usize = 8_192;
/// Longest encoded cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 65_536;

/// Most sources of a token.
pub const TOKEN_SOURCES_MAX: usize = 8;
/// Most single commits that a token names, for each source.
pub const TOKEN_SINGLES_MAX: usize = 8;
/// Most exceptions that a token names, for each source.
pub const TOKEN_EXCEPT_MAX: usize = 8;
/// Longest text of a token, in characters, all of them ASCII.
pub const TOKEN_TEXT_MAX: usize = 1_024;

/// Most own commits that a node can be told to remember.
pub const OWN_COMMITS: Limit = Limit::new("own_commits", 65_536, 0, 1 << 20);
/// Entries of the fence's ring of recent invalidations, over all shards.
pub const RECENT_COUNT: Limit = Limit::new("recent_count", 65_536, 1_024, 1 << 24);
/// Shards of the fence's table.
pub const FENCE_SHARDS: Limit = Limit::new("shards", 64, 1, 4_096);
/// Most targets of a pin, their parents included.
pub const PIN_TARGETS_MAX: usize = 1_024;
/// Most lanes of a fence.
pub const LANES_MAX: usize = 8;
/// Most sinks of a fence.
pub const SINKS_MAX: usize = 1_024;
/// The most targets that a lane remembers of own commits, all together; the oldest commits are forgotten beyond.
pub const OWN_TARGETS_MAX: usize = 1 << 20;
/// The most drop hooks of a fence.
pub const DROP_HOOKS_MAX: usize = 1_024;
/// The most single commits above a lane's cursor that are known to be applied; the lowest are forgotten beyond.
pub const PUBLISHED_SINGLES_MAX: usize = 65_536;
/// How many cursors a lane remembers with points that include them, to compare copies with tokens.
pub const REACHED_MAX: usize = 32;
/// How many callers may wait for tokens at once: an option of those waits. The fence itself holds a small entry for each
/// future that was polled and not dropped.
pub const WAITERS: Limit = Limit::new("waiters_max", 65_536, 1, 1 << 20);

/// An option: its name, its default, and the least and greatest value allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    name: &'static str,
    default: usize,
    min: usize,
    max: usize,
}

impl Limit {
    /// An option. Each crate that has options has its own.
    ///
    /// # Panics
    /// If the default is out of the range; in a constant that is an error of the compiler.
    pub const fn new(name: &'static str, default: usize, min: usize, max: usize) -> Self {
        assert!(min <= default, "the default is below the range");
        assert!(default <= max, "the default is above the range");
        Self {
            name,
            default,
            min,
            max,
        }
    }

    /// The option's name, as in a builder.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value if none is given.
    pub const fn default(&self) -> usize {
        self.default
    }

    /// The least value allowed.
    pub const fn min(&self) -> usize {
        self.min
    }

    /// The greatest value allowed.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// `given`, if it lies within the range.
    ///
    /// # Errors
    /// [`OutOfRange`], which names the option and the range.
    pub const fn check(&self, given: usize) -> Result<usize, OutOfRange> {
        if given < self.min || given > self.max {
            return Err(OutOfRange {
                option: self.name,
                given,
                min: self.min,
                max: self.max,
            });
        }
        Ok(given)
    }
}

/// An option was given a value outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{option} is {given}, allowed are {min} to {max}")]
pub struct OutOfRange {
    option: &'static str,
    given: usize,
    min: usize,
    max: usize,
}

impl OutOfRange {
    /// The option's name.
    pub const fn option(&self) -> &'static str {
        self.option
    }

    /// The value that was given.
    pub const fn given(&self) -> usize {
        self.given
    }

    /// The least and the greatest value allowed.
    pub const fn allowed(&self) -> (usize, usize) {
        (self.min, self.max)
    }
}

/// The longest beginning of `text` that ends at a character and has at most `bytes_max` bytes.
pub fn cut_at_character(text: &str, bytes_max: usize) -> &str {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or(text)
}
