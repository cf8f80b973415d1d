//! Figures of one message size, from every sample that was taken.

/// What sfnt-pingpong says about a size, by its definitions; nanoseconds, fractions cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) mean: u64,
    pub(super) min: u64,
    pub(super) median: u64,
    pub(super) max: u64,
    /// The sample at `count * percent / 100` in ascending order, counted from 0.
    pub(super) percentile: u64,
    /// Of the sample: divided by n - 1.
    pub(super) stddev: u64,
    pub(super) count: usize,
}

/// The heading of the columns that [`Summary::row`] fills.
pub(super) const HEADING: &str = "#\tsize\tmean\tmin\tmedian\tmax\t%ile\tstddev\titer";

impl Summary {
    /// The figures of samples in ascending order; `None` where there is none.
    pub(super) fn of(sorted: &[u64], percent: f64) -> Option<Self> {
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let sum: u128 = sorted.iter().map(|sample| u128::from(*sample)).sum();
        let mean = u64::try_from(sum / sorted.len() as u128).unwrap_or(u64::MAX);
        Some(Self {
            mean,
            min,
            median: sorted[sorted.len() / 2],
            max,
            percentile: at_percent(sorted, percent),
            stddev: stddev(sorted, mean),
            count: sorted.len(),
        })
    }

    /// The line of a size: tab-separated columns as in [`HEADING`].
    pub(super) fn row(&self, size: usize) -> String {
        let Self { mean, min, median, max, percentile, stddev, count } = self;
        format!("\t{size}\t{mean}\t{min}\t{median}\t{max}\t{percentile}\t{stddev}\t{count}")
    }
}

/// The sample at `count * percent / 100` of a list in ascending order; the last one for 100.
pub(super) fn at_percent(sorted: &[u64], percent: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a list that fits into memory"
    )]
    let index = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted[index.min(sorted.len() - 1)]
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a deviation is rounded to 53 bits, and positive"
)]
fn stddev(samples: &[u64], mean: u64) -> u64 {
    if samples.len() < 2 {
        return 0;
    }
    let squares: f64 = samples.iter().map(|sample| (*sample as f64 - mean as f64).powi(2)).sum();
    (squares / (samples.len() - 1) as f64).sqrt() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        // Sum 40, mean 5; squares of deviations 9+1+1+1+0+0+4+16 = 32, 32/7 = 4.57, root 2.14.
        let summary = Summary::of(&[2, 4, 4, 4, 5, 5, 7, 9], 75.0).expect("eight samples");
        assert_eq!(
            summary,
            Summary { mean: 5, min: 2, median: 5, max: 9, percentile: 7, stddev: 2, count: 8 }
        );
        assert_eq!(summary.row(64), "\t64\t5\t2\t5\t9\t7\t2\t8");
    }

    #[test]
    fn ranks_are_those_of_sfnt_pingpong() {
        let thousand: Vec<u64> = (0..1000).collect();
        let check = |percent: f64, expect: u64| {
            assert_eq!(at_percent(&thousand, percent), expect, "{percent}");
        };
        check(0.0, 0);
        check(50.0, 500);
        check(99.0, 990);
        check(99.9, 999);
        check(100.0, 999);
        assert_eq!(Summary::of(&thousand, 99.0).map(|summary| summary.median), Some(500));
        // An odd number of samples has its middle, an even number the upper of the two.
        assert_eq!(Summary::of(&[1, 2, 3], 50.0).map(|summary| summary.median), Some(2));
        assert_eq!(Summary::of(&[1, 2], 50.0).map(|summary| summary.median), Some(2));
    }

    #[test]
    fn one_sample_deviates_from_nothing_and_none_has_no_figures() {
        assert_eq!(
            Summary::of(&[7], 99.0).map(|summary| (summary.stddev, summary.max)),
            Some((0, 7))
        );
        assert_eq!(Summary::of(&[], 99.0), None);
    }

    #[test]
    fn the_heading_names_every_column() {
        let summary = Summary::of(&[1], 99.0).expect("one sample");
        let columns = |line: &str| line.split('\t').count();
        assert_eq!(columns(HEADING), columns(&summary.row(1)));
    }
}
