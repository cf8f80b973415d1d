//! hyper's bytes and those of `server-http` are the same, `date` aside: this test freezes both.

use server_http::{Connection, Date, Limits, Now, Sink};
use server_testing::Server;

const BINARY: &str = env!("CARGO_BIN_EXE_server-hyper");

/// An output without end.
struct Output(Vec<u8>);

impl Sink for Output {
    fn space(&self) -> usize {
        usize::MAX
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn backlog(&self) -> usize {
        0
    }
}

/// What `server-http` answers, and whether it closes then.
fn answered_by_server_http(request: &[u8]) -> (Vec<u8>, bool) {
    let now = Now { monotonic_ns: 0, date: Date::from_unix_seconds(0) };
    let mut output = Output(Vec::new());
    let mut connection = Connection::new(&Limits::DEFAULT, 0);
    let advance = connection.advance(&now, request, false, &mut output);
    assert_eq!(advance.responses, 1, "{}", request.escape_ascii());
    (output.0, advance.close.is_some())
}

/// Replaces the value of `date`, 29 bytes, by as many dots.
fn without_date(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    let (before, rest) = text.split_once(r"\r\ndate: ").expect("a date");
    format!("{before} date: {}", &rest[29..])
}

#[test]
fn the_bytes_are_those_of_server_http() {
    let server = Server::start(BINARY, &[]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = |target: &str| format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let with = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    let requests = [
        get("/plaintext"),
        get("/"),
        get("/json"),
        get("/bytes/0"),
        get("/bytes/5"),
        get("/bytes/100000"),
        get("http://y/plaintext?query"),
        head("/plaintext"),
        head("/json"),
        head("/bytes/0"),
        head("/bytes/5"),
        head("/none"),
        head("/echo"),
        get("/none"),
        get("/echo"),
        get("/bytes/16777217"),
        with("POST /json", "Content-Length: 2\r\n") + "ab",
        with("DELETE /", ""),
        with("OPTIONS *", ""),
        with("OPTIONS /json", ""),
        with("TRACE /", ""),
        with("POST /echo", "Content-Length: 5\r\n") + "hello",
        with("POST /", "Content-Length: 5\r\n") + "hello",
        with("POST /echo", "Content-Length: 0\r\n"),
        with("POST /echo", ""),
        with("POST /echo", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        with("GET /plaintext", "Connection: close\r\n"),
        with("HEAD /none", "Connection: close\r\n"),
        with("POST /echo", "Connection: close\r\nContent-Length: 5\r\n") + "hello",
        with("GET /plaintext", "Expect: other\r\n"),
        // Refusals that the service makes.
        "GET /plaintext HTTP/1.1\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        get("plaintext"),
        get("*"),
        get(&format!("/{}", "p".repeat(8_200))),
        with("FOO /", ""),
        with("CONNECT x:443", ""),
        with("POST /echo", "Content-Length: 16777217\r\n"),
        with("POST /echo", "Content-Length: 05\r\n") + "hello",
        with("POST /echo", "Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
        with("POST /echo", "Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n",
    ];
    for request in requests {
        let (expect, closes) = answered_by_server_http(request.as_bytes());
        let mut client = server.connect();
        client.send(&request);
        let got = client.exactly(expect.len());
        assert_eq!(without_date(&got), without_date(&expect), "{request}");
        if closes {
            client.expect_fin();
        } else {
            assert_eq!(client.get("/plaintext").status, 200, "stays open: {request}");
        }
    }
    server.stop();
}

#[test]
fn an_expecting_client_gets_100_and_then_the_same_bytes() {
    let server = Server::start(BINARY, &[]);
    let mut client = server.connect();
    let head =
        "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.send(head);
    assert_eq!(client.exactly(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    let (expect, _) = answered_by_server_http(format!("{head}hello").as_bytes());
    assert_eq!(without_date(&client.exactly(expect.len())), without_date(&expect));
    server.stop();
}

/// hyper writes these itself: no `server` field, but the status and the end are the same.
#[test]
fn what_hyper_refuses_by_itself_has_the_same_status_and_end() {
    let server = Server::start(BINARY, &[]);
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "v".repeat(40_000));
    for request in [
        "GET / HTTP/1.1 X\r\nHost: x\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        &long,
    ] {
        let (expect, closes) = answered_by_server_http(request.as_bytes());
        assert!(closes);
        let mut client = server.connect();
        client.send(request);
        let response = client.response();
        assert_eq!(response.head.as_bytes()[..12], expect[..12], "{request}");
        assert_eq!(response.field("connection"), Some("close"), "{request}");
        client.expect_fin();
    }
    server.stop();
}

#[test]
fn a_body_that_is_malformed_too_long_or_too_slow_is_refused() {
    let server = Server::start(BINARY, &["--max-body", "1000", "--body-grace", "200"]);
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, status) in [
        ("zz\r\n".to_owned(), 400),
        (format!("3e9\r\n{}\r\n0\r\n\r\n", "b".repeat(1001)), 413),
        ("5\r\nhel".to_owned(), 408),
    ] {
        let mut client = server.connect();
        client.send(format!("{head}{body}"));
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (status, Some("close")));
        client.expect_fin();
    }
    let counters = server.stop();
    assert_eq!(counters["closed_refused"], 2, "{counters}");
    assert_eq!(counters["closed_body_timeout"], 1, "{counters}");
}
