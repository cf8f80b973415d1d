//! What clients see: routes, splits, pipelines, bodies.

use crate::lab::Lab;
use crate::mode::Mode;
use server_testing::{Client, Response};
use std::fmt::Write as _;

const MEBIBYTE: usize = 1024 * 1024;

pub(crate) fn every_route_answers(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let mut client = server.connect();
    for (path, kind, body) in [
        ("/plaintext", "text/plain", &b"Hello, World!"[..]),
        ("/", "text/plain", b"Hello, World!"),
        ("/json", "application/json", br#"{"message":"Hello, World!"}"#),
        ("/bytes/0", "application/octet-stream", b""),
    ] {
        let get = client.get(path);
        assert_eq!((get.status, get.body.as_slice()), (200, body), "GET {path}");
        assert_eq!(get.field("content-type"), Some(kind), "GET {path}");
        assert_eq!(get.field("server"), Some("showdown"), "GET {path}");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.head();
        assert_eq!(fields_without_date(&head), fields_without_date(&get), "HEAD {path}");
    }
    for path in ["/echo", "/"] {
        let echoed = post(&mut client, path, b"to and fro");
        assert_eq!((echoed.status, echoed.body.as_slice()), (200, &b"to and fro"[..]), "{path}");
    }
    assert_eq!(client.get("/bytes/1000").body.len(), 1000);
    assert_eq!(client.get("/nowhere").status, 404);
    let refused = post(&mut client, "/json", b"");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
    assert_eq!(client.get("/plaintext").status, 200, "404 and 405 keep the connection");
    drop(client);
    server.stop();
}

pub(crate) fn a_request_may_be_split_at_every_byte(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let requests: [&[u8]; 3] = [
        b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
          6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\n\r\n",
    ];
    let bodies: [&[u8]; 3] = [br#"{"message":"Hello, World!"}"#, b"hello world", b"hello world"];
    let mut client = server.connect();
    let mut sent: u64 = 0;
    for (request, body) in requests.iter().zip(bodies) {
        for at in 1..request.len() {
            let (before, after) = request.split_at(at);
            client.send(before);
            client.send(after);
            assert_eq!(client.response().body, body, "split at {at}");
            sent += 1;
        }
        for byte in *request {
            client.send([*byte]);
        }
        assert_eq!(client.response().body, body, "byte by byte");
        sent += 1;
    }
    drop(client);
    assert_eq!(server.stop()["responses"], sent);
}

pub(crate) fn a_hundred_pipelined_requests_are_answered_in_order(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let mut requests = String::new();
    for length in 0..100 {
        write!(requests, "GET /bytes/{length} HTTP/1.1\r\nHost: x\r\n\r\n").expect("memory");
    }
    let mut client = server.connect();
    client.send(requests);
    for length in 0..100 {
        assert_eq!(client.response().body.len(), length);
    }
    drop(client);
    assert_eq!(server.stop()["responses"], 100);
}

pub(crate) fn one_mebibyte_goes_both_ways(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let body = pattern(MEBIBYTE);
    let mut client = server.connect();
    let echoed = post(&mut client, "/echo", &body);
    assert_eq!(echoed.status, 200);
    assert!(echoed.body == body, "the body comes back as it went");

    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(10_007) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.response().body == body, "in chunks, too");

    let fixed = client.get("/bytes/1048576");
    assert_eq!((fixed.status, fixed.body.len()), (200, MEBIBYTE));
    assert!(client.get("/bytes/1048576").body == fixed.body, "a fixed pattern");
    drop(client);
    server.stop();
}

pub(crate) fn every_byte_comes_back_from_the_echo_service(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &["--service", "echo"]);
    let mut client = server.connect();
    // In pieces that both ends' buffers hold, since this client reads only between them.
    for piece in pattern(MEBIBYTE).chunks(16 * 1024) {
        client.send(piece);
        assert!(client.exactly(piece.len()) == piece, "the piece comes back as it went");
    }
    client.finish();
    client.expect_fin();
    let counters = server.stop();
    assert_eq!(counters["received_bytes"], MEBIBYTE);
    assert_eq!(counters["sent_bytes"], MEBIBYTE);
}

/// Bytes without a short period, so that a shifted or repeated piece is noticed.
fn pattern(length: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        // The constants of Numerical Recipes' linear congruential generator.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn post(client: &mut Client, path: &str, body: &[u8]) -> Response {
    let length = body.len();
    client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    client.send(body);
    client.response()
}

fn fields_without_date(response: &Response) -> Vec<&str> {
    response.head.lines().filter(|line| !line.starts_with("date: ")).collect()
}
