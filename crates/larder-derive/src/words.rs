//! Words made of other words: names in snake case, types as text, and what may be a name at all.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::{Error, Ident, LitStr};

/// Longest name of an entity, in bytes, as core has it.
const NAME_BYTES_MAX: usize = 255;

/// Longest tag, in bytes, as core has it.
const TAG_BYTES_MAX: usize = 512;

/// An identifier without the mark of raw ones.
pub(crate) fn plain(identifier: &Ident) -> String {
    identifier.unraw().to_string()
}

/// `UserAccount` as `user_account`, `HTTPServer` as `http_server`.
///
/// A word begins at an upper-case letter after one that is not, and at the last of several upper-case letters if a
/// lower-case one follows.
pub(crate) fn snake(identifier: &str) -> String {
    let characters: Vec<char> = identifier.chars().collect();
    let mut name = String::with_capacity(identifier.len() + 4);
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters.get(at + 1);
        let begins = character.is_uppercase()
            && before.is_some_and(|before| {
                *before != '_' && (!before.is_uppercase() || after.is_some_and(|after| after.is_lowercase()))
            });
        if begins {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

/// What an entity may be called.
pub(crate) fn check_name(name: &LitStr) -> Result<(), Error> {
    check("a name", name, NAME_BYTES_MAX)
}

/// What a tag may begin with: room is left for the colon.
pub(crate) fn check_label(label: &LitStr) -> Result<(), Error> {
    check("the label of a tag", label, TAG_BYTES_MAX - 1)
}

/// What a column may be called: all but nothing.
pub(crate) fn check_column(column: &LitStr) -> Result<(), Error> {
    check("a column", column, usize::MAX)
}

fn check(what: &str, literal: &LitStr, bytes_max: usize) -> Result<(), Error> {
    let text = literal.value();
    let fault = if text.is_empty() {
        "is not empty".to_owned()
    } else if text.len() > bytes_max {
        format!("has at most {bytes_max} bytes")
    } else if text.chars().any(char::is_control) {
        "has no control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(literal.span(), format!("{what} {fault}")))
}

/// Whether one of these words stands anywhere in a type.
pub(crate) fn mentions(tokens: TokenStream, words: &[Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => words.contains(&word),
        TokenTree::Group(group) => mentions(group.stream(), words),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// A type as it is written, without spaces but where two words would meet. No compiler has a say in it.
pub(crate) fn written(tokens: TokenStream) -> String {
    let mut text = String::new();
    write(tokens, &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    // Around what a macro has passed on. Nobody wrote it.
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(mark) => text.push(mark.as_char()),
            TokenTree::Ident(word) => push_word(&plain(&word), text),
            TokenTree::Literal(literal) => push_word(&literal.to_string(), text),
        }
    }
}

fn push_word(word: &str, text: &mut String) {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    if text.ends_with(is_part) && word.starts_with(is_part) {
        text.push(' ');
    }
    text.push_str(word);
}
