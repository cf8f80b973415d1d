//! The open loop: requests at their times, whatever became of those before.
//!
//! The window of an open loop begins 100 ms, and 100 µs for each connection, after the start.

use super::*;
use crate::plan::Arrival;

/// `rate_rps` requests per second over `connections` for `duration_ms`.
fn open(rate_rps: u64, connections: usize, duration_ms: u64) -> Plan {
    let schedule = Schedule::Open { rate_rps, arrival: Arrival::Fixed, seed: 1 };
    Plan { schedule, spin: Spin::Never, ..closed(connections, duration_ms) }
}

#[test]
fn requests_go_out_at_their_times() {
    let plan = open(1000, 2, 100);
    let source = Fixed::new(b"request".to_vec(), 1);
    let (outcome, script) = run_with(&Case { plan, ..case() }, source).unwrap();
    // The test's clock starts at 5 ms, the load 100.2 ms later.
    let expect: Vec<u64> = (0..100).map(|n| 105_200_000 + n * MS).collect();
    assert_eq!(script.sent.iter().map(|(at_ns, _)| *at_ns).collect::<Vec<_>>(), expect);
    let counts = outcome.counts;
    assert_eq!((counts.sent, counts.requests, counts.queued, counts.late), (100, 100, 0, 0));
    assert_eq!((counts.in_flight, counts.unsent), (0, 0));
    assert_eq!(outcome.lateness.unwrap().max(), 0);
    assert_eq!((outcome.latency.max(), outcome.service.unwrap().max()), (MS, MS));
    // Little's law: 1,000 requests per second of 1 ms each are one in flight.
    assert_eq!(outcome.in_flight_ns, 100 * u128::from(MS));
}

#[test]
fn a_thread_that_spins_is_late_by_no_more_than_a_poll() {
    for spin in [Spin::Near, Spin::Always] {
        let plan = Plan { spin, ..open(333, 1, 1000) };
        let mut script = Script::new(&Case { plan, ..case() });
        script.poll_ns = 1000;
        let window = Window::new(script.now_ns, &plan);
        let source = Fixed::new(b"request".to_vec(), 1);
        let worker = Worker::new(&plan, source, Share::WHOLE, &window);
        let interrupted = AtomicBool::new(false);
        let (outcome, _) = run(&mut script, worker, window, &interrupted).unwrap();
        assert_eq!(outcome.counts.requests, 333, "{spin}");
        assert!(outcome.lateness.unwrap().max() <= 1000, "{spin}");
    }
}

/// One connection, one request each 10 ms; the tenth answer takes a second, the others 1 ms.
const STALLS: Server = |n| vec![(if n == 9 { 1000 * MS } else { MS }, Act::Bytes(OK))];

#[test]
fn a_stall_is_seen_by_all_who_would_have_waited() {
    let plan = open(100, 1, 10_000);
    let outcome = outcome(&Case { plan, server: STALLS, ..case() });
    // The tenth request is due at 90 ms and answered at 1,090 ms. The one due at 100 ms is then
    // sent and answered 991 ms after it was due, the next 991 + 1 - 10 ms after, and so on: each
    // waits 9 ms less, until after 110 of them there is no wait. Of 1,000 requests in order of
    // their latency the last has 1,000 ms, the 999th 991 ms, the 991st eight times 9 ms less.
    let latency = &outcome.latency;
    assert_eq!(outcome.counts.sent, 1000);
    assert_eq!(latency.max(), 1000 * MS);
    assert_near(latency.percentile(99.9), 1000);
    assert_near(latency.percentile(99.8), 991);
    assert_near(latency.percentile(99.0), 991 - 8 * 9);
    assert_near(latency.percentile(50.0), 1);
    assert_eq!(outcome.counts.queued, 110);
    // What the service took shows the one request that it held.
    let service = outcome.service.unwrap();
    assert_eq!(service.max(), 1000 * MS);
    assert_near(service.percentile(99.8), 1);
    assert_eq!(outcome.lateness.unwrap().max(), 0, "the generator was never late");
}

#[test]
fn a_closed_loop_hides_a_stall_from_its_percentiles_and_names_it() {
    let outcome = outcome(&Case { plan: closed(1, 10_000), server: STALLS, ..case() });
    assert_near(outcome.latency.percentile(99.9), 1);
    assert_eq!(outcome.gap.length_ns, 1000 * MS);
    assert_eq!(outcome.gap.began_ns - outcome.began_ns, 10 * MS);
}

#[test]
fn what_cannot_be_sent_by_the_end_is_counted_and_kept() {
    let plan = open(1000, 1, 100);
    let outcome = outcome(&Case { plan, server: |_| Vec::new(), ..case() });
    let counts = outcome.counts;
    assert_eq!((counts.sent, counts.hung, counts.in_flight), (1, 1, 0));
    // Due at 1, 2 … 99 ms.
    assert_eq!((counts.unsent, outcome.latency.count()), (99, 100));
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (MS, 100 * MS));
    assert_eq!(counts.censored(), 100);
}

#[test]
fn a_server_of_half_the_rate_makes_the_wait_grow() {
    // Due each 1 ms, served each 2 ms: the n-th is answered 2 (n + 1) ms after the start.
    let plan = open(1000, 1, 100);
    let server: Server = |_| vec![(2 * MS, Act::Bytes(OK))];
    let outcome = outcome(&Case { plan, server, ..case() });
    let counts = outcome.counts;
    assert_eq!((counts.requests, counts.sent, counts.in_flight), (50, 51, 1));
    assert_eq!(counts.queued, 50);
    assert_eq!(counts.sent + counts.unsent, 100);
    assert_eq!(outcome.latency.max(), 51 * MS);
    assert_eq!(outcome.service.unwrap().max(), 2 * MS);
}

#[test]
fn a_known_distribution_comes_out_as_computed_by_hand() {
    // A thousand answers, of 1 ms to 1,000 ms, in an order that mixes them, and connections for
    // all. What comes after them is not answered, and not old enough to hang.
    let server: Server = |n| match n {
        0..1000 => vec![((n * 7919 % 1000 + 1) * MS, Act::Bytes(OK))],
        _ => Vec::new(),
    };
    let plan = Plan { timeout: Duration::from_secs(2), ..open(500, 2000, 3001) };
    let outcome = outcome(&Case { plan, server, ..case() });
    let counts = outcome.counts;
    assert_eq!((counts.requests, counts.queued, counts.hung), (1000, 0, 0));
    assert_eq!(outcome.latency.histogram(), outcome.service.as_ref().unwrap().histogram());
    for (percent, expect_ms) in [(50.0, 501), (75.0, 751), (90.0, 901), (99.0, 991), (99.9, 1000)] {
        assert_near(outcome.latency.percentile(percent), expect_ms);
    }
    assert_eq!(outcome.latency.mean(), 500.5e6);
}

#[test]
fn a_connection_that_is_closed_while_it_is_free_is_opened_again_without_an_error() {
    let server: Server = |_| vec![(MS, Act::Bytes(OK)), (2 * MS, Act::Close)];
    let outcome = outcome(&Case { plan: open(100, 3, 1000), server, ..case() });
    let counts = outcome.counts;
    assert_eq!((counts.requests, counts.read, counts.queued), (100, 0, 0));
    assert_eq!(counts.reopened, 100);
}

#[test]
fn a_thread_that_is_kept_from_its_cpu_is_late_and_measures_the_same_time() {
    let plan = open(1000, 4, 1000);
    let mut script = Script::new(&Case { plan, ..case() });
    let window = Window::new(script.now_ns, &plan);
    let source = Fixed::new(b"request".to_vec(), 1);
    let worker = Worker::new(&plan, source, Share::WHOLE, &window);
    // The wait for the beginning of the window is over 300 ms after it.
    script.stall_ns = 300 * MS;
    let (outcome, _) = run(&mut script, worker, window, &AtomicBool::new(false)).unwrap();
    assert_eq!((outcome.began_ns, outcome.ended_ns), (window.measure_ns, window.end_ns));
    assert_eq!(outcome.counts.sent + outcome.counts.unsent, 1000);
    assert_eq!(outcome.latency.max(), 301 * MS);
    let lateness = outcome.lateness.unwrap();
    assert_eq!(lateness.max(), 300 * MS, "it was the generator's, not a wait for a connection");
}

#[test]
fn what_nobody_asked_for_ends_the_connection_that_it_came_on() {
    let server: Server = |_| {
        let farewell = "HTTP/1.1 408 Request Timeout\r\ncontent-le";
        vec![(MS, Act::Bytes(OK)), (2 * MS, Act::Bytes(farewell))]
    };
    let outcome = outcome(&Case { plan: open(100, 1, 1000), server, ..case() });
    let counts = outcome.counts;
    assert_eq!((counts.requests, counts.framing, counts.reopened), (100, 0, 100));
}

#[test]
fn a_batch_is_due_as_often_as_its_requests_allow() {
    let server: Server = |_| vec![(MS, Act::Bytes(OK)), (MS, Act::Bytes(OK))];
    let source = Fixed::new(b"two requests".to_vec(), 2);
    let case = Case { plan: open(100, 1, 1000), server, ..case() };
    let (outcome, script) = run_with(&case, source).unwrap();
    assert_eq!((script.sent.len(), outcome.counts.requests), (50, 100));
    assert_eq!(script.sent[1].0 - script.sent[0].0, 20 * MS);
}

#[test]
fn a_thousand_random_arrivals_are_sent_when_they_are_due() {
    let schedule = Schedule::Open { rate_rps: 1000, arrival: Arrival::Poisson, seed: 3 };
    let plan = Plan { schedule, ..open(1, 50, 10_000) };
    let source = Fixed::new(b"request".to_vec(), 1);
    let (outcome, script) = run_with(&Case { plan, ..case() }, source).unwrap();
    assert_eq!((outcome.counts.queued, outcome.counts.late), (0, 0));
    assert!((9_700..10_300).contains(&script.sent.len()), "{}", script.sent.len());
    assert_eq!(outcome.latency.max(), MS);
}

#[test]
fn what_was_due_in_the_warmup_is_not_reported_but_what_waits_is() {
    // Nothing is answered in the warm-up of 50 ms; then all that waited is, in order.
    let server: Server = |n| vec![(if n == 0 { 60 * MS } else { MS / 2 }, Act::Bytes(OK))];
    let plan = Plan { warmup: Duration::from_millis(50), ..open(1000, 1, 100) };
    let outcome = outcome(&Case { plan, server, ..case() });
    assert_eq!(outcome.latency.max(), 60 * MS);
    assert!(outcome.counts.requests > 100, "those of the warm-up that waited are answered");
}
