//! Time as an argument: nanoseconds since an epoch that the caller chooses.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in monotonic time, in nanoseconds since an arbitrary epoch.
///
/// 2^64 ns are 584 years, so the arithmetic saturates rather than wraps: a saturated instant
/// means "never" and compares later than everything real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);
    /// Later than any instant that a clock returns.
    pub const NEVER: Self = Self(u64::MAX);

    /// Wraps a reading of `CLOCK_MONOTONIC` (or of a simulator's clock) in nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time elapsed since `earlier`, zero if `earlier` is in fact later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_never() {
        let start = Instant::from_nanos(10);
        assert_eq!((start + Duration::from_nanos(5)).as_nanos(), 15);
        assert_eq!(start - Instant::from_nanos(4), Duration::from_nanos(6));
        assert_eq!(Instant::from_nanos(4) - start, Duration::ZERO);
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(start + Duration::MAX, Instant::NEVER);
    }
}
