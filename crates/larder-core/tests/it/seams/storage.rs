//! One check of what a storage does while nothing fails, over real files and simulated ones.
//!
//! What survives a crash is checked in the testkit, where there are crashes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::{EntryKind, FileStorage, Storage, StorageError, StorageFile, StorageOperation};
use larder_testkit::{Random, SimStorage, for_each_seed};

/// Runs a check over both storages, each in an empty directory.
fn over_both(check: impl Fn(&dyn Storage, &Path)) {
    let simulated = SimStorage::seeded(1);
    simulated.create_directory(Path::new("home")).unwrap();
    check(&simulated, Path::new("home"));
    let real = tempfile::tempdir().unwrap();
    check(&FileStorage::new(), real.path());
}

fn read(file: &dyn StorageFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn write(storage: &dyn Storage, path: &Path, bytes: &[u8]) {
    storage.create_new(path).unwrap().write_all_at(0, bytes).unwrap();
}

/// The names in a directory.
fn names(storage: &dyn Storage, path: &Path) -> Vec<String> {
    let entries = storage.list(path).unwrap();
    entries
        .iter()
        .map(|entry| entry.name().to_str().unwrap().to_owned())
        .collect()
}

/// That something failed, as what, and that the error names operation and path.
#[track_caller]
fn fails<T>(outcome: Result<T, StorageError>, operation: StorageOperation, kind: ErrorKind, path: &Path) {
    let error = outcome.err().expect("it succeeded");
    assert_eq!(
        (error.operation(), error.kind(), error.path()),
        (operation, kind, path)
    );
    assert_eq!(error.to_string(), format!("{operation} {}", path.display()));
}

#[test]
fn bytes_are_read_where_they_were_written() {
    over_both(|storage, home| {
        let file = storage.create_new(&home.join("a")).unwrap();
        assert!(file.is_empty().unwrap());
        file.write_all_at(1_000, b"behind a gap").unwrap();
        file.write_all_at(0, b"front").unwrap();
        assert_eq!(file.len().unwrap(), 1_012);
        let mut expected = vec![0; 1_012];
        expected[..5].copy_from_slice(b"front");
        expected[1_000..].copy_from_slice(b"behind a gap");
        assert_eq!(read(file.as_ref()), expected);

        let mut few = [9; 10];
        assert_eq!(
            file.read_at(1_007, &mut few).unwrap(),
            5,
            "reads end with the file"
        );
        assert_eq!(file.read_at(5_000, &mut few).unwrap(), 0);
        assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
        assert_eq!(file.write_at(5_000, &[]).unwrap(), 0);
        assert_eq!(file.len().unwrap(), 1_012, "writing nothing does not extend");
        fails(
            file.read_exact_at(1_007, &mut few),
            StorageOperation::Read,
            ErrorKind::UnexpectedEof,
            file.path(),
        );

        file.cut_back(3).unwrap();
        assert_eq!(read(file.as_ref()), b"fro");
        fails(
            file.cut_back(4),
            StorageOperation::CutBack,
            ErrorKind::InvalidInput,
            file.path(),
        );
        file.write_all_at(5, b"x").unwrap();
        assert_eq!(
            read(file.as_ref()),
            b"fro\0\0x",
            "what was cut does not come back"
        );
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    });
}

/// Random writes, cuts and reads, beside a vector that does the same.
#[test]
fn files_behave_as_vectors() {
    over_both(|storage, home| {
        for_each_seed(10, |seed| {
            let mut random = Random::seeded(seed);
            let file = storage.create_new(&home.join(format!("model-{seed}"))).unwrap();
            let mut model = Vec::new();
            for _ in 0..60 {
                let at = random.index(3_000);
                if random.chance(800) {
                    let mut bytes = vec![0; random.index(1_200)];
                    random.fill(&mut bytes);
                    file.write_all_at(u64::try_from(at).unwrap(), &bytes).unwrap();
                    if !bytes.is_empty() {
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                } else {
                    model.truncate(at);
                    file.cut_back(u64::try_from(model.len()).unwrap()).unwrap();
                }
                assert!(read(file.as_ref()) == model);
            }
        });
    });
}

#[test]
fn files_are_made_opened_and_removed() {
    use StorageOperation::{Create, Open, Remove, RemoveDirectory, Write};
    over_both(|storage, home| {
        let (a, b) = (home.join("a"), home.join("b"));
        fails(storage.open(&a), Open, ErrorKind::NotFound, &a);
        fails(storage.open_read_only(&a), Open, ErrorKind::NotFound, &a);
        fails(storage.remove(&a), Remove, ErrorKind::NotFound, &a);
        fails(
            storage.create_new(&b.join("c")),
            Create,
            ErrorKind::NotFound,
            &b.join("c"),
        );
        write(storage, &a, b"one");
        fails(storage.create_new(&a), Create, ErrorKind::AlreadyExists, &a);
        assert!(storage.create_new(&a).unwrap_err().is_already_exists());
        assert!(storage.open(&b).unwrap_err().is_not_found());

        storage.open(&a).unwrap().write_all_at(0, b"two").unwrap();
        let reader = storage.open_read_only(&a).unwrap();
        assert_eq!(read(reader.as_ref()), b"two");
        let refused = reader.write_at(0, b"x").unwrap_err();
        assert_eq!(refused.operation(), Write);
        assert!(reader.cut_back(0).is_err());

        storage.remove(&a).unwrap();
        assert_eq!(read(reader.as_ref()), b"two", "an open file outlives its name");
        assert!(storage.open(&a).unwrap_err().is_not_found());
        fails(
            storage.remove_directory(&a),
            RemoveDirectory,
            ErrorKind::NotFound,
            &a,
        );
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    use StorageOperation::{CreateDirectory, List, RemoveDirectory, SyncDirectory};
    over_both(|storage, home| {
        let deep = home.join("x/y/z");
        storage.create_directory(&deep).unwrap();
        storage.create_directory(&deep).unwrap();
        for name in ["b", "a10", "a2", "A"] {
            write(storage, &home.join("x").join(name), b"");
        }
        let entries = storage.list(&home.join("x")).unwrap();
        assert_eq!(
            names(storage, &home.join("x")),
            ["A", "a10", "a2", "b", "y"],
            "sorted by bytes"
        );
        assert_eq!(entries[0].kind(), EntryKind::File);
        assert_eq!(entries[4].kind(), EntryKind::Directory);
        storage.sync_directory(&deep).unwrap();

        let (file, none) = (home.join("x/b"), home.join("none"));
        fails(
            storage.create_directory(&file),
            CreateDirectory,
            ErrorKind::NotADirectory,
            &file,
        );
        fails(storage.list(&none), List, ErrorKind::NotFound, &none);
        fails(storage.list(&file), List, ErrorKind::NotADirectory, &file);
        fails(
            storage.sync_directory(&none),
            SyncDirectory,
            ErrorKind::NotFound,
            &none,
        );
        let full = home.join("x");
        fails(
            storage.remove_directory(&full),
            RemoveDirectory,
            ErrorKind::DirectoryNotEmpty,
            &full,
        );
        fails(
            storage.remove_directory(&file),
            RemoveDirectory,
            ErrorKind::NotADirectory,
            &file,
        );
        fails(
            storage.remove(&deep),
            StorageOperation::Remove,
            ErrorKind::IsADirectory,
            &deep,
        );
        storage.remove_directory(&deep).unwrap();
        assert_eq!(names(storage, &home.join("x/y")), [""; 0]);
    });
}

#[test]
fn renames_replace_and_links_share() {
    use StorageOperation::{Link, Rename};
    over_both(|storage, home| {
        let [a, b, c] = ["a", "b", "c"].map(|name| home.join(name));
        write(storage, &a, b"new");
        write(storage, &b, b"old");
        let (old, new) = (storage.open(&b).unwrap(), storage.open(&a).unwrap());
        storage.rename(&a, &b).unwrap();
        assert_eq!(names(storage, home), ["b"]);
        assert_eq!(read(storage.open(&b).unwrap().as_ref()), b"new");
        assert_eq!(
            (read(old.as_ref()), read(new.as_ref())),
            (b"old".to_vec(), b"new".to_vec())
        );
        fails(storage.rename(&a, &c), Rename, ErrorKind::NotFound, &c);

        assert!(storage.link(&b, &c).unwrap());
        new.write_all_at(0, b"NEW").unwrap();
        assert_eq!(read(storage.open(&c).unwrap().as_ref()), b"NEW");
        fails(storage.link(&b, &c), Link, ErrorKind::AlreadyExists, &c);
        storage.remove(&b).unwrap();
        assert_eq!(read(storage.open(&c).unwrap().as_ref()), b"NEW");

        storage.create_directory(&home.join("d/inner")).unwrap();
        storage.rename(&home.join("d"), &home.join("e")).unwrap();
        storage.rename(&c, &home.join("e/inner/c")).unwrap();
        assert_eq!(names(storage, home), ["e"]);
        assert_eq!(names(storage, &home.join("e/inner")), ["c"]);
    });
}

#[test]
fn space_is_counted_and_set_aside() {
    over_both(|storage, home| {
        let file = storage.create_new(&home.join("a")).unwrap();
        assert_eq!(file.allocated_bytes().unwrap(), 0);
        assert!(storage.free_bytes(home).unwrap() > 1 << 20);
        file.write_all_at(0, &[1; 10_000]).unwrap();
        file.sync_all().unwrap();
        assert!(file.allocated_bytes().unwrap() >= 10_000);
        assert!(file.preallocate(0).unwrap());
        if file.preallocate(1 << 20).unwrap() {
            assert!(file.allocated_bytes().unwrap() >= 1 << 20);
            assert_eq!(file.len().unwrap(), 10_000, "the length stays");
            file.write_all_at(10_000, &[2; 5]).unwrap();
            assert_eq!(file.len().unwrap(), 10_005);
        }
        let none = home.join("none");
        fails(
            storage.free_bytes(&none),
            StorageOperation::FreeBytes,
            ErrorKind::NotFound,
            &none,
        );
    });
}

#[test]
fn a_lock_is_held_once_and_names_its_holder() {
    over_both(|storage, home| {
        let path = home.join("lock");
        let lock = storage.lock(&path).unwrap();
        assert_eq!(lock.path(), path);
        let refused = storage.lock(&path).unwrap_err();
        assert!(refused.is_locked());
        let holder = refused.lock_holder().unwrap();
        assert_eq!(
            read(storage.open_read_only(&path).unwrap().as_ref()),
            holder.to_string().as_bytes()
        );
        storage.lock(&home.join("other")).unwrap();
        drop(lock);
        assert_eq!(
            read(storage.open_read_only(&path).unwrap().as_ref()),
            b"",
            "it leaves no trace"
        );
        let again = storage.lock(&path).unwrap();
        drop(again);
    });
}

/// A lock that its holder removes is nobody's from then on, also for who had opened it before: never do two hold one.
#[test]
fn a_lock_that_its_holder_removes_is_no_second_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let (inside, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let lock = match FileStorage::new().lock(&path) {
                        Ok(lock) => lock,
                        Err(refused) => {
                            assert!(refused.is_locked(), "{refused}");
                            continue;
                        }
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                    taken.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    FileStorage::new().remove(&path).unwrap();
                    drop(lock);
                }
            });
        }
    });
    assert!(taken.load(Ordering::SeqCst) > 0);
    over_both(|storage, home| {
        let path = home.join("lock");
        let removed = storage.lock(&path).unwrap();
        storage.remove(&path).unwrap();
        let next = storage.lock(&path).unwrap();
        drop(removed);
        assert!(storage.lock(&path).unwrap_err().is_locked());
        drop(next);
    });
}

/// Another process holds the lock until it is killed, and not a moment longer.
#[test]
fn a_lock_dies_with_its_process() {
    const VARIABLE: &str = "LARDER_TEST_HOLD_LOCK";
    const TEST: &str = "seams::storage::a_lock_dies_with_its_process";
    if let Some(path) = std::env::var_os(VARIABLE) {
        // This is the other process: take the lock, say so, and wait to be killed.
        let _lock = FileStorage::new().lock(&PathBuf::from(path)).unwrap();
        println!("\nheld");
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture"])
        .env(VARIABLE, &path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(holder.stdout.take().unwrap());
    let held = std::io::BufRead::lines(output).any(|line| line.unwrap() == "held");
    assert!(held, "the other process took the lock");

    let refused = FileStorage::new().lock(&path).unwrap_err();
    assert!(refused.is_locked());
    assert_eq!(refused.lock_holder(), Some(holder.id()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    FileStorage::new().lock(&path).unwrap();
}

/// The calls that leave no trace while all is well do reach the system: on files that cannot be synced, or are always full,
/// it says so.
#[cfg(target_os = "linux")]
#[test]
fn syncs_and_full_disks_are_the_systems_own() {
    let storage = FileStorage::new();
    let null = storage.open(Path::new("/dev/null")).unwrap();
    fails(
        null.sync_data(),
        StorageOperation::Sync,
        ErrorKind::InvalidInput,
        null.path(),
    );
    fails(
        null.sync_all(),
        StorageOperation::Sync,
        ErrorKind::InvalidInput,
        null.path(),
    );
    let proc = Path::new("/proc/self");
    fails(
        storage.sync_directory(proc),
        StorageOperation::SyncDirectory,
        ErrorKind::InvalidInput,
        proc,
    );
    storage
        .create_directory(Path::new("/proc/self/fd"))
        .expect("a found directory in a place that is not ours");
    let full = storage.open(Path::new("/dev/full")).unwrap();
    assert!(full.write_at(0, b"x").unwrap_err().is_no_space());
}

/// What goes wrong is told with its cause, and the helpers know the causes that callers act on.
#[test]
fn errors_name_operation_path_and_cause() {
    let path = Path::new("dir/file");
    let full = StorageError::new(StorageOperation::Write, path, ErrorKind::StorageFull.into());
    assert!(full.is_no_space() && !full.is_not_found() && !full.is_locked());
    let quota = StorageError::new(StorageOperation::Create, path, ErrorKind::QuotaExceeded.into());
    assert!(quota.is_no_space());
    assert_eq!(full.to_string(), "write dir/file");
    let source = std::error::Error::source(&full).unwrap();
    assert_eq!(source.to_string(), ErrorKind::StorageFull.to_string());
    let locked = StorageError::locked(path, Some(17));
    assert_eq!((locked.is_locked(), locked.lock_holder()), (true, Some(17)));
    assert_eq!(
        std::error::Error::source(&locked).unwrap().to_string(),
        "held by process 17"
    );
    let elsewhere = StorageError::new(StorageOperation::Read, path, ErrorKind::WouldBlock.into());
    assert!(!elsewhere.is_locked());
}

/// Short reads and writes are made whole by the helpers, and a write that takes nothing is an error, not a loop.
#[test]
fn short_reads_and_writes_are_completed() {
    use larder_testkit::{Fault, Injection};
    for_each_seed(20, |seed| {
        let storage = SimStorage::seeded(seed);
        storage.inject(Injection::new(Fault::ShortWrite).rate(1_000));
        storage.inject(Injection::new(Fault::ShortRead).rate(1_000));
        let file = storage.create_new(Path::new("a")).unwrap();
        let mut bytes = vec![0; 2_000];
        Random::seeded(seed).fill(&mut bytes);
        file.write_all_at(7, &bytes).unwrap();
        let mut back = vec![0; 2_000];
        file.read_exact_at(7, &mut back).unwrap();
        assert!(bytes == back);
        assert!(storage.faults_struck() >= 2, "nothing was short");
    });
    #[derive(Debug)]
    struct TakesNothing;
    impl StorageFile for TakesNothing {
        fn path(&self) -> &Path {
            Path::new("nothing")
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, StorageError> {
            Ok(0)
        }
        fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, StorageError> {
            Ok(0)
        }
        fn cut_back(&self, _: u64) -> Result<(), StorageError> {
            Ok(())
        }
        fn len(&self) -> Result<u64, StorageError> {
            Ok(0)
        }
        fn sync_data(&self) -> Result<(), StorageError> {
            Ok(())
        }
        fn sync_all(&self) -> Result<(), StorageError> {
            Ok(())
        }
        fn preallocate(&self, _: u64) -> Result<bool, StorageError> {
            Ok(false)
        }
        fn allocated_bytes(&self) -> Result<u64, StorageError> {
            Ok(0)
        }
    }
    let path = Path::new("nothing");
    fails(
        TakesNothing.write_all_at(0, b"x"),
        StorageOperation::Write,
        ErrorKind::WriteZero,
        path,
    );
    fails(
        TakesNothing.read_exact_at(0, &mut [0]),
        StorageOperation::Read,
        ErrorKind::UnexpectedEof,
        path,
    );
}
