//! Processes on one file that are killed, with SIGKILL, at random moments, most of them inside an open transaction or claim: what was
//! acknowledged is there, whoever follows has heard of all of it, no cursor is ahead of what it vouches for, and each row is relayed.
//!
//! A process is this test binary again, asked for one test, with its part in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{
    Cursor, CursorHome, Fence, Invalidation, Position, SaveError, Settled, Sink, SinkError, Target,
};
use larder_outbox::{Backoff, Group, Outbox, OutboxRow, PublishFn, Published, Relay};
use larder_testkit::Random;

use super::ground::{MODES, ground, pool, user};

const PART: &str = "LARDER_TEST_PART";
const FOLDER: &str = "LARDER_TEST_FOLDER";
const ROWS: u64 = 20;
/// The parts of a round: the first are killed inside a transaction, the next inside a claim, the last at any moment.
const WRITERS: usize = 2;
const RELAYS: usize = 2;
const FOLLOWER: usize = WRITERS + RELAYS;
const KILLS: usize = 12;
/// Rounds of the suite, unless a seed is given.
const ROUNDS: u64 = 5;
const GROUP: &str = "mail";

pub(super) fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{words}").and_then(|()| out.flush()));
}

/// The part of a process. As a test it has nothing to do.
#[test]
fn a_part() {
    let (Ok(part), Ok(folder)) = (std::env::var(PART), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Whoever started this ends with its output closed.
    std::thread::spawn(|| {
        drop(std::io::stdin().lock().read_line(&mut String::new()));
        std::process::exit(0);
    });
    match part.split_once(' ') {
        Some(("writer", seed)) => runtime.block_on(write(&folder, seed.parse().unwrap())),
        Some(("relay", seed)) => runtime.block_on(relay(&folder, seed.parse().unwrap())),
        _ => runtime.block_on(follow(&folder)),
    }
}

/// Raises versions in its own transactions, and says when it is in one, and which are committed.
async fn write(folder: &Path, seed: u64) {
    let mut random = Random::seeded(seed);
    let pool = pool(&folder.join("shop.db"), MODES[0]).await;
    let outbox = Outbox::builder(pool).open().await.unwrap();
    loop {
        let id = random.below(ROWS);
        let Ok(mut transaction) = outbox.begin().await else {
            continue;
        };
        let raise = "INSERT INTO users VALUES (?, '1') ON CONFLICT DO UPDATE SET name = name + 1 RETURNING CAST(name AS INTEGER)";
        let version: i64 = sqlx::query_scalar(raise)
            .bind(i64::try_from(id).unwrap())
            .fetch_one(transaction.connection())
            .await
            .unwrap();
        say("open");
        let recorded = transaction.record(&user(id)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.below(4))).await;
        if random.chance(20) {
            transaction.rollback().await.unwrap();
            say("shut");
            continue;
        }
        if transaction.commit().await.is_ok() {
            say(&format!("ack {id} {version} {}", recorded.position().unwrap()));
        }
    }
}

/// Keeps what it is told in a file, line by line, before it says that it has.
struct Ledger(Mutex<std::fs::File>);

impl Sink for Ledger {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&format!("{} {}\n", row.position(), row.target()));
        }
        let mut file = self.0.lock().unwrap();
        file.write_all(lines.as_bytes()).map_err(SinkError::new)?;
        Ok(Settled::at_once())
    }

    fn widen(&self, target: &Target) -> Result<Settled, SinkError> {
        let mut file = self.0.lock().unwrap();
        writeln!(file, "flush {target}").map_err(SinkError::new)?;
        Ok(Settled::at_once())
    }
}

/// A cursor in a file that is exchanged whole.
struct Home(PathBuf);

impl CursorHome for Home {
    fn load(&self) -> Option<Cursor> {
        Cursor::decode(&std::fs::read(&self.0).ok()?).ok()
    }

    fn save(&self, cursor: &Cursor) -> Result<(), SaveError> {
        let new = self.0.with_extension("new");
        std::fs::write(&new, cursor.encode()).map_err(SaveError::new)?;
        std::fs::rename(&new, &self.0).map_err(SaveError::new)
    }
}

/// Keeps what it publishes in a file, and says when it holds rows.
async fn relay(folder: &Path, seed: u64) {
    let pool = pool(&folder.join("shop.db"), MODES[0]).await;
    let outbox = Outbox::builder(pool).open().await.unwrap();
    let random = Arc::new(Mutex::new(Random::seeded(seed)));
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("published"))
        .unwrap();
    let file = Arc::new(Mutex::new(file));
    let publish = PublishFn::new(move |rows: &[OutboxRow]| {
        say("open");
        let lines: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}\n", row.id, row.target))
            .collect();
        let (time, is_done) = {
            let mut random = random.lock().unwrap();
            (Duration::from_millis(random.below(4)), random.chance(900))
        };
        let file = Arc::clone(&file);
        Box::pin(async move {
            tokio::time::sleep(time).await;
            if !is_done {
                return vec![Published::Retry("now and then".to_owned()); lines.len()];
            }
            file.lock().unwrap().write_all(lines.concat().as_bytes()).unwrap();
            vec![Published::Done; lines.len()]
        })
    });
    let relay = Relay::builder(outbox.store(), publish)
        .group(GROUP)
        .batch_size(4)
        .claim_ttl(Duration::from_secs(1))
        .backoff(Backoff::fixed(Duration::from_millis(20)))
        .max_attempts(1_000);
    let relay = relay.open().await.unwrap();
    loop {
        if relay.run_once().await.is_ok_and(|report| report.claimed > 0) {
            say("shut");
        } else {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn follow(folder: &Path) {
    let pool = pool(&folder.join("shop.db"), MODES[0]).await;
    let outbox = Outbox::builder(pool).open().await.unwrap();
    let fence = Fence::builder().build().unwrap();
    let ledger = std::fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("ledger"))
        .unwrap();
    let ledger = Arc::new(Ledger(Mutex::new(ledger)));
    let _registration = fence.sink(ledger).unwrap();
    let home = Arc::new(Home(folder.join("cursor")));
    let mut follower = outbox.follower(&fence).cursor_home(home).build().unwrap();
    follower.run(std::future::pending()).await.unwrap();
}

/// A process, and what it said last.
struct Running {
    child: Child,
    part: String,
    is_open: bool,
}

fn start(folder: &Path, number: usize, part: &str, told: &Sender<(usize, String)>) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["processes::a_part", "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (out, told) = (child.stdout.take().unwrap(), told.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if told.send((number, line)).is_err() {
                break;
            }
        }
    });
    Running {
        child,
        part: part.to_owned(),
        is_open: false,
    }
}

/// What was acknowledged: by position, the row and its version.
type Acknowledged = BTreeMap<u64, (u64, i64)>;

struct Round {
    folder: PathBuf,
    running: Vec<Running>,
    told: Sender<(usize, String)>,
    heard: Receiver<(usize, String)>,
    acknowledged: Acknowledged,
}

impl Round {
    /// Until one of these is inside a transaction or claim.
    fn hear_for(&mut self, time: Duration, among: &std::ops::Range<usize>) {
        if among.start == FOLLOWER {
            return;
        }
        while let Ok((number, line)) = self.heard.recv_timeout(time) {
            self.hear(number, &line);
            if line == "open" && among.contains(&number) {
                return;
            }
        }
    }

    fn hear(&mut self, number: usize, line: &str) {
        let mut words = line.split(' ');
        match words.next() {
            Some("open") => self.running[number].is_open = true,
            Some("shut") => self.running[number].is_open = false,
            Some("ack") => {
                self.running[number].is_open = false;
                let numbers: Vec<i64> = words.map_while(|word| word.parse().ok()).collect();
                // A line may have been cut short by a kill.
                if let [id, version, position] = numbers[..] {
                    let id = u64::try_from(id).unwrap();
                    self.acknowledged
                        .insert(u64::try_from(position).unwrap(), (id, version));
                }
            }
            _ => {}
        }
    }

    /// Kills one, and starts it again; whether it was inside a transaction.
    async fn kill(&mut self, number: usize, seed: u64) -> bool {
        self.running[number].child.kill().unwrap();
        self.running[number].child.wait().unwrap();
        // What it has still said is on its way.
        tokio::time::sleep(Duration::from_millis(2)).await;
        while let Ok((number, line)) = self.heard.try_recv() {
            self.hear(number, &line);
        }
        let was_open = self.running[number].is_open;
        let part = match self.running[number].part.split_once(' ') {
            Some((part, _)) => format!("{part} {seed}"),
            None => self.running[number].part.clone(),
        };
        self.running[number] = start(&self.folder, number, &part, &self.told);
        was_open
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        for running in &mut self.running {
            drop(running.child.kill());
            drop(running.child.wait());
        }
    }
}

/// Lines of the ledger: what was told by position; a flush tells everything before it.
fn ledger(folder: &Path) -> BTreeSet<(u64, String)> {
    let text = std::fs::read_to_string(folder.join("ledger")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| {
        let (position, target) = line.split_once(' ')?;
        Some((position.parse().ok()?, target.to_owned()))
    });
    pairs.collect()
}

/// What was relayed: ids of rows, and their targets.
fn published(folder: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(folder.join("published")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(id, target)| (id.to_owned(), target.to_owned()))
        .collect()
}

/// Where processes were when they were killed.
#[derive(Default)]
struct Killed {
    kills: usize,
    in_transaction: usize,
    in_claim: usize,
}

/// Contract: O16, O23 (partial: a commit nobody answers for), O50 (partial: a cursor is not ahead)
#[test]
fn killed_processes_lose_nothing_that_was_acknowledged() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let Killed {
        kills,
        in_transaction,
        in_claim,
    } = runtime.block_on(rounds());
    let seeds = larder_testkit::seeds(ROUNDS);
    say(&format!(
        "seed {seeds:?}: of {kills} kills {in_transaction} were inside an open transaction, {in_claim} inside a claim"
    ));
    assert!(
        in_transaction + in_claim >= kills / 3 && in_transaction > 0 && in_claim > 0,
        "too few kills were where it matters: {in_transaction} and {in_claim} of {kills}"
    );
}

async fn rounds() -> Killed {
    let mut killed = Killed::default();
    for seed in larder_testkit::seeds(ROUNDS) {
        let ground = ground(MODES[0]).await;
        let folder = ground.folder.path().to_owned();
        let first = ground.outbox.head().await.unwrap().cursor;
        // So that a start is warm from the beginning, and nothing is told by a flush.
        Home(folder.join("cursor")).save(&first).unwrap();
        let (told, heard) = mpsc::channel();
        let mut parts: Vec<String> = (0..WRITERS)
            .map(|number| format!("writer {}", seed * 100 + number as u64))
            .collect();
        parts.extend((0..RELAYS).map(|number| format!("relay {}", seed * 100 + 50 + number as u64)));
        parts.push("follower".to_owned());
        ground
            .outbox
            .store()
            .open_group(&Group::new(GROUP))
            .await
            .unwrap();
        let running = parts
            .iter()
            .enumerate()
            .map(|(number, part)| start(&folder, number, part, &told));
        let mut round = Round {
            running: running.collect(),
            folder: folder.clone(),
            told,
            heard,
            acknowledged: Acknowledged::new(),
        };
        let mut random = Random::seeded(seed);
        for kill in 0..KILLS {
            // Until somebody is inside a transaction, and then a moment longer.
            let among = [0..WRITERS, WRITERS..FOLLOWER, 0..WRITERS, FOLLOWER..FOLLOWER + 1][kill % 4].clone();
            round.hear_for(Duration::from_secs(5), &among);
            tokio::time::sleep(Duration::from_micros(random.below(3_000))).await;
            let open = among.clone().find(|number| round.running[*number].is_open);
            let number = open.unwrap_or(among.start);
            if number == FOLLOWER {
                // Whoever follows is killed too; its cursor vouches for no more than it had told.
                let saved = Home(folder.join("cursor")).load().unwrap();
                let (rows, _) = ground.read_all(&first, 1_000).await;
                let heard = ledger(&folder);
                for (position, text) in super::ground::texts(&rows) {
                    let is_vouched_for = saved.includes(Position::new(position));
                    assert!(
                        !is_vouched_for || heard.contains(&(position, text)),
                        "seed {seed}: {position}"
                    );
                }
            }
            let was_open = round.kill(number, seed * 1_000 + kill as u64).await;
            killed.kills += 1;
            killed.in_transaction += usize::from(was_open && number < WRITERS);
            killed.in_claim += usize::from(was_open && number >= WRITERS);
        }
        round.hear_for(Duration::from_secs(5), &(0..WRITERS));
        for writer in 0..WRITERS {
            round.running[writer].child.kill().unwrap();
            round.running[writer].child.wait().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        while let Ok((number, line)) = round.heard.try_recv() {
            round.hear(number, &line);
        }
        check(&ground, &first, &round.acknowledged, seed).await;
    }
    killed
}

async fn check(ground: &super::ground::Ground, first: &Cursor, acknowledged: &Acknowledged, seed: u64) {
    let (rows, _) = ground.read_all(first, 1_000).await;
    let rows = super::ground::texts(&rows);
    assert!(
        acknowledged.len() >= 5,
        "seed {seed}: only {} commits",
        acknowledged.len()
    );
    for (position, (id, version)) in acknowledged {
        let text = format!("entity:user/{id}");
        assert!(
            rows.contains(&(*position, text)),
            "seed {seed}: {position} was acknowledged and is lost"
        );
        let now: i64 = sqlx::query_scalar("SELECT CAST(name AS INTEGER) FROM users WHERE id = ?")
            .bind(i64::try_from(*id).unwrap())
            .fetch_one(&ground.pool)
            .await
            .unwrap();
        assert!(
            now >= *version,
            "seed {seed}: row {id} is older than what was acknowledged"
        );
    }
    // As many changes as records: both were committed, or neither was.
    let changes = ground
        .number("SELECT sum(CAST(name AS INTEGER)) FROM users")
        .await;
    assert_eq!(usize::try_from(changes).unwrap(), rows.len(), "seed {seed}");
    // The follower, killed now and then, hears of all of it.
    let folder = ground.folder.path();
    // And the relays publish all of it, whoever of them was killed while it held rows.
    let store = ground.outbox.store();
    let relayed: BTreeSet<String> = rows
        .iter()
        .map(|(position, _)| format!("/{position}-0"))
        .collect();
    let mut heard = (false, false);
    for _ in 0..1_000 {
        heard.0 = heard.0 || rows.iter().all(|row| ledger(folder).contains(row));
        let status = store.status(GROUP, None).await.unwrap();
        assert_eq!(status.dead_lettered.at_least(), 0, "seed {seed}");
        if status.pending.at_least() == 0 {
            let published = published(folder);
            let lacks = |row: &&String| !published.iter().any(|(id, _)| id.ends_with(row.as_str()));
            let lost: Vec<&String> = relayed.iter().filter(lacks).collect();
            assert!(
                lost.is_empty(),
                "seed {seed}: acknowledged, and never published: {lost:?}"
            );
            heard.1 = true;
        }
        if heard == (true, true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("seed {seed}: heard and relayed: {heard:?}");
}
