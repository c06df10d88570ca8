//! Where `larder-pool` is found from the crate in which a derive is used.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::Span;
use syn::{Error, Ident, Path, parse_quote};

/// The path of the pool's root: its own name in the manifest, whatever it was renamed to, or through the facade.
pub(crate) fn find() -> Result<Path, Error> {
    if let Ok(found) = crate_name("larder-pool") {
        let name = identifier(found, "larder_pool");
        return Ok(parse_quote!(::#name));
    }
    if let Ok(found) = crate_name("larder") {
        let name = identifier(found, "larder");
        return Ok(parse_quote!(::#name::pool));
    }
    Err(Error::new(
        Span::call_site(),
        "neither `larder-pool` nor `larder` is a dependency in this crate's manifest: say where the pool is found by `crate = \"path\"`",
    ))
}

/// Within the packages of the two crates their examples and integration tests, which are crates of their own, call them
/// by their own names.
fn identifier(found: FoundCrate, own: &str) -> Ident {
    let name = match found {
        FoundCrate::Itself => own.to_owned(),
        FoundCrate::Name(name) => name,
    };
    Ident::new(&name, Span::call_site())
}
