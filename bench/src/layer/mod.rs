//! The layer beside its parts and beside others: the benchmarks of the layer's contract, section 16, with its targets, as far as the layer stands.
//!
//! Always true: databases are as in [`crate::outbox`], a file for each subject unless a benchmark says otherwise. The layer's follower runs on a
//! thread of the runtime, as it would in a service.

mod coherence;
mod facade_read;
mod hydracache;
mod lag;
mod replay;
mod transaction_cost;
mod wake;

use larder::outbox::Outbox;
use larder::{Entity, Layer, Pool};
use tokio::runtime::{Builder, Runtime};

pub use coherence::coherence;
pub use facade_read::facade_read;
pub use lag::lag;
pub use replay::replay;
pub use transaction_cost::transaction_cost;
pub use wake::wake;

use crate::Outcome;
use crate::outbox::Database;

/// Whatever goes wrong.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Of how many entries there are hits.
const ENTRIES: u64 = 100_000;

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
