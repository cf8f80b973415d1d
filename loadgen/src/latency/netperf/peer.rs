//! Requests out, responses in, several of them in flight: what `rr` and `crr` talk to.

use super::super::dial;
use super::super::link::Io;
use super::super::receiver::{Muxer, Receiver};
use super::super::sys::{self, PollFd};
use super::options::{Close, Options, Test};
use crate::response::{HeadCache, Parser, Progress};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// Room for one receive.
const RECEIVE_BYTES: usize = 128 << 10;

/// How the end of a response is found.
enum Framing {
    /// Responses have a known length; this much of the current one has come.
    Stream {
        length: usize,
        partial: usize,
    },
    /// Each datagram is one, of a known length.
    Datagram {
        length: usize,
    },
    Http {
        parser: Parser,
        cache: Box<HeadCache>,
    },
}

/// A connection to the server.
pub(super) struct Peer<'a> {
    options: &'a Options,
    io: Io,
    receiver: Receiver,
    framing: Framing,
    request: &'a [u8],
    buffer: &'a mut [u8],
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

/// The request of a test, as it is sent.
pub(super) fn request(options: &Options, authority: &str) -> Vec<u8> {
    if !options.test.is_http() {
        return (b'a'..=b'z').cycle().take(options.request).collect();
    }
    let size = if options.test.is_stream() { options.message } else { options.response };
    let close = if options.test.connects() { "Connection: close\r\n" } else { "" };
    format!("GET /bytes/{size} HTTP/1.1\r\nHost: {authority}\r\n{close}\r\n").into_bytes()
}

/// A buffer for [`Peer::open`].
pub(super) fn buffer() -> Vec<u8> {
    vec![0; RECEIVE_BYTES]
}

impl<'a> Peer<'a> {
    /// Opens a connection.
    ///
    /// # Errors
    /// A sentence that says what could not be opened, and the likely cause.
    pub(super) fn open(
        options: &'a Options,
        address: SocketAddr,
        request: &'a [u8],
        buffer: &'a mut [u8],
    ) -> Result<Self, String> {
        let told = |error: io::Error| format!("no socket: {error}");
        let is_datagram = options.test == Test::UdpRr;
        let kind = if is_datagram { Type::DGRAM } else { Type::STREAM };
        let socket = Socket::new(Domain::for_address(address), kind, None).map_err(told)?;
        if options.nodelay {
            socket.set_tcp_nodelay(true).map_err(told)?;
        }
        if options.test.connects() && options.close == Close::Rst {
            socket.set_linger(Some(std::time::Duration::ZERO)).map_err(told)?;
        }
        dial::connect(&socket, address)?;
        let io = Io::Socket { socket, to: None };
        let receiver = Receiver::new(&io, Muxer::None, false, options.timeout, Vec::new())?;
        let length = options.response;
        let framing = if is_datagram {
            Framing::Datagram { length }
        } else if options.test.is_http() {
            Framing::Http { parser: Parser::new(false), cache: Box::default() }
        } else {
            Framing::Stream { length, partial: 0 }
        };
        let (sent_bytes, received_bytes) = (0, 0);
        Ok(Self { options, io, receiver, framing, request, buffer, sent_bytes, received_bytes })
    }

    /// Sends a request, and returns how many responses have come meanwhile: where there is no room
    /// to send, the server may be waiting for room as well.
    ///
    /// # Errors
    /// A sentence with the likely cause.
    pub(super) fn send(&mut self) -> Result<u64, String> {
        let (mut sent, mut completed) = (0, 0);
        loop {
            match self.io.send(&self.request[sent..], false) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.io.wait(self.options.timeout).map_err(|error| self.explain(&error))? {
                        completed += self.receive()?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(&error)),
            }
            if sent == self.request.len() {
                self.sent_bytes += sent as u64;
                return Ok(completed);
            }
        }
    }

    /// Receives once, and returns how many responses that has completed.
    ///
    /// # Errors
    /// A sentence with the likely cause.
    pub(super) fn receive(&mut self) -> Result<u64, String> {
        let received = self.receiver.receive(&self.io, self.buffer);
        let count = received.map_err(|error| self.explain(&error))?;
        self.received_bytes += count as u64;
        match &mut self.framing {
            Framing::Datagram { length } if count == *length => Ok(1),
            Framing::Datagram { length } => {
                Err(format!("a response has {count} bytes, the request had {length}"))
            }
            _ if count == 0 => Err(self.closed()),
            Framing::Stream { length, partial } => {
                let have = *partial + count;
                *partial = have % *length;
                Ok((have / *length) as u64)
            }
            Framing::Http { parser, cache } => {
                let keeps = !self.options.test.connects();
                count_responses(parser, cache, &self.buffer[..count], keeps)
            }
        }
    }

    /// How many of the `awaited` responses do not come, each within `wait` of the one before. Only
    /// datagrams get lost; for all else this is 0 at once.
    ///
    /// # Errors
    /// A sentence where what comes is no response.
    pub(super) fn lost(&mut self, mut awaited: u64, wait: Duration) -> Result<u64, String> {
        if !matches!(self.framing, Framing::Datagram { .. }) {
            return Ok(0);
        }
        while awaited > 0 {
            let mut fds = [PollFd::new(self.io.read_fd(), true, false)];
            if sys::poll(&mut fds, wait).map_err(|error| self.explain(&error))? == 0 {
                break;
            }
            awaited -= self.receive()?;
        }
        Ok(awaited)
    }

    /// Closes a connection that was for one transaction. HTTP's server closes first, which is
    /// waited for.
    ///
    /// # Errors
    /// A sentence where it sends on instead.
    pub(super) fn close(mut self) -> Result<(), String> {
        if self.options.test.is_http() {
            match self.receiver.receive(&self.io, self.buffer) {
                Ok(0) => {}
                Ok(_) => return Err("bytes follow the end of the response".to_owned()),
                Err(error) => return Err(self.explain(&error)),
            }
        }
        Ok(())
    }

    /// Segments that were sent again so far.
    pub(super) fn retransmitted(&self) -> u64 {
        match &self.io {
            // Datagrams are not, and have no such count.
            Io::Socket { socket, .. } => sys::retransmitted(socket.as_fd()).unwrap_or(0).into(),
            Io::Pipe { .. } => 0,
        }
    }

    /// Sizes of the socket's buffers: send, receive.
    pub(super) fn buffers(&self) -> (usize, usize) {
        match &self.io {
            Io::Socket { socket, .. } => (
                socket.send_buffer_size().unwrap_or_default(),
                socket.recv_buffer_size().unwrap_or_default(),
            ),
            Io::Pipe { .. } => (0, 0),
        }
    }

    fn closed(&self) -> String {
        let cure = if self.options.test.is_http() {
            "is it one that answers HTTP?"
        } else {
            "is it one that echoes (--service echo)?"
        };
        format!("the server closed the connection instead of answering: {cure}")
    }

    fn explain(&self, error: &io::Error) -> String {
        let timeout = self.options.timeout;
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.closed(),
            ErrorKind::TimedOut if self.options.test == Test::UdpRr => format!(
                "no response within {timeout:?} (--timeout): a datagram was lost, or nobody \
                 answers there; does the server echo (--service echo)?"
            ),
            ErrorKind::TimedOut => format!("no response within {timeout:?} (--timeout)"),
            _ => format!("{} failed: {error}", self.options.test.name()),
        }
    }
}

fn count_responses(
    parser: &mut Parser,
    cache: &mut HeadCache,
    mut bytes: &[u8],
    keeps: bool,
) -> Result<u64, String> {
    let mut completed = 0;
    while !bytes.is_empty() {
        let progress = parser.advance(bytes, cache);
        match progress.map_err(|error| format!("the answer is not HTTP: {error}"))? {
            Progress::Partial => break,
            Progress::Complete { consumed, status, keep_alive } => {
                if status != 200 || keep_alive != keeps {
                    let kept = if keep_alive { "kept" } else { "closed" };
                    return Err(format!(
                        "the server answers with status {status}, connection {kept}: is it one \
                         of this project, and answers HTTP?"
                    ));
                }
                bytes = &bytes[consumed..];
                completed += 1;
            }
        }
    }
    Ok(completed)
}
