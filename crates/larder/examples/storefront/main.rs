//! A storefront before a real database: products in SQLite, readers that take them from memory and load what they miss,
//! writers that change rows and invalidate them while loads are in flight. The same traffic goes through a Larder pool and
//! through the future cache of moka, and every read is checked.
//!
//! What is stale is decided outside of both caches: of each product there is the version whose commit and invalidation had
//! both returned to the writer. A read that began after that and gives an older version is a stale read. The status is 1 if
//! the pool has served one.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to whoever runs it"
)]

mod engines;
mod options;
mod random;
mod shop;
mod traffic;

use engines::{Engine, LarderEngine, MokaEngine};
use options::{Asked, HELP, Options};
use shop::Shop;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use traffic::{Changes, Tally};

/// Whatever goes wrong.
type Fault = Box<dyn Error + Send + Sync>;

/// One product in five fits into memory.
const PRODUCTS_FOR_EACH_IN_MEMORY: u32 = 5;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options::asked() {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("storefront: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match play(&options).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(stale) => {
            println!("\nLarder served {stale} stale reads: that is a defect.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("storefront: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Plays all runs, prints the table, and gives the number of stale reads of Larder.
async fn play(options: &Options) -> Result<u64, Fault> {
    let capacity = u64::from(options.products / PRODUCTS_FOR_EACH_IN_MEMORY).max(1);
    println!(
        "{} products in a SQLite file (WAL), room for {capacity} of them in memory. {} readers read without a pause,\n\
         few products often and many seldom; {} writers each change a row every few milliseconds, popular ones more\n\
         often: commit, then invalidate. A load reads the row and then waits 1 to 4 ms, as if it came over a network:\n\
         that wait is simulated, and makes the race visible. Each run has a new file and takes {} s; seed {}.\n\n\
         A read is stale if it gives an older version than one that was committed and invalidated before it began.\n\
         A hit is a read that did not wait. Reads a second are those of this database and this wait, not of a cache.\n",
        options.products, options.readers, options.writers, options.seconds, options.seed
    );
    println!(
        "{:<26}{:>11}{:>9}{:>9}{:>9}{:>13}{:>12}",
        "", "reads", "hits", "loads", "writes", "stale reads", "reads/s"
    );
    let mut stale = 0;
    let mut others = 0;
    for changes in [Changes::Rows, Changes::RowsAndCategories] {
        println!("{}", changes.title());
        let tally = run::<LarderEngine>(options, capacity, changes).await?;
        stale += tally.stale;
        others += run::<MokaEngine>(options, capacity, changes).await?.stale;
    }
    if others == 0 {
        println!(
            "\nThe race did not happen in this run, so nothing is shown: try again, or with more --writers."
        );
    }
    Ok(stale)
}

/// One run of one engine, with a row of the table.
async fn run<E: Engine>(options: &Options, capacity: u64, changes: Changes) -> Result<Tally, Fault> {
    let shop = Arc::new(Shop::open(options.products).await?);
    let engine = Arc::new(E::build(Arc::clone(&shop), capacity)?);
    let tally = traffic::run(&shop, &engine, options, changes).await?;
    println!(
        "  {:<24}{:>11}{:>7.1} %{:>9}{:>9}{:>13}{:>12.0}",
        E::NAME,
        tally.reads,
        100.0 * tally.hits as f64 / tally.reads.max(1) as f64,
        shop.loads(),
        tally.writes,
        tally.stale,
        tally.reads as f64 / tally.seconds
    );
    drop(engine);
    shop.close().await;
    Ok(tally)
}

/// An error and what it comes from, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
