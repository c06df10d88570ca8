//! Keys and ids: any bytes, and how values become them.
//!
//! The rendering ([`ToKey`]) is one that SQL can write too, so that a trigger, a query and Rust name the same row by
//! the same bytes: integers decimal, text as UTF-8, `true` and `false`, a uuid in lower case with hyphens, bytes as
//! they are. A tuple is its parts joined by `/`, in each part `%` written as `%25` and `/` as `%2F` and nothing else
//! escaped, which is two calls of SQL's `replace`. A part so written has no `/`, and its `%` begin escapes only, so
//! two different tuples of one type never give the same bytes as long as their parts do not.
//!
//! Values of different types may give the same bytes (`42` and `"42"`): an entity has ids of one type.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use super::TargetError;
use crate::limits::KEY_BYTES_MAX;

/// A key or an id: at most 4,096 bytes, of any value, also none. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// These bytes as a key. O(bytes).
    ///
    /// # Errors
    /// [`TargetError::TooLong`] for more than 4,096 bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, TargetError> {
        let bytes = bytes.as_ref();
        if bytes.len() > KEY_BYTES_MAX {
            return Err(TargetError::TooLong {
                part: "key",
                bytes: bytes.len(),
                max: KEY_BYTES_MAX,
            });
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Prints the bytes as the text form of targets does: UTF-8 as it is, other bytes and `%`, `/`, control as `%XX`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::target::write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

/// A value that names a row or a blob by bytes, the same in Rust and in SQL.
///
/// Implementations append exactly the bytes that the [module's rendering](ToKey) gives for the value, and give
/// different bytes for different values of their type.
pub trait ToKey {
    /// Appends the rendering of this value to `out`. Appends only.
    fn append_to(&self, out: &mut Vec<u8>);

    /// The rendering as a key.
    ///
    /// # Errors
    /// [`TargetError::TooLong`] for more than 4,096 bytes.
    fn to_key(&self) -> Result<Key, TargetError> {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        Key::new(bytes)
    }
}

impl<T: ToKey + ?Sized> ToKey for &T {
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }

    fn to_key(&self) -> Result<Key, TargetError> {
        (**self).to_key()
    }
}

impl ToKey for Key {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn to_key(&self) -> Result<Key, TargetError> {
        Ok(self.clone())
    }
}

macro_rules! bytes_to_key {
    ($([$($generic:tt)*] $Type:ty: |$value:ident| $bytes:expr;)*) => {$(
        impl $($generic)* ToKey for $Type {
            fn append_to(&self, out: &mut Vec<u8>) {
                let $value = self;
                out.extend_from_slice($bytes);
            }

            fn to_key(&self) -> Result<Key, TargetError> {
                let $value = self;
                Key::new($bytes)
            }
        }
    )*};
}

bytes_to_key! {
    [] str: |text| text.as_bytes();
    [] String: |text| text.as_bytes();
    [] Box<str>: |text| text.as_bytes();
    [] Arc<str>: |text| text.as_bytes();
    [] Cow<'_, str>: |text| text.as_bytes();
    [] [u8]: |bytes| bytes;
    [] Vec<u8>: |bytes| bytes.as_slice();
    [<const N: usize>] [u8; N]: |bytes| bytes.as_slice();
    [] bool: |value| if *value { b"true".as_slice() } else { b"false".as_slice() };
    [] char: |value| value.encode_utf8(&mut [0; 4]).as_bytes();
}

macro_rules! integer_to_key {
    ($($Integer:ty)*) => {$(
        impl ToKey for $Integer {
            fn append_to(&self, out: &mut Vec<u8>) {
                write!(out, "{self}").expect("invariant: writing to a vector does not fail");
            }

            fn to_key(&self) -> Result<Key, TargetError> {
                let mut digits = [0; INTEGER_BYTES_MAX];
                let mut rest = digits.as_mut_slice();
                write!(rest, "{self}").expect("invariant: the longest integer fits");
                let left = rest.len();
                Key::new(&digits[..INTEGER_BYTES_MAX - left])
            }
        }
    )*};
}

/// The least `i128` has 39 digits and a sign.
const INTEGER_BYTES_MAX: usize = 40;

integer_to_key!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

/// A uuid as an id: 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12, joined by hyphens.
///
/// Sixteen bare bytes are bytes and are rendered as they are; this says that they are a uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UuidKey([u8; 16]);

impl UuidKey {
    /// The uuid with these bytes, in the order in which it is printed.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for UuidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl ToKey for UuidKey {
    fn append_to(&self, out: &mut Vec<u8>) {
        write!(out, "{self}").expect("invariant: writing to a vector does not fail");
    }
}

#[cfg(feature = "uuid")]
impl ToKey for uuid::Uuid {
    fn append_to(&self, out: &mut Vec<u8>) {
        UuidKey::new(self.into_bytes()).append_to(out);
    }
}

/// Appends one part of a tuple, escaped.
fn append_part(out: &mut Vec<u8>, part: &dyn ToKey) {
    let mut bytes = Vec::new();
    part.append_to(&mut bytes);
    for byte in bytes {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'/' => out.extend_from_slice(b"%2F"),
            other => out.push(other),
        }
    }
}

macro_rules! tuple_to_key {
    ($(($First:ident $first:ident $(, $Next:ident $next:ident)*))*) => {$(
        impl<$First: ToKey $(, $Next: ToKey)*> ToKey for ($First, $($Next,)*) {
            fn append_to(&self, out: &mut Vec<u8>) {
                let ($first, $($next,)*) = self;
                append_part(out, $first);
                $(
                    out.push(b'/');
                    append_part(out, $next);
                )*
            }
        }
    )*};
}

tuple_to_key! {
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
}
