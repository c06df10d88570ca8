//! A row of the log: how a target is written, and what is made of what was read.
//!
//! What is always true: whatever a row holds, it is delivered. One that cannot be read is widened to what certainly
//! contains it: an id to the collection and its lists; a row of a key, tag, dependency or namespace to that namespace;
//! everything else to everything.

use larder_core::{
    CollectionName, DependencyName, EntityName, Epoch, Invalidation, Key, Namespace, Origin, Position,
    Reason, Tag, Target, Timestamp,
};

use crate::limits::ID_INLINE_BYTES_MAX;
use crate::{OutboxRow, RowId};

/// The parts of a target that a row holds, beside its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) kind: u8,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) id: &'a [u8],
}

impl<'a> Written<'a> {
    /// How a target is written in a batch of `namespace`; none for private ones, which are never recorded.
    pub(crate) fn of(target: &'a Target, namespace: &'a Namespace) -> Option<Self> {
        let (own, name, id) = match target {
            Target::Key { namespace, key } => (Some(namespace), "", key.as_bytes()),
            Target::Tag { namespace, tag } => (Some(namespace), tag.as_str(), &b""[..]),
            Target::Dependency { namespace, name } => (Some(namespace), name.as_str(), &b""[..]),
            Target::Entity { entity, id } => (None, entity.as_str(), id.as_bytes()),
            Target::Collection { name } => (None, name.as_str(), &b""[..]),
            Target::Namespace { namespace } => (Some(namespace), "", &b""[..]),
            Target::Private { .. } => return None,
            // A kind that has no columns is recorded as what certainly contains it.
            _ => {
                return Some(Self {
                    kind: Target::Everything.code(),
                    namespace: namespace.as_str(),
                    name: "",
                    id: b"",
                });
            }
        };
        Some(Self {
            kind: target.code(),
            namespace: own.unwrap_or(namespace).as_str(),
            name,
            id,
        })
    }

    /// The id as the key of a row has it, and the whole of it if that is not all: a long one is told apart by its digest.
    pub(crate) fn id_and_rest(&self) -> (Vec<u8>, Option<&'a [u8]>) {
        if self.id.len() <= ID_INLINE_BYTES_MAX {
            return (self.id.to_vec(), None);
        }
        (blake3::hash(self.id).as_bytes().to_vec(), Some(self.id))
    }
}

/// A row as a database gives it: every column may hold anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    pub(crate) position: u64,
    pub(crate) ordinal: i64,
    pub(crate) kind: i64,
    pub(crate) namespace: Vec<u8>,
    pub(crate) name: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) reason: Vec<u8>,
    pub(crate) node: Option<Vec<u8>>,
    pub(crate) run: i64,
    pub(crate) recorded_at: i64,
}

impl Read {
    /// What the row invalidates: one target; two, and that they are wider than what was recorded; or one that is.
    pub(crate) fn targets(&self) -> (Vec<Target>, bool) {
        match self.target() {
            Some(target) => (vec![target], false),
            None => (self.widened(), true),
        }
    }

    /// What is delivered for the row, and whether that is wider than what was recorded.
    pub(crate) fn invalidations(&self) -> (Vec<Invalidation>, bool) {
        let (targets, is_wider) = self.targets();
        let delivered = targets.into_iter().map(|target| {
            let invalidation = Invalidation::new(target, self.position(), self.recorded_at());
            let invalidation = invalidation.with_reason(self.reason());
            match self.origin() {
                Some(origin) => invalidation.with_origin(origin),
                None => invalidation,
            }
        });
        (delivered.collect(), is_wider)
    }

    /// The row as a group sees it; and, if it cannot be read, what is wrong with it: its target is then something wider.
    pub(crate) fn outbox_row(&self, epoch: Epoch) -> (OutboxRow, Option<String>) {
        let target = self.target();
        let fault = target.is_none().then(|| {
            let kind = self.kind;
            format!(
                "the row cannot be read: kind {kind}, name of {} bytes, id of {} bytes",
                self.name.len(),
                self.id.len()
            )
        });
        let target = target.or_else(|| self.widened().into_iter().next());
        let namespace = text(&self.namespace).and_then(|name| Namespace::new(name).ok());
        let id = RowId::new(epoch, self.position(), self.ordinal.cast_unsigned());
        let mut row = OutboxRow::new(
            id,
            namespace.unwrap_or_default(),
            target.unwrap_or(Target::Everything),
            self.recorded_at(),
        );
        row.reason = self.reason();
        row.origin = self.origin();
        (row, fault)
    }

    fn target(&self) -> Option<Target> {
        let namespace = || Namespace::new(text(&self.namespace)?).ok();
        let target = match self.kind {
            1 => Target::Key {
                namespace: namespace()?,
                key: Key::new(&self.id).ok()?,
            },
            2 => Target::Tag {
                namespace: namespace()?,
                tag: Tag::new(text(&self.name)?).ok()?,
            },
            3 => Target::Dependency {
                namespace: namespace()?,
                name: DependencyName::new(text(&self.name)?).ok()?,
            },
            4 => Target::Entity {
                entity: self.entity()?,
                id: Key::new(&self.id).ok()?,
            },
            5 => Target::Collection {
                name: CollectionName::new(text(&self.name)?).ok()?,
            },
            6 => Target::Namespace {
                namespace: namespace()?,
            },
            7 => Target::Everything,
            _ => return None,
        };
        Some(target)
    }

    fn entity(&self) -> Option<EntityName> {
        EntityName::new(text(&self.name)?).ok()
    }

    fn widened(&self) -> Vec<Target> {
        let namespace = text(&self.namespace).and_then(|name| Namespace::new(name).ok());
        match (self.kind, self.entity(), namespace) {
            (4, Some(entity), _) => {
                let collection = entity.collection();
                let lists = collection.lists();
                vec![
                    Target::Collection { name: collection },
                    Target::Collection { name: lists },
                ]
            }
            (1..=3 | 6, _, Some(namespace)) => vec![Target::Namespace { namespace }],
            _ => vec![Target::Everything],
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(self.position)
    }

    pub(crate) fn recorded_at(&self) -> Timestamp {
        Timestamp::from_micros(self.recorded_at)
    }

    pub(crate) fn reason(&self) -> Reason {
        Reason::new(String::from_utf8_lossy(&self.reason))
    }

    /// The process that recorded it; none if the row does not say so in a way that can be read.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let node = text(self.node.as_deref()?)?;
        Origin::new(node, self.run.cast_unsigned()).ok()
    }

    /// By what this row is known again: when a log was restored or replaced, another one is in its place.
    pub(crate) fn check(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let parts: [&[u8]; 7] = [
            &self.position.to_le_bytes(),
            &self.ordinal.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.recorded_at.to_le_bytes(),
            &self.namespace,
            &self.name,
            &self.id,
        ];
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: i64, namespace: &[u8], name: &[u8], id: &[u8]) -> Read {
        Read {
            kind,
            namespace: namespace.to_vec(),
            name: name.to_vec(),
            id: id.to_vec(),
            ..Read::default()
        }
    }

    fn texts(row: &Read) -> Vec<String> {
        let (targets, _) = row.targets();
        targets.iter().map(|target| format!("{target:?}")).collect()
    }

    /// What was written is what is read, for every kind; private targets are not written.
    #[test]
    fn a_target_is_read_as_it_was_written() {
        let namespace = Namespace::new("shop").expect("a namespace");
        let of = |target: Result<Target, larder_core::TargetError>| target.expect("a target");
        let targets = [
            of(Target::key("blobs", "a/b")),
            of(Target::tag("blobs", "team:7")),
            of(Target::dependency("blobs", "prices")),
            of(Target::entity("user", 42)),
            of(Target::collection("user.lists")),
            of(Target::namespace("blobs")),
            Target::Everything,
        ];
        for target in targets {
            let written = Written::of(&target, &namespace).expect("it is recorded");
            let row = read(
                i64::from(written.kind),
                written.namespace.as_bytes(),
                written.name.as_bytes(),
                written.id,
            );
            assert_eq!(row.targets(), (vec![target], false));
        }
    }

    /// Contract: O56 (partial: what a row widens to)
    #[test]
    fn what_cannot_be_read_is_widened() {
        let too_long = vec![b'x'; 4_097];
        let collection = [
            "Collection { name: \"user\" }",
            "Collection { name: \"user.lists\" }",
        ];
        let cases: [(Read, Vec<&str>); 8] = [
            (read(4, b"shop", b"user", &too_long), collection.to_vec()),
            (
                read(1, b"shop", b"", &too_long),
                vec!["Namespace { namespace: \"shop\" }"],
            ),
            (
                read(2, b"shop", b"a\nb", b""),
                vec!["Namespace { namespace: \"shop\" }"],
            ),
            (
                read(3, b"shop", b"\xFF", b""),
                vec!["Namespace { namespace: \"shop\" }"],
            ),
            (read(2, b"", b"tag", b""), vec!["Everything"]),
            (read(4, b"shop", b"", b"42"), vec!["Everything"]),
            (read(0, b"shop", b"user", b"42"), vec!["Everything"]),
            (read(i64::MIN, b"", b"", b""), vec!["Everything"]),
        ];
        for (row, expected) in cases {
            assert!(row.targets().1, "{row:?}");
            assert_eq!(texts(&row), expected);
        }
    }

    /// Ids of 1,024 bytes lie in the key, longer ones beside it.
    #[test]
    fn a_long_id_is_told_apart_by_its_digest() {
        let namespace = Namespace::default();
        for (length, is_apart) in [(1_024, false), (1_025, true), (4_096, true)] {
            let target = Target::entity("user", "x".repeat(length)).expect("a target");
            let written = Written::of(&target, &namespace).expect("it is recorded");
            let (id, rest) = written.id_and_rest();
            assert_eq!(id.len(), if is_apart { 32 } else { length });
            assert_eq!(rest.map(<[u8]>::len), is_apart.then_some(length));
        }
    }
}
