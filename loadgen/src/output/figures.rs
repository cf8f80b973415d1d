//! The figures of a run that tables, files and conditions are computed from.

use crate::outcome::{Counts, Outcome};
use crate::samples::Samples;

/// What was measured, with one name for each figure whatever the schedule was.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The latency that is reported, in nanoseconds: in an open loop from the time at which a
    /// request was due, in a closed one from the time at which it was sent.
    pub latency: Samples,
    /// Nanoseconds from the time at which a request was sent, where [`Figures::latency`] is from
    /// another.
    pub service: Option<Samples>,
    /// Seconds that were measured.
    pub duration_s: f64,
    /// What was counted.
    pub counts: Counts,
    /// Responses with a status outside 200 to 299.
    pub non2xx: u64,
}

impl Figures {
    /// The figures of an outcome.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let success: u64 = outcome.statuses.iter().skip(200).take(100).sum();
        let answered: u64 = outcome.statuses.iter().sum();
        Self {
            latency: outcome.latency.clone(),
            service: outcome.service.clone(),
            duration_s: outcome.duration_s(),
            counts: outcome.counts,
            non2xx: answered - success,
        }
    }

    /// Responses per second; 0 where nothing was measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded to 53 bits")]
    pub fn rate_rps(&self) -> f64 {
        if self.duration_s > 0.0 { self.counts.requests as f64 / self.duration_s } else { 0.0 }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Figures with one of each error, 1000 responses in 2 s, of latencies 1 to 1000 µs.
    pub(crate) fn figures() -> Figures {
        let mut latency = Samples::new(3, 3_600_000_000_000);
        (1..=1000).for_each(|us| latency.record(us * 1000));
        Figures {
            latency,
            service: None,
            duration_s: 2.0,
            counts: Counts {
                sent: 1010,
                requests: 1000,
                connect: 1,
                read: 2,
                write: 3,
                framing: 4,
                hung: 8,
                timeout: 5,
                status: 6,
                ..Counts::default()
            },
            non2xx: 7,
        }
    }

    #[test]
    fn rates_and_errors_are_sums_of_what_was_counted() {
        let figures = figures();
        assert!((figures.rate_rps() - 500.0).abs() < 1e-9);
        assert_eq!(figures.counts.errors(), 1 + 2 + 3 + 4 + 5 + 8);
        let unmeasured = Figures { duration_s: 0.0, ..figures };
        assert!(unmeasured.rate_rps().abs() < 1e-9);
    }
}
