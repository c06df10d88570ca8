//! What `#[derive(EntityId)]` reads and writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, Path, Type, WherePredicate,
    parse_quote, token,
};

use crate::attribute::{home_of_id, identifier};
use crate::entity::PARTS_MAX;
use crate::faults::Faults;

/// The items that make `input` an id; `find` tells where the pool is, if `input` does not.
pub(crate) fn expand(
    input: &DeriveInput,
    find: impl FnOnce() -> Result<Path, Error>,
) -> Result<TokenStream, Error> {
    let shape = Shape::read(input)?;
    let mut faults = Faults::default();
    let home = home_of_id(&input.attrs, &mut faults);
    for lifetime in input.generics.lifetimes() {
        faults.at(
            &lifetime.lifetime,
            "an id has no lifetime parameter: it outlives what it is made from",
        );
    }
    faults.finish()?;
    let home = match home {
        Some(path) => path,
        None => find()?,
    };
    let name = &input.ident;
    let bounds = bounds(&input.generics, &home);
    let (parameters, _, conditions) = bounds.split_for_impl();
    let (_, arguments, _) = input.generics.split_for_impl();
    let append = shape.append(&home);
    let read = shape.read_back(&home);
    Ok(quote! {
        impl #parameters #home::ToKey for #name #arguments #conditions {
            fn append_to(&self, out: &mut ::std::vec::Vec<u8>) { #append }
        }
        impl #parameters #home::EntityId for #name #arguments #conditions {
            fn from_key(key: &#home::Key) -> ::core::option::Option<Self> { #read }
        }
    })
}

/// What an id is made of.
enum Shape<'a> {
    /// One value without a name.
    Newtype(&'a Type),
    /// One to four fields.
    Named(Vec<(&'a Ident, &'a Type)>),
}

impl<'a> Shape<'a> {
    fn read(input: &'a DeriveInput) -> Result<Self, Error> {
        const WANTED: &str = "an id is a newtype or a struct with one to four named fields";
        let Data::Struct(data) = &input.data else {
            return Err(match &input.data {
                Data::Enum(data) => Error::new_spanned(data.enum_token, format!("{WANTED}, not an enum")),
                Data::Union(data) => Error::new_spanned(data.union_token, format!("{WANTED}, not a union")),
                Data::Struct(_) => Error::new_spanned(&input.ident, WANTED),
            });
        };
        match &data.fields {
            Fields::Named(fields) if fields.named.is_empty() => Err(Error::new_spanned(&input.ident, WANTED)),
            Fields::Named(fields) => {
                if let Some(beyond) = fields.named.iter().nth(PARTS_MAX) {
                    return Err(Error::new_spanned(
                        identifier(beyond)?,
                        format!("an id has at most {PARTS_MAX} parts"),
                    ));
                }
                let parts = fields
                    .named
                    .iter()
                    .map(|field| Ok((identifier(field)?, &field.ty)));
                parts.collect::<Result<_, Error>>().map(Self::Named)
            }
            Fields::Unnamed(fields) => match fields.unnamed.iter().collect::<Vec<&Field>>()[..] {
                [only] => Ok(Self::Newtype(&only.ty)),
                _ => Err(Error::new_spanned(
                    fields,
                    format!("{WANTED}, not a tuple struct"),
                )),
            },
            Fields::Unit => Err(Error::new_spanned(
                &input.ident,
                format!("{WANTED}, not a unit struct"),
            )),
        }
    }

    /// The body of `append_to`: core renders, of the value itself or of the tuple of the fields.
    fn append(&self, home: &Path) -> TokenStream {
        match self {
            Self::Newtype(of_type) => quote! { <#of_type as #home::ToKey>::append_to(&self.0, out) },
            Self::Named(parts) => {
                let values = parts.iter().map(|(name, _)| quote! { &self.#name, });
                quote! { #home::ToKey::append_to(&(#(#values)*), out) }
            }
        }
    }

    /// The body of `from_key`.
    fn read_back(&self, home: &Path) -> TokenStream {
        match self {
            Self::Newtype(of_type) => {
                quote! { ::core::option::Option::map(<#of_type as #home::EntityId>::from_key(key), Self) }
            }
            Self::Named(parts) => {
                let names = parts.iter().map(|(name, _)| name);
                // Not called like the fields: a constant of a field's name would be a pattern.
                let values: Vec<Ident> = (0..parts.len()).map(|at| format_ident!("part_{at}")).collect();
                let types = parts.iter().map(|(_, of_type)| of_type);
                let place = parts
                    .first()
                    .map_or_else(|| home.span(), |(_, of_type)| of_type.span());
                let mut tuple = TokenStream::new();
                token::Paren(place).surround(&mut tuple, |inside| inside.extend(quote! { #(#types,)* }));
                quote! {
                    let (#(#values,)*) = <#tuple as #home::EntityId>::from_key(key)?;
                    ::core::option::Option::Some(Self { #(#names: #values),* })
                }
            }
        }
    }
}

/// The parameters of an id, each an id itself.
fn bounds(generics: &Generics, home: &Path) -> Generics {
    let mut bounds = generics.clone();
    let own: Vec<WherePredicate> = generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(one) => {
                let name = &one.ident;
                Some(parse_quote!(#name: #home::EntityId))
            }
            GenericParam::Lifetime(_) | GenericParam::Const(_) => None,
        })
        .collect();
    if !own.is_empty() {
        bounds.make_where_clause().predicates.extend(own);
    }
    bounds
}
