//! The ways in which a connection ends.

use super::{PLAINTEXT, noise};
use crate::Server;

/// Requests sent together with the FIN are all answered; then the server sends its own.
pub fn a_half_closed_client_is_answered_then_closed(binary: &str) {
    let mut server = Server::start(binary, &[]);
    let mut client = server.connect();
    client.send(PLAINTEXT.repeat(3));
    client.finish();
    for _ in 0..3 {
        assert_eq!(client.response().status, 200);
    }
    client.expect_fin();
    server.wait_for("closed_peer", 1);
    // Larger than the socket buffers: the answer is still being sent long after the FIN came.
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.finish();
    assert_eq!(client.response().body.len(), 16_777_216);
    client.expect_fin();
    // Nothing asked, nothing answered.
    let mut client = server.connect();
    client.finish();
    client.expect_fin();
    let counters = server.stop();
    assert_eq!(counters["closed_peer"], 3);
    assert_eq!(counters["responses"], 4);
}

/// `connection: close` is answered, confirmed and obeyed; what follows it is ignored.
pub fn connection_close_is_obeyed(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    client.send(format!(
        "GET /plaintext HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n{PLAINTEXT}"
    ));
    let response = client.response();
    assert_eq!(response.status, 200);
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_fin();
    let mut client = server.connect();
    client.send("GET /plaintext HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().body, b"Hello, World!");
    client.expect_fin();
    let counters = server.stop();
    assert_eq!(counters["closed_asked"], 2);
    assert_eq!(counters["responses"], 2);
}

/// RFC 9112 §9.6: a server that closes at once while the client still sends provokes a reset,
/// which may destroy the refusal on its way.
pub fn a_refusal_reaches_a_client_that_still_sends(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n");
    client.send_while_open(&noise(10_000_000));
    let response = client.response();
    assert_eq!(response.status, 400, "{}", response.head);
    assert_eq!(response.field("connection"), Some("close"));
    drop(client);
    // A client that stops in time sees a clean end.
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n0123456789");
    assert_eq!(client.response().status, 400);
    client.expect_fin();
    // What it had under way is still taken: on a closed socket the second write would fail.
    for _ in 0..10 {
        client.send([b'x'; 100]);
    }
    client.finish();
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["closed_refused"], 2, "{counters}");
}

/// Clients that reset the connection in the middle of a response, while another one is served.
pub fn a_reset_client_disturbs_nobody(binary: &str) {
    let mut server = Server::start(binary, &[]);
    let mut steady = server.connect();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.head().status, 200);
        // Bytes of the body lie unread: closing now sends a reset.
        client.exactly(1);
        drop(client);
        assert_eq!(steady.get("/plaintext").status, 200);
    }
    server.wait_for("closed_error", 20);
    drop(steady);
    let counters = server.stop();
    assert_eq!(counters["closed_error"], 20);
    assert_eq!(counters["closed_peer"].as_u64().expect("a count") + 20, 21, "{counters}");
}

/// A thousand connections, each opened, used and closed: descriptors and counters are back.
pub fn a_thousand_connections_leave_nothing_behind(binary: &str) {
    let mut server = Server::start(binary, &[]);
    let mut client = server.connect();
    client.get("/plaintext");
    let before = server.open_descriptors();
    for _ in 0..1000 {
        assert_eq!(server.connect().get("/plaintext").status, 200);
    }
    server.wait_for("connections_closed", 1000);
    assert!(server.open_descriptors() <= before, "descriptors leak");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], 1001);
    assert_eq!(counters["responses"], 1001);
}
