//! The attributes `#[entity(…)]` and `#[entity_id(…)]`, read: which there are, what they take, and each once.

use std::collections::BTreeSet;

use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, Ident, Lit, LitInt, LitStr, Meta, Path, Token};

use crate::faults::Faults;
use crate::words;

/// What the attributes of a struct say.
#[derive(Default)]
pub(crate) struct OnStruct {
    pub(crate) name: Option<LitStr>,
    pub(crate) tags: Option<Path>,
    pub(crate) fingerprint: Option<LitInt>,
    pub(crate) home: Option<Path>,
}

/// What the attributes of a field say.
#[derive(Default)]
pub(crate) struct OnField {
    pub(crate) id: Option<Path>,
    pub(crate) watermark: Option<Path>,
    pub(crate) tag: Option<LitStr>,
    pub(crate) column: Option<LitStr>,
    pub(crate) skip: Option<Path>,
}

const ON_STRUCT: [&str; 4] = ["name", "tags", "fingerprint", "crate"];
const ON_FIELD: [&str; 5] = ["id", "watermark", "tag", "column", "skip"];

impl OnStruct {
    pub(crate) fn read(attributes: &[Attribute], faults: &mut Faults) -> Self {
        let mut read = Self::default();
        for_each(attributes, "entity", faults, |item| {
            match item.name.as_str() {
                "name" => {
                    let name = item.text()?;
                    words::check_name(&name)?;
                    read.name = Some(name);
                }
                "tags" => read.tags = Some(item.path()?),
                "fingerprint" => read.fingerprint = Some(item.number()?),
                "crate" => read.home = Some(item.path()?),
                other if ON_FIELD.contains(&other) => {
                    return Err(item.fault(format!("`{other}` is an attribute of fields")));
                }
                other => {
                    return Err(item.fault(format!(
                        "unknown attribute `{other}`: a struct takes {}",
                        list(&ON_STRUCT)
                    )));
                }
            }
            Ok(())
        });
        read
    }
}

impl OnField {
    pub(crate) fn read(attributes: &[Attribute], faults: &mut Faults) -> Self {
        let mut read = Self::default();
        for_each(attributes, "entity", faults, |item| {
            match item.name.as_str() {
                "id" => {
                    // Marked even if mistyped, so that this is the only fault.
                    read.id = Some(item.meta.path().clone());
                    item.word()?;
                }
                "watermark" => read.watermark = Some(item.word()?),
                "skip" => read.skip = Some(item.word()?),
                "tag" => {
                    let label = item.text()?;
                    words::check_label(&label)?;
                    read.tag = Some(label);
                }
                "column" => {
                    let column = item.text()?;
                    words::check_column(&column)?;
                    read.column = Some(column);
                }
                other if ON_STRUCT.contains(&other) => {
                    return Err(item.fault(format!("`{other}` is an attribute of the struct")));
                }
                other => {
                    return Err(item.fault(format!(
                        "unknown attribute `{other}`: a field takes {}",
                        list(&ON_FIELD)
                    )));
                }
            }
            Ok(())
        });
        if let (Some(_), Some(column)) = (&read.skip, &read.column) {
            faults.at(column, "a field that is skipped has no column");
        }
        read
    }
}

/// What `#[entity_id(…)]` says: where the pool is found.
pub(crate) fn home_of_id(attributes: &[Attribute], faults: &mut Faults) -> Option<Path> {
    let mut home = None;
    for_each(attributes, "entity_id", faults, |item| {
        if item.name != "crate" {
            return Err(item.fault(format!("unknown attribute `{}`: an id takes `crate`", item.name)));
        }
        home = Some(item.path()?);
        Ok(())
    });
    home
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Gives each item of the attributes called `attribute` to `read`; what is empty, malformed or there twice is a fault.
fn for_each(
    attributes: &[Attribute],
    attribute: &str,
    faults: &mut Faults,
    mut read: impl FnMut(&Item) -> Result<(), Error>,
) {
    let mut seen = BTreeSet::new();
    for found in attributes.iter().filter(|found| found.path().is_ident(attribute)) {
        for meta in faults.take(items(found, attribute)).into_iter().flatten() {
            let item = Item {
                name: words::written(meta.path().to_token_stream()),
                meta,
            };
            if seen.insert(item.name.clone()) {
                faults.take(read(&item));
            } else {
                faults.at(item.meta.path(), format!("duplicate attribute `{}`", item.name));
            }
        }
    }
}

fn items(found: &Attribute, attribute: &str) -> Result<Punctuated<Meta, Token![,]>, Error> {
    match &found.meta {
        Meta::List(list) if !list.tokens.is_empty() => {
            Punctuated::parse_terminated.parse2(list.tokens.clone())
        }
        Meta::List(_) | Meta::Path(_) => Err(Error::new_spanned(
            &found.meta,
            format!("empty attribute: write `{attribute}(…)`"),
        )),
        Meta::NameValue(_) => Err(Error::new_spanned(
            &found.meta,
            format!("mistyped attribute: write `{attribute}(…)`"),
        )),
    }
}

/// One item of an attribute: `id`, or `name = "user"`.
struct Item {
    name: String,
    meta: Meta,
}

impl Item {
    /// A fault at the item's name.
    fn fault(&self, message: String) -> Error {
        Error::new_spanned(self.meta.path(), message)
    }

    /// An item that takes no value.
    fn word(&self) -> Result<Path, Error> {
        match &self.meta {
            Meta::Path(path) => Ok(path.clone()),
            other => Err(Error::new_spanned(
                other,
                format!("`{}` takes no value", self.name),
            )),
        }
    }

    /// The value of an item that takes text.
    fn text(&self) -> Result<LitStr, Error> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text.clone()),
            _ => Err(self.mistyped("text", "\"…\"")),
        }
    }

    /// The value of an item that takes a path, written as text.
    fn path(&self) -> Result<Path, Error> {
        match self.literal() {
            Some(Lit::Str(text)) if text.value().is_empty() => {
                Err(Error::new(text.span(), "a path is not empty"))
            }
            Some(Lit::Str(text)) => text
                .parse()
                .map_err(|_| Error::new(text.span(), format!("`{}` is no path", text.value()))),
            _ => Err(self.mistyped("a path as text", "\"…\"")),
        }
    }

    /// The value of an item that takes a number of 64 bits.
    fn number(&self) -> Result<LitInt, Error> {
        match self.literal() {
            Some(Lit::Int(number)) => {
                let fits = matches!(number.suffix(), "" | "u64") && number.base10_parse::<u64>().is_ok();
                let refused = || Error::new(number.span(), "a fingerprint is a number below 2^64");
                fits.then(|| number.clone()).ok_or_else(refused)
            }
            _ => Err(self.mistyped("a number below 2^64", "…")),
        }
    }

    fn literal(&self) -> Option<&Lit> {
        let Meta::NameValue(pair) = &self.meta else {
            return None;
        };
        // What a macro has passed on stands in a group that nobody wrote.
        let mut value = &pair.value;
        while let Expr::Group(group) = value {
            value = &group.expr;
        }
        match value {
            Expr::Lit(value) => Some(&value.lit),
            _ => None,
        }
    }

    /// A fault at the value, or at the item if there is none.
    fn mistyped(&self, wanted: &str, form: &str) -> Error {
        let message = format!("`{0}` takes {wanted}: `{0} = {form}`", self.name);
        match &self.meta {
            Meta::NameValue(pair) => Error::new_spanned(&pair.value, message),
            other => Error::new_spanned(other, message),
        }
    }
}

/// The identifier of a named field.
pub(crate) fn identifier(field: &syn::Field) -> Result<&Ident, Error> {
    field
        .ident
        .as_ref()
        .ok_or_else(|| Error::new_spanned(field, "a field without name"))
}
