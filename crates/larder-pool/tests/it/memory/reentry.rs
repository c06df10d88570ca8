//! Foreign code that calls the pool back: it runs under no lock, and its calls count like others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use larder_core::Target;
use larder_pool::{Capacity, Changed, OnConflict, Pool, PoolMetrics, Reason, Tier};

use super::rows::by_others;
use super::thorn::{CALLS, Call, Garden, Plot, Spot, ThornId, is_done, pass, plan, thorn};

/// The foreign code that runs under no lock: all but the `Eq` of ids.
const SPOTS: [Spot; 13] = [
    Spot::Id,
    Spot::Hash,
    Spot::Ord,
    Spot::CloneId,
    Spot::DropId,
    Spot::Key,
    Spot::Tags,
    Spot::Watermark,
    Spot::Weigher,
    Spot::Drop,
    Spot::Closure,
    Spot::Listener,
    Spot::Metrics,
];

/// Runs `work` on a thread of its own, and fails if it hangs. `doing` is what it was doing then.
fn within_seconds(work: impl FnOnce(&Mutex<String>) + Send + 'static) {
    let doing = Arc::new(Mutex::new(String::new()));
    let (done, ended) = mpsc::channel();
    let noted = Arc::clone(&doing);
    let thread = thread::spawn(move || {
        work(&noted);
        done.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs: {}", doing.lock().unwrap()),
        // It has panicked, or it is done.
        _ => thread.join().unwrap(),
    }
}

/// Calls of every kind, from wherever foreign code runs.
fn call_everything(pool: &Pool<super::thorn::Thorn>) {
    // What was inserted last is resident, whatever the policy.
    assert!(pool.insert(thorn(41, 1)).is_ok());
    assert!(pool.remove(&ThornId(41)).is_some());
    assert!(pool.insert(thorn(40, 1)).is_ok());
    assert_eq!(pool.get(&ThornId(40)).map(|thorn| thorn.version), Some(1));
    assert_eq!(pool.retain(|thorn| thorn.id != 41), 0);
    assert_eq!(pool.batch().remove(&ThornId(42)).commit().unwrap().removed, 0);
    assert_eq!(pool.get_many(&[ThornId(41)]).len(), 1);
    let _ = (pool.len(), pool.stats(), pool.sample(1), pool.sweep(0));
    let _ = (pool.explain(&ThornId(40)), pool.pin(&ThornId(40)), pool.events());
}

fn intrude(plot: Plot, call: Call, spot: Spot, nth: usize) -> bool {
    let stored = {
        let garden = Garden::new(plot);
        call.1(&garden);
        garden.state().stored
    };
    let mut garden = Garden::new(plot);
    garden.read_events();
    let pool = garden.pool.clone();
    plan(spot, nth, move || call_everything(&pool));
    call.1(&garden);
    if !is_done() {
        return false;
    }
    if plot.capacity == 1_000 && call.0 != "set capacity" {
        let stored_more = garden.state().stored - stored;
        assert_eq!(stored_more, 2, "{spot:?} {nth} of {}: both calls count", call.0);
    }
    if plot.watched {
        let told = garden.read_events();
        assert!(told.contains(&40), "{spot:?} {nth} of {}: {told:?}", call.0);
    }
    garden.check_usable();
    true
}

/// Every piece of foreign code, in every call, each time that it runs, calls whatever a pool can do.
fn intrude_everywhere(plots: [fn() -> Plot; 2], never: &[Spot]) {
    let never = never.to_vec();
    within_seconds(move |doing| {
        let mut reached = Vec::new();
        for plot in plots {
            for call in CALLS {
                for spot in SPOTS {
                    *doing.lock().unwrap() = format!("{spot:?} in {} of {:?}", call.0, plot());
                    let times = (0..).take_while(|nth| intrude(plot(), call, spot, *nth)).count();
                    if times > 0 && !reached.contains(&spot) {
                        reached.push(spot);
                    }
                }
            }
        }
        let unreached = SPOTS.into_iter().filter(|spot| !reached.contains(spot));
        assert_eq!(unreached.collect::<Vec<_>>(), never);
    });
}

/// Contract: P25 (partial: not the keys of indexes)
#[test]
fn foreign_code_may_call_the_pool_wherever_it_runs() {
    let [unwatched, .., refusing] = Plot::ALL;
    let never = [Spot::Ord, Spot::Watermark, Spot::Listener, Spot::Metrics];
    intrude_everywhere([unwatched, refusing], &never);
}

/// Contract: P25 (partial: not the keys of indexes)
#[test]
fn foreign_code_may_call_a_watched_pool_wherever_it_runs() {
    let [_, updating, newest, _] = Plot::ALL;
    // Nothing in memory orders ids.
    intrude_everywhere([updating, newest], &[Spot::Ord]);
}

/// The `Eq` of ids runs under a lock, but only for ids whose hashes are equal: never for one that is not there.
///
/// Contract: P25 (partial: the sole exception)
#[test]
fn ids_are_compared_only_if_their_hashes_are_equal() {
    let garden = Garden::new(Plot::new(1_000, OnConflict::Replace, false));
    let compared = |call: &dyn Fn()| {
        plan(Spot::Eq, 0, || {});
        call();
        is_done()
    };
    for id in 100..1_100 {
        assert!(!compared(&|| drop(garden.pool.get(&ThornId(id)))));
        assert!(!compared(&|| drop(garden.pool.remove(&ThornId(id)))));
    }
    assert!(compared(&|| drop(garden.pool.get(&ThornId(1)))));
}

/// An invalidation on the fence drops values in hooks of the pool, which may call it, and the fence, too.
///
/// Contract: P25 (partial: hooks of the fence)
#[test]
fn what_an_invalidation_drops_may_call_the_pool() {
    within_seconds(|_| {
        for spot in [
            Spot::Drop,
            Spot::DropId,
            Spot::Hash,
            Spot::Key,
            Spot::Listener,
            Spot::Metrics,
        ] {
            let mut garden = Garden::new(Plot::new(1_000, OnConflict::Replace, true));
            garden.read_events();
            let (pool, fence) = (garden.pool.clone(), garden.fence.clone());
            plan(spot, 0, move || {
                call_everything(&pool);
                fence.invalidate(&Target::Everything, by_others());
                assert!(!pool.contains(&ThornId(40)));
            });
            let own = Target::Entity {
                entity: larder_core::EntityName::new("thorn").unwrap(),
                id: larder_core::ToKey::to_key(&1_u64).unwrap(),
            };
            garden.fence.invalidate(&own, by_others());
            assert!(is_done(), "{spot:?}");
            assert!(!garden.pool.contains(&ThornId(1)) && !garden.pool.contains(&ThornId(2)));
        }
    });
}

/// What a listener does is heard after the change that it did it for, not within.
///
/// Contract: P25 (partial: listeners)
#[test]
fn a_listener_that_changes_the_pool_hears_of_it_next() {
    within_seconds(|_| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        let slot: Arc<Mutex<Option<Pool<super::thorn::Thorn>>>> = Arc::default();
        let own = Arc::clone(&slot);
        let pool = Pool::builder()
            .capacity_entries(4)
            .listener(move |change: &Changed<'_, super::thorn::Thorn>| {
                let id = change.new.or(change.old).map_or(0, |thorn| thorn.id);
                notes
                    .lock()
                    .unwrap()
                    .push((change.sequence, id, change.new.is_some()));
                let pool = own.lock().unwrap().clone().unwrap();
                if change.new.is_some() && id < 10 {
                    drop(pool.insert(thorn(id + 1, 1)));
                }
                notes
                    .lock()
                    .unwrap()
                    .push((change.sequence, id, change.new.is_some()));
            })
            .build()
            .unwrap();
        *slot.lock().unwrap() = Some(pool.clone());
        pool.insert(thorn(1, 1)).unwrap();
        let evictions = |id: u64| (id >= 5).then(|| (id, id - 4, false));
        let expected = (1..=10).flat_map(|id| evictions(id).into_iter().chain([(id, id, true)]));
        let twice: Vec<_> = expected.flat_map(|told| [told, told]).collect();
        assert_eq!(
            *heard.lock().unwrap(),
            twice,
            "one after the other, none within another"
        );
        *slot.lock().unwrap() = None;
    });
}

/// Metrics that read and write the pool of which they are told.
struct Meddling {
    pool: Mutex<Option<Pool<super::thorn::Thorn>>>,
    calls: AtomicU64,
}

impl Meddling {
    fn meddle(&self) {
        let Some(pool) = self.pool.lock().unwrap().take() else {
            return;
        };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        drop(pool.insert(thorn(100 + call, 1)));
        let _ = pool.get(&ThornId(1));
        *self.pool.lock().unwrap() = Some(pool);
    }
}

impl PoolMetrics for Meddling {
    fn hit(&self, _: &str, _: Tier) {
        self.meddle();
    }

    fn removed(&self, _: &str, _: Reason) {
        self.meddle();
    }

    fn size(&self, _: &str, _: u64, _: u64) {
        self.meddle();
    }
}

/// Regression 9: values whose drop, listeners, metrics and a weigher that call the pool; and after a panic in foreign
/// code writes work on. (Each panic by itself is in `panics`.)
///
/// Contract: P24 (partial: writes work on), P25 (partial: drop, listener, metrics and weigher together)
#[test]
fn regression_9_foreign_code_that_calls_the_pool_or_panics_stops_nobody() {
    within_seconds(|_| {
        let metrics = Arc::new(Meddling {
            pool: Mutex::default(),
            calls: AtomicU64::new(0),
        });
        let pool = Pool::builder()
            .capacity_entries(3)
            .weigher(|_: &super::thorn::Thorn| {
                pass(Spot::Weigher);
                1
            })
            .listener(|_: &Changed<'_, super::thorn::Thorn>| pass(Spot::Listener))
            .metrics(Arc::clone(&metrics) as Arc<dyn PoolMetrics>)
            .build()
            .unwrap();
        *metrics.pool.lock().unwrap() = Some(pool.clone());
        for (spot, round) in [Spot::Drop, Spot::DropId, Spot::Listener, Spot::Weigher]
            .into_iter()
            .zip(1..)
        {
            let (again, before) = (pool.clone(), pool.sequence());
            plan(spot, 0, move || {
                drop(again.insert(thorn(50, 1)));
                again.remove(&ThornId(50));
            });
            for id in 1..=5 {
                pool.insert(thorn(id, round)).unwrap();
            }
            assert!(is_done(), "{spot:?}");
            assert!(
                pool.sequence() >= before + 7,
                "{spot:?}: its calls were commits too"
            );
        }
        assert!(metrics.calls.load(Ordering::Relaxed) > 0);
        *metrics.pool.lock().unwrap() = None;
        pool.insert(thorn(5, 7)).unwrap();
        for spot in [Spot::Hash, Spot::Eq, Spot::Id, Spot::Tags, Spot::Weigher] {
            plan(spot, 0, super::thorn::throw);
            let insert = std::panic::AssertUnwindSafe(|| drop(pool.insert(thorn(5, 8))));
            let ended = std::panic::catch_unwind(insert);
            assert!(is_done() && ended.is_err(), "{spot:?}");
            pool.insert(thorn(5, 9)).unwrap();
            pool.set_capacity(Capacity::of_entries(3)).unwrap();
        }
    });
}
