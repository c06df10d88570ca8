//! [`AppendLog`]: a small append-and-recover log, which proves that [`Storage`] and the frame codec can carry one.
//!
//! It is written as one writes it for real: segments of frames that rotate, a manifest that is replaced by write, sync,
//! rename, sync. Always true: a record that was acknowledged is there after every crash, in order, exactly; one that was
//! refused is never there; any other is wholly there or wholly absent, and only at the end; what `open` has
//! served is durable; damage is reported, never cut. Each sync in it is needed: a mutation removes each in turn.
//!
//! It is not the event log: no streams, no threads, no reading beside a writer.
//!
//! # Files
//!
//! `lock`; `segment-<number>`, a [`FileHeader`] and frames, the last one active; `manifest`, a [`FileHeader`] and one frame
//! that lists the segments; `manifest.new`, the next manifest before it has its name. The manifest is the truth: a
//! segment that it does not list is the rest of an interrupted rotation or removal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{Entropy, FileHeader, Storage, StorageError, StorageFile, StorageLock, StoreId};

mod manifest;
mod recovery;
mod segment;

use manifest::{Manifest, Sealed};
use segment::Segment;

/// A log in a directory of its own.
#[derive(Debug)]
pub struct AppendLog {
    files: Files,
    manifest: Manifest,
    active: Segment,
    segment_bytes_max: u64,
    cut: Option<Cut>,
    poisoned: bool,
    _lock: Box<dyn StorageLock>,
}

/// Where the log lives and what it is made with.
#[derive(Clone, Debug)]
struct Files {
    storage: Arc<dyn Storage>,
    entropy: Arc<dyn Entropy>,
    directory: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.path(&format!("segment-{number:020}"))
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        self.storage.sync_directory(&self.directory)
    }
}

/// A torn tail that opening the log has cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub path: PathBuf,
    /// Its length now.
    pub len: u64,
    /// How many bytes were cut.
    pub bytes: u64,
}

impl AppendLog {
    /// Opens the log in `directory`, or makes it, and repairs what a crash has left. Segments begin anew when
    /// they would exceed `segment_bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// [`AppendLogError::Damaged`] if what should be there is not; [`AppendLogError::Storage`] also if the log is open.
    pub fn open(
        storage: Arc<dyn Storage>,
        entropy: Arc<dyn Entropy>,
        directory: &Path,
        segment_bytes_max: u64,
    ) -> Result<Self, AppendLogError> {
        storage.create_directory(directory)?;
        let files = Files {
            storage,
            entropy,
            directory: directory.to_owned(),
        };
        let lock = files.storage.lock(&files.path("lock"))?;
        // Before anything is believed: a process that died may have left names that are not durable, and what is
        // acknowledged from here on must not depend on them.
        files.sync_names()?;
        let manifest = match Manifest::read(&files)? {
            Some(manifest) => manifest,
            None => create(&files)?,
        };
        recovery::remove_strays(&files, &manifest)?;
        let (active, cut) = recovery::recover(&files, &manifest, segment_bytes_max)?;
        Ok(Self {
            files,
            manifest,
            active,
            segment_bytes_max,
            cut,
            poisoned: false,
            _lock: lock,
        })
    }

    /// What opening the log has cut off, if anything.
    #[must_use]
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The index of the first record that the log still holds.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.manifest.first()
    }

    /// The index that the next record gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.active.next()
    }

    /// What [`AppendLog::first`] will be once the oldest segment is removed; none if there is only the active one.
    #[must_use]
    pub fn first_after_removal(&self) -> Option<u64> {
        self.manifest.without_oldest().map(|(_, rest)| rest.first())
    }

    /// Appends a record and returns its index once it is durable.
    ///
    /// # Errors
    ///
    /// [`AppendLogError::NotStored`] if it is not there and never will be, and the log goes on; any other leaves it open
    /// whether it is, and the log refuses until it is opened again.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, AppendLogError> {
        let index = self.append_written(payload)?;
        self.sync()?;
        Ok(index)
    }

    /// Appends a record and returns its index when the system has it; it is durable after the next [`AppendLog::sync`].
    ///
    /// # Errors
    ///
    /// As [`AppendLog::append`].
    pub fn append_written(&mut self, payload: &[u8]) -> Result<u64, AppendLogError> {
        self.unless_poisoned()?;
        if self.active.would_exceed(self.segment_bytes_max, payload) {
            self.rotate()?;
        }
        let appended = self.active.append(payload);
        self.poison_on_doubt(appended)
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    ///
    /// If the sync fails: then it is open what of it is, and the log refuses until it is opened again.
    pub fn sync(&mut self) -> Result<(), AppendLogError> {
        self.unless_poisoned()?;
        let synced = self.active.sync();
        self.poison_on_doubt(synced)
    }

    /// Removes the oldest segment and its records, if it is not the active one, and returns the first index now.
    ///
    /// # Errors
    ///
    /// [`AppendLogError::NotStored`] if they are all still there; after any other it is open, and the log refuses until it
    /// is opened again.
    pub fn remove_oldest(&mut self) -> Result<u64, AppendLogError> {
        self.unless_poisoned()?;
        if let Some((oldest, manifest)) = self.manifest.without_oldest() {
            let replaced = self.replace_manifest(manifest);
            self.poison_on_doubt(replaced)?;
            // If this fails, or the removal is lost in a crash, the next `open` finds a segment that no manifest lists.
            let removed = self.files.storage.remove(&self.files.segment_path(oldest.number));
            self.poison_on_doubt(removed.map_err(AppendLogError::Storage))?;
        }
        Ok(self.first())
    }

    /// All records from the first on, in order. O(bytes).
    ///
    /// # Errors
    ///
    /// [`AppendLogError::Damaged`] if one cannot be read.
    pub fn read_all(&self) -> Result<Vec<Vec<u8>>, AppendLogError> {
        let mut records = Vec::new();
        for sealed in self.manifest.sealed() {
            records.extend(recovery::read_sealed(&self.files, &self.manifest, sealed)?);
        }
        records.extend(recovery::read_active(&self.files, &self.manifest, &self.active)?);
        Ok(records)
    }

    /// Seals the active segment and begins the next one.
    fn rotate(&mut self) -> Result<(), AppendLogError> {
        // What is sealed is durable: recovery examines the active segment only.
        let synced = self.active.sync();
        self.poison_on_doubt(synced)?;
        let (number, first) = (self.active.number() + 1, self.active.next());
        let begun = Segment::create(&self.files, self.manifest.store(), number, first);
        let next = self.poison_on_doubt(begun)?;
        let sealed = Sealed {
            number: self.active.number(),
            first: self.active.first(),
            bytes: self.active.len(),
        };
        let replaced = self.replace_manifest(self.manifest.rotated(sealed, number, first));
        self.poison_on_doubt(replaced)?;
        self.active = next;
        Ok(())
    }

    fn replace_manifest(&mut self, manifest: Manifest) -> Result<(), AppendLogError> {
        manifest.write(&self.files)?;
        self.manifest = manifest;
        Ok(())
    }

    fn unless_poisoned(&self) -> Result<(), AppendLogError> {
        if self.poisoned {
            Err(AppendLogError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// After a failure that was not undone nothing may be written: what the files hold is not known.
    fn poison_on_doubt<T>(&mut self, outcome: Result<T, AppendLogError>) -> Result<T, AppendLogError> {
        use AppendLogError::{NotStored, TooLong};
        self.poisoned |= !matches!(outcome, Ok(_) | Err(NotStored(_) | TooLong { .. }));
        outcome
    }
}

/// Makes the first segment and the first manifest of a new log.
fn create(files: &Files) -> Result<Manifest, AppendLogError> {
    recovery::must_be_unused(files)?;
    let store = StoreId::generate(files.entropy.as_ref());
    let manifest = Manifest::first_of(store);
    recovery::remove_strays(files, &manifest)?;
    let first = Segment::create(files, store, manifest.active_number(), manifest.active_first());
    first.map_err(AppendLogError::before_any_record)?;
    manifest.write(files).map_err(AppendLogError::before_any_record)?;
    Ok(manifest)
}

/// Reads a whole file of at most `bytes_max` bytes.
fn read_file(file: &dyn StorageFile, bytes_max: u64) -> Result<Vec<u8>, AppendLogError> {
    let len = file.len()?;
    let fits = usize::try_from(len).ok().filter(|_| len <= bytes_max);
    let Some(fits) = fits else {
        return Err(AppendLogError::Damaged {
            path: file.path().to_owned(),
            offset: bytes_max,
        });
    };
    let mut bytes = vec![0; fits];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendLogError {
    /// What was asked for was not done and never will be; the log goes on.
    #[error("nothing was stored")]
    NotStored(#[source] StorageError),
    /// A file operation failed, and what it leaves is not known.
    #[error("the log's files failed")]
    Storage(#[from] StorageError),
    /// Something failed before, and the log must be opened again.
    #[error("the log failed before and must be opened again")]
    Poisoned,
    /// What was durable cannot be read.
    #[error("{} is damaged at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// The record is too long for a segment.
    #[error("record of {bytes} bytes, at most {max} allowed")]
    TooLong {
        /// The record's length.
        bytes: usize,
        /// The longest allowed.
        max: u32,
    },
}

impl AppendLogError {
    /// When a log is made there is no record that could have been refused.
    fn before_any_record(self) -> Self {
        match self {
            Self::NotStored(source) => Self::Storage(source),
            other => other,
        }
    }
}

/// The magic of every file of the log, with the kinds below.
const MAGIC: [u8; 4] = *b"LTAL";
const VERSION: u16 = 1;
const KIND_SEGMENT: u16 = 1;
const KIND_RECORD: u16 = 2;
const KIND_MANIFEST: u16 = 3;
const KIND_MANIFEST_BODY: u16 = 4;

/// The first byte behind a file's header.
const BODY_OFFSET: u64 = FileHeader::BYTES as u64;
