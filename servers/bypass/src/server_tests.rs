//! The application without an engine: what it answers, waits for, closes and counts.

use super::*;
use engine::SendBuffer;
use server_http::Date;
use std::time::Duration;

/// A send buffer that nobody takes from, unless a test does.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    capacity: usize,
}

impl SendBuffer for Buffer {
    fn space(&self) -> usize {
        self.capacity - self.bytes.len()
    }
    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.space(), "put() of more bytes than space()");
        self.bytes.extend_from_slice(bytes);
    }
    fn backlog(&self) -> usize {
        self.bytes.len()
    }
}

/// One connection of a server whose time is what the test says.
struct Desk {
    server: Server,
    conn: Option<Conn>,
    buffer: Buffer,
    now: Instant,
    waiting_since: Instant,
}

impl Desk {
    fn new(service: Service) -> Self {
        let now = Now { monotonic_ns: 0, date: Date::from_unix_seconds(784_111_777) };
        let counters = Arc::new(Counters::default());
        let server = Server::new(service, &Limits::DEFAULT, Admission::new(1), counters, now);
        let buffer = Buffer { bytes: Vec::new(), capacity: 4096 };
        let mut desk =
            Self { server, conn: None, buffer, now: Instant::ZERO, waiting_since: Instant::ZERO };
        desk.conn = desk.open();
        desk
    }

    fn open(&mut self) -> Option<Conn> {
        // A real identifier comes from an engine; the server does not look at it.
        self.server.open(self.now)
    }

    fn ready(&mut self, event: Event, input: &[u8]) -> Advance {
        self.server.now.monotonic_ns = self.now.as_nanos();
        let conn = self.conn.as_mut().expect("an open connection");
        if self.buffer.bytes.is_empty() {
            self.waiting_since = self.now;
        }
        let mut outbox = Outbox::new(&mut self.buffer, self.waiting_since);
        self.server.ready(self.now, conn, event, input, &mut outbox)
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn closed(&mut self, why: Closed) {
        let conn = self.conn.take().expect("an open connection");
        self.server.closed(conn, why);
    }

    /// The names of the counters of closed connections that are not zero.
    fn closed_counters(&self) -> Vec<&'static str> {
        let counters = &self.server.counters;
        [
            ("asked", &counters.closed_asked),
            ("peer", &counters.closed_peer),
            ("refused", &counters.closed_refused),
            ("idle", &counters.closed_idle_timeout),
            ("send", &counters.closed_send_timeout),
            ("drained", &counters.closed_drained),
            ("error", &counters.closed_error),
            ("deadline", &counters.closed_drain_deadline),
        ]
        .into_iter()
        .filter(|(_, count)| count.value() > 0)
        .map(|(name, _)| name)
        .collect()
    }
}

const GET: &[u8] = b"GET /plaintext HTTP/1.1\r\nhost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /plaintext HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn a_request_is_answered_and_the_rest_of_the_input_stays() {
    let mut desk = Desk::new(Service::Http);
    let idle = desk.ready(Event::Space, b"");
    assert_eq!(idle.wake_at, Instant::ZERO + Limits::DEFAULT.idle_timeout);
    let input = [GET, b"GET /pl"].concat();
    let advance = desk.ready(Event::Data, &input);
    assert_eq!((advance.consumed, advance.close), (GET.len(), None));
    assert!(desk.buffer.bytes.ends_with(b"\r\n\r\nHello, World!"));
    let counters = &desk.server.counters;
    assert_eq!((counters.responses.value(), counters.received_bytes.value()), (1, 36));
    assert_eq!(counters.sent_bytes.value(), desk.buffer.bytes.len() as u64);
}

#[test]
fn echo_sends_back_what_fits_and_asks_for_space() {
    let mut desk = Desk::new(Service::Echo);
    let advance = desk.ready(Event::Data, &[7; 5000]);
    assert_eq!((advance.consumed, advance.wants_space), (4096, true));
    desk.buffer.bytes.clear();
    let advance = desk.ready(Event::Space, &[7; 904]);
    assert_eq!((advance.consumed, advance.wants_space), (904, false));
}

#[test]
fn a_client_that_takes_nothing_is_reset_when_the_send_timeout_has_passed() {
    let mut desk = Desk::new(Service::Http);
    let timeout = Limits::DEFAULT.send_timeout;
    let advance = desk.ready(Event::Data, GET);
    assert_eq!(advance.wake_at, Instant::ZERO + timeout);
    desk.pass(timeout.checked_sub(Duration::from_nanos(1)).expect("longer"));
    assert_eq!(desk.ready(Event::Timer, b"").close, None);
    desk.pass(Duration::from_nanos(1));
    assert_eq!(desk.ready(Event::Timer, b"").close, Some(Close::Reset));
    desk.closed(Closed::ResetByApp);
    assert_eq!(desk.closed_counters(), ["send"]);
}

#[test]
fn a_client_that_takes_some_of_it_in_time_is_not() {
    let mut desk = Desk::new(Service::Http);
    let timeout = Limits::DEFAULT.send_timeout;
    assert_eq!(desk.ready(Event::Data, GET).close, None);
    desk.pass(timeout);
    desk.waiting_since = desk.now;
    let advance = desk.ready(Event::Timer, b"");
    assert_eq!((advance.close, advance.wake_at), (None, desk.now + timeout));
}

#[test]
fn after_an_answer_that_closes_input_is_dropped_for_a_while() {
    let limits = &Limits::DEFAULT;
    let lingering = || {
        let mut desk = Desk::new(Service::Http);
        let advance = desk.ready(Event::Data, GET_AND_CLOSE);
        assert_eq!(advance.close, Some(Close::Write));
        desk.buffer.bytes.clear();
        assert_eq!(desk.ready(Event::Data, &[0; 100]).close, None);
        desk
    };
    let mut until_fin = lingering();
    assert_eq!(until_fin.ready(Event::Eof, b"").close, Some(Close::Both));
    until_fin.closed(Closed::Finished);
    assert_eq!(until_fin.closed_counters(), ["asked"]);

    let mut too_late = lingering();
    too_late.pass(limits.linger_timeout);
    assert_eq!(too_late.ready(Event::Timer, b"").close, Some(Close::Both));

    let mut too_much = lingering();
    assert_eq!(
        too_much.ready(Event::Data, &vec![0; limits.linger_bytes]).close,
        Some(Close::Reset)
    );
    too_much.closed(Closed::ResetByApp);
    assert_eq!(too_much.closed_counters(), ["asked"]);
}

#[test]
fn the_time_to_linger_begins_when_the_answer_is_delivered() {
    let mut desk = Desk::new(Service::Http);
    assert_eq!(desk.ready(Event::Data, GET_AND_CLOSE).close, Some(Close::Write));
    desk.pass(Limits::DEFAULT.linger_timeout);
    let waiting = desk.ready(Event::Timer, b"");
    assert_eq!((waiting.close, waiting.wake_at), (None, desk.now + Limits::DEFAULT.linger_timeout));
    desk.buffer.bytes.clear();
    desk.pass(Limits::DEFAULT.linger_timeout);
    assert_eq!(desk.ready(Event::Timer, b"").close, Some(Close::Both));
}

#[test]
fn an_idle_connection_ends_by_its_timeout_by_draining_or_with_its_client() {
    let check = |event, pass: Duration, name: &str| {
        let mut desk = Desk::new(Service::Http);
        assert_eq!(desk.ready(Event::Space, b"").close, None);
        desk.pass(pass);
        assert_eq!(desk.ready(event, b"").close, Some(Close::Both), "{name}");
        desk.closed(Closed::Finished);
        assert_eq!(desk.closed_counters(), [name]);
        assert_eq!(desk.server.counters.connections_closed.value(), 1);
    };
    check(Event::Timer, Limits::DEFAULT.idle_timeout, "idle");
    check(Event::Drain, Duration::ZERO, "drained");
    check(Event::Eof, Duration::ZERO, "peer");
}

#[test]
fn an_end_that_http_did_not_ask_for_is_counted_as_what_it_is() {
    for (why, name) in [
        (Closed::ResetByPeer, "error"),
        (Closed::TimedOut, "error"),
        (Closed::DrainDeadline, "deadline"),
    ] {
        let mut desk = Desk::new(Service::Http);
        desk.closed(why);
        assert_eq!(desk.closed_counters(), [name]);
    }
}

#[test]
fn connections_above_the_bound_are_refused_until_one_leaves() {
    let mut desk = Desk::new(Service::Http);
    assert!(desk.open().is_none());
    let refused = |desk: &Desk| desk.server.counters.connections_refused.value();
    assert_eq!((refused(&desk), desk.server.counters.connections_accepted.value()), (1, 1));
    desk.closed(Closed::Finished);
    assert!(desk.open().is_some());
    assert_eq!(refused(&desk), 1);
}
