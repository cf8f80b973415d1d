//! The modes under test: a row each.

use crate::lab::{PREFIX, binary};

/// A mode under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Name of the module that holds its tests.
    pub(crate) module: &'static str,
    /// As in `server-<name>`.
    pub(crate) name: &'static str,
    /// Whose TCP it is.
    pub(crate) family: Family,
    /// What joins it to its clients.
    pub(crate) link: Link,
    /// Where its server listens.
    pub(crate) listen: &'static str,
    /// Flags that it needs beside those of every server.
    pub(crate) flags: &'static [&'static str],
    /// What ends its command line, behind all flags: the arguments of DPDK's EAL, for example.
    pub(crate) last: &'static [&'static str],
}

/// Whose TCP a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// The kernel's: a connection is a descriptor, and an idle server sleeps.
    Kernel,
    /// Its own: connections are entries of tables that are empty at the end, frames are counted,
    /// and an idle server spins.
    Bypass,
}

/// What joins a server to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The veth pair.
    Veth,
    /// A memif, and `memif-tap` in the client's namespace at its other end.
    Memif,
}

/// A mode on the kernel's TCP.
const fn kernel(name: &'static str) -> Mode {
    let (family, link) = (Family::Kernel, Link::Veth);
    Mode { module: name, name, family, link, listen: "198.18.0.1:8080", flags: &[], last: &[] }
}

/// A mode on the userspace stack, with one of its TCPs.
const fn bypass(
    module: &'static str,
    name: &'static str,
    link: Link,
    flags: &'static [&'static str],
) -> Mode {
    let family = Family::Bypass;
    Mode { module, name, family, link, listen: "198.18.0.2:8080", flags, last: &[] }
}

/// The socket of the memif, where the topology's own notes lie; whoever is on it has its turn.
pub(crate) const MEMIF_SOCKET: &str = "/run/showdown/e2e-memif.sock";

/// All modes; the first is what the others' bytes are compared with, since hyper defines them.
pub(crate) const MODES: [Mode; 7] = [
    kernel("hyper"),
    kernel("epoll"),
    kernel("uring"),
    bypass("xdp", "xdp", Link::Veth, &["--tcp", "smoltcp", "--interface", "e2e-srv0"]),
    bypass("xdp_native", "xdp", Link::Veth, &["--tcp", "native", "--interface", "e2e-srv0"]),
    bypass("memif", "memif", Link::Memif, &["--tcp", "smoltcp", "--socket", MEMIF_SOCKET]),
    bypass("memif_native", "memif", Link::Memif, &["--tcp", "native", "--socket", MEMIF_SOCKET]),
];

impl Mode {
    /// The mode whose tests are in `module`.
    pub(crate) fn of(module: &str) -> Self {
        *MODES.iter().find(|mode| mode.module == module).expect("a mode of the table")
    }

    /// The server's binary.
    pub(crate) fn binary(self) -> String {
        binary(&format!("server-{}", self.name))
    }

    /// The URL of a path on the server.
    pub(crate) fn url(self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// Whether it is the userspace stack.
    pub(crate) fn is_bypass(self) -> bool {
        self.family == Family::Bypass
    }

    /// What the stack counts when it cannot send because its link takes nothing: of AF_XDP's frames
    /// none is left, into memif's they are copied, and its ring is full.
    pub(crate) fn stuck_counter(self) -> &'static str {
        match self.link {
            Link::Veth => "tx_no_frame_polls",
            Link::Memif => "tx_ring_full_polls",
        }
    }

    /// The interface of the client's namespace that leads to the server.
    pub(crate) fn client_interface(self) -> String {
        match self.link {
            Link::Veth => format!("{PREFIX}-cli0"),
            Link::Memif => crate::tap::interface(),
        }
    }
}
