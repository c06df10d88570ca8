//! [`Run`]: a seeded sequence of appends, syncs, removals, reopenings and kills over a log, noted in a [`History`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{EntryKind, FileStorage, Storage};
use larder_testkit::{AppendLog, AppendLogError, Fault, Injection, Random, SimEntropy, SimStorage};

use super::History;

/// Small, so that runs of a few dozen records rotate several times.
const SEGMENT_BYTES_MAX: u64 = 2_500;

/// What a run does besides its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faults {
    /// Nothing: each call must succeed.
    None,
    /// Calls may fail, because the test has armed something; nothing else.
    Armed,
    /// Arms faults of all kinds itself and kills the process now and then.
    Any,
}

/// Something that a log can live on and that a run can follow.
pub(super) trait Disk {
    fn storage(&self) -> Arc<dyn Storage>;
    fn directory(&self) -> PathBuf;
    /// Steps so far; each call of the log takes at least one.
    fn steps(&mut self) -> u64;
    /// Ends the process and starts another, where there are processes.
    fn kill(&mut self) {}
    fn arm(&self, _: Injection) {}
}

pub(super) struct SimDisk {
    pub(super) storage: SimStorage,
}

impl SimDisk {
    pub(super) fn new(seed: u64) -> Self {
        let storage = SimStorage::seeded(seed);
        storage.record_crash_points();
        Self { storage }
    }
}

impl Disk for SimDisk {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.storage.clone())
    }

    fn directory(&self) -> PathBuf {
        directory()
    }

    fn steps(&mut self) -> u64 {
        self.storage.steps()
    }

    fn kill(&mut self) {
        self.storage = self.storage.kill();
    }

    fn arm(&self, injection: Injection) {
        self.storage.inject(injection);
    }
}

/// Real files in a directory that goes with it.
pub(super) struct FileDisk {
    directory: tempfile::TempDir,
    steps: u64,
}

impl FileDisk {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            steps: 0,
        }
    }
}

impl Disk for FileDisk {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(FileStorage::new())
    }

    fn directory(&self) -> PathBuf {
        self.directory.path().join(directory())
    }

    fn steps(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }
}

/// A log in use.
pub(super) struct Run<D> {
    pub(super) disk: D,
    pub(super) history: History,
    pub(super) log: Option<AppendLog>,
    /// One for the whole run: a log that drew the same salts after each opening would take old segments for new.
    entropy: SimEntropy,
    random: Random,
    faults: Faults,
}

impl<D: Disk> Run<D> {
    pub(super) fn over(disk: D, seed: u64, faults: Faults) -> Self {
        Self {
            disk,
            history: History::default(),
            log: None,
            entropy: SimEntropy::seeded(!seed),
            random: Random::seeded(seed),
            faults,
        }
    }

    /// Makes `calls` calls and ends with a log that is open.
    pub(super) fn go(&mut self, calls: u64) {
        self.reopen();
        for _ in 0..calls {
            if self.faults == Faults::Any && self.random.chance(250) {
                self.arm_one();
            }
            match self.random.below(100) {
                0..60 => drop(self.append()),
                60..80 => drop(self.append_written()),
                80..88 => self.sync(),
                88..93 => self.remove_oldest(),
                93..97 => self.reopen(),
                _ => {
                    self.disk.kill();
                    self.reopen();
                }
            }
        }
    }

    /// What the log holds.
    pub(super) fn read(&self) -> (u64, Vec<Vec<u8>>) {
        let log = self.log.as_ref().unwrap();
        (log.first(), log.read_all().unwrap())
    }

    /// Appends a record durably; what failed, if it did.
    pub(super) fn append(&mut self) -> Option<AppendLogError> {
        let payload = self.begin_append();
        let outcome = self.call(|log| log.append(&payload));
        let step = self.disk.steps();
        match &outcome {
            Some(Ok(index)) => self.history.durable(step, index + 1),
            Some(Err(AppendLogError::NotStored(_))) => self.history.refused(step),
            Some(Err(_)) | None => {}
        }
        self.after(outcome)
    }

    fn append_written(&mut self) -> Option<AppendLogError> {
        let payload = self.begin_append();
        let outcome = self.call(|log| log.append_written(&payload));
        if let Some(Err(AppendLogError::NotStored(_))) = &outcome {
            let step = self.disk.steps();
            self.history.refused(step);
        }
        self.after(outcome)
    }

    fn sync(&mut self) {
        let outcome = self.call(|log| log.sync().map(|()| log.next()));
        if let Some(Ok(next)) = outcome {
            let step = self.disk.steps();
            self.history.durable(step, next);
        }
        self.after(outcome);
    }

    fn remove_oldest(&mut self) {
        let step = self.disk.steps();
        let Some(first) = self.log.as_ref().unwrap().first_after_removal() else {
            return;
        };
        self.history.begin_removal(step, first);
        let outcome = self.call(AppendLog::remove_oldest);
        let step = self.disk.steps();
        match &outcome {
            Some(Ok(_)) => self.history.removed(step),
            Some(Err(AppendLogError::NotStored(_))) => self.history.not_removed(),
            Some(Err(_)) | None => {}
        }
        self.after(outcome);
    }

    /// Closes the log if it is open and opens it again, as often as it takes: each try uses up an armed fault.
    pub(super) fn reopen(&mut self) {
        for _ in 0..20 {
            drop(self.log.take());
            let (storage, directory) = (self.disk.storage(), self.disk.directory());
            let entropy = self.entropy.clone();
            let opened = catch_unwind(AssertUnwindSafe(|| {
                let log = open_in(&storage, &entropy, &directory)?;
                let records = log.read_all()?;
                Ok((log, records))
            }));
            match opened {
                Ok(Ok((log, records))) => {
                    let step = self.disk.steps();
                    self.history.served(step, log.first(), &records).unwrap();
                    self.log = Some(log);
                    return;
                }
                Ok(Err(AppendLogError::Storage(_) | AppendLogError::NotStored(_))) if self.may_fail() => {}
                Ok(Err(error)) => panic!("{error:?}"),
                Err(_) => self.disk.kill(),
            }
        }
        panic!("the log does not open");
    }

    fn may_fail(&self) -> bool {
        self.faults != Faults::None
    }

    fn begin_append(&mut self) -> Vec<u8> {
        let longest = [20, 200, 700, 1_800][self.random.index(4)];
        let mut payload = vec![0; self.random.index(longest)];
        self.random.fill(&mut payload);
        let step = self.disk.steps();
        let next = self.log.as_ref().unwrap().next();
        self.history.begin_append(step, next, &payload);
        payload
    }

    /// The outcome of a call on the log; none if it panicked, as it was told to.
    fn call<T>(
        &mut self,
        act: impl FnOnce(&mut AppendLog) -> Result<T, AppendLogError>,
    ) -> Option<Result<T, AppendLogError>> {
        let log = self.log.as_mut().unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| act(log)));
        assert!(
            outcome.is_ok() || self.may_fail(),
            "a call panicked without a fault"
        );
        outcome.ok()
    }

    /// Goes on after a call: a log that is in doubt is opened again, now and then by another process.
    fn after<T>(&mut self, outcome: Option<Result<T, AppendLogError>>) -> Option<AppendLogError> {
        let error = match outcome {
            Some(Ok(_)) => return None,
            Some(Err(error)) => Some(error),
            None => None,
        };
        match &error {
            Some(AppendLogError::NotStored(_)) => return error,
            Some(error) => assert!(self.may_fail(), "{error:?}"),
            None => self.disk.kill(),
        }
        if self.random.chance(500) {
            self.disk.kill();
        }
        self.reopen();
        error
    }

    fn arm_one(&mut self) {
        use Fault::{Fail, FailedSync, NoSpace, Panic, PartialWrite, ShortRead, ShortWrite};
        let faults = [
            Fail,
            FailedSync,
            FailedSync,
            NoSpace,
            Panic,
            PartialWrite,
            PartialWrite,
            ShortRead,
            ShortWrite,
        ];
        let fault = faults[self.random.index(faults.len())];
        self.disk.arm(Injection::new(fault).skip(self.random.below(8)));
    }
}

impl Run<SimDisk> {
    /// What the log's files occupy.
    pub(super) fn used_bytes(&self) -> u64 {
        files(&self.disk.storage)
            .into_iter()
            .map(|(_, len)| len.next_multiple_of(512))
            .sum()
    }
}

/// Where the log lives, below the root of its disk.
pub(super) fn directory() -> PathBuf {
    PathBuf::from("data/log")
}

/// Opens the log on an image, which has a source of randomness of its own.
pub(super) fn open_log(disk: &SimStorage) -> Result<AppendLog, AppendLogError> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    open_in(
        &storage,
        &SimEntropy::seeded(u64::from(disk.process_id())),
        &directory(),
    )
}

pub(super) fn open_in(
    storage: &Arc<dyn Storage>,
    entropy: &SimEntropy,
    directory: &Path,
) -> Result<AppendLog, AppendLogError> {
    let entropy = Arc::new(entropy.clone());
    AppendLog::open(Arc::clone(storage), entropy, directory, SEGMENT_BYTES_MAX)
}

/// The log's files and their lengths.
pub(super) fn files(disk: &SimStorage) -> Vec<(PathBuf, u64)> {
    contents(disk)
        .into_iter()
        .map(|(path, bytes)| (path, u64::try_from(bytes.len()).unwrap()))
        .collect()
}

/// The log's files and their bytes.
pub(super) fn contents(disk: &SimStorage) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in disk.list(&directory()).unwrap() {
        assert_eq!(entry.kind(), EntryKind::File);
        let path = directory().join(entry.name());
        let file = disk.open_read_only(&path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(0, &mut bytes).unwrap();
        found.push((path, bytes));
    }
    found
}
