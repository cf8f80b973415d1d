//! The retransmission time-out (RFC 6298), with Karn's algorithm (MUST-18).

use crate::seq::Seq;
use crate::time::Instant;
use core::time::Duration;

/// G of RFC 6298, the granularity of the clock, in microseconds. The clock is finer, but timers
/// are not.
const GRANULARITY_US: u32 = 1000;

/// A round trip by timestamps counts as at most so many times what was known before.
const ECHO_GROWTH_MAX: u32 = 8;

/// Round trips, in microseconds: four bytes are enough for 71 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rtt {
    /// SRTT; zero before the first measurement.
    srtt_us: u32,
    rttvar_us: u32,
    initial_us: u32,
    min_us: u32,
    max_us: u32,
    /// How often the time-out has been doubled.
    pub(crate) backoff: u8,
    /// When the segment that is timed was sent; [`Instant::NEVER`] if none is.
    timed_at: Instant,
    /// The acknowledgement that ends the measurement.
    timed_seq: Seq,
}

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

impl Rtt {
    pub(crate) fn new(initial: Duration, min: Duration, max: Duration) -> Self {
        Self {
            srtt_us: 0,
            rttvar_us: 0,
            initial_us: micros(initial),
            min_us: micros(min),
            max_us: micros(max),
            backoff: 0,
            timed_at: Instant::NEVER,
            timed_seq: Seq(0),
        }
    }

    /// The time-out with its backoff (§5.5), never above the maximum.
    pub(crate) fn rto(&self) -> Duration {
        Duration::from_micros(self.rto_us())
    }

    /// When the timer expires that is started at `now`.
    #[inline]
    pub(crate) fn expires(&self, now: Instant) -> Instant {
        Instant::from_nanos(now.as_nanos().saturating_add(self.rto_us() * 1000))
    }

    #[inline]
    fn rto_us(&self) -> u64 {
        let base = if self.srtt_us == 0 {
            self.initial_us
        } else {
            // (2.3) RTO <- SRTT + max (G, K*RTTVAR), K = 4.
            let margin = self.rttvar_us.saturating_mul(4).max(GRANULARITY_US);
            self.srtt_us.saturating_add(margin).max(self.min_us)
        };
        let doubled = u64::from(base) << self.backoff.min(16);
        doubled.min(u64::from(self.max_us))
    }

    /// The smoothed round trip, zero before the first measurement.
    pub(crate) fn srtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.srtt_us))
    }

    /// §5.7: a SYN was lost, so that data begin with three seconds.
    pub(crate) fn syn_was_lost(&mut self) {
        self.initial_us = self.initial_us.saturating_mul(3);
    }

    /// A segment that ends before `seq` is sent for the first time; at most one is timed at once.
    #[inline]
    pub(crate) fn sent(&mut self, now: Instant, seq: Seq) {
        if self.timed_at == Instant::NEVER {
            self.timed_at = now;
            self.timed_seq = seq;
        }
    }

    /// Karn's algorithm: something is sent again, so that an acknowledgement is ambiguous.
    pub(crate) fn cancel(&mut self) {
        self.timed_at = Instant::NEVER;
    }

    /// Everything before `ack` is acknowledged. `echo` is a round trip by timestamps, if there is
    /// one: it counts where no segment is timed. It is coarse, but never ambiguous.
    #[inline]
    pub(crate) fn acked(
        &mut self,
        now: Instant,
        ack: Seq,
        echo: impl FnOnce() -> Option<Duration>,
    ) {
        if self.timed_at == Instant::NEVER {
            if let Some(echo) = echo() {
                // An acknowledgement that was lost leaves an echo of long ago. A bound on how fast
                // the estimate grows keeps a few of them from making each time-out the longest,
                // and still follows a path that has become slow.
                let limit_us = self.srtt_us.max(self.min_us).saturating_mul(ECHO_GROWTH_MAX);
                self.measured(micros(echo).min(limit_us));
            }
        } else if self.timed_seq.le(ack) {
            let elapsed_us = now.as_nanos().saturating_sub(self.timed_at.as_nanos()) / 1000;
            self.measured(u32::try_from(elapsed_us).unwrap_or(u32::MAX));
            self.timed_at = Instant::NEVER;
        }
    }

    #[inline]
    fn measured(&mut self, rtt_us: u32) {
        let rtt_us = rtt_us.max(1);
        if self.srtt_us == 0 {
            // (2.2) SRTT <- R, RTTVAR <- R/2.
            self.srtt_us = rtt_us;
            self.rttvar_us = rtt_us / 2;
            return;
        }
        // (2.3) RTTVAR first, with the old SRTT; alpha = 1/8, beta = 1/4.
        let error = self.srtt_us.abs_diff(rtt_us);
        self.rttvar_us = self.rttvar_us - self.rttvar_us / 4 + error / 4;
        self.srtt_us = (self.srtt_us - self.srtt_us / 8 + rtt_us / 8).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rtt() -> Rtt {
        Rtt::new(Duration::from_secs(1), 200 * MS, Duration::from_secs(60))
    }

    /// Times one segment that takes `round_trip`.
    fn measure(rtt: &mut Rtt, round_trip: Duration) {
        rtt.sent(Instant::ZERO, Seq(1));
        rtt.acked(Instant::ZERO + round_trip, Seq(1), || None);
    }

    #[test]
    fn the_first_measurement_sets_the_second_smooths() {
        let mut rtt = rtt();
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        measure(&mut rtt, 800 * MS);
        assert_eq!(rtt.rto(), (800 + 4 * 400) * MS);
        measure(&mut rtt, 400 * MS);
        // RTTVAR = 3/4 * 400 + 1/4 * |800 - 400|, SRTT = 7/8 * 800 + 1/8 * 400.
        assert_eq!(rtt.srtt(), 750 * MS);
        assert_eq!(rtt.rto(), (750 + 4 * 400) * MS);
    }

    #[test]
    fn the_minimum_holds_and_doubling_ends_at_the_maximum() {
        let mut rtt = rtt();
        measure(&mut rtt, MS);
        assert_eq!(rtt.rto(), 200 * MS);
        rtt.backoff = 3;
        assert_eq!(rtt.rto(), 1600 * MS);
        rtt.backoff = u8::MAX;
        assert_eq!(rtt.rto(), Duration::from_secs(60));
    }

    #[test]
    fn a_retransmission_ends_the_measurement_but_an_echo_counts() {
        let mut rtt = rtt();
        rtt.sent(Instant::ZERO, Seq(1));
        rtt.cancel();
        rtt.acked(Instant::ZERO + 900 * MS, Seq(1), || None);
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        rtt.acked(Instant::ZERO + 900 * MS, Seq(1), || Some(100 * MS));
        assert_eq!(rtt.srtt(), 100 * MS);
        // Of long ago: as 8 times the minimum of 200 ms.
        rtt.acked(Instant::ZERO, Seq(1), || Some(Duration::from_secs(3000)));
        assert_eq!(rtt.srtt(), (7 * 100 + 1600) * MS / 8);
    }

    #[test]
    fn one_segment_is_timed_at_once() {
        let mut rtt = rtt();
        rtt.sent(Instant::ZERO, Seq(10));
        rtt.sent(Instant::ZERO + 50 * MS, Seq(20));
        rtt.acked(Instant::ZERO + 70 * MS, Seq(9), || None);
        assert_eq!(rtt.srtt(), Duration::ZERO);
        rtt.acked(Instant::ZERO + 100 * MS, Seq(20), || None);
        assert_eq!(rtt.srtt(), 100 * MS);
    }
}
