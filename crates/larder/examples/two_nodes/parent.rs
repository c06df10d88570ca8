//! Starts the two processes, carries what the one has written to the other, kills and starts again, and adds up.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use larder::outbox::Outbox;
use sqlx::sqlite::SqlitePoolOptions;

use crate::Fault;
use crate::options::Options;
use crate::words::{Said, Tally, now_nanos};

const NAMES: [&str; 2] = ["writer", "reader"];

/// What a process says, or that it has ended: which of the two, and in which of its lives.
type Heard = (usize, u32, Option<Said>);

/// One of the two.
struct Running {
    child: Child,
    life: u32,
    started_nanos: u64,
}

/// What is known of one of the two.
#[derive(Default)]
struct Known {
    total: Tally,
    /// How long it took from its start until it was sure, in each life.
    starts: Vec<Duration>,
    is_ready: bool,
}

/// Plays it; whether everything held.
pub(crate) fn run(options: &Options) -> Result<bool, Fault> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("two_nodes.db");
    make(&file, options.rows)?;
    writeln!(
        std::io::stdout(),
        "two processes over one SQLite file of {} rows, {} s; each is killed once",
        options.rows,
        options.seconds
    )?;
    let mut play = Play::new(options, &file)?;
    let part = Duration::from_secs(options.seconds) / 3;
    play.listen(part)?;
    play.kill(1)?;
    play.listen(part)?;
    play.kill(0)?;
    play.listen(part)?;
    play.stop()?;
    Ok(play.report()?)
}

/// The table, and the tables of the outbox.
fn make(file: &Path, rows: u64) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let database = SqlitePoolOptions::new().max_connections(1);
        let database = database.connect_with(crate::node::file_options(file)).await?;
        sqlx::query("CREATE TABLE counters (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)")
            .execute(&database)
            .await?;
        sqlx::query(
            "WITH RECURSIVE row(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM row WHERE id + 1 < ?) \
             INSERT INTO counters SELECT id, 1 FROM row",
        )
        .bind(i64::try_from(rows)?)
        .execute(&database)
        .await?;
        Outbox::builder(database.clone()).migrate().await?;
        database.close().await;
        Ok(())
    })
}

struct Play<'a> {
    options: &'a Options,
    file: &'a Path,
    nodes: [Running; 2],
    known: [Known; 2],
    told: Sender<Heard>,
    heard: Receiver<Heard>,
    writes: u64,
    lags: Vec<u64>,
}

impl<'a> Play<'a> {
    fn new(options: &'a Options, file: &'a Path) -> Result<Self, Fault> {
        let (told, heard) = mpsc::channel();
        let nodes = [
            start(options, file, 0, 0, &told)?,
            start(options, file, 1, 0, &told)?,
        ];
        Ok(Play {
            options,
            file,
            nodes,
            known: <[Known; 2]>::default(),
            told,
            heard,
            writes: 0,
            lags: Vec::new(),
        })
    }

    fn listen(&mut self, time: Duration) -> Result<(), Fault> {
        let began = now_nanos();
        loop {
            let left = time.saturating_sub(since(began));
            match self.heard.recv_timeout(left) {
                Ok((node, life, said)) => self.hear(node, life, said)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err("nobody speaks".into()),
            }
        }
    }

    fn hear(&mut self, node: usize, life: u32, said: Option<Said>) -> Result<(), Fault> {
        match said {
            None if life == self.nodes[node].life => {
                return Err(format!("the {} has ended by itself", NAMES[node]).into());
            }
            // What a killed one had still said.
            None => {}
            Some(Said::Ready) => {
                let took = since(self.nodes[node].started_nanos);
                self.known[node].starts.push(took);
                self.known[node].is_ready = true;
            }
            Some(Said::Wrote(wrote)) => {
                self.writes += 1;
                // The other may have been killed a moment ago.
                if self.known[1].is_ready
                    && let Some(stdin) = &mut self.nodes[1].child.stdin
                {
                    drop(writeln!(stdin, "{}", wrote.to_line()));
                }
            }
            Some(Said::Lag(nanos)) => self.lags.push(nanos),
            Some(Said::Tally(tally)) => {
                let total = &mut self.known[node].total;
                total.reads += tally.reads;
                total.loads += tally.loads;
                total.stale += tally.stale;
                total.late += tally.late;
            }
        }
        Ok(())
    }

    /// SIGKILL, and a new life.
    fn kill(&mut self, node: usize) -> Result<(), Fault> {
        self.nodes[node].child.kill()?;
        self.nodes[node].child.wait()?;
        self.known[node].is_ready = false;
        let life = self.nodes[node].life + 1;
        self.nodes[node] = start(self.options, self.file, node, life, &self.told)?;
        Ok(())
    }

    /// Lets both end by themselves.
    fn stop(&mut self) -> Result<(), Fault> {
        for node in &mut self.nodes {
            node.life += 1;
            if let Some(mut stdin) = node.child.stdin.take() {
                drop(writeln!(stdin, "stop"));
            }
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].child.wait()?;
        }
        self.listen(Duration::from_millis(200))
    }

    /// Says how it was; whether everything held.
    fn report(&mut self) -> std::io::Result<bool> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\n{:8} {:>10} {:>7} {:>7} {:>16}",
            "process", "reads", "hits", "stale", "sure after"
        )?;
        for (name, known) in NAMES.iter().zip(&self.known) {
            let Tally {
                reads, loads, stale, ..
            } = known.total;
            let hits = 100.0 * (1.0 - ratio(loads, reads));
            let starts: Vec<String> = known
                .starts
                .iter()
                .map(|time| format!("{} ms", time.as_millis()))
                .collect();
            writeln!(
                out,
                "{name:8} {reads:>10} {hits:>6.1}% {stale:>7} {:>16}",
                starts.join(", ")
            )?;
        }
        self.lags.sort_unstable();
        let at = |part: usize| {
            let index = (self.lags.len() * part / 100).min(self.lags.len().saturating_sub(1));
            let nanos = self.lags.get(index).copied().unwrap_or_default();
            Duration::from_nanos(nanos)
        };
        writeln!(
            out,
            "\n{} commits; {} of them while the reader was there: applied after {:.1?} (p50), {:.1?} (p99)",
            self.writes,
            self.lags.len(),
            at(50),
            at(99)
        )?;
        let late: u64 = self.known.iter().map(|known| known.total.late).sum();
        let stale: u64 = self.known.iter().map(|known| known.total.stale).sum();
        let all_came_back = self.known.iter().all(|known| known.starts.len() == 2);
        writeln!(out, "stale reads: {stale}; commits that were not applied: {late}")?;
        if !all_came_back {
            writeln!(out, "not every process came back")?;
        }
        Ok(stale == 0 && late == 0 && all_came_back && self.writes > 0 && !self.lags.is_empty())
    }
}

fn start(
    options: &Options,
    file: &Path,
    node: usize,
    life: u32,
    told: &Sender<Heard>,
) -> Result<Running, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--node").arg(file);
    command.args(["--rows", &options.rows.to_string()]);
    let seed = options
        .seed
        .wrapping_mul(4)
        .wrapping_add(u64::from(life) * 2 + u64::try_from(node)?);
    command.args(["--seed", &seed.to_string()]);
    if node == 0 {
        command.arg("--writes");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("a process without an output")?;
    let told = told.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            // A line may have been cut short by the kill.
            let said = line.ok().and_then(|line| Said::of_line(&line));
            if said.is_some() && told.send((node, life, said)).is_err() {
                return;
            }
        }
        drop(told.send((node, life, None)));
    });
    Ok(Running {
        child,
        life,
        started_nanos: now_nanos(),
    })
}

fn since(nanos: u64) -> Duration {
    Duration::from_nanos(now_nanos().saturating_sub(nanos))
}

fn ratio(part: u64, whole: u64) -> f64 {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}

impl Drop for Play<'_> {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            drop(node.child.kill());
            drop(node.child.wait());
        }
    }
}
