//! The append-and-recover log against its contract, over every crash image of many seeded runs.
//!
//! The contract: what was acknowledged is there after every crash, in order, exactly; what was refused never is; all
//! else is wholly there or wholly absent, and only at the end; what an opening has served is durable; recovery
//! after recovery gives the same; a later append works; damage is reported. [`History`] knows only this.

use std::path::Path;
use std::sync::Arc;

use larder_core::{FileStorage, Storage, StorageOperation};
use larder_testkit::{
    AppendLog, AppendLogError, CrashPoint, Fault, Injection, Loss, Random, SEED_VARIABLE, SimEntropy,
    SimStorage, for_each_seed,
};

mod history;
mod run;

use history::History;
use run::{Faults, FileDisk, Run, SimDisk, directory, open_log};

/// What each crash takes, besides what seeds choose.
const LOSSES: [Loss; 4] = [Loss::Everything, Loss::Nothing, Loss::Bytes, Loss::Names];

/// The first index and the records.
type Contents = (u64, Vec<Vec<u8>>);

fn contents(log: &AppendLog) -> Contents {
    (log.first(), log.read_all().unwrap())
}

/// As `assert_eq`, without printing kilobytes.
fn assert_same(found: &Contents, expected: &Contents, context: impl Fn() -> String) {
    let counts = |contents: &Contents| format!("{} records from {}", contents.1.len(), contents.0);
    let differs = found
        .1
        .iter()
        .zip(&expected.1)
        .position(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{}: {}, expected {}; first difference at {differs:?}",
        context(),
        counts(found),
        counts(expected),
    );
}

/// Whether a single seed was asked for, which need not show all that many show together.
fn one_seed() -> bool {
    std::env::var_os(SEED_VARIABLE).is_some()
}

/// Recovers from what a crash at `point` leaves, checks it, goes on, and crashes again.
fn check_image(history: &History, point: &CrashPoint, loss: Loss) {
    let context = || {
        format!(
            "{loss:?} at step {}, {} {}",
            point.step(),
            point.operation(),
            point.path().display()
        )
    };
    let image = point.image(loss);
    image.set_capacity_bytes(1 << 30);
    let mut log = open_log(&image).unwrap_or_else(|error| panic!("{}: {error:?}", context()));
    let (first, mut records) = (log.first(), log.read_all().unwrap());
    history
        .check(point.step(), first, &records)
        .unwrap_or_else(|wrong| panic!("{}: {wrong}", context()));

    // What was served is durable, though nothing was appended.
    let served = open_log(&image.crash_point().image(Loss::Everything)).unwrap();
    assert_eq!(
        (served.first(), served.read_all().unwrap()),
        (first, records.clone()),
        "served, {}",
        context()
    );

    records.push(b"one more".to_vec());
    log.append(b"one more").unwrap();
    drop(log);
    let again = open_log(&image).unwrap();
    assert_eq!(
        (again.first(), again.read_all().unwrap()),
        (first, records.clone()),
        "again, {}",
        context()
    );
    assert_eq!(
        again.cut(),
        None,
        "the second recovery has nothing to cut, {}",
        context()
    );
}

fn check_all_images(run: &Run<SimDisk>, seed: u64) {
    let mut random = Random::seeded(seed);
    for point in run.disk.storage.crash_points() {
        let seeded = [Loss::Seeded(random.next_u64()), Loss::Seeded(random.next_u64())];
        for loss in LOSSES.into_iter().chain(seeded) {
            check_image(&run.history, &point, loss);
        }
    }
}

#[test]
fn every_crash_image() {
    for_each_seed(12, |seed| {
        let mut run = Run::over(SimDisk::new(seed), seed, Faults::None);
        run.go(30);
        check_all_images(&run, seed);
    });
}

#[test]
fn every_crash_image_with_faults_and_kills() {
    let mut struck = 0;
    for_each_seed(24, |seed| {
        let mut run = Run::over(SimDisk::new(seed), seed, Faults::Any);
        run.go(30);
        struck += run.disk.storage.faults_struck();
        check_all_images(&run, seed);
    });
    assert!(struck > 0 || one_seed(), "no fault ever struck");
}

/// Each step of a run fails once, in each way.
#[test]
fn each_step_fails_in_turn() {
    const FAULTS: [Fault; 6] = [
        Fault::Fail,
        Fault::PartialWrite,
        Fault::ShortWrite,
        Fault::NoSpace,
        Fault::FailedSync,
        Fault::Panic,
    ];
    let steps = {
        let mut run = Run::over(SimDisk::new(1), 1, Faults::None);
        run.go(16);
        run.disk.storage.steps()
    };
    for fault in FAULTS {
        for step in 1..=steps {
            let disk = SimDisk::new(1);
            disk.storage.inject(Injection::new(fault).at_step(step));
            let mut run = Run::over(disk, 1, Faults::Armed);
            run.go(16);
            let point = run.disk.storage.crash_point();
            for loss in LOSSES.into_iter().chain([Loss::Seeded(step)]) {
                check_image(&run.history, &point, loss);
            }
        }
    }
}

/// With a drive that lies nothing can be durable, but what is served is still what was appended, or an error.
#[test]
fn lost_syncs_never_show_wrong_records() {
    let (mut refused, mut lost) = (0, 0);
    for_each_seed(40, |seed| {
        let disk = SimDisk::new(seed);
        disk.storage.inject(Injection::new(Fault::LostSync).rate(300));
        let mut run = Run::over(disk, seed, Faults::Armed);
        run.go(20);
        let mut random = Random::seeded(seed);
        for point in run.disk.storage.crash_points() {
            match open_log(&point.image(Loss::Seeded(random.next_u64()))) {
                Err(AppendLogError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("step {}: {error:?}", point.step()),
                Ok(log) => match log.read_all() {
                    Err(AppendLogError::Damaged { .. }) => refused += 1,
                    Err(error) => panic!("step {}: {error:?}", point.step()),
                    Ok(records) => {
                        run.history
                            .check_origin(point.step(), log.first(), &records)
                            .unwrap();
                        let held = run.history.check(point.step(), log.first(), &records);
                        lost += u64::from(held.is_err());
                    }
                },
            }
        }
    });
    assert!(
        refused > 0 && lost > 0,
        "lost syncs did no harm: {refused} refused, {lost} lost"
    );
}

/// A bit that flips where it lies is reported, or hits bytes that nobody reads; only the very last record, of which
/// nothing says that it was durable, may be taken for a torn tail.
#[test]
fn flipped_bits_are_reported() {
    let (mut reported, mut cut) = (0, 0);
    for_each_seed(40, |seed| {
        let mut run = Run::over(SimDisk::new(seed), seed, Faults::None);
        run.go(20);
        // The last one says that all before it were durable.
        assert!(run.append().is_none() && run.append().is_none());
        let (first, records) = run.read();
        drop(run.log.take());
        let point = run.disk.storage.crash_point();
        let mut random = Random::seeded(seed);
        for _ in 0..100 {
            let image = point.image(Loss::Nothing);
            let files = run::files(&image);
            let (path, len) = &files[random.index(files.len())];
            if *len == 0 {
                continue;
            }
            image
                .flip_bit(path, random.below(*len), u8::try_from(random.index(8)).unwrap())
                .unwrap();
            let opened = open_log(&image);
            let cut_off = opened.as_ref().ok().and_then(|log| log.cut().cloned());
            match opened.and_then(|log| Ok((log.first(), log.read_all()?))) {
                Err(AppendLogError::Damaged { .. }) => reported += 1,
                Err(error) => panic!("{error:?}"),
                Ok(found) if cut_off.is_some() => {
                    cut += 1;
                    assert_eq!(
                        found,
                        (first, records[..records.len() - 1].to_vec()),
                        "cut {cut_off:?}"
                    );
                }
                Ok(found) => assert_same(&found, &(first, records.clone()), || format!("{path:?}")),
            }
        }
    });
    assert!(
        reported > 0 && cut > 0,
        "flipped bits were not noticed: {reported} reported, {cut} cut"
    );
}

/// A bit that a read gets wrong is noticed; the next read is right.
#[test]
fn a_wrong_read_is_noticed() {
    for_each_seed(20, |seed| {
        let mut run = Run::over(SimDisk::new(seed), seed, Faults::None);
        run.go(10);
        let expected = run.read();
        let log = run.log.as_ref().unwrap();
        run.disk
            .storage
            .inject(Injection::new(Fault::FlippedBit).operation(StorageOperation::Read));
        let wrong = log.read_all();
        assert!(matches!(wrong, Err(AppendLogError::Damaged { .. })), "{wrong:?}");
        assert_same(&contents(log), &expected, || "the next read".to_owned());
    });
}

/// A full disk refuses and goes on: what was there stays, and once there is space again appends work.
#[test]
fn a_full_disk_refuses_and_recovers() {
    for_each_seed(4, |seed| {
        let mut run = Run::over(SimDisk::new(seed), seed, Faults::None);
        run.go(10);
        let mut random = Random::seeded(seed);
        let free = 1_000_000;
        run.disk
            .storage
            .set_capacity_bytes(run.used_bytes() + random.below(3_000));
        let mut refused = false;
        for _ in 0..40 {
            refused |= matches!(run.append(), Some(AppendLogError::NotStored(error)) if error.is_no_space());
        }
        assert!(refused, "the disk never filled up");
        run.disk.storage.set_capacity_bytes(run.used_bytes() + free);
        for _ in 0..5 {
            assert!(run.append().is_none(), "there is space again");
        }
        check_all_images(&run, seed);
    });
}

/// The same log and the same checks over real files, as far as a process can tell: no crash images, but reopenings.
#[test]
fn real_files_pass_the_same_checks() {
    for_each_seed(8, |seed| {
        let mut run = Run::over(FileDisk::new(), seed, Faults::None);
        run.go(40);
        let (first, records) = run.read();
        run.history.check(u64::MAX, first, &records).unwrap();
    });
}

/// The log refuses to be opened twice, on either storage.
#[test]
fn one_process_at_a_time() {
    let disk = SimStorage::seeded(0);
    let log = open_log(&disk).unwrap();
    let second = open_log(&disk.another_process()).unwrap_err();
    let AppendLogError::Storage(error) = second else {
        panic!("{second:?}")
    };
    assert!(error.is_locked());
    assert_eq!(error.lock_holder(), Some(disk.process_id()));
    drop(log);
    open_log(&disk.another_process()).unwrap();

    let real = tempfile::tempdir().unwrap();
    let directory = real.path().join(directory());
    let files: Arc<dyn Storage> = Arc::new(FileStorage::new());
    let open = || run::open_in(&files, &SimEntropy::seeded(0), &directory);
    let log = open().unwrap();
    let AppendLogError::Storage(error) = open().unwrap_err() else {
        panic!("opened twice")
    };
    assert!(error.is_locked());
    assert_eq!(error.lock_holder(), Some(std::process::id()));
    drop(log);
    open().unwrap();
}

/// After a failed sync nothing may be built on what it has left: the log refuses until it is opened again.
#[test]
fn a_log_in_doubt_refuses() {
    let disk = SimStorage::seeded(0);
    let mut log = open_log(&disk).unwrap();
    log.append(b"first").unwrap();
    disk.inject(Injection::new(Fault::FailedSync));
    let doubt = log.append(b"second").unwrap_err();
    assert!(matches!(doubt, AppendLogError::Storage(_)), "{doubt:?}");
    for _ in 0..2 {
        let refused = log.append(b"third").unwrap_err();
        assert!(matches!(refused, AppendLogError::Poisoned), "{refused:?}");
    }
    assert!(matches!(log.sync(), Err(AppendLogError::Poisoned)));
    assert!(matches!(log.remove_oldest(), Err(AppendLogError::Poisoned)));
    drop(log);
    let mut log = open_log(&disk).unwrap();
    let index = log.append(b"third").unwrap();
    assert_eq!(log.read_all().unwrap().last().unwrap(), b"third");
    assert_eq!(index, log.next() - 1);
}

/// Opening and closing an idle log changes nothing that could be read, on either storage.
#[test]
fn an_idle_opening_changes_no_byte() {
    let mut run = Run::over(SimDisk::new(3), 3, Faults::None);
    run.go(20);
    drop(run.log.take());
    let before = run::contents(&run.disk.storage);
    drop(open_log(&run.disk.storage).unwrap());
    assert_eq!(run::contents(&run.disk.storage), before);
    assert!(
        before
            .iter()
            .any(|(path, _)| path.ends_with(Path::new("manifest")))
    );
}
