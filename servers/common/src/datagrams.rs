//! UDP echo for servers that wait for readiness: every datagram goes back to where it came from.

use crate::Counters;
use crate::endpoints::DATAGRAM_BYTES;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;

/// Datagrams answered in one turn: the others wait in the socket's buffer.
const DATAGRAMS_PER_TURN: usize = 64;

/// Sends every datagram back, those that are empty too.
#[derive(Debug)]
pub struct DatagramEcho {
    socket: UdpSocket,
    buffer: Box<[u8]>,
}

impl DatagramEcho {
    /// Echo on a non-blocking socket.
    #[must_use]
    pub fn new(socket: UdpSocket) -> Self {
        Self { socket, buffer: vec![0; DATAGRAM_BYTES].into_boxed_slice() }
    }

    /// The socket, to be watched for reading.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Answers what has come, up to a bound; what is left shows as readability again.
    pub fn turn(&mut self, counters: &Counters) {
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((count, from)) => {
                    counters.datagrams_received.add(1);
                    counters.received_bytes.add(count as u64);
                    count_answer(self.socket.send_to(&self.buffer[..count], from), counters);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Reading it has cleared it: the next datagram may be there.
                Err(_) => counters.datagram_errors.add(1),
            }
        }
    }
}

/// Counts a datagram that was sent back, or was not. UDP promises nothing, so one that the kernel
/// refuses is dropped rather than kept: a client that floods must not make the others wait.
pub fn count_answer(sent: io::Result<usize>, counters: &Counters) {
    match sent {
        Ok(count) => {
            counters.datagrams_sent.add(1);
            counters.sent_bytes.add(count as u64);
        }
        Err(_) => counters.datagrams_dropped.add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, DatagramEcho) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
        socket.set_nonblocking(true).expect("a socket");
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
        client.connect(socket.local_addr().expect("bound")).expect("bound");
        (client, DatagramEcho::new(socket))
    }

    #[test]
    fn a_turn_is_bounded_and_what_is_left_waits() {
        let (client, mut echo) = pair();
        let counters = Counters::default();
        // On loopback a datagram is in the receiver's buffer when its send returns.
        for _ in 0..=DATAGRAMS_PER_TURN {
            client.send(b"x").expect("taken");
        }
        echo.turn(&counters);
        assert_eq!(counters.datagrams_received.value(), DATAGRAMS_PER_TURN as u64);
        echo.turn(&counters);
        echo.turn(&counters);
        assert_eq!(counters.datagrams_received.value(), DATAGRAMS_PER_TURN as u64 + 1);
        assert_eq!(counters.datagrams_sent.value(), counters.datagrams_received.value());
        assert_eq!(counters.sent_bytes.value(), DATAGRAMS_PER_TURN as u64 + 1);
    }

    #[test]
    fn an_answer_that_is_refused_is_counted_as_dropped() {
        let counters = Counters::default();
        count_answer(Err(ErrorKind::WouldBlock.into()), &counters);
        count_answer(Ok(0), &counters);
        assert_eq!((counters.datagrams_dropped.value(), counters.datagrams_sent.value()), (1, 1));
    }
}
