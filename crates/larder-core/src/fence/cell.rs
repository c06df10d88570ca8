//! Cells, and the counted references by which pins hold them. The one module of the crate with unsafe code.
//!
//! A [`Cell`] carries the stamp of the last invalidation of one target since somebody began to hold it. It
//! holds the cell of its target's parent, so that one pointer reaches every stamp that matters to an entry, and
//! the topmost cell (`everything`) holds the fence. What is always true:
//!
//! - A cell is in its shard's table exactly while its count is above zero.
//! - The count rises from zero, and falls to zero, only under the lock of the cell's shard. So whoever finds a
//!   cell in the table under that lock may take it.
//! - `last` is written only under that lock, and only upwards; it is read without it.
//!
//! Unsafe pays here because this is what every entry of every pool and cache holds: 40 bytes a cell instead of
//! the 56 of an `Arc` with a second count, and no trip through the table to look at a stamp.

#![expect(
    unsafe_code,
    reason = "counted references whose last drop happens under a lock; see the head of the file"
)]

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use thin_vec::ThinVec;

use super::shared::Shared;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};
use crate::target::TargetHash;

/// Above this many holders of one cell the process aborts, as `Arc` does: the count could wrap.
const HOLDERS_MAX: u32 = u32::MAX / 2;

/// What the fence knows of one target that something live or in flight depends on.
#[repr(C)]
pub(super) struct Cell {
    /// The stamp of the target's last invalidation since this cell exists; zero if none.
    last: AtomicU64,
    /// How many pins, and cells of children, hold this cell.
    holders: AtomicU32,
    hash: TargetHash,
    /// The parent's cell; `None` only in a [`Root`].
    above: Option<CellRef>,
}

/// The topmost cell, and the way from any cell to its fence.
#[repr(C)]
struct Root {
    cell: Cell,
    shared: Arc<Shared>,
}

/// One counted hold on a cell.
pub(super) struct CellRef(NonNull<Cell>);

/// A cell as the table keeps it: not counted, valid while it is in the table and the shard's lock is held.
pub(super) struct CellInTable(NonNull<Cell>);

// SAFETY: a cell is atomics, an immutable hash, and an `Arc<Shared>` or another `CellRef`; `Shared` is `Sync`.
unsafe impl Send for CellRef {}
// SAFETY: as above; a shared `CellRef` gives only `&Cell`.
unsafe impl Sync for CellRef {}
// SAFETY: a `CellInTable` is used only under its shard's lock, by any thread; see `CellInTable::cell`.
unsafe impl Send for CellInTable {}

impl Cell {
    #[inline]
    pub(super) fn hash(&self) -> TargetHash {
        self.hash
    }

    /// The parent's cell, if this is not the topmost one.
    #[inline]
    pub(super) fn above(&self) -> Option<&Cell> {
        self.above.as_deref()
    }

    /// The last invalidation, for a reader without the lock.
    ///
    /// Acquire, against the release in [`Cell::raise`]: a reader that finds its pin dead also sees what killed
    /// it, so that whatever it does next is not older than the invalidation.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Records an invalidation. Called under the shard's lock only, so no other writer is between the two steps.
    #[inline]
    pub(super) fn raise(&self, stamp: u64) {
        if self.last.load(Ordering::Relaxed) < stamp {
            self.last.store(stamp, Ordering::Release);
        }
    }

    /// Under loom: fails if another thread's read of the stamp is not certainly before this. Else nothing.
    fn assert_exclusive(&mut self) {
        #[cfg(larder_loom)]
        self.last.with_mut(|_| ());
    }

    /// How many pins and children hold this cell, for statistics.
    pub(super) fn holders(&self) -> u32 {
        self.holders.load(Ordering::Relaxed)
    }

    /// The fence that this cell belongs to. O(depth), at most two steps up.
    fn shared(&self) -> &Arc<Shared> {
        let mut cell = self;
        while let Some(above) = cell.above() {
            cell = above;
        }
        let root: *const Cell = cell;
        // SAFETY: a cell without a parent is made by `CellRef::new_root` only, as the first field of a `Root`
        // with C layout, from a pointer to the whole `Root`; it lives while `self` holds the chain to it.
        unsafe { &(*root.cast::<Root>()).shared }
    }
}

impl CellRef {
    /// A new topmost cell with one holder. The caller puts it into the table under the shard's lock.
    pub(super) fn new_root(hash: TargetHash, shared: Arc<Shared>) -> CellRef {
        let cell = Cell {
            last: AtomicU64::new(0),
            holders: AtomicU32::new(1),
            hash,
            above: None,
        };
        let root = Box::new(Root { cell, shared });
        CellRef(NonNull::from(Box::leak(root)).cast())
    }

    /// A new cell below `above` with one holder. The caller puts it into the table under the shard's lock.
    pub(super) fn new_below(hash: TargetHash, above: CellRef) -> CellRef {
        let cell = Cell {
            last: AtomicU64::new(0),
            holders: AtomicU32::new(1),
            hash,
            above: Some(above),
        };
        CellRef(NonNull::from(Box::leak(Box::new(cell))))
    }

    /// This cell as the table keeps it.
    pub(super) fn in_table(&self) -> CellInTable {
        CellInTable(self.0)
    }

    /// The parent's cell, as it can be held too.
    pub(super) fn parent(&self) -> Option<&CellRef> {
        self.above.as_ref()
    }

    /// The fence of this cell.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        (**self).shared()
    }

    /// Whether the caller is the only holder. Under the lock of the cell's shard the answer stays true until the
    /// lock is let go: nobody else can clone a reference that only the caller has, or take one from the table.
    pub(super) fn is_last_holder(&self) -> bool {
        // Acquire, against the release of every other holder's decrement: whatever they read in the cell, they
        // read before it is freed.
        self.holders.load(Ordering::Acquire) == 1
    }
}

impl std::ops::Deref for CellRef {
    type Target = Cell;

    #[inline]
    fn deref(&self) -> &Cell {
        // SAFETY: this reference is counted, and a cell is freed only after its count has fallen to zero.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CellRef {
    fn clone(&self) -> Self {
        // Relaxed, as in `Arc`: the new holder is made from one that already keeps the cell alive.
        let before = self.holders.fetch_add(1, Ordering::Relaxed);
        if before > HOLDERS_MAX {
            std::process::abort();
        }
        CellRef(self.0)
    }
}

impl Drop for CellRef {
    fn drop(&mut self) {
        loop {
            let mut holders = self.holders.load(Ordering::Relaxed);
            while holders > 1 {
                let fewer = holders - 1;
                match self
                    .holders
                    .compare_exchange_weak(holders, fewer, Ordering::Release, Ordering::Relaxed)
                {
                    Ok(_) => return,
                    Err(now) => holders = now,
                }
            }
            // Perhaps the last holder: decided under the shard's lock. The count is kept until then, because
            // it keeps the fence alive whose lock this is.
            if let Some(forgotten) = self.shared().forget_if_last(self) {
                let above = forgotten.free();
                drop(above);
                return;
            }
        }
    }
}

impl CellInTable {
    /// Looks at the cell. The caller holds the shard's lock, and the cell is in that shard's table.
    #[inline]
    pub(super) fn cell(&self) -> &Cell {
        // SAFETY: cells leave the table under the shard's lock before they are freed, and the borrow of the
        // table entry lasts no longer than the lock.
        unsafe { self.0.as_ref() }
    }

    /// Takes a counted reference. The caller holds the shard's lock, and the cell is in that shard's table.
    #[inline]
    pub(super) fn take(&self) -> CellRef {
        let uncounted = ManuallyDrop::new(CellRef(self.0));
        CellRef::clone(&uncounted)
    }

    /// Frees a cell whose last holder has let go and that is out of the table, and gives back its hold on its
    /// parent, which the caller drops without any lock.
    pub(super) fn free(self) -> Option<CellRef> {
        let is_root = self.cell().above.is_none();
        if is_root {
            // SAFETY: made by `new_root` from a leaked `Box<Root>`; nobody holds it and the table has forgotten it.
            let mut root = unsafe { Box::from_raw(self.0.cast::<Root>().as_ptr()) };
            root.cell.assert_exclusive();
            return None;
        }
        // SAFETY: made by `new_below` from a leaked `Box<Cell>`; nobody holds it and the table has forgotten it.
        let mut cell = unsafe { Box::from_raw(self.0.as_ptr()) };
        cell.assert_exclusive();
        cell.above
    }
}

/// What a pin is: a limit that every stamp it depends on must stay below, and the cells, in 16 bytes.
///
/// The limit is the stamp at which the pin was taken plus one; zero marks a pin that is dead for good, since no
/// stamp is below it. The top bit of the word tells one cell, inline, from several, in one allocation.
pub(super) struct Hold {
    word: u64,
    cells: Cells,
}

union Cells {
    one: ManuallyDrop<CellRef>,
    several: ManuallyDrop<ThinVec<CellRef>>,
}

/// Set in the word of a hold on several cells.
const SEVERAL: u64 = 1 << 63;

/// Set in the word once the targets held so far have been compared with a copy.
const FROM_COPY: u64 = 1 << 62;

const FLAGS: u64 = SEVERAL | FROM_COPY;

impl Hold {
    pub(super) fn one(cell: CellRef, limit: u64) -> Hold {
        debug_assert!(limit & FLAGS == 0, "a stamp is below 2^62");
        Hold {
            word: limit,
            cells: Cells {
                one: ManuallyDrop::new(cell),
            },
        }
    }

    pub(super) fn several(cells: ThinVec<CellRef>, limit: u64) -> Hold {
        debug_assert!(limit & FLAGS == 0, "a stamp is below 2^62");
        Hold {
            word: limit | SEVERAL,
            cells: Cells {
                several: ManuallyDrop::new(cells),
            },
        }
    }

    #[inline]
    pub(super) fn limit(&self) -> u64 {
        self.word & !FLAGS
    }

    pub(super) fn set_limit(&mut self, limit: u64) {
        debug_assert!(limit & FLAGS == 0, "a stamp is below 2^62");
        self.word = (self.word & FLAGS) | limit;
    }

    /// Whether the targets held so far have been compared with a copy.
    pub(super) fn is_from_copy(&self) -> bool {
        self.word & FROM_COPY != 0
    }

    pub(super) fn set_from_copy(&mut self) {
        self.word |= FROM_COPY;
    }

    #[inline]
    pub(super) fn cells(&self) -> &[CellRef] {
        if self.word & SEVERAL == 0 {
            // SAFETY: the bit says that `one` was written; it is never changed after construction.
            std::slice::from_ref(unsafe { &*self.cells.one })
        } else {
            // SAFETY: the bit says that `several` was written; it is never changed after construction.
            unsafe { &self.cells.several }
        }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        let mut clone = match self.cells() {
            [one] if self.word & SEVERAL == 0 => Hold::one(one.clone(), self.limit()),
            cells => Hold::several(cells.iter().cloned().collect(), self.limit()),
        };
        clone.word = self.word;
        clone
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.word & SEVERAL == 0 {
            // SAFETY: as in `cells`; a hold is dropped once.
            unsafe { ManuallyDrop::drop(&mut self.cells.one) }
        } else {
            // SAFETY: as above.
            unsafe { ManuallyDrop::drop(&mut self.cells.several) }
        }
    }
}
