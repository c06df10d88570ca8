//! A crate that knows `larder-pool` as `shelf`, imports all of its root, and calls things of its own like those of the
//! prelude. That it compiles without a warning is the test; what it computes is looked at beside.
//!
//! Nothing here names the pool but through the import and the derives.
#![deny(warnings)]

use shelf::*;

/// In the way of whoever writes paths that are not absolute.
#[derive(Debug)]
pub struct Option;
/// In the way as well.
#[derive(Debug)]
pub struct String;
/// In the way as well.
pub trait Default {}
/// In the way as well.
pub mod core {}
/// In the way as well.
pub mod std {}

/// An id of two parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
pub struct Place {
    /// The first part.
    pub row: u8,
    /// The second part.
    pub column: char,
}

/// A type of everything that the derive writes.
#[derive(Entity)]
#[entity(tags = "Jar::further_tags")]
pub struct Jar {
    id: Place,
    #[entity(tag = "kind", column = "jar_kind")]
    pub(crate) kind: u16,
    /// How new.
    #[entity(watermark)]
    pub version: u64,
    #[entity(skip)]
    label: String,
    cap: Option,
}

impl Jar {
    fn further_tags(&self, out: &mut TagSet) {
        out.insert(format!("{:?}", self.cap));
    }

    /// A jar.
    pub fn new(row: u8) -> Self {
        Self {
            id: Place { row, column: 'x' },
            kind: 3,
            version: 1,
            label: String,
            cap: Option,
        }
    }

    /// What is read nowhere else.
    pub fn label(&self) -> &String {
        &self.label
    }
}

/// An entity that nobody else sees, and whose accessors nobody uses.
#[derive(Entity)]
struct Hidden {
    id: u64,
}

/// Keeps the hidden one alive.
pub fn hidden() -> u64 {
    Hidden { id: 4 }.id()
}

/// With parameters: nothing is asked of them but to be part of an entity.
#[derive(Entity)]
#[entity(name = "boxed")]
pub struct Boxed<T: Clone, const N: usize = 2>
where
    [T; N]: Sized,
{
    /// The id.
    pub id: [u8; N],
    /// What is in it.
    pub content: T,
}

/// With a parameter and without accessors.
#[derive(Entity)]
#[entity(name = "closed")]
pub struct Closed<I> {
    #[entity(id, skip)]
    id: I,
}

impl<I> Closed<I> {
    /// A closed one.
    pub fn new(id: I) -> Self {
        Self { id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression 24: a glob import of the root compiles beside the derive.
    ///
    /// Contract: P10 (partial: a renamed dependency and a glob import)
    #[test]
    fn a_renamed_dependency_and_a_glob_import_compile_beside_the_derive() {
        let jar = Jar::new(7);
        assert_eq!(jar.id(), Place { row: 7, column: 'x' });
        assert_eq!(jar.id().to_key().expect("a short id").as_bytes(), b"7/x");
        assert_eq!(Jar::fields().kind.column(), "jar_kind");
        assert_eq!(jar.watermark(), 1);
        let mut tags = TagSet::new();
        jar.tags(&mut tags);
        assert!(tags.contains("kind:3") && tags.contains("Option"));
        assert_eq!(hidden(), 4);
    }

    #[test]
    fn parameters_are_those_of_the_struct() {
        let boxed = Boxed::<_> {
            id: *b"ab",
            content: 5_u8,
        };
        assert_eq!(boxed.id(), *b"ab");
        assert_eq!(BoxedFields::<u8>::default().content.extract(&boxed), &5);
        assert_eq!(Closed::new(7_u64).id(), 7);
        assert_eq!(Closed::<u64>::fields(), ClosedFields::default());
    }
}
