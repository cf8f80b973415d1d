//! The clock that everything here is measured with, and what reading it costs.

use crate::transport::sys::monotonic_ns;

/// Readings from which the cost of one is taken.
const READINGS: u32 = 1000;

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(super) fn now_ns() -> u64 {
    monotonic_ns()
}

/// The shortest time between two readings, in nanoseconds. It is part of every sample: each lies
/// between two readings, and nothing is subtracted.
pub(super) fn cost_ns() -> u64 {
    let mut least_ns = u64::MAX;
    let mut last_ns = now_ns();
    for _ in 0..READINGS {
        let ns = now_ns();
        least_ns = least_ns.min(ns - last_ns);
        last_ns = ns;
    }
    least_ns
}

/// Milliseconds as nanoseconds.
pub(super) fn ms_to_ns(milliseconds: u32) -> u64 {
    u64::from(milliseconds) * 1_000_000
}
