//! [`EntityId`]: what an entity is known by, here and in every other process.
//!
//! An id is rendered as core renders keys ([`ToKey`]); this module adds the way back and nothing else, so that there is
//! one rendering. Both ways are inverse: an id read from its key is the same id, and a key that no id of the type
//! renders to (a leading zero, an upper-case uuid, a wrong number of parts) is no id at all, so that two keys never mean
//! one id. Foreign keys come from databases and networks: they are read without panics, and may simply be `None`.

use std::hash::Hash;
use std::str;
use std::sync::Arc;

use larder_core::{Key, ToKey};

use crate::{MaybeSend, MaybeSync};

/// The id of an entity.
///
/// Integers, `bool`, `char`, `String`, `Box<str>`, `Arc<str>`, `[u8; N]`, tuples of one to four ids, and with the
/// feature `uuid` its `Uuid`. `#[derive(EntityId)]` makes one of a newtype, which is rendered as what it holds, or of a
/// struct with one to four named fields, which is rendered as the tuple of them.
///
/// [`ToKey::to_key`] and [`Self::from_key`] are inverse. By hand:
///
/// ```
/// use larder_pool::{EntityId, Key, ToKey};
///
/// #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
/// struct Slug(String);
///
/// impl ToKey for Slug {
///     fn append_to(&self, out: &mut Vec<u8>) {
///         self.0.append_to(out);
///     }
/// }
///
/// impl EntityId for Slug {
///     fn from_key(key: &Key) -> Option<Self> {
///         String::from_key(key).map(Self)
///     }
/// }
///
/// let slug = Slug("on-fences".to_owned());
/// assert_eq!(Slug::from_key(&slug.to_key()?), Some(slug));
/// # Ok::<_, larder_pool::TargetError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the id of an entity",
    label = "no id",
    note = "ids are integers, `bool`, `char`, strings, byte arrays, tuples of 1 to 4 ids, and what derives `EntityId`"
)]
pub trait EntityId: ToKey + Hash + Eq + Ord + Clone + MaybeSend + MaybeSync + 'static {
    /// The id that renders to `key`; `None` if there is none. O(bytes).
    fn from_key(key: &Key) -> Option<Self>;

    /// At least as many bytes as the key has: asked of each value that is stored, so cheaper than the rendering where
    /// that can be. The rendering itself is asked only if this is more than a key may have.
    fn key_bytes(&self) -> usize {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        bytes.len()
    }
}

/// A form in which ids of type `I` are borrowed, and of which one can be made: what a call is given that may have to keep the
/// id.
///
/// Every id is such a form of itself, and `str` is one of `String`, `Box<str>` and `Arc<str>`. If an id of your own can be
/// borrowed in another form ([`Borrow`](std::borrow::Borrow)), implement this for it: `impl ToId<Login> for str`.
#[diagnostic::on_unimplemented(
    message = "no id of type `{I}` can be made of `{Self}`",
    label = "no form of the id",
    note = "pass a reference to the id itself, or implement `ToId<{I}>` for `{Self}`"
)]
pub trait ToId<I>: Hash + Eq {
    /// The id.
    fn to_id(&self) -> I;
}

impl<I: Clone + Hash + Eq> ToId<I> for I {
    fn to_id(&self) -> I {
        self.clone()
    }
}

impl ToId<String> for str {
    fn to_id(&self) -> String {
        self.into()
    }
}

impl ToId<Box<str>> for str {
    fn to_id(&self) -> Box<str> {
        self.into()
    }
}

impl ToId<Arc<str>> for str {
    fn to_id(&self) -> Arc<str> {
        self.into()
    }
}

/// The text of a key, if it is text.
fn text(key: &Key) -> Option<&str> {
    str::from_utf8(key.as_bytes()).ok()
}

macro_rules! integers {
    ($($Integer:ty)*) => {$(
        impl EntityId for $Integer {
            fn from_key(key: &Key) -> Option<Self> {
                let text = text(key)?;
                // `parse` also takes a plus sign, leading zeros, and a zero below zero.
                let digits = text.strip_prefix('-').unwrap_or(text);
                let shortest = !text.starts_with('+') && text != "-0" && (digits == "0" || !digits.starts_with('0'));
                if shortest { text.parse().ok() } else { None }
            }

            #[inline]
            fn key_bytes(&self) -> usize {
                INTEGER_BYTES_MAX
            }
        }
    )*};
}

/// Digits and sign of the longest integer.
const INTEGER_BYTES_MAX: usize = 40;

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl EntityId for bool {
    fn from_key(key: &Key) -> Option<Self> {
        match key.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    fn key_bytes(&self) -> usize {
        "false".len()
    }
}

impl EntityId for char {
    fn from_key(key: &Key) -> Option<Self> {
        text(key)?.parse().ok()
    }

    fn key_bytes(&self) -> usize {
        self.len_utf8()
    }
}

impl EntityId for String {
    fn from_key(key: &Key) -> Option<Self> {
        text(key).map(Self::from)
    }

    fn key_bytes(&self) -> usize {
        self.len()
    }
}

impl EntityId for Box<str> {
    fn from_key(key: &Key) -> Option<Self> {
        text(key).map(Self::from)
    }

    fn key_bytes(&self) -> usize {
        self.len()
    }
}

impl EntityId for Arc<str> {
    fn from_key(key: &Key) -> Option<Self> {
        text(key).map(Self::from)
    }

    fn key_bytes(&self) -> usize {
        self.len()
    }
}

impl<const N: usize> EntityId for [u8; N] {
    fn from_key(key: &Key) -> Option<Self> {
        key.as_bytes().try_into().ok()
    }

    fn key_bytes(&self) -> usize {
        N
    }
}

#[cfg(feature = "uuid")]
impl EntityId for uuid::Uuid {
    fn from_key(key: &Key) -> Option<Self> {
        let id = Self::try_parse_ascii(key.as_bytes()).ok()?;
        // Upper case, braces and the form without hyphens are read too, but are not how a uuid is rendered.
        let mut buffer = Self::encode_buffer();
        let rendered = id.hyphenated().encode_lower(&mut buffer);
        (rendered.as_bytes() == key.as_bytes()).then_some(id)
    }

    fn key_bytes(&self) -> usize {
        uuid::fmt::Hyphenated::LENGTH
    }
}

/// The parts of a rendered tuple, unescaped. What is not escaped as a tuple's part is has no parts.
struct Parts<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Parts<'a> {
    fn of(key: &'a Key) -> Self {
        Self(key.as_bytes().split(|byte| *byte == b'/'))
    }

    fn next<T: EntityId>(&mut self) -> Option<T> {
        let part = unescaped(self.0.next()?)?;
        T::from_key(&Key::new(part).ok()?)
    }

    fn at_end(&mut self) -> bool {
        self.0.next().is_none()
    }
}

/// A part without its escapes. A `%` that begins neither `%25` nor `%2F` is never written.
fn unescaped(mut part: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(part.len());
    loop {
        part = match part {
            [] => return Some(bytes),
            [b'%', b'2', b'5', rest @ ..] => {
                bytes.push(b'%');
                rest
            }
            [b'%', b'2', b'F', rest @ ..] => {
                bytes.push(b'/');
                rest
            }
            [b'%', ..] => return None,
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

macro_rules! tuples {
    ($(($($Part:ident $part:ident),*))*) => {$(
        impl<$($Part: EntityId),*> EntityId for ($($Part,)*) {
            fn from_key(key: &Key) -> Option<Self> {
                let mut parts = Parts::of(key);
                let id = ($(parts.next::<$Part>()?,)*);
                parts.at_end().then_some(id)
            }

            fn key_bytes(&self) -> usize {
                // Each byte of a part may be escaped by three; a slash before each part but the first.
                let ($($part,)*) = self;
                0 $(+ 3 * $part.key_bytes() + 1)*
            }
        }
    )*};
}

tuples! { (A a) (A a, B b) (A a, B b, C c) (A a, B b, C c, D d) }
