//! D. Where a body ends (RFC 9112 §6).

use super::{Open, REFUSED, post_with, row};
use crate::support::{Peer, bytes};
use server_http::{Closing, Limits, Reason};

#[test]
fn bodies_by_length() {
    row("H70", &post_with("Content-Length: 5¶", "hello"), &[200], Open);
    row("H71", &post_with("Content-Length: 0¶", ""), &[200], Open);
    row("H71", &post_with("", ""), &[200], Open);
    row("H72", "POST /echo HTTP/1.0¶Host: x¶¶", &[400], REFUSED);
    for value in [
        "abc",
        "-1",
        "-0",
        "+5",
        "0x5",
        "0o5",
        "5x",
        "1_0",
        "1 0",
        "5,",
        "5.0",
        "",
        "42 42",
        "99999999999999999999",
        "18446744073709551616",
        "9223372036854775808",
        "5, 10",
        "5, 5",
        "005",
        "0200",
    ] {
        let lines = format!("Content-Length: {value}¶");
        row("H73 H74 H75 H76 H77", &post_with(&lines, "hello"), &[400], REFUSED);
    }
    row("H75", &post_with("Content-Length: 5¶Content-Length: 10¶", ""), &[400], REFUSED);
    row("H76", &post_with("Content-Length: 5¶Content-Length: 5¶", "hello"), &[400], REFUSED);
    row("H78", &post_with("Content-Length: 16777216¶", "x"), &[], Open);
    row("H78", &post_with("Content-Length: 999999999¶", ""), &[413], REFUSED);
}

#[test]
fn h79_a_body_cut_short_gets_no_answer() {
    for (lines, body) in [
        ("Content-Length: 10¶", "hello"),
        ("Transfer-Encoding: chunked¶", "5¶hello¶"),
        ("Transfer-Encoding: chunked¶", "20¶abcde"),
    ] {
        let mut peer = Peer::new(&Limits::DEFAULT);
        let _ = peer.hears(&bytes(&post_with(lines, body)));
        let close = peer.ends().close.expect("closed");
        assert_eq!((close.how, close.why), (Closing::Fin, Reason::PeerClosed));
        assert!(peer.sink.bytes.is_empty(), "{body}");
    }
}

#[test]
fn transfer_codings() {
    for lines in [
        "Content-Length: 5¶Transfer-Encoding: chunked¶",
        "Transfer-Encoding: chunked¶Content-Length: 5¶",
    ] {
        row("H80", &post_with(lines, "0¶¶"), &[400], REFUSED);
        row("H81", &post_with(lines, "0¶¶GET / HTTP/1.1¶Host: x¶¶"), &[400], REFUSED);
    }
    for codings in ["xchunked", "gzip", "identity", "blegh", "gzip, chunked"] {
        let lines = format!("Transfer-Encoding: {codings}¶");
        row("H82 H83", &post_with(&lines, "0¶¶"), &[501], REFUSED);
    }
    for codings in [
        "chunked, gzip",
        "chunked, chunked",
        "\x0bchunked",
        "\x0cchunked",
        "chunked\0",
        "\u{a0}chunked",
        "\"chunked\"",
        ", chunked",
        "chunked,",
        "",
    ] {
        let lines = format!("Transfer-Encoding: {codings}¶");
        row("H84 H85 H87", &post_with(&lines, "0¶¶"), &[400], REFUSED);
    }
    for second in ["chunked", "identity"] {
        let lines = format!("Transfer-Encoding: chunked¶Transfer-Encoding: {second}¶");
        row("H85", &post_with(&lines, "0¶¶"), &[400], REFUSED);
    }
    for value in ["Chunked", "chunked ", "⇥chunked"] {
        let lines = format!("Transfer-Encoding: {value}¶");
        row("H86", &post_with(&lines, "5¶hello¶0¶¶"), &[200], Open);
    }
    for lines in [
        "Transfer-Encoding : chunked¶",
        " Transfer-Encoding: chunked¶",
        "Transfer-¶Encoding: chunked¶",
        "Transfer-Encoding:¶ chunked¶",
    ] {
        row("H88", &post_with(lines, "0¶¶"), &[400], REFUSED);
    }
    let lines = "Transfer_Encoding: chunked¶Content-Length: 5¶";
    row("H89", &post_with(lines, "hello"), &[200], Open);
    let old = "POST /echo HTTP/1.0¶Transfer-Encoding: chunked¶¶0¶¶";
    row("H90", old, &[400], REFUSED);
}
