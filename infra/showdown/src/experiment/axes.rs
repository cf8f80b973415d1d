//! The axes of a matrix, and what a cell can have on each.

use super::CONNECTIONS_MAX;
use crate::reach::Transport;
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Largest body of `/bytes/N`, and with it the largest payload of a cell.
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;
/// Deepest pipeline: more requests than this do not fit into what a server may hold unread.
const PIPELINE_MAX: u64 = 1024;
/// Highest rate of an open loop.
const RATE_RPS_MAX: u64 = 100_000_000;
/// The longest that a server may poll or keep interrupts suspended, as its own flag has it.
const WAIT_US_MAX: u32 = 1_000_000;

/// A server binary, `server-<mode>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Raw epoll on the kernel's TCP.
    Epoll,
    /// hyper on tokio.
    Hyper,
    /// Raw io_uring.
    Uring,
    /// Userspace TCP over AF_XDP.
    Xdp,
    /// Userspace TCP over shared memory.
    Memif,
    /// Userspace TCP over a port of DPDK.
    Dpdk,
}

impl Mode {
    /// The name used everywhere: flags, files, folders.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Hyper => "hyper",
            Self::Uring => "uring",
            Self::Xdp => "xdp",
            Self::Memif => "memif",
            Self::Dpdk => "dpdk",
        }
    }

    /// Whether the server has `--wait`.
    pub(crate) const fn has_wait(self) -> bool {
        matches!(self, Self::Epoll | Self::Uring)
    }

    /// Whether the server bypasses the kernel's TCP, and so has `--tcp`.
    pub(crate) const fn is_bypass(self) -> bool {
        matches!(self, Self::Xdp | Self::Memif | Self::Dpdk)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The TCP of a bypass server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tcp {
    /// The smoltcp crate's.
    Smoltcp,
    /// This project's own.
    Native,
}

impl Tcp {
    /// The flag's spelling.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smoltcp => "smoltcp",
            Self::Native => "native",
        }
    }
}

/// How an idle server waits: its `--wait`. A time is in microseconds; without one the server takes
/// its own default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Wait {
    /// Asleep in the kernel.
    Block,
    /// Never asleep.
    Spin,
    /// Polling the network device from within the waiting call, then asleep.
    BusyPoll(Option<u32>),
    /// Polling with the device's interrupts suspended while there is work.
    Suspend(Option<u32>),
}

impl Wait {
    /// Whether it depends on the kernel and the device if it can be had.
    pub(crate) const fn may_be_refused(self) -> bool {
        matches!(self, Self::BusyPoll(_) | Self::Suspend(_))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, time_us) = match self {
            Self::Block => ("block", &None),
            Self::Spin => ("spin", &None),
            Self::BusyPoll(time_us) => ("busy-poll", time_us),
            Self::Suspend(time_us) => ("suspend", time_us),
        };
        match time_us {
            Some(time_us) => write!(formatter, "{name}:{time_us}"),
            None => formatter.write_str(name),
        }
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, time_us) = match text.split_once(':') {
            Some((name, digits)) => (name, Some(microseconds(digits)?)),
            None => (text, None),
        };
        match (name, time_us) {
            ("block", None) => Ok(Self::Block),
            ("spin", None) => Ok(Self::Spin),
            ("busy-poll", time_us) => Ok(Self::BusyPoll(time_us)),
            ("suspend", time_us) => Ok(Self::Suspend(time_us)),
            _ => Err(format!(
                "wait '{text}' is not one of block, spin, busy-poll, busy-poll:USEC, suspend, \
                 suspend:USEC"
            )),
        }
    }
}

fn microseconds(digits: &str) -> Result<u32, String> {
    let number = digits.parse().ok().filter(|number| (1..=WAIT_US_MAX).contains(number));
    number.ok_or_else(|| format!("'{digits}' is not a number of microseconds, 1 to {WAIT_US_MAX}"))
}

impl TryFrom<String> for Wait {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Wait> for String {
    fn from(wait: Wait) -> Self {
        wait.to_string()
    }
}

/// What a server does with what it receives: its `--service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    /// It answers requests; `loadgen` asks.
    Http,
    /// It returns every byte; `loadgen pingpong` sends one message at a time.
    Echo,
}

impl Service {
    /// The flag's spelling.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Echo => "echo",
        }
    }
}

/// The offloads of both interfaces of the veth pair: checksums, segmentation and GRO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Offloads {
    /// Every sum is computed and every segment is a frame, in all modes alike.
    Off,
    /// As a kernel at its best has them.
    On,
}

impl Offloads {
    /// The name used in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// What joins client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// Two namespaces joined by a veth pair; needs root.
    Veth,
    /// 127.0.0.1 for kernel servers; needs nothing.
    Loopback,
    /// Two ends that a file describes, which may be machines.
    Hosts,
}

impl Network {
    /// The name used in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Loopback => "loopback",
            Self::Hosts => "hosts",
        }
    }
}

/// Which CPU does the soft interrupts of frames that arrive over veth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Softirq {
    /// That of the sender, as the kernel does it unless told otherwise.
    #[default]
    Sender,
    /// That of the receiver, by receive packet steering.
    Rps,
    /// That of the receiver, in a thread for each end; turns GRO on, without which veth has no
    /// NAPI.
    ThreadedNapi,
}

/// The axes of the matrix. An axis that a mode does not have is left out of its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Axes {
    /// Servers; none where the experiment has steps or contenders only.
    #[serde(default)]
    pub(crate) mode: Vec<Mode>,
    /// TCP of the bypass servers.
    #[serde(default = "default_tcp")]
    pub(crate) tcp: Vec<Tcp>,
    /// How the servers wait that can choose.
    #[serde(default = "default_wait")]
    pub(crate) wait: Vec<Wait>,
    /// What the servers do.
    #[serde(default = "default_service")]
    pub(crate) service: Vec<Service>,
    /// How the generator reaches them.
    #[serde(default = "default_transport")]
    pub(crate) transport: Vec<Transport>,
    /// Offloads of the veth pair.
    #[serde(default = "default_offloads")]
    pub(crate) offloads: Vec<Offloads>,
    /// Connections of the load.
    pub(crate) connections: Vec<u64>,
    /// Paths requested, where `payload` does not say.
    #[serde(default = "default_path")]
    pub(crate) path: Vec<String>,
    /// Bytes of the body that is asked for, or of the message that is echoed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) payload: Vec<u64>,
    /// Requests sent at once on each connection.
    #[serde(default = "default_pipeline")]
    pub(crate) pipeline: Vec<u64>,
    /// Requests per second of an open loop, all connections together; none for a closed loop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rate: Vec<u64>,
}

fn default_tcp() -> Vec<Tcp> {
    vec![Tcp::Native]
}

fn default_wait() -> Vec<Wait> {
    vec![Wait::Block]
}

fn default_service() -> Vec<Service> {
    vec![Service::Http]
}

fn default_transport() -> Vec<Transport> {
    vec![Transport::Epoll]
}

fn default_offloads() -> Vec<Offloads> {
    vec![Offloads::Off]
}

/// The path where neither file nor command line says.
pub(crate) const PLAINTEXT: &str = "/plaintext";

fn default_path() -> Vec<String> {
    vec![PLAINTEXT.to_owned()]
}

fn default_pipeline() -> Vec<u64> {
    vec![1]
}

impl Axes {
    /// Checks every value.
    ///
    /// # Errors
    /// A sentence that names the axis and what it may have.
    pub(crate) fn check(&self) -> Result<()> {
        distinct("tcp", &self.tcp)?;
        distinct("wait", &self.wait)?;
        distinct("service", &self.service)?;
        distinct("transport", &self.transport)?;
        distinct("offloads", &self.offloads)?;
        check_connections(&self.connections)?;
        distinct("path", &self.path)?;
        for path in &self.path {
            ensure!(
                path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()),
                "path '{path}' does not begin with '/' or has characters that a request line \
                 cannot carry"
            );
        }
        let is_path_given = self.path != default_path();
        if is_path_given && !self.payload.is_empty() {
            bail!("payload N asks for /bytes/N: leave out the axis path, or the axis payload");
        }
        numbers("payload", &self.payload, 0, PAYLOAD_BYTES_MAX)?;
        distinct("pipeline", &self.pipeline)?;
        numbers("pipeline", &self.pipeline, 1, PIPELINE_MAX)?;
        numbers("rate", &self.rate, 1, RATE_RPS_MAX)?;
        let is_echo = self.service.contains(&Service::Echo);
        ensure!(
            !is_echo || !self.payload.is_empty(),
            "service echo needs the length of its messages: give the axis payload, such as [64]"
        );
        ensure!(
            !is_echo || !self.payload.contains(&0),
            "service echo has no message of 0 bytes: leave 0 out of the axis payload"
        );
        Ok(())
    }
}

impl Axes {
    /// What the servers are asked for, and by whom, for the head of a table.
    pub(crate) fn load_in_words(&self) -> String {
        let list =
            |values: &[u64]| values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let clients: Vec<&str> = self.transport.iter().map(|one| one.name()).collect();
        let noun = if self.connections == [1] { "connection" } else { "connections" };
        let request = match (self.service.as_slice(), self.payload.as_slice()) {
            ([Service::Echo], bytes) => format!("echo of {} bytes", list(bytes)),
            (_, []) => format!("GET {}", self.path.join(" and ")),
            (_, bytes) => format!("GET bodies of {} bytes", list(bytes)),
        };
        let mut words =
            format!("{} {noun} by {}, {request}", list(&self.connections), clients.join(", "));
        if self.pipeline != [1] {
            words.push_str(&format!(", {} at once", list(&self.pipeline)));
        }
        if !self.rate.is_empty() {
            words.push_str(&format!(", at {} requests/s", list(&self.rate)));
        }
        words
    }
}

/// Checks numbers of connections.
///
/// # Errors
/// A sentence that names the bound.
pub(crate) fn check_connections(connections: &[u64]) -> Result<()> {
    distinct("connections", connections)?;
    numbers("connections", connections, 1, CONNECTIONS_MAX)
}

/// Checks that numbers lie within bounds, and that none is there twice.
fn numbers(axis: &str, values: &[u64], least: u64, most: u64) -> Result<()> {
    for value in values {
        ensure!((least..=most).contains(value), "{axis} = {value} is not {least} to {most}");
    }
    if values.is_empty() { Ok(()) } else { distinct(axis, values) }
}

/// Checks that an axis has values, and none twice.
///
/// # Errors
/// A sentence that names it.
pub(crate) fn distinct<T: Ord>(axis: &str, values: &[T]) -> Result<()> {
    ensure!(!values.is_empty(), "the axis {axis} is empty: give it at least one value");
    let set: BTreeSet<&T> = values.iter().collect();
    ensure!(set.len() == values.len(), "the axis {axis} names a value twice");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_told_in_words() {
        let check = |text: &str, expect: &str| {
            let axes: Axes = toml::from_str(text).unwrap();
            assert_eq!(axes.load_in_words(), expect);
        };
        check("connections = [32, 1]", "32, 1 connections by epoll, GET /plaintext");
        check(
            "connections = [1]\npayload = [1, 64]\nservice = ['echo']",
            "1 connection by epoll, echo of 1, 64 bytes",
        );
        check(
            "connections = [8]\npayload = [64]\npipeline = [1, 16]\nrate = [500]",
            "8 connections by epoll, GET bodies of 64 bytes, 1, 16 at once, at 500 requests/s",
        );
    }

    #[test]
    fn every_way_of_waiting_is_written_as_it_is_read() {
        for text in ["block", "spin", "busy-poll", "busy-poll:50", "suspend", "suspend:20000"] {
            assert_eq!(text.parse::<Wait>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<Wait>().unwrap_err();
        assert!(refused("poll").contains("busy-poll:USEC"), "{}", refused("poll"));
        assert!(refused("spin:5").contains("not one of block"), "{}", refused("spin:5"));
        for digits in ["", "0", "1000001", "x"] {
            let message = refused(&format!("busy-poll:{digits}"));
            assert_eq!(
                message,
                format!("'{digits}' is not a number of microseconds, 1 to 1000000")
            );
        }
    }
}
