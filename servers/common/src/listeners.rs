//! One listening socket per thread, all on the same address.

use crate::sys;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// Opens `count` non-blocking listeners on `address`, one per thread (SO_REUSEPORT), and says
/// where they really listen: port 0 asks for a free port, which all of them share.
///
/// # Errors
/// A sentence for the user: what stands in the way, and what to do about it.
pub fn listeners(
    address: SocketAddr,
    backlog: u32,
    count: usize,
) -> Result<(SocketAddr, Vec<OwnedFd>), String> {
    open(address, backlog, count).map_err(|error| explain(address, &error))
}

fn open(address: SocketAddr, backlog: u32, count: usize) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    // SO_REUSEPORT would let a second server of the same user take half of the connections without
    // a word. Binding once without it finds the first one out.
    if address.port() != 0 {
        drop(sys::bind_alone(address)?);
    }
    let first = TcpListener::from(sys::listen(address, backlog)?);
    let address = first.local_addr()?;
    let mut listeners = vec![OwnedFd::from(first)];
    while listeners.len() < count {
        listeners.push(sys::listen(address, backlog)?);
    }
    Ok((address, listeners))
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: end it (ss -ltnp shows which), or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface has that address: choose one that ip address shows"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        _ => "",
    };
    format!("cannot listen on {address} (--listen): {error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn port_0_becomes_one_real_port_for_all() {
        let (address, sockets) = listeners(loopback(0), 16, 3).expect("loopback is free");
        assert_ne!(address.port(), 0);
        assert_eq!(sockets.len(), 3);
        for socket in sockets {
            assert_eq!(TcpListener::from(socket).local_addr().expect("bound"), address);
        }
    }

    #[test]
    fn a_port_in_use_is_refused_even_by_a_server_that_would_share_it() {
        let (address, sockets) = listeners(loopback(0), 16, 1).expect("loopback is free");
        let message = listeners(address, 16, 1).expect_err("in use");
        assert!(message.contains("another program listens there"), "{message}");
        drop(sockets);
        listeners(address, 16, 1).expect("free again");
    }

    #[test]
    fn a_foreign_address_is_refused_with_a_sentence() {
        // 192.0.2.0/24 is for documentation (RFC 5737): no interface has it.
        let message = listeners(([192, 0, 2, 1], 0).into(), 16, 1).expect_err("not ours");
        assert!(message.contains("no interface has that address"), "{message}");
    }

    #[test]
    fn a_connection_waits_in_the_backlog() {
        let (address, sockets) = listeners(loopback(0), 16, 1).expect("loopback is free");
        let client = TcpStream::connect(address).expect("the kernel answers");
        drop(client);
        drop(sockets);
        TcpStream::connect(address).expect_err("nobody listens any more");
    }
}
