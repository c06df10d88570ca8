//! What `#[derive(Entity)]` writes: the struct of the fields, and the implementations.
//!
//! Every path is absolute, so that nothing that a module calls `Option`, `Default` or `Field` is in the way. Types carry
//! the place of the field that they come from, so that the compiler points there if one does not fit.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Generics, Ident, Path, WherePredicate, parse_quote, token};

use crate::entity::{Entity, Field};
use crate::words;

/// The items that make `input` an entity; `find` tells where the pool is, if `input` does not.
pub(crate) fn entity(
    input: &DeriveInput,
    find: impl FnOnce() -> Result<Path, Error>,
) -> Result<TokenStream, Error> {
    let entity = Entity::read(input)?;
    let home = match entity.home() {
        Some(path) => path.clone(),
        None => find()?,
    };
    let written = Written {
        fields_type: format_ident!("{}Fields", words::plain(entity.identifier)),
        bounds: bounds(&entity, &home),
        entity,
        home,
    };
    let fields = written.fields();
    let fields_impls = written.fields_impls();
    let implementation = written.implementation();
    let watermarked = written.watermarked();
    Ok(quote! { #fields #fields_impls #implementation #watermarked })
}

/// What is the same in all that is written.
struct Written<'a> {
    entity: Entity<'a>,
    home: Path,
    fields_type: Ident,
    /// The parameters of the entity, with what the pool asks of them.
    bounds: Generics,
}

impl Written<'_> {
    /// The struct of the accessors.
    fn fields(&self) -> TokenStream {
        let Self {
            entity, fields_type, ..
        } = self;
        let home = &self.home;
        let (visibility, generics, identifier) = (entity.visibility, entity.generics, entity.identifier);
        let (_, arguments, conditions) = generics.split_for_impl();
        let about = format!("The fields of [`{}`].", words::plain(identifier));
        let fields = self.accessors().map(|field| {
            let (visibility, name, of_type) = (field.visibility, field.identifier, field.of_type);
            let about = format!("The field `{}`.", field.name);
            quote! { #[doc = #about] #visibility #name: #home::Field<#identifier #arguments, #of_type>, }
        });
        let phantom = self
            .phantom()
            .map(|(name, of_type, _)| quote! { #name: #of_type, });
        quote! {
            #[doc = #about]
            #visibility struct #fields_type #generics #conditions { #(#fields)* #phantom }
        }
    }

    /// `Default`, `Clone`, `Copy`, `PartialEq`, `Eq` and `Debug` of it, which ask nothing of the parameters.
    fn fields_impls(&self) -> TokenStream {
        let Self {
            home, fields_type, ..
        } = self;
        let (parameters, arguments, conditions) = self.entity.generics.split_for_impl();
        let entity = self.entity.identifier;
        let made = self.accessors().map(|field| {
            let (identifier, name, of_type) = (field.identifier, &field.name, field.of_type);
            let column = field
                .column
                .as_ref()
                .map(|column| quote! { .with_column(#column) });
            quote! {
                #identifier: #home::Field::<#entity #arguments, #of_type>::new(
                    #name,
                    |entity| &entity.#identifier,
                ) #column,
            }
        });
        let phantom = self.phantom().map(|(name, _, value)| quote! { #name: #value, });
        let same: Vec<TokenStream> = self
            .accessors()
            .map(|Field { identifier, .. }| quote! { self.#identifier == other.#identifier && })
            .collect();
        let other = if same.is_empty() { quote!(_) } else { quote!(other) };
        let shown = self
            .accessors()
            .map(|Field { identifier, name, .. }| quote! { .field(#name, &self.#identifier) });
        let type_name = fields_type.to_string();
        quote! {
            impl #parameters ::core::default::Default for #fields_type #arguments #conditions {
                fn default() -> Self { Self { #(#made)* #phantom } }
            }
            impl #parameters ::core::clone::Clone for #fields_type #arguments #conditions {
                fn clone(&self) -> Self { *self }
            }
            impl #parameters ::core::marker::Copy for #fields_type #arguments #conditions {}
            impl #parameters ::core::cmp::PartialEq for #fields_type #arguments #conditions {
                fn eq(&self, #other: &Self) -> bool { #(#same)* true }
            }
            impl #parameters ::core::cmp::Eq for #fields_type #arguments #conditions {}
            impl #parameters ::core::fmt::Debug for #fields_type #arguments #conditions {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_struct(#type_name) #(#shown)* .finish()
                }
            }
        }
    }

    /// The implementation of `Entity`.
    fn implementation(&self) -> TokenStream {
        let Self {
            entity,
            home,
            fields_type,
            bounds,
        } = self;
        let identifier = entity.identifier;
        let (parameters, _, conditions) = bounds.split_for_impl();
        let (_, arguments, _) = entity.generics.split_for_impl();
        let (id_type, id) = id(entity);
        let name = &entity.name;
        let fingerprint = self.fingerprint();
        let tags = self.tags();
        quote! {
            impl #parameters #home::Entity for #identifier #arguments #conditions {
                type Id = #id_type;
                type Fields = #fields_type #arguments;
                fn name() -> &'static str { #name }
                fn id(&self) -> Self::Id { #id }
                fn fingerprint() -> u64 { #fingerprint }
                #tags
            }
        }
    }

    fn watermarked(&self) -> Option<TokenStream> {
        let field = self.entity.watermark_field()?;
        let home = &self.home;
        let (parameters, _, conditions) = self.bounds.split_for_impl();
        let (_, arguments, _) = self.entity.generics.split_for_impl();
        let (entity, of_type, identifier) = (self.entity.identifier, field.of_type, field.identifier);
        Some(quote! {
            impl #parameters #home::Watermarked for #entity #arguments #conditions {
                type Watermark = #of_type;
                fn watermark(&self) -> Self::Watermark { ::core::clone::Clone::clone(&self.#identifier) }
            }
        })
    }

    fn fingerprint(&self) -> TokenStream {
        if let Some(number) = &self.entity.on_struct.fingerprint {
            return number.to_token_stream();
        }
        let (home, name) = (&self.home, &self.entity.name);
        let fields = self.entity.fields.iter().map(|Field { name, of_type, .. }| {
            let of_type = words::written(of_type.to_token_stream());
            quote! { .field(#name, #of_type) }
        });
        let made = quote! { #home::Fingerprint::of(#name) #(#fields)* };
        if self.entity.is_generic() {
            quote! { #made.arguments::<Self>().get() }
        } else {
            quote! { const { #made.get() } }
        }
    }

    /// The method `tags`, if there is something for it to do.
    fn tags(&self) -> Option<TokenStream> {
        let Self { entity, home, .. } = self;
        let labelled = entity.fields.iter().filter_map(|field| {
            let (label, identifier, of_type) = (field.tag.as_ref()?, field.identifier, field.of_type);
            Some(quote! { out.insert_value::<#of_type>(#label, &self.#identifier); })
        });
        let further = entity
            .on_struct
            .tags
            .iter()
            .map(|path| quote! { #path(self, out); });
        let all: TokenStream = labelled.chain(further).collect();
        (!all.is_empty()).then(|| quote! { fn tags(&self, out: &mut #home::TagSet) { #all } })
    }

    fn accessors(&self) -> impl Iterator<Item = &Field<'_>> {
        self.entity.fields.iter().filter(|field| !field.skipped)
    }

    /// A field that uses the parameters where no accessor does. There is no other, so its name is free.
    fn phantom(&self) -> Option<(Ident, TokenStream, TokenStream)> {
        let (_, arguments, _) = self.entity.generics.split_for_impl();
        let needed = self.entity.is_generic() && self.accessors().next().is_none();
        let identifier = self.entity.identifier;
        needed.then(|| {
            (
                format_ident!("entity"),
                quote! { ::core::marker::PhantomData<fn(&#identifier #arguments)> },
                quote! { ::core::marker::PhantomData },
            )
        })
    }
}

/// The type of the id, and the expression that makes it.
fn id(entity: &Entity<'_>) -> (TokenStream, TokenStream) {
    let fields: Vec<&Field<'_>> = entity.id_fields().collect();
    let cloned = |field: &Field<'_>| {
        let identifier = field.identifier;
        quote! { ::core::clone::Clone::clone(&self.#identifier) }
    };
    match fields.as_slice() {
        [only] => (only.of_type.to_token_stream(), cloned(only)),
        several => {
            let types = several.iter().map(|field| field.of_type);
            let values = several.iter().map(|field| cloned(field));
            // The compiler points at the brackets if a part is no id; they have no better place than the first part.
            let place = several
                .first()
                .map_or_else(Span::call_site, |field| field.of_type.span());
            let mut id_type = TokenStream::new();
            token::Paren(place).surround(&mut id_type, |inside| inside.extend(quote! { #(#types),* }));
            (id_type, quote! { (#(#values),*) })
        }
    }
}

/// The parameters of an entity, each fit to be part of one, and the conditions on types that are made of them.
///
/// A type that is made of none needs no condition, and is better judged where it stands.
fn bounds(entity: &Entity<'_>, home: &Path) -> Generics {
    let mut bounds = entity.generics.clone();
    let parameters: Vec<Ident> = bounds.type_params().map(|one| one.ident.clone()).collect();
    let own = parameters.iter().map(|parameter| -> WherePredicate {
        parse_quote!(#parameter: #home::MaybeSend + #home::MaybeSync + 'static)
    });
    let conditions = |fields: Vec<&Field<'_>>, bound: &str| -> Vec<WherePredicate> {
        let bound = Ident::new(bound, Span::call_site());
        let types = fields.iter().map(|field| field.of_type);
        let made = types.filter(|of_type| words::mentions(of_type.to_token_stream(), &parameters));
        made.map(|of_type| parse_quote!(#of_type: #home::#bound))
            .collect()
    };
    let tagged = entity.fields.iter().filter(|field| field.tag.is_some());
    let all: Vec<WherePredicate> = own
        .chain(conditions(entity.id_fields().collect(), "EntityId"))
        .chain(conditions(
            entity.watermark_field().into_iter().collect(),
            "Watermark",
        ))
        .chain(conditions(tagged.collect(), "TagValue"))
        .collect();
    if !all.is_empty() {
        bounds.make_where_clause().predicates.extend(all);
    }
    bounds
}
