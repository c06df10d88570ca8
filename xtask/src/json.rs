//! What other programs print as JSON, read as far as chores need it.
//!
//! It takes what cargo writes: a number is kept as it stands, half of a surrogate pair becomes a replacement character. What is no
//! JSON is nothing; where it goes wrong is not said.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// One value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`, `true`, `false` or a number, as it stands.
    Word(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars().peekable();
        let value = value(&mut rest)?;
        skip(&mut rest);
        rest.next().is_none().then_some(value)
    }

    /// A field of an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The names of an object's fields, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let fields = match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        };
        fields.into_iter().flatten().map(|(name, _)| name.as_str())
    }
}

fn value(rest: &mut Peekable<Chars<'_>>) -> Option<Json> {
    skip(rest);
    match rest.peek()? {
        '"' => text(rest).map(Json::Text),
        '[' => {
            let mut items = Vec::new();
            each(rest, ']', |rest| {
                items.push(value(rest)?);
                Some(())
            })?;
            Some(Json::List(items))
        }
        '{' => {
            let mut fields = BTreeMap::new();
            each(rest, '}', |rest| {
                skip(rest);
                let name = text(rest)?;
                skip(rest);
                rest.next_if_eq(&':')?;
                fields.insert(name, value(rest)?);
                Some(())
            })?;
            Some(Json::Object(fields))
        }
        _ => {
            let is_of_word = |c: &char| c.is_ascii_alphanumeric() || "+-.".contains(*c);
            let word: String = std::iter::from_fn(|| rest.next_if(is_of_word)).collect();
            (!word.is_empty()).then_some(Json::Word(word))
        }
    }
}

/// What stands between brackets, with commas between.
fn each(
    rest: &mut Peekable<Chars<'_>>,
    end: char,
    mut item: impl FnMut(&mut Peekable<Chars<'_>>) -> Option<()>,
) -> Option<()> {
    rest.next();
    skip(rest);
    if rest.next_if_eq(&end).is_some() {
        return Some(());
    }
    loop {
        item(rest)?;
        skip(rest);
        match rest.next()? {
            ',' => {}
            found => return (found == end).then_some(()),
        }
    }
}

fn text(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    rest.next_if_eq(&'"')?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok()?;
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                plain => plain,
            }),
            plain => text.push(plain),
        }
    }
}

fn skip(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let read = Json::parse(r#" {"a": [1, -2.5e3, true, null], "b\n\u0041\"": {}, "c": [ ], "d": "x"} "#)
            .expect("this is JSON");
        assert_eq!(read.names().collect::<Vec<_>>(), ["a", "b\nA\"", "c", "d"]);
        let words: Vec<Json> = ["1", "-2.5e3", "true", "null"]
            .map(|word| Json::Word(word.to_owned()))
            .into();
        assert_eq!(read.field("a"), Some(&Json::List(words)));
        assert_eq!(read.field("d").and_then(Json::text), Some("x"));
        assert_eq!(read.field("c").map(Json::items), Some(&[][..]));
        assert_eq!(read.field("e"), None);
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        for text in [
            "",
            "{",
            "[1",
            "[1 2]",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "\"x",
            "\"\\u12\"",
            "1 2",
            "[1}",
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
