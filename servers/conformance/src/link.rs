//! One TCP connection to the server under test: whole writes beside bounded reads.

use crate::notation::Random;
use crate::response::Response;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How an input is cut on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One write.
    Whole,
    /// Two writes, cut at a seeded place.
    Halves,
    /// A write for each byte; for inputs above [`BYTEWISE_MAX`] seeded pieces of 1 to 8 KiB.
    Bytes,
    /// One write, behind a valid request.
    Behind,
}

impl Delivery {
    /// Every way an input can be delivered.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Halves, Self::Bytes, Self::Behind];

    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "in one write",
            Self::Halves => "in two writes",
            Self::Bytes => "byte by byte",
            Self::Behind => "behind a valid request",
        }
    }
}

/// How much of what is sent waits for more, so that segments leave as a case needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Everything leaves as it is written.
    Nothing,
    /// All but the last byte: full segments leave first, without PSH.
    AllButLast,
    /// Everything, until the FIN that follows pushes it out.
    UntilFin,
}

/// Longest input that is delivered byte by byte.
pub const BYTEWISE_MAX: usize = 16 * 1024;

/// Most bytes that [`Link::gather`] keeps.
pub const GATHERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// FIN.
    Fin,
    /// RST.
    Reset,
}

/// A connection to the server under test.
pub struct Link {
    socket: Arc<Socket>,
    writer: Option<JoinHandle<()>>,
    received: Vec<u8>,
    ended: Option<Ended>,
    patience: Duration,
}

impl Link {
    /// Connects; every wait on the connection is bounded by `patience`.
    ///
    /// # Errors
    /// Whatever connecting returns.
    pub fn connect(target: SocketAddr, patience: Duration) -> io::Result<Self> {
        Self::connect_in_segments(target, patience, None)
    }

    /// Connects, and sends segments of at most `bytes` each where a size is given: on the loopback
    /// interface a segment else holds 64 KiB.
    ///
    /// # Errors
    /// Whatever connecting returns.
    pub fn connect_in_segments(
        target: SocketAddr,
        patience: Duration,
        bytes: Option<u32>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = bytes {
            socket.set_tcp_mss(bytes)?;
        }
        socket.connect_timeout(&target.into(), patience)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_write_timeout(Some(patience))?;
        let socket = Arc::new(socket);
        Ok(Self { socket, writer: None, received: Vec::new(), ended: None, patience })
    }

    /// Sends `bytes` in the pieces of `delivery`, on a thread of its own so that reading goes on.
    pub fn send(&mut self, bytes: Vec<u8>, delivery: Delivery, hold: Hold) {
        self.join_writer();
        let socket = Arc::clone(&self.socket);
        self.writer = Some(std::thread::spawn(move || {
            let mut rest = bytes.as_slice();
            for piece in pieces(bytes.len(), delivery) {
                let (now, later) = rest.split_at(piece);
                rest = later;
                // A server may refuse and close before it has read everything: what it answered
                // is what is judged, so a failing write only ends the sending.
                if send_all(&socket, now, hold).is_err() {
                    return;
                }
            }
        }));
    }

    fn join_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            // The writer does not panic, and its writes time out.
            drop(writer.join());
        }
    }

    /// Sends a FIN once everything was sent.
    pub fn shutdown(&mut self) {
        self.join_writer();
        // Fails only where the server has closed already, which reading will show.
        drop(self.socket.shutdown(std::net::Shutdown::Write));
    }

    /// Closes with an RST.
    ///
    /// # Errors
    /// Whatever setting SO_LINGER returns.
    pub fn reset(mut self) -> io::Result<()> {
        self.join_writer();
        self.socket.set_linger(Some(Duration::ZERO))
    }

    /// Reads one response.
    ///
    /// # Errors
    /// A sentence: the rule that is broken, or that nothing (more) came.
    pub fn response(&mut self, to_head: bool) -> Result<Response, String> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some((response, len)) = Response::parse(&self.received, to_head)? {
                self.received.drain(..len);
                return Ok(response);
            }
            match self.ended {
                Some(Ended::Fin) => return Err("the server closed before a response".into()),
                Some(Ended::Reset) => return Err("the server reset the connection".into()),
                None if Instant::now() >= deadline => {
                    return Err(format!("no response within {} ms", self.patience.as_millis()));
                }
                None => self.fill(deadline)?,
            }
        }
    }

    /// Waits until `duration` is over and nothing has arrived.
    ///
    /// # Errors
    /// A sentence about what arrived.
    pub fn quiet(&mut self, duration: Duration) -> Result<(), String> {
        let deadline = Instant::now() + duration;
        while self.ended.is_none() && self.received.is_empty() && Instant::now() < deadline {
            self.fill(deadline)?;
        }
        match (self.ended, self.received.is_empty()) {
            (None, true) => Ok(()),
            (None, false) => Err("the server answered an incomplete request".to_owned()),
            (Some(ended), _) => Err(format!("the connection ended early ({ended:?})")),
        }
    }

    /// Waits for the end of the connection, before which nothing more may come.
    ///
    /// # Errors
    /// A sentence about what came instead.
    pub fn end(&mut self) -> Result<Ended, String> {
        let deadline = Instant::now() + self.patience;
        loop {
            if !self.received.is_empty() {
                return Err("more bytes after the last response".to_owned());
            }
            match self.ended {
                Some(ended) => return Ok(ended),
                None if Instant::now() >= deadline => {
                    return Err(format!("still open after {} ms", self.patience.as_millis()));
                }
                None => self.fill(deadline)?,
            }
        }
    }

    /// Reads until `enough` says so of all that was received, nothing arrives for `window`, or the
    /// connection ends.
    ///
    /// At most [`GATHERED_BYTES_MAX`] are kept; a connection that fails counts as reset.
    pub fn gather(&mut self, window: Duration, enough: impl Fn(&[u8]) -> bool) {
        let mut deadline = Instant::now() + window;
        let mut seen = self.received.len();
        while self.ended.is_none()
            && Instant::now() < deadline
            && seen < GATHERED_BYTES_MAX
            && !enough(&self.received)
        {
            if self.fill(deadline).is_err() {
                self.ended = Some(Ended::Reset);
            }
            if self.received.len() > seen {
                seen = self.received.len();
                deadline = Instant::now() + window;
            }
        }
    }

    /// How the connection ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Bytes received and not yet taken for a response.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// One read, no longer than until `deadline`.
    fn fill(&mut self, deadline: Instant) -> Result<(), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(timeout)).map_err(|error| error.to_string())?;
        let mut buffer = [0; 64 * 1024];
        match (&*self.socket).read(&mut buffer) {
            Ok(0) => self.ended = Some(Ended::Fin),
            Ok(len) => self.received.extend_from_slice(&buffer[..len]),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    self.ended = Some(Ended::Reset);
                }
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return Err(format!("reading: {error}")),
            },
        }
        Ok(())
    }
}

/// Linux's flag "more is coming": the segment leaves when it is full, without PSH.
const MSG_MORE: i32 = 0x8000;

fn send_all(socket: &Socket, bytes: &[u8], hold: Hold) -> io::Result<()> {
    let held = match hold {
        Hold::Nothing => 0,
        Hold::AllButLast => bytes.len().saturating_sub(1),
        Hold::UntilFin => bytes.len(),
    };
    let (mut held, mut free) = bytes.split_at(held);
    while !held.is_empty() {
        held = &held[socket.send_with_flags(held, MSG_MORE)?..];
    }
    while !free.is_empty() {
        free = &free[socket.send(free)?..];
    }
    Ok(())
}

/// Lengths of the pieces in which `len` bytes are sent.
fn pieces(len: usize, delivery: Delivery) -> Vec<usize> {
    let mut random = Random::new(len as u64);
    match delivery {
        Delivery::Whole | Delivery::Behind => vec![len],
        Delivery::Halves if len < 2 => vec![len],
        Delivery::Halves => {
            let first = random.between(1, len - 1);
            vec![first, len - first]
        }
        Delivery::Bytes if len <= BYTEWISE_MAX => vec![1; len],
        Delivery::Bytes => {
            let mut lengths = Vec::new();
            let mut left = len;
            while left > 0 {
                let piece = random.between(1, 8192).min(left);
                lengths.push(piece);
                left -= piece;
            }
            lengths
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_and_are_the_same_each_time() {
        for delivery in Delivery::ALL {
            for len in [0, 1, 2, 40, BYTEWISE_MAX, BYTEWISE_MAX + 1, 300_000] {
                let lengths = pieces(len, delivery);
                assert_eq!(lengths.iter().sum::<usize>(), len, "{delivery:?} {len}");
                assert_eq!(lengths, pieces(len, delivery));
            }
        }
        assert_eq!(pieces(40, Delivery::Bytes).len(), 40);
        assert_eq!(pieces(40, Delivery::Halves).len(), 2);
    }
}
