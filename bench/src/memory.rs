//! An allocator that counts the bytes that are allocated at the moment: those that were asked for, not the system's overhead.
//!
//! The only unsafe code of this package: it passes every call on to the system's allocator unchanged.
#![expect(unsafe_code, reason = "an allocator can only be written with unsafe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The counting allocator. A benchmark that measures memory makes it the global one:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: larder_bench::Counting = larder_bench::Counting;
///
/// let before = larder_bench::live_bytes();
/// let bytes = std::hint::black_box(vec![0_u8; 1_000]);
/// assert!(larder_bench::live_bytes() >= before + 1_000);
/// drop(bytes);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// The bytes that are allocated now. Always 0 unless [`Counting`] is the global allocator.
#[must_use]
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

// SAFETY: each method hands its arguments to `System` and returns its answer; the counter takes no part in it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the duties of `alloc`, which are those of `System.alloc`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block came from `System`, by `alloc` or `realloc`, with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from `System` with this layout, and the caller keeps the duties of `realloc`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            LIVE.fetch_add(size, Ordering::Relaxed);
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }
}
