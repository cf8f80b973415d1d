//! The application on the engine: slots that are opened, told of, written on and closed.

use super::loan::Loan;
use crate::transport::{Failure, Handler, Next};
use engine::{Advance, App, Close, Closed, ConnId, ConnectError, Event, Outbox};
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::rc::Rc;
use tcp::Instant;

/// Handshakes under way at a time: half of the backlog that the servers have unless told otherwise.
///
/// Those that are open are under load already, and with each of them the round trip of a handshake
/// grows: with a quarter of it, 100,000 connections were not all open after ten seconds.
pub(super) const CONNECTING_MAX: usize = 2048;

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody wants it open.
    Closed,
    /// It is in the list of those to be opened.
    Waiting,
    /// Its handshake is under way.
    Opening,
    /// It is open.
    Open {
        id: ConnId,
        /// The handler knows it.
        is_told: bool,
    },
}

/// One connection of the load, through all its incarnations.
#[derive(Clone, Copy, Debug)]
struct Slot {
    phase: Phase,
    /// Which incarnation it is: what is told of an older one is void.
    generation: u32,
    /// Bytes of the request that are put, while some are not.
    written: Option<usize>,
}

/// What the engine keeps of a connection: whose incarnation it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    slot: u32,
    generation: u32,
}

impl Tag {
    fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves that were put together")]
    fn of(token: u64) -> Self {
        Self { slot: token as u32, generation: (token >> 32) as u32 }
    }
}

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Client {
    loan: Rc<Loan>,
    slots: Vec<Slot>,
    /// Where connections lead, in turn.
    peers: Vec<SocketAddrV4>,
    /// Slots to be opened, in order; those that are waiting no more are passed over.
    waiting: VecDeque<usize>,
    /// Handshakes under way, those that nobody waits for any more among them.
    connecting: usize,
    /// The time of this poll.
    pub(super) now_ns: u64,
    /// Whether the handler was told anything in this poll.
    pub(super) has_told: bool,
}

impl Client {
    pub(super) fn new(loan: Rc<Loan>, peers: Vec<SocketAddrV4>, connections: usize) -> Self {
        let slot = Slot { phase: Phase::Closed, generation: 0, written: None };
        Self {
            loan,
            slots: vec![slot; connections],
            peers,
            waiting: VecDeque::with_capacity(connections),
            connecting: 0,
            now_ns: 0,
            has_told: false,
        }
    }

    /// The slot is to be opened. Returns the connection that it had, if it had one.
    pub(super) fn want(&mut self, slot: usize) -> Option<ConnId> {
        let open = self.forget(slot);
        self.wait(slot);
        open
    }

    fn wait(&mut self, slot: usize) {
        self.slots[slot].phase = Phase::Waiting;
        self.waiting.push_back(slot);
    }

    /// What the slot was is over, whatever the engine will still tell of it.
    pub(super) fn forget(&mut self, slot: usize) -> Option<ConnId> {
        let state = &mut self.slots[slot];
        let open = match state.phase {
            Phase::Open { id, .. } => Some(id),
            Phase::Closed | Phase::Waiting | Phase::Opening => None,
        };
        let generation = state.generation.wrapping_add(1);
        *state = Slot { phase: Phase::Closed, generation, written: None };
        open
    }

    /// No slot is of interest any more. Returns the connections that are open.
    pub(super) fn forget_all(&mut self) -> Vec<ConnId> {
        self.waiting.clear();
        (0..self.slots.len()).filter_map(|slot| self.forget(slot)).collect()
    }

    /// The next slot to be opened, with its peer and token, if a handshake may begin now.
    pub(super) fn next_to_open(&mut self) -> Option<(usize, SocketAddrV4, u64)> {
        if self.connecting >= CONNECTING_MAX {
            return None;
        }
        while let Some(slot) = self.waiting.pop_front() {
            if self.slots[slot].phase == Phase::Waiting {
                let peer = self.peers[slot % self.peers.len()];
                return Some((slot, peer, self.tag(slot).token()));
            }
        }
        None
    }

    /// Slots that wait to be opened, or a few more.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The handshake of a slot has begun.
    pub(super) fn begins(&mut self, slot: usize) {
        self.slots[slot].phase = Phase::Opening;
        self.connecting += 1;
    }

    /// The handshake of a slot could not begin for now: it is the next to be opened.
    pub(super) fn put_back(&mut self, slot: usize) {
        self.waiting.push_front(slot);
    }

    /// A slot could not be opened, or was lost.
    pub(super) fn fail(&mut self, slot: usize, errno: i32, handler: &mut dyn Handler) {
        self.has_told = true;
        let failure = match self.slots[slot] {
            Slot { phase: Phase::Open { .. }, written: None, .. } => Failure::Read,
            Slot { phase: Phase::Open { .. }, written: Some(_), .. } => Failure::Write,
            _ => Failure::Connect,
        };
        self.forget(slot);
        let next = handler.failed(self.now_ns, slot, failure, errno);
        debug_assert!(matches!(next, Next::Reopen | Next::Close), "a failed connection is over");
        if next == Next::Reopen {
            self.wait(slot);
        }
    }

    /// Slots that are open or being opened, with the connection if there is one. Walks over all.
    pub(super) fn held(&self) -> Vec<(usize, Option<ConnId>)> {
        let held = |(slot, state): (usize, &Slot)| match state.phase {
            Phase::Open { id, .. } => Some((slot, Some(id))),
            Phase::Opening => Some((slot, None)),
            Phase::Closed | Phase::Waiting => None,
        };
        self.slots.iter().enumerate().filter_map(held).collect()
    }

    /// The connection of a slot that is open.
    pub(super) fn id(&self, slot: usize) -> Option<ConnId> {
        match self.slots[slot].phase {
            Phase::Open { id, .. } => Some(id),
            Phase::Closed | Phase::Waiting | Phase::Opening => None,
        }
    }

    /// Whether the request of a slot is put only in part.
    pub(super) fn set_written(&mut self, slot: usize, written: Option<usize>) {
        self.slots[slot].written = written;
    }

    fn tag(&self, slot: usize) -> Tag {
        let generation = self.slots[slot].generation;
        Tag { slot: u32::try_from(slot).expect("the engine's table is no larger"), generation }
    }

    /// The slot whose present incarnation is meant.
    fn slot_of(&self, tag: Tag) -> Option<usize> {
        let slot = tag.slot as usize;
        (self.slots[slot].generation == tag.generation).then_some(slot)
    }
}

/// Puts what there is room for of a request, from `written` on; returns how much of it is put then,
/// `None` where that is all.
pub(super) fn put(request: &[u8], written: usize, output: &mut Outbox<'_>) -> Option<usize> {
    let rest = &request[written..];
    let count = rest.len().min(output.space());
    output.put(&rest[..count]);
    (count < rest.len()).then_some(written + count)
}

/// One call of [`App::ready`].
struct Turn<'a, 'o> {
    client: &'a mut Client,
    handler: &'a mut dyn Handler,
    slot: usize,
    output: &'a mut Outbox<'o>,
    /// The slot has closed this connection, and may have begun to wait for another.
    is_over: bool,
}

impl Turn<'_, '_> {
    fn apply(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::Send => self.write(0),
            Next::Reopen => {
                self.is_over = true;
                self.client.want(self.slot);
            }
            Next::Close => {
                self.is_over = true;
                self.client.forget(self.slot);
            }
        }
    }

    /// Writes the request from `written` on.
    fn write(&mut self, written: usize) {
        let rest = put(self.handler.request(self.slot), written, self.output);
        self.client.set_written(self.slot, rest);
        if rest.is_none() {
            let next = self.handler.sent(self.slot);
            self.apply(next);
        }
    }

    fn run(&mut self, event: Event, input: &[u8]) {
        let (now_ns, slot) = (self.client.now_ns, self.slot);
        let state = &mut self.client.slots[slot];
        match (&mut state.phase, state.written) {
            (Phase::Open { is_told, .. }, _) if !*is_told => {
                *is_told = true;
                let next = self.handler.opened(now_ns, slot);
                self.apply(next);
            }
            (_, Some(written)) => self.write(written),
            _ => {}
        }
        if !input.is_empty() && !self.is_over {
            let is_sent = self.client.slots[slot].written.is_none();
            let reusable = is_sent && event != Event::Eof;
            let next = self.handler.received(now_ns, slot, input, reusable);
            self.apply(next);
        }
        if event == Event::Eof && !self.is_over {
            let next = self.handler.closed(now_ns, slot);
            self.apply(next);
        }
    }
}

impl App for Client {
    type Conn = Tag;

    /// Nothing listens, so nobody opens.
    fn opened(&mut self, _now: Instant, _id: ConnId, _peer: SocketAddrV4) -> Option<Tag> {
        None
    }

    fn connected(
        &mut self,
        _now: Instant,
        id: ConnId,
        _peer: SocketAddrV4,
        token: u64,
    ) -> Option<Tag> {
        self.connecting -= 1;
        let tag = Tag::of(token);
        let slot = self.slot_of(tag)?;
        self.slots[slot].phase = Phase::Open { id, is_told: false };
        Some(tag)
    }

    fn connect_failed(&mut self, token: u64, why: ConnectError) {
        self.connecting -= 1;
        if let Some(slot) = self.slot_of(Tag::of(token)) {
            let loan = Rc::clone(&self.loan);
            loan.with(|handler| self.fail(slot, errno(why), handler));
        }
    }

    fn ready(
        &mut self,
        _now: Instant,
        conn: &mut Tag,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        let close = Advance { consumed: input.len(), close: Some(Close::Both), ..Advance::IDLE };
        let Some(slot) = self.slot_of(*conn) else { return close };
        self.has_told = true;
        let loan = Rc::clone(&self.loan);
        loan.with(|handler| {
            let mut turn = Turn { client: self, handler, slot, output, is_over: false };
            turn.run(event, input);
            if turn.is_over {
                return close;
            }
            let wants_space = self.slots[slot].written.is_some();
            Advance { consumed: input.len(), wants_space, ..Advance::IDLE }
        })
    }

    fn closed(&mut self, conn: Tag, why: Closed) {
        let Some(slot) = self.slot_of(conn) else { return };
        let loan = Rc::clone(&self.loan);
        loan.with(|handler| match why {
            Closed::ResetByPeer => self.fail(slot, libc::ECONNRESET, handler),
            Closed::TimedOut => self.fail(slot, libc::ETIMEDOUT, handler),
            // We close by giving the incarnation up, so that it is the peer who did.
            Closed::Finished | Closed::ResetByApp | Closed::DrainDeadline => {
                self.fail(slot, libc::ECONNABORTED, handler);
            }
        });
    }
}

/// As the kernel would call it.
pub(super) fn errno(why: ConnectError) -> i32 {
    match why {
        ConnectError::Refused => libc::ECONNREFUSED,
        ConnectError::TimedOut => libc::ETIMEDOUT,
        ConnectError::Unreachable => libc::EHOSTUNREACH,
        ConnectError::NoPort => libc::EADDRNOTAVAIL,
        ConnectError::TableFull => libc::ENOBUFS,
        ConnectError::Unaddressable => libc::EINVAL,
        ConnectError::Draining => libc::ESHUTDOWN,
    }
}
