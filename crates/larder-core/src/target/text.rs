//! The text form of targets: `entity:user/42`, `tag:ns/x`, `everything`.
//!
//! In each part `%`, `/`, control characters and bytes that are not UTF-8 are written as `%XX`. Reading takes any
//! `%XX`, in either case, and `blob:` for `key:`; it takes no unescaped `/` or control character within a part, so
//! that a forgotten namespace is an error more often than a wrong target. Private targets are printed, never read.

use std::fmt;
use std::str::FromStr;

use super::Target;
use crate::name::{CollectionName, DependencyName, EntityName, Key, Namespace, Tag, TargetError};

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        let (first, last) = match self {
            Self::Everything => return Ok(()),
            Self::Key { namespace, .. }
            | Self::Tag { namespace, .. }
            | Self::Dependency { namespace, .. } => (Some(namespace.as_bytes()), self.name()),
            Self::Entity { entity, .. } => (Some(entity.as_bytes()), self.name()),
            Self::Collection { .. } | Self::Namespace { .. } => (None, self.name()),
            Self::Private { code, namespace, .. } => {
                write!(f, ":{}", code.get())?;
                f.write_str("/")?;
                write_escaped(f, namespace.as_bytes())?;
                f.write_str("/")?;
                return write_escaped(f, self.name().unwrap_or_default());
            }
        };
        f.write_str(":")?;
        if let Some(first) = first {
            write_escaped(f, first)?;
            f.write_str("/")?;
        }
        write_escaped(f, last.unwrap_or_default())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads the text form. O(bytes).
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text == "everything" {
            return Ok(Self::Everything);
        }
        let (kind, rest) = text.split_once(':').ok_or(TargetError::UnknownKind)?;
        match kind {
            "key" | "blob" => {
                let (namespace, key) = pair("key", "key:namespace/key", rest)?;
                Ok(Self::Key {
                    namespace: Namespace::new(read_name("namespace", namespace)?)?,
                    key: read_key("key", key)?,
                })
            }
            "tag" => {
                let (namespace, tag) = pair("tag", "tag:namespace/tag", rest)?;
                Ok(Self::Tag {
                    namespace: Namespace::new(read_name("namespace", namespace)?)?,
                    tag: Tag::new(read_name("tag", tag)?)?,
                })
            }
            "dependency" => {
                let (namespace, name) = pair("dependency", "dependency:namespace/name", rest)?;
                Ok(Self::Dependency {
                    namespace: Namespace::new(read_name("namespace", namespace)?)?,
                    name: DependencyName::new(read_name("dependency", name)?)?,
                })
            }
            "entity" => {
                let (entity, id) = pair("entity", "entity:name/id", rest)?;
                Ok(Self::Entity {
                    entity: EntityName::new(read_name("entity", entity)?)?,
                    id: read_key("id", id)?,
                })
            }
            "collection" => {
                let name = single("collection", "collection:name", rest)?;
                Ok(Self::Collection {
                    name: CollectionName::new(read_name("collection", name)?)?,
                })
            }
            "namespace" => {
                let name = single("namespace", "namespace:name", rest)?;
                Ok(Self::Namespace {
                    namespace: Namespace::new(read_name("namespace", name)?)?,
                })
            }
            "private" => Err(TargetError::Private),
            _ => Err(TargetError::UnknownKind),
        }
    }
}

/// The two parts of `rest`, still escaped.
fn pair<'a>(
    kind: &'static str,
    form: &'static str,
    rest: &'a str,
) -> Result<(&'a str, &'a str), TargetError> {
    match rest.split_once('/') {
        Some((first, last)) if !last.contains('/') => Ok((first, last)),
        _ => Err(TargetError::Form { kind, form }),
    }
}

/// The one part of `rest`, still escaped.
fn single<'a>(kind: &'static str, form: &'static str, rest: &'a str) -> Result<&'a str, TargetError> {
    if rest.contains('/') {
        return Err(TargetError::Form { kind, form });
    }
    Ok(rest)
}

fn read_name(part: &'static str, escaped: &str) -> Result<String, TargetError> {
    String::from_utf8(unescape(part, escaped)?).map_err(|_| TargetError::NotUtf8 { part })
}

fn read_key(part: &'static str, escaped: &str) -> Result<Key, TargetError> {
    Key::new(unescape(part, escaped)?).map_err(|error| error.of(part))
}

/// The bytes of one part. What it allocates is at most what was given.
fn unescape(part: &'static str, escaped: &str) -> Result<Vec<u8>, TargetError> {
    let damaged = TargetError::Escape { part };
    if escaped.chars().any(char::is_control) {
        return Err(damaged);
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (rest.next().and_then(hex_digit), rest.next().and_then(hex_digit))
        else {
            return Err(damaged);
        };
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}

fn hex_digit(digit: &u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes one part: UTF-8 as it is, but `%`, `/`, control characters and all other bytes as `%XX`.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, part: &[u8]) -> fmt::Result {
    for chunk in part.utf8_chunks() {
        let mut plain = chunk.valid();
        while let Some(at) = plain.find(|c: char| c == '%' || c == '/' || c.is_control()) {
            let (before, after) = plain.split_at(at);
            f.write_str(before)?;
            let width = after.chars().next().map_or(1, char::len_utf8);
            let (special, rest) = after.split_at(width);
            write_hex(f, special.as_bytes())?;
            plain = rest;
        }
        f.write_str(plain)?;
        write_hex(f, chunk.invalid())?;
    }
    Ok(())
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))
}
