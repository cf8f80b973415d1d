//! The modes under test: a row each.

use crate::lab::{PREFIX, binary, has_binary};

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
    /// A TAP interface that the server makes, moved to the client's namespace.
    Tap,
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

/// A mode on the userspace stack over a device of DPDK, which the end of its command line names.
const fn dpdk(
    module: &'static str,
    link: Link,
    flags: &'static [&'static str],
    last: &'static [&'static str],
) -> Mode {
    Mode { last, ..bypass(module, "dpdk", link, flags) }
}

/// What ends the command line of a server on a device of DPDK: neither huge pages nor a NIC.
macro_rules! eal {
    ($device:literal) => {
        &[
            "--",
            "--no-huge",
            "-m256",
            "--no-pci",
            "--no-telemetry",
            "--file-prefix=e2e",
            concat!("--vdev=", $device),
        ]
    };
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

const SMOLTCP: &[&str] = &["--tcp", "smoltcp"];
const NATIVE: &[&str] = &["--tcp", "native"];
/// The same socket as [`MEMIF_SOCKET`].
const DPDK_MEMIF: &[&str] =
    eal!("net_memif0,role=server,socket=/run/showdown/e2e-memif.sock,socket-abstract=no");

/// The modes over DPDK: their server is built, and their tests run, where there is libdpdk.
pub(crate) const DPDK_MODES: [Mode; 5] = [
    dpdk("dpdk", Link::Memif, SMOLTCP, DPDK_MEMIF),
    dpdk("dpdk_native", Link::Memif, NATIVE, DPDK_MEMIF),
    dpdk("dpdk_af_packet", Link::Veth, NATIVE, eal!("net_af_packet0,iface=e2e-srv0")),
    dpdk("dpdk_af_xdp", Link::Veth, NATIVE, eal!("net_af_xdp0,iface=e2e-srv0")),
    dpdk("dpdk_tap", Link::Tap, NATIVE, eal!("net_tap0,iface=e2e-tap1")),
];

impl Mode {
    /// The mode whose tests are in `module`.
    pub(crate) fn of(module: &str) -> Self {
        let mut all = MODES.iter().chain(&DPDK_MODES);
        *all.find(|mode| mode.module == module).expect("a mode of a table")
    }

    /// Those whose server is built.
    pub(crate) fn built() -> Vec<Self> {
        let dpdk = if has_binary("server-dpdk") { &DPDK_MODES[..] } else { &[] };
        MODES.iter().chain(dpdk).copied().collect()
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
            Link::Memif | Link::Tap => "tx_ring_full_polls",
        }
    }

    /// The interface of the client's namespace that leads to the server.
    pub(crate) fn client_interface(self) -> String {
        match self.link {
            Link::Veth => format!("{PREFIX}-cli0"),
            Link::Memif => crate::tap::interface(),
            Link::Tap => crate::tap::DPDK_INTERFACE.to_owned(),
        }
    }
}
