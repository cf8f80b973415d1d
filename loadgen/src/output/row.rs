//! A second of a run, as the interval log, the CSV and the progress line have it.

use crate::interval::Interval;
use crate::samples::Samples;

/// What all threads measured in one interval.
#[derive(Clone, Debug)]
pub struct Row {
    /// When it began, in nanoseconds after the measurement did.
    pub start_ns: u64,
    /// Length in nanoseconds: about a second, or less at the end of the run.
    pub length_ns: u64,
    /// Responses received whole.
    pub requests: u64,
    /// Errors of all kinds.
    pub errors: u64,
    /// The latencies that were recorded, in nanoseconds: those of the responses, and how long the
    /// requests had waited that were given up.
    pub latency: Samples,
}

impl Row {
    /// The row of an interval, in a measurement that began at `began_ns`.
    #[must_use]
    pub fn of(interval: Interval, began_ns: u64) -> Self {
        Self {
            start_ns: interval.began_ns.saturating_sub(began_ns),
            length_ns: interval.ended_ns.saturating_sub(interval.began_ns),
            requests: interval.counts.requests,
            errors: interval.counts.errors(),
            latency: interval.latency,
        }
    }

    /// Adds the row that comes right after.
    pub fn extend(&mut self, next: &Self) {
        let end_ns = (next.start_ns + next.length_ns).max(self.start_ns + self.length_ns);
        self.length_ns = end_ns - self.start_ns;
        self.requests += next.requests;
        self.errors += next.errors;
        self.latency.merge(&next.latency);
    }

    /// Seconds from the beginning of the measurement to that of the interval.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run have 53 bits")]
    pub fn start_s(&self) -> f64 {
        self.start_ns as f64 / 1e9
    }

    /// Length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most a few seconds")]
    pub fn length_s(&self) -> f64 {
        self.length_ns as f64 / 1e9
    }

    /// Responses per second of the interval; 0 where it has no length.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded to 53 bits")]
    pub fn rate_rps(&self) -> f64 {
        if self.length_ns == 0 { 0.0 } else { self.requests as f64 / self.length_s() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::outcome::Counts;

    /// The row of the second `index`, with a response of each latency.
    pub(crate) fn row(index: u64, values_ns: &[u64], errors: u64) -> Row {
        let mut latency = Samples::new(3, 3_600_000_000_000);
        values_ns.iter().for_each(|value| latency.record(*value));
        let counts = Counts { requests: values_ns.len() as u64, read: errors, ..Counts::default() };
        let began_ns = 500 + index * 1_000_000_000;
        let ended_ns = began_ns + 1_000_000_000;
        Row::of(Interval { index, began_ns, ended_ns, counts, latency }, 500)
    }

    #[test]
    fn rows_count_from_the_beginning_and_take_up_what_follows() {
        let mut first = row(2, &[1, 2, 3], 1);
        assert_eq!((first.start_ns, first.length_ns), (2_000_000_000, 1_000_000_000));
        assert_eq!((first.requests, first.errors), (3, 1));
        assert!((first.rate_rps() - 3.0).abs() < 1e-9);
        first.extend(&row(3, &[4], 2));
        assert_eq!((first.start_ns, first.length_ns), (2_000_000_000, 2_000_000_000));
        assert_eq!((first.requests, first.errors, first.latency.count()), (4, 3, 4));
        assert!((first.rate_rps() - 2.0).abs() < 1e-9);
        first.length_ns = 0;
        assert!(first.rate_rps().abs() < 1e-9);
    }
}
