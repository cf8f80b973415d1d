//! The truth about a server of which every fault is known: what it did is what the report says.
//!
//! Counts are compared exactly. Times are compared from below only: a delay of 20 ms makes a
//! latency of at least 20 ms on any machine, however slow.
#![forbid(unsafe_code)]

mod server;
#[macro_use]
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use server::{Fault, OK, Server};
use std::time::Duration;
use support::{Scratch, load_until, loadgen, text};

const MS: Duration = Duration::from_millis(1);

fn read(json: &Scratch) -> Value {
    serde_json::from_slice(&std::fs::read(&json.0).unwrap()).unwrap()
}

/// Runs the load with these words until the server has read so many requests, and returns its
/// report, which is checked to reconcile with itself and with what the server read.
fn load(name: &str, server: &Server, reads: u64, words: &[&str]) -> Value {
    let json = Scratch::new(&format!("fault-{name}.json"));
    let url = server.url();
    let words = [words, &["--json", json.path(), &url]].concat();
    load_until(&words, || server.reads().wait_for(reads));
    let report = read(&json);
    let number = |path: &str| report.pointer(path).map_or(0, |value| value.as_u64().unwrap());
    let errors = ["read", "write", "framing", "hung"];
    let failed: u64 = errors.iter().map(|kind| number(&format!("/errors/{kind}"))).sum();
    let (sent, requests, in_flight) = (number("/sent"), number("/requests"), number("/in_flight"));
    assert_eq!(sent, requests + failed + in_flight, "{report}");
    let seen = server.reads().get();
    assert!((sent - in_flight..=sent).contains(&seen), "{seen}: {report}");
    report
}

fn count(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {report}"))
}

fn micros(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {report}"))
}

/// How often each of these faults was done.
fn done(server: &Server, faults: &[Fault]) -> u64 {
    server.done().iter().filter(|fault| faults.contains(fault)).count() as u64
}

/// The first faults of a server that then behaves.
fn at_first(faults: &'static [Fault], times: usize) -> Server {
    Server::start(
        move |n| {
            if n < faults.len() * times { faults[n % faults.len()] } else { Fault::None }
        },
    )
}

/// Checks the counts of errors, a run in which `faults` come `times` each, then none.
fn check(name: &str, faults: &'static [Fault], times: usize, expect: &[(&str, u64)]) -> Value {
    let server = at_first(faults, times);
    let reads = (faults.len() * times) as u64 + 20;
    let report = load(name, &server, reads, &["-t1", "-c3"]);
    assert!(count(&report, "/requests") > 0, "{report}");
    for kind in ["connect", "read", "write", "framing", "status"] {
        let expected = expect.iter().find(|(name, _)| *name == kind).map_or(0, |(_, n)| *n);
        assert_eq!(
            count(&report, &format!("/errors/{kind}")),
            expected,
            "{name}, {kind}: {report}"
        );
    }
    report
}

#[test]
fn so_many_closes_and_resets_are_so_many_read_errors() {
    let report = check("close", &[Fault::Close], 8, &[("read", 8)]);
    assert_eq!(count(&report, "/reopened"), 8);
    let report = check("reset", &[Fault::Reset], 8, &[("read", 8)]);
    assert_eq!(count(&report, "/reopened"), 8);
}

#[test]
fn so_much_garbage_and_so_many_cut_responses_are_so_many_framing_errors() {
    let faults = &[Fault::Garbage, Fault::CutHead, Fault::CutBody];
    let report = check("framing", faults, 4, &[("framing", 12)]);
    assert_eq!(count(&report, "/reopened"), 12);
}

#[test]
fn all_faults_together_are_told_apart() {
    let faults = &[
        Fault::Close,
        Fault::Garbage,
        Fault::Refuse,
        Fault::Reset,
        Fault::CutBody,
        Fault::Dribble,
        Fault::CutHead,
    ];
    let expect = [("read", 10), ("framing", 15), ("status", 5)];
    let report = check("mixed", faults, 5, &expect);
    assert_eq!(count(&report, "/status/503"), 5);
    assert_eq!(count(&report, "/reopened"), 25);
    // A response with a bad status is a response.
    assert_eq!(count(&report, "/latency/count"), count(&report, "/requests"));
}

#[test]
fn a_response_in_as_many_pieces_as_bytes_is_one_response() {
    let server = Server::start(|_| Fault::Dribble);
    let report = load("dribble", &server, 20, &["-t1", "-c2"]);
    let (requests, in_flight) = (count(&report, "/requests"), count(&report, "/in_flight"));
    assert!(requests > 0, "{report}");
    let bytes = count(&report, "/read_bytes");
    let length = OK.len() as u64;
    // Beyond whole responses there may be parts of those that were still coming.
    assert!((requests * length..=(requests + in_flight) * length).contains(&bytes), "{report}");
}

#[test]
fn percentiles_are_at_least_the_delays_that_make_them() {
    // Nine of ten wait 1 ms, the tenth 20 ms.
    let delay = |n: u64| if n % 10 == 9 { 20 * MS } else { MS };
    let server = Server::start(move |n| Fault::Delay(delay(n as u64)));
    let report = load("delays", &server, 41, &["-t1", "-c1"]);
    let requests = count(&report, "/requests");
    assert!(requests >= 40, "{report}");
    assert!(micros(&report, "/latency/min_us") >= 1000.0, "{report}");
    assert!(micros(&report, "/latency/percentiles_us/p50") >= 1000.0, "{report}");
    assert!(micros(&report, "/latency/percentiles_us/p99") >= 20_000.0, "{report}");
    // With one connection the responses are those of the first requests, in order.
    let delays_us: Vec<u128> = (0..requests).map(|n| delay(n).as_micros()).collect();
    let long = delays_us.iter().filter(|delay_us| **delay_us == 20_000).count() as u64;
    let histogram = report.pointer("/latency/histogram_ns").unwrap().as_str().unwrap();
    let histogram = record::decode_histogram(histogram).unwrap();
    assert!(histogram.count_between(20_000_000, u64::MAX) >= long, "{long} of {requests}");
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a second")]
    let total_us = delays_us.iter().sum::<u128>() as f64;
    #[expect(clippy::cast_precision_loss, reason = "requests of a second")]
    let measured_us = micros(&report, "/latency/mean_us") * requests as f64;
    assert!(measured_us >= total_us * 0.999_999, "{measured_us} of {total_us}");
}

#[test]
fn responses_later_than_the_time_out_are_counted_and_kept() {
    let late = 1200 * MS;
    let server = Server::start(move |n| if n < 3 { Fault::Delay(late) } else { Fault::None });
    // The fourth and the fifth request are sent by those that had their late responses.
    let report = load("late", &server, 5, &["-t1", "-c3", "-T1"]);
    assert_eq!(done(&server, &[Fault::Delay(late)]), 3);
    assert!(count(&report, "/errors/timeout") >= 2, "{report}");
    // The third may still be under way at the end: then it is kept as what it had waited by then.
    let kept = count(&report, "/requests") + count(&report, "/censored");
    assert_eq!(count(&report, "/latency/count"), kept, "{report}");
    let histogram = report.pointer("/latency/histogram_ns").unwrap().as_str().unwrap();
    let histogram = record::decode_histogram(histogram).unwrap();
    let kept = histogram.count_between(1_200_000_000, u64::MAX);
    assert!(kept >= 2, "{kept}: {report}");
    assert!(micros(&report, "/latency/max_us") >= 1_200_000.0, "{report}");
}

#[test]
fn a_stall_is_the_maximum_of_a_closed_loop_and_nearly_nothing_else() {
    let stall = 500 * MS;
    let server = Server::start(move |n| if n == 20 { Fault::Stall(stall) } else { Fault::None });
    let report = load("stall", &server, 40, &["-t1", "-c4"]);
    assert_eq!(done(&server, &[Fault::Stall(stall)]), 1, "{report}");
    assert!(micros(&report, "/latency/max_us") >= 500_000.0, "{report}");
    // Nothing came for half a second, which a closed loop hides: however many requests there were,
    // a connection has one sample for each time that it waited.
    let histogram = report.pointer("/latency/histogram_ns").unwrap().as_str().unwrap();
    let histogram = record::decode_histogram(histogram).unwrap();
    let stalled = histogram.count_between(500_000_000, u64::MAX);
    let waits = report["duration_s"].as_f64().unwrap() / stall.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let share = stalled as f64 / (4.0 * waits);
    assert!(stalled >= 1 && share <= 1.0, "{stalled} of {}: {report}", histogram.len());
}

#[test]
fn a_stall_is_seen_by_every_request_that_was_due_in_it_in_open_loop() {
    let stall = 500 * MS;
    let server = Server::start(move |n| if n == 20 { Fault::Stall(stall) } else { Fault::None });
    let report = load("open-stall", &server, 1000, &["-t1", "-c4", "-R1k"]);
    assert_eq!(done(&server, &[Fault::Stall(stall)]), 1, "{report}");
    // One is due each millisecond: of those due in the first half of the stall, some 250, each
    // waits for the second half at least.
    let histogram = report.pointer("/latency/histogram_ns").unwrap().as_str().unwrap();
    let histogram = record::decode_histogram(histogram).unwrap();
    let waited = histogram.count_between(250_000_000, u64::MAX);
    assert!(waited >= 245, "{waited} of {}: {report}", histogram.len());
    // Of some 1000 requests that is more than one in ten, let alone in a thousand.
    assert!(micros(&report, "/latency/percentiles_us/p99_9") >= 250_000.0, "{report}");
}

#[test]
fn a_condition_that_comes_true_ends_the_run_with_99_and_its_figure() {
    let server = Server::start(|_| Fault::Delay(2 * MS));
    let json = Scratch::new("fault-condition.json");
    let run = |condition: &str| {
        let load = ["-t1", "-c1", "-d3", "-T1h", "--percentiles", "50,12.5,max"];
        let conditions = ["--fail-if", condition, "--fail-if", "errors>9"];
        loadgen(&[&load[..], &conditions, &["--json", json.path(), &server.url()]].concat())
    };
    let failed = run("min>1ms");
    let stderr = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(99), "{stderr}");
    assert!(stderr.contains("--fail-if 'min>1ms': min is 2"), "{stderr}");
    let stdout = text(&failed.stdout);
    assert!(stdout.contains("\n  Latency Percentiles\n     50%"), "{stdout}");
    let report = read(&json);
    let conditions = report["conditions"].as_array().unwrap();
    let [min, errors] = conditions.as_slice() else { panic!("{report}") };
    assert_eq!((&min["condition"], &min["failed"]), (&"min>1ms".into(), &true.into()));
    let measured = min["measured"].as_str().unwrap();
    assert!(stderr.contains(&format!("'min>1ms': {measured}\n")), "{measured}: {stderr}");
    let kept = serde_json::json!(
        { "condition": "errors>9", "measured": "errors is 0", "failed": false }
    );
    assert_eq!(*errors, kept);
    // Beside the percentiles that are always there, those that were asked for.
    let asked = ["p50", "p12_5", "max"].map(|key| format!("/latency/percentiles_us/{key}"));
    let [median, eighth, max] = asked.map(|path| micros(&report, &path));
    assert!(2000.0 <= eighth && eighth <= median && median <= max, "{report}");
    assert!((max - micros(&report, "/latency/max_us")).abs() < 1e-9, "{report}");
    assert_eq!(run("errors>0").status.code(), Some(0));
    let wrong = run("min>1");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("a latency needs one of the units"));
}

repeat_over_uring! {
    so_many_closes_and_resets_are_so_many_read_errors
    so_much_garbage_and_so_many_cut_responses_are_so_many_framing_errors
    all_faults_together_are_told_apart
    a_response_in_as_many_pieces_as_bytes_is_one_response
    percentiles_are_at_least_the_delays_that_make_them
    responses_later_than_the_time_out_are_counted_and_kept
    a_stall_is_the_maximum_of_a_closed_loop_and_nearly_nothing_else
    a_stall_is_seen_by_every_request_that_was_due_in_it_in_open_loop
}
