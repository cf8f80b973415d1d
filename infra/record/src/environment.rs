//! What a run was measured on and with: `environment.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The machine, the software and the settings of a run.
///
/// What a machine does not have (a frequency governor in a virtual machine) is `None`, never a
/// guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The command line that was typed.
    pub command_line: Vec<String>,
    /// Version of the `showdown` that ran.
    pub showdown_version: String,
    /// The compiler that built it, as `rustc --version` prints it.
    pub rustc_version: String,
    /// The profile that it was built with: `release` or `debug`.
    pub build_profile: String,
    /// The source it ran in, where that is a git checkout.
    pub git: Option<Git>,
    /// SHA-256 of each binary that took part, by name.
    pub binaries_sha256: BTreeMap<String, String>,
    /// Name and version of the distribution.
    pub distribution: Option<String>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_release: String,
    /// The kernel's build, as `uname -v` prints it.
    pub kernel_version: String,
    /// The kernel's command line, without what says where the system boots from and what its first
    /// process is told.
    pub kernel_command_line: String,
    /// Model name of the first CPU.
    pub cpu_model: Option<String>,
    /// CPUs online, as the kernel lists them: `0-1`.
    pub cpus_online: String,
    /// Whether the CPU says that it is a hypervisor's.
    pub virtual_machine: bool,
    /// CPUs that are threads of one core with the server's CPU, itself included.
    pub server_cpu_siblings: Option<String>,
    /// The CPU that servers were pinned to.
    pub server_cpu: usize,
    /// The CPU that the load generator was pinned to; counted from [`CLIENT_MACHINE_CPUS`] on where
    /// that is on another machine.
    pub client_cpu: usize,
    /// What each of the two does beside, by its number: the soft interrupts of which frames.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_roles: BTreeMap<String, String>,
    /// Frequency governor of the server's CPU.
    pub governor: Option<String>,
    /// Clock source of the kernel.
    pub clock_source: Option<String>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU vulnerabilities and what the kernel does about each, by name.
    pub mitigations: BTreeMap<String, String>,
    /// The network between client and server.
    pub network: Network,
    /// The load generator's machine, where that is another: all but `command_line` and `network`
    /// as they are there, `server_cpu` and `client_cpu` both being the CPU of the generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_machine: Option<Box<Self>>,
}

/// What is added to the numbers of the CPUs of the load generator's machine, where that is not the
/// server's, so that a list of both machines' CPUs names each but once. Linux numbers 8,192 CPUs
/// at most.
pub const CLIENT_MACHINE_CPUS: usize = 10_000;

/// A CPU in words: `3`, or `3 of the client's machine`.
#[must_use]
pub fn cpu_in_words(cpu: usize) -> String {
    match cpu.checked_sub(CLIENT_MACHINE_CPUS) {
        Some(cpu) => format!("{cpu} of the client's machine"),
        None => cpu.to_string(),
    }
}

/// State of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// The commit checked out.
    pub commit: String,
    /// Whether tracked or new files differ from it.
    pub dirty: bool,
}

/// The network between client and server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// `veth` (two namespaces joined by a veth pair), `loopback`, or `hosts` (two ends that a file
    /// describes).
    pub topology: String,
    /// Both ends of the pair, the server's first; one for loopback.
    pub ends: Vec<NetworkEnd>,
}

/// An interface and its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEnd {
    /// Name of the namespace, or how an end of `hosts` is entered: `ssh root@192.0.2.1`; empty for
    /// the namespace that the run was started in.
    pub namespace: String,
    /// Name of the interface.
    pub interface: String,
    /// What `ip address show` says of it; empty for loopback.
    pub addresses: String,
    /// Offloads by the names of `ethtool -k`: `on`, `off`, `off [fixed]`; empty for loopback.
    pub offloads: BTreeMap<String, String>,
    /// Sysctls that matter to a measurement, by their path under `/proc/sys`.
    pub sysctls: BTreeMap<String, String>,
    /// Settings below `/sys/class/net/<interface>` by their path there, and `rx_queues` and
    /// `tx_queues`, how many of each there are. Empty for loopback, and in older records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub knobs: BTreeMap<String, String>,
}
