//! Any split of the input, through any sink, gives the same output.

use crate::support::{Peer, bytes};
use proptest::prelude::*;
use server_http::{Limits, Reason};

static LIMITS: Limits = Limits {
    request_line_bytes: 128,
    head_bytes: 512,
    header_count: 8,
    body_bytes: 2000,
    chunk_overhead_bytes: 64,
    ..Limits::DEFAULT
};

/// Requests and fragments, good and bad, whose order decides what they mean. None expects
/// `100-continue` with a body: there the time of arrival matters, and is meant to.
const PIECES: [&str; 48] = [
    "GET / HTTP/1.1¶Host: x¶¶",
    "GET /json HTTP/1.1¶Host: x¶Accept: */*¶¶",
    "GET /bytes/3000 HTTP/1.1¶Host: x¶¶",
    "GET /none HTTP/1.1¶Host: x¶¶",
    "HEAD /json HTTP/1.1¶Host: x¶¶",
    "POST /echo HTTP/1.1¶Host: x¶Content-Length: 5¶¶hello",
    "POST / HTTP/1.1¶Host: x¶Content-Length: 3¶¶",
    "POST /echo HTTP/1.1¶Host: x¶Transfer-Encoding: chunked¶¶",
    "PUT /json HTTP/1.1¶Host: x¶Transfer-Encoding: chunked¶¶",
    "5¶hello¶",
    "3;a=\"b\"¶abc¶",
    "0¶¶",
    "0¶X: y¶¶",
    "1¶x¶1¶x¶1¶x¶1¶x¶1¶x¶1¶x¶1¶x¶1¶x¶",
    "GET / HTTP/1.0¶Connection: keep-alive¶¶",
    "GET / HTTP/1.0¶¶",
    "GET / HTTP/1.3¶Host: x¶¶",
    "GET / HTTP/2.0¶Host: x¶¶",
    "GET http://x/plaintext HTTP/1.1¶Host: x¶¶",
    "OPTIONS * HTTP/1.1¶Host: x¶¶",
    "FOO / HTTP/1.1¶Host: x¶¶",
    "GET / HTTP/1.1¶Host: x¶Connection: close¶¶",
    "GET / HTTP/1.1¶Host: x¶Expect: other¶¶",
    "POST /echo HTTP/1.1¶Host: x¶Expect: other¶Content-Length: 4¶¶body",
    "POST /echo HTTP/1.1¶Host: x¶Content-Length: 2001¶¶",
    "POST /echo HTTP/1.1¶Host: x¶Content-Length: 1¶Content-Length: 1¶¶",
    "GET ",
    "/",
    " ",
    "HTTP/1.1",
    "¶",
    "↵",
    "␍",
    "Host: x¶",
    "X: y¶",
    " fold¶",
    "\0",
    "\u{e9}",
    "A",
    "0",
    "5",
    ";",
    ":",
    "GET / HTTP/1.1¶Host: x¶X: 0123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "7FFFFFFF¶",
    "X: y¶X: y¶X: y¶X: y¶X: y¶X: y¶X: y¶X: y¶",
    "\x16\x03\x01\x02",
];

/// What came out, how many answers that was, and why it ended.
type Outcome = (Vec<u8>, u32, Option<Reason>);

/// Delivers `input` in pieces that end at `cuts`, through a sink that has `spaces` in turn.
fn deliver(input: &[u8], cuts: &[usize], spaces: &[usize], eof: bool) -> Outcome {
    let mut peer = Peer::new(&LIMITS);
    let mut spaces = spaces.iter().copied().cycle();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.push(input.len());
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts {
        flow(&mut peer, &input[from..to], &mut spaces);
        from = to;
    }
    if eof {
        peer.eof = true;
        flow(&mut peer, b"", &mut spaces);
    }
    (peer.sink.bytes, peer.responses, peer.close.map(|close| close.why))
}

/// Calls until the connection waits for input or is closed.
fn flow(peer: &mut Peer, piece: &[u8], spaces: &mut impl Iterator<Item = usize>) {
    if peer.close.is_some() {
        return;
    }
    let mut blocked = peer.hears(piece).blocked_on_output;
    let mut idle_calls = 0;
    while blocked {
        // A sink that was full gets more space, and now and then all that a head needs.
        peer.sink.space = spaces.next().expect("endless");
        let before = peer.sink.bytes.len();
        blocked = peer.hears(b"").blocked_on_output;
        idle_calls = if peer.sink.bytes.len() > before { 0 } else { idle_calls + 1 };
        assert!(idle_calls < 100, "no progress");
    }
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..PIECES.len(), 1..12).prop_map(|indices| {
        let text: String = indices.iter().map(|index| PIECES[*index]).collect();
        bytes(&text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_output(
        input in input(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        mut spaces in prop::collection::vec(0_usize..600, 0..6),
        eof in any::<bool>(),
    ) {
        spaces.push(512);
        let whole = deliver(&input, &[], &[1 << 20], eof);
        let every_byte: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&deliver(&input, &every_byte, &[1 << 20], eof), &whole);
        prop_assert_eq!(&deliver(&input, &cuts, &spaces, eof), &whole);
        prop_assert_eq!(&deliver(&input, &[], &spaces, eof), &whole);
    }

    #[test]
    fn one_changed_byte_changes_nothing_about_that(
        input in input(),
        at in any::<usize>(),
        byte in any::<u8>(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut input = input;
        let at = at % input.len();
        input[at] = byte;
        let whole = deliver(&input, &[], &[1 << 20], false);
        let every_byte: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&deliver(&input, &every_byte, &[1 << 20], false), &whole);
        prop_assert_eq!(&deliver(&input, &cuts, &[512], false), &whole);
    }
}
