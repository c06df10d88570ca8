//! Crashes: each thing that may be left is left by some seed, and nothing else by any.

use std::sync::{Arc, Mutex};

use larder_core::{Storage, StorageOperation};
use larder_testkit::{Loss, SECTOR_BYTES, SimStorage};

use super::{disk_with, outcomes, path, read, set};

#[test]
fn what_is_synced_survives_and_nothing_else_must() {
    let (storage, file) = disk_with(b"durable");
    file.write_all_at(0, b"changed").unwrap();
    let point = storage.crash_point();
    assert_eq!(read(&point.image(Loss::Everything), "a").unwrap(), b"durable");
    assert_eq!(read(&point.image(Loss::Nothing), "a").unwrap(), b"changed");
    assert_eq!(
        outcomes(&point, |image| read(image, "a").unwrap()),
        set([b"durable".to_vec(), b"changed".to_vec()])
    );
    file.sync_data().unwrap();
    let point = storage.crash_point();
    assert_eq!(
        outcomes(&point, |image| read(image, "a").unwrap()),
        set([b"changed".to_vec()])
    );
}

/// Several writes to one sector: any of its states may be left, never a mixture.
#[test]
fn a_sector_holds_one_of_its_states() {
    let (storage, file) = disk_with(b"..");
    file.write_all_at(0, b"1").unwrap();
    file.write_all_at(1, b"2").unwrap();
    let left = outcomes(&storage.crash_point(), |image| read(image, "a").unwrap());
    assert_eq!(
        left,
        set([b"..".to_vec(), b"1.".to_vec(), b"12".to_vec()]),
        "and not .2"
    );
}

/// A write over several sectors is torn between them, in every combination, and not within one.
#[test]
fn writes_are_torn_between_sectors() {
    let (storage, file) = disk_with(&[b'o'; 3 * SECTOR_BYTES]);
    file.write_all_at(0, &[b'n'; 3 * SECTOR_BYTES]).unwrap();
    let left = outcomes(&storage.crash_point(), |image| {
        let bytes = read(image, "a").unwrap();
        let sectors = bytes.chunks(SECTOR_BYTES).map(|sector| {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "torn within a sector"
            );
            sector[0]
        });
        String::from_utf8(sectors.collect()).unwrap()
    });
    let all = ["ooo", "oon", "ono", "onn", "noo", "non", "nno", "nnn"].map(str::to_owned);
    assert_eq!(left, set(all));
}

/// The length and the bytes are kept or lost each by itself; what was never written is zeros or stale.
#[test]
fn an_extension_may_be_longer_than_its_bytes() {
    let (storage, file) = disk_with(b"");
    file.write_all_at(0, &[b'n'; SECTOR_BYTES]).unwrap();
    let point = storage.crash_point();
    assert_eq!(
        read(&point.image(Loss::Bytes), "a").unwrap(),
        vec![0; SECTOR_BYTES]
    );
    let kinds = outcomes(&point, |image| {
        let bytes = read(image, "a").unwrap();
        match bytes.first() {
            None => "empty",
            Some(b'n') if bytes.iter().all(|byte| *byte == b'n') => "new",
            Some(0) if bytes.iter().all(|byte| *byte == 0) => "zeros",
            Some(_) => "stale",
        }
    });
    assert_eq!(kinds, set(["empty", "new", "stale", "zeros"]));
}

#[test]
fn cutting_back_is_lost_until_it_is_synced() {
    let (storage, file) = disk_with(b"abcdef");
    file.cut_back(3).unwrap();
    let left = outcomes(&storage.crash_point(), |image| read(image, "a").unwrap().len());
    assert_eq!(left, set([3, 6]));
    file.sync_data().unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "a").unwrap(),
        b"abc"
    );
    file.write_all_at(3, b"x").unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Nothing), "a").unwrap(),
        b"abcx"
    );
}

#[test]
fn names_are_durable_once_their_directory_is_synced() {
    let storage = SimStorage::seeded(0);
    storage.create_directory(path("d")).unwrap();
    assert!(
        storage
            .crash_point()
            .image(Loss::Everything)
            .list(path("d"))
            .unwrap()
            .is_empty(),
        "d itself is durable"
    );
    let file = storage.create_new(path("d/a")).unwrap();
    file.write_all_at(0, b"x").unwrap();
    file.sync_all().unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "d/a"),
        None,
        "a file's sync is not its name's"
    );
    storage.sync_directory(path("")).unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "d/a"),
        None,
        "another directory's sync"
    );
    storage.sync_directory(path("d")).unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "d/a").unwrap(),
        b"x"
    );
    storage.remove(path("d/a")).unwrap();
    let left = outcomes(&storage.crash_point(), |image| read(image, "d/a"));
    assert_eq!(left, set([None, Some(b"x".to_vec())]));
}

/// A later change may have happened and an earlier one not; those on one name keep their order; a rename is whole.
#[test]
fn names_are_reordered_but_renames_are_whole() {
    let storage = SimStorage::seeded(0);
    let write = |name: &str| {
        let file = storage.create_new(path(name)).unwrap();
        file.write_all_at(0, name.as_bytes()).unwrap();
        file.sync_data().unwrap();
    };
    write("old");
    storage.sync_directory(path("")).unwrap();
    write("first");
    storage.rename(path("old"), path("new")).unwrap();
    write("third");
    let left = outcomes(&storage.crash_point(), |image| {
        let names = image.list(path("")).unwrap();
        names
            .iter()
            .map(|entry| entry.name().to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    });
    let all = [
        "old",
        "new",
        "first old",
        "first new",
        "old third",
        "new third",
        "first old third",
        "first new third",
    ];
    assert_eq!(left, set(all.map(str::to_owned)));
}

/// Across directories each name has a sync of its own, and syncing only the old one's loses the file.
#[test]
fn a_rename_across_directories_needs_both_syncs() {
    let moved = |syncs: &[&str]| {
        let storage = SimStorage::seeded(0);
        storage.create_directory(path("from")).unwrap();
        storage.create_directory(path("to")).unwrap();
        storage.create_new(path("from/a")).unwrap();
        storage.sync_directory(path("from")).unwrap();
        storage.rename(path("from/a"), path("to/a")).unwrap();
        syncs
            .iter()
            .for_each(|directory| storage.sync_directory(path(directory)).unwrap());
        outcomes(&storage.crash_point(), |image| {
            (read(image, "from/a").is_some(), read(image, "to/a").is_some())
        })
    };
    assert_eq!(moved(&[]), set([(true, false), (false, true)]));
    assert_eq!(moved(&["to"]), set([(true, true), (false, true)]));
    assert_eq!(moved(&["from"]), set([(false, false), (false, true)]));
    assert_eq!(moved(&["to", "from"]), set([(false, true)]));
}

/// A rename can be durable while the bytes of the file are not.
#[test]
fn a_durable_name_may_lead_to_lost_bytes() {
    let storage = SimStorage::seeded(0);
    let file = storage.create_new(path("new")).unwrap();
    file.write_all_at(0, b"bytes").unwrap();
    storage.rename(path("new"), path("a")).unwrap();
    storage.sync_directory(path("")).unwrap();
    assert_eq!(
        read(&storage.crash_point().image(Loss::Everything), "a").unwrap(),
        b""
    );
    assert_eq!(
        read(&storage.crash_point().image(Loss::Bytes), "a").unwrap(),
        [0; 5]
    );
}

/// There is a crash point at the start and after each step, in order, and hooks see the same, with no lock held.
#[test]
fn every_step_has_its_crash_point() {
    let storage = SimStorage::seeded(0);
    storage.record_crash_points();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, inner) = (Arc::clone(&seen), storage.clone());
    storage.on_step(move |point| {
        inner.list(path("")).unwrap();
        noted.lock().unwrap().push((point.step(), point.operation()));
    });
    let file = storage.create_new(path("a")).unwrap();
    file.write_all_at(0, b"x").unwrap();
    file.sync_data().unwrap();
    storage.sync_directory(path("")).unwrap();
    storage.remove(path("none")).unwrap_err();
    file.len().unwrap();

    use StorageOperation::{Create, Remove, Sync, SyncDirectory, Write};
    let steps = [
        (1, Create),
        (2, Write),
        (3, Sync),
        (4, SyncDirectory),
        (5, Remove),
    ];
    assert_eq!(*seen.lock().unwrap(), steps);
    let points = storage.crash_points();
    assert_eq!(points[0].step(), 0);
    assert_eq!(
        points[1..]
            .iter()
            .map(|point| (point.step(), point.operation()))
            .collect::<Vec<_>>(),
        steps
    );
    assert_eq!(points[1].path(), path("a"));
    let lost: Vec<_> = points
        .iter()
        .map(|point| read(&point.image(Loss::Everything), "a"))
        .collect();
    assert_eq!(
        lost,
        [None, None, None, None, Some(b"x".to_vec()), Some(b"x".to_vec())]
    );
    let kept: Vec<_> = points
        .iter()
        .map(|point| read(&point.image(Loss::Nothing), "a"))
        .collect();
    let x = || Some(b"x".to_vec());
    assert_eq!(kept, [None, Some(Vec::new()), x(), x(), x(), x()]);
    assert_eq!(storage.steps(), 5);
}

/// One seed gives one image, and using an image changes neither the point nor other images.
#[test]
fn images_repeat_and_are_independent() {
    let (storage, file) = disk_with(&[1; 2_000]);
    file.write_all_at(0, &[2; 5_000]).unwrap();
    let point = storage.crash_point();
    for seed in 0..20 {
        let (first, second) = (point.image(Loss::Seeded(seed)), point.image(Loss::Seeded(seed)));
        let bytes = read(&first, "a").unwrap();
        first.remove(path("a")).unwrap();
        assert!(bytes == read(&second, "a").unwrap());
    }
    assert!(read(&storage, "a").unwrap() == [2; 5_000]);
}
