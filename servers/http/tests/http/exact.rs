//! The bytes of the answers. `server-hyper` has a test that its bytes are the same.

use crate::support::{DATE, Peer, bytes};
use server_http::Limits;
use server_http::catalogue::pattern_from;

fn check(request: &str, expect: &str) {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(request));
    let expect = bytes(&expect.replace("DATE", DATE));
    assert_eq!(peer.sink.bytes.escape_ascii().to_string(), expect.escape_ascii().to_string());
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1¶Host: x¶¶")
}

#[test]
fn plaintext() {
    let expect = "HTTP/1.1 200 OK¶content-type: text/plain¶server: showdown¶\
        content-length: 13¶date: DATE¶¶Hello, World!";
    check(&get("/plaintext"), expect);
    check(&get("/"), expect);
    check(&get("/plaintext?query"), expect);
    check(&get("http://other:80/plaintext"), expect);
    let head = expect.strip_suffix("Hello, World!").expect("the body is last");
    check(&get("/plaintext").replace("GET", "HEAD"), head);
}

#[test]
fn json() {
    check(
        &get("/json"),
        "HTTP/1.1 200 OK¶content-type: application/json¶server: showdown¶\
        content-length: 27¶date: DATE¶¶{\"message\":\"Hello, World!\"}",
    );
}

#[test]
fn bytes_of_the_pattern() {
    check(
        &get("/bytes/5"),
        "HTTP/1.1 200 OK¶content-type: application/octet-stream¶server: showdown¶\
        content-length: 5¶date: DATE¶¶\0\x01\x02\x03\x04",
    );
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&get("/bytes/16777216")));
    let body = &peer.said()[0].body;
    assert_eq!(body.len(), 16_777_216);
    assert!(body.iter().enumerate().all(|(at, byte)| *byte == pattern_from(at)[0]));
}

#[test]
fn echo() {
    let expect = "HTTP/1.1 200 OK¶content-type: application/octet-stream¶server: showdown¶\
        content-length: 5¶date: DATE¶¶h\0ll\u{ff}";
    let body = "h\0ll\u{ff}";
    check(&format!("POST /echo HTTP/1.1¶Host: x¶Content-Length: 5¶¶{body}"), expect);
    check(&format!("POST / HTTP/1.1¶Host: x¶Content-Length: 5¶¶{body}"), expect);
    let chunked = format!("2¶{}¶3¶{}¶0¶¶", "h\0", "ll\u{ff}");
    check(&format!("POST /echo HTTP/1.1¶Host: x¶Transfer-Encoding: chunked¶¶{chunked}"), expect);
}

#[test]
fn refusals() {
    check(&get("/none"), "HTTP/1.1 404 Not Found¶server: showdown¶content-length: 0¶date: DATE¶¶");
    check(
        &get("/echo"),
        "HTTP/1.1 405 Method Not Allowed¶server: showdown¶allow: POST¶\
        content-length: 0¶date: DATE¶¶",
    );
    check(
        "GET / HTTP/1.1¶¶",
        "HTTP/1.1 400 Bad Request¶server: showdown¶connection: close¶\
        content-length: 0¶date: DATE¶¶",
    );
    check(
        "OPTIONS * HTTP/1.1¶Host: x¶¶",
        "HTTP/1.1 200 OK¶server: showdown¶allow: GET, HEAD, POST, OPTIONS¶\
        content-length: 0¶date: DATE¶¶",
    );
}

#[test]
fn the_end_and_the_interim_response() {
    check(
        "GET /plaintext HTTP/1.1¶Host: x¶Connection: close¶¶",
        "HTTP/1.1 200 OK¶content-type: text/plain¶server: showdown¶connection: close¶\
        content-length: 13¶date: DATE¶¶Hello, World!",
    );
    check(
        "POST /echo HTTP/1.1¶Host: x¶Expect: 100-continue¶Content-Length: 5¶¶",
        "HTTP/1.1 100 Continue¶¶",
    );
}
