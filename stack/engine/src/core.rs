//! The engine without its queue: connections, what they are told, and what they send.

use crate::app::{Advance, App, Close, Closed, ConnId, Event, Outbox};
use crate::config::Config;
use crate::counters::{Count, Counters};
use crate::ephemeral::EphemeralPorts;
use crate::neighbours::Neighbours;
use crate::port::Port;
use crate::rate::RateLimit;
use crate::table::{Connection, Table};
use crate::time_wait::TimeWait;
use crate::transport::{Phase, Tcp};
use queue::{BURST_MAX, Queue};
use std::time::Duration;
use tcp::{Instant, Seq};

/// Connections whose application is told something in one poll, at most.
const INPUT_MAX: usize = 4 * BURST_MAX;
/// Events that one application is told before it is the next one's turn.
const EVENTS_PER_TURN: usize = 4;
/// Timers moved or fired in one poll, at most.
const TIMER_MAX: usize = 4 * BURST_MAX;
/// Connections asked for segments in one poll, at most.
const OUTPUT_MAX: usize = 4 * BURST_MAX;

/// Everything but the queue, so that a received frame can be read while connections change.
pub(crate) struct Core<A: App, T: Tcp> {
    pub(crate) app: A,
    pub(crate) tcp: T,
    pub(crate) config: Config,
    pub(crate) table: Table<A::Conn, T::Conn>,
    pub(crate) time_wait: TimeWait,
    pub(crate) ports: EphemeralPorts,
    pub(crate) neighbours: Neighbours,
    pub(crate) counters: Counters,
    pub(crate) arp_limit: RateLimit,
    pub(crate) echo_limit: RateLimit,
    pub(crate) reset_limit: RateLimit,
    /// When our address may be defended again.
    pub(crate) may_defend_at: Instant,
    /// Where the answer to a segment is written before it goes into a frame.
    pub(crate) reply: Box<[u8]>,
    pub(crate) is_draining: bool,
    /// When what is left is cut off, once draining and until it is.
    drain_deadline: Option<Instant>,
}

/// What a handshake that has begun gets to complete when the engine drains.
const DRAIN_HANDSHAKE: Duration = Duration::from_secs(1);
/// What a peer that has acknowledged our FIN gets to close its own side when the engine drains.
const DRAIN_FIN_WAIT: Duration = Duration::from_secs(1);

/// How a connection's turn at sending ended.
enum Turn {
    /// It is open, and has sent all that waited in one segment.
    Answered,
    /// It has nothing more to send now.
    Done,
    /// It has sent all that its turn allows, and has more.
    More,
    /// The burst is full before its turn is over.
    Cut,
    /// No frame is free.
    NoFrame,
}

impl<A: App, T: Tcp> Core<A, T> {
    pub(crate) fn new(app: A, tcp: T, config: Config, mtu: usize) -> Self {
        Self {
            app,
            tcp,
            table: Table::new(config.connections, &config.key),
            time_wait: TimeWait::new(config.time_wait_entries, config.time_wait, &config.key),
            ports: EphemeralPorts::new(config.ephemeral_ports.clone(), &config.key),
            neighbours: Neighbours::new(config.neighbours, config.connecting, &config.key),
            counters: Counters::new(),
            arp_limit: RateLimit::new(config.control_replies_per_second),
            echo_limit: RateLimit::new(config.control_replies_per_second),
            reset_limit: RateLimit::new(config.resets_per_second),
            may_defend_at: Instant::ZERO,
            reply: vec![0; mtu].into_boxed_slice(),
            is_draining: false,
            drain_deadline: None,
            config,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let handshakes = self.tcp.handshake_timeout();
        let handshakes = (handshakes != Instant::NEVER).then_some(handshakes);
        let tables = [self.table.next_deadline(), self.time_wait.next_deadline()];
        let others = [handshakes, self.neighbours.next_deadline(), self.drain_deadline];
        tables.into_iter().chain(others).flatten().min()
    }

    // Input: applications are told what happened.

    pub(crate) fn input(&mut self, now: Instant) {
        for _ in 0..self.table.input_len().min(INPUT_MAX) {
            if let Some(index) = self.table.pop_input() {
                self.tell(now, index, &[]);
            }
        }
    }

    /// Whether there is something to tell the application of a connection.
    pub(crate) fn has_event(&mut self, index: u32) -> bool {
        let connection = self.table.at(index);
        let input = (self.tcp.unread(&connection.tcp), self.tcp.is_eof(&connection.tcp));
        let backlog = self.tcp.backlog(&connection.tcp);
        connection.next_event(input, backlog, self.config.tx_buffer_bytes).is_some()
    }

    /// Tells the application of a connection what there is to tell.
    ///
    /// `fresh` is unread input that lies in the frame that has just arrived, and nowhere else: what
    /// is left of it is kept.
    pub(crate) fn tell(&mut self, now: Instant, index: u32, fresh: &[u8]) {
        self.tell_at_most(now, index, fresh, EVENTS_PER_TURN);
    }

    /// As [`tell`](Self::tell), for the rest of a turn.
    fn tell_at_most(&mut self, now: Instant, index: u32, mut fresh: &[u8], mut turns: usize) {
        while turns > 0 {
            turns -= 1;
            let Self { tcp, table, config, .. } = self;
            let connection = table.at(index);
            let input = (tcp.unread(&connection.tcp), tcp.is_eof(&connection.tcp));
            let backlog = tcp.backlog(&connection.tcp);
            let event = connection.next_event(input, backlog, config.tx_buffer_bytes);
            let Some(advance) = event.and_then(|event| self.show(now, index, event, fresh)) else {
                break;
            };
            fresh = fresh.get(advance.consumed..).unwrap_or_default();
            self.apply(now, index, advance);
        }
        let connection = self.table.at(index);
        // What the application has closed is discarded, and not unread any more.
        if !fresh.is_empty() && self.tcp.unread(&connection.tcp) > 0 {
            self.tcp.keep(&mut connection.tcp, fresh);
        }
        self.table.push_output(index);
        if turns == 0 && self.has_event(index) {
            self.table.push_input(index);
        }
    }

    /// Tells the application of one event; `None` if there is none that could be told.
    #[inline(always)]
    fn show(&mut self, now: Instant, index: u32, event: Event, fresh: &[u8]) -> Option<Advance> {
        let Self { app, tcp, table, .. } = self;
        let connection = table.at(index);
        if connection.app.is_some() && tcp.backlog(&connection.tcp) == 0 {
            connection.waiting_since = now;
            connection.rests();
        }
        let conn = connection.app.as_mut()?;
        let (stored, mut buffer) = tcp.split(&mut connection.tcp);
        let input = if fresh.is_empty() { stored } else { fresh };
        let mut outbox = Outbox::new(&mut buffer, connection.waiting_since);
        let advance = app.ready(now, conn, event, input, &mut outbox);
        drop(buffer);
        connection.told(event);
        Some(advance)
    }

    /// Tells the application of payload that was expected, and is all that there is to tell: as
    /// [`tell`](Self::tell) does, which takes over if the answer is not the usual one.
    #[inline(always)]
    pub(crate) fn tell_predicted(&mut self, now: Instant, index: u32, payload: &[u8]) {
        let Some(advance) = self.show(now, index, Event::Data, payload) else { return };
        let wake_at = advance.wake_at;
        if advance != (Advance { consumed: payload.len(), wake_at, ..Advance::IDLE }) {
            self.apply(now, index, advance);
            let rest = payload.get(advance.consumed..).unwrap_or_default();
            return self.tell_at_most(now, index, rest, EVENTS_PER_TURN - 1);
        }
        let connection = self.table.at(index);
        self.tcp.consume(&mut connection.tcp, payload.len());
        // All is consumed, and so nothing unread; no other timer is earlier than before.
        connection.told_backlog = self.tcp.backlog(&connection.tcp);
        connection.app_timer = wake_at;
        self.table.reschedule(index);
        self.table.push_output(index);
    }

    /// Does what the application answered.
    fn apply(&mut self, now: Instant, index: u32, advance: Advance) {
        let connection = self.table.at(index);
        if advance.consumed > 0 {
            self.tcp.consume(&mut connection.tcp, advance.consumed);
        }
        connection.told_unread = self.tcp.unread(&connection.tcp);
        connection.told_backlog = self.tcp.backlog(&connection.tcp);
        connection.wants_space = advance.wants_space;
        connection.app_timer = advance.wake_at;
        match advance.close {
            None => {}
            Some(Close::Write) if connection.close.is_none() => {
                connection.close = Some(Close::Write);
                self.tcp.close(&mut connection.tcp);
            }
            Some(Close::Both) if matches!(connection.close, None | Some(Close::Write)) => {
                connection.close = Some(Close::Both);
                connection.closed_at = now;
                let limit = now + self.config.fin_wait_timeout;
                connection.limit_timer = connection.limit_timer.min(limit);
                self.tcp.close(&mut connection.tcp);
                self.discard_after_close(index);
            }
            Some(Close::Write | Close::Both) => {}
            Some(Close::Reset) => {
                connection.close = Some(Close::Reset);
                self.abort(index, Closed::ResetByApp);
            }
        }
        self.table.reschedule(index);
    }

    /// Drops what arrives after the application has closed both directions.
    ///
    /// DEVIATION: RFC 9293 §3.6.1 (SHLD-3) would have a reset answer data after CLOSE. It would
    /// also destroy the response that is still on its way (RFC 9112 §9.6), so the data is dropped,
    /// and `fin_wait_timeout` ends what does not end by itself.
    pub(crate) fn discard_after_close(&mut self, index: u32) {
        let connection = self.table.at(index);
        let unread = self.tcp.unread(&connection.tcp);
        if unread > 0 && connection.is_closed_by_app() {
            self.tcp.consume(&mut connection.tcp, unread);
            self.counters.add_many(Count::AfterClose, unread as u64);
        }
    }

    pub(crate) fn with<R>(
        &mut self,
        now: Instant,
        id: ConnId,
        send: impl FnOnce(&mut A::Conn, &mut Outbox<'_>) -> R,
    ) -> Option<R> {
        let connection = self.table.by_id(id)?;
        if connection.close.is_some() || connection.ended.is_some() {
            return None;
        }
        if connection.app.is_some() && self.tcp.backlog(&connection.tcp) == 0 {
            connection.waiting_since = now;
            connection.rests();
        }
        let conn = connection.app.as_mut()?;
        let (_, mut buffer) = self.tcp.split(&mut connection.tcp);
        let mut outbox = Outbox::new(&mut buffer, connection.waiting_since);
        let result = send(conn, &mut outbox);
        drop(buffer);
        self.table.push_output(id.index);
        Some(result)
    }

    /// Does outside of any event what an application answers to one.
    pub(crate) fn act(&mut self, now: Instant, id: ConnId, advance: Advance) {
        let Some(connection) = self.table.by_id(id).filter(|it| it.ended.is_none()) else { return };
        // Nothing is told here, so that what there is to tell stays.
        let told_unread = connection.told_unread;
        self.apply(now, id.index, advance);
        self.table.at(id.index).told_unread = told_unread;
        self.table.push_output(id.index);
    }

    // Timers.

    pub(crate) fn timers(&mut self, now: Instant) {
        let mut budget = TIMER_MAX;
        while let Some(index) = self.table.pop_timer(now, &mut budget) {
            self.timer_fires(now, index);
        }
        let expired = self.time_wait.expire(now, &mut budget);
        self.counters.add_many(Count::TimeWaitExpired, expired);
        if self.drain_deadline.is_some_and(|deadline| deadline <= now) {
            self.drain_deadline = None;
            for index in self.table.indices() {
                self.abort(index, Closed::DrainDeadline);
            }
        }
    }

    fn timer_fires(&mut self, now: Instant, index: u32) {
        let connection = self.table.at(index);
        let due = |timer: &mut Instant| {
            let is_due = *timer <= now;
            if is_due {
                *timer = Instant::NEVER;
            }
            is_due
        };
        let limit = due(&mut connection.limit_timer);
        let wake = due(&mut connection.app_timer);
        connection.must_wake |= wake;
        if due(&mut connection.tcp_timer) {
            self.table.push_output(index);
        }
        if wake {
            self.tell(now, index, &[]);
        }
        if limit {
            self.limit_reached(now, index);
        }
        self.table.reschedule(index);
    }

    /// Looks whether a connection should be given up, and if not, when to look again.
    fn limit_reached(&mut self, now: Instant, index: u32) {
        let connection = self.table.at(index);
        if connection.half_open {
            // Nothing is sent: whoever sent the SYN, or was sent one, is not there, or never was.
            if connection.token.is_none() {
                self.counters.add(Count::HalfOpenExpired);
            }
            connection.half_open_expired = true;
            return self.table.push_output(index);
        }
        match give_up_at(&self.tcp, &self.config, connection) {
            Some(at) if at <= now => self.abort(index, Closed::TimedOut),
            Some(at) => connection.limit_timer = at,
            None => {}
        }
    }

    /// Resets a connection, unless it is over already.
    pub(crate) fn abort(&mut self, index: u32, why: Closed) {
        let connection = self.table.at(index);
        if connection.ended.is_none() {
            connection.ended = Some(why);
            self.tcp.abort(&mut connection.tcp);
        }
        self.table.push_output(index);
    }

    pub(crate) fn drain(&mut self, now: Instant, deadline: Instant) {
        self.is_draining = true;
        self.drain_deadline = Some(deadline);
        // Nothing is owed to a peer that has everything and our FIN behind it: it may keep its side
        // open for ever, and must not keep us. A moment lets the usual client end in good order.
        self.config.fin_wait_timeout = self.config.fin_wait_timeout.min(DRAIN_FIN_WAIT);
        self.tcp.drain(now + DRAIN_HANDSHAKE);
        for index in self.table.indices() {
            let connection = self.table.at(index);
            if connection.half_open {
                // The peer may have been told that it is connected. It has a moment to say so.
                connection.limit_timer = connection.limit_timer.min(now + DRAIN_HANDSHAKE);
                self.table.reschedule(index);
            } else if connection.is_closed_by_app() {
                connection.limit_timer = connection.limit_timer.min(now + DRAIN_FIN_WAIT);
                self.table.reschedule(index);
            } else {
                connection.must_drain = true;
                self.table.push_input(index);
            }
        }
    }

    // Output.

    /// Puts a connection on a list of those that may have something to send, after a segment that
    /// may have acknowledged all it has sent.
    #[inline]
    pub(crate) fn push_output_after_ack(&mut self, index: u32) {
        let connection = self.table.at(index);
        if self.tcp.backlog(&connection.tcp) == 0 {
            connection.rests();
        }
        self.table.push_output(index);
    }

    pub(crate) fn output<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>) {
        self.handshakes(now, port);
        for _ in 0..self.table.output_len().min(OUTPUT_MAX) {
            if !port.has_room() {
                break;
            }
            let Some(index) = self.table.pop_output() else { break };
            match self.transmit(now, port, index) {
                Turn::Answered => self.settle_answered(now, index),
                Turn::Done => self.settle(now, index),
                Turn::More => self.table.push_output(index),
                Turn::Cut => self.table.push_output_again(index),
                Turn::NoFrame => {
                    self.counters.add(Count::NoFrame);
                    self.table.push_output_again(index);
                    break;
                }
            }
        }
    }

    /// Sends again what handshakes without a connection wait for, a burst of them at most.
    fn handshakes<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>) {
        while self.tcp.handshake_timeout() <= now && port.has_room() {
            let Some(mut frame) = port.queue.alloc() else {
                return self.counters.add(Count::NoFrame);
            };
            let buffer = port.packet_mut(&mut frame, self.reply.len());
            let Some((len, mac)) = self.tcp.poll_handshake(now, buffer, &mut self.counters) else {
                return port.queue.free(frame);
            };
            port.send_tcp(frame, len, mac, &mut self.counters);
        }
    }

    /// Sends what a connection has to send now, as far as its turn allows.
    fn transmit<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>, index: u32) -> Turn {
        let connection = self.table.at(index);
        let Some(mac) = connection.mac.filter(|_| !connection.half_open_expired) else {
            return Turn::Done;
        };
        let sums = port.fills_checksums();
        if connection.turn_left == 0 {
            // Its last turn ended with the last of what it had to send.
            connection.turn_ends();
        }
        loop {
            connection.tcp_timer = self.tcp.poll_timeout(now, &connection.tcp);
            if connection.tcp_timer > now {
                return Turn::Done;
            }
            if connection.turn_left == 0 {
                connection.turn_ends();
                return Turn::More;
            }
            if !port.has_room() {
                return Turn::Cut;
            }
            let Some(mut frame) = port.queue.alloc() else { return Turn::NoFrame };
            let buffer = port.packet_mut(&mut frame, self.reply.len());
            let answer = self.tcp.poll_predicted(now, &mut connection.tcp, buffer, sums);
            if let Some(answer) = answer {
                // Nothing to note: a connection that is closed predicts nothing.
                connection.tcp_timer = answer.next;
                connection.turn_left -= 1;
                port.send_answer(frame, (mac, connection.flow), &answer, &mut self.counters);
                return Turn::Answered;
            }
            let Some(len) = self.tcp.poll_transmit(now, &mut connection.tcp, buffer) else {
                // A time-out without a segment, such as one that only changed TCP's state.
                port.queue.free(frame);
                let at = self.tcp.poll_timeout(now, &connection.tcp);
                connection.tcp_timer = if at > now { at } else { now + IDLE_PAUSE };
                return Turn::Done;
            };
            connection.note_sent(&buffer[..len]);
            connection.turn_left -= 1;
            port.send_tcp(frame, len, mac, &mut self.counters);
        }
    }

    /// As [`settle`](Self::settle), after an answer: then the connection is not over, nor closed.
    #[inline]
    fn settle_answered(&mut self, now: Instant, index: u32) {
        if self.table.at(index).limit_timer == Instant::NEVER {
            return self.settle(now, index);
        }
        self.table.reschedule(index);
    }

    /// After a connection has sent all it could: ends it if it is over, else sets its timers.
    fn settle(&mut self, now: Instant, index: u32) {
        let connection = self.table.at(index);
        let phase = self.tcp.phase(&connection.tcp);
        // What was received before the end is the application's, however slowly it reads.
        let is_read = || {
            connection.app.is_none()
                || connection.is_closed_by_app()
                || self.tcp.unread(&connection.tcp) == 0
        };
        let is_over = connection.half_open_expired
            || matches!(phase, Phase::TimeWait | Phase::Closed) && is_read();
        if !is_over {
            // Once closed, how long a peer gets depends on what it has acknowledged by now.
            if (connection.limit_timer == Instant::NEVER || connection.close == Some(Close::Both))
                && let Some(at) = give_up_at(&self.tcp, &self.config, connection)
            {
                connection.limit_timer = connection.limit_timer.min(at);
            }
            return self.table.reschedule(index);
        }
        if connection.in_input_list {
            // What was received before the end is told before the end, in the next poll.
            return self.table.push_output(index);
        }
        let connection = self.table.remove(index);
        let rest = self.tcp.time_wait(&connection.tcp).or_else(|| {
            let (snd_nxt, rcv_nxt) = connection.sent_last?;
            Some(tcp::TimeWait::without_timestamps(Seq(snd_nxt), Seq(rcv_nxt)))
        });
        if let (Phase::TimeWait, Some(rest)) = (phase, rest) {
            let entered = self.time_wait.enter(now, connection.flow, rest);
            let count = if entered { Count::TimeWaitEntered } else { Count::TimeWaitOverflow };
            self.counters.add(count);
        }
        self.end(connection);
    }

    fn end(&mut self, connection: Connection<A::Conn, T::Conn>) {
        let why = connection
            .ended
            .or_else(|| self.tcp.ended(&connection.tcp))
            .unwrap_or(Closed::Finished);
        if let (true, Some(token)) = (connection.half_open, connection.token) {
            self.connect_ends(&connection, token);
        } else if connection.half_open {
            if !connection.half_open_expired {
                self.counters.add(Count::HalfOpenAborted);
            }
        } else {
            self.counters.add(match why {
                Closed::Finished => Count::Finished,
                Closed::ResetByPeer => Count::ResetByPeer,
                Closed::ResetByApp => Count::ResetByApp,
                Closed::TimedOut => Count::TimedOut,
                Closed::DrainDeadline => Count::DrainDeadline,
            });
        }
        self.tcp.release(connection.tcp);
        if let Some(conn) = connection.app {
            self.app.closed(conn, why);
        }
    }
}

/// How long a TCP that wanted to be asked and then had nothing to send is left alone.
const IDLE_PAUSE: Duration = Duration::from_millis(1);

/// When a connection is to be given up if nothing changes until then, `None` for never.
fn give_up_at<C, T: Tcp>(
    tcp: &T,
    config: &Config,
    connection: &Connection<C, T::Conn>,
) -> Option<Instant> {
    if tcp.is_unacknowledged(&connection.tcp) {
        // RFC 9293 §3.8.3: the clock runs while output waits and the peer is silent.
        Some(connection.heard_at.max(connection.waiting_since) + config.user_timeout)
    } else if connection.close == Some(Close::Both) {
        // FIN-WAIT-2, which would have no end if the peer never closed.
        Some(connection.closed_at.max(connection.waiting_since) + config.fin_wait_timeout)
    } else {
        None
    }
}
