//! A type that derives `Entity`, read and found sound: what [`expand`](crate::expand) writes from.

use syn::{Data, DeriveInput, Error, Fields, GenericParam, Generics, Ident, LitStr, Path, Type, Visibility};

use crate::attribute::{OnField, OnStruct, identifier};
use crate::faults::Faults;
use crate::words;

/// Most parts of an id.
pub(crate) const PARTS_MAX: usize = 4;

/// A sound entity.
pub(crate) struct Entity<'a> {
    pub(crate) identifier: &'a Ident,
    pub(crate) visibility: &'a Visibility,
    pub(crate) generics: &'a Generics,
    pub(crate) name: String,
    pub(crate) on_struct: OnStruct,
    pub(crate) fields: Vec<Field<'a>>,
    /// Where in `fields` the parts of the id are, in their order; one to four.
    pub(crate) id: Vec<usize>,
    /// Where in `fields` the watermark is.
    pub(crate) watermark: Option<usize>,
}

/// One field of it.
pub(crate) struct Field<'a> {
    pub(crate) identifier: &'a Ident,
    pub(crate) name: String,
    pub(crate) visibility: &'a Visibility,
    pub(crate) of_type: &'a Type,
    pub(crate) tag: Option<LitStr>,
    pub(crate) column: Option<LitStr>,
    pub(crate) skipped: bool,
}

impl<'a> Entity<'a> {
    /// Reads a type.
    ///
    /// # Errors
    /// All its faults.
    pub(crate) fn read(input: &'a DeriveInput) -> Result<Self, Error> {
        let named = named_fields(input)?;
        let mut faults = Faults::default();
        let on_struct = OnStruct::read(&input.attrs, &mut faults);
        check_parameters(&input.generics, on_struct.name.is_some(), &mut faults);
        let mut fields = Vec::new();
        let mut marked = Vec::new();
        let mut watermark = None;
        for (at, field) in named.iter().enumerate() {
            let on_field = OnField::read(&field.attrs, &mut faults);
            if let Some(mark) = &on_field.id {
                marked.push(at);
                if marked.len() == PARTS_MAX + 1 {
                    faults.at(mark, format!("an id has at most {PARTS_MAX} parts"));
                }
            }
            if let Some(mark) = &on_field.watermark
                && watermark.replace(at).is_some()
            {
                faults.at(
                    mark,
                    "an entity has one watermark: a tuple if it has several parts",
                );
            }
            let identifier = identifier(field)?;
            fields.push(Field {
                identifier,
                name: words::plain(identifier),
                visibility: &field.vis,
                of_type: &field.ty,
                tag: on_field.tag,
                column: on_field.column,
                skipped: on_field.skip.is_some(),
            });
        }
        if marked.is_empty() {
            marked.extend(fields.iter().position(|field| field.name == "id"));
        }
        if marked.is_empty() {
            faults.at(
                &input.ident,
                "no id: call a field `id`, or mark one or several by `#[entity(id)]`",
            );
        }
        let name = match &on_struct.name {
            Some(name) => name.value(),
            None => words::snake(&words::plain(&input.ident)),
        };
        faults.take(words::check_name(&LitStr::new(&name, input.ident.span())));
        faults.finish()?;
        Ok(Self {
            identifier: &input.ident,
            visibility: &input.vis,
            generics: &input.generics,
            name,
            on_struct,
            fields,
            id: marked,
            watermark,
        })
    }

    /// Where the pool is found, if the struct says it.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.on_struct.home.as_ref()
    }

    /// The fields that make the id.
    pub(crate) fn id_fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.id.iter().filter_map(|at| self.fields.get(*at))
    }

    /// The field that is the watermark.
    pub(crate) fn watermark_field(&self) -> Option<&Field<'a>> {
        self.fields.get(self.watermark?)
    }

    /// Whether the type has parameters.
    pub(crate) fn is_generic(&self) -> bool {
        !self.generics.params.is_empty()
    }
}

/// The fields of a struct with named ones.
fn named_fields(
    input: &DeriveInput,
) -> Result<&syn::punctuated::Punctuated<syn::Field, syn::Token![,]>, Error> {
    const WANTED: &str = "an entity is a struct with named fields";
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(fields) => Err(Error::new_spanned(
                fields,
                format!("{WANTED}, not a tuple struct"),
            )),
            Fields::Unit => Err(Error::new_spanned(
                &input.ident,
                format!("{WANTED}, not a unit struct"),
            )),
        },
        Data::Enum(data) => Err(Error::new_spanned(
            data.enum_token,
            format!("{WANTED}, not an enum"),
        )),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            format!("{WANTED}, not a union"),
        )),
    }
}

/// An entity borrows nothing; one with parameters is several types, which only their author can name.
fn check_parameters(generics: &Generics, named: bool, faults: &mut Faults) {
    for parameter in &generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) => {
                faults.at(
                    &lifetime.lifetime,
                    "an entity has no lifetime parameter: it outlives what it is made from",
                );
            }
            GenericParam::Type(_) | GenericParam::Const(_) if !named => {
                faults.at(
                    parameter,
                    "an entity with type parameters needs a name: `#[entity(name = \"…\")]`",
                );
            }
            GenericParam::Type(_) | GenericParam::Const(_) => {}
        }
    }
}
