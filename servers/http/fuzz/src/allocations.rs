//! How much memory the code under test holds: an allocator that counts bytes, by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which knows how many bytes this thread holds, and held at most.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Where counting begins: a thread may free what another has allocated, and none frees so much.
const BEGIN: usize = 1 << 40;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(BEGIN) };
    static PEAK: Cell<usize> = const { Cell::new(BEGIN) };
}

/// Bytes allocated by `run`, less those given back, as a change to `held`; and the most that
/// there were on the way, on top of `held`.
pub(crate) fn measure<T>(held: &mut usize, run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let value = run();
    let peak = *held + PEAK.get() - before;
    *held = *held + HELD.get() - before;
    (value, peak)
}

fn count(more: usize, less: usize) {
    let held = HELD.get() + more - less;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing,
// because the thread-locals are initialised at compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: our caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: our caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: our caller keeps to the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_while_they_are_held() {
        let mut held = 0;
        let (vector, peak) = measure(&mut held, || vec![0_u8; 1000]);
        assert_eq!((held, peak), (1000, 1000));
        let ((), peak) = measure(&mut held, || drop(vec![0_u8; 500]));
        assert_eq!((held, peak), (1000, 1500));
        let ((), peak) = measure(&mut held, || drop(vector));
        assert_eq!((held, peak), (0, 1000));
    }
}
