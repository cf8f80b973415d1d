//! What a run does, as values: schedule, transport, stop rule and the connections they apply to.
//!
//! The three are independent of each other and meet in one loop ([`crate::worker::run`]): there is
//! no loop per combination.

use std::fmt;
use std::time::Duration;

/// When a connection sends its next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// As soon as it has the answer to the one before. The latency of such a load says how long
    /// the service took, not how long a user would have waited: requests that a stall held back
    /// were never due.
    Closed,
}

/// How bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Kernel TCP, one edge-triggered epoll per thread.
    Epoll,
}

/// When a run ends, unless it is interrupted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopRule {
    /// When the measurement has lasted that long.
    After(Duration),
}

/// What every thread of a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When requests are sent.
    pub schedule: Schedule,
    /// How they are sent.
    pub transport: TransportKind,
    /// When it ends.
    pub stop: StopRule,
    /// Time under load before the measurement begins.
    pub warmup: Duration,
    /// Latency above which a response counts as late.
    pub timeout: Duration,
    /// Connections of one thread.
    pub connections: usize,
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("closed"),
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoll => formatter.write_str("epoll"),
        }
    }
}

/// The instants of a run, on the transport's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The measurement begins: the warm-up is over.
    pub measure_ns: u64,
    /// The measurement ends.
    pub end_ns: u64,
    /// Length of one element of the series of requests, in nanoseconds.
    pub series_ns: u64,
}

/// Length of the intervals whose rates make up wrk's `Req/Sec` row.
pub const RATE_INTERVAL_NS: u64 = 100_000_000;

/// Most elements of the series of requests.
const SERIES_MAX: u64 = 36_000;

impl Window {
    /// The window of a run that starts now.
    ///
    /// The series has an element for each 100 ms up to an hour; longer runs have longer elements,
    /// so that there are never more than 36,000.
    #[must_use]
    pub fn new(start_ns: u64, plan: &Plan) -> Self {
        let StopRule::After(duration) = plan.stop;
        let duration_ns = nanos(duration);
        let rates = duration_ns.div_ceil(RATE_INTERVAL_NS);
        let measure_ns = start_ns.saturating_add(nanos(plan.warmup));
        Self {
            measure_ns,
            end_ns: measure_ns.saturating_add(duration_ns),
            series_ns: RATE_INTERVAL_NS * rates.div_ceil(SERIES_MAX).max(1),
        }
    }

    /// Elements of the series of a run that is not interrupted.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "SERIES_MAX fits every usize")]
    pub fn series_len(&self) -> usize {
        let elements = (self.end_ns - self.measure_ns).div_ceil(self.series_ns);
        usize::try_from(elements).expect("bounded by SERIES_MAX")
    }
}

/// A duration in nanoseconds; half a millennium where it is longer.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_warmup_and_duration_and_their_series_is_bounded() {
        let window = |seconds: u64| {
            Window::new(
                7,
                &Plan {
                    schedule: Schedule::Closed,
                    transport: TransportKind::Epoll,
                    stop: StopRule::After(Duration::from_secs(seconds)),
                    warmup: Duration::from_secs(1),
                    timeout: Duration::from_secs(2),
                    connections: 1,
                },
            )
        };
        let short = window(2);
        assert_eq!((short.measure_ns, short.end_ns), (1_000_000_007, 3_000_000_007));
        assert_eq!((short.series_ns, short.series_len()), (RATE_INTERVAL_NS, 20));
        let hour = window(3600);
        assert_eq!((hour.series_ns, hour.series_len()), (RATE_INTERVAL_NS, 36_000));
        let day = window(86_400);
        assert_eq!((day.series_ns, day.series_len()), (24 * RATE_INTERVAL_NS, 36_000));
    }
}
