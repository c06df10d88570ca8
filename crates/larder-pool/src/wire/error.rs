//! [`WireError`]: why bytes are no container of a type, or a value cannot be put into one.

use thiserror::Error;

/// Why bytes were not read as a value, or a value was not written as bytes.
///
/// Those that reading gives stand in the order in which they are looked for: the first that applies is given. All before
/// [`WireError::Codec`] are found without the payload being read as a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the header does.
    #[error("container is cut off: {bytes} bytes, its header has {needed} at least")]
    #[non_exhaustive]
    TooShort {
        /// Bytes there are.
        bytes: usize,
        /// Bytes that the header has at least.
        needed: usize,
    },
    /// The bytes are no container.
    #[error("not a container: begins with {}", got.escape_ascii())]
    #[non_exhaustive]
    NotOurs {
        /// The first four bytes.
        got: [u8; 4],
    },
    /// The container is of another format version.
    #[error("container of format version {got}, this program knows {supported}")]
    #[non_exhaustive]
    Version {
        /// The version that it says it has.
        got: u16,
        /// The version that this program knows.
        supported: u16,
    },
    /// The container is of a kind that this format version does not have.
    #[error("container of kind {got}, which is none")]
    #[non_exhaustive]
    UnknownKind {
        /// The kind that it says it is.
        got: u16,
    },
    /// The container holds something else.
    #[error("container of kind {got}, expected {expected}")]
    #[non_exhaustive]
    Kind {
        /// The kind that it says it is.
        got: u16,
        /// The kind that was asked for.
        expected: u16,
    },
    /// The container has flags that this program does not know.
    #[error("container with flags {got:#06x}, none are known")]
    #[non_exhaustive]
    Flags {
        /// All of its flags.
        got: u16,
    },
    /// The container is of another type.
    #[error("container of `{}`, expected `{expected}`", got.escape_debug())]
    #[non_exhaustive]
    TypeName {
        /// The name in the container; what is not UTF-8 in it is replaced.
        got: String,
        /// The name of the type that was asked for.
        expected: &'static str,
    },
    /// The container was written from another shape of the type.
    #[error("fingerprint {got:#018x}, expected {expected:#018x}")]
    #[non_exhaustive]
    Fingerprint {
        /// The fingerprint in the container.
        got: u64,
        /// The fingerprint of the type that was asked for.
        expected: u64,
    },
    /// The container is cut off, or bytes follow it.
    #[error("{got} bytes after the header's fixed part, it announces {announced}")]
    #[non_exhaustive]
    Length {
        /// Bytes that follow the first 24.
        got: u64,
        /// Bytes that should.
        announced: u64,
    },
    /// The encoded value is longer than is read or written.
    #[error("the encoded value has more than {max} bytes")]
    #[non_exhaustive]
    TooLarge {
        /// How many bytes it may have ([`ENCODED_BYTES_MAX`](crate::limits::ENCODED_BYTES_MAX)).
        max: usize,
    },
    /// The bytes are not those that were written.
    #[error("checksum {got:#010x}, computed {computed:#010x}")]
    #[non_exhaustive]
    Checksum {
        /// The checksum in the container.
        got: u32,
        /// The checksum of what was read.
        computed: u32,
    },
    /// The payload is no value of the type, or the value cannot be encoded.
    #[error("encoded value: {reason}")]
    #[non_exhaustive]
    Codec {
        /// What is wrong, for people.
        reason: String,
    },
    /// The type's name is longer than a container's may be. Only writing says so.
    #[error("a type's name of {bytes} bytes, at most {max} are allowed")]
    #[non_exhaustive]
    NameTooLong {
        /// The name's length in bytes.
        bytes: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
}
