//! What a test came to, over all its runs.

use super::confidence::{self, Level};
use super::options::{Options, Test};
use crate::samples::Samples;
use std::fs;

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) elapsed_ns: u64,
    /// Requests whose whole response has come.
    pub(super) transactions: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) connections: u64,
    /// Datagrams in flight at the end that did not come back.
    pub(super) lost: u64,
    /// Segments that TCP has sent again, on connections that live to the end.
    pub(super) retransmitted: u64,
    /// This process's CPU time while it ran.
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    /// The server's, where its process is known.
    pub(super) remote_us: Option<u64>,
}

/// All runs of a test.
pub(super) struct Outcome<'a> {
    pub(super) options: &'a Options,
    /// The command line, for the selector of that name.
    pub(super) command_line: String,
    pub(super) runs: Vec<Counts>,
    /// Of all runs, in nanoseconds; none for streams.
    pub(super) latency: Samples,
    /// Bytes of a request as it was sent.
    pub(super) request_bytes: usize,
    /// Socket buffers as the kernel chose them: send, receive.
    pub(super) buffers: (usize, usize),
    pub(super) cpus: usize,
}

/// CPUs that are online, or one where `/proc/stat` cannot be read.
pub(super) fn online_cpus() -> usize {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text.lines().filter(is_cpu).count().max(1)
}

#[expect(clippy::cast_precision_loss, reason = "figures are printed with a few digits")]
impl Outcome<'_> {
    fn sum(&self, part: impl Fn(&Counts) -> u64) -> f64 {
        self.runs.iter().map(|run| part(run) as f64).sum()
    }

    /// What is to be said where datagrams were lost.
    pub(super) fn loss(&self) -> Option<String> {
        let lost = self.total(|run| run.lost);
        (lost > 0).then(|| {
            format!(
                "UDP_RR: {lost} datagrams were lost. Each leaves a request fewer in flight, and \
                 latencies are too long from then on, since the next response is taken for its \
                 own. Sockets whose buffer was full are counted by the kernel: nstat -az \
                 UdpRcvbufErrors. Give a smaller -b, or a larger net.core.rmem_default."
            )
        })
    }

    /// Seconds of a run, on average.
    pub(super) fn elapsed_s(&self) -> f64 {
        self.sum(|run| run.elapsed_ns) / 1e9 / self.runs.len() as f64
    }

    /// Transactions per second, or 10^6 bits per second: the mean over the runs.
    pub(super) fn throughput(&self) -> f64 {
        confidence::mean(&self.throughputs())
    }

    /// The same for each run.
    pub(super) fn throughputs(&self) -> Vec<f64> {
        self.runs.iter().map(|run| throughput(self.options.test, run)).collect()
    }

    /// Width of the confidence interval of the throughput, in percent.
    pub(super) fn throughput_confid(&self, level: Level) -> Option<f64> {
        confidence::width_percent(&self.throughputs(), level)
    }

    /// Width of the confidence interval of the CPU time per second, in percent.
    pub(super) fn local_cpu_confid(&self, level: Level) -> Option<f64> {
        let shares: Vec<f64> = self
            .runs
            .iter()
            .map(|run| (run.user_us + run.system_us) as f64 / run.elapsed_ns.max(1) as f64)
            .collect();
        confidence::width_percent(&shares, level)
    }

    /// What one transaction takes at this rate, in microseconds; `None` for streams.
    pub(super) fn rt_latency_us(&self) -> Option<f64> {
        let in_flight = (self.options.burst + 1) as f64;
        let rate = self.throughput();
        (!self.options.test.is_stream() && rate > 0.0).then(|| in_flight * 1e6 / rate)
    }

    /// Percent of all CPUs.
    fn util(&self, cpu_us: f64) -> f64 {
        cpu_us * 1000.0 / self.sum(|run| run.elapsed_ns) / self.cpus as f64 * 100.0
    }

    /// Percent of all CPUs that this process used, in user mode.
    pub(super) fn local_user_percent(&self) -> f64 {
        self.util(self.sum(|run| run.user_us))
    }

    /// Percent of all CPUs that this process used, in the kernel.
    pub(super) fn local_system_percent(&self) -> f64 {
        self.util(self.sum(|run| run.system_us))
    }

    /// Percent of all CPUs that this process used.
    pub(super) fn local_util(&self) -> f64 {
        self.local_user_percent() + self.local_system_percent()
    }

    /// CPU time of this process for each transaction or KiB, in microseconds.
    pub(super) fn local_demand(&self) -> Option<f64> {
        self.demand(self.sum(|run| run.user_us + run.system_us))
    }

    fn remote_us(&self) -> Option<f64> {
        self.runs.iter().map(|run| run.remote_us.map(|us| us as f64)).sum()
    }

    /// Percent of all CPUs that the server used.
    pub(super) fn remote_util(&self) -> Option<f64> {
        self.remote_us().map(|us| self.util(us))
    }

    /// CPU time of the server for each transaction or KiB, in microseconds.
    pub(super) fn remote_demand(&self) -> Option<f64> {
        self.remote_us().and_then(|us| self.demand(us))
    }

    fn demand(&self, cpu_us: f64) -> Option<f64> {
        let work = if self.options.test.is_stream() {
            self.sum(|run| run.received_bytes) / 1024.0
        } else {
            self.sum(|run| run.transactions)
        };
        (work > 0.0).then(|| cpu_us / work)
    }

    /// A count over all runs.
    pub(super) fn total(&self, part: impl Fn(&Counts) -> u64) -> u64 {
        self.runs.iter().map(part).sum()
    }
}

/// Transactions per second, or 10^6 bits per second of what was received.
#[expect(clippy::cast_precision_loss, reason = "figures are printed with a few digits")]
pub(super) fn throughput(test: Test, run: &Counts) -> f64 {
    let seconds = run.elapsed_ns.max(1) as f64 / 1e9;
    if test.is_stream() {
        run.received_bytes as f64 * 8.0 / 1e6 / seconds
    } else {
        run.transactions as f64 / seconds
    }
}
