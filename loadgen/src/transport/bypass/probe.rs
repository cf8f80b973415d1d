//! One connection to each server before the load, so that what is wrong shows before it.

use super::network::check_ports;
use super::{Bypass, Lane, Link, Network, Settings, Stack};
use crate::plan::{CONNECT_TIMEOUT, Share, nanos};
use crate::transport::{Endpoint, Failure, Handler, Next, Transport, strerror};
use std::net::{SocketAddr, SocketAddrV4};

/// How long the connections of a probe get to close.
const CLOSE_TIMEOUT_NS: u64 = 1_000_000_000;

/// Opens and closes one connection over the first queue to each of `endpoints`.
///
/// # Errors
/// A sentence with the likely cause and its cure.
pub(crate) fn reach(
    settings: &Settings,
    (threads, connections): (usize, usize),
    endpoints: &[Endpoint],
) -> Result<(), String> {
    let peers = peers(endpoints)?;
    check_ports(settings, connections, peers.len())?;
    let mut network = Network::open(settings, threads)?;
    match network.take_lanes().into_iter().next() {
        Some(Lane::Memif(queue)) => probe(queue, settings, &peers),
        Some(Lane::Xdp(queue)) => probe(queue, settings, &peers),
        #[cfg(feature = "dpdk")]
        Some(Lane::Dpdk(queue)) => probe_apart(queue, settings, &peers),
        None => Ok(()),
    }
}

/// The endpoints as the stack takes them.
///
/// # Errors
/// A sentence where one is not of IPv4.
pub(crate) fn peers(endpoints: &[Endpoint]) -> Result<Vec<SocketAddrV4>, String> {
    let peer = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(SocketAddr::V4(address)) => Ok(*address),
        Endpoint::Tcp(SocketAddr::V6(_)) | Endpoint::Unix(_) => Err(format!(
            "{endpoint}: the userspace stack speaks IPv4 alone; give an address such as \
             198.18.0.2:8080, or use --transport epoll"
        )),
    };
    endpoints.iter().map(peer).collect()
}

/// How the connections of a probe have fared.
struct Probe {
    /// Of each: `None` while it is being opened, then 0 or an `errno(3)`.
    results: Vec<Option<i32>>,
}

impl Probe {
    fn end(&mut self, slot: usize, errno: i32) -> Next {
        self.results[slot].get_or_insert(errno);
        Next::Close
    }
}

impl Handler for Probe {
    fn opened(&mut self, _now_ns: u64, slot: usize) -> Next {
        self.end(slot, 0)
    }

    fn received(&mut self, _: u64, slot: usize, _bytes: &[u8], _reusable: bool) -> Next {
        self.end(slot, 0)
    }

    fn closed(&mut self, _now_ns: u64, slot: usize) -> Next {
        self.end(slot, 0)
    }

    fn failed(&mut self, _now_ns: u64, slot: usize, _failure: Failure, errno: i32) -> Next {
        self.end(slot, errno)
    }

    fn request(&self, _slot: usize) -> &[u8] {
        &[]
    }
}

/// As [`probe`], on a thread of its own that DPDK knows.
///
/// Where EAL's main thread had probed over `net_af_xdp` (DPDK 22.11, on veth), no frame of the
/// load's thread left the interface, although sendto(2) succeeded; after a probe by a registered
/// thread all do. Why is not proven. What would explain it: mbufs in a mempool's cache of a thread
/// are out of the reach of others, and the load's thread is given the number, and with it the
/// cache, of a registered thread that has ended, but never those of the main thread.
#[cfg(feature = "dpdk")]
fn probe_apart(
    queue: queue_dpdk::DpdkQueue,
    settings: &Settings,
    peers: &[SocketAddrV4],
) -> Result<(), String> {
    std::thread::scope(|scope| {
        let body = || {
            queue.register_thread().map_err(|error| error.to_string())?;
            probe(queue, settings, peers)
        };
        let probing = scope.spawn(body).join();
        probing.unwrap_or_else(|_| Err("the thread of the probe has panicked".to_owned()))
    })
}

/// From the first source alone: the way of the others is the same.
fn probe<Q: Link>(queue: Q, settings: &Settings, peers: &[SocketAddrV4]) -> Result<(), String> {
    let stack = Stack::new(settings, Share::WHOLE, peers, peers.len())?;
    let mut probe = Probe { results: vec![None; peers.len()] };
    let mut transport = Bypass::new(queue, stack);
    let mut poll = |probe: &mut Probe, open: bool| {
        if open {
            (0..peers.len()).for_each(|slot| transport.open(slot, probe));
        }
        transport.poll(0, probe).map_err(|error| error.to_string())?;
        Ok::<_, String>((transport.now_ns(), transport.is_drained()))
    };
    // The first turn finds the link, without which nothing can be opened.
    let (began_ns, _) = poll(&mut probe, false)?;
    let (mut now_ns, mut is_drained) = poll(&mut probe, true)?;
    while probe.results.contains(&None) && now_ns < began_ns + nanos(CONNECT_TIMEOUT) {
        (now_ns, is_drained) = poll(&mut probe, false)?;
    }
    let until_ns = now_ns + CLOSE_TIMEOUT_NS;
    while !is_drained && now_ns < until_ns {
        (now_ns, is_drained) = poll(&mut probe, false)?;
    }
    for (peer, result) in peers.iter().zip(&probe.results) {
        match result.unwrap_or(libc::ETIMEDOUT) {
            0 => {}
            errno => return Err(refusal(settings, *peer, errno)),
        }
    }
    Ok(())
}

/// Why a server was not reached, in wrk's words, with what these do not say.
fn refusal(settings: &Settings, peer: SocketAddrV4, errno: i32) -> String {
    let hint = match errno {
        libc::EHOSTUNREACH => format!(
            ": nobody on {} answers ARP for {}; the server's --listen must have this address",
            settings.driver,
            peer.ip()
        ),
        libc::ECONNREFUSED => {
            format!(": {} is there, and nothing listens on port {}", peer.ip(), peer.port())
        }
        libc::ETIMEDOUT => {
            format!(": no answer within {} s", CONNECT_TIMEOUT.as_secs())
        }
        libc::EINVAL => ": no server can have this address, or it is our own --source".to_owned(),
        _ => String::new(),
    };
    format!("unable to connect to {peer} {}{hint}", strerror(errno))
}
