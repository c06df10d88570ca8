//! [`prefetch`]: asks for a line of memory before it is needed. The one module of the crate with unsafe code.
//!
//! Writers look at lines that no other thread has touched for long, one after the other, and take locks in between, across
//! which a processor does not look ahead by itself. Asking for the lines beforehand brings them at the same time. It
//! pays: without it an insert at capacity takes about half as long again, at 100,000 entries.

#![expect(
    unsafe_code,
    reason = "the instruction has no safe form; see the head of the file"
)]

/// Asks for the line that `near` begins in. Costs an instruction; does nothing on processors that are not known here.
#[inline(always)]
pub fn prefetch<T>(near: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line: *const i8 = std::ptr::from_ref(near).cast();
        // SAFETY: a prefetch has no effect that a program could observe, and no address makes it fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = near;
}
