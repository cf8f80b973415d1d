//! Clients that are slow, in time that the test moves.

use crate::support::{Peer, bytes};
use server_http::{Advance, Closing, Limits, Reason};

const SECOND: u64 = 1_000_000_000;

fn closed(advance: Advance) -> (Closing, Reason) {
    let close = advance.close.expect("closed");
    (close.how, close.why)
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    assert_eq!(peer.hears(b"").wake_at_ns, 60 * SECOND);
    let advance = peer.hears_at(50 * SECOND, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((advance.wake_at_ns, advance.close), (110 * SECOND, None));
    assert_eq!(peer.said_statuses(), [200]);
    assert_eq!(peer.hears_at(110 * SECOND - 1, b"").close, None);
    // Empty lines are no request: they put nothing off.
    assert_eq!(peer.hears(b"\r\n\r").close, None);
    assert_eq!(closed(peer.hears_at(110 * SECOND, b"")), (Closing::Fin, Reason::IdleTimeout));
    assert!(peer.sink.bytes.is_empty());
}

#[test]
fn a_head_has_ten_seconds_from_its_first_byte() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears_at(30 * SECOND, b"\r\n");
    assert_eq!(peer.hears_at(31 * SECOND, b"G").wake_at_ns, 41 * SECOND);
    for (second, byte) in (32..=40).zip(b"ET / HTTP") {
        let advance = peer.hears_at(second * SECOND, &[*byte]);
        assert_eq!((advance.wake_at_ns, advance.close), (41 * SECOND, None));
    }
    let advance = peer.hears_at(41 * SECOND, b"");
    assert_eq!(closed(advance), (Closing::Linger, Reason::HeadTimeout));
    assert_eq!(advance.responses, 1);
    assert_eq!(peer.said_statuses(), [408]);
}

#[test]
fn a_head_that_completes_late_but_before_anybody_looked_is_served() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(b"GET / HTTP/1.1\r\n");
    let advance = peer.hears_at(11 * SECOND, b"Host: x\r\n\r\n");
    assert_eq!((advance.responses, advance.close), (1, None));
}

#[test]
fn a_body_has_a_grace_and_then_a_rate() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let head = "POST /echo HTTP/1.1¶Host: x¶Content-Length: 1000000¶¶";
    assert_eq!(peer.hears_at(SECOND, &bytes(head)).wake_at_ns, 11 * SECOND);
    // 20 KiB pay for 20 s at 1 KiB/s, counted from the start of the body.
    let advance = peer.hears_at(2 * SECOND, &[b'x'; 20 * 1024]);
    assert_eq!(advance.wake_at_ns, 21 * SECOND);
    let advance = peer.hears_at(20 * SECOND, &[b'x'; 1024]);
    assert_eq!((advance.wake_at_ns, advance.close), (22 * SECOND, None));
    assert_eq!(closed(peer.hears_at(22 * SECOND, b"")), (Closing::Linger, Reason::BodyTimeout));
    assert_eq!(peer.said_statuses(), [408]);
}

#[test]
fn a_body_that_was_answered_already_ends_without_a_second_answer() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let head = "POST /none HTTP/1.1¶Host: x¶Expect: 100-continue¶Content-Length: 5¶¶";
    assert_eq!(peer.hears(&bytes(head)).wake_at_ns, 10 * SECOND);
    assert_eq!(peer.said_statuses(), [404]);
    let advance = peer.hears_at(10 * SECOND, b"hel");
    assert_eq!(closed(advance), (Closing::Linger, Reason::BodyTimeout));
    assert!(peer.sink.bytes.is_empty());
}

#[test]
fn a_rate_of_nothing_asks_for_nothing() {
    static PATIENT: Limits = Limits { body_rate_bytes_per_s: 0, ..Limits::DEFAULT };
    let mut peer = Peer::new(&PATIENT);
    let head = "POST /echo HTTP/1.1¶Host: x¶Transfer-Encoding: chunked¶¶";
    assert_eq!(peer.hears(&bytes(head)).wake_at_ns, Advance::NEVER);
}

#[test]
fn who_does_not_take_answers_is_not_timed_here() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.sink.space = 0;
    let advance = peer.hears(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((advance.blocked_on_output, advance.wake_at_ns), (true, Advance::NEVER));
    assert_eq!(peer.hears_at(1000 * SECOND, b"").close, None);
    peer.sink.space = 512;
    let advance = peer.hears_at(1001 * SECOND, b"");
    assert_eq!((advance.responses, advance.wake_at_ns), (1, 1061 * SECOND));
}
