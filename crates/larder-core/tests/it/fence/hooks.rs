//! Drop hooks, and what foreign code may do from inside a call of the fence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use larder_core::{Fence, Journal, Pin, Raised, Stamp, Target, TargetHash};

use super::doubles::{Heard, Hook, Log, Table, by_hand, fence, key, live_lane, row, tag, user};

const LOG: Log = Log::new(1, 1);

/// Contract: F20
#[test]
fn the_hook_runs_after_the_cells_are_raised_and_before_invalidate_returns() {
    let fence = fence();
    let pin = fence.pin(&[user(1)]).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let _hook = fence.drop_hook(Arc::new(Hook({
        let (seen, pin) = (Arc::clone(&seen), pin.clone());
        move |target: &Target| seen.lock().unwrap().push((target.clone(), pin.is_fresh()))
    })));
    assert!(seen.lock().unwrap().is_empty());
    fence.invalidate(&user(1), by_hand());
    assert_eq!(*seen.lock().unwrap(), [(user(1), false)]);
}

/// A part that keeps no cell for each entry: its fills decide under its lock, under which the hook removes.
///
/// Contract: F20
#[test]
fn a_part_without_cells_never_serves_what_was_invalidated() {
    let fence = fence();
    let resident: Arc<Mutex<Vec<Target>>> = Arc::default();
    let _hook = fence.drop_hook(Arc::new(Hook({
        let resident = Arc::clone(&resident);
        move |target: &Target| resident.lock().unwrap().retain(|entry| entry != target)
    })));
    let fill = |pin: Pin, target: Target| {
        let mut resident = resident.lock().unwrap();
        if pin.is_fresh() {
            resident.push(target);
        }
    };
    let won = fence.pin(&[key("a")]).unwrap();
    fill(won, key("a"));
    let lost = fence.pin(&[key("b")]).unwrap();
    fence.invalidate(&key("b"), by_hand());
    fill(lost, key("b"));
    assert_eq!(*resident.lock().unwrap(), [key("a")]);
    assert_eq!(fence.stats().cells, 0, "the resident entry holds none");
    fence.invalidate(&key("a"), by_hand());
    assert!(resident.lock().unwrap().is_empty());
}

/// Contract: F20
#[test]
fn every_hook_hears_of_every_kind_of_invalidation_until_it_is_taken_off() {
    let fence = fence();
    let lane = live_lane(&fence, LOG, 1);
    let (first, second) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    let kept = fence.drop_hook(Arc::clone(&first) as _).unwrap();
    let taken_off = fence.drop_hook(Arc::clone(&second) as _).unwrap();
    fence.invalidate(&user(1), by_hand());
    fence.invalidate_many(&[tag("red"), Target::Everything], &by_hand());
    lane.raise(&[row(&user(2), 1)], LOG.at(1));
    fence.widen(&Target::collection("user").unwrap(), by_hand());
    let expected = [
        user(1),
        tag("red"),
        Target::Everything,
        user(2),
        Target::collection("user").unwrap(),
    ];
    assert_eq!(first.targets(), expected);
    assert_eq!(second.targets(), expected);
    drop(taken_off);
    fence.invalidate(&user(3), by_hand());
    assert_eq!(first.targets().len(), 6);
    assert_eq!(second.targets().len(), 5);
    drop(kept);
    fence.invalidate(&user(3), by_hand());
    assert_eq!(first.targets().len(), 6);
}

/// A journal that panics with every call.
struct Broken;

impl Journal for Broken {
    fn raised(&self, raised: &[Raised]) {
        let is_catching_up = raised.iter().any(|one| matches!(one, Raised::Skipped { .. }));
        assert!(is_catching_up, "the journal is broken");
    }

    fn last(&self, _: TargetHash) -> Option<Stamp> {
        None
    }

    fn complete_to(&self) -> Stamp {
        Stamp::ZERO
    }

    fn floor(&self) -> Stamp {
        Stamp::ZERO
    }
}

/// Contract: F20
#[test]
fn a_hook_or_journal_that_panics_keeps_no_other_from_hearing() {
    let fence = fence();
    let _broken = fence.journal(Arc::new(Broken));
    let table = Arc::new(Table::default());
    let _disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    let _panics = fence
        .drop_hook(Arc::new(Hook(|_: &Target| panic!("the hook is broken"))))
        .unwrap();
    let heard = Arc::new(Heard::default());
    let _hook = fence.drop_hook(Arc::clone(&heard) as _).unwrap();
    let pin = fence.pin(&[user(1)]).unwrap();
    let out = catch_unwind(AssertUnwindSafe(|| fence.invalidate(&user(1), by_hand())));
    assert!(
        out.is_err(),
        "the caller hears that something may still be resident"
    );
    assert!(!pin.is_fresh());
    assert_eq!(heard.targets(), [user(1)]);
    assert_eq!(table.stamps_of(&user(1)).len(), 1);
    // No lock was left behind.
    assert!(fence.pin(&[user(1)]).unwrap().is_fresh());
}

/// Contract: F8, F20
#[test]
fn a_hook_that_panics_keeps_no_target_of_a_batch_from_being_raised() {
    let fence = fence();
    let lane = live_lane(&fence, LOG, 1);
    let hook = fence
        .drop_hook(Arc::new(Hook(|_: &Target| panic!("the hook is broken"))))
        .unwrap();
    let targets = vec![user(1), user(2), user(3)];
    let reason = larder_core::Reason::new("own");
    let position = larder_core::Position::new(1);
    let rows: Vec<_> = targets.iter().map(|target| row(target, 1)).collect();
    let raise: [&dyn Fn(); 3] = [
        &|| {
            fence.invalidate_many(&targets, &by_hand());
        },
        &|| {
            lane.own_commit(LOG.epoch, position, None, &reason, targets.clone())
                .publish()
        },
        &|| lane.raise(&rows, LOG.at(1)),
    ];
    for (number, raise) in raise.iter().enumerate() {
        let pins: Vec<Pin> = targets
            .iter()
            .map(|target| fence.pin(std::slice::from_ref(target)).unwrap())
            .collect();
        assert!(catch_unwind(AssertUnwindSafe(raise)).is_err());
        assert!(pins.iter().all(|pin| !pin.is_fresh()), "call {number}: {pins:?}");
    }
    drop(hook);
}

/// Uses the fence in every way that takes a lock.
fn use_all_of(fence: &Fence, target: &Target) {
    let mut pin = fence.pin(&[target.clone(), tag("red")]).unwrap();
    let _ = pin.extend(&[user(77)]);
    let _ = pin.as_of(LOG.at(1));
    let _ = fence.resume(fence.run(), fence.stamp(), std::slice::from_ref(target));
    let _ = (
        fence.last(target),
        fence.explain(std::slice::from_ref(target)),
        fence.stats(),
    );
    let _ = (
        fence.certainty(),
        fence.cursors(),
        fence.applied(&LOG.token(1)),
        fence.sinks(),
    );
    let _ = fence.reaches(&LOG.token(1), LOG.at(1));
    drop(fence.drop_hook(Arc::new(Heard::default())).unwrap());
    let table: Arc<Table> = Arc::default();
    let disk = fence.journal(table);
    let _ = disk.restore(fence.stamp(), std::slice::from_ref(target));
    drop(disk);
    fence.raise_floor(fence.stamp());
    let mut waiting = fence.when_applied(LOG.token(1_000));
    let waker = Waker::noop();
    let _ = std::pin::Pin::new(&mut waiting).poll(&mut Context::from_waker(waker));
}

/// Contract: F24
#[test]
fn a_hook_may_use_the_fence_that_called_it() {
    let fence = fence();
    let _lane = live_lane(&fence, LOG, 1);
    let depth = Arc::new(AtomicUsize::new(0));
    let _hook = fence.drop_hook(Arc::new(Hook({
        let (fence, depth) = (fence.clone(), Arc::clone(&depth));
        move |target: &Target| {
            // Once inside, the invalidation that the hook makes itself comes here again.
            if depth.fetch_add(1, Ordering::SeqCst) == 0 {
                use_all_of(&fence, target);
                fence.invalidate(target, by_hand());
                fence.invalidate(&Target::Everything, by_hand());
            }
        }
    })));
    fence.invalidate(&user(1), by_hand());
    assert_eq!(depth.load(Ordering::SeqCst), 3);
}

/// A journal that uses the fence from inside its calls.
struct Reentrant {
    fence: Fence,
    calls: AtomicUsize,
}

impl Journal for Reentrant {
    fn raised(&self, _: &[Raised]) {
        if self.calls.fetch_add(1, Ordering::SeqCst) < 2 {
            use_all_of(&self.fence, &user(1));
            self.fence.invalidate(&user(1), by_hand());
        }
    }

    fn last(&self, _: TargetHash) -> Option<Stamp> {
        let _ = self.fence.stats();
        None
    }

    fn complete_to(&self) -> Stamp {
        self.fence.last(&user(1));
        self.fence.stamp()
    }

    fn floor(&self) -> Stamp {
        let _ = self.fence.pin(&[user(1)]);
        Stamp::ZERO
    }
}

/// Contract: F24
#[test]
fn a_journal_may_use_the_fence_that_called_it() {
    let fence = fence();
    let _lane = live_lane(&fence, LOG, 1);
    let journal = Arc::new(Reentrant {
        fence: fence.clone(),
        calls: AtomicUsize::new(0),
    });
    let disk = fence.journal(Arc::clone(&journal) as Arc<dyn Journal>);
    fence.invalidate(&user(1), by_hand());
    assert!(disk.restore(fence.stamp(), &[user(1)]).is_some());
    fence.raise_floor(Stamp::new(1_000_000).unwrap());
    assert!(journal.calls.load(Ordering::SeqCst) > 3);
}

/// A waker that uses the fence from inside its call.
struct WakesInto {
    fence: Fence,
    woken: AtomicUsize,
}

impl Wake for WakesInto {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        use_all_of(&self.fence, &user(1));
        self.fence.invalidate(&user(1), by_hand());
    }
}

/// Contract: F24
#[test]
fn a_waker_may_use_the_fence_that_called_it() {
    let fence = fence();
    let lane = live_lane(&fence, LOG, 1);
    let waker = Arc::new(WakesInto {
        fence: fence.clone(),
        woken: AtomicUsize::new(0),
    });
    let mut waiting = fence.when_applied(LOG.token(5));
    let as_waker = Waker::from(Arc::clone(&waker));
    assert!(
        std::pin::Pin::new(&mut waiting)
            .poll(&mut Context::from_waker(&as_waker))
            .is_pending()
    );
    lane.publish(&LOG.cursor(6), &[]);
    assert_eq!(waker.woken.load(Ordering::SeqCst), 1);
}

/// Registered things may be taken off from inside a call of one of them.
///
/// Contract: F24
#[test]
fn a_hook_may_take_itself_off() {
    let fence = fence();
    let own: Arc<Mutex<Option<larder_core::Registration>>> = Arc::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let registration = fence.drop_hook(Arc::new(Hook({
        let (own, calls) = (Arc::clone(&own), Arc::clone(&calls));
        move |_: &Target| {
            calls.fetch_add(1, Ordering::SeqCst);
            let registration = own.lock().unwrap().take();
            drop(registration);
        }
    })));
    *own.lock().unwrap() = Some(registration.unwrap());
    fence.invalidate(&user(1), by_hand());
    fence.invalidate(&user(1), by_hand());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
