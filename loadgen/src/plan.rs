//! What a run does, as values: schedule, transport, stop rule and the connections they apply to.
//!
//! The three are independent of each other and meet in one loop ([`crate::worker::run`]): there is
//! no loop per combination.

use std::fmt;
use std::time::Duration;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// As soon as a connection has the answer to the one before. The latency of such a load says
    /// how long the service took, not how long a user would have waited: requests that a stall held
    /// back were never due.
    Closed,
    /// When its time has come, whatever became of those before. A request whose time comes while
    /// every connection is busy waits for one, and that wait is part of its latency.
    Open {
        /// Requests per second of all threads together, at least 1.
        rate_rps: u64,
        /// How far apart they are.
        arrival: Arrival,
        /// What the gaps are drawn from, where they are random.
        seed: u64,
    },
}

/// The gaps between the requests of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// All the same.
    Fixed,
    /// Exponential, which makes the arrivals a Poisson process: users who know nothing of each
    /// other.
    Poisson,
}

/// What becomes of a request that is not answered within the time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungRule {
    /// It is waited for to the end of the run, as wrk does.
    Wait,
    /// It is given up, and its connection opened again.
    End,
}

/// How a thread waits for the time of its next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spin {
    /// It sleeps until [`SPIN_NS`] before, then polls.
    Near,
    /// It never sleeps.
    Always,
    /// It sleeps until the kernel's timer wakes it.
    Never,
}

/// How long before a request is due a thread stops sleeping under [`Spin::Near`]: more than it
/// takes to wake an idle core, which is 100 µs and more on a virtual machine.
pub const SPIN_NS: u64 = 250_000;

/// How long a look at what has happened, which takes less than 1 µs, has to last to be taken for an
/// interruption: half of the 10 µs within which a request is to be sent.
pub const INTERRUPTION_NS: u64 = 5_000;

/// How bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Kernel TCP, one edge-triggered epoll per thread.
    Epoll,
    /// Kernel TCP, one io_uring per thread.
    Uring,
    /// Userspace TCP over shared memory, one queue of a memif per thread.
    Memif,
    /// Userspace TCP over AF_XDP, one queue of an interface.
    Xdp,
    /// Userspace TCP over one queue of a port of DPDK.
    Dpdk,
}

impl TransportKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Epoll, Self::Uring, Self::Xdp, Self::Memif, Self::Dpdk];

    /// Whether the kernel's TCP is left out; its threads poll without end.
    #[must_use]
    pub fn is_bypass(self) -> bool {
        match self {
            Self::Epoll | Self::Uring => false,
            Self::Memif | Self::Xdp | Self::Dpdk => true,
        }
    }
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
    /// What becomes of a request that is not answered until then.
    pub hung: HungRule,
    /// How the time of the next request is waited for.
    pub spin: Spin,
    /// Whether a pipelined batch gives one latency, that of its last response, instead of one for
    /// each response.
    pub batch_latency: bool,
    /// Whether the figures that wrk gives to a script's `done()` are kept beside.
    pub wrk_figures: bool,
    /// Connections of one thread.
    pub connections: usize,
}

impl Plan {
    /// A closed loop over epoll with wrk's defaults, for so long, over `connections` a thread.
    #[must_use]
    pub fn closed(connections: usize, duration: Duration) -> Self {
        Self {
            schedule: Schedule::Closed,
            transport: TransportKind::Epoll,
            stop: StopRule::After(duration),
            warmup: Duration::ZERO,
            timeout: Duration::from_secs(2),
            hung: HungRule::Wait,
            spin: Spin::Near,
            batch_latency: false,
            wrk_figures: false,
            connections,
        }
    }

    /// How long after its start a thread sends nothing, so that the connections are open when the
    /// first request of an open loop is due. A closed loop waits for nothing.
    #[must_use]
    pub fn settle(&self) -> Duration {
        match self.schedule {
            Schedule::Closed => Duration::ZERO,
            Schedule::Open { .. } => {
                let connections = u32::try_from(self.connections).unwrap_or(u32::MAX);
                SETTLE.saturating_add(SETTLE_PER_CONNECTION.saturating_mul(connections))
            }
        }
    }
}

/// How long a connection may take to open, the handshake of TLS included. It is longer than any
/// time-out of a request needs to be, since a server that has to shake hands with thousands at once
/// gets nowhere if each gives up and begins anew.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`Plan::settle`] adds up.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_PER_CONNECTION: Duration = Duration::from_micros(100);

/// Which of the threads of a run one is: the load is shared out by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are, at least 1.
    pub threads: usize,
}

impl Share {
    /// The only thread.
    pub const WHOLE: Self = Self { index: 0, threads: 1 };
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("closed"),
            Self::Open { .. } => formatter.write_str("open"),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fixed => "fixed",
            Self::Poisson => "poisson",
        })
    }
}

impl fmt::Display for Spin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Near => "near",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
            Self::Memif => "memif",
            Self::Xdp => "xdp",
            Self::Dpdk => "dpdk",
        })
    }
}

/// The instants of a run, on the transport's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first request of an open loop is due.
    pub load_ns: u64,
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
        let load_ns = start_ns.saturating_add(nanos(plan.settle()));
        let measure_ns = load_ns.saturating_add(nanos(plan.warmup));
        Self {
            load_ns,
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
            let plan = Plan::closed(1, Duration::from_secs(seconds));
            Window::new(7, &Plan { warmup: Duration::from_secs(1), ..plan })
        };
        let short = window(2);
        assert_eq!((short.measure_ns, short.end_ns), (1_000_000_007, 3_000_000_007));
        assert_eq!((short.series_ns, short.series_len()), (RATE_INTERVAL_NS, 20));
        let hour = window(3600);
        assert_eq!((hour.series_ns, hour.series_len()), (RATE_INTERVAL_NS, 36_000));
        let day = window(86_400);
        assert_eq!((day.series_ns, day.series_len()), (24 * RATE_INTERVAL_NS, 36_000));
    }

    #[test]
    fn an_open_loop_begins_when_its_connections_had_time_to_open() {
        let schedule = Schedule::Open { rate_rps: 1, arrival: Arrival::Fixed, seed: 1 };
        let plan = Plan { schedule, ..Plan::closed(50, Duration::from_secs(1)) };
        let window = Window::new(7, &plan);
        assert_eq!((window.load_ns, window.measure_ns), (105_000_007, 105_000_007));
        assert_eq!(window.end_ns, 1_105_000_007);
    }
}
