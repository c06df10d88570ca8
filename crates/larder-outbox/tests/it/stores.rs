//! Every store against what the contract asks of any.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{BoxFuture, Epoch, Position};
use larder_outbox::{
    Backoff, CommitOrder, Group, MemoryStore, Outbox, OutboxRow, OutboxStore, Published, Relay, Retention,
    RowId,
};
use larder_testkit::{
    SimClock, SimEntropy, StoreGround, StoreGrounds, StorePart, check_store, check_store_part,
};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteJournalMode;

use super::ground::{Ground, MODES, ground, user};

/// Stores in memory, that give positions in one order or the other.
struct Memory(CommitOrder);

struct MemoryGround {
    clock: SimClock,
    store: MemoryStore,
}

impl StoreGrounds for Memory {
    fn ground(&self) -> BoxFuture<'_, Box<dyn StoreGround>> {
        let clock = SimClock::new();
        let entropy = Arc::new(SimEntropy::seeded(7));
        let store = MemoryStore::new(self.0, Arc::new(clock.clone()), entropy);
        Box::pin(async move { Box::new(MemoryGround { clock, store }) as Box<dyn StoreGround> })
    }
}

impl StoreGround for MemoryGround {
    fn store(&self) -> Arc<dyn OutboxStore> {
        Arc::new(self.store.clone())
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(time);
        Box::pin(async {})
    }

    fn record_unreadable(&self) -> BoxFuture<'_, ()> {
        let mut transaction = self.store.begin();
        transaction.record_unreadable();
        transaction.commit();
        Box::pin(async {})
    }

    fn purge(&self) -> BoxFuture<'_, ()> {
        let newest = self.store.rows().last().map(|row| row.position());
        self.store.purge_below(newest.unwrap_or(Position::new(0)));
        Box::pin(async {})
    }

    fn new_epoch(&self) -> BoxFuture<'_, ()> {
        self.store.new_epoch();
        Box::pin(async {})
    }
}

/// Databases of this mode of the journal.
struct Sqlite(SqliteJournalMode);

impl StoreGrounds for Sqlite {
    fn ground(&self) -> BoxFuture<'_, Box<dyn StoreGround>> {
        Box::pin(async { Box::new(ground(self.0).await) as Box<dyn StoreGround> })
    }
}

async fn run(pool: &SqlitePool, statements: &[&'static str], by: Duration) {
    for statement in statements {
        sqlx::query(*statement)
            .bind(i64::try_from(by.as_micros()).unwrap())
            .execute(pool)
            .await
            .unwrap();
    }
}

impl StoreGround for Ground {
    fn store(&self) -> Arc<dyn OutboxStore> {
        self.outbox.store()
    }

    /// The database's clock cannot be set: so everything becomes older.
    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        let statements = [
            "UPDATE larder_log SET recorded_at = recorded_at - ?",
            "UPDATE larder_claim SET until = until - ?1, claimed_at = claimed_at - ?1",
            "UPDATE larder_delivery SET until = until - ?1, claimed_at = claimed_at - ?1, \
             available_at = available_at - ?1, recorded_at = recorded_at - ?1, acknowledged_at = acknowledged_at - ?1",
        ];
        Box::pin(async move { run(&self.pool, &statements, time).await })
    }

    fn record_unreadable(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let sql = "INSERT INTO larder_record (kind, namespace, name, id) VALUES ('planet', 'shop', 'mars', '4')";
            sqlx::query(sql).execute(&self.pool).await.unwrap();
        })
    }

    fn purge(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let sql = "UPDATE larder_log SET recorded_at = recorded_at - 2 * ?";
            let minute = Duration::from_secs(60);
            run(&self.pool, &[sql], minute).await;
            let retention = Retention::new().retention_max(minute);
            self.outbox.purge(retention).await.unwrap();
        })
    }

    fn new_epoch(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.outbox.new_epoch().await.unwrap() })
    }
}

async fn check(part: StorePart) {
    for mode in MODES {
        check_store_part(&Sqlite(mode), part).await;
    }
    for order in [CommitOrder::Ordered, CommitOrder::Unordered] {
        check_store_part(&Memory(order), part).await;
    }
}

/// Contract: O74, O75, O76 (partial: SQLite and memory)
#[tokio::test]
async fn each_store_gives_a_row_to_one_worker() {
    check(StorePart::Claims).await;
}

/// Contract: O77, O78, O80
#[tokio::test]
async fn each_store_completes_what_is_held() {
    check(StorePart::Completing).await;
}

/// Contract: O85, O86, O87 (partial: but for health)
#[tokio::test]
async fn each_store_keeps_dead_letters() {
    check(StorePart::DeadLetters).await;
}

/// Contract: O45 (partial: SQLite), O106 (partial: copies)
#[tokio::test]
async fn each_store_outlives_its_log() {
    check(StorePart::Outliving).await;
}

/// Contract: O108 (partial: but for its cost)
#[tokio::test]
async fn each_store_says_what_is_left() {
    check(StorePart::Status).await;
}

/// Contract: O46 (partial: beside claims)
#[tokio::test]
async fn each_store_can_be_followed_and_claimed() {
    check(StorePart::Following).await;
}

/// Contract: O115 (partial: SQLite and memory)
#[tokio::test]
async fn each_store_is_as_its_model() {
    check(StorePart::Model).await;
}

/// `check_store` runs all of these.
///
/// Contract: O115 (partial: SQLite and memory)
#[tokio::test]
async fn memory_is_a_store() {
    check_store(&Memory(CommitOrder::Unordered)).await;
}

/// Rows by id, all rows, their number; a panic of a caller changes nothing.
///
/// Contract: O116
#[tokio::test]
async fn a_store_in_memory_shows_its_rows() {
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(SimClock::new()),
        Arc::new(SimEntropy::seeded(1)),
    );
    store.record_alone(&user(1).entity("user", 2).unwrap());
    store.open_group(&Group::default()).await.unwrap();
    let claim = store
        .claim("default", "worker", 9, Duration::from_secs(30))
        .await
        .unwrap();
    for (row, found) in claim.rows().iter().zip(store.rows()) {
        assert_eq!(store.row(row.id), Some(found));
    }
    let id = claim.rows()[0].id;
    assert_eq!(store.row(RowId::new(id.epoch(), id.position(), 2)), None);
    assert_eq!(
        store.row(RowId::new(Epoch::new(0), id.position(), 0)),
        None,
        "another epoch"
    );
    assert_eq!(format!("{store:?}"), "MemoryStore { rows: 2, .. }");
    let clone = store.clone();
    let panicked = std::thread::spawn(move || {
        let mut transaction = clone.begin();
        transaction.record(&user(3));
        panic!("a caller's");
    });
    panicked.join().unwrap_err();
    assert_eq!(store.rows().len(), 2, "what it had open is rolled back");
    store.record_alone(&user(4));
    assert_eq!(store.rows().len(), 3);
}

/// However many claim and write at once, nobody is told that the file is busy, and no row goes to two.
///
/// Contract: O76 (partial: SQLite), O79 (partial: SQLite)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_16_claimers_and_writers_are_in_nobodys_way() {
    const WRITERS: u64 = 4;
    const COMMITS: u64 = 20;
    for mode in MODES {
        let ground = ground(mode).await;
        let store = ground.outbox.store();
        store.open_group(&Group::default()).await.unwrap();
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let pool = super::ground::pool(&ground.file(), mode).await;
            let outbox = Outbox::builder(pool).open().await.unwrap();
            writers.push(tokio::spawn(async move {
                for commit in 0..COMMITS {
                    let batch = user(100 * writer + commit).entity("order", commit).unwrap();
                    outbox.record_alone(&batch).await.unwrap();
                }
            }));
        }
        let mut claimers = Vec::new();
        for claimer in 0..8 {
            let pool = super::ground::pool(&ground.file(), mode).await;
            let store = Outbox::builder(pool).open().await.unwrap().store();
            claimers.push(tokio::spawn(async move {
                let (owner, mut seen, mut idle) = (format!("claimer-{claimer}"), Vec::new(), 0);
                while idle < 20 {
                    let claim = store
                        .claim("default", &owner, 3, Duration::from_secs(60))
                        .await
                        .unwrap();
                    idle = if claim.is_empty() { idle + 1 } else { 0 };
                    let done = store.acknowledge(&claim, &claim.ids()).await.unwrap();
                    assert_eq!(done.done, claim.rows().len());
                    seen.extend(claim.ids());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let mut seen = Vec::new();
        for claimer in claimers {
            seen.extend(claimer.await.unwrap());
        }
        let different: HashSet<RowId> = seen.iter().copied().collect();
        assert_eq!(different.len(), seen.len(), "no row went to two");
        let status = store.status("default", None).await.unwrap();
        assert_eq!(
            seen.len() as u64 + status.pending.at_least(),
            WRITERS * COMMITS * 2
        );
        assert_eq!(status.pending.at_least(), 0);
    }
}

/// Servers whose clocks are an hour apart neither claim twice nor wait: all times are the store's.
///
/// Contract: O79
#[tokio::test]
async fn regression_16_clocks_of_servers_do_not_count() {
    let clock = SimClock::new();
    let entropy = Arc::new(SimEntropy::seeded(1));
    let store = MemoryStore::new(CommitOrder::Ordered, Arc::new(clock.clone()), entropy);
    let mut relays = Vec::new();
    for hours in [0, 1, 2] {
        let skewed = SimClock::new();
        skewed.advance(Duration::from_secs(3_600 * hours));
        let relay = Relay::builder(Arc::new(store.clone()), |rows: &[OutboxRow]| {
            vec![Published::Retry("later".to_owned()); rows.len()]
        });
        let relay = relay
            .clock(Arc::new(skewed))
            .batch_size(1)
            .backoff(Backoff::fixed(Duration::from_secs(60)));
        relays.push(relay.open().await.unwrap());
    }
    store.record_alone(&user(1));
    for round in 0..9_u32 {
        let claimed = relays[round as usize % 3].run_once().await.unwrap().claimed;
        assert_eq!(claimed, 1, "round {round}: at its time, whoever asks");
        for relay in &relays {
            assert_eq!(relay.run_once().await.unwrap().claimed, 0, "and not before");
        }
        clock.advance(Duration::from_secs(60));
    }
}

/// The outbox gives its store as a trait object; what it says of itself names no secrets.
#[tokio::test]
async fn a_store_shows_itself() {
    let ground = ground(MODES[0]).await;
    let store = Outbox::store(&ground.outbox);
    assert!(format!("{store:?}").starts_with("SqliteStore"));
}
