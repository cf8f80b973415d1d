//! The connection table, and the lists of connections that have something to do.

use crate::app::{Close, Closed, ConnId, Event};
use crate::flow::{Flow, FlowTable};
use crate::packet::{Mac, sequence_numbers};
use crate::turns::Turns;
use crate::wheel::Wheel;
use std::collections::VecDeque;
use tcp::Instant;

/// One connection: what TCP keeps, what the application keeps, what the engine must remember.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact of its own, most are told once"
)]
pub(crate) struct Connection<C, T> {
    pub(crate) tcp: T,
    /// What the application keeps; `None` before the handshake is complete or if it refused.
    pub(crate) app: Option<C>,
    pub(crate) flow: Flow,
    /// Where the last segment came from that proved to be the peer's, and so where segments go;
    /// `None` while ARP is asked for the peer of an active open.
    pub(crate) mac: Option<Mac>,
    /// What the application calls an active open, `None` for a passive one.
    pub(crate) token: Option<u64>,
    /// Whether it still counts as half open, and whether that has lasted too long.
    pub(crate) half_open: bool,
    pub(crate) half_open_expired: bool,
    /// Whether nobody answers for the address of its peer.
    pub(crate) is_unreachable: bool,
    /// The first close that was asked for, or the one that replaced it.
    pub(crate) close: Option<Close>,
    /// Why the engine ended it, once it has.
    pub(crate) ended: Option<Closed>,
    /// SND.NXT and RCV.NXT as TIME-WAIT needs them: the furthest that we have sent since we closed,
    /// and the furthest that we have acknowledged.
    pub(crate) sent_last: Option<(u32, u32)>,

    /// Unread bytes, and output not acknowledged, after the application was last told something.
    pub(crate) told_unread: usize,
    pub(crate) told_backlog: usize,
    pub(crate) told_eof: bool,
    /// Whether the application was told anything yet.
    pub(crate) told_once: bool,
    pub(crate) wants_space: bool,
    pub(crate) must_drain: bool,
    pub(crate) must_wake: bool,
    pub(crate) in_input_list: bool,
    pub(crate) in_output_list: bool,
    /// Whether it has sent more than a turn's worth since it had nothing to send.
    pub(crate) is_backlogged: bool,
    /// Segments that are left of its turn.
    pub(crate) turn_left: u8,

    /// When the last segment arrived.
    pub(crate) heard_at: Instant,
    /// Since when output has waited without any of it being taken.
    pub(crate) waiting_since: Instant,
    /// When the application closed both directions.
    pub(crate) closed_at: Instant,
    /// When TCP wants to be asked for a segment again.
    pub(crate) tcp_timer: Instant,
    /// When the application wants to be woken.
    pub(crate) app_timer: Instant,
    /// When the engine looks whether the connection should be given up.
    pub(crate) limit_timer: Instant,
    /// What the wheel was told; it may lie before the earliest of the three, never behind it.
    pub(crate) wheel_timer: Instant,
}

impl<C, T> Connection<C, T> {
    /// A connection that a SYN has begun, or is to begin, to be given up at `limit`.
    pub(crate) fn new(now: Instant, tcp: T, flow: Flow, mac: Option<Mac>, limit: Instant) -> Self {
        Self {
            tcp,
            app: None,
            flow,
            mac,
            token: None,
            half_open: true,
            half_open_expired: false,
            is_unreachable: false,
            close: None,
            ended: None,
            sent_last: None,
            told_unread: 0,
            told_backlog: 0,
            told_eof: false,
            told_once: false,
            wants_space: false,
            must_drain: false,
            must_wake: false,
            in_input_list: false,
            in_output_list: false,
            is_backlogged: false,
            turn_left: SEGMENTS_PER_TURN,
            heard_at: now,
            waiting_since: now,
            closed_at: now,
            tcp_timer: Instant::NEVER,
            app_timer: Instant::NEVER,
            limit_timer: limit,
            wheel_timer: Instant::NEVER,
        }
    }

    /// Why the application is to be told something now, `None` if there is no reason.
    ///
    /// `unread` and `backlog` are in bytes; half of `tx_buffer_bytes` must be free again before
    /// the application hears of space, and some of the output must have been taken since it asked.
    pub(crate) fn next_event(
        &self,
        (unread, is_eof): (usize, bool),
        backlog: usize,
        tx_buffer_bytes: usize,
    ) -> Option<Event> {
        if self.is_closed_by_app() {
            return (self.must_wake && self.ended.is_none()).then_some(Event::Timer);
        }
        let has_space = backlog * 2 <= tx_buffer_bytes && backlog < self.told_backlog;
        match () {
            () if self.must_drain => Some(Event::Drain),
            () if is_eof && !self.told_eof => Some(Event::Eof),
            () if unread > self.told_unread => Some(Event::Data),
            () if self.wants_space && has_space || !self.told_once => Some(Event::Space),
            () if self.must_wake => Some(Event::Timer),
            () => None,
        }
    }

    /// Whether it is open, and there is nothing to tell its application but what arrives next.
    #[inline]
    pub(crate) fn is_at_ease(&self) -> bool {
        let is_open = self.app.is_some() && self.close.is_none() && self.ended.is_none();
        let is_pending = self.wants_space || self.must_drain || self.must_wake;
        is_open && self.told_once && self.told_unread == 0 && !is_pending
    }

    /// Takes note that the application is being told of `event`.
    pub(crate) fn told(&mut self, event: Event) {
        self.told_once = true;
        match event {
            Event::Drain => self.must_drain = false,
            Event::Eof => self.told_eof = true,
            Event::Timer => self.must_wake = false,
            Event::Data | Event::Space => {}
        }
    }

    /// A word from each of its cache lines beside those that TCP has.
    pub(crate) fn touch(&self) -> u64 {
        let marks = u64::from(self.told_once) + u64::from(self.half_open_expired);
        let times = [self.heard_at, self.waiting_since, self.limit_timer, self.wheel_timer];
        times.iter().fold(marks, |sum, time| sum.wrapping_add(time.as_nanos()))
    }

    /// Takes note of the segment in `packet`, which is being sent.
    ///
    /// Once TIME-WAIT is reached our FIN has been sent and the peer's acknowledged, so that nothing
    /// is missing. What arrived last would tell less: it may be an old duplicate, or data that
    /// filled a hole before a FIN which came earlier.
    pub(crate) fn note_sent(&mut self, packet: &[u8]) {
        if self.close.is_none() {
            return;
        }
        let Some((seq_end, ack)) = sequence_numbers(packet) else { return };
        let later = |before: u32, now: u32| {
            if now.wrapping_sub(before).cast_signed() > 0 { now } else { before }
        };
        let (snd_nxt, rcv_nxt) = self.sent_last.unwrap_or((seq_end, ack));
        self.sent_last = Some((later(snd_nxt, seq_end), later(rcv_nxt, ack)));
    }

    /// Takes note that all its output is acknowledged. Unless its application waits to say more,
    /// what it sends next is no backlog.
    #[inline]
    pub(crate) fn rests(&mut self) {
        if !self.wants_space {
            self.is_backlogged = false;
            self.turn_left = SEGMENTS_PER_TURN;
        }
    }

    /// Takes note that its turn is over, before all it has sent is acknowledged.
    pub(crate) fn turn_ends(&mut self) {
        self.is_backlogged = true;
        self.turn_left = SEGMENTS_PER_TURN;
    }

    /// Whether the application has closed both directions.
    pub(crate) fn is_closed_by_app(&self) -> bool {
        matches!(self.close, Some(Close::Both | Close::Reset)) || self.ended.is_some()
    }
}

/// A place of the table.
struct Place<C, T> {
    generation: u32,
    connection: Option<Connection<C, T>>,
}

/// Segments that one connection sends before it is the next one's turn.
pub(crate) const SEGMENTS_PER_TURN: u8 = 16;

/// The index of no connection.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// All connections of an engine but those in TIME-WAIT.
pub(crate) struct Table<C, T> {
    places: Vec<Place<C, T>>,
    spare: Vec<u32>,
    flows: FlowTable,
    wheel: Wheel,
    /// Connections whose application has something to be told.
    input: VecDeque<u32>,
    output: Turns,
    /// Half-open connections: by passive opens, and by active ones.
    half_open: usize,
    connecting: usize,
}

impl<C, T> Table<C, T> {
    /// A table for `capacity` connections. Allocates once.
    pub(crate) fn new(capacity: u32, key: &[u8; 16]) -> Self {
        let capacity = capacity as usize;
        Self {
            places: Vec::with_capacity(capacity),
            spare: Vec::with_capacity(capacity),
            flows: FlowTable::new(capacity, key),
            wheel: Wheel::new(capacity),
            input: VecDeque::with_capacity(capacity),
            output: Turns::new(capacity),
            half_open: 0,
            connecting: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn half_open(&self) -> usize {
        self.half_open
    }

    pub(crate) fn connecting(&self) -> usize {
        self.connecting
    }

    /// Where a half-open connection counts.
    fn opening(&mut self, token: Option<u64>) -> &mut usize {
        if token.is_some() { &mut self.connecting } else { &mut self.half_open }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.spare.is_empty() && self.places.len() == self.places.capacity()
    }

    pub(crate) fn find(&self, flow: Flow) -> Option<u32> {
        self.flows.find(flow)
    }

    /// A word of where [`find`](Self::find) would begin to look, to have it at hand.
    #[inline]
    pub(crate) fn touch_flow(&self, flow: Flow) -> u64 {
        self.flows.touch(flow)
    }

    /// As [`find`](Self::find), for who looked ahead and found `place`, or nothing. Since then the
    /// connection may have gone, and another one may be there.
    #[inline(always)]
    pub(crate) fn find_at(&self, flow: Flow, place: u32) -> Option<u32> {
        let connection = self.places.get(place as usize).and_then(|it| it.connection.as_ref());
        if connection.is_some_and(|connection| connection.flow == flow) {
            return Some(place);
        }
        self.find(flow)
    }

    /// The connection at `index`, if there is one.
    pub(crate) fn look_at(&self, index: u32) -> Option<&Connection<C, T>> {
        self.places.get(index as usize)?.connection.as_ref()
    }

    /// The connection at `index`, which must be one.
    #[inline(always)]
    pub(crate) fn at(&mut self, index: u32) -> &mut Connection<C, T> {
        let place = &mut self.places[index as usize];
        place.connection.as_mut().expect("an index in a list or the flow table is a connection")
    }

    /// The connection that `id` names, unless it is over.
    pub(crate) fn by_id(&mut self, id: ConnId) -> Option<&mut Connection<C, T>> {
        let place = self.places.get_mut(id.index as usize)?;
        if place.generation == id.generation { place.connection.as_mut() } else { None }
    }

    pub(crate) fn id(&self, index: u32) -> ConnId {
        ConnId { index, generation: self.places[index as usize].generation }
    }

    /// Every connection, for the few occasions that concern all.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + use<C, T> {
        let used: Vec<u32> = (0_u32..)
            .zip(&self.places)
            .filter(|(_, place)| place.connection.is_some())
            .map(|(index, _)| index)
            .collect();
        used.into_iter()
    }

    /// Enters a connection; the table must not be full.
    pub(crate) fn insert(&mut self, connection: Connection<C, T>) -> u32 {
        let flow = connection.flow;
        *self.opening(connection.token) += usize::from(connection.half_open);
        let index = if let Some(index) = self.spare.pop() {
            self.places[index as usize].connection = Some(connection);
            index
        } else {
            self.places.push(Place { generation: 0, connection: Some(connection) });
            u32::try_from(self.places.len() - 1).expect("the capacity is a u32")
        };
        self.flows.insert(flow, index);
        index
    }

    /// Removes a connection that is in neither list.
    pub(crate) fn remove(&mut self, index: u32) -> Connection<C, T> {
        let place = &mut self.places[index as usize];
        let connection = place.connection.take().expect("only connections are removed");
        debug_assert!(!connection.in_input_list && !connection.in_output_list);
        place.generation = place.generation.wrapping_add(1);
        *self.opening(connection.token) -= usize::from(connection.half_open);
        self.flows.remove(connection.flow);
        self.wheel.cancel(index);
        self.spare.push(index);
        connection
    }

    /// Notes that the handshake of a connection is complete.
    pub(crate) fn opened(&mut self, index: u32) {
        let connection = self.at(index);
        let token = connection.token;
        if std::mem::replace(&mut connection.half_open, false) {
            *self.opening(token) -= 1;
        }
    }

    /// Puts a connection on the list of those whose application has something to be told.
    pub(crate) fn push_input(&mut self, index: u32) {
        if !std::mem::replace(&mut self.at(index).in_input_list, true) {
            self.input.push_back(index);
        }
    }

    /// Puts a connection on a list of those that may have something to send.
    #[inline]
    pub(crate) fn push_output(&mut self, index: u32) {
        let connection = self.at(index);
        if !std::mem::replace(&mut connection.in_output_list, true) {
            let is_fresh = !connection.is_backlogged;
            self.output.push(index, is_fresh);
        }
    }

    /// Puts a connection back whose turn to send was cut short.
    pub(crate) fn push_output_again(&mut self, index: u32) {
        let connection = self.at(index);
        debug_assert!(!connection.in_output_list, "it has just been taken from its list");
        connection.in_output_list = true;
        let is_fresh = !connection.is_backlogged;
        self.output.push_again(index, is_fresh);
    }

    pub(crate) fn pop_input(&mut self) -> Option<u32> {
        let index = self.input.pop_front()?;
        self.at(index).in_input_list = false;
        Some(index)
    }

    #[inline]
    pub(crate) fn pop_output(&mut self) -> Option<u32> {
        let index = self.output.pop()?;
        self.at(index).in_output_list = false;
        Some(index)
    }

    pub(crate) fn input_len(&self) -> usize {
        self.input.len()
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Brings the wheel in line with a connection's timers.
    ///
    /// A timer that moves back, as one does with every request, is left where it is: when the
    /// wheel fires early, it is scheduled again. So a busy connection costs the wheel nothing.
    #[inline]
    pub(crate) fn reschedule(&mut self, index: u32) {
        let connection = self.at(index);
        let timer = connection.tcp_timer.min(connection.app_timer).min(connection.limit_timer);
        if timer < connection.wheel_timer {
            connection.wheel_timer = timer;
            self.wheel.schedule(index, timer);
        }
    }

    /// Takes a connection whose timer has fired, at a cost of `budget`.
    pub(crate) fn pop_timer(&mut self, now: Instant, budget: &mut usize) -> Option<u32> {
        let index = self.wheel.pop(now, budget)?;
        self.at(index).wheel_timer = Instant::NEVER;
        Some(index)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }
}
