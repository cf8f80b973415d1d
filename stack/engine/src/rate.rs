//! Rate limits on what is sent to strangers.

use std::time::Duration;
use tcp::Instant;

/// A token bucket: `per_second` replies a second, and as many at once after a second of quiet.
///
/// Kept as one instant, that at which the bucket would be full (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    full_at: Instant,
}

const BURST: Duration = Duration::from_secs(1);

impl RateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: BURST / per_second.max(1), full_at: Instant::ZERO }
    }

    /// Takes a token if there is one.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let allowed = full_at <= now + BURST;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let mut limit = RateLimit::new(100);
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        assert_eq!((0..1000).filter(|_| limit.allow(at(0))).count(), 100);
        // A second later the bucket is full again; in the second after it, one passes every 10 ms.
        assert_eq!((1000..2000).filter(|millis| limit.allow(at(*millis))).count(), 199);
    }
}
