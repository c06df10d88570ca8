//! Rows of the outbox's log, as somebody else may have written them: in a database in memory, read back by a follower's source and
//! by a group. Framed: the same parts made into names, with a kind that there is.
//!
//! The first byte is the kind, the next three say how long namespace, name and id are; the rest is the reason.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{
    CollectionName, Cursor, Delivered, DependencyName, EntityName, Key, Namespace, Position, Source, Tag,
    Target,
};
use larder_outbox::{DeadLetters, Group, Outbox, OutboxStore};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::runtime::{Builder, Runtime};

use super::Decoded;

/// A log that takes one row after the other.
struct Ground {
    runtime: Runtime,
    pool: SqlitePool,
    source: Arc<dyn Source>,
    store: Arc<dyn OutboxStore>,
    beginning: Cursor,
    position: i64,
}

/// The columns of a row.
struct Parts {
    kind: i8,
    namespace: Vec<u8>,
    name: Vec<u8>,
    id: Vec<u8>,
    reason: Vec<u8>,
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

pub(super) fn check(input: &[u8]) -> Decoded {
    let Some(parts) = Parts::of(input) else {
        return Decoded::default();
    };
    GROUND.with_borrow_mut(|ground| {
        let ground = ground.get_or_insert_with(Ground::new);
        let raw = ground.is_read(&parts);
        let framed = ground.is_read(&parts.framed());
        Decoded { raw, framed }
    })
}

impl Parts {
    fn of(input: &[u8]) -> Option<Self> {
        let (&[kind, namespace, name, id], mut rest) = input.split_first_chunk::<4>()?;
        let mut part = |length: u8| {
            // Some are longer than any name may be.
            let length = usize::from(length) * if length > 250 { 20 } else { 1 };
            let (part, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            part.to_vec()
        };
        Some(Parts {
            kind: kind.cast_signed(),
            namespace: part(namespace),
            name: part(name),
            id: part(id),
            reason: rest.to_vec(),
        })
    }

    fn framed(&self) -> Self {
        let named = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let kept = text.chars().filter(|letter| !letter.is_control()).take(60);
            kept.chain(['n']).collect::<String>().into_bytes()
        };
        Parts {
            kind: self.kind.rem_euclid(7) + 1,
            namespace: named(&self.namespace),
            name: named(&self.name),
            id: self.id.iter().take(4_096).copied().collect(),
            reason: self.reason.clone(),
        }
    }

    /// What the contract says of such a row (O1, O11, O56): its target, or what is invalidated because it has none.
    fn expected(&self) -> Result<Target, Vec<Target>> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let namespace = text(&self.namespace).and_then(|name| Namespace::new(name).ok());
        let name = text(&self.name);
        let entity = name.and_then(|name| EntityName::new(name).ok());
        let key = Key::new(&self.id).ok();
        let target = match self.kind {
            1 => namespace
                .clone()
                .zip(key)
                .map(|(namespace, key)| Target::Key { namespace, key }),
            2 => namespace
                .clone()
                .zip(name.and_then(|name| Tag::new(name).ok()))
                .map(|(namespace, tag)| Target::Tag { namespace, tag }),
            3 => namespace
                .clone()
                .zip(name.and_then(|name| DependencyName::new(name).ok()))
                .map(|(namespace, name)| Target::Dependency { namespace, name }),
            4 => entity
                .clone()
                .zip(key)
                .map(|(entity, id)| Target::Entity { entity, id }),
            5 => name
                .and_then(|name| CollectionName::new(name).ok())
                .map(|name| Target::Collection { name }),
            6 => namespace.clone().map(|namespace| Target::Namespace { namespace }),
            7 => Some(Target::Everything),
            _ => None,
        };
        target.ok_or_else(|| match (self.kind, entity, namespace) {
            (4, Some(entity), _) => {
                let lists = format!("{}.lists", entity.as_str());
                let named = [entity.as_str(), &lists].map(Target::collection);
                named
                    .map(|target| target.expect("invariant: an entity names a collection"))
                    .to_vec()
            }
            (1..=3 | 6, _, Some(namespace)) => vec![Target::Namespace { namespace }],
            _ => vec![Target::Everything],
        })
    }
}

impl Ground {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (pool, outbox, beginning) = runtime.block_on(async {
            let pool = SqlitePoolOptions::new().max_connections(1);
            let pool = pool.idle_timeout(None).max_lifetime(None);
            let pool = pool
                .connect("sqlite::memory:")
                .await
                .expect("a database in memory");
            let builder = Outbox::builder(pool.clone());
            builder.migrate().await.expect("its tables");
            let outbox = builder.open().await.expect("its outbox");
            outbox
                .store()
                .open_group(&Group::default())
                .await
                .expect("a group");
            let head = outbox.head().await.expect("a head").cursor;
            (pool, outbox, head)
        });
        Ground {
            runtime,
            pool,
            source: outbox.source(),
            store: outbox.store(),
            beginning,
            position: 0,
        }
    }

    /// Writes the row, and reads it as both kinds of readers do. Whether it could be read.
    fn is_read(&mut self, parts: &Parts) -> bool {
        self.position += 1;
        let position = self.position;
        let expected = parts.expected();
        let Self {
            runtime,
            pool,
            source,
            store,
            beginning,
            ..
        } = self;
        runtime.block_on(async {
            write(pool, position, parts).await;
            let horizon = Position::new(position.cast_unsigned());
            let cursor = Cursor::ordered(beginning.source(), beginning.epoch(), horizon, 0);
            let Ok(Delivered::Rows(batch)) = source.read(&cursor, 10).await else {
                panic!("the row is not delivered");
            };
            let delivered: Vec<&Target> = batch.rows.iter().map(|row| row.target()).collect();
            let claim = store
                .claim("default", "worker", 10, Duration::from_secs(30))
                .await;
            let claim = claim.expect("a row that cannot be read stops no claim");
            match &expected {
                Ok(target) => {
                    assert_eq!(delivered, [target]);
                    assert_eq!(batch.widened.total(), 0);
                    let claimed: Vec<&Target> = claim.rows().iter().map(|row| &row.target).collect();
                    assert_eq!(claimed, [target]);
                    let done = store.acknowledge(&claim, &claim.ids()).await;
                    assert_eq!(done.expect("it is held").done, 1);
                }
                Err(wider) => {
                    assert_eq!(delivered, wider.iter().collect::<Vec<_>>());
                    assert_eq!(batch.widened.total(), 1);
                    assert!(claim.is_empty() && claim.dead_lettered() == 1);
                    let ended = store.discard_dead_letters(&DeadLetters::all(), "read").await;
                    assert_eq!(ended.expect("there is one"), 1);
                }
            }
        });
        expected.is_ok()
    }
}

/// The row, in place of what lay there before.
async fn write(pool: &SqlitePool, position: i64, parts: &Parts) {
    for sql in [
        "UPDATE larder_meta SET value = value + 1 WHERE key = 'position'",
        "DELETE FROM larder_log",
    ] {
        sqlx::query(sql)
            .execute(pool)
            .await
            .expect("the tables are there");
    }
    let insert = "INSERT INTO larder_log (position, kind, namespace, name, id, ordinal, reason, recorded_at) \
                  VALUES (?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, 0, CAST(? AS TEXT), 1)";
    sqlx::query(insert)
        .bind(position)
        .bind(i64::from(parts.kind))
        .bind(&parts.namespace)
        .bind(&parts.name)
        .bind(&parts.id)
        .bind(&parts.reason)
        .execute(pool)
        .await
        .expect("any bytes may be written");
}
