//! The binary over memif, against a server in this process: the same options, counts and reports
//! as over the kernel, without a privilege.
#![forbid(unsafe_code)]

mod server;
#[expect(unused_macros, dead_code, reason = "io_uring is not what these tests are about")]
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use server::{ADDRESS, Fault, Server};
use std::io::Write;
use support::{Scratch, load_until, loadgen, text};

const SOURCE: &str = "198.18.0.20";

/// What every run of a test has: the transport, the server's socket and the sources.
fn words<'a>(server: &'a Server, source: &'a str) -> Vec<&'a str> {
    vec!["--transport", "memif", "--socket", &server.socket, "--source", source]
}

fn url(address: impl std::fmt::Display) -> String {
    format!("http://{address}/plaintext")
}

/// The report, which reconciles with itself.
fn read(json: &Scratch) -> Value {
    let report: Value = serde_json::from_slice(&std::fs::read(&json.0).unwrap()).unwrap();
    let errors = ["read", "write", "framing", "hung"];
    let failed: u64 = errors.iter().map(|kind| count(&report, &format!("/errors/{kind}"))).sum();
    let ended = count(&report, "/requests") + failed + count(&report, "/in_flight");
    assert_eq!(count(&report, "/sent"), ended, "{report}");
    report
}

fn count(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {report}"))
}

/// Loads a server until `reached`, and returns what was printed and reported.
fn load(
    name: &str,
    server: &mut Server,
    (source, more): (&str, &[&str]),
    reached: impl FnOnce(&mut Server),
) -> (String, Value) {
    let json = Scratch::new(&format!("bypass-{name}.json"));
    let (socket, url) = (server.socket.clone(), url(ADDRESS));
    let own = ["--transport", "memif", "--socket", &socket, "--source", source];
    let words = [&own[..], more, &["--json", json.path(), &url]].concat();
    let output = load_until(&words, || reached(server));
    (text(&output.stdout).to_owned(), read(&json))
}

/// No error of any kind.
fn assert_clean(report: &Value) {
    for kind in ["connect", "read", "write", "timeout", "status", "framing", "hung"] {
        assert_eq!(count(report, &format!("/errors/{kind}")), 0, "{kind}: {report}");
    }
}

#[test]
fn a_closed_loop_prints_and_reports_as_over_the_kernel() {
    let mut server = Server::start("closed", Fault::None);
    let (printed, report) = load("closed", &mut server, (SOURCE, &["-c8", "-L"]), |server| {
        server.seen.requests.wait_for(2000);
    });
    assert!(printed.contains("  1 threads and 8 connections\n"), "{printed}");
    assert!(printed.contains("Latency Distribution") && printed.contains("Requests/sec:"));
    assert_clean(&report);
    assert_eq!(report["setup"]["transport"], "memif");
    assert_eq!(count(&report, "/status/200"), count(&report, "/requests"));
    // One connection was the probe's.
    assert_eq!(server.seen.connections.get(), 9);
    let (sent, in_flight) = (count(&report, "/sent"), count(&report, "/in_flight"));
    assert!((sent - in_flight..=sent).contains(&server.seen.requests.get()), "{report}");
}

#[test]
fn an_open_loop_sends_or_reports_as_unsent_what_is_due() {
    let server = Server::start("open", Fault::None);
    let json = Scratch::new("bypass-open.json");
    let url = url(ADDRESS);
    let more = ["-c4", "-d1s", "-R2000", "--json", json.path(), &url];
    let output = loadgen(&[&words(&server, SOURCE)[..], &more].concat());
    assert!(output.status.success(), "{output:?}");
    let report = read(&json);
    // The last turn may end a little later than the time, and finds more due.
    assert!(count(&report, "/sent") + count(&report, "/unsent") >= 2000, "{report}");
    assert_eq!(report["setup"]["schedule"], "open");
}

#[test]
fn a_thousand_connections_open_and_all_of_them_are_served() {
    let mut server = Server::start("ramp", Fault::None);
    let (_, report) = load("ramp", &mut server, (SOURCE, &["-c1000"]), |server| {
        server.seen.connections.wait_for(1001);
        let before = server.seen.requests.get();
        server.seen.requests.wait_for(before + 5000);
    });
    assert_clean(&report);
    assert_eq!(server.seen.connections.get(), 1001);
}

#[test]
fn connections_come_from_every_source() {
    let mut server = Server::start("sources", Fault::None);
    let sources = "198.18.0.20-198.18.0.26";
    let (_, report) = load("sources", &mut server, (sources, &["-c14"]), |server| {
        server.seen.connections.wait_for(15);
        let before = server.seen.requests.get();
        server.seen.requests.wait_for(before + 1000);
    });
    assert_clean(&report);
    let seen: Vec<u8> =
        server.seen.sources.lock().unwrap().iter().map(|address| address.octets()[3]).collect();
    assert_eq!(seen, [20, 21, 22, 23, 24, 25, 26]);
}

#[test]
fn a_script_makes_requests_and_hears_responses() {
    let mut server = Server::start("script", Fault::None);
    let script = Scratch::new("bypass.lua");
    let body = "local n = 0\n\
                function request() return wrk.format('GET', '/n/' .. n) end\n\
                function response(status, headers, body)\n\
                  n = n + 1\n\
                  if n == 100 then print(status .. ' ' .. body) end\n\
                end\n";
    std::fs::File::create(&script.0).unwrap().write_all(body.as_bytes()).unwrap();
    let more = ["-c2", "-s", script.path()];
    let (printed, report) = load("script", &mut server, (SOURCE, &more), |server| {
        server.seen.requests.wait_for(200);
    });
    assert_clean(&report);
    assert!(printed.contains("200 ok\n"), "{printed}");
}

#[test]
fn requests_that_are_never_answered_hang_and_are_given_up_where_that_is_asked_for() {
    let mut server = Server::start("silent", Fault::Silence);
    let hung = ["-c3", "-T1s", "--end-hung"];
    let (_, report) = load("silent", &mut server, (SOURCE, &hung), |server| {
        // Each connection has given one up, and sent another.
        server.seen.requests.wait_for(6);
    });
    assert!(count(&report, "/errors/hung") >= 3, "{report}");
    assert!(count(&report, "/reopened") >= 3, "{report}");
    assert_eq!(count(&report, "/requests"), 0);
}

#[test]
fn a_connection_for_each_request_leaves_no_error_behind() {
    let mut server = Server::start("close", Fault::Close);
    let (_, report) = load("close", &mut server, (SOURCE, &["-c4"]), |server| {
        server.seen.requests.wait_for(1000);
    });
    assert_clean(&report);
    assert!(count(&report, "/reopened") >= 990, "{report}");
}

#[test]
fn resets_are_counted_under_their_name() {
    let mut server = Server::start("reset", Fault::Reset);
    let (_, report) = load("reset", &mut server, (SOURCE, &["-c1"]), |server| {
        server.seen.requests.wait_for(10);
    });
    assert!(count(&report, "/errors/read") >= 9, "{report}");
    assert_eq!(report["errors_by_errno"][0]["during"], "read");
    assert_eq!(report["errors_by_errno"][0]["text"], "Connection reset by peer");
}

#[test]
fn a_server_that_is_killed_fails_what_was_sent_and_is_found_again() {
    let mut server = Server::start("killed", Fault::None);
    let (_, report) = load("killed", &mut server, (SOURCE, &["-c4"]), |server| {
        server.seen.requests.wait_for(500);
        server.stop();
        *server = Server::at(server.socket.clone(), Fault::None);
        server.seen.requests.wait_for(100);
    });
    let down = |during: &str| {
        let all = report["errors_by_errno"].as_array().unwrap();
        all.iter().any(|one| one["during"] == during && one["text"] == "Network is down")
    };
    assert!(down("read") && down("connect"), "{report}");
    assert_eq!(count(&report, "/errors/read"), 4, "{report}");
}

/// Runs a load that cannot begin, and returns what it says.
fn refusal(words: &[&str]) -> String {
    let output = loadgen(words);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    text(&output.stderr).to_owned()
}

#[test]
fn a_load_that_cannot_begin_says_why_and_what_to_do() {
    let server = Server::start("refusals", Fault::None);
    let of = |address: &str| refusal(&[&words(&server, SOURCE)[..], &[&url(address)]].concat());
    let refused = of("198.18.0.2:81");
    assert!(refused.contains("unable to connect to 198.18.0.2:81 Connection refused"), "{refused}");
    let nobody = of("198.18.0.9:8080");
    assert!(nobody.contains("198.18.0.9:8080 No route to host: nobody on the memif"), "{nobody}");
    let own = of("198.18.0.20:8080");
    assert!(own.contains("or it is our own --source"), "{own}");
    let six = of("[::1]:8080");
    assert!(six.contains("has no IPv4 address"), "{six}");
    let many = refusal(&[&words(&server, SOURCE)[..], &["-c70000", &url(ADDRESS)]].concat());
    assert!(many.contains("has 64512; give 2 addresses"), "{many}");
    let threads = refusal(&[&words(&server, SOURCE)[..], &["-t2", &url(ADDRESS)]].concat());
    assert!(threads.contains("use -t 1, or start the server with --queues 2"), "{threads}");
}

#[test]
fn a_socket_that_is_not_there_is_named_with_the_command_that_makes_it() {
    let path = Scratch::new("bypass-nobody.sock");
    let transport = ["--transport", "memif", "--socket", path.path(), "--source", SOURCE];
    let missing = refusal(&[&transport[..], &[&url(ADDRESS)]].concat());
    assert!(missing.contains("there is no such socket; start the server first"), "{missing}");
    let secure = refusal(&[&transport[..], &["https://198.18.0.2/"]].concat());
    assert!(secure.contains("--transport memif speaks http:// alone"), "{secure}");
}
