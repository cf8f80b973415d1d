//! The figures that wrk would give to `done`: counted by the microsecond, late ones left out, and
//! filled up for what it takes for coordinated omission.
//!
//! They are for scripts that were written for wrk; the load generator's own report has every sample
//! and is never filled up.

/// Rate above which wrk leaves a sample of requests per second out.
pub const RATE_MAX_RPS: u64 = 10_000_000;

/// Counts are kept in blocks of this many values, taken when the first of them is recorded.
const BLOCK: usize = 4096;

/// How often each value of a whole number was recorded, as wrk keeps it: exactly, up to a limit.
///
/// Memory: 8 bytes for each 4096 values of the limit, and 32 KiB for each 4096 that are touched.
#[derive(Clone, Debug)]
pub struct Recorded {
    blocks: Vec<Option<Box<[u64; BLOCK]>>>,
    limit: u64,
    count: u64,
    min: u64,
    max: u64,
}

impl Recorded {
    /// Nothing yet; values above `limit` will be refused.
    ///
    /// wrk's limits are the time-out in microseconds for latencies, [`RATE_MAX_RPS`] for rates.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { blocks: Vec::new(), limit, count: 0, min: u64::MAX, max: 0 }
    }

    /// Records a value; false where it is above the limit, which for a latency is a time-out.
    pub fn record(&mut self, value: u64) -> bool {
        self.record_n(value, 1)
    }

    /// Records a value `count` times, at least once; false where it is above the limit.
    pub fn record_n(&mut self, value: u64, count: u64) -> bool {
        if value > self.limit {
            return false;
        }
        self.add(value, count);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        true
    }

    fn add(&mut self, value: u64, count: u64) {
        let (block, at) = place(value);
        if block >= self.blocks.len() {
            self.blocks.resize(block + 1, None);
        }
        self.blocks[block].get_or_insert_with(|| Box::new([0; BLOCK]))[at] += count;
        self.count += count;
    }

    /// Adds what another has recorded up to the same limit.
    pub fn merge(&mut self, other: &Self) {
        for (value, count) in other.values() {
            self.add(value, count);
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Fills up for requests that were not sent while one was waited for, by wrk's rule.
    ///
    /// A value of at least twice the `expected` interval is taken to stand for requests that should
    /// have followed at that interval: the value less one interval, less two, and so on while it is
    /// above one interval, is counted as often as the value itself. Minimum and maximum stay.
    pub fn correct(&mut self, expected: u64) {
        if expected == 0 {
            return;
        }
        let late: Vec<(u64, u64)> =
            self.values().filter(|(value, _)| *value >= expected.saturating_mul(2)).collect();
        // What is filled in lies below the value it is for. Where that is itself twice the interval
        // or more, wrk has passed it already: nothing is filled in on behalf of what was filled in.
        for (value, count) in late {
            let mut missed = value - expected;
            while missed > expected {
                self.add(missed, count);
                missed -= expected;
            }
        }
    }

    /// Values and how often each was recorded, in order.
    fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let blocks = (0..).step_by(BLOCK).zip(&self.blocks);
        let taken = blocks.filter_map(|(first, block)| Some((first, block.as_ref()?)));
        let all = taken.flat_map(|(first, block)| (first..).zip(block.iter().copied()));
        all.filter(|(_, count)| *count > 0)
    }

    /// What can be asked of the values once all are there.
    #[must_use]
    pub(super) fn distribution(&self) -> Distribution {
        let values: Vec<(u64, u64)> = self.values().collect();
        Distribution { values, count: self.count, min: self.min, max: self.max }
    }
}

/// The block of a value and its place there.
fn place(value: u64) -> (usize, usize) {
    let value = usize::try_from(value).expect("limits are far below 2^64 microseconds");
    (value / BLOCK, value % BLOCK)
}

/// Sorted values with their counts, and wrk's figures of them.
#[derive(Debug)]
pub(super) struct Distribution {
    values: Vec<(u64, u64)>,
    count: u64,
    min: u64,
    max: u64,
}

#[expect(clippy::cast_precision_loss, reason = "figures are doubles in Lua")]
impl Distribution {
    /// The smallest value recorded; 2^64 - 1 where there is none, as in wrk.
    pub(super) fn min(&self) -> u64 {
        self.min
    }

    /// The largest value recorded; 0 where there is none.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Number of values.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Number of different values.
    pub(super) fn distinct(&self) -> u64 {
        self.values.len() as u64
    }

    /// The mean; 0 where there is no value.
    pub(super) fn mean(&self) -> f64 {
        let sum: u128 =
            self.values.iter().map(|(value, count)| u128::from(*value) * u128::from(*count)).sum();
        if self.count == 0 { 0.0 } else { sum as f64 / self.count as f64 }
    }

    /// The standard deviation of the sample (n - 1); 0 where there are fewer than two values.
    pub(super) fn stdev(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let mean = self.mean();
        let square = |value: u64| (value as f64 - mean).powi(2);
        let sum: f64 =
            self.values.iter().map(|(value, count)| square(*value) * *count as f64).sum();
        (sum / (self.count - 1) as f64).sqrt()
    }

    /// The value at rank `round(percent / 100 * count + 0.5)`; 0 beyond the last, as in wrk.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        self.at_rank((percent / 100.0 * self.count as f64 + 0.5).round())
    }

    /// The value at rank `floor(percent / 100 * count + 0.5)`, from the first to the last, as wrk2
    /// has it from HdrHistogram.
    pub(super) fn percentile_hdr(&self, percent: f64) -> u64 {
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * self.count as f64 + 0.5).floor();
        self.at_rank(rank.clamp(1.0, self.count.max(1) as f64))
    }

    fn at_rank(&self, rank: f64) -> u64 {
        let mut seen = 0;
        let reached = self.values.iter().find(|(_, count)| {
            seen += count;
            seen as f64 >= rank
        });
        reached.map_or(0, |(value, _)| *value)
    }

    /// The `index`-th different value, from 1, and its count; otherwise 0 and the number of
    /// different values, as in wrk.
    pub(super) fn nth(&self, index: f64) -> (u64, u64) {
        let found = to_index(index).and_then(|at| self.values.get(at).copied());
        found.unwrap_or_else(|| (0, self.distinct()))
    }

    /// wrk2's `latency[index]`: the value at the percentile that `index` is of the count.
    pub(super) fn at(&self, index: f64) -> u64 {
        self.percentile_hdr(100.0 * index.trunc() / self.count.max(1) as f64)
    }
}

/// An index from 1, as Lua counts, to one from 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and indices beyond the end are refused by the caller"
)]
fn to_index(index: f64) -> Option<usize> {
    (index >= 1.0).then(|| index as usize - 1)
}

/// `summary.errors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Connections that could not be opened.
    pub connect: u64,
    /// Connections that failed while an answer was read, what is not HTTP included.
    pub read: u64,
    /// Connections that failed while a request was written.
    pub write: u64,
    /// Responses with a status above 399.
    pub status: u64,
    /// Batches whose last response came later than the time-out.
    pub timeout: u64,
}

/// `summary`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Length of the run in microseconds.
    pub duration_us: u64,
    /// Responses received whole.
    pub requests: u64,
    /// Bytes received, heads included.
    pub bytes: u64,
    /// What went wrong.
    pub errors: Errors,
}

/// What `done` is called with.
#[derive(Clone, Debug)]
pub struct WrkFigures {
    /// Latency of each batch in microseconds, from its first byte sent to its last response.
    pub latency: Recorded,
    /// Requests per second of one thread, a sample every 100 ms.
    pub requests: Recorded,
    /// Totals.
    pub summary: Summary,
    /// Whether a rate was asked for: figures are then asked for as in wrk2, `latency[i]`.
    pub rate_given: bool,
}

impl WrkFigures {
    /// Fills the latencies up as wrk does after each run ([`Recorded::correct`]), for the interval
    /// at which each of `connections` has completed requests. wrk2 does no such thing: nothing
    /// happens where a rate was given.
    pub fn correct(&mut self, connections: u64) {
        let each = self.summary.requests.checked_div(connections).unwrap_or(0);
        if each > 0 && !self.rate_given {
            self.latency.correct(self.summary.duration_us / each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(values: &[(u64, u64)]) -> Recorded {
        let mut recorded = Recorded::new(1_000_000);
        for (value, count) in values {
            assert!(recorded.record_n(*value, *count));
        }
        recorded
    }

    #[test]
    fn what_is_later_than_the_limit_is_refused() {
        let mut recorded = Recorded::new(10);
        assert!(recorded.record(10));
        assert!(!recorded.record(11));
        let figures = recorded.distribution();
        assert_eq!((figures.min(), figures.max(), figures.count()), (10, 10, 1));
    }

    #[test]
    fn correction_follows_an_example_done_by_hand() {
        // Interval 100. 199 is below twice that: nothing. 200 would give 100, which is not above
        // the interval: nothing. 350 stands for 250 and 150 (50 is below), twice. 450 stands for
        // 350, 250 and 150; that 350 is filled in and stands for nothing.
        let mut all = recorded(&[(90, 5), (199, 1), (200, 1), (350, 2), (450, 1)]);
        all.correct(100);
        let values: Vec<_> = all.values().collect();
        let expect = [(90, 5), (150, 3), (199, 1), (200, 1), (250, 3), (350, 3), (450, 1)];
        assert_eq!(values, expect);
        assert_eq!(all.distribution().count(), 17);
    }

    #[test]
    fn the_interval_is_what_each_connection_needed_for_a_request() {
        let check = |requests, connections, rate_given, expect: u64| {
            let mut figures = WrkFigures {
                latency: recorded(&[(350, 1)]),
                requests: Recorded::new(RATE_MAX_RPS),
                summary: Summary { duration_us: 10_000, requests, ..Summary::default() },
                rate_given,
            };
            figures.correct(connections);
            assert_eq!(figures.latency.distribution().count(), expect);
        };
        // 1000 requests on 10 connections in 10 ms: 100 each, one in 100 us.
        check(1000, 10, false, 3);
        check(1009, 10, false, 3);
        check(1000, 10, true, 1);
        // Fewer requests than connections: there is no interval.
        check(9, 10, false, 1);
        check(1000, 0, false, 1);
        // More requests than microseconds.
        check(20_000, 1, false, 1);
    }

    #[test]
    fn figures_of_a_known_set() {
        // Mean 5, squares of deviations 9+1+1+1+0+0+4+16 = 32, so stdev = sqrt(32/7).
        let figures = recorded(&[(2, 1), (4, 3), (5, 2), (7, 1), (9, 1)]).distribution();
        assert_eq!((figures.min(), figures.max(), figures.mean()), (2, 9, 5.0));
        assert!((figures.stdev() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!((figures.count(), figures.distinct()), (8, 5));
        let pairs = [0.0, 1.0, 2.0, 5.9, 6.0].map(|index| figures.nth(index));
        assert_eq!(pairs, [(0, 5), (2, 1), (4, 3), (9, 1), (0, 5)]);
        // round(8 p + 0.5): 1, 2 (from 1.5), 5 (from 4.5), 9, which is beyond the last.
        let percentiles = [0.0, 12.5, 50.0, 100.0].map(|percent| figures.percentile(percent));
        assert_eq!(percentiles, [2, 4, 5, 0]);
        // floor(8 p + 0.5): 0 raised to 1, 1, 4, 8.
        let percentiles = [0.0, 10.0, 50.0, 100.0].map(|percent| figures.percentile_hdr(percent));
        assert_eq!(percentiles, [2, 2, 4, 9]);
        assert_eq!([1.0, 2.0, 5.0, 8.0].map(|index| figures.at(index)), [2, 4, 5, 9]);
    }

    #[test]
    fn without_values_figures_are_those_of_wrk() {
        let none = recorded(&[]).distribution();
        assert_eq!((none.min(), none.max(), none.mean(), none.stdev()), (u64::MAX, 0, 0.0, 0.0));
        assert_eq!(
            (none.percentile(50.0), none.percentile_hdr(50.0), none.nth(1.0)),
            (0, 0, (0, 0))
        );
    }

    proptest! {
        #[test]
        fn merging_is_recording_everything_in_one(
            left in prop::collection::vec(0_u64..100_000, 0..40),
            right in prop::collection::vec(0_u64..100_000, 0..40),
        ) {
            let one = |values: &[u64]| {
                let mut recorded = Recorded::new(100_000);
                values.iter().for_each(|value| assert!(recorded.record(*value)));
                recorded
            };
            let mut merged = one(&left);
            merged.merge(&one(&right));
            let mut all = [left, right].concat();
            let both = one(&all);
            prop_assert_eq!(
                (merged.count, merged.min, merged.max),
                (both.count, both.min, both.max)
            );
            all.sort_unstable();
            let listed: Vec<u64> = merged
                .values()
                .flat_map(|(value, count)| (0..count).map(move |_| value))
                .collect();
            prop_assert_eq!(listed, all);
        }
    }
}
