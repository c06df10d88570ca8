//! [`Entity`]: what a type says about itself to be kept in a pool.
//!
//! Everything here is about one value and its type. The trait asks neither for `Clone` nor `Debug` nor serde, and its
//! methods read nothing outside the value.

use crate::{EntityId, MaybeSend, MaybeSync, TagSet};

/// A type of which a pool keeps values, each under its id.
///
/// `#[derive(Entity)]` implements it, and makes the struct of its fields. By hand:
///
/// ```
/// use larder_pool::{Entity, Field};
///
/// struct User { id: u64, email: String }
///
/// struct UserFields { email: Field<User, String> }
///
/// impl Default for UserFields {
///     fn default() -> Self {
///         Self { email: Field::new("email", |user| &user.email) }
///     }
/// }
///
/// impl Entity for User {
///     type Id = u64;
///     type Fields = UserFields;
///
///     fn name() -> &'static str {
///         "user"
///     }
///
///     fn id(&self) -> u64 {
///         self.id
///     }
/// }
///
/// let user = User { id: 7, email: "a@b.example".to_owned() };
/// assert_eq!(User::fields().email.extract(&user), "a@b.example");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no entity",
    label = "no entity",
    note = "`#[derive(Entity)]` on a struct with named fields makes it one"
)]
pub trait Entity: MaybeSend + MaybeSync + Sized + 'static {
    /// What a value is known by.
    type Id: EntityId;

    /// The fields, to be named in predicates and queries; its default is all of them.
    type Fields: Default;

    /// The type's durable word: in targets of the fence, in recorded invalidations, in keys and containers.
    ///
    /// Always the same, also in the next version of the program; 1 to 255 bytes without control characters.
    fn name() -> &'static str;

    /// The id of this value: the same at every call, made from the value alone.
    ///
    /// The pool asks once and keeps the answer. A type that breaks the rule is kept under a wrong id; it does no
    /// further harm.
    fn id(&self) -> Self::Id;

    /// The fields: those of [`Default`].
    #[must_use]
    fn fields() -> Self::Fields {
        Self::Fields::default()
    }

    /// A number that changes when the shape does ([`Fingerprint`](crate::Fingerprint)), so that bytes of another shape
    /// are not read. Zero: not checked.
    #[must_use]
    fn fingerprint() -> u64 {
        0
    }

    /// Tells the tags of this value: by invalidating one of them all values that carry it end. Default: none.
    ///
    /// Made from the value alone. More than [`TAGS_MAX`](crate::TAGS_MAX) are refused by what would store the value.
    fn tags(&self, out: &mut TagSet) {
        let _ = out;
    }
}
