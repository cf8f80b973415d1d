//! Every route, whichever way the bytes come and go.

use super::{PLAINTEXT, noise};
use crate::{Client, Response, Server};
use std::io::Write;

const HELLO: &[u8] = b"Hello, World!";
const JSON: &[u8] = br#"{"message":"Hello, World!"}"#;

fn check(response: &Response, status: u16, body: &[u8]) {
    assert_eq!((response.status, &response.body[..]), (status, body), "{}", response.head);
    assert_eq!(response.field("server"), Some("showdown"), "{}", response.head);
    let date = response.field("date").expect("every response has a date");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "IMF-fixdate: {date}");
}

/// Each route of the catalogue, on one kept-alive connection, in any order.
pub fn every_route_answers(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    check(&client.get("/plaintext"), 200, HELLO);
    check(&client.get("/"), 200, HELLO);
    check(&client.get("/json"), 200, JSON);
    check(&client.get("/bytes/0"), 200, b"");
    let thousand = client.get("/bytes/1000");
    assert_eq!((thousand.status, thousand.body.len()), (200, 1000));
    check(&client.get("/bytes/1000"), 200, &thousand.body);
    check(&client.get("/nowhere"), 404, b"");
    client.send("POST /plaintext HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    let refused = client.response();
    check(&refused, 405, b"");
    assert!(refused.field("allow").is_some_and(|allow| allow.contains("GET")), "{}", refused.head);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    check(&client.response(), 200, b"hello");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["responses"], 9);
    assert_eq!(counters["connections_accepted"], 1);
}

/// HEAD has GET's head and no body, and the next response follows at once.
pub fn head_is_get_without_a_body(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let without_date = |response: &Response| {
        let lines = response.head.lines().filter(|line| !line.starts_with("date: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for path in ["/plaintext", "/json", "/bytes/70000"] {
        let get = client.get(path);
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n{PLAINTEXT}"));
        assert_eq!(without_date(&client.head()), without_date(&get), "{path}");
        check(&client.response(), 200, HELLO);
    }
    drop(client);
    server.stop();
}

/// Requests cut at every byte: with TCP_NODELAY each write may become a segment.
pub fn a_request_may_arrive_byte_by_byte(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\n\r\n";
    for (request, body) in [(PLAINTEXT, HELLO), (post, b"abc"), (chunked, b"abc")] {
        for byte in request.as_bytes() {
            client.send([*byte]);
        }
        check(&client.response(), 200, body);
    }
    drop(client);
    assert_eq!(server.stop()["responses"], 3);
}

/// A hundred requests in one write, of different lengths so that a swapped pair shows.
pub fn a_hundred_pipelined_requests_are_answered_in_order(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let request = |n: usize| format!("GET /bytes/{n} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send((0..100).map(request).collect::<String>());
    for n in 0..100 {
        assert_eq!(client.response().body.len(), n);
    }
    drop(client);
    assert_eq!(server.stop()["responses"], 100);
}

/// More pipelined requests than any buffer holds answers for: the server stops reading, and goes
/// on where it stopped once the client reads.
pub fn a_client_that_does_not_read_is_waited_for(binary: &str) {
    const REQUESTS: usize = 2_000;
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let mut writer = client.stream().try_clone().expect("a descriptor is free");
    // 2,000 answers of 20 kB are 40 MB: no socket buffer takes them while nobody reads.
    let requests = "GET /bytes/20000 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS);
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()));
    let first = client.response();
    let mut other = server.connect();
    check(&other.get("/plaintext"), 200, HELLO);
    for _ in 1..REQUESTS {
        assert_eq!(client.response().body, first.body);
    }
    writing.join().expect("no panic").expect("all taken");
    drop((client, other));
    assert_eq!(server.stop()["responses"], REQUESTS + 1);
}

fn echoed(client: &mut Client, request: Vec<u8>, body: &[u8]) {
    let mut writer = client.stream().try_clone().expect("a descriptor is free");
    let writing = std::thread::spawn(move || writer.write_all(&request));
    let response = client.response();
    assert_eq!(response.status, 200, "{}", response.head);
    assert!(response.body == body, "{} bytes came back changed", response.body.len());
    writing.join().expect("no panic").expect("all taken");
}

/// A body larger than every buffer on the way, twice on one connection.
pub fn one_mebibyte_comes_back(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let body = noise(1 << 20);
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), &body].concat();
    for _ in 0..2 {
        echoed(&mut client, request.clone(), &body);
    }
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["received_bytes"], 2 * request.len());
}

/// The same in chunks of 10,000 bytes.
pub fn one_mebibyte_comes_back_in_chunks(binary: &str) {
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    let body = noise(1 << 20);
    let mut request =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(10_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    echoed(&mut client, request, &body);
    drop(client);
    server.stop();
}

/// The largest body, to a client that takes it in small pieces: many partial writes.
pub fn sixteen_mebibytes_reach_a_slow_reader(binary: &str) {
    const LENGTH: usize = 16 << 20;
    let server = Server::start(binary, &[]);
    let mut client = server.connect();
    client.send(format!("GET /bytes/{LENGTH} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let head = client.head();
    assert_eq!(head.field("content-length"), Some("16777216"));
    // While nobody reads, the server waits, and others are served.
    let mut other = server.connect();
    let pattern = other.get("/bytes/65536").body;
    let mut taken = Vec::with_capacity(LENGTH);
    while taken.len() < LENGTH {
        let piece = client.exactly((LENGTH - taken.len()).min(4096));
        taken.extend_from_slice(&piece);
    }
    assert!(taken[..65536] == pattern[..], "the first bytes do not depend on the length");
    let mut again = server.connect().get(&format!("/bytes/{LENGTH}")).body;
    assert!(again == taken, "the pattern does not depend on how it is read");
    again.clear();
    check(&client.get("/plaintext"), 200, HELLO);
    drop((client, other));
    let counters = server.stop();
    assert!(counters["sent_bytes"].as_u64().expect("a count") > 2 * 16_777_216);
}

/// Two hundred silent connections beside one that is served.
pub fn an_idle_connection_costs_nobody_else_anything(binary: &str) {
    let server = Server::start(binary, &[]);
    let idle: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    let mut client = server.connect();
    for _ in 0..100 {
        check(&client.get("/plaintext"), 200, HELLO);
    }
    drop((idle, client));
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], 201);
}
