//! Whether the client was the limit: one rule for notes, pages and diagnoses.

use crate::experiment::Service;
use record::{Cell, CpuTime, Measurement};

/// Share of its CPU that a client on the kernel's TCP uses where it is called the limit.
const BUSY_MAX: f64 = 0.97;

/// Ways of a client that polls, and so is busy whatever it does; a floor's has no name. That of a
/// ping-pong, which spins on a socket of the kernel's, is known by the service.
const POLLING: [&str; 3] = ["xdp", "memif", "dpdk"];

/// What the measurements of one cell say about their client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClientLimit {
    /// Measurements.
    pub(crate) rounds: usize,
    /// Those in which the generator said that it was itself the limit.
    pub(crate) said: usize,
    /// Busy share of the client's CPU over all windows, soft interrupts included, 0 to 1.
    pub(crate) busy_share: f64,
    polls: bool,
}

impl ClientLimit {
    /// Looks at the measurements of one cell in the rounds used, with the client on this CPU.
    pub(crate) fn of(of_cell: &[&Measurement], client_cpu: usize) -> Self {
        let says_so = |of: &&&Measurement| {
            of.load.client.as_ref().is_some_and(|client| client.limit.is_some())
        };
        Self {
            rounds: of_cell.len(),
            said: of_cell.iter().filter(says_so).count(),
            busy_share: busy_share(of_cell, client_cpu),
            polls: of_cell.first().is_none_or(|of| polls(&of.cell)),
        }
    }

    /// Whether a client that can sleep did not.
    pub(crate) fn is_busy(&self) -> bool {
        !self.polls && self.busy_share >= BUSY_MAX
    }

    /// Whether the generator said so in most of the rounds.
    pub(crate) const fn says_so(&self) -> bool {
        self.said * 2 > self.rounds
    }

    /// Whether the figures are the client's limit rather than the server's.
    pub(crate) fn is_limit(&self) -> bool {
        self.is_busy() || self.says_so()
    }

    /// The bound of [`is_busy`](Self::is_busy) in percent.
    pub(crate) fn busy_percent_max() -> String {
        format!("{:.0} %", BUSY_MAX * 100.0)
    }
}

/// Whether the client of this cell never sleeps.
fn polls(cell: &Cell) -> bool {
    cell.service.as_deref() == Some(Service::Echo.name())
        || cell.transport.as_deref().is_none_or(|name| POLLING.contains(&name))
}

fn busy_share(of_cell: &[&Measurement], client_cpu: usize) -> f64 {
    let (mut busy_s, mut window_s) = (0.0, 0.0);
    for measurement in of_cell {
        let of_client = measurement.cpu.cpus.iter().filter(|time| time.cpu == client_cpu);
        busy_s += of_client.map(CpuTime::busy_s).sum::<f64>();
        window_s += measurement.window_s;
    }
    // CPUs are accounted by the tick, so that a window may come out as more than full.
    if window_s > 0.0 { (busy_s / window_s).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(said: usize, busy_share: f64, polls: bool) -> ClientLimit {
        ClientLimit { rounds: 4, said, busy_share, polls }
    }

    #[test]
    fn clients_that_bypass_the_kernel_poll_and_so_does_that_of_a_ping_pong() {
        let cell = |transport: Option<&str>, service: Option<&str>| Cell {
            transport: transport.map(str::to_owned),
            service: service.map(str::to_owned),
            ..Cell::default()
        };
        assert!(!polls(&cell(Some("epoll"), None)) && !polls(&cell(Some("uring"), None)));
        assert!(polls(&cell(Some("xdp"), None)) && polls(&cell(None, None)));
        assert!(polls(&cell(Some("epoll"), Some("echo"))));
    }

    #[test]
    fn a_client_that_polls_is_the_limit_only_where_it_says_so() {
        assert!(limit(0, 0.98, false).is_limit() && !limit(0, 0.96, false).is_limit());
        assert!(!limit(0, 1.0, true).is_limit() && limit(3, 1.0, true).is_limit());
        assert!(!limit(2, 0.5, false).is_limit(), "half of the rounds are not most");
        assert!(limit(3, 0.5, false).is_limit() && !limit(3, 0.5, false).is_busy());
        assert_eq!(ClientLimit::busy_percent_max(), "97 %");
        let none = ClientLimit::of(&[], 0);
        assert!(!none.is_limit() && none.rounds == 0, "{none:?}");
    }
}
