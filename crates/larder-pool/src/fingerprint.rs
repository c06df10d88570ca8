//! [`Fingerprint`]: a number that changes when the shape of an entity does.
//!
//! It is made from texts alone, the name of the entity and the names and types of its fields, in their order, so that
//! every process and every compiler makes the same one from the same source. It is never zero, which means "not
//! checked". It says nothing about what the types mean: a type that changes under its name keeps the number, and a
//! type that is merely written another way (`String`, `std::string::String`) changes it.

use std::any::type_name;

/// The fingerprint of a shape in the making: first the name, then the fields in their order.
///
/// The 64-bit FNV-1a hash over the texts, each preceded by its length in eight little-endian bytes; a zero becomes
/// one. `#[derive(Entity)]` uses it like this:
///
/// ```
/// use larder_pool::Fingerprint;
///
/// const USER: u64 = Fingerprint::of("user").field("id", "u64").field("email", "String").get();
/// const CHANGED: u64 = Fingerprint::of("user").field("id", "u64").field("email", "Option<String>").get();
/// assert_ne!(USER, CHANGED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Fingerprint {
    /// Begins with the name of the entity.
    #[must_use]
    pub const fn of(name: &str) -> Self {
        Self(OFFSET).text(name)
    }

    /// Adds a field: its name, and its type as it is written, without spaces but where two words would meet.
    #[must_use]
    pub const fn field(self, name: &str, written_type: &str) -> Self {
        self.text(name).text(written_type)
    }

    /// Adds the type arguments of `T`, for an entity with type parameters: `<u8>` of `Wrapped<u8>`.
    ///
    /// They are spelled as this compiler spells them, so another compiler may make another fingerprint of the same
    /// entity. What was kept then counts as a miss.
    #[must_use]
    pub fn arguments<T: ?Sized>(self) -> Self {
        let name = type_name::<T>();
        self.text(name.find('<').map_or("", |at| name.get(at..).unwrap_or(name)))
    }

    /// The number; never zero.
    #[must_use]
    pub const fn get(self) -> u64 {
        if self.0 == 0 { 1 } else { self.0 }
    }

    const fn text(self, text: &str) -> Self {
        self.bytes(&(text.len() as u64).to_le_bytes())
            .bytes(text.as_bytes())
    }

    const fn bytes(self, mut bytes: &[u8]) -> Self {
        let mut hash = self.0;
        while let [first, rest @ ..] = bytes {
            hash = (hash ^ *first as u64).wrapping_mul(PRIME);
            bytes = rest;
        }
        Self(hash)
    }
}
