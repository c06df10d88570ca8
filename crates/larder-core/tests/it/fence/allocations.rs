//! Counts what the present thread asks the allocator for: the binary's global allocator, with a count per thread.
//!
//! Always true: a thread sees its own requests only, so tests may run beside each other. It counts requests for new or
//! grown memory; giving memory back is no request. Nothing else is measured.

#![expect(unsafe_code, reason = "an allocator cannot be implemented without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Constant, without a destructor: so reading it allocates nothing and is allowed until the thread is gone.
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

/// How many times `work` asked for memory on this thread, and what it gave.
pub(super) fn requests_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = REQUESTS.get();
    let out = work();
    (REQUESTS.get() - before, out)
}

fn count() {
    // A thread that is ending has no count any more, and nobody who would ask for it.
    let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[test]
fn requests_are_counted() {
    let (requests, kept) = requests_of(|| vec![0_u8; 100]);
    assert_eq!((requests, kept.len()), (1, 100));
}
