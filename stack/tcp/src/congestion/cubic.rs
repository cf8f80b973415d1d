//! CUBIC (RFC 9438), in integers: the same on every machine, and `core` has no cube root.

use super::Acked;
use crate::time::Instant;

/// Milliseconds in which a window grows back, at most: 2^21 ms cubed still fits into an `i64`.
const TIME_MAX_MS: u64 = 1 << 20;

/// Windows in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cubic {
    /// Beginning of the stage of congestion avoidance; [`Instant::NEVER`] between stages.
    epoch_start: Instant,
    /// `W_max`: the window just before it was reduced last.
    w_max: u32,
    /// `W_est`: the window that Reno would have.
    w_est: u32,
    /// `K`: from the beginning of the stage until the window is `W_max` again, in milliseconds.
    k_ms: u32,
}

impl Default for Cubic {
    fn default() -> Self {
        Self { epoch_start: Instant::NEVER, w_max: 0, w_est: 0, k_ms: 0 }
    }
}

impl Cubic {
    /// Ends the stage: the next increase begins one, with the window of then.
    pub(super) fn pause(&mut self) {
        self.epoch_start = Instant::NEVER;
    }

    /// §4.8: after a time-out the next stage begins at its own window, with K = 0.
    pub(super) fn restart(&mut self) {
        self.pause();
        self.w_max = 0;
    }

    /// §4.6 and §4.7: the window after a loss, beta = 0.7, with fast convergence.
    pub(super) fn reduce(&mut self, flight: u32) -> u32 {
        self.pause();
        let tenths = |window: u32, count: u64| {
            u32::try_from(u64::from(window) * count / 10).unwrap_or(u32::MAX)
        };
        // (1 + beta) / 2 = 0.85
        let converging = tenths(flight, 8).saturating_add(flight / 20);
        self.w_max = if flight < self.w_max { converging } else { flight };
        tenths(flight, 7)
    }

    fn begin(&mut self, now: Instant, cwnd: u32, smss: u32) {
        self.epoch_start = now;
        self.w_est = cwnd;
        if cwnd < self.w_max {
            // K = cbrt((W_max - cwnd_epoch) / C) seconds, windows in segments, C = 0.4.
            let segments_e9 = u64::from(self.w_max - cwnd) * 1_000_000_000 / u64::from(smss);
            self.k_ms = cube_root(segments_e9 * 10 / 4);
        } else {
            self.k_ms = 0;
            self.w_max = cwnd;
        }
    }

    /// §4.2: `W_cubic(t)` = C * (t - K)^3 + `W_max`, with C = 0.4.
    fn window_at(&self, t_ms: u64, smss: u32) -> u32 {
        let t_ms = i64::try_from(t_ms.min(TIME_MAX_MS)).unwrap_or(i64::MAX);
        let distance = t_ms - i64::from(self.k_ms);
        let cubed = i128::from(distance).pow(3);
        let growth = cubed * i128::from(smss) * 4 / 10_000_000_000;
        let window = i128::from(self.w_max) + growth;
        u32::try_from(window.clamp(0, i128::from(u32::MAX))).unwrap_or(u32::MAX)
    }

    /// §4.2 to §4.5: the window after `acked` in congestion avoidance.
    pub(super) fn increase(&mut self, cwnd: u32, credit: &mut u32, acked: &Acked) -> u32 {
        if self.epoch_start == Instant::NEVER {
            self.begin(acked.now, cwnd, acked.smss);
        }
        let ms = |duration: core::time::Duration| {
            u64::try_from(duration.as_millis()).unwrap_or(TIME_MAX_MS)
        };
        let t_ms = ms(acked.now - self.epoch_start);
        self.grow_estimate(cwnd, acked);
        if self.window_at(t_ms, acked.smss) < self.w_est {
            // §4.3, the Reno-friendly region.
            return cwnd.max(self.w_est);
        }
        // §4.4 and §4.5: towards the target of one round trip ahead, at most half a window more.
        let target = self.window_at(t_ms + ms(acked.srtt), acked.smss);
        let target = target.clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        let gain = u64::from(target - cwnd) * u64::from(acked.bytes) + u64::from(*credit);
        *credit = u32::try_from(gain % u64::from(cwnd)).unwrap_or(0);
        let gain = u32::try_from(gain / u64::from(cwnd)).unwrap_or(u32::MAX);
        cwnd.saturating_add(gain.min(acked.smss * 2))
    }

    /// §4.3: `W_est` += alpha * `bytes_acked` / cwnd, with alpha = 3 * (1 - beta) / (1 + beta), or
    /// 1 once it has reached the window before the reduction.
    fn grow_estimate(&mut self, cwnd: u32, acked: &Acked) {
        let per_mille = if self.w_est < self.w_max { 529 } else { 1000 };
        let gain =
            u64::from(acked.bytes) * u64::from(acked.smss) * per_mille / (1000 * u64::from(cwnd));
        self.w_est = self.w_est.saturating_add(u32::try_from(gain).unwrap_or(u32::MAX));
    }
}

/// The largest number whose cube is not above `value`, by bisection in at most 21 steps.
fn cube_root(value: u64) -> u32 {
    let (mut low, mut high) = (0_u64, TIME_MAX_MS);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle * middle <= value {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    u32::try_from(low).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Acked, Algorithm, Congestion};
    use super::*;
    use crate::seq::Seq;
    use core::time::Duration;

    const SMSS: u32 = 1000;

    /// Acknowledges a full window in each round trip of 100 ms, for `seconds`.
    fn run(congestion: &mut Congestion, from: Instant, seconds: u32) -> Instant {
        let srtt = Duration::from_millis(100);
        let mut now = from;
        for _ in 0..seconds * 10 {
            now += srtt;
            let flight = congestion.cwnd;
            for _ in 0..flight / SMSS {
                let acked = Acked {
                    now,
                    bytes: SMSS,
                    smss: SMSS,
                    srtt,
                    after_timeout: false,
                    is_limited: true,
                };
                congestion.on_ack(&acked, flight);
            }
        }
        now
    }

    #[test]
    fn cube_roots_are_exact() {
        for root in [0_u64, 1, 2, 99, 100, 20_000, TIME_MAX_MS] {
            let cube = root * root * root;
            assert_eq!(u64::from(cube_root(cube)), root);
            if root > 1 {
                assert_eq!(u64::from(cube_root(cube - 1)), root - 1);
            }
        }
    }

    #[test]
    fn a_reduced_window_is_back_after_k() {
        let mut congestion = Congestion::new(Algorithm::Cubic, SMSS, Seq(0));
        congestion.on_loss(1_000_000, SMSS);
        assert_eq!(congestion.cwnd, 700_000);
        // K = cbrt(300 / 0.4) = 9.086 seconds.
        let now = run(&mut congestion, Instant::ZERO, 9);
        assert!((980_000..1_000_000).contains(&congestion.cwnd), "{}", congestion.cwnd);
        // Then a plateau, then growth: 0.4 * 9.9^3 = 388 segments after 19 seconds.
        run(&mut congestion, now, 10);
        assert!((1_330_000..1_420_000).contains(&congestion.cwnd), "{}", congestion.cwnd);
    }

    #[test]
    fn fast_convergence_lowers_the_plateau() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.reduce(1_000_000), 700_000);
        assert_eq!(cubic.w_max, 1_000_000);
        assert_eq!(cubic.reduce(700_000), 490_000);
        assert_eq!(cubic.w_max, 595_000);
    }

    #[test]
    fn a_small_window_grows_no_slower_than_reno() {
        let mut congestion = Congestion::new(Algorithm::Cubic, SMSS, Seq(0));
        congestion.on_loss(20_000, SMSS);
        run(&mut congestion, Instant::ZERO, 2);
        // alpha = 0.529 segments for each round trip up to W_max, then 1, of 20 in all: W_est
        // leads, since the cubic is flat.
        assert!((26_000..29_000).contains(&congestion.cwnd), "{}", congestion.cwnd);
    }
}
