//! Values as bytes: [`encode`] puts one into a container, [`decode`] takes it out, `Pool::insert_encoded` stores it.
//!
//! A container is a frame whose body begins with flags and the name of the type, as `docs/formats/pool.md` lays down byte by
//! byte. Always true: what decodes is exactly what was encoded from this shape of this type; the header is checked before the
//! payload is read; decoding never panics by itself, and takes memory and depth in proportion to the input, whatever it says.
//! Containers of other kinds are refused by name.

#![deny(clippy::indexing_slicing)]

mod bounded;
mod error;

use std::sync::Arc;

use larder_core::limits::ENTITY_BYTES_MAX;
use larder_core::{FRAME_HEADER_BYTES, FrameError, FrameFormat, FrameHeader};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::bounded::Bounds;
pub use self::error::WireError;
use crate::limits::ENCODED_BYTES_MAX;
use crate::{Entity, InsertError, Pool};

/// What a container begins with.
const MAGIC: [u8; 4] = *b"LPOL";
/// The format version of containers.
const VERSION: u16 = 1;
/// The kind of a container of one value.
const KIND_VALUE: u16 = 1;
/// The kinds of version 1 are 1 to this one.
const KIND_LAST: u16 = 5;
/// Flags, and the length of the name.
const FIXED_BYTES: usize = 3;
/// The longest body: an encoded value of 64 MiB, behind flags and a name of 255 bytes.
const BODY_BYTES_MAX: u32 = 67_109_122;

/// `value` as bytes: a container of one value, encoded by postcard.
///
/// Equal values of a type give equal bytes if its `Serialize` writes them alike; a hash map does not. Whatever a value holds
/// that is nested deeper than [`ENCODED_DEPTH_MAX`](crate::limits::ENCODED_DEPTH_MAX) levels is written, but not read again.
/// O(bytes).
///
/// ```
/// use larder_pool::{Entity, Pool, decode, encode};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Entity, Serialize, Deserialize)]
/// struct User { id: u64, name: String }
///
/// let ada = User { id: 7, name: "Ada".to_owned() };
/// let bytes = encode(&ada)?;
/// assert_eq!(decode::<User>(&bytes)?, ada);
///
/// let users = Pool::<User>::builder().build()?;
/// users.insert_encoded(&bytes)?;
/// assert_eq!(*users.get(&7).unwrap(), ada);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`WireError::NameTooLong`], [`WireError::TooLarge`] if it takes more than
/// [`ENCODED_BYTES_MAX`](crate::limits::ENCODED_BYTES_MAX), or [`WireError::Codec`] if the type's `Serialize` fails or asks
/// for what postcard cannot do.
pub fn encode<T: Entity + Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let name = T::name().as_bytes();
    let name_bytes = u8::try_from(name.len()).map_err(|_| WireError::NameTooLong {
        bytes: name.len(),
        max: ENTITY_BYTES_MAX,
    })?;
    let mut body = vec![0, 0, name_bytes];
    body.extend_from_slice(name);
    let bytes_max = body.len() + ENCODED_BYTES_MAX;
    let payload = Payload {
        bytes: body,
        bytes_max,
    };
    let body = postcard::serialize_with_flavor(value, payload).map_err(|error| match error {
        postcard::Error::SerializeBufferFull => too_large(),
        error => codec(error.to_string()),
    })?;
    let format = FrameFormat::new(MAGIC, VERSION, BODY_BYTES_MAX).kind(KIND_VALUE);
    let mut bytes = Vec::new();
    let framed = format.fingerprint(T::fingerprint()).encode(0, &body, &mut bytes);
    framed.map_err(|_| too_large())?;
    Ok(bytes)
}

/// The value in a container that [`encode`] made, of this type and shape.
///
/// A type without a fingerprint ([`Entity::fingerprint`] is zero) takes containers of any shape that bear its name. What `T`'s
/// `Deserialize` panics of reaches the caller. O(bytes).
///
/// # Errors
/// The first of [`WireError`]'s variants, in their order, that applies.
pub fn decode<T: Entity + DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let payload = payload::<T>(bytes)?;
    let bounds = Bounds::of(payload.len());
    let mut deserializer = postcard::Deserializer::from_bytes(payload);
    let value = T::deserialize(bounds.around(&mut deserializer));
    let refused = |error: postcard::Error| {
        let passed = bounds.passed().map(str::to_owned);
        codec(passed.unwrap_or_else(|| error.to_string()))
    };
    let value = value.map_err(refused)?;
    let rest = deserializer.finalize().map_err(refused)?;
    if !rest.is_empty() {
        return Err(codec(format!("{} bytes are left over", rest.len())));
    }
    Ok(value)
}

impl<T: Entity + DeserializeOwned> Pool<T> {
    /// Stores the value that is in a container ([`encode`]) as [`Pool::insert`] does. O(bytes), and what an insert takes.
    ///
    /// # Errors
    /// [`InsertError::Wire`] if the bytes are no such container: then there is no value to give back, and nothing in the pool
    /// has changed. Else as [`Pool::insert`].
    pub fn insert_encoded(&self, bytes: &[u8]) -> Result<Arc<T>, InsertError<T>> {
        let value = decode::<T>(bytes).map_err(InsertError::Wire)?;
        self.insert(value)
    }
}

/// The payload of a container whose header, length and checksum are those of a value of `T`.
fn payload<T: Entity>(bytes: &[u8]) -> Result<&[u8], WireError> {
    const NEEDED: usize = FRAME_HEADER_BYTES + FIXED_BYTES;
    let too_short = |needed| WireError::TooShort {
        bytes: bytes.len(),
        needed,
    };
    let (Ok(header), Some((_, body))) = (
        FrameHeader::peek(bytes),
        bytes.split_at_checked(FRAME_HEADER_BYTES),
    ) else {
        return Err(too_short(NEEDED));
    };
    let [flags_low, flags_high, name_bytes, rest @ ..] = body else {
        return Err(too_short(NEEDED));
    };
    check_what(&header, u16::from_le_bytes([*flags_low, *flags_high]))?;
    let name_bytes = usize::from(*name_bytes);
    let Some((name, payload)) = rest.split_at_checked(name_bytes) else {
        return Err(too_short(NEEDED + name_bytes));
    };
    if name != T::name().as_bytes() {
        return Err(WireError::TypeName {
            got: String::from_utf8_lossy(name).into_owned(),
            expected: T::name(),
        });
    }
    let (got, expected) = (header.fingerprint(), T::fingerprint());
    if expected != 0 && got != expected {
        return Err(WireError::Fingerprint { got, expected });
    }
    let (got, announced) = (byte_count(body), u64::from(header.body_bytes()));
    if got != announced {
        return Err(WireError::Length { got, announced });
    }
    if payload.len() > ENCODED_BYTES_MAX {
        return Err(too_large());
    }
    check_sum(&header, bytes)?;
    Ok(payload)
}

/// Whether it is a container of one value, as this program knows them.
fn check_what(header: &FrameHeader, flags: u16) -> Result<(), WireError> {
    let (magic, version, kind) = (header.magic(), header.version(), header.kind());
    if magic != MAGIC {
        return Err(WireError::NotOurs { got: magic });
    }
    if version != VERSION {
        return Err(WireError::Version {
            got: version,
            supported: VERSION,
        });
    }
    if !(KIND_VALUE..=KIND_LAST).contains(&kind) {
        return Err(WireError::UnknownKind { got: kind });
    }
    if kind != KIND_VALUE {
        return Err(WireError::Kind {
            got: kind,
            expected: KIND_VALUE,
        });
    }
    if flags != 0 {
        return Err(WireError::Flags { got: flags });
    }
    Ok(())
}

/// Whether the bytes are those that were written, given a header of which everything else was checked.
fn check_sum(header: &FrameHeader, bytes: &[u8]) -> Result<(), WireError> {
    let format = FrameFormat::new(MAGIC, VERSION, BODY_BYTES_MAX).kind(KIND_VALUE);
    match format.fingerprint(header.fingerprint()).decode(0, bytes) {
        Ok(_) => Ok(()),
        Err(FrameError::Checksum { found, computed }) => Err(WireError::Checksum { got: found, computed }),
        // All else that a frame may be refused for has been looked at, and found right.
        Err(_) => Err(too_large()),
    }
}

/// Where postcard writes to: behind what is there, up to a bound.
struct Payload {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Flavor for Payload {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, more: &[u8]) -> postcard::Result<()> {
        if more.len() > self.bytes_max.saturating_sub(self.bytes.len()) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

fn too_large() -> WireError {
    WireError::TooLarge {
        max: ENCODED_BYTES_MAX,
    }
}

fn codec(reason: String) -> WireError {
    WireError::Codec { reason }
}

fn byte_count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
