//! The loop in virtual time, over a transport that is a script: what a server does with the n-th
//! request of a run is a function, and every latency is known beforehand.

use super::*;
use crate::plan::{StopRule, TransportKind};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const MS: u64 = 1_000_000;

/// What the network does on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Open,
    Refuse,
    Bytes(&'static str),
    /// Bytes, and the peer's FIN with them.
    LastBytes(&'static str),
    Close,
    Reset,
}

/// What the server does with a request, given how many came before it: acts and when, in
/// nanoseconds after the request.
type Server = fn(u64) -> Vec<(u64, Act)>;

/// An act to come: when, in which order at that time, on which slot and connection.
type Scheduled = Reverse<(u64, u64, usize, u64, Act)>;

/// Connections in virtual time.
struct Script {
    now_ns: u64,
    server: Server,
    /// What happens to the n-th connection that is opened, 1 ms later.
    door: fn(u64) -> Act,
    opened: u64,
    requests: u64,
    /// Of each slot, the connection that it holds: acts on an older one are void.
    generations: Vec<u64>,
    acts: BinaryHeap<Scheduled>,
    order: u64,
}

impl Script {
    fn schedule(&mut self, delay_ns: u64, slot: usize, act: Act) {
        self.order += 1;
        let generation = self.generations[slot];
        self.acts.push(Reverse((self.now_ns + delay_ns, self.order, slot, generation, act)));
    }

    fn apply(&mut self, slot: usize, next: Next, handler: &mut impl Handler) {
        match next {
            Next::Wait => {}
            Next::Send => {
                assert_eq!(handler.request(slot), b"request");
                for (delay_ns, act) in (self.server)(self.requests) {
                    self.schedule(delay_ns, slot, act);
                }
                self.requests += 1;
            }
            Next::Reopen => self.open(slot, handler),
            Next::Close => self.generations[slot] += 1,
        }
    }
}

impl Script {
    fn perform(&mut self, slot: usize, act: Act, handler: &mut impl Handler) {
        let now_ns = self.now_ns;
        let next = match act {
            Act::Open => handler.opened(now_ns, slot),
            Act::Refuse => handler.failed(now_ns, slot, Failure::Connect),
            Act::Bytes(text) => handler.received(now_ns, slot, text.as_bytes(), true),
            Act::LastBytes(text) => handler.received(now_ns, slot, text.as_bytes(), false),
            Act::Close => handler.closed(now_ns, slot),
            Act::Reset => handler.failed(now_ns, slot, Failure::Read),
        };
        self.apply(slot, next, handler);
    }
}

impl Transport for Script {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn open(&mut self, slot: usize, _handler: &mut impl Handler) {
        self.generations[slot] += 1;
        let act = (self.door)(self.opened);
        self.opened += 1;
        self.schedule(MS, slot, act);
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        let until_ns = self.now_ns + wait_ns;
        let next_ns = self.acts.peek().map_or(u64::MAX, |Reverse((at_ns, ..))| *at_ns);
        self.now_ns = next_ns.min(until_ns);
        while let Some(Reverse((at_ns, _, slot, generation, act))) = self.acts.peek().copied()
            && at_ns == self.now_ns
        {
            self.acts.pop();
            if generation == self.generations[slot] {
                self.perform(slot, act, handler);
            }
        }
        Ok(())
    }
}

struct Case {
    connections: usize,
    warmup_ms: u64,
    duration_ms: u64,
    server: Server,
    door: fn(u64) -> Act,
    interrupted: bool,
}

/// One connection for 100 ms, to a server that answers after 1 ms.
const CASE: Case = Case {
    connections: 1,
    warmup_ms: 0,
    duration_ms: 100,
    server: |_| vec![(MS, Act::Bytes(OK))],
    door: |_| Act::Open,
    interrupted: false,
};

fn outcome(case: &Case) -> Outcome {
    let plan = Plan {
        schedule: Schedule::Closed,
        transport: TransportKind::Epoll,
        stop: StopRule::After(Duration::from_millis(case.duration_ms)),
        warmup: Duration::from_millis(case.warmup_ms),
        timeout: Duration::from_millis(10),
        connections: case.connections,
    };
    let mut script = Script {
        now_ns: 5 * MS,
        server: case.server,
        door: case.door,
        opened: 0,
        requests: 0,
        generations: vec![0; case.connections],
        acts: BinaryHeap::new(),
        order: 0,
    };
    let window = Window::new(script.now_ns, &plan);
    let worker = Worker::new(&plan, b"request".to_vec());
    let outcome = run(&mut script, worker, window, &AtomicBool::new(case.interrupted)).unwrap();
    assert!(outcome.counts.balance(), "{:?}", outcome.counts);
    assert_eq!(outcome.latency.count(), outcome.counts.requests);
    assert_eq!(outcome.series.iter().sum::<u64>(), outcome.counts.requests);
    assert_eq!(outcome.statuses.iter().sum::<u64>(), outcome.counts.requests);
    outcome
}

/// Counts, with what no case is about left out.
fn counts(case: &Case) -> Counts {
    Counts { read_bytes: 0, ..outcome(case).counts }
}

#[test]
fn a_steady_server_gives_exactly_the_latencies_it_has() {
    let outcome = outcome(&Case { connections: 3, duration_ms: 1000, ..CASE });
    // Connections open after 1 ms; each then has an answer every millisecond up to 1,000 ms.
    let expect = Counts {
        sent: 3000,
        requests: 2997,
        read_bytes: 2997 * OK.len() as u64,
        in_flight: 3,
        ..Counts::default()
    };
    assert_eq!(outcome.counts, expect);
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (MS, MS));
    assert_eq!(outcome.duration_s(), 1.0);
    assert_eq!(outcome.statuses[200], 2997);
    assert_eq!(outcome.rates.count(), 10);
    assert_eq!(outcome.rates.max(), 3000);
    assert_eq!(outcome.series.len(), 10);
    assert_eq!((outcome.series[0], outcome.series[5]), (297, 300));
}

#[test]
fn a_late_answer_is_counted_as_late_and_kept() {
    let server: Server = |n| vec![(if n == 5 { 50 * MS } else { MS }, Act::Bytes(OK))];
    let outcome = outcome(&Case { server, ..CASE });
    assert_eq!(outcome.counts.timeout, 1);
    assert_eq!(outcome.latency.max(), 50 * MS);
    assert_eq!(outcome.counts.requests, 50);
}

#[test]
fn an_answer_in_pieces_is_complete_with_its_last_byte() {
    let server: Server = |_| {
        vec![
            (MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-le")),
            (2 * MS, Act::Bytes("ngth: 2\r\n\r\no")),
            (3 * MS, Act::Bytes("k")),
        ]
    };
    let outcome = outcome(&Case { server, ..CASE });
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (3 * MS, 3 * MS));
    assert_eq!(outcome.counts.requests, 33);
}

#[test]
fn a_server_that_never_answers_leaves_every_request_in_flight() {
    let expect = Counts { sent: 4, in_flight: 4, ..Counts::default() };
    assert_eq!(counts(&Case { connections: 4, server: |_| Vec::new(), ..CASE }), expect);
}

#[test]
fn an_announced_close_is_no_error_however_it_arrives() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    const UNTIL: &str = "HTTP/1.1 200 OK\r\n\r\nok";
    let servers: [Server; 4] = [
        |_| vec![(MS, Act::Bytes(LAST)), (MS, Act::Close)],
        |_| vec![(MS, Act::LastBytes(LAST)), (MS, Act::Close)],
        |_| vec![(MS, Act::LastBytes(OK)), (MS, Act::Close)],
        |_| vec![(MS / 2, Act::Bytes(UNTIL)), (MS, Act::Close)],
    ];
    for (index, server) in servers.into_iter().enumerate() {
        let expect = Counts {
            // Opening takes a millisecond, answering another: 2, 4, … 98 ms, and at 100 ms.
            sent: 50,
            requests: 50,
            reopened: 50,
            ..Counts::default()
        };
        assert_eq!(counts(&Case { server, ..CASE }), expect, "server {index}");
    }
}

#[test]
fn failures_are_counted_by_kind_and_the_connection_opened_again() {
    let check = |server: Server, expect: Counts| {
        let expect = Counts { sent: 50, reopened: 50, ..expect };
        assert_eq!(counts(&Case { server, ..CASE }), expect);
    };
    let read = Counts { read: 50, ..Counts::default() };
    let framing = Counts { framing: 50, ..Counts::default() };
    check(|_| vec![(MS, Act::Reset)], read);
    check(|_| vec![(MS, Act::Close)], read);
    check(|_| vec![(MS / 2, Act::Bytes("HTTP/1.1 2")), (MS, Act::Reset)], read);
    check(|_| vec![(MS / 2, Act::Bytes("HTTP/1.1 2")), (MS, Act::Close)], framing);
    check(|_| vec![(MS, Act::Bytes("SSH-2.0-OpenSSH\r\n"))], framing);
    check(|_| vec![(MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok"))], framing);
    check(
        |_| {
            let short = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok";
            vec![(MS / 2, Act::Bytes(short)), (MS, Act::Close)]
        },
        framing,
    );
}

#[test]
fn after_a_failure_a_response_that_had_begun_is_forgotten() {
    let server: Server = |n| match n {
        0 => vec![(MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-")), (2 * MS, Act::Reset)],
        _ => vec![(MS, Act::Bytes(OK))],
    };
    let got = counts(&Case { server, ..CASE });
    assert_eq!((got.read, got.framing, got.requests), (1, 0, 96));
}

#[test]
fn bad_statuses_are_counted_and_completed() {
    let server: Server = |n| {
        let bad = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        vec![(MS, Act::Bytes(if n % 3 == 0 { bad } else { OK }))]
    };
    let outcome = outcome(&Case { server, ..CASE });
    assert_eq!((outcome.counts.requests, outcome.counts.status), (99, 33));
    assert_eq!((outcome.statuses[200], outcome.statuses[404]), (66, 33));
}

#[test]
fn refused_connections_are_tried_again_at_a_bounded_pace() {
    let got = counts(&Case { duration_ms: 1000, door: |_| Act::Refuse, ..CASE });
    // At 1 ms and each 101 ms after: the pause, and a millisecond to be refused.
    assert_eq!(got, Counts { connect: 10, ..Counts::default() });
    let door = |n| if n < 3 { Act::Refuse } else { Act::Open };
    let got = counts(&Case { duration_ms: 1000, door, ..CASE });
    assert_eq!((got.connect, got.reopened), (3, 0));
    // Open at 304 ms, then an answer each millisecond.
    assert_eq!(got.requests, 696);
}

#[test]
fn the_warmup_is_forgotten_but_for_the_requests_in_flight() {
    // The connection opens at 1 ms, the first answer comes at 51 ms: it was sent in the warm-up.
    let server: Server = |n| vec![(if n == 0 { 50 * MS } else { MS }, Act::Bytes(OK))];
    let outcome = outcome(&Case { warmup_ms: 20, duration_ms: 100, server, ..CASE });
    assert_eq!(outcome.counts.requests, 70);
    assert_eq!(outcome.counts.sent, 71);
    assert_eq!(outcome.latency.max(), 50 * MS);
    assert_eq!(outcome.duration_s(), 0.1);
    assert_eq!(outcome.series, [70]);
}

#[test]
fn an_interrupted_run_reports_what_it_has() {
    let early = outcome(&Case { interrupted: true, ..CASE });
    assert_eq!(early.counts, Counts::default());
    let in_warmup = outcome(&Case { interrupted: true, warmup_ms: 50, ..CASE });
    assert_eq!((in_warmup.counts, in_warmup.duration_s()), (Counts::default(), 0.0));
}

#[test]
fn outcomes_of_threads_add_up() {
    let mut left = outcome(&Case { connections: 2, duration_ms: 200, ..CASE });
    let right = outcome(&Case { duration_ms: 100, ..CASE });
    let (requests, series) = (left.counts.requests, left.series.clone());
    left.merge(&right);
    assert_eq!(left.counts.requests, requests + right.counts.requests);
    assert_eq!(left.latency.count(), left.counts.requests);
    assert_eq!(left.series, [series[0] + right.series[0], series[1]]);
    assert_eq!(left.rates.count(), 3);
    assert!(left.counts.balance());
}
