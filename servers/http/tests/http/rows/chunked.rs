//! E. The chunked coding (RFC 9112 §7.1).

use super::{Open, REFUSED, post_with, row};
use crate::support::{Peer, bytes};
use server_http::Limits;

fn chunked(body: &str) -> String {
    post_with("Transfer-Encoding: chunked¶", body)
}

#[test]
fn well_formed_bodies() {
    for body in [
        "5¶hello¶0¶¶",
        "A¶helloworld¶0¶¶",
        "5¶hello¶5¶world¶0¶¶",
        "5;ext=val¶hello¶0¶¶",
        "5 ;a=\"b;c\"¶hello¶0¶¶",
        "0¶X:POST / HTTP/1.1¶¶",
    ] {
        row("H91 H92 H99", &chunked(body), &[200], Open);
    }
    let hundred = format!("64¶{}¶", "d".repeat(100));
    row("H91", &chunked(&format!("{}0¶¶", hundred.repeat(10_000))), &[200], Open);
}

#[test]
fn trailers_are_read_and_dropped() {
    let next = "GET / HTTP/1.1¶Host: x¶¶";
    for trailer in [
        "X-Checksum: abc",
        "Content-Length: 50",
        "Transfer-Encoding: chunked",
        "Host: y",
        "Authorization: z",
    ] {
        let body = format!("5¶hello¶0¶{trailer}¶¶{next}");
        row("H93 H94", &chunked(&body), &[200, 200], Open);
    }
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&chunked("5¶hello¶0¶X-Checksum: abc¶¶")));
    let reply = &peer.said()[0];
    assert_eq!(reply.body, b"hello");
    assert!(reply.values("x-checksum").is_empty());
}

#[test]
fn malformed_sizes_extensions_and_line_ends() {
    for size in [
        "0x5",
        "+5",
        "-1",
        "5x",
        "zz",
        " 5",
        "5 ",
        "1_0",
        "0_2e",
        "",
        "FFFFFFFFFFFFFFFF0",
        "FFFFFFFFFFFFFFFFF",
        "7FFFFFFFFFFFFFFF",
        "5;",
        "5;\0ext",
        "5;a␍X",
        "5␍␍;ABCD",
        "5;bad[=x",
        "5;a=\"unbalanced",
    ] {
        row("H95 H96 H97", &chunked(&format!("{size}¶hello¶0¶¶")), &[400], REFUSED);
    }
    for body in
        ["5;↵hello¶0¶¶", "5¶hello0¶¶", "5¶hello!!¶", "5¶hello↵0¶¶", "5␍hello", "0¶↵", "5↵hello¶0¶¶"]
    {
        row("H97 H98 H99", &chunked(body), &[400], REFUSED);
    }
}

#[test]
fn overhead_is_bounded() {
    row("H100", &chunked(&format!("5;{}¶hello¶0¶¶", "e".repeat(64 * 1024))), &[400], REFUSED);
    let heavy = format!("64;{}¶{}¶", "e".repeat(1024), "d".repeat(100));
    row("H100", &chunked(&format!("{}0¶¶", heavy.repeat(10_000))), &[400], REFUSED);
    row("H101", &chunked(&format!("{}0¶¶", "1¶x¶".repeat(100_000))), &[400], REFUSED);
    row("H101", &chunked(&format!("{}0¶¶", "1¶x¶".repeat(4_000))), &[200], Open);
}

#[test]
fn h102_and_h78_a_chunk_may_be_waited_on_but_not_beyond_the_limit() {
    row("H102", &chunked("5¶hello¶"), &[], Open);
    row("H102", &chunked("20¶abcde"), &[], Open);
    row("H78", &chunked("1000001¶"), &[413], REFUSED);
    let big = format!("800000¶{}¶", "d".repeat(8 * 1024 * 1024));
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&chunked(&format!("{big}{big}1¶d¶0¶¶"))));
    assert_eq!(peer.said_statuses(), [413]);
}
