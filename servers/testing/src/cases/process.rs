//! The process: its lines, its signals, its flags.

use super::PLAINTEXT;
use crate::{Server, refused};
use std::net::TcpStream;

/// The real port, what was asked for, and what was obtained.
pub fn the_ready_line_says_what_was_obtained(binary: &str) {
    let server = Server::start(binary, &["--cpus", "0", "--max-connections", "5"]);
    assert_ne!(server.address.port(), 0);
    assert_eq!(server.ready["threads"], 1);
    assert_eq!(server.ready["cpus"], serde_json::json!([0]));
    assert_eq!(server.ready["wait"], "block");
    assert_eq!(server.ready["service"], "http");
    assert_eq!(server.ready["max_connections"], 5);
    let mode = server.ready["mode"].as_str().expect("a string");
    assert!(binary.ends_with(&format!("server-{mode}")), "{mode}");
    server.stop();
}

/// SIGUSR1 prints every counter and stops nothing.
pub fn a_report_is_printed_on_sigusr1(binary: &str) {
    let mut server = Server::start(binary, &[]);
    let mut client = server.connect();
    assert_eq!(server.report()["responses"], 0);
    client.get("/plaintext");
    server.wait_for("responses", 1);
    let report = server.report();
    assert_eq!(
        (&report["connections_accepted"], &report["connections_closed"]),
        (&1.into(), &0.into())
    );
    drop(client);
    server.stop();
}

/// After SIGTERM: the listener is gone, idle connections get a FIN, a request whose body is still
/// arriving is answered, and the process exits with 0.
pub fn sigterm_lets_responses_in_flight_finish(binary: &str) {
    let server = Server::start(binary, &["--drain-timeout", "3600"]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/plaintext").status, 200);
    let mut busy = server.connect();
    busy.send(format!("{PLAINTEXT}POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"));
    assert_eq!(busy.response().status, 200);
    server.signal("TERM");
    idle.expect_fin();
    TcpStream::connect(server.address).expect_err("the listener was closed first");
    busy.send("cd");
    let response = busy.response();
    assert_eq!((response.status, &response.body[..]), (200, &b"abcd"[..]));
    assert_eq!(response.field("connection"), Some("close"));
    busy.expect_fin();
    drop((idle, busy));
    let counters = server.exit();
    assert_eq!(counters["responses"], 3);
    assert_eq!(counters["closed_drain_deadline"], 0);
    assert_eq!(counters["closed_drained"], 2, "{counters}");
}

/// A request that never ends is cut off at `--drain-timeout`, counted, and the exit is still 0.
pub fn the_drain_is_cut_off_at_its_deadline(binary: &str) {
    let mut server = Server::start(binary, &["--drain-timeout", "0"]);
    let mut busy = server.connect();
    let unfinished = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab";
    busy.send(unfinished);
    server.wait_for("received_bytes", unfinished.len() as u64);
    let counters = server.stop();
    assert_eq!(counters["closed_drain_deadline"], 1, "{counters}");
    drop(busy);
}

/// Each names the flag and the reason on standard error, and exits with another code than 0.
pub fn wrong_flags_are_refused_with_a_sentence(binary: &str) {
    let check = |arguments: &[&str], part: &str| {
        let message = refused(binary, arguments);
        assert!(message.contains(arguments[0]), "names the flag: {message}");
        assert!(message.contains(part), "{part}: {message}");
    };
    check(&["--frobnicate"], "unexpected argument");
    check(&["--listen", "8080"], "invalid");
    check(&["--listen", "192.0.2.1:8080"], "no interface has that address");
    check(&["--cpus", "two"], "is not a CPU");
    check(&["--cpus", "1023"], "cannot be used");
    check(&["--service", "ftp"], "http, echo");
    check(&["--max-headers", "257"], "from 1 to 256");
    check(&["--max-head", "100", "--max-request-line", "101"], "which contains it");
}

/// A second server on the same port would silently share its connections.
pub fn a_port_in_use_is_refused_with_a_sentence(binary: &str) {
    let server = Server::start(binary, &[]);
    let address = server.address.to_string();
    let message = refused(binary, &["--listen", &address]);
    assert!(message.contains(&address), "{message}");
    assert!(message.contains("another program listens there"), "{message}");
    server.stop();
}
