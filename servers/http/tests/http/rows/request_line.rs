//! A. The request line (RFC 9112 §3).

use super::{ASKED, Open, REFUSED, row, row_of_bytes, row_with_limits};
use crate::support::{Peer, bytes};
use server_http::Limits;

/// A request with `line`, without its CR LF.
fn line(line: &str) -> String {
    format!("{line}¶Host: x¶¶")
}

#[test]
fn good_request_lines() {
    row("H01", "GET / HTTP/1.1¶Host: x¶¶", &[200], Open);
    row("H04", "¶GET / HTTP/1.1¶Host: x¶¶", &[200], Open);
    row("H15", &line("GET / HTTP/1.2"), &[200], Open);
    row("H15", &line("GET / HTTP/1.9"), &[200], Open);
    row("H24", &line("GET http://x/ HTTP/1.1"), &[200], Open);
    row("H25", "GET http://a/ HTTP/1.1¶Host: b¶¶", &[200], Open);
    row("H26", &line("OPTIONS * HTTP/1.1"), &[200], Open);
    row("H31", &line(&format!("GET /{} HTTP/1.1", "p".repeat(7_899))), &[404], Open);
}

#[test]
fn h02_a_prefix_of_a_request_is_waited_on() {
    let request = bytes("GET /hello HTTP/1.1¶Host: localhost¶¶");
    for length in 0..request.len() {
        row_of_bytes("H02", &request[..length], &[], Open);
    }
}

#[test]
fn h05_leading_empty_lines_are_bounded() {
    let good = line("GET / HTTP/1.1");
    row("H05", &format!("{}{good}", "¶".repeat(8)), &[200], Open);
    row("H05", &format!("{}{good}", "¶".repeat(9)), &[400], REFUSED);
    row("H05", &"¶".repeat(2000), &[400], REFUSED);
    // The bound is per request, not per connection.
    let twice = format!("{}{good}", "¶".repeat(8)).repeat(2);
    row("H05", &twice, &[200, 200], Open);
}

#[test]
fn methods_that_are_not_implemented() {
    row("H06", &line("get / HTTP/1.1"), &[501], REFUSED);
    row("H07", &line("FOOBAR / HTTP/1.1"), &[501], REFUSED);
    row("H28", "CONNECT x:443 HTTP/1.1¶Host: x:443¶¶", &[501], REFUSED);
    for target in ["/", "http://x:80", "x"] {
        row("H29", &line(&format!("CONNECT {target} HTTP/1.1")), &[400], REFUSED);
    }
    let trace = "TRACE / HTTP/1.1¶Host: x¶Authorization: secret¶¶";
    row("H30", trace, &[405], Open);
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(trace));
    assert!(!String::from_utf8_lossy(&peer.sink.bytes).contains("secret"));
}

#[test]
fn malformed_request_lines() {
    row("H08", " / HTTP/1.1¶Host: x¶¶", &[400], REFUSED);
    row("H09", &line("GET HTTP/1.1"), &[400], REFUSED);
    row("H09", "GET¶¶", &[400], REFUSED);
    row("H10", &line("GET  / HTTP/1.1"), &[400], REFUSED);
    row("H10", &line("GET /  HTTP/1.1"), &[400], REFUSED);
    for space in ["⇥", "\0", "\x0b", "\x0c", "\x08", "\x07", "␍ ", "␍"] {
        row("H11", &line(&format!("GET{space}/{space}HTTP/1.1")), &[400], REFUSED);
        row("H11", &line(&format!("GET /{space}HTTP/1.1")), &[400], REFUSED);
        row("H11", &line(&format!("GET{space}/ HTTP/1.1")), &[400], REFUSED);
    }
    row("H12", &line("GET / HTTP/1.1 X"), &[400], REFUSED);
    row("H12", &line("GET / HTTP/1.1 "), &[400], REFUSED);
    row("H13", "GET /¶", &[400], REFUSED);
    row("H13", "GET / ¶¶", &[400], REFUSED);
    row("H13", "GET /↵", &[400], REFUSED);
}

#[test]
fn versions_that_are_not_served() {
    for version in [
        "HTTP/1",
        "HTTP/1.",
        "HTTP/x.y",
        "HTTP/1.10",
        "HTTP/01.01",
        "HTTP/ 1.1",
        "HTTP/␍␍1.1",
        "http/1.1",
        "HTTP/4294967295.255",
        "HTTP",
        "HTTP/11",
        "HTTP/1.1\0",
        "XTTP/1.1",
        "HTTP-1.1",
        "HTTP/1.x",
        "HTTP/1.2x",
    ] {
        row("H14 H16 H17", &line(&format!("GET / {version}")), &[400], REFUSED);
    }
    row("H16", &line("GET / HTTP/2.0"), &[505], REFUSED);
    row("H16", &line("GET / HTTP/9.9"), &[505], REFUSED);
    row("H16", &line("GET / HTTP/0.9"), &[505], REFUSED);
    row("H18", "PRI * HTTP/2.0¶¶SM¶¶", &[505], REFUSED);
}

#[test]
fn a_later_minor_version_obeys_the_same_rules() {
    let later = |lines: &str| format!("GET / HTTP/1.7¶{lines}¶");
    row("H15", &later(""), &[400], REFUSED);
    row("H15", &later("Host: x¶Host: x¶"), &[400], REFUSED);
    row("H15", &later("Host: x¶ fold¶"), &[400], REFUSED);
    row("H15", &later("Host: x¶Connection: close¶"), &[200], ASKED);
    row("H15", "G@T / HTTP/1.7¶Host: x¶¶", &[400], REFUSED);
    row("H15", "GET /\u{e9} HTTP/1.7¶Host: x¶¶", &[400], REFUSED);
    row("H15", &later(&"X: y¶".repeat(101)), &[431], REFUSED);
}

#[test]
fn targets_with_bytes_that_have_no_place_there() {
    for byte in (0..=0x20).chain(0x7f..=0xff_u8) {
        // A space ends the target: what follows is then no version.
        let request = [b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        row_of_bytes("H19 H20 H21", &request, &[400], REFUSED);
    }
    row("H20", &line("GET /caf\u{c3}\u{a9} HTTP/1.1"), &[400], REFUSED);
    row("H22", &line("GET /p#frag HTTP/1.1"), &[400], REFUSED);
    for target in ["admin", "haproxy.org:80", "*", "ftp://x/", "http://", "http://u@x/"] {
        row("H23 H27", &line(&format!("GET {target} HTTP/1.1")), &[400], REFUSED);
    }
    row("H27", &line("OPTIONS */test HTTP/1.1"), &[400], REFUSED);
    for target in [
        "/%",
        "/bar%1",
        "/%00",
        "/x%0d%0aX:y",
        "/../../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/path\\file",
    ] {
        row("H34 H35", &line(&format!("GET {target} HTTP/1.1")), &[404], Open);
    }
}

#[test]
fn overlong_request_lines_are_refused_before_they_end() {
    row("H32", &line(&format!("GET /{} HTTP/1.1", "p".repeat(100_000))), &[414], REFUSED);
    row("H32", &format!("GET /{}", "p".repeat(9_000)), &[414], REFUSED);
    row("H33", &"A".repeat(100_000), &[501], REFUSED);
    // The limit is exact: 8,192 bytes without CR LF.
    let exactly = |length: usize| line(&format!("GET /{} HTTP/1.1", "p".repeat(length - 14)));
    row("H31", &exactly(8_192), &[404], Open);
    row("H32", &exactly(8_193), &[414], REFUSED);
}

#[test]
fn h33_what_is_wrong_first_is_what_is_answered() {
    static SHORT: Limits = Limits { request_line_bytes: 32, head_bytes: 64, ..Limits::DEFAULT };
    let check = |text: &str, status: u16| {
        row_with_limits("H33", &bytes(text), &[status], REFUSED, &SHORT);
    };
    check("GET /\x7f HTTP/1.1¶X: 45678901234567890123456789012345678901234567890¶¶", 400);
    check("GET / HTTP/1.1¶Host: 78901234567890123456789012345678901234567890¶¶", 431);
    check("GET / HTTP/2.0¶Host: 78901234567890123456789012345678901234567890¶¶", 431);
    check("GET /56789012345678901234567890\x7f1234567890 HTTP/1.1¶¶", 400);
    check("GET /567890123456789012345678901234\x7f567890 HTTP/1.1¶¶", 414);
    check("GETTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT /", 501);
    check("GETTTTTTTTTTTTTTTTTTTTTT(TTTTTTTTTTTTTTTTTTTTTT /", 400);
    check("GET / HTTP/1.1¶Host: x↵X: 5678901234567890123456789012345678901234567890¶¶", 400);
}

#[test]
fn what_is_no_http_is_refused_at_once_or_waited_on() {
    // A PCG step per byte, from a fixed seed: 256 bytes that no client sends.
    let mut state = 0x4d59_5df4_d0f3_3173_u64;
    for _ in 0..64 {
        let garbage: Vec<u8> = (0..256)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[1]
            })
            .collect();
        row_of_bytes("H36", &garbage, &[400], REFUSED);
    }
    row("H37", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", &[400], REFUSED);
}
