//! Faults: each strikes where it is told, does what it says, and leaves the disk in order.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use larder_core::{Storage, StorageOperation};
use larder_testkit::{Fault, Injection, Loss, SECTOR_BYTES, SimStorage, for_each_seed};

use super::{disk_with, outcomes, path, read, set};

/// After a failed sync a second one that succeeds proves nothing; writing again and syncing does.
#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let (storage, file) = disk_with(b"old");
    file.write_all_at(0, b"new").unwrap();
    storage.inject(Injection::new(Fault::FailedSync));
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(read(&storage, "a").unwrap(), b"new", "a reader still sees it");
    let left = outcomes(&storage.crash_point(), |image| read(image, "a").unwrap());
    assert_eq!(left, set([b"old".to_vec(), b"new".to_vec()]));

    let after_kill = (0..50).map(|seed| {
        let storage = SimStorage::seeded(seed);
        let file = storage.create_new(path("a")).unwrap();
        file.write_all_at(0, b"old").unwrap();
        file.sync_data().unwrap();
        file.write_all_at(0, b"new").unwrap();
        storage.inject(Injection::new(Fault::FailedSync));
        file.sync_data().unwrap_err();
        read(&storage.kill(), "a").unwrap()
    });
    let after_kill = after_kill.collect::<BTreeSet<_>>();
    assert_eq!(
        after_kill,
        set([b"old".to_vec(), b"new".to_vec()]),
        "dropped from memory, or not"
    );

    file.write_all_at(0, b"new").unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "a").unwrap(),
        b"new"
    );
}

/// What the system has dropped from memory is what the medium holds, and stays that: also behind the durable length.
#[test]
fn what_shows_after_dropping_is_what_the_medium_holds() {
    for_each_seed(50, |seed| {
        let storage = SimStorage::seeded(seed);
        let file = storage.create_new(path("a")).unwrap();
        storage.sync_directory(path("")).unwrap();
        file.write_all_at(0, &[b'n'; 3 * SECTOR_BYTES]).unwrap();
        storage.inject(Injection::new(Fault::FailedSync));
        file.sync_data().unwrap_err();
        let restarted = storage.kill();
        let shown = read(&restarted, "a").unwrap();
        restarted.open(path("a")).unwrap().sync_data().unwrap();
        let left = read(&restarted.crash_point().image(Loss::Everything), "a").unwrap();
        assert_eq!(left.len(), shown.len(), "lengths are not dropped");
        for (left, shown) in left.chunks(SECTOR_BYTES).zip(shown.chunks(SECTOR_BYTES)) {
            // A sector that was not dropped still shows what was written, and may be anything on the medium.
            assert!(left == shown || shown == [b'n'; SECTOR_BYTES]);
        }
    });
}

#[test]
fn a_lost_sync_says_ok_and_does_nothing() {
    let (storage, file) = disk_with(b"old");
    file.write_all_at(0, b"new").unwrap();
    storage.create_new(path("b")).unwrap();
    storage.inject(Injection::new(Fault::LostSync).times(2));
    file.sync_data().unwrap();
    storage.sync_directory(path("")).unwrap();
    let left = storage.crash_point().image(Loss::Everything);
    assert_eq!(
        (read(&left, "a").unwrap(), read(&left, "b")),
        (b"old".to_vec(), None)
    );
    file.sync_data().unwrap();
    storage.sync_directory(path("")).unwrap();
    let left = storage.crash_point().image(Loss::Everything);
    assert_eq!(
        (read(&left, "a").unwrap(), read(&left, "b")),
        (b"new".to_vec(), Some(Vec::new()))
    );
}

#[test]
fn faults_strike_where_and_when_they_are_told() {
    let (storage, file) = disk_with(b"");
    let other = storage.create_new(path("b")).unwrap();
    storage.inject(
        Injection::new(Fault::Fail)
            .operation(StorageOperation::Write)
            .path("b")
            .skip(1)
            .times(2),
    );
    file.write_all_at(0, b"x").unwrap();
    other.write_all_at(0, b"x").unwrap();
    other.write_all_at(1, b"y").unwrap_err();
    file.write_all_at(1, b"y").unwrap();
    other.sync_data().unwrap();
    other.write_all_at(1, b"y").unwrap_err();
    other.write_all_at(1, b"z").unwrap();
    assert_eq!(
        (read(&storage, "a").unwrap(), read(&storage, "b").unwrap()),
        (b"xy".to_vec(), b"xz".to_vec())
    );
    assert_eq!(storage.faults_struck(), 2);

    storage.inject(Injection::new(Fault::Fail).at_step(storage.steps() + 2));
    file.len().unwrap();
    file.write_all_at(0, b"1").unwrap();
    file.write_all_at(0, b"2").unwrap_err();
    file.write_all_at(0, b"3").unwrap();

    storage.inject(Injection::new(Fault::NoSpace).rate(500));
    let failed = (0..200)
        .filter(|_| file.write_at(0, b"4").is_err_and(|error| error.is_no_space()))
        .count();
    assert!((50..150).contains(&failed), "{failed} of 200");
    storage.calm();
    file.write_all_at(0, b"5").unwrap();
}

#[test]
fn a_partial_write_fails_after_a_prefix() {
    let mut lengths = BTreeSet::new();
    for seed in 0..100 {
        let storage = SimStorage::seeded(seed);
        let file = storage.create_new(path("a")).unwrap();
        storage.inject(Injection::new(Fault::PartialWrite));
        file.write_at(0, b"four").unwrap_err();
        let left = read(&storage, "a").unwrap();
        assert!(b"four".starts_with(&left[..]));
        lengths.insert(left.len());
    }
    assert_eq!(lengths, (0..=4).collect());
}

/// A panic strikes as one of the caller's own would: nothing is done, no lock stays held, the disk works on.
#[test]
fn a_simulated_panic_leaves_the_disk_in_order() {
    let (storage, file) = disk_with(b"old");
    storage.inject(Injection::new(Fault::Panic));
    catch_unwind(AssertUnwindSafe(|| file.write_all_at(0, b"new"))).unwrap_err();
    assert_eq!(read(&storage, "a").unwrap(), b"old");
    file.write_all_at(0, b"new").unwrap();
}

#[test]
fn bits_flip_in_a_read_or_where_they_lie() {
    let (storage, file) = disk_with(b"aaaa");
    storage.inject(Injection::new(Fault::FlippedBit));
    let wrong = read(&storage, "a").unwrap();
    let bits: u32 = wrong.iter().map(|byte| (byte ^ b'a').count_ones()).sum();
    assert_eq!(bits, 1);
    assert_eq!(read(&storage, "a").unwrap(), b"aaaa");

    storage.flip_bit(path("a"), 1, 1).unwrap();
    assert_eq!(read(&storage, "a").unwrap(), b"acaa");
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "a").unwrap(),
        b"acaa"
    );
    file.write_all_at(0, b"bbbb").unwrap();
    storage.flip_bit(path("a"), 0, 0).unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Nothing), "a").unwrap(),
        b"cbbb"
    );
    storage.flip_bit(path("a"), 4, 0).unwrap_err();
    storage.flip_bit(path("none"), 0, 0).unwrap_err();
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (storage, file) = disk_with(b"");
    storage.set_capacity_bytes(3 * 512);
    assert_eq!(storage.free_bytes(path("")).unwrap(), 3 * 512);
    assert_eq!(
        file.write_at(0, &[1; 2_000]).unwrap(),
        3 * 512,
        "what fits is written"
    );
    assert!(file.write_at(3 * 512, b"x").unwrap_err().is_no_space());
    assert!(file.preallocate(4 * 512).unwrap_err().is_no_space());
    file.write_all_at(0, &[2; 3 * 512]).unwrap();

    let other = storage.create_new(path("b")).unwrap();
    assert!(other.write_at(0, b"x").unwrap_err().is_no_space());
    storage.remove(path("a")).unwrap();
    assert!(
        other.write_at(0, b"x").unwrap_err().is_no_space(),
        "an open file occupies its space"
    );
    drop(file);
    other.write_all_at(0, b"x").unwrap();
    assert_eq!(storage.free_bytes(path("")).unwrap(), 2 * 512);
    assert!(other.preallocate(2 * 512).unwrap());
    assert_eq!(storage.free_bytes(path("")).unwrap(), 512);
}

#[test]
fn locks_keep_processes_apart_and_die_with_them() {
    let first = SimStorage::seeded(0);
    let second = first.another_process();
    let lock = first.lock(path("lock")).unwrap();
    let refused = second.lock(path("lock")).unwrap_err();
    assert_eq!(
        (refused.is_locked(), refused.lock_holder()),
        (true, Some(first.process_id()))
    );
    assert!(
        first.lock(path("lock")).unwrap_err().is_locked(),
        "nor twice in one process"
    );

    let restarted = first.kill();
    let held = second.lock(path("lock")).unwrap();
    drop(lock);
    assert!(
        restarted.lock(path("lock")).unwrap_err().is_locked(),
        "a dead process gives back nobody else's lock"
    );
    drop(held);
    restarted.lock(path("lock")).unwrap();

    let lock = second.lock(path("lock")).unwrap();
    let after_crash = second.crash_point().image(Loss::Nothing);
    after_crash.lock(path("lock")).unwrap();
    drop(lock);
}

#[test]
fn a_killed_process_can_do_no_more_and_what_it_wrote_is_there() {
    let (storage, file) = disk_with(b"old");
    file.write_all_at(0, b"new").unwrap();
    let restarted = storage.kill();
    assert_eq!(read(&restarted, "a").unwrap(), b"new");
    file.write_all_at(0, b"bad").unwrap_err();
    storage.open(path("a")).unwrap_err();
    assert_eq!(read(&restarted, "a").unwrap(), b"new");
    assert_eq!(
        read(&restarted.crash_point().image(Loss::Everything), "a").unwrap(),
        b"old"
    );
}
