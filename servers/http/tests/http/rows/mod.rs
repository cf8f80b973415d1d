//! The case table: request bytes, and what they are answered with, however they are delivered.
//!
//! The identifiers are those of the conformance suite, which asks whole servers the same.

mod body;
mod chunked;
mod fields;
mod host;
mod management;
mod request_line;

use crate::support::{Peer, bytes, replies};
use server_http::{Limits, Reason};

/// How a row leaves the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Open, for the next request or for the rest of this one.
    Open,
    /// Closed after the last answer.
    Closed(Reason),
}

use End::{Closed, Open};

const REFUSED: End = Closed(Reason::Refused);
const ASKED: End = Closed(Reason::Asked);

/// A row: its name, its bytes, the final statuses in order, and the end.
fn row(id: &str, input: &str, statuses: &[u16], end: End) {
    row_of_bytes(id, &bytes(input), statuses, end);
}

fn row_of_bytes(id: &str, input: &[u8], statuses: &[u16], end: End) {
    row_with_limits(id, input, statuses, end, &Limits::DEFAULT);
}

fn row_with_limits(id: &str, input: &[u8], statuses: &[u16], end: End, limits: &'static Limits) {
    let check = |pieces: &mut dyn Iterator<Item = &[u8]>, before: &[u16], how: &str| {
        let (got, got_end) = deliver(pieces, limits);
        let expect = [before, statuses].concat();
        let name = || format!("{id} {how}: {}", input[..input.len().min(200)].escape_ascii());
        assert_eq!(got, expect, "{}", name());
        assert_eq!(got_end, end, "{}", name());
    };
    check(&mut std::iter::once(input), &[], "whole");
    check(&mut input.chunks(1), &[], "byte by byte");
    check(&mut input.chunks(1447), &[], "in segments");
    // Every split where there are few; else those around the places where something happens.
    let splits: Vec<usize> = match input.len() {
        0..=600 => (1..input.len()).collect(),
        length => vec![1, 17, length / 2, length - 3, length - 2, length - 1],
    };
    for split in splits {
        let (first, second) = input.split_at(split);
        check(&mut [first, second].into_iter(), &[], &format!("split at {split}"));
    }
    let good = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
    let joined = [good, input].concat();
    check(&mut std::iter::once(joined.as_slice()), &[200], "behind a good request");
    check(&mut joined.chunks(1), &[200], "byte by byte behind a good request");
}

/// The final statuses and the end of a connection that hears `pieces`.
fn deliver(pieces: &mut dyn Iterator<Item = &[u8]>, limits: &'static Limits) -> (Vec<u16>, End) {
    let mut peer = Peer::new(limits);
    for piece in pieces {
        let advance = peer.hears(piece);
        assert!(!advance.blocked_on_output, "the sink has space");
        if advance.close.is_some() {
            break;
        }
    }
    let replies = replies(&peer.sink.bytes, &[]);
    let statuses: Vec<u16> =
        replies.iter().map(|reply| reply.status).filter(|status| *status != 100).collect();
    assert_eq!(statuses.len(), peer.responses as usize, "R12");
    let end = peer.close.map_or(Open, |close| Closed(close.why));
    let says_close = replies.last().is_some_and(|reply| reply.values("connection") == ["close"]);
    assert_eq!(says_close, end != Open, "R8, and nothing else says close");
    (statuses, end)
}

/// `GET / HTTP/1.1`, `Host: x`, and more lines.
fn get_with(lines: &str) -> String {
    format!("GET / HTTP/1.1¶Host: x¶{lines}¶")
}

/// `POST /echo HTTP/1.1`, `Host: x`, more lines, and a body.
fn post_with(lines: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1¶Host: x¶{lines}¶{body}")
}
