//! Sources that are more than one request: batches, rests, scripts that listen and that stop.

use super::*;
use crate::plan::Arrival;
use std::cell::RefCell;
use std::rc::Rc;

/// A source whose every wish is a field.
#[derive(Clone, Default)]
struct Dynamic {
    depth: usize,
    delay_ms: Option<u64>,
    listens: bool,
    /// Batches after which it stops.
    stops_after: usize,
    /// Responses after which it stops.
    stops_after_responses: usize,
    /// Batches after which it breaks.
    breaks_after: usize,
    /// What it was asked and told.
    log: Rc<RefCell<Log>>,
}

#[derive(Default)]
struct Log {
    rendered: usize,
    responses: Vec<(u16, String)>,
}

impl Source for Dynamic {
    fn depth(&self) -> usize {
        self.depth
    }

    fn delay(&mut self) -> Result<Option<Duration>, SourceError> {
        Ok(self.delay_ms.map(Duration::from_millis))
    }

    fn render(&mut self, into: &mut Vec<u8>) -> Result<(), SourceError> {
        let mut log = self.log.borrow_mut();
        if log.rendered == self.breaks_after {
            return Err(SourceError("x.lua:3: broken".to_owned()));
        }
        into.clear();
        into.extend_from_slice(format!("batch {}", log.rendered).as_bytes());
        log.rendered += 1;
        Ok(())
    }

    fn wants_responses(&self) -> bool {
        self.listens
    }

    fn response(
        &mut self,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
    ) -> Result<(), SourceError> {
        assert_eq!(fields.len(), 1);
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.log.borrow_mut().responses.push((status, body));
        Ok(())
    }

    fn stopped(&self) -> bool {
        let log = self.log.borrow();
        log.rendered >= self.stops_after || log.responses.len() >= self.stops_after_responses
    }
}

fn source() -> Dynamic {
    Dynamic {
        depth: 1,
        stops_after: usize::MAX,
        stops_after_responses: usize::MAX,
        breaks_after: usize::MAX,
        ..Dynamic::default()
    }
}

/// Three responses to a batch: two together after 1 ms, and the last in two pieces.
const THREE: Server = |_| {
    vec![
        (
            MS,
            Act::Bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na\
                 HTTP/1.1 404 No\r\ncontent-length: 1\r\n\r\nb\
                 HTTP/1.1 200 OK\r\ncontent-le",
            ),
        ),
        (3 * MS, Act::Bytes("ngth: 2\r\n\r\nc")),
        (4 * MS, Act::Bytes("d")),
    ]
};

#[test]
fn a_batch_gives_a_latency_for_each_response_and_wrk_one_for_all() {
    let plan = Plan { wrk_figures: true, ..closed(1, 100) };
    let source = Dynamic { depth: 3, ..source() };
    let (outcome, _) = run_with(&Case { plan, server: THREE, ..case() }, source).unwrap();
    // Batches go out at 1, 5, 9 … 97 ms; of the last, two answers come by 100 ms.
    let counts = outcome.counts;
    assert_eq!((counts.sent, counts.requests, counts.in_flight), (75, 74, 1));
    assert_eq!(counts.status, 25);
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (MS, 4 * MS));
    assert_near(outcome.latency.percentile(50.0), 1);
    assert_eq!(outcome.wrk.unwrap().latency_us, [(4000, 24)].into());
}

#[test]
fn a_batch_may_give_one_latency_where_that_is_asked_for() {
    let plan = Plan { batch_latency: true, ..closed(1, 100) };
    let source = Dynamic { depth: 3, ..source() };
    let (outcome, _) = run_with(&Case { plan, server: THREE, ..case() }, source).unwrap();
    assert_eq!(outcome.latency.count(), 24);
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (4 * MS, 4 * MS));
}

#[test]
fn a_batch_that_is_cut_off_loses_what_is_left_of_it() {
    let server: Server = |_| vec![(MS, Act::Bytes(OK)), (MS, Act::Reset)];
    let source = Dynamic { depth: 3, ..source() };
    let (outcome, _) = run_with(&Case { server, ..case() }, source).unwrap();
    let counts = outcome.counts;
    assert_eq!((counts.sent, counts.requests, counts.read), (150, 50, 100));
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(closing.len(), 57, "the server below sends it");
    let server: Server = |_| {
        let bytes = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        vec![(MS, Act::Bytes(bytes))]
    };
    let source = Dynamic { depth: 2, ..self::source() };
    let (outcome, _) = run_with(&Case { server, ..case() }, source).unwrap();
    assert_eq!((outcome.counts.requests, outcome.counts.read), (50, 50));
}

#[test]
fn more_responses_than_requests_are_malformed() {
    let server: Server = |_| {
        let two = "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        vec![(MS, Act::Bytes(two))]
    };
    let (outcome, _) = run_with(&Case { server, ..case() }, source()).unwrap();
    assert_eq!((outcome.counts.framing, outcome.counts.requests), (50, 0));
    let source = Dynamic { depth: 2, ..source() };
    let (outcome, _) = run_with(&Case { server, ..case() }, source).unwrap();
    assert_eq!((outcome.counts.framing, outcome.counts.requests), (0, 2 * 99));
}

#[test]
fn each_batch_is_made_for_itself_and_a_connection_rests_before_it() {
    let source = Dynamic { delay_ms: Some(9), ..source() };
    let (outcome, script) = run_with(&case(), source).unwrap();
    // Open at 6 ms on the clock of the test; each exchange is 9 ms of rest and 1 ms of waiting.
    let expect = |n: u64| ((15 + 10 * n) * MS, format!("batch {n}").into_bytes());
    assert_eq!(script.sent, (0..9).map(expect).collect::<Vec<_>>());
    assert_eq!(outcome.counts.requests, 9);
    assert_eq!((outcome.latency.min(), outcome.latency.max()), (MS, MS));
}

#[test]
fn a_rest_outlasts_a_connection_that_is_closed_meanwhile() {
    let server: Server = |_| vec![(MS, Act::Bytes(OK)), (2 * MS, Act::Close)];
    let source = Dynamic { delay_ms: Some(9), ..source() };
    let (outcome, script) = run_with(&Case { server, ..case() }, source).unwrap();
    let expect: Vec<u64> = (0..9).map(|n| (15 + 10 * n) * MS).collect();
    assert_eq!(script.sent.iter().map(|(at_ns, _)| *at_ns).collect::<Vec<_>>(), expect);
    assert_eq!((outcome.counts.read, outcome.counts.reopened), (0, 9));
}

#[test]
fn a_connection_that_opens_after_its_rest_sends_at_once() {
    // It is closed 500 µs before the end of its rest, and takes 1 ms to open.
    let server: Server = |_| vec![(MS, Act::Bytes(OK)), (9_500_000, Act::Close)];
    let source = Dynamic { delay_ms: Some(9), ..source() };
    let (_, script) = run_with(&Case { server, ..case() }, source).unwrap();
    let times: Vec<u64> = script.sent.iter().take(3).map(|(at_ns, _)| *at_ns).collect();
    assert_eq!(times, [15 * MS, 25 * MS + MS / 2, 36 * MS]);
}

#[test]
fn a_source_that_listens_is_told_of_every_response() {
    let source = Dynamic { depth: 3, listens: true, ..source() };
    let log = Rc::clone(&source.log);
    let (outcome, _) = run_with(&Case { server: THREE, ..case() }, source).unwrap();
    let responses = &log.borrow().responses;
    assert_eq!(responses.len() as u64, outcome.counts.requests);
    let expect = [(200, "a".to_owned()), (404, "b".to_owned()), (200, "cd".to_owned())];
    assert_eq!(responses[..3], expect);
}

#[test]
fn a_response_that_cannot_be_kept_ends_the_run_and_names_the_limit() {
    let server: Server = |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n";
        let megabyte: &'static str = "x".repeat(1 << 20).leak();
        let pieces = (0..70).map(|n| (MS + n, Act::Bytes(megabyte)));
        std::iter::once((MS, Act::Bytes(head))).chain(pieces).collect()
    };
    let source = Dynamic { listens: true, ..source() };
    let error = run_with(&Case { server, ..case() }, source).err().unwrap();
    assert!(error.to_string().contains("longer than the 64 MiB"), "{error}");
}

#[test]
fn a_source_that_stops_ends_its_thread() {
    let source = Dynamic { stops_after: 5, ..source() };
    let (outcome, script) = run_with(&case(), source).unwrap();
    assert_eq!((script.sent.len(), outcome.counts.requests), (5, 4));
    assert_eq!(outcome.duration_s(), 0.005);
}

#[test]
fn a_source_that_stops_when_it_has_seen_enough_sends_nothing_more() {
    let schedule = Schedule::Open { rate_rps: 2000, arrival: Arrival::Fixed, seed: 1 };
    // The open loop always has a request waiting for the connection when a response comes.
    for plan in [closed(1, 100), Plan { schedule, ..closed(1, 100) }] {
        // A batch, not a response, may give a latency: what was never sent must not.
        for batch_latency in [false, true] {
            let source = Dynamic { listens: true, stops_after_responses: 5, ..source() };
            let plan = Plan { batch_latency, spin: Spin::Never, timeout: Duration::ZERO, ..plan };
            let (outcome, script) = run_with(&Case { plan, ..case() }, source).unwrap();
            let Counts { sent, requests, in_flight, hung, .. } = outcome.counts;
            assert_eq!((script.sent.len(), sent, requests), (5, 5, 5), "{}", plan.schedule);
            assert_eq!((in_flight, hung), (0, 0), "{}", plan.schedule);
        }
    }
    // A rest that ends after the source has stopped is followed by no request.
    let source = Dynamic { listens: true, stops_after_responses: 5, delay_ms: Some(3), ..source() };
    let (_, script) = run_with(&Case { plan: closed(2, 100), ..case() }, source).unwrap();
    assert_eq!(script.sent.len(), 6);
}

#[test]
fn a_source_that_breaks_ends_the_run_with_its_words() {
    let source = Dynamic { breaks_after: 5, ..source() };
    let error = run_with(&case(), source).err().unwrap();
    assert_eq!(error.to_string(), "x.lua:3: broken");
}

#[test]
fn answers_to_head_have_no_body() {
    let server: Server =
        |_| vec![(MS, Act::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n"))];
    let source = Fixed::new(b"HEAD / HTTP/1.1\r\n\r\n".to_vec(), 1);
    let (outcome, _) = run_with(&Case { server, ..case() }, source).unwrap();
    assert_eq!(outcome.counts.requests, 99);
}
