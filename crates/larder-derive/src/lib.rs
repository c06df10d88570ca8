//! The derives of `larder-pool`: [`Entity`](macro@Entity) and [`EntityId`](macro@EntityId).
//!
//! What they write names only public, documented items of `larder-pool`, so that it could be written by hand or by
//! another macro. What they refuse is refused at the place that is at fault, and all faults of a type are told at once.
//! They read the type alone, and the manifest of the crate that they are used in for the name that the pool has there.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod attribute;
mod entity;
mod expand;
mod faults;
mod home;
mod id;
#[cfg(test)]
mod tests;
mod words;

/// Makes a struct with named fields an entity.
///
/// It implements `Entity`, makes the struct `{Name}Fields` of the accessors of the fields, with the visibility of the
/// struct and of each field, and implements `Watermarked` if a field says so. A pool is given
/// under its own name, whatever that is in the manifest, also through the facade `larder`.
///
/// The id is the field `id`, or the fields that are marked.
///
/// | on the struct | meaning |
/// | --- | --- |
/// | `name = "user"` | the type's durable word; default: the identifier in snake case. Needed with type parameters |
/// | `tags = "path"` | a function `fn(&Self, &mut TagSet)` that tells further tags |
/// | `fingerprint = 7` | in place of the number made from name, field names and field types; 0: not checked |
/// | `crate = "path"` | where `larder-pool` is found, if the manifest does not say it |
///
/// | on a field | meaning |
/// | --- | --- |
/// | `id` | the id, or a part of it: several make a tuple, in their order, up to four |
/// | `watermark` | how new a value is |
/// | `tag = "team"` | the value carries the tag `team:` and this field's value; none for `None` |
/// | `column = "mail"` | the database column, if it is not called like the field |
/// | `skip` | no accessor |
#[proc_macro_derive(Entity, attributes(entity))]
pub fn derive_entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::entity(&input, home::find)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a newtype or a struct with one to four named fields the id of an entity.
///
/// A newtype is rendered as what it holds, a struct with named fields as the tuple of them. `Hash`, `Eq`, `Ord` and
/// `Clone` are the type's own affair. `#[entity_id(crate = "path")]` says where `larder-pool` is found, if the manifest
/// does not say it.
#[proc_macro_derive(EntityId, attributes(entity_id))]
pub fn derive_entity_id(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    id::expand(&input, home::find)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
