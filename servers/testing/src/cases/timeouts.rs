//! What happens to clients that do not go on, with the time-outs shortened by flags.

use super::noise;
use crate::Server;
use std::io::ErrorKind;
use std::time::Duration;

/// 408 with `connection: close`, then a FIN.
pub fn a_head_that_never_ends_is_answered_408(binary: &str) {
    let server = Server::start(binary, &["--head-timeout", "200"]);
    let mut client = server.connect();
    client.send("GET /plaintext HTTP/1.1\r\nHo");
    let response = client.response();
    assert_eq!(response.status, 408, "{}", response.head);
    client.expect_fin();
    drop(client);
    assert_eq!(server.stop()["closed_head_timeout"], 1);
}

/// A FIN, and not a byte before it, both on a fresh connection and between requests.
pub fn an_idle_connection_is_closed_without_a_word(binary: &str) {
    let server = Server::start(binary, &["--idle-timeout", "200"]);
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.get("/plaintext").status, 200);
    used.expect_fin();
    fresh.expect_fin();
    drop((fresh, used));
    assert_eq!(server.stop()["closed_idle_timeout"], 2);
}

/// A reset: the client has shown that it does not want the bytes.
pub fn a_client_that_takes_nothing_is_reset(binary: &str) {
    let mut server = Server::start(binary, &["--send-timeout", "200"]);
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("closed_send_timeout", 1);
    let error = client.rest().expect_err("16 MiB do not fit into the socket buffers");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop(client);
    server.stop();
}

/// Slow, but not too slow: the buffers at both ends hold so much that the kernel tells the server
/// of room more rarely than the time-out comes, while the client takes some all the time.
pub fn a_client_that_takes_little_is_waited_for(binary: &str) {
    const PIECES: usize = 32;
    const PIECE_BYTES: usize = 32 * 1024;
    const BODY_BYTES: usize = 1 << 24;
    let server = Server::start(binary, &["--send-timeout", "1500"]);
    let mut idle = server.connect();
    let mut client = server.connect();
    client.send(format!("GET /bytes/{BODY_BYTES} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    for _ in 0..PIECES {
        client.exactly(PIECE_BYTES);
        // Together more than twice the time-out.
        idle.expect_silence(Duration::from_millis(100));
    }
    client.exactly(BODY_BYTES - PIECES * PIECE_BYTES);
    drop((idle, client));
    assert_eq!(server.stop()["closed_send_timeout"], 0);
}

/// The server does not read on for ever after a refusal: neither many bytes nor for long.
pub fn a_client_that_sends_on_after_a_refusal_is_cut_off(binary: &str) {
    let bad = "GET /plaintext HTTP/1.1\r\nHost: a b\r\n\r\n";
    let mut server = Server::start(binary, &["--linger-timeout", "200"]);
    // By time: this client neither sends nor closes.
    let mut silent = server.connect();
    silent.send(bad);
    assert_eq!(silent.response().status, 400);
    silent.expect_fin();
    server.wait_for("closed_refused", 1);
    assert_eq!(server.stop()["connections_closed"], 1);
    // By volume: no flag makes the time long enough to read this.
    let mut server = Server::start(binary, &["--linger-timeout", "86400000"]);
    let mut busy = server.connect();
    busy.send(bad);
    let endless = noise(64 << 20);
    assert!(busy.send_while_open(&endless) < endless.len(), "64 MiB were read after a refusal");
    server.wait_for("closed_refused", 1);
    server.stop();
}
