//! What each thread answers on: a TCP listener, and with `--service echo` a UDP socket besides.

use crate::{Flags, Service, listeners, sys, thread_count};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

/// How often another free port is tried, where the one that TCP got is not free for UDP.
const PORTS_TRIED: usize = 16;

/// Room for the longest datagram there is (RFC 768: 65,535 bytes with its header).
pub const DATAGRAM_BYTES: usize = 1 << 16;

/// The sockets of one thread, all threads' on the same address.
#[derive(Debug)]
pub struct Endpoint {
    /// Non-blocking.
    pub listener: OwnedFd,
    /// Non-blocking; there with [`Service::Echo`], on the port of the listener.
    pub datagrams: Option<UdpSocket>,
}

/// Opens the sockets of every thread, and says where they really are: port 0 asks for a free port,
/// which all of them share.
///
/// # Errors
/// A sentence for the user: what stands in the way, and what to do about it.
pub fn endpoints(flags: &Flags) -> Result<(SocketAddr, Vec<Endpoint>), String> {
    let threads = thread_count(flags.cpus.as_ref());
    let mut tries = if flags.listen.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        let (address, sockets) = listeners(flags.listen, flags.backlog, threads)?;
        if flags.service != Service::Echo {
            let only_tcp = |listener| Endpoint { listener, datagrams: None };
            return Ok((address, sockets.into_iter().map(only_tcp).collect()));
        }
        match datagram_sockets(address, threads) {
            Ok(datagrams) => {
                let both = |(listener, socket)| Endpoint { listener, datagrams: Some(socket) };
                return Ok((address, sockets.into_iter().zip(datagrams).map(both).collect()));
            }
            // Somebody else's UDP has the port that was free for TCP: the next one may be free.
            Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(format!(
                    "cannot take datagrams on {address} (--listen, --service echo): {error}; \
                     ss -lunp shows who does"
                ));
            }
        }
    }
}

fn datagram_sockets(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    // As with listeners: SO_REUSEPORT would share the port with another server without a word.
    drop(UdpSocket::bind(address)?);
    (0..count).map(|_| sys::datagrams(address).map(UdpSocket::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    fn flags(arguments: &str) -> Flags {
        let words = std::iter::once("server-test").chain(arguments.split_whitespace());
        Command::try_parse_from(words).expect("valid flags").flags
    }

    #[test]
    fn echo_has_both_sockets_of_every_thread_on_one_port() {
        let flags = flags("--listen 127.0.0.1:0 --service echo --cpus 0-2");
        let (address, endpoints) = endpoints(&flags).expect("loopback is free");
        assert_eq!(endpoints.len(), 3);
        for endpoint in endpoints {
            let socket = endpoint.datagrams.expect("echo takes datagrams");
            assert_eq!(socket.local_addr().expect("bound"), address);
            let error = socket.recv_from(&mut [0]).expect_err("nothing was sent");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn http_takes_no_datagrams() {
        let (address, endpoints) = endpoints(&flags("--listen 127.18.0.1:0")).expect("free");
        assert!(endpoints.iter().all(|endpoint| endpoint.datagrams.is_none()));
        UdpSocket::bind(address).expect("the port is free for UDP");
    }

    #[test]
    fn a_port_in_use_for_udp_is_refused_with_a_sentence() {
        // An address that nothing else here uses: on 127.0.0.1 that port may be TCP's already,
        // if only by a connection in TIME-WAIT.
        let taken = UdpSocket::bind("127.18.0.2:0").expect("loopback is free");
        let address = taken.local_addr().expect("bound");
        let message = endpoints(&flags(&format!("--listen {address} --service echo")));
        let message = message.expect_err("in use");
        assert!(message.contains("cannot take datagrams"), "{message}");
    }
}
