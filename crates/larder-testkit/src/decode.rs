//! What every decoder of foreign bytes keeps to, as functions that the fuzzer and the suite both call.
//!
//! A check feeds one input to a decoder twice: *raw*, as it is, and *framed*, with whatever stands around the parser
//! (magic, checksum, escapes) put there rightly, so that the fuzzer is not stopped by a checksum. It panics if the
//! decoder panics, or if what was decoded does not hold together. It says which of the two inputs decoded, because a
//! check behind which nothing ever decodes tests nothing.
//!
//! A further decoder: a module beside these, a line in [`CHECKS`], a file of one line in `fuzz/fuzz_targets/` with
//! its `[[bin]]` in `fuzz/Cargo.toml`, and seeds in `fuzz/seeds/<name>/` of which some decode raw and some framed.
//! The suite fails if one of the four is missing. A model fits too: there the bytes are operations. A decoder of a part
//! above core is built with that part's feature, and its name is in [`OF_PARTS`] too.

#[cfg(feature = "pool")]
mod container;
mod cursor;
mod fence;
pub mod frame;
#[cfg(feature = "layer")]
mod node_file;
#[cfg(feature = "outbox")]
mod row;
mod target_text;
mod token;
#[cfg(feature = "replay")]
mod trace;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The names of the checks of parts above core, which are built with the part's feature only.
pub const OF_PARTS: &[&str] = &[
    "container",
    "node_file",
    "row",
    "trace",
    "trace_arc",
    "trace_csv",
    "trace_keys",
    "trace_text",
    "trace_words",
];

/// Every check that is built, by the name of its fuzz target and of the folder of its seeds.
pub const CHECKS: &[Check] = &[
    #[cfg(feature = "pool")]
    Check {
        name: "container",
        run: container::check,
    },
    Check {
        name: "cursor",
        run: cursor::check,
    },
    Check {
        name: "fence",
        run: fence::check,
    },
    Check {
        name: "frame",
        run: frame::check,
    },
    #[cfg(feature = "layer")]
    Check {
        name: "node_file",
        run: node_file::check,
    },
    #[cfg(feature = "outbox")]
    Check {
        name: "row",
        run: row::check,
    },
    Check {
        name: "target_text",
        run: target_text::check,
    },
    Check {
        name: "token",
        run: token::check,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace",
        run: trace::check,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace_keys",
        run: trace::keys,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace_csv",
        run: trace::csv,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace_text",
        run: trace::text,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace_arc",
        run: trace::arc,
    },
    #[cfg(feature = "replay")]
    Check {
        name: "trace_words",
        run: trace::words,
    },
];

/// A decoder's check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    name: &'static str,
    run: fn(&[u8]) -> Decoded,
}

/// Which forms of an input decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The input as it is.
    pub raw: bool,
    /// The input within a right frame.
    pub framed: bool,
}

impl Check {
    /// The check of that name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let found = CHECKS.iter().find(|check| check.name == name);
        *found.unwrap_or_else(|| panic!("no check is named {name}"))
    }

    /// The name of its fuzz target and of the folder of its seeds.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Feeds `input` to the decoder.
    ///
    /// # Panics
    /// If the decoder is at fault.
    pub fn run(&self, input: &[u8]) -> Decoded {
        (self.run)(input)
    }
}

/// How many inputs have been fed to a decoder, and how many of them it took.
#[derive(Debug, Default)]
pub struct Tally {
    inputs: AtomicU64,
    raw: AtomicU64,
    framed: AtomicU64,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inputs: AtomicU64::new(0),
            raw: AtomicU64::new(0),
            framed: AtomicU64::new(0),
        }
    }

    /// Counts one input, and gives the number of inputs so far.
    pub fn count(&self, decoded: Decoded) -> u64 {
        self.raw.fetch_add(u64::from(decoded.raw), Ordering::Relaxed);
        self.framed
            .fetch_add(u64::from(decoded.framed), Ordering::Relaxed);
        self.inputs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many inputs decoded as they were.
    #[must_use]
    pub fn raw(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// How many inputs decoded within a right frame.
    #[must_use]
    pub fn framed(&self) -> u64 {
        self.framed.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs.load(Ordering::Relaxed);
        write!(
            f,
            "{inputs} inputs, {} decoded raw, {} framed",
            self.raw(),
            self.framed()
        )
    }
}

/// `body` with its CRC-32 behind it.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}
