//! A node of the demo: a process with a layer, readers and writers, and a way to read it over loopback.
//!
//! It says what it does on its standard output, line by line, and ends when its standard input does.

mod burst;
mod explain;
mod plain;
mod serve;
mod sources;
mod telling;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use larder::outbox::Outbox;
use larder::pool::FetchOptions;
use larder::{Entity, Layer, Pool, Token};
use sqlx::Sqlite;
use tokio::net::TcpListener;

use self::plain::Plain;
use self::sources::Dropping;
use self::telling::Telling;
use super::Sabotage;
use super::checker::Read;
use super::random::Random;
use super::shop::{self, CUSTOMER, Customer, Deed, ORDER, Order, PRODUCT, Product, Seam};
use super::words::{Ready, Said, Tally, now_nanos};
use crate::fault::{Ended, Exit, Fault, of_transaction, told};

/// One read in so many of those within the process is told to the checker.
const READS_A_REPORT: u64 = 16;
/// A reader reads so often before it rests.
const READS_A_TURN: u64 = 256;
const REST: Duration = Duration::from_millis(1);
const TELL_EVERY: Duration = Duration::from_millis(200);
/// One transaction in so many is rolled back.
const WRITES_A_ROLLBACK: u64 = 20;

/// What a node is told to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeOptions {
    #[arg(long)]
    pub(crate) file: PathBuf,
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) writers: u32,
    #[arg(long)]
    pub(crate) readers: u32,
    #[arg(long)]
    pub(crate) customers: u32,
    #[arg(long)]
    pub(crate) products: u32,
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
    /// A plain cache beside the pools gets the same load.
    #[arg(long)]
    pub(crate) contrast: bool,
    /// The process that started this one.
    #[arg(long)]
    pub(crate) parent: u32,
}

/// What the tasks of a node share.
struct Node {
    options: NodeOptions,
    layer: Layer,
    outbox: Outbox<Sqlite>,
    customers: Pool<Customer>,
    products: Pool<Product>,
    orders: Pool<Order>,
    plain: Option<Arc<Plain>>,
    /// The greatest id of an order that is known here.
    newest_order: AtomicI64,
    is_over: AtomicBool,
    counts: Counts,
}

/// What was done since it was told the last time.
#[derive(Default)]
struct Counts {
    reads: AtomicU64,
    hits: AtomicU64,
    writes: AtomicU64,
    rollbacks: AtomicU64,
    failures: AtomicU64,
    burst_writes: AtomicU64,
    /// Why something did not work is told once.
    has_told_why: AtomicBool,
    times: [AtomicU64; 32],
}

pub(crate) fn run(options: NodeOptions) -> Result<(), Fault> {
    end_with(options.parent)?;
    // Ctrl-C reaches every process of a terminal; this one ends when whoever started it does.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
        let name = options.name.clone();
        live(options)
            .await
            .map_err(|error| Ended::fault(Exit::CouldNotRun, format!("node {name}: {}", told(&*error))))
    })
}

/// Has the system kill this process when the one that started it ends, however that ends: one that is stopped would not notice that its
/// standard input has ended.
#[cfg(target_os = "linux")]
fn end_with(parent: u32) -> Result<(), Fault> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    let is_there = getppid().is_some_and(|now| u32::try_from(now.as_raw_pid()) == Ok(parent));
    if is_there {
        Ok(())
    } else {
        Err("whoever started this node has ended".into())
    }
}

/// Elsewhere a node ends when its standard input does.
#[cfg(not(target_os = "linux"))]
fn end_with(_parent: u32) -> Result<(), Fault> {
    Ok(())
}

async fn live(options: NodeOptions) -> Result<(), Fault> {
    let file = &options.file;
    let database = shop::reopen(file, 6)
        .await
        .map_err(|error| format!("open {}: {}", file.display(), told(&error)))?;
    let seam = Seam {
        is_old: options.sabotage == Some(Sabotage::OldLoader),
    };
    // So that the name is free at once for whoever comes back under it.
    let mut key = [0; 16];
    for (place, byte) in key.iter_mut().zip(options.name.bytes().cycle()) {
        *place = byte;
    }
    let builder = Outbox::builder(database.clone())
        .node(&options.name)
        .node_key(key);
    let layer = Layer::builder("demo")
        .pool(shop::customers(&database, seam.clone()))
        .pool(shop::products(&database, seam))
        .pool(shop::orders(&database));
    let layer = match options.sabotage {
        // Rows are lost between the log and the follower, which is not told of commits of its own process either.
        Some(Sabotage::DropInvalidation) => {
            layer.follow(Arc::new(Dropping::new(builder.open().await?.source())))
        }
        _ => layer.node(&options.name).outbox(builder.clone()),
    };
    let layer = layer.open().await?;
    let outbox = match layer.outbox::<Sqlite>() {
        Ok(outbox) => outbox,
        Err(_) => builder.open().await?,
    };
    let plain = match options.contrast {
        true => Some(Plain::open(database.clone(), options.seed).await?),
        false => None,
    };
    let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM orders")
        .fetch_one(&database)
        .await?;
    let node = Arc::new(Node {
        customers: layer.pool()?,
        products: layer.pool()?,
        orders: layer.pool()?,
        plain,
        outbox,
        layer,
        options,
        newest_order: AtomicI64::new(newest),
        is_over: AtomicBool::new(false),
        counts: Counts::default(),
    });
    let _telling = node
        .layer
        .fence()
        .sink(Arc::new(Telling::of(&node.options.name)))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ready = Ready {
        port: listener.local_addr()?.port(),
        plain_port: node.plain.as_ref().map_or(0, |plain| plain.port()),
        applied: node.applied(),
    };
    tokio::spawn(serve::serve(Arc::clone(&node), listener));
    say(&[Said::Ready(ready)]);
    work(&node);
    heed(&node).await;
    node.is_over.store(true, Ordering::Relaxed);
    node.layer.shutdown(Duration::from_secs(2)).await;
    Ok(())
}

/// Readers, writers, and whoever tells of them.
fn work(node: &Arc<Node>) {
    for reader in 0..node.options.readers {
        tokio::spawn(Arc::clone(node).read_for_ever(reader));
    }
    for writer in 0..node.options.writers {
        tokio::spawn(Arc::clone(node).write_for_ever(writer));
    }
    tokio::spawn(Arc::clone(node).tell_for_ever());
}

/// Does what it is told on its standard input, until that ends.
async fn heed(node: &Arc<Node>) {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = heard.recv().await {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("rest", _) => node.is_over.store(true, Ordering::Relaxed),
            ("burst", _) => drop(tokio::spawn(burst::write(Arc::clone(node)))),
            ("peer", port) => {
                if let (Some(plain), Ok(port)) = (&node.plain, port.parse()) {
                    plain.set_peer(port);
                }
            }
            _ => {}
        }
    }
}

impl Node {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Everything up to this position has been applied here.
    fn applied(&self) -> u64 {
        shop::applied(&self.layer)
    }

    /// The version of a row, from memory or from the database; and whether it was in memory.
    async fn version(&self, row: (u8, i64), token: Option<&Token>) -> Result<(Option<u64>, bool), Fault> {
        let (kind, id) = row;
        match kind {
            CUSTOMER => read(&self.customers, id, token, |row| row.version).await,
            PRODUCT => read(&self.products, id, token, |row| row.version).await,
            _ => read(&self.orders, id, token, |row| row.version).await,
        }
    }

    async fn read_for_ever(self: Arc<Self>, reader: u32) {
        let mut random = Random::new(self.options.seed ^ u64::from(reader) << 40);
        let mut reports = Vec::new();
        while !self.is_over() {
            for _ in 0..READS_A_TURN {
                let row = self.some_row(&mut random);
                let is_told = random.below(READS_A_REPORT) == 0;
                let applied = if is_told { self.applied() } else { 0 };
                let began_nanos = now_nanos();
                let (version, is_hit) = match self.version(row, None).await {
                    Ok(read) => read,
                    Err(error) => {
                        self.has_failed(&error);
                        continue;
                    }
                };
                self.count(is_hit, now_nanos().saturating_sub(began_nanos));
                if is_told {
                    reports.push(Said::Read(Read {
                        node: 0,
                        row,
                        version,
                        applied,
                        token: None,
                        began_nanos,
                    }));
                }
                if let Some(plain) = &self.plain {
                    let read = plain.read(row, None).await;
                    reports.extend(read.filter(|_| is_told));
                }
            }
            say(&reports);
            reports.clear();
            tokio::time::sleep(REST).await;
        }
    }

    fn has_failed(&self, error: &Fault) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if !self.counts.has_told_why.swap(true, Ordering::Relaxed) {
            say(&[Said::Failed(told(&**error))]);
        }
    }

    fn count(&self, is_hit: bool, nanos: u64) {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.counts.hits.fetch_add(u64::from(is_hit), Ordering::Relaxed);
        let power = usize::try_from(u64::BITS - nanos.leading_zeros())
            .unwrap_or(31)
            .min(31);
        if let Some(times) = self.counts.times.get(power) {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn some_row(&self, random: &mut Random) -> (u8, i64) {
        match random.below(10) {
            0..5 => (CUSTOMER, random.id(self.options.customers)),
            5..9 => (PRODUCT, random.id(self.options.products)),
            _ => {
                let newest = self.newest_order.load(Ordering::Relaxed);
                // Recent ones, and sometimes one that is yet to be placed.
                (ORDER, (newest + 1 - random.id(200)).max(1))
            }
        }
    }

    async fn write_for_ever(self: Arc<Self>, writer: u32) {
        let mut random = Random::new(self.options.seed.rotate_left(17) ^ u64::from(writer));
        while !self.is_over() {
            if let Err(error) = self.write(&mut random).await {
                self.has_failed(&error);
            }
            tokio::time::sleep(Duration::from_millis(random.below(8))).await;
        }
    }

    fn some_deed(&self, kind: u8, rows: u32, random: &mut Random) -> Deed {
        match random.below(20) {
            0..2 => Deed::Delete {
                kind,
                id: random.id(rows),
            },
            2..5 => Deed::Order {
                customer: random.id(self.options.customers),
                product: random.id(self.options.products),
            },
            _ => Deed::Change {
                kind,
                id: random.id(rows),
            },
        }
    }

    async fn write(&self, random: &mut Random) -> Result<(), Fault> {
        let (kind, rows) = if random.below(2) == 0 {
            (CUSTOMER, self.options.customers)
        } else {
            (PRODUCT, self.options.products)
        };
        let deed = self.some_deed(kind, rows, random);
        let is_rolled_back = random.below(WRITES_A_ROLLBACK) == 0;
        let written = self.layer.transaction(&self.outbox, async |tx| {
            let row = shop::perform(tx, deed).await?;
            if is_rolled_back {
                return Err(Fault::from("rolled back"));
            }
            Ok(row)
        });
        let (row, token) = match written.await {
            Ok(done) => done,
            Err(larder::outbox::TransactionError::Body(_)) if is_rolled_back => {
                self.counts.rollbacks.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => return Err(of_transaction(error)),
        };
        let Some(row) = row else { return Ok(()) };
        let at_nanos = now_nanos();
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        if row.0 == ORDER {
            self.newest_order.fetch_max(row.1, Ordering::Relaxed);
        }
        self.plain_changed(deed.changed(row)).await;
        let Some(position) = shop::position_of(&token) else {
            return Ok(());
        };
        // Whoever has written reads it.
        let applied = self.applied();
        let began_nanos = now_nanos();
        let (version, _) = self.version(row, Some(&token)).await?;
        let own = Read {
            node: 0,
            row,
            version,
            applied,
            token: Some(position),
            began_nanos,
        };
        let acknowledged = Said::Acknowledged {
            position,
            at_nanos,
            row,
            token: token.to_string(),
        };
        let mut said = vec![acknowledged, Said::Read(own)];
        if let Some(plain) = &self.plain {
            said.extend(plain.read(row, Some(position)).await);
        }
        say(&said);
        Ok(())
    }

    async fn plain_changed(&self, rows: impl IntoIterator<Item = (u8, i64)>) {
        let Some(plain) = &self.plain else { return };
        for row in rows {
            plain.changed(row).await;
        }
    }

    async fn tell_for_ever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let since = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
            let plain = |count: fn(&Plain) -> &AtomicU64| {
                self.plain.as_deref().map_or(0, |plain| since(count(plain)))
            };
            say(&[Said::Tally(Box::new(Tally {
                reads: since(&self.counts.reads),
                hits: since(&self.counts.hits),
                writes: since(&self.counts.writes),
                rollbacks: since(&self.counts.rollbacks),
                failures: since(&self.counts.failures),
                burst_writes: since(&self.counts.burst_writes),
                plain_reads: plain(|plain| &plain.reads),
                plain_hits: plain(|plain| &plain.hits),
                plain_sent: plain(|plain| &plain.sent),
                plain_lost: plain(|plain| &plain.lost),
                times: self.counts.times.each_ref().map(since),
            }))]);
        }
    }
}

async fn read<T: Entity<Id = i64>>(
    pool: &Pool<T>,
    id: i64,
    token: Option<&Token>,
    version: impl Fn(&T) -> u64,
) -> Result<(Option<u64>, bool), Fault> {
    if let Some(token) = token {
        let options = FetchOptions::new().at_least(token.clone());
        let fetched = pool.fetch_with(&id, options).await?;
        return Ok((fetched.value.map(|row| version(&row)), false));
    }
    if let Some(row) = pool.get(&id) {
        return Ok((Some(version(&row)), true));
    }
    let row = pool.fetch(&id).await?;
    Ok((row.map(|row| version(&row)), false))
}

fn say(said: &[Said]) {
    if said.is_empty() {
        return;
    }
    let mut lines = String::new();
    for said in said {
        lines.push_str(&said.to_line());
        lines.push('\n');
    }
    let mut out = std::io::stdout().lock();
    // Whoever listened may be gone; then this process ends soon.
    drop(out.write_all(lines.as_bytes()).and_then(|()| out.flush()));
}
