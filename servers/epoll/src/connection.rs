//! One connection: receive, answer, send, and the ways to close.
//!
//! Events are edge-triggered: what an event said is remembered in the connection until a call has
//! shown that it no longer holds. A receive that returns less than there was room for has emptied
//! the socket, so no second call is made to hear `EAGAIN`. (Receiving also stops short at urgent
//! data. Bytes behind it are taken with the next segment, or the time-outs end the connection.)

use crate::buffers::Buffers;
use crate::slab::Key;
use crate::sys::{self, CONNECTION, ERR, Epoll, HUP, IN, RDHUP};
use server_common::sys::acknowledged_bytes;
use server_common::{Count, Counters, Piece, Protocol, SendWatch};
use server_http::{Close, Closing, Now, Reason};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Receives and sends that one connection may make before it is others' turn: a client that always
/// has more takes part in the round, it does not stop it.
const STEPS_PER_TURN: usize = 8;

/// One accepted connection. Idle, it owns no buffer.
pub(crate) struct Connection {
    socket: OwnedFd,
    protocol: Protocol,
    /// Received, and left unconsumed.
    input: Vec<u8>,
    /// Refused by the kernel so far, and how much of it was taken since. While there is any,
    /// nothing is received and nothing answered: this is the back-pressure.
    output: Vec<u8>,
    output_sent: usize,
    /// As `output`, and behind it: what is sent from the pattern's file.
    output_piece: Piece,
    phase: Phase,
    readable: Readable,
    /// The client's FIN has been received.
    peer_closed: bool,
    /// The protocol waits for space in the output, not for input.
    blocked: bool,
    /// The protocol wants its turn although nothing came in.
    poked: bool,
    /// When the protocol wants its turn in any case.
    wake_at_ns: u64,
    /// Whether the client takes the output that waits; means nothing while none does.
    watch: SendWatch,
    /// When the timer wheel will next look at this connection.
    pub(crate) timer_at_ns: u64,
    /// It is in the list of those to be continued.
    pub(crate) queued: bool,
}

/// What the kernel said about input, until a receive has shown otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readable {
    /// Nothing is there: wait for the next event.
    No,
    /// Bytes may be there.
    Bytes,
    /// Bytes may be there, and the FIN is behind them.
    BytesThenFin,
    /// The connection has ended or failed: receive until the kernel says so.
    UntilError,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Requests are answered.
    Open,
    /// What is left of the output is sent, then the connection is closed.
    Flushing(Close),
    /// Our FIN is sent; what the client still sends is dropped, so that no reset overtakes the
    /// response (RFC 9112 §9.6).
    Lingering { why: Reason, left_bytes: usize, until_ns: u64 },
}

/// Why a connection is gone.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    /// The protocol closed it.
    Closed(Reason),
    /// The transport failed.
    Failed,
    /// The client took nothing for too long: reset.
    SendTimeout,
}

impl Ended {
    /// The counter of it.
    pub(crate) fn count(self, counters: &Counters) -> &Count {
        match self {
            Self::Closed(why) => counters.closed_because(why),
            Self::Failed => &counters.closed_error,
            Self::SendTimeout => &counters.closed_send_timeout,
        }
    }
}

/// What a turn came to.
pub(crate) enum Turn {
    /// It waits for an event or its timer.
    Wait,
    /// It could go on, but others are due.
    Again,
    /// It is over: drop it.
    Ended(Ended),
}

enum Step {
    Wait,
    Go,
    Ended(Ended),
}

impl Connection {
    /// A connection just accepted.
    pub(crate) fn new(socket: OwnedFd, protocol: Protocol, now: &Now) -> Self {
        Self {
            socket,
            protocol,
            input: Vec::new(),
            output: Vec::new(),
            output_sent: 0,
            output_piece: Piece::default(),
            phase: Phase::Open,
            readable: Readable::No,
            peer_closed: false,
            blocked: false,
            // The first turn asks the protocol for its first time-out.
            poked: true,
            wake_at_ns: now.monotonic_ns,
            watch: SendWatch::new(now.monotonic_ns, Duration::ZERO),
            timer_at_ns: u64::MAX,
            queued: false,
        }
    }

    /// Has `epoll` tell about everything that happens on its socket, under `key`.
    pub(crate) fn watch(&self, epoll: &Epoll, key: Key) -> io::Result<()> {
        epoll.add(self.socket.as_fd(), key.to_u64(), CONNECTION)
    }

    /// Notes what an event said. Space for output needs no note: sending is simply tried.
    pub(crate) fn hear(&mut self, bits: u32) {
        if bits & (ERR | HUP) != 0 {
            self.readable = Readable::UntilError;
        } else if self.peer_closed {
            // The FIN, told again with every event: nothing can come behind it.
        } else if bits & RDHUP != 0 {
            self.readable = Readable::BytesThenFin;
        } else if bits & IN != 0 && self.readable == Readable::No {
            self.readable = Readable::Bytes;
        }
    }

    /// Asks for an early end; take a turn afterwards. What lies in the socket is still answered.
    pub(crate) fn drain(&mut self) {
        self.protocol.drain();
        self.poked = true;
        if self.readable == Readable::No && !self.peer_closed {
            self.readable = Readable::Bytes;
        }
    }

    /// When it must have a turn even if nothing happens.
    pub(crate) fn deadline_ns(&self) -> u64 {
        match self.phase {
            Phase::Lingering { until_ns, .. } => until_ns,
            _ if self.has_output() => self.watch.look_at_ns(),
            _ => self.wake_at_ns,
        }
    }

    /// Does all that can be done now, up to a bound.
    pub(crate) fn turn(&mut self, buffers: &mut Buffers, now: &Now) -> Turn {
        for _ in 0..STEPS_PER_TURN {
            let step = match self.phase {
                _ if self.has_output() => self.flush(buffers, now),
                Phase::Open => self.answer(buffers, now),
                Phase::Flushing(close) => self.close(close, buffers, now),
                Phase::Lingering { why, left_bytes, until_ns } => {
                    self.linger(why, left_bytes, until_ns, buffers, now)
                }
            };
            match step {
                Step::Go => {}
                Step::Wait => return Turn::Wait,
                Step::Ended(how) => return Turn::Ended(how),
            }
        }
        Turn::Again
    }

    /// Gives its buffers back and closes it.
    pub(crate) fn end(mut self, how: Ended, buffers: &mut Buffers) -> io::Result<()> {
        buffers.pool.empty(&mut self.input);
        buffers.pool.empty(&mut self.output);
        match how {
            Ended::SendTimeout => self.abort(),
            Ended::Closed(_) | Ended::Failed => Ok(()),
        }
    }

    /// Closes it with a reset.
    pub(crate) fn abort(self) -> io::Result<()> {
        sys::abort(self.socket)
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty() || self.output_piece.len > 0
    }

    /// Receives if there may be something, and has the protocol answer.
    fn answer(&mut self, buffers: &mut Buffers, now: &Now) -> Step {
        let due = std::mem::take(&mut self.poked) || now.monotonic_ns >= self.wake_at_ns;
        let held = self.input.len();
        let mut received = 0;
        if self.readable != Readable::No && !self.blocked {
            match self.receive(held..buffers.input.len(), buffers) {
                Ok(count) => received = count,
                Err(how) => return Step::Ended(how),
            }
            if received == 0 && !self.peer_closed && !due {
                return Step::Wait;
            }
        } else if !self.blocked && !due {
            return Step::Wait;
        }
        buffers.input[..held].copy_from_slice(&self.input);
        let input = &buffers.input[..held + received];
        let advance = self.protocol.advance(now, input, self.peer_closed, &mut buffers.output);
        buffers.pool.keep(&mut self.input, &buffers.input[advance.consumed..held + received]);
        buffers.counters.responses.add(u64::from(advance.responses));
        self.blocked = advance.blocked_on_output;
        self.wake_at_ns = advance.wake_at_ns;
        if let Some(close) = advance.close {
            self.phase = Phase::Flushing(close);
        }
        self.send(buffers, now)
    }

    /// Receives into that part of the input buffer. 0 means that nothing is there; a FIN is noted
    /// in `peer_closed`.
    fn receive(&mut self, part: Range<usize>, buffers: &mut Buffers) -> Result<usize, Ended> {
        let room = &mut buffers.input[part];
        assert!(!room.is_empty(), "a receive without room would look like a FIN");
        let room_len = room.len();
        match sys::receive(self.socket.as_fd(), room) {
            Ok(count) => {
                buffers.counters.received_bytes.add(count as u64);
                if buffers.sending.quick_ack && sys::acknowledge_now(self.socket.as_fd()).is_err() {
                    return Err(Ended::Failed);
                }
                if count == 0 {
                    self.peer_closed = true;
                    self.readable = Readable::No;
                } else if count < room_len {
                    self.emptied();
                }
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = Readable::No;
                Ok(0)
            }
            Err(_) => Err(Ended::Failed),
        }
    }

    /// A short receive: everything that the last event announced has been taken.
    fn emptied(&mut self) {
        match self.readable {
            Readable::BytesThenFin => {
                self.peer_closed = true;
                self.readable = Readable::No;
            }
            Readable::Bytes | Readable::No => self.readable = Readable::No,
            Readable::UntilError => {}
        }
    }

    /// Sends the output buffer; keeps what the kernel refuses.
    fn send(&mut self, buffers: &mut Buffers, now: &Now) -> Step {
        let (filled, piece) = buffers.output.filled();
        if !filled.is_empty() || piece.len > 0 {
            let sent = send_both(self.socket.as_fd(), filled, piece, buffers);
            let Ok((sent, sent_of_piece)) = sent else {
                buffers.output.clear();
                return Step::Ended(Ended::Failed);
            };
            buffers.pool.keep(&mut self.output, &filled[sent..]);
            self.output_sent = 0;
            self.output_piece = piece;
            self.output_piece.advance(sent_of_piece);
            buffers.output.clear();
            if self.has_output() {
                self.watch = SendWatch::new(now.monotonic_ns, buffers.limits.send_timeout);
                return Step::Wait;
            }
        }
        let open = matches!(self.phase, Phase::Open);
        if open && !self.blocked && self.readable == Readable::No { Step::Wait } else { Step::Go }
    }

    /// Sends what the kernel refused before.
    fn flush(&mut self, buffers: &mut Buffers, now: &Now) -> Step {
        let left = &self.output[self.output_sent..];
        let sent = send_both(self.socket.as_fd(), left, self.output_piece, buffers);
        let Ok((sent, sent_of_piece)) = sent else { return Step::Ended(Ended::Failed) };
        self.output_sent += sent;
        self.output_piece.advance(sent_of_piece);
        if self.output_sent == self.output.len() {
            buffers.pool.empty(&mut self.output);
            self.output_sent = 0;
        }
        if !self.has_output() {
            // Input may have come while nothing was received, and its event has passed.
            return Step::Go;
        }
        let timeout = buffers.limits.send_timeout;
        let acknowledged = || acknowledged_bytes(self.socket.as_fd());
        match self.watch.is_over(now.monotonic_ns, timeout, acknowledged) {
            Ok(false) => Step::Wait,
            Ok(true) => Step::Ended(Ended::SendTimeout),
            Err(_) => Step::Ended(Ended::Failed),
        }
    }

    /// Everything is sent: closes, or sends a FIN and lingers.
    fn close(&mut self, close: Close, buffers: &Buffers, now: &Now) -> Step {
        // Closing a socket in which bytes lie unread sends a reset instead of a FIN.
        let fin_is_safe = close.how == Closing::Fin && self.readable == Readable::No;
        if self.peer_closed || fin_is_safe {
            return Step::Ended(Ended::Closed(close.why));
        }
        if sys::finish_sending(self.socket.as_fd()).is_err() {
            return Step::Ended(Ended::Failed);
        }
        self.phase = Phase::Lingering {
            why: close.why,
            left_bytes: buffers.limits.linger_bytes,
            until_ns: now.monotonic_ns + nanoseconds(buffers.limits.linger_timeout),
        };
        Step::Go
    }

    /// Drops what the client still sends, until it stops, or it is too much, or too late.
    fn linger(
        &mut self,
        why: Reason,
        left_bytes: usize,
        until_ns: u64,
        buffers: &mut Buffers,
        now: &Now,
    ) -> Step {
        let late = now.monotonic_ns >= until_ns;
        if left_bytes == 0 {
            return Step::Ended(Ended::Closed(why));
        }
        if self.readable == Readable::No && !late {
            return Step::Wait;
        }
        // After the response was delivered, a client may end as roughly as it likes.
        let part = 0..left_bytes.min(buffers.input.len());
        let dropped = self.receive(part, buffers).unwrap_or(left_bytes);
        if late || self.peer_closed || dropped >= left_bytes {
            return Step::Ended(Ended::Closed(why));
        }
        self.phase = Phase::Lingering { why, left_bytes: left_bytes - dropped, until_ns };
        Step::Go
    }
}

/// Sends `bytes` and, if the kernel takes all of them, of `piece` behind them; says how much of
/// each it took.
fn send_both(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    piece: Piece,
    buffers: &Buffers,
) -> io::Result<(usize, usize)> {
    let mut sent = 0;
    if !bytes.is_empty() {
        sent = taken(sys::send(socket, bytes, piece.len > 0))?;
    }
    let mut sent_of_piece = 0;
    if piece.len > 0 && sent == bytes.len() {
        sent_of_piece = taken(buffers.sending.pattern.send(socket, piece))?;
    }
    buffers.counters.sent_bytes.add((sent + sent_of_piece) as u64);
    Ok((sent, sent_of_piece))
}

/// How much a send took: nothing where there is no space.
fn taken(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// As an integer; the flags bound every time-out to a day.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
