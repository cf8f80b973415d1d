//! One measurement of one cell: a line of `rounds.jsonl`.

use crate::{Disturbance, LoadReport};
use serde::{Deserialize, Serialize};

/// A point of an experiment's matrix: the server that runs and the load it gets.
///
/// Version 2 has `link` and `transport`; before, a link was the run's topology and every transport
/// `epoll`. Version 3 has the fields from `name` on, all of them absent from a plain cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the mode: `epoll`; `floor` for a queue that reflects frames, with no stack on it.
    pub mode: String,
    /// TCP of a bypass mode: `smoltcp`; kernel modes have none to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// How the server waits: `block`, `spin`, `busy-poll:50` or what else its `--wait` takes;
    /// absent where the mode cannot choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// What joins client and server: `veth`, `loopback`, `memif`, or `wire` between two hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How the generator reaches the server: `epoll`, `uring`, `xdp` or `memif`; a floor has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Connections of the load; of a floor, frames in flight.
    pub connections: u64,
    /// Path that is requested: `/plaintext`; empty for an echo.
    pub path: String,
    /// What the experiment calls it: a step of a waterfall, or a contender that is not ours, whose
    /// `mode` is `contender`; of a floor that is not reflected by our queue, what reflects it:
    /// `testpmd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of the body that is asked for, where that is an axis; `path` asks for them. Of a
    /// ping-pong, bytes of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<u64>,
    /// Requests sent at once on each connection; absent where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u64>,
    /// Requests per second of an open loop, all connections together; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_rps: Option<u64>,
    /// What the server does: `echo` returns every byte; absent where it answers HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `on` where the offloads of the veth pair (checksums, segmentation, GRO) are on, `gro` where
    /// only the server's GRO is, which its NAPI needs; absent where all are off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offloads: Option<String>,
}

/// A server started, loaded, measured and stopped.
///
/// `cpu` covers `window_s` seconds, from the end of the warm-up to the exit of the generator;
/// `load` covers the generator's own measurement, which lies inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Version of this schema: [`Measurement::SCHEMA`].
    pub schema: u32,
    /// Number of the round, from 1; the measurements of one round are paired.
    pub round: u32,
    /// Place in the order of the round, from 1: first every cell in the shuffled order, then those
    /// that are measured again.
    pub position: u32,
    /// How often the cell had been measured in this round, this time included. Only the last
    /// measurement of a cell in a round counts. Before version 4 it was always 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// What disturbed it from outside, by the experiment's bounds; only a measurement that has
    /// something here is ever taken again. Absent before version 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<Disturbance>,
    /// What was measured.
    pub cell: Cell,
    /// When it began, as `2026-01-31T12:00:00Z`.
    pub started_utc: String,
    /// What the generator reports.
    pub load: LoadReport,
    /// The server's side.
    pub server: ServerRecord,
    /// The generator's side.
    pub client: ClientRecord,
    /// Seconds between the two readings of CPU time.
    pub window_s: f64,
    /// CPU time in the window.
    pub cpu: CpuAccount,
    /// What was counted beside CPU time, under a load of its own before the rounds; the first
    /// round's measurements have it. Absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Memory of the server. Absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Share of the server's polls in the window that found nothing to do, 0 to 1; absent where
    /// the server sleeps, or does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_poll_share: Option<f64>,
}

impl Measurement {
    /// The version written by this build.
    pub const SCHEMA: u32 = 4;
}

fn first_attempt() -> u32 {
    1
}

/// A measurement that gave no figure: a line of `failures.jsonl`, a file that is there only where
/// something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Version of this schema: [`Measurement::SCHEMA`].
    pub schema: u32,
    /// Number of the round, from 1.
    pub round: u32,
    /// Place in the order of the round, from 1.
    pub position: u32,
    /// What was to be measured.
    pub cell: Cell,
    /// What happened: `no-response`, `server-not-ready`, `server-ended`, `client-failed` or
    /// `client-hung`.
    pub cause: String,
    /// The same in words, with what the program wrote to standard error.
    pub evidence: String,
}

/// What was counted in the server's processes and in the generator's, all threads, under a load
/// of its own: counting slows system calls down, so that it is kept out of the measured window.
///
/// From `perf_event_open(2)`, in whatever version of it the machine has: a count that it cannot
/// give is absent, and `unavailable` says why, a sentence each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Seconds between the two readings of the counters, both of them under full load.
    pub window_s: f64,
    /// Responses per second of the load under which was counted, slowed by the counting.
    pub throughput_rps: f64,
    /// The server's.
    pub server: ProcessCounts,
    /// The generator's.
    pub client: ProcessCounts,
    /// Interrupts of all CPUs, from `/proc/stat`.
    #[serde(default)]
    pub interrupts: Option<u64>,
    /// Soft interrupts of all CPUs, from `/proc/stat`.
    #[serde(default)]
    pub softirqs: Option<u64>,
    /// What could not be counted, and why: `cycles: the machine has no hardware counters`.
    #[serde(default)]
    pub unavailable: Vec<String>,
}

/// What was counted in one process, all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessCounts {
    /// System calls begun: the tracepoint `raw_syscalls:sys_enter`.
    #[serde(default)]
    pub syscalls: Option<u64>,
    /// Context switches, voluntary or not.
    #[serde(default)]
    pub context_switches: Option<u64>,
    /// Page faults, minor and major.
    #[serde(default)]
    pub page_faults: Option<u64>,
    /// Cycles in user mode and kernel mode.
    #[serde(default)]
    pub cycles: Option<u64>,
    /// Instructions retired in user mode and kernel mode.
    #[serde(default)]
    pub instructions: Option<u64>,
    /// Misses of the last-level cache.
    #[serde(default)]
    pub llc_misses: Option<u64>,
}

/// Memory of a server, in bytes, from `/proc/PID/status`; of several processes, the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Resident, when it was ready and had no connection.
    pub rss_idle: u64,
    /// Resident at most, from then until the generator ended.
    pub rss_loaded: u64,
}

/// What a server was asked, and what it said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRecord {
    /// The command line.
    pub command: Vec<String>,
    /// Its ready line: the mode that was really obtained.
    pub ready: serde_json::Value,
    /// Milliseconds from its start to the ready line.
    pub start_ms: f64,
    /// Its exit line with every counter; absent where it ended without one.
    pub exit: Option<serde_json::Value>,
    /// How it ended after SIGTERM: `exit status: 0`.
    pub ended: String,
    /// Whether it ended as it should: by itself, in time, with status 0 and an exit line.
    pub ended_well: bool,
    /// The end of what it wrote to standard error.
    pub stderr: String,
}

/// What the generator was asked, and what it said beside its report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRecord {
    /// The command line.
    pub command: Vec<String>,
    /// The end of what it wrote to standard error.
    pub stderr: String,
}

/// CPU time in one window, in seconds, from `/proc/stat` and `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuAccount {
    /// Every CPU that is online; those of the load generator's machine, where that is another, are
    /// counted from [`crate::CLIENT_MACHINE_CPUS`] on.
    pub cpus: Vec<CpuTime>,
    /// The server's process, all threads.
    pub server: ProcessTime,
    /// The generator's process, all threads.
    pub client: ProcessTime,
    /// Share of the server's and the client's CPU that the hypervisor took away, 0 to 1.
    pub steal_share: f64,
}

/// Where the time of one CPU went, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuTime {
    /// Number of the CPU.
    pub cpu: usize,
    /// User mode, niced or not.
    pub user_s: f64,
    /// Kernel mode on behalf of processes.
    pub system_s: f64,
    /// Interrupts.
    pub irq_s: f64,
    /// Soft interrupts: most of the kernel's network stack.
    pub softirq_s: f64,
    /// Wanted by this machine, given to another by the hypervisor.
    pub steal_s: f64,
    /// Idle, waiting for disks included.
    pub idle_s: f64,
}

impl CpuTime {
    /// Time in which the CPU did something, in seconds: all but idle and stolen time.
    #[must_use]
    pub fn busy_s(&self) -> f64 {
        self.user_s + self.system_s + self.irq_s + self.softirq_s
    }
}

/// CPU time of one process, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessTime {
    /// User mode.
    pub user_s: f64,
    /// Kernel mode; soft interrupts that ran on top of the process may be in it.
    pub system_s: f64,
}

impl ProcessTime {
    /// Both together.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}
