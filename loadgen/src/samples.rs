//! Every sample of a quantity, and the figures that wrk prints about it.

use hdrhistogram::Histogram;

/// Samples of a whole number: an HdrHistogram, with the sum and the extremes beside it exact.
///
/// Nothing is left out and nothing is filled in: there is no limit above which a sample is dropped,
/// and no correction for coordinated omission. Percentiles and the standard deviation are within
/// the histogram's precision; count, mean, minimum and maximum are exact.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
    sum: u128,
    min: u64,
    max: u64,
}

impl Samples {
    /// No samples yet.
    ///
    /// Memory is taken for values up to `expected_max`; a larger one makes the histogram grow.
    /// `significant_digits` is the precision kept: 3 digits up to an hour of nanoseconds take
    /// 0.3 MB.
    ///
    /// # Panics
    /// Where `significant_digits` is not from 1 to 5 or `expected_max` is below 2.
    #[must_use]
    pub fn new(significant_digits: u8, expected_max: u64) -> Self {
        let mut histogram = Histogram::new_with_bounds(1, expected_max, significant_digits)
            .expect("from 1 to 5 digits, for values up to 2 at least");
        histogram.auto(true);
        Self { histogram, sum: 0, min: u64::MAX, max: 0 }
    }

    /// No samples yet, with the precision and the room of another.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        let mut empty = self.clone();
        empty.clear();
        empty
    }

    /// Adds a sample.
    #[expect(clippy::missing_panics_doc, reason = "a histogram that grows takes every value")]
    pub fn record(&mut self, value: u64) {
        self.histogram.record(value).expect("a histogram that grows takes every value");
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds a sample `times` times.
    #[expect(clippy::missing_panics_doc, reason = "a histogram that grows takes every value")]
    pub fn record_n(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.histogram.record_n(value, times).expect("a histogram that grows takes every value");
        self.sum += u128::from(value) * u128::from(times);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds all samples of another.
    #[expect(clippy::missing_panics_doc, reason = "a histogram that grows takes every value")]
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("a histogram that grows takes every value");
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Forgets every sample; the memory stays.
    pub fn clear(&mut self) {
        self.histogram.clear();
        self.sum = 0;
        self.min = u64::MAX;
        self.max = 0;
    }

    /// Number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The smallest sample, exact; 0 where there is none.
    #[must_use]
    pub fn min(&self) -> u64 {
        if self.count() == 0 { 0 } else { self.min }
    }

    /// The largest sample, exact; 0 where there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean; 0 where there is no sample.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean is rounded to 53 bits")]
    pub fn mean(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.sum as f64 / self.count() as f64 }
    }

    /// The standard deviation of the sample (n - 1); 0 where there are fewer than two.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a deviation is rounded to 53 bits")]
    pub fn stdev(&self) -> f64 {
        if self.count() < 2 {
            return 0.0;
        }
        let mean = self.mean();
        let squares: f64 =
            self.buckets().map(|(value, count)| (value as f64 - mean).powi(2) * count as f64).sum();
        (squares / (self.count() - 1) as f64).sqrt()
    }

    /// Percentage of samples within one standard deviation of the mean; `None` without samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage is rounded to 53 bits")]
    pub fn within_stdev_percent(&self) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let (low, high) = (self.mean() - self.stdev(), self.mean() + self.stdev());
        let inside: u64 = self
            .buckets()
            .filter(|(value, _)| (low..=high).contains(&(*value as f64)))
            .map(|(_, count)| count)
            .sum();
        Some(inside as f64 / self.count() as f64 * 100.0)
    }

    /// The value at wrk's rank for a percentile, `round(percent / 100 * count + 0.5)`, as the
    /// largest value that the histogram cannot tell from it; 0 where there is no sample.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a rounded, positive number"
        )]
        let rank = (percent / 100.0 * self.count() as f64 + 0.5).round() as u64;
        let rank = rank.clamp(1, self.count().max(1));
        let mut seen = 0;
        for bucket in self.histogram.iter_recorded() {
            seen += bucket.count_at_value();
            if seen >= rank {
                return self.highest_equivalent(bucket.value_iterated_to());
            }
        }
        0
    }

    /// The largest value that the histogram cannot tell from `value`, but none above the maximum.
    #[must_use]
    pub fn highest_equivalent(&self, value: u64) -> u64 {
        self.clamp(self.histogram.highest_equivalent(value))
    }

    /// All samples, as a histogram in the unit that was recorded.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The values that were recorded with their counts, each the middle of what the histogram
    /// cannot tell apart, but never outside the exact extremes.
    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.histogram.iter_recorded().map(|bucket| {
            let value = self.histogram.median_equivalent(bucket.value_iterated_to());
            (self.clamp(value), bucket.count_at_value())
        })
    }

    fn clamp(&self, value: u64) -> u64 {
        value.clamp(self.min.min(self.max), self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXPECTED_MAX: u64 = 1 << 40;

    fn samples(values: &[u64]) -> Samples {
        let mut samples = Samples::new(3, EXPECTED_MAX);
        values.iter().for_each(|value| samples.record(*value));
        samples
    }

    #[test]
    fn without_samples_every_figure_is_zero_and_the_share_is_unknown() {
        let none = samples(&[]);
        assert_eq!((none.count(), none.min(), none.max(), none.percentile(99.0)), (0, 0, 0, 0));
        assert_eq!((none.mean(), none.stdev()), (0.0, 0.0));
        assert_eq!(none.within_stdev_percent(), None);
    }

    #[test]
    fn figures_of_a_known_set() {
        // Mean 5, squares of deviations 9+1+1+1+0+0+4+16 = 32, so stdev = sqrt(32/7) = 2.138.
        let known = samples(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!((known.count(), known.min(), known.max()), (8, 2, 9));
        assert_eq!(known.mean(), 5.0);
        assert!((known.stdev() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        // Within 2.862 to 7.138 lie six of eight.
        assert_eq!(known.within_stdev_percent(), Some(75.0));
    }

    #[test]
    fn percentiles_follow_the_rank_rule_of_wrk() {
        let check = |count: u64, percent: f64, expect: u64| {
            let values: Vec<u64> = (1..=count).collect();
            assert_eq!(samples(&values).percentile(percent), expect, "{percent} of {count}");
        };
        check(1, 50.0, 1);
        check(1, 99.0, 1);
        // round(50 / 100 * 100 + 0.5) = round(50.5) = 51.
        check(100, 50.0, 51);
        check(100, 90.0, 91);
        check(100, 99.0, 100);
        check(100, 100.0, 100);
        // round(0.99 * 1000 + 0.5) = round(990.5) = 991.
        check(1000, 99.0, 991);
    }

    #[test]
    fn a_sample_may_be_added_several_times_at_once() {
        let mut several = samples(&[3]);
        several.record_n(5, 2);
        several.record_n(9, 0);
        let one_by_one = samples(&[3, 5, 5]);
        assert_eq!(several.histogram(), one_by_one.histogram());
        assert_eq!((several.sum, several.max()), (13, 5));
    }

    #[test]
    fn nothing_is_too_late_to_be_kept() {
        let late = samples(&[1, 1000 * EXPECTED_MAX]);
        assert_eq!((late.count(), late.max()), (2, 1000 * EXPECTED_MAX));
        assert_eq!(late.percentile(100.0), 1000 * EXPECTED_MAX);
    }

    proptest! {
        #[test]
        fn merging_is_recording_everything_in_one(
            left in prop::collection::vec(0_u64..1 << 40, 0..40),
            right in prop::collection::vec(0_u64..1 << 40, 0..40),
        ) {
            let mut merged = samples(&left);
            merged.merge(&samples(&right));
            let both = samples(&[left, right].concat());
            prop_assert_eq!(merged.histogram(), both.histogram());
            prop_assert_eq!(merged.sum, both.sum);
            prop_assert_eq!((merged.min, merged.max), (both.min, both.max));
        }

        #[test]
        fn percentiles_are_within_a_thousandth_of_the_sorted_list(
            mut values in prop::collection::vec(1_u64..1 << 40, 1..200),
            percent in 1_u32..=100,
        ) {
            let found = samples(&values).percentile(f64::from(percent));
            values.sort_unstable();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank is a rounded, positive number"
            )]
            let rank = (f64::from(percent) / 100.0 * values.len() as f64 + 0.5).round() as usize;
            let exact = values[rank.clamp(1, values.len()) - 1];
            prop_assert!(found >= exact && found - exact <= exact / 1000, "{found} for {exact}");
        }
    }
}
