//! Clients that ask for more than they take.

use crate::support::{Peer, bytes, replies};
use server_http::{Connection, Limits};

const GET: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn h113_a_thousand_pipelined_requests_wait_in_the_input() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.space = 512;
    let advance = peer.hears(&GET.repeat(1000));
    // 512 bytes hold three answers of 133: the fourth request was read, no other.
    assert_eq!((advance.responses, advance.blocked_on_output), (3, true));
    assert_eq!(advance.consumed, 4 * GET.len());
    let mut calls = 0;
    while peer.responses < 1000 {
        peer.sink.space = 512;
        assert!(peer.hears(b"").consumed <= 4 * GET.len());
        calls += 1;
        assert!(calls < 1000, "each call answers something");
    }
    assert_eq!(replies(&peer.sink.bytes, &[]).len(), 1000);
    assert!(peer.pending.is_empty());
}

#[test]
fn the_longest_content_streams_through_a_small_sink() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.space = 512;
    let _ = peer.hears(b"GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    while peer.responses == 0 {
        peer.sink.space = 512;
        assert_eq!(peer.hears(b"").blocked_on_output, peer.responses == 0);
    }
    let body = &replies(&peer.sink.bytes, &[])[0].body;
    assert!(body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
}

#[test]
fn an_echoed_body_waits_for_space_too() {
    let body = vec![b'e'; 1 << 20];
    let head = bytes("POST /echo HTTP/1.1¶Host: x¶Content-Length: 1048576¶¶");
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.space = 0;
    let advance = peer.hears(&[head, body.clone(), GET.to_vec()].concat());
    // The body is taken whatever the sink says; the request behind it is not.
    assert!(advance.blocked_on_output);
    assert_eq!(peer.pending, GET);
    while peer.responses < 2 {
        peer.sink.space += 600;
        let _ = peer.hears(b"");
    }
    assert_eq!(replies(&peer.sink.bytes, &[])[0].body, body);
}

#[test]
fn an_answer_may_be_cut_off_by_space_anywhere() {
    for request in [
        "GET /plaintext HTTP/1.1¶Host: x¶¶",
        "GET /bytes/50 HTTP/1.1¶Host: x¶¶",
        "POST /echo HTTP/1.1¶Host: x¶Content-Length: 50¶¶\
         01234567890123456789012345678901234567890123456789",
        "POST /echo HTTP/1.1¶Host: x¶Transfer-Encoding: chunked¶¶5¶hello¶0¶¶",
    ] {
        let mut peer = Peer::new(&Limits::DEFAULT);
        let _ = peer.hears(&bytes(request));
        let whole = peer.sink.bytes;
        for space in 0..=512 {
            let mut peer = Peer::new(&Limits::DEFAULT);
            peer.sink.space = space;
            assert_eq!(peer.hears(&bytes(request)).blocked_on_output, peer.responses == 0);
            peer.sink.space = 512;
            let _ = peer.hears(b"");
            assert_eq!((peer.responses, &peer.sink.bytes), (1, &whole), "{space}: {request}");
        }
    }
}

#[test]
fn a_backlog_stops_the_reading_of_requests() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.backlog = 256 * 1024;
    let advance = peer.hears(GET);
    assert_eq!((advance.consumed, advance.blocked_on_output), (0, true));
    peer.sink.backlog -= 1;
    assert_eq!(peer.hears(b"").responses, 1);
}

#[test]
fn a_limit_of_no_backlog_does_not_stop_everything() {
    static NONE: Limits = Limits { output_bytes: 0, ..Limits::DEFAULT };
    let mut peer = Peer::new(&NONE);
    assert_eq!(peer.hears(GET).responses, 1);
}

#[test]
fn the_interim_response_waits_for_space() {
    let head = bytes("POST /echo HTTP/1.1¶Host: x¶Expect: 100-continue¶Content-Length: 2¶¶");
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.space = 24;
    assert!(peer.hears(&head).blocked_on_output);
    peer.sink.space = 25;
    assert!(!peer.hears(b"").blocked_on_output);
    assert_eq!(peer.said_statuses(), [100]);
}

#[test]
fn a_connection_is_small() {
    // 100,000 of them idle are not to cost much; the input and output of each come on top.
    assert!(size_of::<Connection>() <= 200, "{} bytes", size_of::<Connection>());
}
