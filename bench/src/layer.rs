//! The layer beside its parts and beside others: the benchmarks of the layer's contract, section 16, with its targets, as far as the layer stands.
//!
//! Always true: databases are as in [`crate::outbox`], a file for each subject. The layer's follower runs on a thread of the runtime, as it would in a
//! service.

use std::hint::black_box;
use std::time::{Duration, Instant};

use larder::outbox::Outbox;
use larder::{Entity, Layer, Pool, Tx};
use sqlx::Sqlite;
use tokio::runtime::{Builder, Runtime};

use crate::outbox::{Database, HydraCacheOutbox, UPDATE, plain, poller};
use crate::{Measured, Outcome, Report, Rounds, Row, Target};

/// How many hits a round has, and of how many entries.
const READS: u64 = 500_000;
const ENTRIES: u64 = 100_000;
/// Transactions of a round.
const TRANSACTIONS: u64 = 2_000;
/// How many targets are explained.
const EXPLAINED: u64 = 10_000;

#[derive(Entity)]
struct Account {
    id: u64,
    amount: u64,
}

#[derive(Entity)]
struct Owner {
    id: u64,
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

async fn layer(database: &Database) -> Result<Layer, Box<dyn std::error::Error>> {
    let outbox = Outbox::builder(database.pool.clone());
    outbox.migrate().await?;
    let pool = Pool::<Account>::builder().capacity_entries(2 * ENTRIES);
    Ok(Layer::builder("bench").outbox(outbox).pool(pool).open().await?)
}

fn filled(pool: &Pool<Account>) -> Outcome {
    for id in 0..ENTRIES {
        drop(pool.insert(Account { id, amount: id })?);
    }
    Ok(())
}

/// A hit through the handle of a layer's pool, which asks whether the node is sure; a pool alone, which does not; and one that does.
///
/// # Errors
/// When a database cannot be made, or standard output be written.
pub fn facade_read(report: Report) -> Outcome {
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let layer = runtime.block_on(layer(&database))?;
    let of_layer = layer.pool::<Account>()?;
    let alone = Pool::<Account>::builder().capacity_entries(2 * ENTRIES).build()?;
    let asking = Pool::<Account>::builder()
        .capacity_entries(2 * ENTRIES)
        .fence(layer.fence().clone())
        .when_unsure(larder::pool::WhenUnsure::Bypass);
    // One name, one pool in the drop hooks of a fence: this one is beside the layer.
    let asking = asking.build()?;
    for pool in [&of_layer, &alone, &asking] {
        filled(pool)?;
    }
    let mut state = 1_u64;
    let ids: Vec<u64> = (0..READS)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % ENTRIES
        })
        .collect();
    let mut rounds = Rounds::new(READS);
    for (name, pool) in [
        ("larder", &of_layer),
        ("pool alone", &alone),
        ("pool alone, bypassed when unsure", &asking),
    ] {
        let ids = &ids;
        rounds.subject(name, move |times| {
            let so_many = ids.iter().take(usize::try_from(times).unwrap_or(0));
            let found = so_many.filter_map(|id| pool.get(black_box(id)));
            found.map(|account| account.amount).fold(0, u64::wrapping_add)
        });
    }
    let measured = rounds.run();
    let Some((larder, peers)) = measured.split_first() else {
        return Ok(());
    };
    for peer in peers {
        // How much the layer's handle reads of what the peer reads in the same time.
        report.row(&Row {
            benchmark: "facade_read",
            case: "hit, 100,000 entries".to_owned(),
            larder: larder.nanoseconds(),
            unit: "ns",
            peer: Some((peer.name().to_owned(), peer.nanoseconds())),
            ratios: peer.over(larder),
            target: if peer.name() == "pool alone" {
                Target::RatioAtLeast(0.98)
            } else {
                Target::None
            },
        })?;
    }
    runtime.block_on(layer.shutdown(Duration::from_secs(5)));
    Ok(())
}

async fn transaction(layer: &Layer, outbox: &Outbox<Sqlite>, id: u64) -> Outcome {
    let done = layer.transaction(outbox, async |tx: &mut Tx<'_, Sqlite>| {
        sqlx::query(UPDATE).execute(tx.connection()).await?;
        tx.target(larder::Target::entity(Account::name(), id)?)?;
        tx.target(larder::Target::entity(Owner::name(), id)?)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    done.await.map_err(|error| error.to_string())?;
    Ok(())
}

/// `transaction_cost`: an update with two invalidations against the same transaction without; and `transaction_peer`: against HydraCache's outbox.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn transaction_cost(report: Report) -> Outcome {
    let runtime = runtime()?;
    let (ours, by_hand, without) =
        runtime.block_on(async { tokio::try_join!(Database::new(), Database::new(), Database::new()) })?;
    let layer = runtime.block_on(layer(&ours))?;
    let outbox = layer.outbox::<Sqlite>()?;
    let hydracache = runtime.block_on(HydraCacheOutbox::new())?;
    let mut rounds = Rounds::new(TRANSACTIONS);
    rounds.subject("larder", |times| {
        runtime.block_on(async {
            for id in 0..times {
                transaction(&layer, &outbox, id)
                    .await
                    .expect("a transaction of the layer");
            }
        });
    });
    rounds.subject("sqlx alone", |times| {
        runtime.block_on(async {
            for _ in 0..times {
                plain(&without).await.expect("a transaction");
            }
        });
    });
    rounds.subject("poller", |times| {
        runtime.block_on(async {
            for id in 0..times {
                poller(&by_hand, id).await.expect("a transaction by hand");
            }
        });
    });
    rounds.subject("hydracache-db", |times| {
        runtime.block_on(async {
            for id in 0..times {
                let recorded = hydracache.record([("account", id), ("owner", id)]).await;
                recorded.expect("a transaction of HydraCache's outbox");
            }
        });
    });
    rows_of_transactions(report, &rounds.run())?;
    runtime.block_on(layer.shutdown(Duration::from_secs(5)));
    Ok(())
}

fn rows_of_transactions(report: Report, measured: &[Measured]) -> Outcome {
    let Some((larder, peers)) = measured.split_first() else {
        return Ok(());
    };
    for peer in peers {
        let is_throughput = peer.name() == "hydracache-db";
        let micros = |nanos: f64| nanos / 1_000.0;
        report.row(&Row {
            benchmark: if is_throughput {
                "transaction_peer"
            } else {
                "transaction_cost"
            },
            case: "an update and two invalidations".to_owned(),
            larder: if is_throughput {
                larder.per_second()
            } else {
                micros(larder.nanoseconds())
            },
            unit: if is_throughput { "/s" } else { "us" },
            peer: Some((
                peer.name().to_owned(),
                if is_throughput {
                    peer.per_second()
                } else {
                    micros(peer.nanoseconds())
                },
            )),
            ratios: if is_throughput {
                peer.over(larder)
            } else {
                larder.over(peer)
            },
            target: match peer.name() {
                "sqlx alone" => Target::RatioAtMost(1.7),
                "hydracache-db" => Target::RatioAtLeast(2.0),
                _ => Target::None,
            },
        })?;
    }
    Ok(())
}

/// `wake`: what one explanation takes. How soon who waits is woken is measured of the outbox, which does it: `wait`.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn wake(report: Report) -> Outcome {
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let layer = runtime.block_on(layer(&database))?;
    let outbox = layer.outbox::<Sqlite>()?;
    filled(&layer.pool()?)?;
    runtime.block_on(transaction(&layer, &outbox, 7))?;
    let targets = (0..EXPLAINED).map(|id| larder::Target::entity(Account::name(), id));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    for target in &targets {
        black_box(layer.explain(black_box(target)));
    }
    let explained = begun.elapsed().as_secs_f64() * 1e6 / targets.len() as f64;
    report.row(&Row {
        benchmark: "wake",
        case: "explain once".to_owned(),
        larder: explained,
        unit: "us",
        peer: None,
        ratios: Vec::new(),
        target: Target::AtMost(50.0),
    })?;
    runtime.block_on(layer.shutdown(Duration::from_secs(5)));
    Ok(())
}
