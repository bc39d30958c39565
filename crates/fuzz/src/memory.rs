//! What decoding takes: an allocator that counts, for each thread on its own.

// An allocator is unsafe to write; this one only counts what the system's does.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, counted. Nothing is counted unless a program makes it its own:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: tutti_fuzz::memory::Counting = tutti_fuzz::memory::Counting;
/// ```
#[derive(Debug)]
pub struct Counting;

/// The most that something took of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// In one allocation. One that grows counts anew.
    pub largest: usize,
    /// In all allocations held at a time.
    pub held: usize,
}

impl Peak {
    /// The larger ones of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest), held: self.held.max(other.held) }
    }
}

thread_local! {
    // Constants without a destructor: reading them allocates nothing.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().wrapping_add(layout.size());
        HELD.set(held);
        // As signed numbers: a thread may free what another has allocated.
        if held.wrapping_sub(PEAK.get()) as isize > 0 {
            PEAK.set(held);
        }
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What this took at most, beyond what was held before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, Peak) {
    let before = HELD.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    (result, Peak { largest: LARGEST.get(), held: PEAK.get().wrapping_sub(before) })
}

/// Whether anything is counted in this program.
#[must_use]
pub fn is_counted() -> bool {
    peak_of(|| std::hint::black_box(Box::new(0_u64))).1.largest > 0
}
