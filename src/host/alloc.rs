//! A global allocator that counts, so that "the hot thread does not allocate" and "hostile input takes memory
//! in proportion to its length" are measurements.
//! Install it in a binary: `#[global_allocator] static A: Counting = Counting;`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Const-initialised and without a destructor: touching it neither allocates nor can be refused.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes asked for and not given back; what other threads give back of them is missing.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static HELD_MOST: Cell<i64> = const { Cell::new(0) };
}

/// The system allocator, counting what each thread asks of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// Allocations and reallocations of this thread so far; 0 for ever where [`Counting`] is not the
/// global allocator.
pub fn thread_allocations() -> u64 {
    ALLOCATIONS.try_with(Cell::get).unwrap_or(0)
}

/// Does `work` and measures the most bytes that this thread held at once meanwhile, beyond what it held
/// before; 0 where [`Counting`] is not the global allocator.
pub fn most_held<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let before = HELD.get();
    HELD_MOST.set(before);
    let result = work();
    (result, HELD_MOST.get().saturating_sub(before).try_into().unwrap_or(0))
}

fn count() {
    // A thread being torn down may have no storage left; what it allocates then is nobody's hot path.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get().wrapping_add(1)));
}

/// `more` bytes are held, or fewer.
fn hold(more: i64) {
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(more));
        HELD_MOST.try_with(|most| most.set(most.get().max(held.get())))
    });
}

/// No block is larger than half of the address space.
fn bytes(size: usize) -> i64 {
    size as i64
}

// SAFETY: every call is handed to `System` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(bytes(layout.size()));
        // SAFETY: the caller's promises about `layout` are the ones `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        hold(bytes(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        hold(bytes(size) - bytes(layout.size()));
        // SAFETY: `pointer` came from this allocator, which is `System`, with this `layout`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-bytes(layout.size()));
        // SAFETY: `pointer` came from this allocator, which is `System`, with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through the allocator itself: in this test it is not the global one.
    #[test]
    fn the_most_held_at_once_is_not_all_that_was_asked_for() {
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let block = |size| {
            // SAFETY: the layouts are not empty, and each block goes back with the layout it came with.
            unsafe {
                let pointer = Counting.alloc_zeroed(layout(size));
                let pointer = Counting.realloc(pointer, layout(size), size * 2);
                Counting.dealloc(pointer, layout(size * 2));
            }
        };
        let before = thread_allocations();
        let ((), held) = most_held(|| [100, 3_000, 500].into_iter().for_each(block));
        assert_eq!((held, thread_allocations() - before), (6_000, 6));
        assert_eq!(most_held(|| ()).1, 0);
    }
}
