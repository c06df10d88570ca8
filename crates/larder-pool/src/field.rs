//! [`Field`]: a name and a way to reach a value inside an entity.
//!
//! A field is a name and a function pointer, so it is `Copy` whatever it leads to, can be made in a constant, and
//! always works: there is no field that is not wired. It reads; it changes nothing and holds nothing of an entity.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A field of `T` with values of type `V`, or a path to something deeper inside `T`.
///
/// `#[derive(Entity)]` makes one for each field. One made by hand does as much:
///
/// ```
/// use larder_pool::Field;
///
/// struct Address { city: String }
/// struct User { address: Address }
///
/// const CITY: Field<User, String> = Field::new("address.city", |user: &User| &user.address.city);
///
/// let user = User { address: Address { city: "Lyon".to_owned() } };
/// assert_eq!(CITY.extract(&user), "Lyon");
/// assert_eq!(CITY.name(), "address.city");
/// ```
///
/// Two fields of one type are equal if they have the same name: a name says which field is meant.
pub struct Field<T, V: ?Sized> {
    name: &'static str,
    column: &'static str,
    extract: fn(&T) -> &V,
}

impl<T, V: ?Sized> Field<T, V> {
    /// The field that is called `name` and is reached by `extract`.
    ///
    /// The column that holds it is called the same, unless [`Self::with_column`] says otherwise.
    #[must_use]
    pub const fn new(name: &'static str, extract: fn(&T) -> &V) -> Self {
        Self {
            name,
            column: name,
            extract,
        }
    }

    /// The same field, kept in a database column that is called `column`.
    #[must_use]
    pub const fn with_column(self, column: &'static str) -> Self {
        Self { column, ..self }
    }

    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name of the column that holds the field in a database. Default: the name of the field.
    #[must_use]
    pub const fn column(&self) -> &'static str {
        self.column
    }

    /// The value of the field in `entity`. One call of a function pointer.
    #[inline]
    #[must_use]
    pub fn extract<'a>(&self, entity: &'a T) -> &'a V {
        (self.extract)(entity)
    }
}

// By hand, since a derive would ask the same of `T` and `V`.

impl<T, V: ?Sized> Clone for Field<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V: ?Sized> Copy for Field<T, V> {}

impl<T, V: ?Sized> PartialEq for Field<T, V> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<T, V: ?Sized> Eq for Field<T, V> {}

impl<T, V: ?Sized> Hash for Field<T, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<T, V: ?Sized> fmt::Debug for Field<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name).finish()
    }
}
