//! Who reads nodes from outside, over loopback: rows at random, and rows that somebody has just written, with the token of that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::UnboundedSender;

use super::checker::Read;
use super::process::Heard;
use super::random::Random;
use super::shop::{CUSTOMER, PRODUCT, Size};
use super::words::{now_nanos, optional};
use crate::fault::Fault;

/// How many of the last commits are asked for.
const RECENT_MAX: usize = 64;
const PAUSE: Duration = Duration::from_micros(500);
/// A node that does not answer within this is left, and called again.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A commit that was acknowledged: its position, the row that it changed, its token.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) position: u64,
    pub(crate) row: (u8, i64),
    pub(crate) token: String,
}

/// What callers know: where the nodes are, and what was written of late.
#[derive(Debug, Default)]
pub(crate) struct Known {
    ports: Mutex<[Option<u16>; 2]>,
    recent: Mutex<VecDeque<Commit>>,
}

impl Known {
    pub(crate) fn set_port(&self, node: usize, port: Option<u16>) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = ports.get_mut(node) {
            *place = port;
        }
    }

    pub(crate) fn port(&self, node: usize) -> Option<u16> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(node).copied().flatten()
    }

    pub(crate) fn wrote(&self, commit: Commit) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(commit);
    }

    fn some_commit(&self, random: &mut Random) -> Option<Commit> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(random.below(recent.len() as u64)).unwrap_or(0);
        recent.get(at).cloned()
    }
}

/// What callers ask a node for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// Rows of its pools.
    Pools,
    /// And after each, the same row of the plain cache beside.
    Both,
}

/// Reads both nodes in turn, for as long as somebody listens.
pub(crate) async fn call_for_ever(
    known: Arc<Known>,
    asked: Asked,
    size: Size,
    seed: u64,
    told: UnboundedSender<Heard>,
) {
    let mut random = Random::new(seed);
    let mut lines: [Option<(u16, Line)>; 2] = [None, None];
    let mut node = 0;
    while !told.is_closed() {
        node = 1 - node;
        let read = tokio::time::timeout(
            ANSWER_WITHIN,
            call(&known, &mut lines[node], node, asked, size, &mut random),
        )
        .await;
        match read {
            Ok(Ok(heard)) => heard.into_iter().for_each(|heard| drop(told.send(heard))),
            // It was killed, or is not there yet.
            Ok(Err(_)) | Err(_) => lines[node] = None,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn call(
    known: &Known,
    line: &mut Option<(u16, Line)>,
    node: usize,
    asked: Asked,
    size: Size,
    random: &mut Random,
) -> Result<Vec<Heard>, Fault> {
    let Some(port) = known.port(node) else {
        return Ok(Vec::new());
    };
    if line.as_ref().is_none_or(|(to, _)| *to != port) {
        *line = Some((port, Line::to(port).await?));
    }
    let Some((_, line)) = line else {
        return Ok(Vec::new());
    };
    let commit = if random.below(2) == 0 {
        known.some_commit(random)
    } else {
        None
    };
    let (row, token, position) = match commit {
        Some(commit) => (commit.row, commit.token, Some(commit.position)),
        None if random.below(2) == 0 => ((CUSTOMER, random.id(size.customers)), "-".to_owned(), None),
        None => ((PRODUCT, random.id(size.products)), "-".to_owned(), None),
    };
    let began_nanos = now_nanos();
    let answer = line.ask(&format!("get {} {} {token}", row.0, row.1)).await?;
    let Some((version, applied)) = answer.split_once(' ') else {
        return Err("no answer".into());
    };
    let read = Read {
        node,
        row,
        version: optional(version).ok_or("no version")?,
        applied: applied.parse()?,
        token: position,
        began_nanos,
    };
    let mut heard = vec![Heard::Read(read)];
    if matches!(asked, Asked::Both) {
        let began_nanos = now_nanos();
        let answer = line.ask(&format!("plain {} {}", row.0, row.1)).await?;
        heard.push(Heard::Plain(Read {
            version: optional(&answer).ok_or("no version")?,
            applied: 0,
            began_nanos,
            ..read
        }));
    }
    Ok(heard)
}

/// A connection to a node.
pub(crate) struct Line {
    read: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Line {
    pub(crate) async fn to(port: u16) -> Result<Self, Fault> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Line {
            read: BufReader::new(read).lines(),
            write,
        })
    }

    pub(crate) async fn ask(&mut self, what: &str) -> Result<String, Fault> {
        self.write.write_all(format!("{what}\n").as_bytes()).await?;
        self.next().await
    }

    pub(crate) async fn next(&mut self) -> Result<String, Fault> {
        let line = self.read.next_line().await?;
        line.ok_or_else(|| "the node has hung up".into())
    }
}
