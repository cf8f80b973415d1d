//! One measurement of one cell: a line of `rounds.jsonl`.

use crate::LoadReport;
use serde::{Deserialize, Serialize};

/// A point of an experiment's matrix: the server that runs and the load it gets.
///
/// Version 2 has `link` and `transport`; before, a link was the run's topology and every transport
/// `epoll`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the mode: `epoll`; `floor` for a queue that reflects frames, with no stack on it.
    pub mode: String,
    /// TCP of a bypass mode: `smoltcp`; kernel modes have none to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// How the server waits: `block` or `spin`; absent where the mode cannot choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// What joins client and server: `veth`, `loopback` or `memif`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How the generator reaches the server: `epoll`, `uring`, `xdp` or `memif`; a floor has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Connections of the load; of a floor, frames in flight.
    pub connections: u64,
    /// Path that is requested: `/plaintext`.
    pub path: String,
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
    /// Place in the shuffled order of the round, from 1.
    pub position: u32,
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
}

impl Measurement {
    /// The version written by this build.
    pub const SCHEMA: u32 = 2;
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
    /// Every CPU that is online.
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
