//! The application: every connection speaks the protocol of `--service` over its outbox.

use engine::{Advance, App, Close, Closed, ConnId, Event, Outbox};
use server_common::{Admission, Counters, Protocol, Service};
use server_http::{Closing, Limits, Now, Reason, Sink};
use std::net::SocketAddrV4;
use std::sync::Arc;
use tcp::Instant;

/// HTTP or echo on the engine.
#[derive(Debug)]
pub struct Server {
    service: Service,
    limits: &'static Limits,
    admission: Admission,
    counters: Arc<Counters>,
    /// The clock's last reading, with the date.
    now: Now,
}

/// What the server keeps for a connection.
#[derive(Debug)]
pub struct Conn {
    protocol: Protocol,
    /// The client's FIN has come.
    eof: bool,
    phase: Phase,
    /// The client took nothing for too long.
    send_timed_out: bool,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Requests are answered.
    Open,
    /// Our FIN is behind the output; what the client still sends is dropped, so that it receives
    /// the answer (RFC 9112 §9.6).
    Lingering { why: Reason, left_bytes: usize, until: Instant },
    /// Both directions are closed; TCP does the rest.
    Closed(Reason),
}

/// The outbox of the engine as the sink of the protocol.
struct OutboxSink<'a, 'b> {
    outbox: &'a mut Outbox<'b>,
    put_bytes: usize,
}

impl Sink for OutboxSink<'_, '_> {
    fn space(&self) -> usize {
        self.outbox.space()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_bytes += bytes.len();
        self.outbox.put(bytes);
    }

    fn backlog(&self) -> usize {
        self.outbox.backlog()
    }
}

impl Server {
    /// A server of `service` that counts into `counters`.
    #[must_use]
    pub fn new(
        service: Service,
        limits: &'static Limits,
        admission: Admission,
        counters: Arc<Counters>,
        now: Now,
    ) -> Self {
        Self { service, limits, admission, counters, now }
    }

    /// Sets the time and date for what comes.
    pub fn set_now(&mut self, now: &Now) {
        self.now = *now;
    }

    fn open(&self, now: Instant) -> Option<Conn> {
        if !self.admission.admit() {
            self.counters.connections_refused.add(1);
            return None;
        }
        self.counters.connections_accepted.add(1);
        let protocol = Protocol::new(self.service, self.limits, now.as_nanos());
        Some(Conn { protocol, eof: false, phase: Phase::Open, send_timed_out: false })
    }

    fn answer(&self, conn: &mut Conn, input: &[u8], outbox: &mut Outbox<'_>) -> Advance {
        let mut sink = OutboxSink { outbox, put_bytes: 0 };
        let advance = conn.protocol.advance(&self.now, input, conn.eof, &mut sink);
        self.counters.received_bytes.add(advance.consumed as u64);
        self.counters.sent_bytes.add(sink.put_bytes as u64);
        self.counters.responses.add(u64::from(advance.responses));
        let close = advance.close.map(|close| {
            let now = Instant::from_nanos(self.now.monotonic_ns);
            let lingers = close.how == Closing::Linger && !conn.eof;
            if !lingers {
                conn.phase = Phase::Closed(close.why);
                return Close::Both;
            }
            conn.phase = Phase::Lingering {
                why: close.why,
                left_bytes: self.limits.linger_bytes,
                until: now + self.limits.linger_timeout,
            };
            Close::Write
        });
        let wake_at = match conn.phase {
            Phase::Lingering { until, .. } => until,
            _ => Instant::from_nanos(advance.wake_at_ns),
        };
        Advance {
            consumed: advance.consumed,
            wake_at,
            wants_space: advance.blocked_on_output,
            close,
        }
    }

    /// Drops input after the FIN, until the client stops, or it is too much, or too late.
    fn linger(&self, now: Instant, conn: &mut Conn, input: usize, waiting: bool) -> Advance {
        let mut advance = Advance { consumed: input, ..Advance::IDLE };
        let Phase::Lingering { why, left_bytes, until } = conn.phase else { return advance };
        self.counters.received_bytes.add(input as u64);
        // The time begins when the answer is delivered; until then the send time-out runs.
        let until = if waiting { now + self.limits.linger_timeout } else { until };
        if input > left_bytes {
            conn.phase = Phase::Closed(why);
            advance.close = Some(Close::Reset);
        } else if conn.eof || now >= until {
            conn.phase = Phase::Closed(why);
            advance.close = Some(Close::Both);
        } else {
            conn.phase = Phase::Lingering { why, left_bytes: left_bytes - input, until };
            advance.wake_at = until;
        }
        advance
    }
}

impl App for Server {
    type Conn = Conn;

    fn opened(&mut self, now: Instant, _: ConnId, _: SocketAddrV4) -> Option<Conn> {
        self.open(now)
    }

    fn ready(
        &mut self,
        now: Instant,
        conn: &mut Conn,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        let send_timeout = self.limits.send_timeout;
        let gives_up = |since: Instant| since + send_timeout <= now;
        if event == Event::Timer && output.waiting_since().is_some_and(gives_up) {
            conn.send_timed_out = true;
            return Advance { close: Some(Close::Reset), ..Advance::IDLE };
        }
        match event {
            Event::Eof => conn.eof = true,
            Event::Drain => conn.protocol.drain(),
            Event::Data | Event::Space | Event::Timer => {}
        }
        let mut advance = match conn.phase {
            Phase::Open => self.answer(conn, input, output),
            Phase::Lingering { .. } => self.linger(now, conn, input.len(), output.backlog() > 0),
            Phase::Closed(_) => Advance::IDLE,
        };
        if let Some(since) = output.waiting_since() {
            advance.wake_at = advance.wake_at.min(since + send_timeout);
        }
        advance
    }

    fn closed(&mut self, conn: Conn, why: Closed) {
        let counters = &self.counters;
        match (why, conn.phase) {
            (Closed::DrainDeadline, _) => &counters.closed_drain_deadline,
            _ if conn.send_timed_out => &counters.closed_send_timeout,
            (_, Phase::Closed(why) | Phase::Lingering { why, .. }) => counters.closed_because(why),
            (_, Phase::Open) => &counters.closed_error,
        }
        .add(1);
        counters.connections_closed.add(1);
        self.admission.leave();
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
