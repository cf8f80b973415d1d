//! What a run over userspace TCP is set up with: a driver, its queues, and a stack for each.

use super::aliases::Aliases;
use super::client::CONNECTING_MAX;
#[cfg(feature = "dpdk")]
use super::dpdk;
use super::source::Sources;
use super::{memif, xdp};
use crate::plan::{CONNECT_TIMEOUT, Share};
use engine::Config;
#[cfg(feature = "dpdk")]
use queue_dpdk::DpdkQueue;
use queue_memif::{MemifQueue, Role};
use queue_xdp::XdpQueue;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;

/// What the command line says of a bypass transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What carries the packets.
    pub driver: Driver,
    /// The addresses that connections come from.
    pub sources: Sources,
}

/// What carries the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Shared memory.
    Memif {
        /// Path of the Unix socket on which the two ends meet.
        socket: String,
        /// Which end of it we are.
        role: Role,
        /// Number of the interface, which both ends must agree on.
        id: u32,
        /// What a client must know to connect; empty for nothing.
        secret: String,
    },
    /// AF_XDP.
    Xdp {
        /// Name of the interface in this network namespace.
        interface: String,
        /// Number of its queue.
        queue: u32,
    },
    /// A port of DPDK.
    Dpdk(Dpdk),
}

/// A port of DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpdk {
    /// Arguments of EAL.
    pub eal: Vec<String>,
    /// The port's name; `None` for the only one.
    pub port: Option<String>,
    #[cfg(feature = "dpdk")]
    kept: dpdk::Kept,
}

impl Dpdk {
    /// The port of this name, or the only one, of an EAL with these arguments.
    #[must_use]
    pub fn new(eal: Vec<String>, port: Option<String>) -> Self {
        Self {
            eal,
            port,
            #[cfg(feature = "dpdk")]
            kept: dpdk::Kept::default(),
        }
    }

    /// How a generator that has it is built.
    pub const CURE: &str = "as root: apt-get install libdpdk-dev pkg-config, then: cargo build \
                            --release --package loadgen --features dpdk";
}

impl Driver {
    /// A memif with the number 0 and no secret.
    #[must_use]
    pub fn memif(socket: &str, role: Role) -> Self {
        Self::Memif { socket: socket.to_owned(), role, id: 0, secret: String::new() }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memif { socket, .. } => write!(formatter, "the memif {socket}"),
            Self::Xdp { interface, .. } => write!(formatter, "the link of {interface}"),
            Self::Dpdk(Dpdk { port: Some(port), .. }) => write!(formatter, "the link of {port}"),
            Self::Dpdk(Dpdk { port: None, .. }) => formatter.write_str("the link of DPDK's port"),
        }
    }
}

/// One queue, for one thread.
#[derive(Debug)]
pub(crate) enum Lane {
    /// Of a memif.
    Memif(MemifQueue),
    /// Of an interface.
    Xdp(XdpQueue),
    /// Of a port of DPDK.
    #[cfg(feature = "dpdk")]
    Dpdk(DpdkQueue),
}

/// A driver that is open, with a queue for each thread.
#[derive(Debug)]
pub(crate) struct Network {
    lanes: Vec<Lane>,
    /// Must live as long as the queues.
    _port: Option<Port>,
}

/// What the queues belong to.
#[derive(Debug)]
#[expect(dead_code, reason = "it is there to be dropped last")]
enum Port {
    Memif(queue_memif::Port),
    Xdp(queue_xdp::Port),
}

impl Network {
    /// Opens the driver, with a queue for each thread.
    ///
    /// # Errors
    /// A sentence with the likely cause and its cure.
    pub(crate) fn open(settings: &Settings, threads: usize) -> Result<Self, String> {
        match &settings.driver {
            Driver::Memif { socket, role, id, secret } => {
                let (port, queues) = memif::open((socket, *role), (*id, secret), threads)?;
                let lanes = queues.into_iter().map(Lane::Memif).collect();
                Ok(Self { lanes, _port: Some(Port::Memif(port)) })
            }
            Driver::Xdp { interface, queue } => {
                let (port, queue) = xdp::open(interface, *queue, settings.sources, threads)?;
                Ok(Self { lanes: vec![Lane::Xdp(queue)], _port: Some(Port::Xdp(port)) })
            }
            #[cfg(feature = "dpdk")]
            Driver::Dpdk(Dpdk { eal, port, kept }) => {
                let queue = dpdk::open(kept, (eal, port.as_deref()), threads)?;
                Ok(Self { lanes: vec![Lane::Dpdk(queue)], _port: None })
            }
            #[cfg(not(feature = "dpdk"))]
            Driver::Dpdk(_) => Err(format!("built without DPDK; cure, {}", Dpdk::CURE)),
        }
    }

    /// The queues, in order. There are none the second time.
    pub(crate) fn take_lanes(&mut self) -> Vec<Lane> {
        std::mem::take(&mut self.lanes)
    }
}

/// Our ports: all that RFC 6056 §3.2 would have us use.
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// Connections beyond those of the load, which are on their way out.
const LEAVING_MIN: usize = 1024;
const LEAVING_SHARE: usize = 8;

/// Connections in TIME-WAIT for each address of ours: as many as it has ports.
const TIME_WAIT_ENTRIES: u32 = 65_536;
const TIME_WAIT_ENTRIES_MAX: u32 = 1 << 20;

/// Everything that a stack is made of, but its queue.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(super) config: Config,
    pub(super) aliases: Aliases,
    /// Where connections lead, in turn, as the engine names it.
    pub(super) peers: Vec<SocketAddrV4>,
    pub(super) connections: usize,
}

impl Stack {
    /// The stack of one thread, whose connections lead to `servers` in turn.
    ///
    /// # Errors
    /// A sentence where no random key can be had, or there are too many servers.
    pub(crate) fn new(
        settings: &Settings,
        share: Share,
        servers: &[SocketAddrV4],
        connections: usize,
    ) -> Result<Self, String> {
        let aliases = Aliases::new(settings.sources, servers)?;
        let peers = aliases.peers(servers);
        let key = random_key().map_err(|error| error.to_string())?;
        let bounds = bounds(settings, share, connections);
        let neighbours = u32::try_from(peers.len()).unwrap_or(u32::MAX).max(bounds.neighbours);
        Ok(Self { config: Config { key, neighbours, ..bounds }, aliases, peers, connections })
    }
}

/// The bounds of one stack, its key apart.
fn bounds(settings: &Settings, share: Share, connections: usize) -> Config {
    let sources = settings.sources;
    // Port zero is nobody's, so that nothing listens.
    let nowhere = SocketAddrV4::new(sources.first(), 0);
    let leaving = (connections / LEAVING_SHARE).max(LEAVING_MIN);
    let entries = TIME_WAIT_ENTRIES.saturating_mul(sources.count()).min(TIME_WAIT_ENTRIES_MAX);
    Config {
        connections: u32::try_from(connections + leaving).unwrap_or(u32::MAX),
        half_open: 1,
        connecting: u32::try_from(CONNECTING_MAX).unwrap_or(u32::MAX),
        connect_timeout: CONNECT_TIMEOUT,
        time_wait_entries: entries,
        ephemeral_ports: ports(share),
        ..Config::new(nowhere, [0; 16])
    }
}

/// The ports of one thread. They are its own, because a NIC or a peer may hand its packets to the
/// queue of another, which must not take them for those of a connection of its own.
fn ports(share: Share) -> RangeInclusive<u16> {
    let count = PORTS.len() / share.threads;
    let first = usize::from(*PORTS.start()) + share.index * count;
    let port = |number: usize| u16::try_from(number).expect("within the range");
    port(first)..=port(first + count - 1)
}

/// Whether so many connections can have ports of their own.
///
/// # Errors
/// A sentence that says how many can.
pub(crate) fn check_ports(
    settings: &Settings,
    connections: usize,
    servers: usize,
) -> Result<(), String> {
    let sources = settings.sources;
    let most = PORTS.len() * servers * sources.count() as usize;
    if connections <= most {
        return Ok(());
    }
    let wanted = connections.div_ceil(PORTS.len() * servers);
    Err(format!(
        "-c {connections}: connections to one server need a port each, and --source {sources} has \
         {most}; give {wanted} addresses, such as --source 198.18.1.1-198.18.1.{wanted}"
    ))
}

/// A key that nobody outside can guess.
fn random_key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut key)).map_err(
        |error| io::Error::new(error.kind(), format!("no random key from /dev/urandom: {error}")),
    )?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_ports_and_no_two_have_the_same() {
        assert_eq!(ports(Share::WHOLE), 1024..=u16::MAX);
        assert_eq!(ports(Share { index: 0, threads: 3 }), 1024..=22_527);
        assert_eq!(ports(Share { index: 1, threads: 3 }), 22_528..=44_031);
        assert_eq!(ports(Share { index: 2, threads: 3 }), 44_032..=u16::MAX);
    }

    #[test]
    fn connections_without_a_port_are_refused_with_the_addresses_that_they_need() {
        let settings = |sources: &str| Settings {
            driver: Driver::memif("@x", Role::Client),
            sources: sources.parse().unwrap(),
        };
        let check = |sources, connections, servers| {
            check_ports(&settings(sources), connections, servers).err()
        };
        assert_eq!(check("198.18.0.3", 64_512, 1), None);
        assert_eq!(check("198.18.0.3", 100_000, 2), None);
        assert_eq!(check("198.18.0.3-198.18.0.4", 100_000, 1), None);
        let refusal = check("198.18.0.3", 100_000, 1).unwrap();
        assert!(refusal.contains("has 64512; give 2 addresses"), "{refusal}");
    }
}
