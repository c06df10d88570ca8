//! A storefront before a real database: products in SQLite, readers that take them from memory and load what they miss,
//! writers that change rows and invalidate them while loads are in flight. One generic loop runs over a Larder pool and over
//! the future cache of moka, and every read is checked.
//!
//! What is stale is decided outside of both caches: of each product there is the version whose commit and invalidation had
//! both returned to the writer. A read that began after that and gives an older version is a stale read. The status is 1 if
//! the pool has served one.
//!
//! No latency is simulated. A load takes as long as a query through a connection pool takes on a busy runtime; that is long
//! enough for a commit to overtake it.
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
use shop::{CONNECTIONS, Shop};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use traffic::{Changes, Tally};

/// Whatever goes wrong.
type Fault = Box<dyn Error + Send + Sync>;

/// One product in five fits into memory.
const PRODUCTS_FOR_EACH_IN_MEMORY: u32 = 5;

fn main() -> ExitCode {
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
    match on_threads(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("storefront: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Plays all runs on a runtime of several threads, and gives the number of stale reads of Larder.
fn on_threads(options: &Options) -> Result<u64, Fault> {
    let threads = usize::try_from(options.threads)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(play(options))
}

/// Plays all runs, prints the table and what it means, and gives the number of stale reads of Larder.
async fn play(options: &Options) -> Result<u64, Fault> {
    let capacity = u64::from(options.products / PRODUCTS_FOR_EACH_IN_MEMORY).max(1);
    introduce(options, capacity);
    let mut of_larder = 0;
    let mut meaning = String::new();
    for (part, changes) in [("first", Changes::Rows), ("second", Changes::RowsAndCategories)] {
        println!("{}", changes.title());
        let (mut larder, mut moka) = (Tally::default(), Tally::default());
        // Each goes first once, so that neither gains by its turn.
        larder.add(&run::<LarderEngine>(options, capacity, changes).await?);
        moka.add(&run::<MokaEngine>(options, capacity, changes).await?);
        moka.add(&run::<MokaEngine>(options, capacity, changes).await?);
        larder.add(&run::<LarderEngine>(options, capacity, changes).await?);
        print_row(LarderEngine::NAME, &larder);
        print_row(MokaEngine::NAME, &moka);
        of_larder += larder.stale;
        meaning.push_str(&meant(part, &larder, &moka));
    }
    println!("{meaning}");
    Ok(of_larder)
}

/// Says what is compared.
fn introduce(options: &Options, capacity: u64) {
    println!(
        "{} products in a SQLite file (WAL), room for {capacity} of them in memory. {} readers read and {} writers write,\n\
         without a pause, on {} threads; popular products are read and written most. A read takes the product from the\n\
         cache or loads it: its row, then what is in stock, two queries through {CONNECTIONS} connections that all loads share. A\n\
         writer commits, then invalidates. No wait is simulated. Each figure is of two runs, in the order a b b a, each of\n\
         {} s before a new file; seed {}.\n\n\
         Compared are two caches with the same room for entries, each with its own defaults, under the same loop:\n  \
         larder  Pool::get_or_fetch, invalidate, invalidate_tag\n  \
         moka    future::Cache::try_get_with, invalidate, invalidate_entries_if\n\n\
         A read is stale if it gives an older version than one that was committed and invalidated before it began.\n\
         The hit ratio is the part of reads that did not wait. Reads a second include the misses and the check.\n",
        options.products, options.readers, options.writers, options.threads, options.seconds, options.seed
    );
    println!(
        "{:<12}{:>12}{:>12}{:>13}{:>12}{:>10}{:>10}",
        "", "reads/s", "hit ratio", "stale reads", "reads", "loads", "writes"
    );
}

/// What one part of the table shows, and what it does not.
fn meant(part: &str, larder: &Tally, moka: &Tally) -> String {
    let of_moka = match moka.stale {
        0 => "moka served no stale read: no load that it kept was overtaken, so this shows no difference"
            .to_owned(),
        stale => format!("moka served {stale} stale reads: it kept loads that a commit had overtaken"),
    };
    let of_larder = match larder.stale {
        0 => "Larder served none".to_owned(),
        stale => format!("LARDER SERVED {stale} STALE READS, WHICH IS A DEFECT"),
    };
    format!("\nIn the {part} part {of_moka}. {of_larder}.")
}

/// One run of one engine, before a new file.
async fn run<E: Engine>(options: &Options, capacity: u64, changes: Changes) -> Result<Tally, Fault> {
    let shop = Arc::new(Shop::open(options.products).await?);
    let engine = Arc::new(E::build(Arc::clone(&shop), capacity)?);
    let tally = traffic::run(&shop, &engine, options, changes).await?;
    drop(engine);
    shop.close().await;
    Ok(tally)
}

fn print_row(name: &str, tally: &Tally) {
    println!(
        "  {name:<10}{:>12.0}{:>10.1} %{:>13}{:>12}{:>10}{:>10}",
        tally.reads as f64 / tally.seconds,
        100.0 * tally.hits as f64 / tally.reads.max(1) as f64,
        tally.stale,
        tally.reads,
        tally.loads,
        tally.writes
    );
}

/// An error and what it comes from, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
