//! [`Plain`]: what the pools are held against: a cache with a time to live, whose nodes tell each other what they have changed, as best they can.
//!
//! It is moka's future cache, used as its documentation says: loads of one key are coalesced, an absent row is not kept, what a commit changes is
//! invalidated after it. The other node is told by a datagram for each row. Nothing orders a load against an invalidation that comes in the
//! meantime, and a datagram that is lost is lost: one in a hundred on purpose, drawn from the seed, and all that come while a node is down.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use sqlx::SqlitePool;
use tokio::net::UdpSocket;

use super::super::checker::{Read, RowKey};
use super::super::random::Random;
use super::super::shop;
use super::super::words::{Said, now_nanos};
use crate::fault::Fault;

/// How long an entry lives that nobody invalidates.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);
/// As many as the three pools hold together.
const CAPACITY: u64 = 300_000;
/// One message in so many is lost.
const MESSAGES_A_LOSS: u64 = 100;

/// Why a load brought nothing to keep.
#[derive(Clone, Copy, Debug)]
enum Nothing {
    Absent,
    Failed,
}

pub(super) struct Plain {
    cache: Cache<RowKey, u64>,
    database: SqlitePool,
    socket: UdpSocket,
    /// Where the other node hears of changes; 0 while that is not known.
    peer: AtomicU16,
    random: Mutex<Random>,
    pub(super) reads: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) lost: AtomicU64,
}

impl Plain {
    pub(super) async fn open(database: SqlitePool, seed: u64) -> Result<Arc<Self>, Fault> {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(TIME_TO_LIVE)
            .build();
        let plain = Arc::new(Plain {
            cache,
            database,
            socket: UdpSocket::bind("127.0.0.1:0").await?,
            peer: AtomicU16::new(0),
            random: Mutex::new(Random::new(seed)),
            reads: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        tokio::spawn(Arc::clone(&plain).heed_for_ever());
        Ok(plain)
    }

    pub(super) fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    pub(super) fn set_peer(&self, port: u16) {
        self.peer.store(port, Ordering::Relaxed);
    }

    /// A read of a row, for the checker, by somebody who may know of a commit of this position; none if the database could not be read.
    ///
    /// The cache itself knows of no positions, and so has never applied any.
    pub(super) async fn read(&self, row: RowKey, token: Option<u64>) -> Option<Said> {
        let began_nanos = now_nanos();
        let version = self.version(row).await.ok()?;
        Some(Said::Plain(Read {
            node: 0,
            row,
            version,
            applied: 0,
            token,
            began_nanos,
        }))
    }

    /// The version of a row, from memory or from the database.
    pub(super) async fn version(&self, row: RowKey) -> Result<Option<u64>, Fault> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(version) = self.cache.get(&row).await {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(version));
        }
        let load = async {
            let version = shop::version_of(&self.database, row).await;
            version.map_err(|_| Nothing::Failed)?.ok_or(Nothing::Absent)
        };
        match self.cache.try_get_with(row, load).await {
            Ok(version) => Ok(Some(version)),
            Err(nothing) => match *nothing {
                Nothing::Absent => Ok(None),
                Nothing::Failed => Err("the plain cache could not load a row".into()),
            },
        }
    }

    /// A commit has changed this row: it is dropped here, and the other node is told.
    pub(super) async fn changed(&self, (kind, id): RowKey) {
        self.cache.invalidate(&(kind, id)).await;
        let peer = self.peer.load(Ordering::Relaxed);
        if peer == 0 {
            return;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        let draw = self
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .below(MESSAGES_A_LOSS);
        if draw == 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let message = format!("{kind} {id}");
        // Nobody may be there to hear it.
        drop(self.socket.send_to(message.as_bytes(), ("127.0.0.1", peer)).await);
    }

    async fn heed_for_ever(self: Arc<Self>) {
        let mut buffer = [0; 64];
        loop {
            // An error is about a message that was sent before, to a node that was down.
            let Ok((length, _)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            let text = buffer
                .get(..length)
                .and_then(|bytes| std::str::from_utf8(bytes).ok());
            let row = text.and_then(|text| {
                let (kind, id) = text.split_once(' ')?;
                Some((kind.parse().ok()?, id.parse().ok()?))
            });
            if let Some(row) = row {
                self.cache.invalidate(&row).await;
            }
        }
    }

    /// Every live entry, with its version.
    pub(super) fn residents(&self) -> Vec<(RowKey, u64)> {
        let entries = self.cache.iter();
        entries.map(|(row, version)| (*row, version)).collect()
    }
}
