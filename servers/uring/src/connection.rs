//! One connection: what arrives, what is sent, when it ends.
//!
//! ```text
//!            close asked for                 all is sent
//!   Open ──────────────────────▶ Flushing ───────────────▶ Lingering (FIN sent, input dropped)
//!    │                              │ nothing to wait for      │ EOF, 64 KiB or 2 s
//!    │ error, time-out, deadline    ▼                          ▼
//!    └─────────────────────────▶ Ending: the kernel gives back its operations ──▶ gone
//! ```

use crate::counters::RingCounters;
use crate::output::{Output, Pool};
use crate::ring::{Bytes, Completion, ConnId, Outgoing, Received, Ring, Socket};
use crate::sys;
use crate::timers::{NEVER, Timers};
use server_common::sys::{acknowledged_bytes, set_nonblocking};
use server_common::{Clock, Counters, PatternFile, Piece, Protocol, SendWatch};
use server_http::{Advance, Close, Closing, Limits, Reason};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Input held for a connection whose output is full, beyond which receiving stops, in bytes.
///
/// The kernel may deliver what it has already read after that: no more than the provided buffers.
const HELD_BYTES: usize = 64 * 1024;

/// What all connections of a thread use.
pub(crate) struct Io {
    pub(crate) ring: Ring,
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) timers: Timers,
    pub(crate) limits: &'static Limits,
    pub(crate) sending: Sending,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ring_counters: Arc<RingCounters>,
}

impl Io {
    fn now_ns(&self) -> u64 {
        self.clock.now().monotonic_ns
    }

    fn after(&self, timeout: Duration) -> u64 {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(NEVER);
        self.now_ns().saturating_add(timeout_ns)
    }
}

/// How large bodies are sent that the ring does not send.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    /// The body of `/bytes/N`, for sendfile(2).
    pub(crate) pattern: PatternFile,
    /// It is used where so many bytes or more are left; `None`: never.
    pub(crate) sendfile_bytes: Option<usize>,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Asked(Close),
    SendTimeout,
    Error,
    DrainDeadline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requests are read and answered.
    Open,
    /// The last output is on its way; input is dropped.
    Flushing(Close),
    /// The FIN is sent; input is dropped, up to a bound.
    Lingering { dropped_bytes: usize, until_ns: u64 },
    /// Nothing more is wanted; operations are being cancelled.
    Ending,
}

/// The receive operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    Stopped,
    Running,
    Stopping,
}

/// A connection and what the kernel is doing for it.
pub(crate) struct Connection {
    id: ConnId,
    socket: Socket,
    protocol: Protocol,
    phase: Phase,
    ended: Ended,
    receive: Receive,
    /// The client's FIN has come.
    eof: bool,
    /// The protocol waits for output space, not for input.
    blocked: bool,
    /// Input that the protocol has not consumed; without capacity while there is none.
    held: Vec<u8>,
    /// Output behind the send in flight; without capacity while there is none.
    next: Vec<u8>,
    /// Output behind that: a piece of a large body.
    next_piece: Option<Bytes>,
    /// Bytes of the send in flight not yet taken by the kernel; 0 says that none is in flight.
    in_flight_bytes: usize,
    /// Whether the client takes the send in flight; means nothing while none is.
    watch: SendWatch,
    /// When the protocol wants to be called.
    wake_at_ns: u64,
}

impl Connection {
    /// Takes over an accepted socket and starts receiving.
    pub(crate) fn new(id: ConnId, socket: Socket, protocol: Protocol, io: &mut Io) -> Self {
        let mut connection = Self {
            id,
            socket,
            protocol,
            phase: Phase::Open,
            ended: Ended::Error,
            receive: Receive::Stopped,
            eof: false,
            blocked: false,
            held: Vec::new(),
            next: Vec::new(),
            next_piece: None,
            in_flight_bytes: 0,
            watch: SendWatch::new(io.now_ns(), Duration::ZERO),
            wake_at_ns: io.after(io.limits.idle_timeout),
        };
        io.ring.introduce(id, &connection.socket);
        connection.settle(io);
        connection
    }

    /// Whether it has ended and the kernel holds nothing of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.phase == Phase::Ending && self.receive == Receive::Stopped && self.in_flight_bytes == 0
    }

    /// Closes the socket of a connection that is gone, and counts why.
    pub(crate) fn bury(self, io: &mut Io) {
        let counters = &io.counters;
        match self.ended {
            Ended::Asked(close) => counters.count_close(close),
            Ended::SendTimeout => counters.closed_send_timeout.add(1),
            Ended::Error => counters.closed_error.add(1),
            Ended::DrainDeadline => counters.closed_drain_deadline.add(1),
        }
        counters.connections_closed.add(1);
        io.pool.put(self.held);
        io.pool.put(self.next);
        io.ring.forget(self.id);
        io.ring.close(self.socket);
    }

    /// Something was received; without `more` the receive operation is over.
    pub(crate) fn handle_received(
        &mut self,
        result: io::Result<Received>,
        more: bool,
        io: &mut Io,
    ) {
        if !more {
            self.receive = Receive::Stopped;
        }
        match result {
            Ok(Received::Data(buffer)) => {
                self.handle_data(&buffer, io);
                io.ring.give_back(buffer);
            }
            Ok(Received::End) => self.handle_end(io),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    io.ring_counters.receive_buffers_exhausted.add(1);
                    io.ring.provide_more();
                    self.settle(io);
                }
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => self.settle(io),
                _ => {
                    self.eof = true;
                    self.fail(io);
                }
            },
        }
    }

    fn handle_data(&mut self, data: &[u8], io: &mut Io) {
        io.counters.received_bytes.add(data.len() as u64);
        match &mut self.phase {
            Phase::Open => return self.advance(data, io),
            Phase::Lingering { dropped_bytes, .. } => {
                *dropped_bytes += data.len();
                if *dropped_bytes >= io.limits.linger_bytes {
                    self.end(io);
                }
            }
            Phase::Flushing(_) | Phase::Ending => {}
        }
        self.settle(io);
    }

    fn handle_end(&mut self, io: &mut Io) {
        self.eof = true;
        match self.phase {
            Phase::Open => self.advance(&[], io),
            Phase::Lingering { .. } => self.end(io),
            Phase::Flushing(_) | Phase::Ending => {}
        }
    }

    /// A send ended; `outgoing` is ours again.
    pub(crate) fn handle_sent(
        &mut self,
        result: io::Result<usize>,
        mut outgoing: Outgoing,
        io: &mut Io,
    ) {
        let taken = match result {
            Ok(taken) => taken,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => 0,
            Err(_) => {
                self.release(outgoing, io);
                return self.fail(io);
            }
        };
        io.counters.sent_bytes.add(taken as u64);
        outgoing.taken += taken;
        if outgoing.left_bytes() == 0 || self.phase == Phase::Ending {
            self.release(outgoing, io);
        } else {
            io.ring_counters.sends_continued.add(1);
            self.send(outgoing, io);
        }
        if self.phase == Phase::Open && self.blocked {
            self.advance(&[], io);
        } else {
            self.flush(io);
        }
    }

    /// The earliest timer of this connection fired.
    pub(crate) fn handle_timer(&mut self, io: &mut Io) {
        let now_ns = io.now_ns();
        match self.takes_nothing(now_ns, io) {
            Ok(false) => {}
            Ok(true) => return self.reset(Ended::SendTimeout, io),
            Err(_) => return self.fail(io),
        }
        match self.phase {
            Phase::Open if self.wake_at_ns <= now_ns => self.advance(&[], io),
            Phase::Lingering { until_ns, .. } if until_ns <= now_ns => self.end(io),
            // The deadline has moved since the timer was set.
            _ => self.settle(io),
        }
    }

    /// Whether a send is in flight and the client has taken nothing of it for too long.
    fn takes_nothing(&mut self, now_ns: u64, io: &mut Io) -> io::Result<bool> {
        if self.in_flight_bytes == 0 || self.phase == Phase::Ending {
            return Ok(false);
        }
        let (ring, socket) = (&mut io.ring, &self.socket);
        self.watch.is_over(now_ns, io.limits.send_timeout, || {
            ring.with_descriptor(socket, acknowledged_bytes)
        })
    }

    /// The server drains: the response in flight is the last.
    pub(crate) fn drain(&mut self, io: &mut Io) {
        if self.phase == Phase::Open {
            self.protocol.drain();
            self.advance(&[], io);
        }
    }

    /// The drain's deadline has passed: a connection that is still busy is cut off.
    pub(crate) fn cut(&mut self, io: &mut Io) {
        match self.phase {
            Phase::Open | Phase::Flushing(_) => self.reset(Ended::DrainDeadline, io),
            Phase::Lingering { .. } | Phase::Ending => self.end(io),
        }
    }

    /// Lets the protocol read what is held and `fresh`, and sends what it answers.
    fn advance(&mut self, fresh: &[u8], io: &mut Io) {
        let mut held = std::mem::take(&mut self.held);
        let outcome = if held.is_empty() {
            let outcome = self.step(fresh, io);
            io.pool.append(&mut held, &fresh[outcome.consumed..]);
            outcome
        } else {
            held.extend_from_slice(fresh);
            let outcome = self.step(&held, io);
            held.drain(..outcome.consumed);
            outcome
        };
        self.blocked = outcome.blocked_on_output;
        self.wake_at_ns = outcome.wake_at_ns;
        if let Some(close) = outcome.close {
            self.phase = Phase::Flushing(close);
            self.ended = Ended::Asked(close);
            held.clear();
        }
        if held.is_empty() {
            io.pool.put(held);
        } else {
            self.held = held;
        }
        io.counters.responses.add(u64::from(outcome.responses));
        self.flush(io);
    }

    fn step(&mut self, input: &[u8], io: &mut Io) -> Advance {
        let mut output = Output {
            pool: &mut io.pool,
            next: &mut self.next,
            piece: &mut self.next_piece,
            sendfile_bytes: io.sending.sendfile_bytes,
            in_flight_bytes: self.in_flight_bytes,
            limit_bytes: io.limits.output_bytes,
        };
        self.protocol.advance(io.clock.now(), input, self.eof, &mut output)
    }

    /// Sends what waits, unless a send is in flight; moves on when nothing is left to send.
    fn flush(&mut self, io: &mut Io) {
        if self.in_flight_bytes == 0 && self.phase != Phase::Ending {
            if !self.next.is_empty() {
                let bytes = Bytes::Buffer(std::mem::take(&mut self.next));
                let more = self.next_piece.is_some();
                self.send(Outgoing { more, ..Outgoing::new(bytes) }, io);
            } else if let Some(bytes) = self.next_piece.take() {
                self.send(Outgoing::new(bytes), io);
            } else if let Phase::Flushing(close) = self.phase {
                return self.finish(close, io);
            }
        }
        self.settle(io);
    }

    /// All output is sent: closes as was asked.
    ///
    /// Closing a socket in which bytes lie unread sends an RST instead of a FIN, which may destroy
    /// the response on its way. A client that asked for the close may have sent more behind that,
    /// so its FIN is waited for as after a refusal; in return there is no receive to cancel.
    fn finish(&mut self, close: Close, io: &mut Io) {
        let lingers = close.how == Closing::Linger || close.why == Reason::Asked;
        if self.eof || !lingers {
            return self.end(io);
        }
        if io.ring.with_descriptor(&self.socket, sys::send_fin).is_err() {
            return self.fail(io);
        }
        let until_ns = io.after(io.limits.linger_timeout);
        self.phase = Phase::Lingering { dropped_bytes: 0, until_ns };
        self.settle(io);
    }

    fn send(&mut self, outgoing: Outgoing, io: &mut Io) {
        let left_bytes = outgoing.left_bytes();
        // A send that has taken nothing is watched on, as one that is still under way.
        if self.in_flight_bytes != left_bytes {
            self.in_flight_bytes = left_bytes;
            self.watch = SendWatch::new(io.now_ns(), io.limits.send_timeout);
        }
        match outgoing.rest_of_file() {
            None => io.ring.send(self.id, &self.socket, outgoing),
            Some(piece) => self.send_file(piece, outgoing, io),
        }
    }

    /// Sends from the pattern's file what the socket has room for, and waits where it has none.
    ///
    /// io_uring sends from a file only through a pipe, in a thread of the kernel's, so sendfile(2)
    /// does it here, which must not wait: for as long, the socket is non-blocking. An operation on
    /// it that the kernel has given to one of its threads may see that and report EAGAIN.
    fn send_file(&mut self, piece: Piece, outgoing: Outgoing, io: &mut Io) {
        io.ring_counters.sends_from_file.add(1);
        let pattern = &io.sending.pattern;
        let sent = io.ring.with_descriptor(&self.socket, |socket| {
            set_nonblocking(socket, true)?;
            let sent = pattern.send(socket, piece);
            set_nonblocking(socket, false)?;
            sent
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                io.ring.await_room(self.id, &self.socket, outgoing);
            }
            result => io.ring.report(Completion::Sent { id: self.id, result, outgoing }),
        }
    }

    /// The buffer of a send that is over goes back to the pool.
    fn release(&mut self, outgoing: Outgoing, io: &mut Io) {
        io.pool.put_back(outgoing.bytes);
        self.in_flight_bytes = 0;
    }

    /// The transport failed. While closing that ends the matter, and the reason stays.
    fn fail(&mut self, io: &mut Io) {
        if self.phase == Phase::Open {
            self.ended = Ended::Error;
        }
        self.end(io);
    }

    /// Ends the connection with an RST.
    fn reset(&mut self, why: Ended, io: &mut Io) {
        self.ended = why;
        if io.ring.with_descriptor(&self.socket, sys::reset_on_close).is_err() {
            io.ring_counters.resets_refused.add(1);
        }
        self.end(io);
    }

    /// Wants nothing more: operations are cancelled, and when the last is over it is gone.
    fn end(&mut self, io: &mut Io) {
        if self.phase == Phase::Ending {
            return;
        }
        self.phase = Phase::Ending;
        if self.receive != Receive::Stopped || self.in_flight_bytes > 0 {
            io.ring.cancel_all(&self.socket);
        }
        // Bytes that the kernel has not copied come back when they are acknowledged, or forgotten.
        if io.ring.sends_without_copy(self.id)
            && io.ring.with_descriptor(&self.socket, sys::disconnect).is_err()
        {
            io.ring_counters.resets_refused.add(1);
        }
    }

    /// Brings the receive operation and the timer in line with the state.
    fn settle(&mut self, io: &mut Io) {
        if self.phase == Phase::Ending {
            return;
        }
        let full = self.blocked && self.held.len() >= HELD_BYTES && self.phase == Phase::Open;
        match self.receive {
            Receive::Stopped if !full && !self.eof => {
                io.ring_counters.receives_started.add(1);
                io.ring.receive(self.id, &self.socket);
                self.receive = Receive::Running;
            }
            Receive::Running if full => {
                io.ring_counters.receives_paused.add(1);
                io.ring.cancel_receive(self.id);
                self.receive = Receive::Stopping;
            }
            _ => {}
        }
        io.timers.ensure(self.id.slot(), self.deadline_ns());
    }

    fn deadline_ns(&self) -> u64 {
        let look_at_ns = if self.in_flight_bytes > 0 { self.watch.look_at_ns() } else { NEVER };
        match self.phase {
            Phase::Open => self.wake_at_ns.min(look_at_ns),
            Phase::Flushing(_) => look_at_ns,
            Phase::Lingering { until_ns, .. } => until_ns,
            Phase::Ending => NEVER,
        }
    }
}
