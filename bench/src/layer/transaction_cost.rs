//! `transaction_cost`: an update with two invalidations against the same transaction without; and `transaction_peer`: against HydraCache's outbox.

use std::time::Duration;

use larder::outbox::Outbox;
use larder::{Entity as _, Layer, Tx};
use sqlx::Sqlite;

use super::{Account, Outcome, Owner, layer, runtime};
use crate::outbox::{Database, HydraCacheOutbox, UPDATE, plain, poller};
use crate::{Measured, Report, Rounds, Row, Target};

/// Transactions of a round.
const TRANSACTIONS: u64 = 2_000;

pub(super) async fn transaction(layer: &Layer, outbox: &Outbox<Sqlite>, id: u64) -> Outcome {
    let done = layer.transaction(outbox, async |tx: &mut Tx<'_, Sqlite>| {
        sqlx::query(UPDATE).execute(tx.connection()).await?;
        tx.target(larder::Target::entity(Account::name(), id)?)?;
        tx.target(larder::Target::entity(Owner::name(), id)?)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    done.await.map_err(|error| error.to_string())?;
    Ok(())
}

/// Measures and reports.
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
