//! The two ends: a socket to a server, or both ends in this process.

use super::super::dial::{Family, connect, resolve};
use super::super::link::{Exchange, Io, Link};
use super::super::receiver::{Muxer, Receiver};
use super::super::responder::{LOOK, Peer, Responder};
use super::super::{sys, web::WebLink};
use super::options::{Options, Through};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What is pinged, and the thread that answers, where there is one.
pub(super) struct Connected {
    /// Dropped first: its end ends the thread's.
    pub(super) exchange: Box<dyn Exchange>,
    pub(super) responder: Option<Responder>,
}

/// Which end of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

/// Opens what the options ask for.
///
/// # Errors
/// A sentence that says what could not be opened, and the likely cause.
pub(super) fn open(options: &Options) -> Result<Connected, String> {
    let Some(target) = &options.target else { return open_here(options) };
    let (authority, address) = resolve(target, options.port, family(options))?;
    let socket = socket_to(options, address)?;
    let to = if options.through == Through::Udp {
        set_destination(options, &socket, address)?
    } else {
        connect(&socket, address)?;
        None
    };
    let io = Io::Socket { socket, to };
    tune(options, &io, End::Client)?;
    let receiver = receiver(options, &io, End::Client)?;
    let exchange: Box<dyn Exchange> = match options.through {
        Through::Http => Box::new(WebLink::new(io, receiver, authority, options.n_pings as usize)),
        _ => Box::new(link(options, io, receiver)),
    };
    Ok(Connected { exchange, responder: None })
}

/// Where datagrams go: nowhere in particular once the socket is connected.
fn set_destination(
    options: &Options,
    socket: &Socket,
    address: SocketAddr,
) -> Result<Option<SockAddr>, String> {
    if options.connect.client.0 {
        connect(socket, address)?;
        return Ok(None);
    }
    Ok(Some(address.into()))
}

fn link(options: &Options, io: Io, receiver: Receiver) -> Link {
    let (pings, more) = (options.n_pings as usize, options.more.0);
    Link::new(io, receiver, options.through.is_stream(), pings, more)
}

/// Both ends in this process: the other one is a thread's.
fn open_here(options: &Options) -> Result<Connected, String> {
    let told = |error: io::Error| format!("no connection within this process: {error}");
    let (near, far) = match options.through {
        Through::Pipe => pipes().map_err(told)?,
        Through::UnixStream => unix_pair(Type::STREAM).map_err(told)?,
        Through::UnixDatagram => unix_pair(Type::DGRAM).map_err(told)?,
        Through::Tcp => tcp_pair(options)?,
        Through::Udp => udp_pair(options)?,
        Through::Http => return Err("http needs a server: give HOST:PORT".to_owned()),
    };
    tune(options, &near, End::Client)?;
    tune(options, &far, End::Server)?;
    let receiver_near = receiver(options, &near, End::Client)?;
    let receiver_far = receiver(options, &far, End::Server)?;
    let is_stream = options.through.is_stream();
    let peer = Peer { io: far, receiver: receiver_far, is_stream };
    let responder = Responder::start(options.affinity.server.0, peer)?;
    let exchange = Box::new(link(options, near, receiver_near));
    Ok(Connected { exchange, responder: Some(responder) })
}

fn pipes() -> io::Result<(Io, Io)> {
    let (near_reader, far_writer) = io::pipe()?;
    let (far_reader, near_writer) = io::pipe()?;
    Ok((
        Io::Pipe { reader: near_reader, writer: near_writer },
        Io::Pipe { reader: far_reader, writer: far_writer },
    ))
}

fn unix_pair(kind: Type) -> io::Result<(Io, Io)> {
    let (near, far) = Socket::pair(Domain::UNIX, kind, None)?;
    Ok((Io::Socket { socket: near, to: None }, Io::Socket { socket: far, to: None }))
}

fn loopback(options: &Options) -> SocketAddr {
    let address: IpAddr =
        if options.ipv6 { [0, 0, 0, 0, 0, 0, 0, 1].into() } else { [127, 0, 0, 1].into() };
    SocketAddr::new(address, 0)
}

fn tcp_pair(options: &Options) -> Result<(Io, Io), String> {
    let told = |error: io::Error| format!("no TCP connection within this process: {error}");
    let address = loopback(options);
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).map_err(told)?;
    listener.bind(&address.into()).and_then(|()| listener.listen(1)).map_err(told)?;
    let address = local_address(&listener).map_err(told)?;
    let near = socket_to(options, address)?;
    // The kernel completes the handshake: nobody need accept meanwhile.
    connect(&near, address)?;
    let (far, _) = listener.accept().map_err(told)?;
    Ok((Io::Socket { socket: near, to: None }, Io::Socket { socket: far, to: None }))
}

fn udp_pair(options: &Options) -> Result<(Io, Io), String> {
    let told = |error: io::Error| format!("no UDP sockets within this process: {error}");
    let address = loopback(options);
    let far = Socket::new(Domain::for_address(address), Type::DGRAM, None).map_err(told)?;
    far.bind(&address.into()).map_err(told)?;
    let far_address = local_address(&far).map_err(told)?;
    let near = socket_to(options, far_address)?;
    if options.bind.is_none() {
        near.bind(&address.into()).map_err(told)?;
    }
    let near_address = local_address(&near).map_err(told)?;
    let to = set_destination(options, &near, far_address)?;
    let back = if options.connect.server.0 {
        connect(&far, near_address)?;
        None
    } else {
        Some(near_address.into())
    };
    Ok((Io::Socket { socket: near, to }, Io::Socket { socket: far, to: back }))
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket without an address"))
}

fn family(options: &Options) -> Family {
    match (options.ipv4, options.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    }
}

/// A socket for a connection to `address`, with every option set that comes before connecting.
fn socket_to(options: &Options, address: SocketAddr) -> Result<Socket, String> {
    let kind = if options.through == Through::Udp { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(address), kind, None)
        .map_err(|error| format!("no socket: {error}"))?;
    if let Some(interface) = &options.bindtodev {
        socket.bind_device(Some(interface.as_bytes())).map_err(|error| {
            format!(
                "--bindtodev {interface}: {error}; it needs \
                 CAP_NET_RAW and an interface of that name"
            )
        })?;
    }
    if let Some(ttl) = options.ttl {
        let set = if address.is_ipv4() {
            socket.set_ttl_v4(ttl)
        } else {
            socket.set_unicast_hops_v6(ttl)
        };
        set.map_err(|error| format!("--ttl {ttl}: {error}"))?;
    }
    if let Some(text) = &options.bind {
        let local = parse_bind(text)?;
        socket.set_reuse_address(true).map_err(|error| format!("--bind {text}: {error}"))?;
        socket.bind(&local.into()).map_err(|error| {
            format!("--bind {text}: {error}; `ip address` shows the addresses of this machine")
        })?;
    }
    Ok(socket)
}

fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
    let address = address.or_else(|_| text.parse());
    address.map_err(|_| format!("--bind {text}: not an address, nor an address and a port"))
}

/// Sets what a connected end is to have.
fn tune(options: &Options, io: &Io, end: End) -> Result<(), String> {
    let Io::Socket { socket, .. } = io else { return Ok(()) };
    let (nodelay, busy_poll_us) = match end {
        End::Client => (options.nodelay.client.0, options.busy_poll.client),
        End::Server => (options.nodelay.server.0, options.busy_poll.server),
    };
    if nodelay && matches!(options.through, Through::Tcp | Through::Http) {
        socket.set_tcp_nodelay(true).map_err(|error| format!("--nodelay: {error}"))?;
    }
    if busy_poll_us > 0 {
        sys::set_busy_poll(socket.as_fd(), busy_poll_us).map_err(|error| {
            format!("--busy-poll {busy_poll_us}: {error}; raising it needs CAP_NET_ADMIN")
        })?;
    }
    Ok(())
}

fn receiver(options: &Options, io: &Io, end: End) -> Result<Receiver, String> {
    let (client, server) = options.extras();
    let (muxer, spin, counts, timeout): (Muxer, bool, [u16; 5], Duration) = match end {
        End::Client => {
            let timeout = Duration::from_secs(options.timeout.into());
            (options.muxer.client, options.spin.client.0, client, timeout)
        }
        End::Server => (options.muxer.server, options.spin.server.0, server, LOOK),
    };
    let extras = idle(counts).map_err(|error| {
        format!("no idle descriptors to watch: {error}; ulimit -n shows how many there may be")
    })?;
    Receiver::new(io, muxer, spin, timeout, extras)
}

/// Idle descriptors for a multiplexer to watch. Both ends of a pair are kept, or one would be
/// readable: it has ended. Both count.
fn idle([pipes, datagrams, streams, udp, listeners]: [u16; 5]) -> io::Result<Vec<OwnedFd>> {
    let mut fds: Vec<OwnedFd> = Vec::new();
    for _ in 0..pipes.div_ceil(2) {
        let (reader, writer) = io::pipe()?;
        fds.extend([OwnedFd::from(reader), OwnedFd::from(writer)]);
    }
    for (count, kind) in [(datagrams, Type::DGRAM), (streams, Type::STREAM)] {
        for _ in 0..count.div_ceil(2) {
            let (one, other) = Socket::pair(Domain::UNIX, kind, None)?;
            fds.extend([OwnedFd::from(one), OwnedFd::from(other)]);
        }
    }
    for _ in 0..udp {
        fds.push(Socket::new(Domain::IPV4, Type::DGRAM, None)?.into());
    }
    for _ in 0..listeners {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let address: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&address.into())?;
        socket.listen(1)?;
        fds.push(socket.into());
    }
    Ok(fds)
}
