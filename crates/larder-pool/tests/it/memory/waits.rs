//! Who waits for whom: readers for nobody's foreign code.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use larder_pool::{FetchError, OnConflict, Pool};
use larder_testkit::poll_once;

use super::thorn::{Garden, Plot, Spot, Thorn, ThornId, pass, plan, thorn};

/// Longer than anything takes that waits for nobody.
const LONG: Duration = Duration::from_secs(20);

/// Parks the thread at this spot: says that it is there, and goes on when it is told to.
fn park(spot: Spot, nth: usize) -> (impl FnOnce() + Send, Receiver<()>, Sender<()>) {
    let (there, is_there) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let arm = move || {
        plan(spot, nth, move || {
            there.send(()).unwrap();
            may_go_on.recv_timeout(LONG).unwrap();
        });
    };
    (arm, is_there, go_on)
}

/// Runs this on another thread, which must not wait for the one that is parked.
fn not_waiting<R: Send + 'static>(pool: &Pool<Thorn>, what: &str, work: fn(&Pool<Thorn>) -> R) -> R {
    let (done, ended) = channel();
    let pool = pool.clone();
    thread::spawn(move || done.send(work(&pool)));
    ended
        .recv_timeout(LONG)
        .unwrap_or_else(|_| panic!("it waits: {what}"))
}

/// All reads, of every id; the ids that are live.
fn read_everything(pool: &Pool<Thorn>) -> Vec<u64> {
    let ids: Vec<ThornId> = (1..=8).map(ThornId).collect();
    let got = ids.iter().filter(|id| pool.get(*id).is_some()).map(|id| id.0);
    let got: Vec<u64> = got.collect();
    let peeked = ids
        .iter()
        .filter(|id| pool.peek(*id).is_some() && pool.contains(*id));
    assert_eq!(got, peeked.map(|id| id.0).collect::<Vec<_>>());
    let many = pool.get_many(&ids);
    assert_eq!(many.iter().flatten().count(), got.len());
    assert!(pool.len() >= got.len());
    got
}

/// A writer that is parked, at each kind of foreign code, for each way to write.
fn parked_writer(watched: bool, spot: Spot, write: (&str, fn(&Pool<Thorn>))) {
    let mut garden = Garden::new(Plot::new(1_000, OnConflict::Replace, watched));
    garden.read_events();
    let (arm, is_there, go_on) = park(spot, 0);
    let (writer, call) = (garden.pool.clone(), write.1);
    let parked = thread::spawn(move || {
        arm();
        call(&writer);
    });
    let what = format!("{spot:?} in {}", write.0);
    is_there
        .recv_timeout(LONG)
        .unwrap_or_else(|_| panic!("never there: {what}"));
    let live = not_waiting(&garden.pool, &what, read_everything);
    assert!(live.contains(&6), "{what}: {live:?}");
    // Nor do writers: no lock is held there.
    let written = not_waiting(&garden.pool, &what, |pool| {
        pool.insert(thorn(30, 1)).unwrap();
        pool.remove(&ThornId(30)).is_some()
    });
    assert!(written, "{what}");
    go_on.send(()).unwrap();
    parked.join().unwrap();
}

/// A writer is parked in the hash of its id, in what it asks of the value, in a drop, in a listener: nobody waits for it.
///
/// Contract: P28 (partial: another's foreign code)
#[test]
fn a_parked_writer_stops_no_reader_and_no_other_writer() {
    let insert: (&str, fn(&Pool<Thorn>)) = ("insert", |pool| drop(pool.insert(thorn(1, 2))));
    for spot in [
        Spot::Id,
        Spot::Hash,
        Spot::Tags,
        Spot::Key,
        Spot::Weigher,
        Spot::Drop,
        Spot::DropId,
    ] {
        parked_writer(false, spot, insert);
    }
    for spot in [Spot::Listener, Spot::Metrics] {
        parked_writer(true, spot, insert);
    }
    let remove: (&str, fn(&Pool<Thorn>)) = ("remove", |pool| drop(pool.remove(&ThornId(2))));
    for spot in [Spot::Hash, Spot::Key, Spot::Drop, Spot::DropId] {
        parked_writer(false, spot, remove);
    }
    let update: (&str, fn(&Pool<Thorn>)) = ("update", |pool| {
        drop(pool.update(&ThornId(3), |old| {
            pass(Spot::Closure);
            thorn(old.id, 2)
        }));
    });
    for spot in [Spot::Closure, Spot::Hash, Spot::Weigher, Spot::Drop] {
        parked_writer(false, spot, update);
    }
}

/// A batch that is prepared, and a scan that is under way, keep nobody waiting.
///
/// Contract: P28 (partial: batches and scans)
#[test]
fn a_batch_in_preparation_and_a_scan_stop_nobody() {
    let batch: (&str, fn(&Pool<Thorn>)) = ("batch", |pool| {
        let batch = pool.batch().insert(thorn(1, 2)).insert(thorn(2, 2));
        drop(batch.remove(&ThornId(3)).commit());
    });
    for spot in [
        Spot::Id,
        Spot::Hash,
        Spot::CloneId,
        Spot::Tags,
        Spot::Weigher,
        Spot::Drop,
    ] {
        parked_writer(false, spot, batch);
    }
    let retain: (&str, fn(&Pool<Thorn>)) = ("retain", |pool| {
        pool.retain(|thorn| {
            pass(Spot::Closure);
            thorn.id > 2
        });
    });
    for spot in [Spot::Closure, Spot::Drop] {
        parked_writer(false, spot, retain);
    }
    let many: (&str, fn(&Pool<Thorn>)) = ("get many", |pool| {
        drop(pool.get_many(&[ThornId(1), ThornId(2)]));
    });
    parked_writer(false, Spot::Hash, many);
}

/// A load is under way, of this id even: reads do not wait for it.
///
/// Contract: P28 (partial: loaders)
#[test]
fn a_load_stops_no_read() {
    let garden = Garden::new(Plot::new(1_000, OnConflict::Replace, false));
    let (sender, receiver) = oneshot::channel::<Thorn>();
    let load = |_| receiver;
    let id = ThornId(9);
    let mut call = Box::pin(garden.pool.get_or_fetch(&id, load));
    assert!(poll_once(call.as_mut()).is_pending());
    let live = not_waiting(&garden.pool, "a load", |pool| {
        assert!(pool.get(&ThornId(9)).is_none());
        read_everything(pool)
    });
    assert_eq!(live, [1, 2, 3, 4, 5, 6]);
    sender.send(thorn(9, 1)).ok().unwrap();
    let answer: Result<_, FetchError> = match poll_once(call.as_mut()) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the load has ended"),
    };
    assert_eq!(answer.unwrap().unwrap().version, 1);
}
