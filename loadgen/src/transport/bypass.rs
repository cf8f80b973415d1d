//! Userspace TCP over a queue that is polled and never waited for: the engine's client side.
//!
//! ```text
//!   worker ── open, send ──▶ Bypass ── connect, with ──▶ engine ◀─▶ queue (memif, AF_XDP, DPDK)
//!     ▲                                                    │
//!     └──── opened, received, closed, failed ── Client ◀───┘  ready, connect_failed, closed
//! ```
//!
//! A response is parsed where it lies, in the frame that brought it, and the request that follows
//! it is put into the connection's send buffer in the same call; both leave before the poll ends.
//! The clock is read once for each turn, before the burst is taken: a response is as late as the
//! turn that found it, and never earlier than it came.
//!
//! Handshakes are ramped: at most `CONNECTING_MAX` are under way, and a turn begins at most
//! `CONNECTS_MAX`, so that responses do not wait while connections open.

mod aliases;
mod client;
#[cfg(feature = "dpdk")]
mod dpdk;
#[expect(unsafe_code, reason = "a borrow for the time of one poll, through a value that stays")]
mod loan;
mod memif;
mod network;
mod probe;
mod source;
mod xdp;

pub use network::{Dpdk, Driver, Settings};
pub(crate) use network::{Lane, Network, Stack};
pub(crate) use probe::{peers, reach};
pub use queue_memif::Role;
pub use source::Sources;

use super::{Failure, Handler, Next, Transport, sys};
use aliases::AliasedQueue;
use client::{Client, errno, put};
use engine::{Advance, Close, ConnId, ConnectError, Engine, Native, Tcp};
use loan::Loan;
use queue::Queue;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use tcp::Instant;

/// Handshakes begun in one turn.
const CONNECTS_MAX: usize = 32;

/// How long the resets of all connections may take to leave: those of 100,000 take milliseconds.
const LEAVE_NS: u64 = 1_000_000_000;

/// How long the peer then has to take the last of them from a ring that goes away with us.
const LAST_WORDS_NS: u64 = 20_000_000;

/// A queue, and whether anybody is at its other end.
pub(crate) trait Link: Queue {
    /// False where what is sent is lost for certain, as the last poll found.
    fn is_up(&self) -> bool;
}

/// What is read once for each turn.
pub(crate) trait Clock {
    /// Nanoseconds that never run backwards.
    fn now_ns(&self) -> u64;
}

/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonic;

impl Clock for Monotonic {
    fn now_ns(&self) -> u64 {
        sys::monotonic_ns()
    }
}

/// The connections of one thread, over one queue.
pub(crate) struct Bypass<Q, T: Tcp, C = Monotonic> {
    engine: Engine<Q, Client, T>,
    loan: Rc<Loan>,
    clock: C,
    /// The latest reading of the clock, which the next turn begins with.
    read_ns: Cell<u64>,
    was_up: bool,
}

impl<Q: Link> Bypass<AliasedQueue<Q>, Native> {
    /// Makes room for the connections of a stack on a queue; none is opened.
    pub(crate) fn new(queue: Q, stack: Stack) -> Self {
        let tcp = Native::new(&stack.config, queue.caps().mtu);
        Self::with_tcp(queue, tcp, stack, Monotonic)
    }
}

impl<Q: Link, T: Tcp, C: Clock> Bypass<AliasedQueue<Q>, T, C> {
    /// The same by any TCP and any clock.
    pub(crate) fn with_tcp(queue: Q, tcp: T, stack: Stack, clock: C) -> Self {
        let Stack { config, aliases, peers, connections } = stack;
        let loan = Rc::new(Loan::default());
        let client = Client::new(Rc::clone(&loan), peers, connections);
        let queue = AliasedQueue::new(queue, aliases);
        let engine = Engine::new(queue, client, tcp, config);
        let read_ns = Cell::new(clock.now_ns());
        Self { engine, loan, clock, read_ns, was_up: false }
    }
}

impl<Q: Link, T: Tcp, C: Clock> Bypass<Q, T, C> {
    /// Runs the engine once. True where something happened.
    fn turn(&mut self, now_ns: u64, handler: &mut dyn Handler) -> bool {
        let now = Instant::from_nanos(now_ns);
        let client = self.engine.app();
        (client.now_ns, client.has_told) = (now_ns, false);
        let Self { engine, loan, .. } = self;
        let frames = loan.lend(handler, || engine.poll(now));
        let is_up = engine.queue().is_up();
        if self.was_up && !is_up {
            self.lose_link(now, handler);
        }
        self.was_up = is_up;
        let client = self.engine.app();
        let has_told = client.has_told;
        if client.waiting() > 0 {
            self.begin_opening(now, handler);
        }
        frames > 0 || has_told
    }

    /// Begins the handshakes that may begin now.
    fn begin_opening(&mut self, now: Instant, handler: &mut dyn Handler) {
        for _ in 0..self.engine.app().waiting().min(CONNECTS_MAX) {
            let Some((slot, peer, token)) = self.engine.app().next_to_open() else { return };
            if !self.was_up {
                self.engine.app().fail(slot, libc::ENETDOWN, handler);
                continue;
            }
            match self.engine.connect(now, peer, token) {
                Ok(()) => self.engine.app().begins(slot),
                Err(ConnectError::TableFull) => return self.engine.app().put_back(slot),
                Err(why) => self.engine.app().fail(slot, errno(why), handler),
            }
        }
    }

    /// There is nobody at the other end any more: connections are of no more use.
    fn lose_link(&mut self, now: Instant, handler: &mut dyn Handler) {
        for (slot, id) in self.engine.app().held() {
            self.engine.app().fail(slot, libc::ENETDOWN, handler);
            if let Some(id) = id {
                self.close(now, id, Close::Reset);
            }
        }
    }

    fn close(&mut self, now: Instant, id: ConnId, how: Close) {
        self.engine.act(now, id, Advance { close: Some(how), ..Advance::IDLE });
    }

    /// Polls until `is_over`, or for so long.
    fn turn_until(&mut self, length_ns: u64, is_over: impl Fn(&Engine<Q, Client, T>) -> bool) {
        let began_ns = self.now_ns();
        let mut now_ns = began_ns;
        while now_ns - began_ns < length_ns && !is_over(&self.engine) {
            self.turn(now_ns, &mut Nobody);
            now_ns = self.now_ns();
        }
    }

    /// Whether every connection has ended, those that the slots gave up included.
    pub(crate) fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }
}

impl<Q: Link, T: Tcp, C: Clock> Transport for Bypass<Q, T, C> {
    fn sleeps(&self) -> bool {
        false
    }

    fn now_ns(&self) -> u64 {
        self.read_ns.set(self.clock.now_ns());
        self.read_ns.get()
    }

    fn open(&mut self, slot: usize, _handler: &mut impl Handler) {
        if let Some(id) = self.engine.app().want(slot) {
            let now = Instant::from_nanos(self.now_ns());
            self.close(now, id, Close::Both);
        }
    }

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        let now = Instant::from_nanos(self.now_ns());
        let mut next = Next::Send;
        while next == Next::Send {
            let Some(id) = self.engine.app().id(slot) else { return };
            let request = handler.request(slot);
            // A connection that has ended takes nothing; how it ended is told by the next poll.
            let rest = self.engine.with(now, id, |_, output| put(request, 0, output));
            let rest = rest.unwrap_or(Some(0));
            self.engine.app().set_written(slot, rest);
            if rest.is_some() {
                return self.engine.act(now, id, Advance { wants_space: true, ..Advance::IDLE });
            }
            next = handler.sent(slot);
        }
        match next {
            Next::Wait | Next::Send => {}
            Next::Reopen => self.open(slot, handler),
            Next::Close => {
                if let Some(id) = self.engine.app().forget(slot) {
                    self.close(now, id, Close::Both);
                }
            }
        }
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        // The caller has read the clock to know how long to wait.
        let mut now_ns = self.read_ns.get();
        let until_ns = now_ns.saturating_add(wait_ns);
        while !self.turn(now_ns, handler) {
            std::hint::spin_loop();
            now_ns = self.now_ns();
            // A turn that may have begun handshakes is work.
            if self.engine.app().waiting() == 0 {
                handler.looked(&|| now_ns, false);
            }
            if now_ns >= until_ns {
                break;
            }
        }
        Ok(())
    }

    /// By a reset for each: a FIN would have to be answered, and we are about to be gone.
    fn leave(&mut self) {
        let now = Instant::from_nanos(self.now_ns());
        for id in self.engine.app().forget_all() {
            self.close(now, id, Close::Reset);
        }
        // Handshakes under way, and connections that were on their way out.
        self.engine.drain(now, now);
        self.turn_until(LEAVE_NS, Engine::is_drained);
        self.turn_until(LAST_WORDS_NS, |_| false);
    }
}

/// Hears what happens when nobody wants to know any more.
#[derive(Debug)]
struct Nobody;

impl Handler for Nobody {
    fn opened(&mut self, _now_ns: u64, _slot: usize) -> Next {
        Next::Close
    }

    fn received(&mut self, _: u64, _slot: usize, _bytes: &[u8], _reusable: bool) -> Next {
        Next::Close
    }

    fn closed(&mut self, _now_ns: u64, _slot: usize) -> Next {
        Next::Close
    }

    fn failed(&mut self, _now_ns: u64, _slot: usize, _failure: Failure, _errno: i32) -> Next {
        Next::Close
    }

    fn request(&self, _slot: usize) -> &[u8] {
        &[]
    }
}

#[cfg(test)]
mod tests;
