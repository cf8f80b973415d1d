//! Kernel sockets, TCP or Unix, over one io_uring.
//!
//! ```text
//!   requests of a turn ─ staged ─▶ ┌──────────┐ ── send, connect, close ──▶ sockets
//!                                  │ io_uring │
//!   responses ◀─ provided buffers ─└──────────┘ ◀── receive, once for each connection
//! ```
//!
//! A turn is one system call: it submits the requests that the turn before has made, and waits for
//! what arrives. A receive is started once for each connection and goes on until the connection
//! ends. A request goes when it is submitted, and the kernel reports only those that did not go
//! whole; what is left of one is sent by an operation of its own, as room for it comes up. A
//! thread that spins makes no system call at all while there is nothing to do: the kernel says in
//! shared memory that something has arrived.
//!
//! The clock is read once for each turn, when its responses have arrived. That time ends their
//! latencies and starts those of the requests that follow, which go when the whole turn has been
//! seen to. The time in between, that of sending included, is counted as the server's, never the
//! other way round; over epoll it would be counted so too, as the time that a response waits in
//! its socket for those before it.
//!
//! Linux 6.1 or later is needed: an io_uring whose work is done when its thread asks for it
//! (`IORING_SETUP_DEFER_TASKRUN`).

#[expect(unsafe_code, reason = "memory shared with the kernel; the rules are in ring.rs")]
mod buffers;
#[expect(unsafe_code, reason = "memory shared with the kernel; the rules are at its head")]
mod ring;
mod token;

use super::sys;
use super::{Endpoint, Failure, Handler, Next, Transport};
use ring::{Completion, Ring};
use socket2::{Domain, Socket as Stream, Type};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io, mem};
use token::{Id, Op};

/// Bytes that all buffers hold together: what is received beyond waits until they are given back.
#[cfg(test)]
pub(super) const RECEIVE_MAX_BYTES: usize = buffers::BUFFER_BYTES * buffers::BUFFER_COUNT as usize;

/// What is under way of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Nothing,
    /// It goes when operations are submitted next.
    Request,
    /// What is left of it goes as there is room.
    Rest {
        /// Bytes that went before.
        written: usize,
    },
}

/// One connection.
#[derive(Debug, Default)]
struct Socket {
    stream: Option<OwnedFd>,
    id: Id,
    opening: bool,
    receiving: bool,
    sending: Sending,
}

impl Socket {
    /// Operations under way that do not end by themselves.
    fn operations(&self) -> impl Iterator<Item = Op> + use<> {
        let sends_rest = matches!(self.sending, Sending::Rest { .. });
        let all = [
            (self.opening, Op::Connect),
            (self.receiving, Op::Receive),
            (sends_rest, Op::SendRest),
        ];
        all.into_iter().filter(|(runs, _)| *runs).map(|(_, op)| op)
    }
}

/// The connections of one thread.
pub struct UringTransport {
    ring: Ring,
    /// Where connections lead, in turn.
    addresses: Vec<Domain>,
    sockets: Vec<Socket>,
    /// Most completions that are seen to in one turn.
    events: usize,
    reaped: VecDeque<Completion>,
    /// Connections whose request goes when operations are submitted next.
    staged: Vec<Id>,
    /// Why the ring is of no more use, once that is so.
    broken: Option<io::Error>,
}

impl fmt::Debug for UringTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UringTransport")
            .field("sockets", &self.sockets)
            .field("reaped", &self.reaped)
            .finish_non_exhaustive()
    }
}

impl UringTransport {
    /// Makes room for connections, which will be spread over `endpoints` in turn; none is opened.
    /// One turn sees to at most `events` completions. The thread that opens the first connection
    /// is the only one that may use the transport.
    ///
    /// # Errors
    /// A sentence where the kernel has no io_uring, or not what is needed of it; EINVAL where the
    /// path of a Unix socket is too long.
    ///
    /// # Panics
    /// Where there is no endpoint, or `events` is 0.
    pub fn new(endpoints: &[Endpoint], connections: usize, events: usize) -> io::Result<Self> {
        assert!(!endpoints.is_empty() && events > 0, "connections lead somewhere, turns do work");
        let addresses: Box<[_]> =
            endpoints.iter().map(Endpoint::sock_addr).collect::<io::Result<_>>()?;
        let socket = |slot| Socket { id: Id::first(slot), ..Socket::default() };
        Ok(Self {
            addresses: addresses.iter().map(socket2::SockAddr::domain).collect(),
            ring: Ring::new(addresses)?,
            sockets: (0..).take(connections).map(socket).collect(),
            events,
            reaped: VecDeque::new(),
            staged: Vec::with_capacity(connections),
            broken: None,
        })
    }

    fn try_open(&mut self, slot: usize) -> io::Result<()> {
        self.close(slot);
        let address = slot % self.addresses.len();
        let domain = self.addresses[address];
        // In blocking mode: it is the ring that waits.
        let stream = Stream::new(domain, Type::STREAM.cloexec(), None)?;
        if domain != Domain::UNIX {
            stream.set_tcp_nodelay(true)?;
        }
        let id = self.sockets[slot].id.next();
        let connecting = self.ring.connect(id, stream.as_fd(), address);
        let stream = Some(stream.into());
        self.sockets[slot] = Socket { stream, id, opening: true, ..Socket::default() };
        self.note(connecting);
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        let socket = &mut self.sockets[slot];
        let Some(stream) = socket.stream.take() else { return };
        let (id, operations) = (socket.id, socket.operations());
        for op in operations {
            let cancelled = self.ring.cancel(op, id);
            self.note(cancelled);
        }
        let closed = self.ring.close(id, stream);
        self.note(closed);
    }

    /// Keeps why the ring is broken for the next turn, which ends the run.
    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.broken.get_or_insert(error);
        }
    }

    /// Does what the handler answered.
    fn apply(&mut self, slot: usize, next: Next, handler: &mut impl Handler) {
        match next {
            Next::Wait => {}
            Next::Send => self.send(slot, handler),
            Next::Reopen => self.open(slot, handler),
            Next::Close => self.close(slot),
        }
    }

    fn fail(&mut self, slot: usize, failure: Failure, errno: i32, handler: &mut impl Handler) {
        let next = handler.failed(self.now_ns(), slot, failure, errno);
        debug_assert!(matches!(next, Next::Reopen | Next::Close), "a failed connection is over");
        self.apply(slot, next, handler);
    }

    /// Whether it names the connection that its slot has now.
    fn is_current(&self, id: Id) -> bool {
        let socket = &self.sockets[id.slot()];
        socket.id == id && socket.stream.is_some()
    }

    /// What was staged has gone, but for what the completions from `first` on are about.
    fn settle_sends(&mut self, first: usize, handler: &mut impl Handler) {
        for index in first..self.reaped.len() {
            let Completion { op, id, result, .. } = self.reaped[index];
            if op == Op::Send && self.is_current(id) {
                self.handle_written(id.slot(), 0, result, handler);
            }
        }
        if !self.ring.has_submitted() {
            return;
        }
        let staged = mem::take(&mut self.staged);
        for id in &staged {
            if self.is_current(*id) && self.sockets[id.slot()].sending == Sending::Request {
                self.finish_sending(id.slot(), handler);
            }
        }
        // What the handler has sent meanwhile is staged behind it, and its memory used again.
        let meanwhile = mem::replace(&mut self.staged, staged);
        self.staged.clear();
        self.staged.extend(meanwhile);
    }

    /// So many more bytes of a request went, of which `written` went before.
    fn handle_written(
        &mut self,
        slot: usize,
        written: usize,
        result: Result<usize, i32>,
        handler: &mut impl Handler,
    ) {
        let written = match result {
            Ok(count) => written + count,
            Err(libc::EAGAIN | libc::EINTR) => written,
            Err(errno) => return self.fail(slot, Failure::Write, errno, handler),
        };
        if written < handler.request(slot).len() {
            self.send_rest(slot, written, handler);
        } else {
            self.finish_sending(slot, handler);
        }
    }

    fn send_rest(&mut self, slot: usize, written: usize, handler: &mut impl Handler) {
        let socket = &mut self.sockets[slot];
        let Some(stream) = &socket.stream else { return };
        socket.sending = Sending::Rest { written };
        let rest = &handler.request(slot)[written..];
        let started = self.ring.send_rest(socket.id, stream.as_fd(), rest);
        self.note(started);
    }

    fn finish_sending(&mut self, slot: usize, handler: &mut impl Handler) {
        self.sockets[slot].sending = Sending::Nothing;
        let next = handler.sent(slot);
        self.apply(slot, next, handler);
    }

    fn serve(&mut self, completion: Completion, now_ns: u64, handler: &mut impl Handler) {
        let Completion { op, id, result, .. } = completion;
        if !self.is_current(id) {
            // Of a connection that was closed; what it brought goes back unread.
            if let Some(filled) = completion.filled {
                self.ring.give_back(filled);
            }
            return;
        }
        match op {
            Op::Connect => self.finish_opening(id.slot(), result, handler),
            Op::Receive => self.handle_received(completion, now_ns, handler),
            Op::SendRest => {
                if let Sending::Rest { written } = self.sockets[id.slot()].sending {
                    self.handle_written(id.slot(), written, result, handler);
                }
            }
            // Seen to before, or nothing to see to.
            Op::Send | Op::Quiet => {}
        }
    }

    fn finish_opening(
        &mut self,
        slot: usize,
        result: Result<usize, i32>,
        handler: &mut impl Handler,
    ) {
        self.sockets[slot].opening = false;
        if let Err(errno) = result {
            return self.fail(slot, Failure::Connect, errno, handler);
        }
        self.receive(slot);
        let next = handler.opened(self.now_ns(), slot);
        self.apply(slot, next, handler);
    }

    fn receive(&mut self, slot: usize) {
        let socket = &mut self.sockets[slot];
        let Some(stream) = &socket.stream else { return };
        socket.receiving = true;
        let started = self.ring.receive(socket.id, stream.as_fd());
        self.note(started);
    }

    fn handle_received(&mut self, completion: Completion, now_ns: u64, handler: &mut impl Handler) {
        let Completion { id, result, more, filled, .. } = completion;
        let slot = id.slot();
        self.sockets[slot].receiving = more;
        let next = match (filled, result) {
            (Some(filled), _) => {
                let reusable = self.sockets[slot].sending == Sending::Nothing && !self.ends(id);
                let bytes = self.ring.bytes(&filled);
                let next = handler.received(now_ns, slot, bytes, reusable);
                self.ring.give_back(filled);
                next
            }
            (None, Ok(_)) => return self.apply(slot, handler.closed(now_ns, slot), handler),
            // There was no buffer: those that are given back in this turn will do.
            (None, Err(libc::ENOBUFS | libc::EINTR | libc::EAGAIN)) => Next::Wait,
            (None, Err(errno)) => return self.fail(slot, Failure::Read, errno, handler),
        };
        if !more && matches!(next, Next::Wait | Next::Send) {
            self.receive(slot);
        }
        self.apply(slot, next, handler);
    }

    /// Whether the next completion says that the peer has closed this connection: the kernel puts
    /// the end of a stream right behind its last bytes, if it has come with them.
    fn ends(&self, id: Id) -> bool {
        self.reaped.front().is_some_and(|behind| {
            behind.op == Op::Receive && behind.id == id && behind.filled.is_none()
        })
    }
}

impl Transport for UringTransport {
    fn now_ns(&self) -> u64 {
        sys::monotonic_ns()
    }

    fn open(&mut self, slot: usize, handler: &mut impl Handler) {
        let enabled = self.ring.enable();
        self.note(enabled);
        if let Err(error) = self.try_open(slot) {
            let errno = error.raw_os_error().unwrap_or(0);
            self.fail(slot, Failure::Connect, errno, handler);
        }
    }

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        let socket = &mut self.sockets[slot];
        let Some(stream) = &socket.stream else { return };
        match self.ring.send(socket.id, stream.as_fd(), handler.request(slot)) {
            Ok(true) => {
                socket.sending = Sending::Request;
                self.staged.push(socket.id);
            }
            Ok(false) => self.send_rest(slot, 0, handler),
            Err(error) => self.note(Err(error)),
        }
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        // What was left over from the turn before is worth returning for.
        let entered = self.ring.wait(if self.reaped.is_empty() { wait_ns } else { 0 })?;
        let first = self.reaped.len();
        self.ring.reap(&mut self.reaped);
        // The kernel sends and receives in the call, which is work even if nothing comes of it.
        if !entered {
            handler.looked(&sys::monotonic_ns, !self.reaped.is_empty());
        }
        self.settle_sends(first, handler);
        let now_ns = self.now_ns();
        for _ in 0..self.events {
            let Some(completion) = self.reaped.pop_front() else { break };
            self.serve(completion, now_ns, handler);
        }
        Ok(())
    }
}
