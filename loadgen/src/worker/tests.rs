//! The loop in virtual time, over a transport that is a script: what a server does with the n-th
//! request of a run is a function, and every latency is known beforehand.

mod failures;
mod interruptions;
mod open_loop;
mod sources;

use super::*;
use crate::source::Fixed;
use crate::transport::{Failure, Handler};
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
    /// Nothing at all.
    Silence,
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
    /// What a poll costs that does not wait, so that a thread that spins gets on.
    poll_ns: u64,
    /// By how much the first wait overruns that only ends by its time.
    stall_ns: u64,
    /// When the core is taken away while the transport looks or waits, and for how long; in order.
    interruptions: VecDeque<(u64, u64)>,
    /// What it costs the thread to write the request of that number.
    send_cost_ns: fn(u64) -> u64,
    /// What was sent, in order.
    sent: Vec<(u64, Vec<u8>)>,
}

impl Script {
    fn new(case: &Case) -> Self {
        Self {
            now_ns: 5 * MS,
            server: case.server,
            door: case.door,
            opened: 0,
            requests: 0,
            generations: vec![0; case.plan.connections],
            acts: BinaryHeap::new(),
            order: 0,
            poll_ns: 0,
            stall_ns: 0,
            interruptions: VecDeque::new(),
            send_cost_ns: |_| 0,
            sent: Vec::new(),
        }
    }

    fn schedule(&mut self, delay_ns: u64, slot: usize, act: Act) {
        self.order += 1;
        let generation = self.generations[slot];
        self.acts.push(Reverse((self.now_ns + delay_ns, self.order, slot, generation, act)));
    }

    fn apply(&mut self, slot: usize, next: Next, handler: &mut impl Handler) {
        match next {
            Next::Wait => {}
            Next::Send => self.send(slot, handler),
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
            Act::Silence => return,
            Act::Refuse => handler.failed(now_ns, slot, Failure::Connect, libc::ECONNREFUSED),
            Act::Bytes(text) => handler.received(now_ns, slot, text.as_bytes(), true),
            Act::LastBytes(text) => handler.received(now_ns, slot, text.as_bytes(), false),
            Act::Close => handler.closed(now_ns, slot),
            Act::Reset => handler.failed(now_ns, slot, Failure::Read, libc::ECONNRESET),
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

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        self.sent.push((self.now_ns, handler.request(slot).to_vec()));
        for (delay_ns, act) in (self.server)(self.requests) {
            self.schedule(delay_ns, slot, act);
        }
        self.now_ns += (self.send_cost_ns)(self.requests);
        self.requests += 1;
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        let until_ns = self.now_ns + wait_ns.max(self.poll_ns);
        let next_ns = self.acts.peek().map_or(u64::MAX, |Reverse((at_ns, ..))| *at_ns);
        // What fell due while a request was written is late.
        self.now_ns = next_ns.clamp(self.now_ns, until_ns);
        if self.now_ns < next_ns {
            self.now_ns += std::mem::take(&mut self.stall_ns);
        }
        while let Some((_, length_ns)) =
            self.interruptions.pop_front_if(|(at, _)| *at <= self.now_ns)
        {
            self.now_ns += length_ns;
        }
        let (now_ns, next_ns) = (self.now_ns, self.acts.peek().map(|Reverse((at_ns, ..))| *at_ns));
        handler.looked(&|| now_ns, next_ns.is_some_and(|at_ns| at_ns <= now_ns));
        while let Some(Reverse((at_ns, _, slot, generation, act))) = self.acts.peek().copied()
            && at_ns <= self.now_ns
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
    plan: Plan,
    server: Server,
    door: fn(u64) -> Act,
    interrupted: bool,
}

/// One connection for 100 ms, to a server that answers after 1 ms.
fn case() -> Case {
    Case {
        plan: Plan { timeout: Duration::from_millis(10), ..closed(1, 100) },
        server: |_| vec![(MS, Act::Bytes(OK))],
        door: |_| Act::Open,
        interrupted: false,
    }
}

fn closed(connections: usize, duration_ms: u64) -> Plan {
    let plan = Plan::closed(connections, Duration::from_millis(duration_ms));
    Plan { timeout: Duration::from_millis(10), ..plan }
}

/// Runs a case with a source of its own; returns what was measured and what was sent.
fn run_with<S: Source>(case: &Case, source: S) -> Result<(Outcome, Script), LoadError> {
    let mut script = Script::new(case);
    if case.plan.spin == Spin::Always {
        script.poll_ns = 1000;
    }
    let window = Window::new(script.now_ns, &case.plan);
    let worker = Worker::new(&case.plan, source, Share::WHOLE, &window);
    let interrupted = AtomicBool::new(case.interrupted);
    let (outcome, _) = run(&mut script, worker, window, &interrupted)?;
    let counts = &outcome.counts;
    assert!(counts.balance(), "{counts:?}");
    if !case.plan.batch_latency {
        assert_eq!(outcome.latency.count(), counts.requests + counts.censored());
    }
    assert_eq!(outcome.series.iter().sum::<u64>(), counts.requests);
    assert_eq!(outcome.statuses.iter().sum::<u64>(), counts.requests);
    Ok((outcome, script))
}

fn outcome(case: &Case) -> Outcome {
    let source = Fixed::new(b"request".to_vec(), 1);
    let (outcome, script) = run_with(case, source).unwrap();
    assert!(script.sent.iter().all(|(_, bytes)| bytes == b"request"));
    outcome
}

/// A figure that was read off a histogram of three digits.
#[track_caller]
fn assert_near(value_ns: u64, expect_ms: u64) {
    let expect_ns = expect_ms * MS;
    assert!(value_ns.abs_diff(expect_ns) <= expect_ns / 1000, "{value_ns} for {expect_ms} ms");
}

/// Counts, with what no case is about left out.
fn counts(case: &Case) -> Counts {
    Counts { read_bytes: 0, ..outcome(case).counts }
}

#[test]
fn a_steady_server_gives_exactly_the_latencies_it_has() {
    let outcome = outcome(&Case { plan: closed(3, 1000), ..case() });
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
    assert_eq!(outcome.in_flight_ns, 3 * 999 * u128::from(MS));
    assert_eq!(outcome.statuses[200], 2997);
    assert_eq!(outcome.rates.count(), 10);
    assert_eq!(outcome.rates.max(), 3000);
    assert_eq!(outcome.series.len(), 10);
    assert_eq!((outcome.series[0], outcome.series[5]), (297, 300));
}

#[test]
fn a_late_answer_is_counted_as_late_and_kept() {
    let server: Server = |n| vec![(if n == 5 { 50 * MS } else { MS }, Act::Bytes(OK))];
    let outcome = outcome(&Case { server, ..case() });
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
    let outcome = outcome(&Case { server, ..case() });
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (3 * MS, 3 * MS));
    assert_eq!(outcome.counts.requests, 33);
}

#[test]
fn a_server_that_never_answers_leaves_every_request_hung() {
    let expect = Counts { sent: 4, hung: 4, ..Counts::default() };
    assert_eq!(counts(&Case { plan: closed(4, 100), server: |_| Vec::new(), ..case() }), expect);
}

#[test]
fn bad_statuses_are_counted_and_completed() {
    let server: Server = |n| {
        let bad = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        vec![(MS, Act::Bytes(if n % 3 == 0 { bad } else { OK }))]
    };
    let outcome = outcome(&Case { server, ..case() });
    assert_eq!((outcome.counts.requests, outcome.counts.status), (99, 33));
    assert_eq!((outcome.statuses[200], outcome.statuses[404]), (66, 33));
}

#[test]
fn the_warmup_is_forgotten_but_for_the_requests_in_flight() {
    // The connection opens at 1 ms, the first answer comes at 51 ms: it was sent in the warm-up.
    let server: Server = |n| vec![(if n == 0 { 50 * MS } else { MS }, Act::Bytes(OK))];
    let plan = Plan { warmup: Duration::from_millis(20), ..closed(1, 100) };
    let outcome = outcome(&Case { plan, server, ..case() });
    assert_eq!(outcome.counts.requests, 70);
    assert_eq!(outcome.counts.sent, 71);
    assert_eq!(outcome.latency.max(), 50 * MS);
    assert_eq!(outcome.duration_s(), 0.1);
    assert_eq!(outcome.series, [70]);
}

#[test]
fn whoever_watches_sees_every_response_once() {
    let case = Case { plan: closed(1, 1050), ..case() };
    let mut script = Script::new(&case);
    let window = Window::new(script.now_ns, &case.plan);
    let (mut taps, intervals) = watch(1, Duration::from_millis(200));
    let source = Fixed::new(b"request".to_vec(), 1);
    let worker = Worker::new(&case.plan, source, Share::WHOLE, &window);
    let worker = worker.watched_by(taps.remove(0));
    let (outcome, _) = run(&mut script, worker, window, &AtomicBool::new(false)).unwrap();
    let seen: Vec<_> = intervals
        .map(|interval| (interval.index, interval.counts.requests, interval.latency.count()))
        .collect();
    // An answer each millisecond but for the first, in which the connection opens; what comes in
    // the moment of the end is of the interval that ends.
    let expect = [(0, 199), (1, 200), (2, 200), (3, 200), (4, 200), (5, 50)];
    assert_eq!(seen, expect.map(|(index, count)| (index, count, count)));
    assert_eq!(outcome.counts.requests, 1049);
}

#[test]
fn an_interrupted_run_reports_what_it_has() {
    let early = outcome(&Case { interrupted: true, ..case() });
    assert_eq!(early.counts, Counts::default());
    let plan = Plan { warmup: Duration::from_millis(50), ..closed(1, 100) };
    let in_warmup = outcome(&Case { interrupted: true, plan, ..case() });
    assert_eq!((in_warmup.counts, in_warmup.duration_s()), (Counts::default(), 0.0));
}

#[test]
fn outcomes_of_threads_add_up() {
    let mut left = outcome(&Case { plan: closed(2, 200), ..case() });
    let right = outcome(&case());
    let (requests, series) = (left.counts.requests, left.series.clone());
    left.merge(&right);
    assert_eq!(left.counts.requests, requests + right.counts.requests);
    assert_eq!(left.latency.count(), left.counts.requests);
    assert_eq!(left.series, [series[0] + right.series[0], series[1]]);
    assert_eq!(left.rates.count(), 3);
    assert!(left.counts.balance());
}
