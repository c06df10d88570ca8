//! Tables, their versions, and rows of others.

use std::time::Duration;

use larder_core::{Fence, Invalidations, Target};
use larder_outbox::{Error, Group, Outbox};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;

use super::ground::{MODES, ground, number, pool, user};

/// Contract: O29 (partial: SQLite)
#[tokio::test]
async fn tables_are_made_once_whoever_comes_first() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.db");
        let (one, other) = (pool(&file, mode).await, pool(&file, mode).await);
        let missing = Outbox::builder(one.clone()).open().await;
        assert!(matches!(missing, Err(Error::SchemaMissing)), "{missing:?}");
        assert_eq!(
            number(&one, "SELECT count(*) FROM sqlite_master").await,
            0,
            "opening makes none"
        );
        let (first, second) = (Outbox::builder(one.clone()), Outbox::builder(other.clone()));
        let (made, found) = tokio::join!(first.migrate(), second.migrate());
        made.unwrap();
        found.unwrap();
        let (one, other) = (first.open().await.unwrap(), second.open().await.unwrap());
        assert_eq!(one.source_id(), other.source_id());
        one.record_alone(&user(1)).await.unwrap();
        first.migrate().await.unwrap();
        assert_eq!(first.open().await.unwrap().source_id(), one.source_id());
        assert_eq!(
            other.head().await.unwrap().as_of.point(),
            1,
            "rows and numbers stay"
        );
    }
}

/// Contract: O29 (partial: SQLite)
#[tokio::test]
async fn tables_of_other_versions_are_refused_and_left_alone() {
    let ground = ground(MODES[0]).await;
    let builder = Outbox::builder(ground.pool.clone());
    for (version, is_newer) in [(3, true), (i64::MAX, true), (0, false), (1, false)] {
        sqlx::query("UPDATE larder_meta SET value = ? WHERE key = 'version'")
            .bind(version)
            .execute(&ground.pool)
            .await
            .unwrap();
        let refused = builder.open().await.unwrap_err();
        let migrated = builder.migrate().await;
        match (is_newer, refused) {
            (true, Error::SchemaTooNew { known: 2, .. }) => {
                assert!(
                    matches!(migrated, Err(Error::SchemaTooNew { .. })),
                    "{migrated:?}"
                );
            }
            (false, Error::SchemaTooOld { needed: 2, .. }) => migrated.unwrap(),
            (_, other) => panic!("{other:?}"),
        }
        let kept = number(
            &ground.pool,
            "SELECT value FROM larder_meta WHERE key = 'version'",
        )
        .await;
        assert_eq!(kept, if is_newer { version } else { 2 });
    }
    builder.open().await.unwrap();
}

/// Tables of version 1, which knew no groups, are brought up with everything that is in them.
///
/// Contract: O29 (partial: SQLite)
#[tokio::test]
async fn tables_of_version_1_are_brought_up() {
    let ground = ground(MODES[0]).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    for statement in [
        "DROP TABLE larder_group",
        "DROP TABLE larder_claim",
        "DROP TABLE larder_delivery",
        "ALTER TABLE larder_node DROP COLUMN key",
        "ALTER TABLE larder_node DROP COLUMN seen_at",
        "ALTER TABLE larder_node DROP COLUMN until",
        "ALTER TABLE larder_node DROP COLUMN needs",
        "ALTER TABLE larder_node DROP COLUMN saves",
        "ALTER TABLE larder_node DROP COLUMN progress",
        "UPDATE larder_meta SET value = 1 WHERE key = 'version'",
    ] {
        sqlx::query(statement).execute(&ground.pool).await.unwrap();
    }
    let builder = Outbox::builder(ground.pool.clone());
    assert!(matches!(
        builder.open().await,
        Err(Error::SchemaTooOld { found: 1, needed: 2 })
    ));
    builder.migrate().await.unwrap();
    let outbox = builder.open().await.unwrap();
    assert_eq!(outbox.source_id(), ground.outbox.source_id());
    let store = outbox.store();
    store.open_group(&Group::default()).await.unwrap();
    let claim = store
        .claim("default", "worker", 9, Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(claim.rows().len(), 1);
    let fence = Fence::builder().build().unwrap();
    outbox.follower(&fence).build().unwrap().step().await.unwrap();
    assert_eq!(outbox.nodes().list().await.unwrap().len(), 1);
}

/// Contract: O29 (partial: SQLite)
#[tokio::test]
async fn several_outboxes_may_lie_in_one_file_under_prefixes() {
    let ground = ground(MODES[0]).await;
    let builder = Outbox::builder(ground.pool.clone()).prefix("other_");
    builder.migrate().await.unwrap();
    let other = builder.open().await.unwrap();
    assert_ne!(other.source_id(), ground.outbox.source_id());
    other.record_alone(&user(1)).await.unwrap();
    assert!(ground.seen().await.is_empty());
    assert_eq!(ground.number("SELECT count(*) FROM other_log").await, 1);
    let mut transaction = ground.pool.begin().await.unwrap();
    for statement in Outbox::builder(ground.pool.clone())
        .prefix("third_")
        .migration()
        .unwrap()
    {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(
        ground.number("SELECT count(*) FROM third_log").await,
        0,
        "other tools may run it"
    );
}

/// All that is wrong is said at once.
///
/// Contract: O29 (partial: SQLite), O52 (partial: the name of a node)
#[tokio::test]
async fn every_wrong_option_is_named() {
    let ground = ground(MODES[0]).await;
    for prefix in [
        "",
        "1a",
        "a-b",
        "a b",
        "x'; DROP TABLE users; --",
        "ä",
        &"p".repeat(33),
    ] {
        let builder = Outbox::builder(ground.pool.clone())
            .prefix(prefix)
            .node("n".repeat(129));
        let Error::Config(config) = builder.open().await.unwrap_err() else {
            panic!("{prefix} was taken");
        };
        let options: Vec<&str> = config.faults().iter().map(|fault| fault.option).collect();
        assert_eq!(options, ["prefix", "node"]);
        assert!(config.to_string().contains("; node is"), "{config}");
        assert!(matches!(builder.migrate().await, Err(Error::Config(_))));
    }
    let builder = Outbox::builder(ground.pool.clone())
        .prefix("p".repeat(32))
        .node("n".repeat(128));
    builder.migrate().await.unwrap();
    builder.open().await.unwrap();
}

/// Rows that SQL has written are rows like any other, and the view shows all of them in words.
///
/// Contract: O27 (partial: SQLite), O28 (partial: the view), O30 (partial: SQLite)
#[tokio::test]
async fn sql_may_write_rows_through_the_view() {
    let ground = ground(MODES[0]).await;
    ground
        .outbox
        .record_alone(&Invalidations::default().tag("team:7").unwrap())
        .await
        .unwrap();
    let mut transaction = ground.pool.begin().await.unwrap();
    for row in [
        "('entity', NULL, 'user', 42, 'by hand')",
        "('collection', NULL, 'user.lists', NULL, NULL)",
        "('tag', 'shop', 'team:9', NULL, '')",
        "('dependency', 'shop', 'prices', NULL, '')",
        "('key', 'shop', NULL, 'a/b', '')",
        "('namespace', 'shop', NULL, NULL, '')",
        "('everything', NULL, NULL, NULL, '')",
        "('what', NULL, 'user', '42', '')",
    ] {
        let sql = format!("INSERT INTO larder_record (kind, namespace, name, id, reason) VALUES {row}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    let (rows, _) = ground.read_all(&ground.beginning().await, 3).await;
    let expected = [
        Target::tag("default", "team:7"),
        Target::entity("user", 42),
        Target::collection("user.lists"),
        Target::tag("shop", "team:9"),
        Target::dependency("shop", "prices"),
        Target::key("shop", "a/b"),
        Target::namespace("shop"),
        Ok(Target::Everything),
        Ok(Target::Everything),
    ];
    let expected: Vec<Target> = expected.into_iter().map(Result::unwrap).collect();
    let targets: Vec<&Target> = rows.iter().map(|row| row.target()).collect();
    assert_eq!(targets, expected.iter().collect::<Vec<_>>());
    assert_eq!(rows[1].reason().as_str(), "by hand");
    assert!(rows[1].origin().is_none() && rows[0].origin().is_some());
    let words = "SELECT count(*) FROM larder_record WHERE kind IN \
                 ('entity', 'collection', 'tag', 'dependency', 'key', 'namespace', 'everything', 'unknown') \
                 AND recorded_at > 0 AND position > 0 AND ordinal >= 0";
    assert_eq!(ground.number(words).await, 9);
}

/// Ids of up to 4,096 bytes come as they are; what SQL writes beyond 1,024 is wider.
///
/// Contract: O27 (partial: SQLite), O30 (partial: SQLite)
#[tokio::test]
async fn long_ids_lie_beside_the_key() {
    let ground = ground(MODES[0]).await;
    let long = |end: char| format!("{}{end}", "x".repeat(4_095));
    let batch = Invalidations::default()
        .entity("user", long('a'))
        .unwrap()
        .entity("user", long('b'))
        .unwrap();
    ground.outbox.record_alone(&batch).await.unwrap();
    sqlx::query("INSERT INTO larder_record (kind, name, id) VALUES ('entity', 'user', ?)")
        .bind("y".repeat(1_025))
        .execute(&ground.pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO larder_record (kind, name, id) VALUES ('entity', 'user', ?)")
        .bind("y".repeat(1_024))
        .execute(&ground.pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO larder_record (kind, namespace, id) VALUES ('key', 'shop', ?)")
        .bind("y".repeat(1_025))
        .execute(&ground.pool)
        .await
        .unwrap();
    let seen: Vec<String> = ground.seen().await.into_iter().map(|(_, text)| text).collect();
    let expected = [
        format!("entity:user/{}", long('a')),
        format!("entity:user/{}", long('b')),
        "collection:user".to_owned(),
        "collection:user.lists".to_owned(),
        format!("entity:user/{}", "y".repeat(1_024)),
        "namespace:shop".to_owned(),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        ground.number("SELECT max(length(id)) FROM larder_log").await,
        1_024
    );
}

/// A private database in memory is served on one connection.
///
/// Contract: O44
#[tokio::test]
async fn a_database_in_memory_needs_one_connection() {
    let one = SqlitePoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None);
    let one = one.connect("sqlite::memory:").await.unwrap();
    let builder = Outbox::builder(one);
    builder.migrate().await.unwrap();
    let outbox = builder.open().await.unwrap();
    outbox.record_alone(&user(1)).await.unwrap();
    assert_eq!(outbox.head().await.unwrap().as_of.point(), 1);
    let many: SqlitePool = SqlitePoolOptions::new()
        .max_connections(2)
        .connect("sqlite::memory:")
        .await
        .unwrap();
    for refused in [
        Outbox::builder(many.clone()).migrate().await,
        Outbox::builder(many).open().await.map(drop),
    ] {
        let Err(Error::Config(config)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(config.faults()[0].option, "pool");
    }
}
