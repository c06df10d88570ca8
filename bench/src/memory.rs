//! An allocator that can count: the bytes that were asked for, not the system's overhead.
//!
//! It counts only while [`bytes_kept`] runs, so that it costs the measurements of time in the same program no more than a
//! look at a flag. The only unsafe code of this package: it passes every call on to the system's allocator unchanged.
#![expect(unsafe_code, reason = "an allocator can only be written with unsafe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The counting allocator. A benchmark that measures memory makes it the global one:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: larder_bench::Counting = larder_bench::Counting;
///
/// let (bytes, kept) = larder_bench::bytes_kept(|| vec![0_u8; 1_000]);
/// assert_eq!((bytes.len(), kept), (1_000, 1_000));
///
/// let ((), given_back) = larder_bench::bytes_kept(|| drop(bytes));
/// assert_eq!(given_back, -1_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// What `make` gives, and how many bytes more are allocated after it than before, by all threads together; fewer than none if
/// it gave some back. Always none unless [`Counting`] is the global allocator. Two calls must not overlap.
pub fn bytes_kept<R>(make: impl FnOnce() -> R) -> (R, i64) {
    let was_counting = COUNTS.swap(true, Ordering::Relaxed);
    let before = LIVE.load(Ordering::Relaxed);
    let made = make();
    let after = LIVE.load(Ordering::Relaxed);
    COUNTS.store(was_counting, Ordering::Relaxed);
    // What was allocated uncounted may be freed counted, so the sum may pass below zero; the difference is right.
    (made, after.wrapping_sub(before).cast_signed() as i64)
}

fn count(more: usize, less: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        LIVE.fetch_add(more.wrapping_sub(less), Ordering::Relaxed);
    }
}

// SAFETY: each method hands its arguments to `System` and returns its answer; the counter takes no part in it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the duties of `alloc`, which are those of `System.alloc`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(layout.size(), 0);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the block came from `System`, by `alloc` or `realloc`, with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from `System` with this layout, and the caller keeps the duties of `realloc`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            count(size, layout.size());
        }
        moved
    }
}
