//! Kernel sockets, TCP or Unix, over one edge-triggered epoll.
//!
//! A socket is added to the epoll once, for reading and writing, when it is opened; there is no
//! further `epoll_ctl`. An exchange costs one `recv` and one `send`, and its share of an
//! `epoll_wait`. A read that does not fill the buffer has emptied the socket, so there is no second
//! read that would end in EAGAIN: bytes that come later raise a new edge, and a FIN that came with
//! them is seen as EPOLLRDHUP, after which reading goes on to the end.
//!
//! The clock is read once for each read, right after it. That time ends the latency of the response
//! just read, and starts that of the request which is written next: the time that parsing takes in
//! between, some tens of nanoseconds, is counted as the server's, never the other way round.

use super::sys::{self, Epoll, Event};
use super::{Endpoint, Failure, Handler, Next, Transport};
use socket2::{Domain, SockAddr, Socket as Stream, Type};
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Bytes read at once.
pub(super) const RECEIVE_BYTES: usize = 64 * 1024;

/// Most events taken in one turn of a closed loop: enough to share the cost of waiting.
pub const EVENTS_CLOSED: usize = 128;

/// Most events taken in one turn of an open loop: few enough that the turn is over soon, and a
/// request that falls due meanwhile is not late by much.
pub const EVENTS_OPEN: usize = 8;

/// Most reads on one connection in one turn, so that a long body does not keep the others waiting.
pub(super) const READS_MAX: usize = 16;

/// One connection.
#[derive(Debug, Default)]
struct Socket {
    stream: Option<Stream>,
    opening: bool,
    /// Bytes of the request that are written, while some are not.
    written: Option<usize>,
    /// The peer has closed its side; there may be bytes left to read.
    peer_closed: bool,
    /// In `unfinished`: reading stopped at [`READS_MAX`], and no edge will tell to go on.
    queued: bool,
}

/// What became of one read.
enum ReadOutcome {
    /// The socket is empty, or not ours any more.
    Done,
    /// There may be more.
    More,
}

/// The connections of one thread.
#[derive(Debug)]
pub struct EpollTransport {
    epoll: Epoll,
    /// Where connections lead, in turn.
    addresses: Vec<SockAddr>,
    sockets: Vec<Socket>,
    events: Vec<Event>,
    buffer: Vec<u8>,
    /// Slots with bytes that were left unread for the sake of the others.
    unfinished: VecDeque<usize>,
}

impl EpollTransport {
    /// Makes room for connections, which will be spread over `endpoints` in turn; none is opened.
    /// One turn takes at most `events` events.
    ///
    /// # Errors
    /// EMFILE or ENFILE where there is no descriptor for the epoll, EINVAL where the path of a Unix
    /// socket is too long.
    ///
    /// # Panics
    /// Where there is no endpoint, or `events` is 0.
    pub fn new(endpoints: &[Endpoint], connections: usize, events: usize) -> io::Result<Self> {
        assert!(!endpoints.is_empty() && events > 0, "connections lead somewhere, turns do work");
        let mut sockets = Vec::new();
        sockets.resize_with(connections, Socket::default);
        Ok(Self {
            epoll: Epoll::new()?,
            addresses: endpoints.iter().map(Endpoint::sock_addr).collect::<io::Result<_>>()?,
            sockets,
            events: vec![Event::default(); events],
            buffer: vec![0; RECEIVE_BYTES],
            unfinished: VecDeque::with_capacity(connections),
        })
    }

    fn try_open(&mut self, slot: usize) -> io::Result<()> {
        let address = &self.addresses[slot % self.addresses.len()];
        let stream = Stream::new(address.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
        if address.domain() != Domain::UNIX {
            stream.set_tcp_nodelay(true)?;
        }
        match stream.connect(address) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        self.epoll.add(&stream, slot)?;
        self.sockets[slot] = Socket {
            stream: Some(stream),
            opening: true,
            // NB: a slot that is in the queue stays there; it is read to no effect.
            queued: self.sockets[slot].queued,
            ..Socket::default()
        };
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        // Closing the only descriptor also takes the socket out of the epoll.
        self.sockets[slot].stream = None;
    }

    /// Does what the handler answered.
    fn apply(&mut self, slot: usize, next: Next, handler: &mut impl Handler) {
        match next {
            Next::Wait => {}
            Next::Send => self.send(slot, handler),
            Next::Reopen => {
                self.close(slot);
                self.open(slot, handler);
            }
            Next::Close => self.close(slot),
        }
    }

    fn fail(
        &mut self,
        slot: usize,
        failure: Failure,
        error: &io::Error,
        handler: &mut impl Handler,
    ) {
        let errno = error.raw_os_error().unwrap_or(0);
        let next = handler.failed(self.now_ns(), slot, failure, errno);
        debug_assert!(matches!(next, Next::Reopen | Next::Close), "a failed connection is over");
        self.apply(slot, next, handler);
    }

    /// Writes what is left of the request.
    fn write(&mut self, slot: usize, handler: &mut impl Handler) {
        let socket = &mut self.sockets[slot];
        let (Some(stream), Some(written)) = (&mut socket.stream, &mut socket.written) else {
            return;
        };
        let request = handler.request(slot);
        while *written < request.len() {
            match stream.write(&request[*written..]) {
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An edge tells when there is room again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(slot, Failure::Write, &error, handler),
            }
        }
        socket.written = None;
        let next = handler.sent(slot);
        self.apply(slot, next, handler);
    }

    fn serve(&mut self, event: Event, handler: &mut impl Handler) {
        let slot = event.slot();
        if self.sockets[slot].opening {
            self.finish_opening(slot, handler);
        } else if event.is_writable() && self.sockets[slot].written.is_some() {
            self.write(slot, handler);
        }
        if event.is_peer_closed() {
            self.sockets[slot].peer_closed = true;
        }
        if event.is_readable() {
            self.read_all(slot, handler);
        }
    }

    fn finish_opening(&mut self, slot: usize, handler: &mut impl Handler) {
        let socket = &mut self.sockets[slot];
        let Some(stream) = &socket.stream else { return };
        match stream.take_error() {
            Ok(None) => {
                socket.opening = false;
                let next = handler.opened(self.now_ns(), slot);
                self.apply(slot, next, handler);
            }
            Ok(Some(error)) | Err(error) => self.fail(slot, Failure::Connect, &error, handler),
        }
    }

    fn read_all(&mut self, slot: usize, handler: &mut impl Handler) {
        for _ in 0..READS_MAX {
            if matches!(self.read(slot, handler), ReadOutcome::Done) {
                return;
            }
        }
        if !self.sockets[slot].queued {
            self.sockets[slot].queued = true;
            self.unfinished.push_back(slot);
        }
    }

    fn read(&mut self, slot: usize, handler: &mut impl Handler) -> ReadOutcome {
        let socket = &mut self.sockets[slot];
        let Some(stream) = &mut socket.stream else { return ReadOutcome::Done };
        if socket.opening {
            return ReadOutcome::Done;
        }
        let next = match stream.read(&mut self.buffer) {
            Ok(0) => handler.closed(sys::monotonic_ns(), slot),
            Ok(count) => {
                let now_ns = sys::monotonic_ns();
                let reusable = !socket.peer_closed && socket.written.is_none();
                let drained = count < self.buffer.len() && !socket.peer_closed;
                let next = handler.received(now_ns, slot, &self.buffer[..count], reusable);
                if !drained && matches!(next, Next::Wait | Next::Send) {
                    self.apply(slot, next, handler);
                    return ReadOutcome::More;
                }
                next
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::Wait,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return ReadOutcome::More,
            Err(error) => {
                self.fail(slot, Failure::Read, &error, handler);
                return ReadOutcome::Done;
            }
        };
        self.apply(slot, next, handler);
        ReadOutcome::Done
    }

    /// Goes on with the connections that had more to read than one turn allows.
    fn read_unfinished(&mut self, handler: &mut impl Handler) {
        for _ in 0..self.unfinished.len() {
            let Some(slot) = self.unfinished.pop_front() else { return };
            self.sockets[slot].queued = false;
            self.read_all(slot, handler);
        }
    }
}

impl Transport for EpollTransport {
    fn now_ns(&self) -> u64 {
        sys::monotonic_ns()
    }

    fn open(&mut self, slot: usize, handler: &mut impl Handler) {
        if let Err(error) = self.try_open(slot) {
            self.fail(slot, Failure::Connect, &error, handler);
        }
    }

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        self.sockets[slot].written = Some(0);
        self.write(slot, handler);
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        // What is done here is worth returning for, and may be followed by more.
        let is_idle = self.unfinished.is_empty();
        let wait_ns = if is_idle { wait_ns } else { 0 };
        // NB: before the wait, so that no event in hand is of a socket that was replaced here.
        self.read_unfinished(handler);
        let count = self.epoll.wait(&mut self.events, wait_ns)?;
        if is_idle {
            handler.looked(&sys::monotonic_ns, count > 0);
        }
        for index in 0..count {
            self.serve(self.events[index], handler);
        }
        Ok(())
    }
}
