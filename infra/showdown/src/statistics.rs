//! Medians, their bootstrap intervals, and the shuffled order of a round.
//!
//! Random numbers come from `ChaCha12` seeded by number, so that a recorded seed gives the same
//! order and the same interval with any version of this program.

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use record::Estimate;

/// Resamples of a bootstrap. With 10,000 the ends of a 95 % interval are the 250th value from
/// either side, which moves little between seeds.
const RESAMPLES: usize = 10_000;

/// A median of fewer samples than this has no 95 % interval whatever their distribution: the
/// range of n samples misses the median with probability 2^(1-n), which is 3 % for six.
pub(crate) const SAMPLES_FOR_CI95: usize = 6;

/// The middle sample, or the mean of the two in the middle.
///
/// # Panics
/// Where there is no sample.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    median_in_place(&mut sorted)
}

fn median_in_place(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len() % 2 == 1 {
        samples[middle]
    } else {
        f64::midpoint(samples[middle - 1], samples[middle])
    }
}

/// The median with its 95 % confidence interval: percentile bootstrap over the samples.
///
/// # Panics
/// Where there is no sample.
pub(crate) fn estimate(samples: &[f64], seed: u64) -> Estimate {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut resample = vec![0.0; samples.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for value in &mut resample {
                *value = samples[rng.random_range(0..samples.len())];
            }
            median_in_place(&mut resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let outside = RESAMPLES / 40;
    let ci95 = [medians[outside], medians[RESAMPLES - 1 - outside]];
    Estimate { median: median(samples), ci95 }
}

/// The order in which a round measures `count` cells. Each round has a stream of its own, so that
/// a repeated round does not move the ones after it.
pub(crate) fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(round));
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn the_median_is_the_middle() {
        let check = |samples: &[f64], expect: f64| assert!(close(median(samples), expect));
        check(&[3.0], 3.0);
        check(&[9.0, 1.0, 5.0], 5.0);
        check(&[4.0, 1.0, 3.0, 2.0], 2.5);
    }

    #[test]
    fn equal_samples_leave_no_doubt() {
        let Estimate { median, ci95: [low, high] } = estimate(&[1.0; 7], 1);
        assert!(close(median, 1.0) && close(low, 1.0) && close(high, 1.0));
    }

    /// For 1..=11 the resampled median is at most k with probability P(B ≥ 6), where B counts the
    /// resamples ≤ k and is binomial (11, k/11). That is 0.7 % for k = 2 and 5.1 % for k = 3, so
    /// that 2.5 % of the resamples lie at or below 3, and by symmetry 9 is the upper end.
    #[test]
    fn the_interval_of_known_data_is_the_one_computed_by_hand() {
        let samples: Vec<f64> = (1..=11).map(f64::from).collect();
        for seed in 0..5 {
            let Estimate { median, ci95: [low, high] } = estimate(&samples, seed);
            assert!(close(median, 6.0) && close(low, 3.0) && close(high, 9.0), "seed {seed}");
        }
    }

    #[test]
    fn with_three_samples_the_interval_is_their_range() {
        let Estimate { ci95: [low, high], .. } = estimate(&[2.0, 1.0, 3.0], 1);
        assert!(close(low, 1.0) && close(high, 3.0));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_median_and_lies_in_the_range(
            samples in prop::collection::vec(0.1_f64..1e7, 1..20), seed: u64,
        ) {
            let Estimate { median, ci95: [low, high] } = estimate(&samples, seed);
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= low && low <= median && median <= high && high <= most);
            prop_assert_eq!(estimate(&samples, seed).ci95, [low, high]);
        }

        #[test]
        fn an_order_holds_every_cell_once_and_follows_from_its_seed(
            seed: u64, round in 1_u32..1000, count in 1_usize..50,
        ) {
            let first = order(seed, round, count);
            let mut sorted = first.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            prop_assert_eq!(order(seed, round, count), first);
        }
    }

    /// A frozen order: a recorded seed must mean the same after an update of `rand`.
    #[test]
    fn orders_differ_between_rounds_and_do_not_change_between_versions() {
        let orders: Vec<Vec<usize>> = (1..=4).map(|round| order(7, round, 4)).collect();
        assert_eq!(orders, [[2, 0, 3, 1], [2, 1, 0, 3], [1, 3, 0, 2], [0, 3, 1, 2]]);
    }
}
