//! F. What happens to the connection (RFC 9112 §9).

use super::{ASKED, Open, REFUSED, get_with, post_with, row};
use crate::support::{Peer, bytes, replies};
use server_http::{Closing, Limits, Reason};

const GET: &str = "GET / HTTP/1.1¶Host: x¶¶";

#[test]
fn who_asks_for_the_end_gets_it() {
    for option in ["close", "Close", "keep-alive, close", "close,keep-alive", "x,⇥close ,"] {
        row("H110", &get_with(&format!("Connection: {option}¶")), &[200], ASKED);
    }
    row("H110", &get_with("Connection: keep-alive¶Connection: close¶"), &[200], ASKED);
    row("H110", &get_with("Connection: closed¶"), &[200], Open);
    row("H111", "GET / HTTP/1.0¶¶", &[200], ASKED);
    row("H111", "GET / HTTP/1.0¶Connection: close, keep-alive¶¶", &[200], ASKED);
    row("H111", "GET / HTTP/1.0¶Connection: Keep-Alive¶¶", &[200], Open);
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes("GET / HTTP/1.0¶Connection: Keep-Alive¶¶"));
    assert_eq!(peer.said()[0].values("connection"), ["keep-alive"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    row("H112", &GET.repeat(2), &[200, 200], Open);
    row("H114", &format!("{GET}Invalid¶¶"), &[200, 400], REFUSED);
    let post = post_with("Content-Length: 5¶", "hello");
    row("H115", &format!("{post}¶{GET}"), &[200, 200], Open);
    let close = get_with("Connection: close¶");
    row("H116", &format!("{close}{GET}"), &[200], ASKED);
    row("H116", &format!("{close}\0\0\0"), &[200], ASKED);
    row("H117", &format!("{}hello{GET}", get_with("Content-Length: 5¶")), &[200, 200], Open);
    let chunked = get_with("Transfer-Encoding: chunked¶");
    row("H117", &format!("{chunked}5¶hello¶0¶¶{GET}"), &[200, 200], Open);
    row("H117", &format!("{chunked}5¶hello0¶¶{GET}"), &[400], REFUSED);
    let empty = post_with("Content-Length: 0¶", "");
    row("H118", &format!("{empty}X{GET}"), &[200, 501], REFUSED);
    let unknown = "PUT /none HTTP/1.1¶Host: x¶Content-Length: 5¶¶hello";
    row("H117", &format!("{unknown}{GET}"), &[404, 200], Open);
    let refused = "FOO / HTTP/1.1¶Host: x¶Content-Length: 5¶¶hello";
    row("H117", &format!("{refused}{GET}"), &[501], REFUSED);
}

#[test]
fn h119_head_is_get_without_the_body() {
    for path in ["/", "/plaintext", "/json", "/bytes/0", "/bytes/100000", "/none", "/echo"] {
        let said = |method: &str| {
            let mut peer = Peer::new(&Limits::DEFAULT);
            let request = format!("{method} {path} HTTP/1.1¶Host: x¶¶{GET}");
            let _ = peer.hears(&bytes(&request));
            let heads: &[usize] = if method == "HEAD" { &[0] } else { &[] };
            replies(&peer.sink.bytes, heads)
        };
        let (head, get) = (said("HEAD"), said("GET"));
        assert_eq!((head[0].status, &head[0].fields), (get[0].status, &get[0].fields), "{path}");
        assert_eq!(head.len(), 2, "{path}");
    }
}

#[test]
fn h120_a_client_that_waits_for_100_gets_it_once() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&post_with("Expect: 100-Continue¶Content-Length: 5¶", "")));
    assert_eq!(peer.said_statuses(), [100]);
    let _ = peer.hears(b"hel");
    assert!(peer.said_statuses().is_empty());
    let _ = peer.hears(b"lo");
    assert_eq!(peer.said_statuses(), [200]);

    // The body has begun to arrive, or there is none: nobody waits.
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&post_with("Expect: 100-continue¶Content-Length: 5¶", "hel")));
    assert!(peer.said_statuses().is_empty());
    let _ = peer.hears(&bytes(&format!("lo{}", post_with("Expect: 100-continue¶", ""))));
    assert_eq!(peer.said_statuses(), [200, 200]);

    let late = post_with("Expect: 100-continue¶Transfer-Encoding: chunked¶", "5¶hello¶0¶¶");
    row("H120", &late, &[200], Open);
}

#[test]
fn h120_a_final_status_that_is_known_is_not_waited_for() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let head = "POST /none HTTP/1.1¶Host: x¶Expect: 100-continue¶Content-Length: 5¶¶";
    let _ = peer.hears(&bytes(head));
    assert_eq!(peer.said_statuses(), [404]);
    let _ = peer.hears(&bytes(&format!("hello{GET}")));
    assert_eq!(peer.said_statuses(), [200]);
    row("H120", &format!("{head}hello{GET}"), &[404, 200], Open);

    // Answered once already: a malformed body ends the connection without another answer.
    let head = head.replace("Content-Length: 5", "Transfer-Encoding: chunked");
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(&format!("{head}zz¶")));
    assert_eq!(peer.said_statuses(), [404]);
    let close = peer.close.expect("closed");
    assert_eq!((close.how, close.why), (Closing::Linger, Reason::Refused));
}

#[test]
fn other_expectations_and_old_clients() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let head = "POST /echo HTTP/1.0¶Expect: 100-continue¶Content-Length: 5¶¶";
    let _ = peer.hears(&bytes(head));
    assert!(peer.said_statuses().is_empty(), "H121");
    row("H121", &format!("{head}hello"), &[200], ASKED);
    row("H121", "GET / HTTP/1.0¶Expect: other¶¶", &[200], ASKED);
    row("H122", &get_with("Expect: 200-ok¶"), &[417], Open);
    row("H122", &get_with("Expect: 100-continue¶Expect: 200-ok¶"), &[417], Open);
    // An unknown method is refused whatever else is expected of it.
    row("H07", "BREW / HTTP/1.1¶Host: x¶Expect: 200-ok¶¶", &[501], REFUSED);
    row("H28", "CONNECT x:443 HTTP/1.1¶Host: x:443¶Expect: 200-ok¶¶", &[501], REFUSED);
    let post = post_with("Expect: 200-ok¶Content-Length: 5¶", "hello");
    row("H122", &format!("{post}{GET}"), &[417, 200], Open);
    for protocol in ["h2c", "websocket", "made-up"] {
        let lines = format!("Connection: Upgrade¶Upgrade: {protocol}¶");
        row("H123", &get_with(&lines), &[200], Open);
    }
}

#[test]
fn a_client_that_has_finished_is_answered_all_the_same() {
    // H124: in one call with the request, and after it.
    let mut peer = Peer::new(&Limits::DEFAULT);
    peer.eof = true;
    let close = peer.hears(&bytes(&GET.repeat(3))).close.expect("closed");
    assert_eq!((close.how, close.why), (Closing::Fin, Reason::PeerClosed));
    assert_eq!(peer.said_statuses(), [200; 3]);

    let mut peer = Peer::new(&Limits::DEFAULT);
    assert_eq!(peer.hears(&bytes(GET)).close, None);
    assert_eq!(peer.ends().close.expect("closed").why, Reason::PeerClosed);

    // A head cut short is dropped: nobody asked anything.
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(b"GET / HT");
    assert_eq!(peer.ends().close.expect("closed").why, Reason::PeerClosed);
    assert!(peer.sink.bytes.is_empty());
}

#[test]
fn h127_a_refusal_lingers_and_what_follows_it_is_consumed() {
    let mut peer = Peer::new(&Limits::DEFAULT);
    let bad = post_with("Content-Length: 5x¶", &"b".repeat(100_000));
    let close = peer.hears(&bytes(&bad)).close.expect("closed");
    assert_eq!((close.how, close.why), (Closing::Linger, Reason::Refused));
    assert!(peer.pending.is_empty());
    assert_eq!(peer.said_statuses(), [400]);
}

#[test]
fn a_drained_connection_ends_with_the_answer_in_flight() {
    // Idle: at once, without a word.
    let mut peer = Peer::new(&Limits::DEFAULT);
    let _ = peer.hears(&bytes(GET));
    let _ = peer.said();
    peer.connection.drain();
    let close = peer.hears(b"").close.expect("closed");
    assert_eq!((close.how, close.why), (Closing::Fin, Reason::Drained));
    assert!(peer.sink.bytes.is_empty());

    // Inside a request: that one is answered, the next is not.
    for (first, second) in [
        ("GET / HT", "TP/1.1¶Host: x¶¶".to_owned()),
        ("POST / HTTP/1.1¶Host: x¶Content-Length: 5¶¶he", "llo".to_owned()),
        ("", GET.to_owned()),
    ] {
        let mut peer = Peer::new(&Limits::DEFAULT);
        if !first.is_empty() {
            let _ = peer.hears(&bytes(first));
        }
        peer.connection.drain();
        let close = peer.hears(&bytes(&format!("{second}{GET}"))).close.expect("closed");
        assert_eq!((close.how, close.why), (Closing::Linger, Reason::Drained));
        let said = peer.said();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].values("connection"), ["close"]);
    }
}
