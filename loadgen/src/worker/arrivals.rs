//! When the requests of an open loop are due.
//!
//! Nothing is queued: the times are a sequence that is drawn one by one, and the requests that wait
//! for a connection are those whose time is past and not yet taken. However far the load falls
//! behind, it costs no memory, and no time is ever moved.

use crate::plan::{Arrival, Share};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

const SECOND_NS: u128 = 1_000_000_000;

/// The times at which one thread's batches are due.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// When the load begins.
    start_ns: u64,
    /// When the next one is due.
    next_ns: u64,
    gaps: Gaps,
}

#[derive(Debug)]
enum Gaps {
    /// The n-th batch of all threads is due n times `depth / rate_rps` after the start, rounded
    /// once and not in every step; this thread has each `threads`-th.
    Fixed { number: u128, threads: u128, depth: u128, rate_rps: u128 },
    /// Exponential gaps. `elapsed_ns` has 53 bits, which are nanoseconds for 104 days.
    Poisson { random: Box<ChaCha8Rng>, elapsed_ns: f64, mean_ns: f64 },
}

impl Arrivals {
    /// One thread's share of `rate_rps` requests per second, sent in batches of `depth`, from
    /// `start_ns` on.
    pub(super) fn new(
        start_ns: u64,
        rate_rps: u64,
        depth: u64,
        (arrival, seed): (Arrival, u64),
        share: Share,
    ) -> Self {
        let (rate_rps, depth) = (rate_rps.max(1), depth.max(1));
        let gaps = match arrival {
            Arrival::Fixed => Gaps::Fixed {
                number: share.index as u128,
                threads: share.threads as u128,
                depth: u128::from(depth),
                rate_rps: u128::from(rate_rps),
            },
            Arrival::Poisson => {
                let mut random = Box::new(ChaCha8Rng::seed_from_u64(seed));
                // Threads draw from streams of their own, so that they are independent.
                random.set_stream(share.index as u64);
                #[expect(clippy::cast_precision_loss, reason = "a mean gap is rounded to 53 bits")]
                let mean_ns = 1e9 * (depth as f64) * (share.threads as f64) / (rate_rps as f64);
                Gaps::Poisson { random, elapsed_ns: 0.0, mean_ns }
            }
        };
        let mut arrivals = Self { start_ns, next_ns: start_ns, gaps };
        arrivals.advance();
        arrivals
    }

    /// When the next batch is due.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Takes the next batch, if its time has come; returns that time.
    pub(super) fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.next_ns;
        if due_ns > now_ns {
            return None;
        }
        self.advance();
        Some(due_ns)
    }

    fn advance(&mut self) {
        let elapsed_ns = match &mut self.gaps {
            Gaps::Fixed { number, threads, depth, rate_rps } => {
                let elapsed_ns = *number * *depth * SECOND_NS / *rate_rps;
                *number += *threads;
                u64::try_from(elapsed_ns).unwrap_or(u64::MAX)
            }
            Gaps::Poisson { random, elapsed_ns, mean_ns } => {
                // 1 - u lies in (0, 1], whose logarithm is finite.
                *elapsed_ns -= (1.0 - random.random::<f64>()).ln() * *mean_ns;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a positive number of nanoseconds; a float saturates"
                )]
                let elapsed_ns = *elapsed_ns as u64;
                elapsed_ns
            }
        };
        self.next_ns = self.start_ns.saturating_add(elapsed_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(rate_rps: u64, depth: u64, arrival: Arrival, share: Share, count: usize) -> Vec<u64> {
        let mut arrivals = Arrivals::new(7, rate_rps, depth, (arrival, 1), share);
        std::iter::repeat_with(|| arrivals.take(u64::MAX).unwrap()).take(count).collect()
    }

    #[test]
    fn fixed_times_are_rounded_once_and_shared_in_turn() {
        let third = times(3, 1, Arrival::Fixed, Share::WHOLE, 5);
        assert_eq!(third, [7, 333_333_340, 666_666_673, 1_000_000_007, 1_333_333_340]);
        let of_two = |index| times(4, 1, Arrival::Fixed, Share { index, threads: 2 }, 3);
        assert_eq!(of_two(0), [7, 500_000_007, 1_000_000_007]);
        assert_eq!(of_two(1), [250_000_007, 750_000_007, 1_250_000_007]);
        assert_eq!(times(4, 2, Arrival::Fixed, Share::WHOLE, 2), [7, 500_000_007]);
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut arrivals = Arrivals::new(10, 1, 1, (Arrival::Fixed, 0), Share::WHOLE);
        assert_eq!((arrivals.take(9), arrivals.next_ns()), (None, 10));
        assert_eq!((arrivals.take(10), arrivals.next_ns()), (Some(10), 1_000_000_010));
        assert_eq!(arrivals.take(1_000_000_009), None);
    }

    /// The mean and the deviation of exponential gaps are equal, and a share 1 - 1/e is below them.
    #[test]
    fn poisson_gaps_are_exponential() {
        const COUNT: usize = 200_000;
        let times = times(1_000_000, 1, Arrival::Poisson, Share::WHOLE, COUNT);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let squares: f64 = gaps.iter().map(|gap| (gap - mean).powi(2)).sum();
        let deviation = (squares / gaps.len() as f64).sqrt();
        let below = gaps.iter().filter(|gap| **gap < 1000.0).count() as f64 / gaps.len() as f64;
        assert!((mean - 1000.0).abs() < 10.0, "{mean}");
        assert!((deviation - 1000.0).abs() < 15.0, "{deviation}");
        assert!((below - (1.0 - (-1.0_f64).exp())).abs() < 0.005, "{below}");
    }

    #[test]
    fn a_seed_gives_the_same_times_again_and_threads_differ() {
        let of = |index| times(1000, 1, Arrival::Poisson, Share { index, threads: 2 }, 10);
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
    }
}
