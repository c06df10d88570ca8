//! The simulated disk: that its crashes and faults take the liberties that `larder-core`'s `storage.rs` leaves to a disk,
//! all of them, and no other. What it does while nothing fails is checked in `larder-core` beside the real files.

use std::collections::BTreeSet;
use std::path::Path;

use larder_core::{Storage, StorageFile};
use larder_testkit::{CrashPoint, Loss, SimStorage};

// What a crash may leave, and must.
mod crashes;
// What goes wrong with a call, a disk or a process.
mod faults;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// The file's bytes, if it is there.
fn read(storage: &SimStorage, name: &str) -> Option<Vec<u8>> {
    let file = match storage.open_read_only(path(name)) {
        Err(error) if error.is_not_found() => return None,
        opened => opened.unwrap(),
    };
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    Some(bytes)
}

/// A disk with a durable file `a` of these bytes.
fn disk_with(bytes: &[u8]) -> (SimStorage, Box<dyn StorageFile>) {
    let storage = SimStorage::seeded(0);
    let file = storage.create_new(path("a")).unwrap();
    file.write_all_at(0, bytes).unwrap();
    file.sync_data().unwrap();
    storage.sync_directory(path("")).unwrap();
    (storage, file)
}

/// All that `look` finds in many images of a point.
fn outcomes<T: Ord>(point: &CrashPoint, look: impl Fn(&SimStorage) -> T) -> BTreeSet<T> {
    (0..400)
        .map(|seed| look(&point.image(Loss::Seeded(seed))))
        .collect()
}

fn set<T: Ord, const N: usize>(values: [T; N]) -> BTreeSet<T> {
    BTreeSet::from(values)
}
