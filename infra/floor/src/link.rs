//! The links: which queue is opened, and at which end.

use anyhow::{Result, ensure};
use clap::Args;
use queue_memif::{Config as MemifConfig, MemifQueue, Port as MemifPort, Role};
use queue_xdp::{Config as XdpConfig, Port as XdpPort, TcpPorts, XdpQueue};
use std::net::SocketAddrV4;
use std::time::Duration;

/// What the other end may take to be found.
const PATIENCE: Duration = Duration::from_secs(10);

/// A link, as it is named on the command line.
#[derive(Args, Clone, Debug)]
pub(crate) struct Link {
    /// A memif: the Unix socket on which the two ends meet
    #[arg(long, value_name = "PATH", required_unless_present = "interface")]
    socket: Option<String>,
    /// AF_XDP: the interface to take frames from, in this network namespace
    #[arg(long, value_name = "IFACE", conflicts_with = "socket")]
    interface: Option<String>,
    /// Address and TCP port that the frames carry, which no kernel on the link may have
    #[arg(long, value_name = "IP:PORT", default_value = "198.18.0.2:8080")]
    address: SocketAddrV4,
}

/// Which end of a link to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that reflects.
    Far,
    /// The one that sends.
    Near,
}

/// An open queue, with what must outlive it.
pub(crate) enum Open {
    /// One end of a memif.
    Memif(MemifPort, Box<MemifQueue>),
    /// One queue of an interface.
    Xdp(XdpPort, Box<XdpQueue>),
}

impl Link {
    /// The driver's name, as in the names of modes and transports.
    pub(crate) fn driver(&self) -> &'static str {
        if self.socket.is_some() { "memif" } else { "xdp" }
    }

    /// The socket of a memif.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// The address that the frames carry.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Opens one end.
    ///
    /// # Errors
    /// What the driver says, which names the cure.
    pub(crate) fn open(&self, end: End) -> Result<Open> {
        if let Some(socket) = &self.socket {
            let role = match end {
                End::Far => Role::Server,
                End::Near => Role::Client,
            };
            let mut port = MemifPort::open(&MemifConfig::new(socket, role))?;
            let queue = Box::new(port.take_queues().remove(0));
            ensure!(
                end == End::Far || port.wait_for_link(true, PATIENCE),
                "nobody answers on {socket}: start 'floor reflect --socket {socket}' first"
            );
            return Ok(Open::Memif(port, queue));
        }
        let interface = self.interface.as_deref().unwrap_or_default();
        // Frames come back as they went, so that both ends take those to the one address.
        let ports = TcpPorts::List(vec![self.address.port()]);
        let port = XdpPort::open(&XdpConfig::new(interface, *self.address.ip(), ports))?;
        let queue = Box::new(port.bind(0)?);
        Ok(Open::Xdp(port, queue))
    }
}
