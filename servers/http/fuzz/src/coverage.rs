//! Coverage: how often each edge of the program was taken.
//!
//! A build with LLVM's `sancov-module` pass (stable `rustc` has it: `-C passes`, `-C llvm-args`)
//! gives each edge a counter of one byte, and hands over where they lie before `main` begins.
//! `cargo xtask fuzz` builds so. In any other build there are no counters, and inputs are chosen
//! by what the target says they did, alone.
//!
//! Source: LLVM's *SanitizerCoverage*, inline 8-bit counters.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Called by the instrumentation at the start of the program, once for each object file, each
/// time with the same range: the linker has joined their counters.
// SAFETY: the name is the one that LLVM calls, and nothing else in the program has it.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    LENGTH.store(stop.addr() - start.addr(), Ordering::Relaxed);
    START.store(start, Ordering::Release);
}

/// Runs `read` on the counters, of which there are none without instrumentation.
pub(crate) fn with_counters(read: impl FnOnce(&[u8])) {
    let start = START.load(Ordering::Acquire);
    if start.is_null() {
        return;
    }
    let length = LENGTH.load(Ordering::Relaxed);
    let mut copy = vec![0; length];
    // SAFETY: the instrumentation handed over `length` bytes from `start`, which exist as long as
    // the program; they are copied, because running code goes on counting in them. A count that
    // is lost because two threads count at once does no harm.
    unsafe { core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), length) };
    read(&copy);
}

/// Sets every counter to 0.
pub(crate) fn clear() {
    let start = START.load(Ordering::Acquire);
    if !start.is_null() {
        // SAFETY: as in `with_counters`; any value is a valid count.
        unsafe { core::ptr::write_bytes(start, 0, LENGTH.load(Ordering::Relaxed)) };
    }
}
