//! A node that stands still: for longer than the bound nothing of it runs, as when its process is stopped, its machine sleeps or its runtime is blocked.
//! Meanwhile the other node writes, and the wire is down, as with a pub/sub that has no memory. When the node goes on, the first thing that it does is to
//! read every row, before anything else of it has run.
//!
//! The reading node is a runtime of one thread, and that thread is blocked.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::runtime::Builder;

use super::chance::skewed;
use super::judge::{Judge, Place};
use super::nodes::{prove_that_it_keeps, write};
use super::origin::Origin;
use super::services::{Service, all_heard, service};
use super::wire::Wire;
use super::{BOUND, Fault, MARGIN, Played, SEED, Subject, runtime};

const ROWS: u64 = 2_000;
/// How often it stands still.
const PAUSES: u64 = 3;

struct World {
    origin: Arc<Origin>,
    wire: Arc<Wire>,
    judge: Judge,
}

/// What the node says to the writer.
enum Said {
    Ready(Arc<dyn Service>),
    /// From now on it stands still, until it is told to go on.
    StandsStill,
}

pub(super) fn play(subject: Subject, writes: u64) -> Result<Played, Fault> {
    let world = World {
        origin: Origin::in_memory(ROWS, 0, SEED),
        wire: Arc::new(Wire::losing(0, SEED)),
        judge: Judge::new(ROWS, BOUND),
    };
    let at_rest = thread::scope(|scope| {
        let (says, said) = channel();
        let (goes_on, told) = channel();
        let node = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            // What it says and hears ends with it, so that nobody waits for a node that has failed.
            let (says, told) = (says, told);
            runtime.block_on(world.read(subject, &says, &told))
        });
        let written = world.write(writes, &said, &goes_on);
        drop(goes_on);
        let at_rest = node.join().expect("the node does not panic")?;
        written?;
        Ok::<_, Fault>(at_rest)
    })?;
    Ok(Played {
        tally: world.judge.tally(),
        at_rest,
        loads: world.origin.loads(),
        overtaken: None,
        lost: Some(world.wire.lost()),
    })
}

impl World {
    /// The writing node's part.
    fn write(&self, writes: u64, said: &Receiver<Said>, goes_on: &Sender<()>) -> Result<(), Fault> {
        let runtime = runtime()?;
        let Said::Ready(service) = said.recv()? else {
            return Err("a node is ready before it stands still".into());
        };
        for pause in 0..PAUSES {
            let Said::StandsStill = said.recv()? else {
                return Err("a node is ready once".into());
            };
            self.wire.take_down();
            runtime.block_on(async {
                for number in pause * writes / PAUSES..(pause + 1) * writes / PAUSES {
                    write(&*service, &self.judge, skewed(SEED, number, ROWS)).await?;
                }
                Ok::<_, Fault>(())
            })?;
            thread::sleep(BOUND + MARGIN);
            self.wire.put_up();
            goes_on.send(())?;
        }
        Ok(())
    }

    /// The reading node's part: how many reads were stale in the end.
    async fn read(&self, subject: Subject, says: &Sender<Said>, told: &Receiver<()>) -> Result<u64, Fault> {
        let service = service(subject, &self.origin, &self.wire, None).await?;
        prove_that_it_keeps(&*service, &self.origin).await?;
        says.send(Said::Ready(Arc::clone(&service)))?;
        for _ in 0..PAUSES {
            self.read_all(&*service).await?;
            says.send(Said::StandsStill)?;
            // This blocks the node's only thread.
            told.recv()?;
            self.read_all(&*service).await?;
        }
        all_heard(&*service, &self.wire).await?;
        tokio::time::sleep(BOUND + MARGIN).await;
        self.read_all(&*service).await
    }

    /// How many of the reads were stale.
    async fn read_all(&self, service: &dyn Service) -> Result<u64, Fault> {
        let mut stale = 0;
        for row in 0..ROWS {
            let due = self.judge.begin(row, Place::OtherNode);
            let version = service.read(row).await?;
            stale += u64::from(self.judge.end(due, version));
        }
        Ok(stale)
    }
}
