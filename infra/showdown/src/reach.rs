//! Who reaches whom: modes, transports and the links that join them, as one table.

use crate::experiment::{CONNECTIONS_MAX, Mode, Network, Wait};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What packets between client and server travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// The kernel's loopback interface.
    Loopback,
    /// A veth pair between two namespaces.
    Veth,
    /// Shared memory.
    Memif,
    /// Whatever joins the interfaces of two hosts.
    Wire,
}

impl Link {
    /// The name used in files and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
            Self::Memif => "memif",
            Self::Wire => "wire",
        }
    }

    /// Whether a queue of ours can be put at both its ends, so that its floor can be measured.
    pub(crate) const fn has_floor(self) -> bool {
        matches!(self, Self::Veth | Self::Memif)
    }
}

/// How the load generator reaches a server: its `--transport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// The kernel's TCP through epoll.
    Epoll,
    /// The kernel's TCP through io_uring.
    Uring,
    /// Userspace TCP over AF_XDP.
    Xdp,
    /// Userspace TCP over shared memory.
    Memif,
    /// Userspace TCP over a port of DPDK.
    Dpdk,
}

impl Transport {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Epoll, Self::Uring, Self::Xdp, Self::Memif, Self::Dpdk];

    /// The flag's spelling.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
            Self::Xdp => "xdp",
            Self::Memif => "memif",
            Self::Dpdk => "dpdk",
        }
    }

    /// Whether it bypasses the kernel's TCP: it polls without end, and its connections are no
    /// descriptors.
    pub(crate) const fn is_bypass(self) -> bool {
        matches!(self, Self::Xdp | Self::Memif | Self::Dpdk)
    }

    const fn links(self) -> &'static [Link] {
        match self {
            Self::Epoll | Self::Uring => &[Link::Loopback, Link::Veth, Link::Wire],
            Self::Xdp => &[Link::Veth, Link::Wire],
            Self::Memif => &[Link::Memif],
            Self::Dpdk => &[Link::Memif, Link::Veth],
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Mode {
    /// The links that its server can be put on.
    pub(crate) const fn links(self) -> &'static [Link] {
        match self {
            Self::Epoll | Self::Hyper | Self::Uring => &[Link::Loopback, Link::Veth, Link::Wire],
            Self::Xdp => &[Link::Veth, Link::Wire],
            Self::Memif => &[Link::Memif],
            Self::Dpdk => &[Link::Memif, Link::Veth],
        }
    }
}

impl Network {
    /// The links that there are. Shared memory needs no network and is there on one machine.
    pub(crate) const fn links(self) -> &'static [Link] {
        match self {
            Self::Veth => &[Link::Veth, Link::Memif],
            Self::Loopback => &[Link::Loopback, Link::Memif],
            // No memory is shared between two machines.
            Self::Hosts => &[Link::Wire],
        }
    }
}

/// The links over which a transport reaches a mode's server.
pub(crate) fn links(
    mode: Mode,
    transport: Transport,
    network: Network,
) -> impl Iterator<Item = Link> {
    let both =
        move |link: &Link| transport.links().contains(link) && network.links().contains(link);
    mode.links().iter().copied().filter(both)
}

/// Why a server cannot wait so on a link, whatever the kernel; none where it may be possible.
pub(crate) const fn refuses_wait(mode: Mode, wait: Wait, link: Link) -> Option<&'static str> {
    match (wait, link) {
        (Wait::Block | Wait::Spin, _) => None,
        (Wait::BusyPoll(_) | Wait::Suspend(_), Link::Loopback) => {
            Some("loopback has no device that the kernel could poll")
        }
        (Wait::Suspend(_), _) if matches!(mode, Mode::Uring) => {
            Some("interrupts are suspended by server-epoll only")
        }
        (Wait::Suspend(_), Link::Veth) => {
            Some("a veth has no interrupts that could be suspended, only a device on a bus has")
        }
        _ => None,
    }
}

/// Open files that a process needs beside those of its connections.
const OPEN_FILES_OF_PROCESS: u64 = 100;
/// Ports of one address that Linux gives to clients unless it is told otherwise are 28,232
/// (`ip_local_port_range`); some may be in TIME-WAIT.
const PORTS_OF_CLIENT: u64 = 28_000;

/// Why a cell has no more connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As many as an experiment may ask for.
    Experiment,
    /// Each is an open file of the server or of the generator.
    OpenFiles,
    /// Each is a port of the generator's address.
    Ports,
}

/// Most connections between a transport and a mode's server, where a process may have
/// `open_files`, and why there are no more.
pub(crate) fn connections_max(mode: Mode, transport: Transport, open_files: u64) -> (u64, Bound) {
    let files = open_files.saturating_sub(OPEN_FILES_OF_PROCESS);
    let bounds = [
        (CONNECTIONS_MAX, Bound::Experiment, true),
        (files, Bound::OpenFiles, !(mode.is_bypass() && transport.is_bypass())),
        (PORTS_OF_CLIENT, Bound::Ports, !transport.is_bypass()),
    ];
    let holding = bounds.into_iter().filter(|(.., holds)| *holds);
    let least = holding.min_by_key(|(most, ..)| *most);
    least.map_or((CONNECTIONS_MAX, Bound::Experiment), |(most, why, _)| (most, why))
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Experiment => "no experiment may ask for more",
            Self::OpenFiles => {
                "each is an open file of the server or of the client (to allow more: ulimit -Hn)"
            }
            Self::Ports => "each is a port of the kernel client's one address",
        })
    }
}

/// How many files a process may open at most.
pub(crate) fn open_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_who_reaches_whom() {
        use Link::{Loopback as L, Memif as M, Veth as V, Wire as W};
        let modes = [Mode::Epoll, Mode::Hyper, Mode::Uring, Mode::Xdp, Mode::Memif, Mode::Dpdk];
        let row = |mode, network| {
            Transport::ALL.map(|transport| links(mode, transport, network).collect::<Vec<_>>())
        };
        let (v, l, m) = (|| vec![V], || vec![L], || vec![M]);
        for mode in modes {
            let (on_veth, on_loopback) = match mode {
                Mode::Epoll | Mode::Hyper | Mode::Uring => {
                    ([v(), v(), v(), vec![], v()], [l(), l(), vec![], vec![], vec![]])
                }
                Mode::Xdp => ([v(), v(), v(), vec![], v()], [const { vec![] }; 5]),
                Mode::Memif => {
                    let memif = [vec![], vec![], vec![], m(), m()];
                    (memif.clone(), memif)
                }
                Mode::Dpdk => {
                    ([v(), v(), v(), m(), vec![M, V]], [vec![], vec![], vec![], m(), m()])
                }
            };
            assert_eq!(row(mode, Network::Veth), on_veth, "{mode}");
            assert_eq!(row(mode, Network::Loopback), on_loopback, "{mode}");
            let on_wire = match mode {
                Mode::Memif | Mode::Dpdk => [const { vec![] }; 5],
                _ => [vec![W], vec![W], vec![W], vec![], vec![]],
            };
            assert_eq!(row(mode, Network::Hosts), on_wire, "{mode}");
        }
    }

    #[test]
    fn the_kernel_polls_only_what_is_a_device() {
        let polls = Wait::BusyPoll(None);
        assert_eq!(refuses_wait(Mode::Epoll, polls, Link::Veth), None);
        assert_eq!(refuses_wait(Mode::Uring, polls, Link::Veth), None);
        assert!(refuses_wait(Mode::Uring, polls, Link::Loopback).is_some());
        assert!(refuses_wait(Mode::Epoll, Wait::Suspend(None), Link::Veth).is_some());
        assert!(refuses_wait(Mode::Uring, Wait::Suspend(None), Link::Veth).is_some());
        assert_eq!(refuses_wait(Mode::Epoll, Wait::Spin, Link::Loopback), None);
        // A card may have interrupts and a NAPI: its server is asked.
        assert_eq!(refuses_wait(Mode::Epoll, Wait::Suspend(None), Link::Wire), None);
    }

    #[test]
    fn only_where_both_ends_bypass_the_kernel_no_connection_is_a_file() {
        let check = |mode, transport, open_files, expect| {
            assert_eq!(connections_max(mode, transport, open_files), expect, "{mode} {transport}");
        };
        let most = (CONNECTIONS_MAX, Bound::Experiment);
        check(Mode::Memif, Transport::Memif, 1024, most);
        check(Mode::Xdp, Transport::Xdp, 1024, most);
        check(Mode::Epoll, Transport::Xdp, 1024, (924, Bound::OpenFiles));
        check(Mode::Xdp, Transport::Epoll, 20_000, (19_900, Bound::OpenFiles));
        check(Mode::Epoll, Transport::Uring, 1 << 20, (28_000, Bound::Ports));
        check(Mode::Epoll, Transport::Epoll, 10, (0, Bound::OpenFiles));
        assert!(open_files() > 0);
    }
}
