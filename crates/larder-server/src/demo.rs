//! `larder demo`: two nodes of a small shop over one database, read and written all the time, each read checked by somebody who knows nothing of
//! pools; one node is killed and comes back.

mod callers;
pub(crate) mod checker;
mod contrast;
pub(crate) mod figures;
pub(crate) mod node;
mod play;
mod process;
pub(crate) mod random;
pub(crate) mod screen;
pub(crate) mod shop;
pub(crate) mod verdict;
pub(crate) mod words;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use larder::outbox::Outbox;
use tempfile::TempDir;

use self::play::Play;
use self::screen::Screen;
use self::shop::Size;
use crate::Output;
use crate::fault::{Ended, Exit, Fault};
use crate::signals::{self, interrupted};
use crate::terminal::Keys;

/// The name of the database in its directory.
const DATABASE: &str = "shop.db";

/// What can be said of a demo.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoOptions {
    /// Where the database goes; made if it is not there, and it must be empty. The database is removed at the end. Default: a directory of its own among temporary files.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// How long nodes are read and written, in seconds: 3 to 3600.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(3..=3_600))]
    seconds: u64,
    /// Ten seconds, and a quarter of the customers and products. Default: 30 s, and all.
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,
    /// Which rows are read and written: any number; the same one draws the same rows, but how fast they are read and written is up to the machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tasks that write, in each node: 1 to 64.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    writers: u32,
    /// Tasks that read, in each node: 1 to 64.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Customers at first: 10 to 10000000.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    customers: u32,
    /// Products at first: 10 to 10000000.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    products: u32,
    /// Which node is killed, after two fifths of the time.
    #[arg(long, value_enum, default_value_t = Kill::A)]
    kill: Kill,
    /// Breaks one promise on purpose: the checker must find it, and the exit code is 1. Default: none is broken.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// Gives the same load to a plain cache in the same nodes, with a time to live of 30 s and messages that may be lost, and shows its stale reads beside. They do not change the exit code. Default: no such cache.
    #[arg(long)]
    contrast: bool,
    /// Leaves the directory. Default: it is removed.
    #[arg(long)]
    keep: bool,
}

/// A node to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kill {
    /// The first.
    A,
    /// The second.
    B,
    /// Neither.
    None,
}

/// A promise to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// The source of the followers loses rows.
    DropInvalidation,
    /// Loaders sometimes bring the version before.
    OldLoader,
}

impl Sabotage {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Sabotage::DropInvalidation => "drop-invalidation",
            Sabotage::OldLoader => "old-loader",
        }
    }
}

impl DemoOptions {
    fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 10 } else { self.seconds })
    }

    fn size(&self) -> Size {
        let part = if self.quick { 4 } else { 1 };
        Size {
            customers: (self.customers / part).max(10),
            products: (self.products / part).max(10),
        }
    }
}

/// Runs it, and says how it went.
pub(crate) fn run(options: &DemoOptions, output: Output) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    signals::listen();
    let folder = Folder::new(options)?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = play(options, folder.path(), output) => done,
            () = interrupted() => Ok(Exit::Interrupted),
        }
    });
    // Processes end with what started them: they are waited for before their files go.
    runtime.shutdown_timeout(Duration::from_secs(2));
    folder.leave(options.keep, output);
    done
}

async fn play(options: &DemoOptions, folder: &Path, output: Output) -> Result<Exit, Fault> {
    let file = folder.join(DATABASE);
    let mut screen = Screen::new(output);
    let database = shop::open(&file, 4)
        .await
        .map_err(|error| Ended::fault(Exit::CouldNotRun, format!("open {}: {error}", file.display())))?;
    let size = options.size();
    let all = u64::from(size.customers) + u64::from(size.products);
    let mut progress = output.progress("preparing rows", all);
    shop::prepare(&database, size, |done| progress.set(done)).await?;
    drop(progress);
    output.note(&format!("prepared {all} rows"));
    Outbox::builder(database.clone()).migrate().await?;
    let mut play = Play::start(options, &file, database, size).await?;
    let mut keys = Keys::listen();
    play.run(&mut screen, &mut keys).await?;
    drop(keys);
    let verdict = play.end().await?;
    screen.clear();
    verdict.print(output)?;
    Ok(if verdict.is_good() {
        Exit::Done
    } else {
        Exit::Found
    })
}

/// Where the files are: they go when it is over, unless they are kept.
struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
    /// It was not there before.
    is_made: bool,
}

impl Folder {
    fn new(options: &DemoOptions) -> Result<Self, Fault> {
        let Some(path) = &options.dir else {
            let temporary = tempfile::Builder::new().prefix("larder-demo-").tempdir();
            let temporary = temporary.map_err(|error| {
                Ended::fault(Exit::CouldNotRun, format!("make a temporary directory: {error}"))
            })?;
            let path = temporary.path().to_owned();
            let temporary = Some(temporary);
            return Ok(Folder {
                path,
                temporary,
                is_made: true,
            });
        };
        let is_made = !path.exists();
        let could_not = |error| Ended::fault(Exit::CouldNotRun, format!("use {}: {error}", path.display()));
        std::fs::create_dir_all(path).map_err(could_not)?;
        if std::fs::read_dir(path).map_err(could_not)?.next().is_some() {
            return Err(Ended::fault(
                Exit::Conflict,
                format!("{} is not empty", path.display()),
            ));
        }
        Ok(Folder {
            path: path.clone(),
            temporary: None,
            is_made,
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn leave(self, keep: bool, output: Output) {
        if keep {
            if let Some(temporary) = self.temporary {
                let _ = temporary.keep();
            }
            output.note(&format!("the database is in {}", self.path.display()));
            return;
        }
        let removed = match self.temporary {
            Some(temporary) => temporary.close(),
            None => self.remove_own(),
        };
        if let Err(error) = removed {
            output.note(&format!("{} could not be removed: {error}", self.path.display()));
        }
    }

    /// Of a directory that somebody named, what was made in it; and itself, if it was not there before and nobody has put anything into it.
    fn remove_own(&self) -> std::io::Result<()> {
        for name in [DATABASE, "shop.db-wal", "shop.db-shm", "shop.db-journal"] {
            match std::fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let is_empty = match std::fs::read_dir(&self.path) {
            Ok(mut left) => left.next().is_none(),
            // Somebody was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.is_made && is_empty {
            return std::fs::remove_dir(&self.path);
        }
        Ok(())
    }
}
