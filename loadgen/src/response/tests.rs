//! Tables of responses, each in one piece and in every split.

use super::*;
use proptest::prelude::*;

/// What one connection's bytes come to, offered in pieces that end at `cuts`.
fn outcome(bytes: &[u8], cuts: &[usize], head_only: bool) -> String {
    let mut parser = Parser::new(head_only);
    let mut cache = HeadCache::default();
    let mut said = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let mut piece = &bytes[start..end];
        start = end;
        while !piece.is_empty() {
            match parser.advance(piece, &mut cache) {
                Ok(Progress::Partial) => break,
                Ok(Progress::Complete { consumed, status, keep_alive }) => {
                    said.push(format!("{status} {}", if keep_alive { "open" } else { "close" }));
                    piece = &piece[consumed..];
                }
                Err(error) => {
                    said.push(format!("{error:?}"));
                    return said.join(", ");
                }
            }
        }
    }
    if parser.has_begun() {
        said.push(
            parser.finish().map_or_else(
                |error| format!("{error:?}"),
                |status| format!("{status} at the close"),
            ),
        );
    }
    said.join(", ")
}

fn check_method(head_only: bool, response: &str, expect: &str) {
    let bytes = response.as_bytes();
    assert_eq!(outcome(bytes, &[], head_only), expect, "in one piece: {response:?}");
    let every: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(outcome(bytes, &every, head_only), expect, "byte by byte: {response:?}");
    for cut in 1..bytes.len() {
        assert_eq!(outcome(bytes, &[cut], head_only), expect, "cut at {cut}: {response:?}");
    }
}

fn check(response: &str, expect: &str) {
    check_method(false, response, expect);
}

#[test]
fn bodies_with_a_length() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "200 open");
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 open");
    check("HTTP/1.1 404 \r\ncontent-length: 2\r\n\r\nno", "404 open");
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", "Truncated");
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", "Truncated");
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        "200 open, 500 open",
    );
}

#[test]
fn lengths_that_are_not_one_number() {
    for value in ["", "-1", "+5", "5, 5", "5 5", "0x5", "18446744073709551616"] {
        check(&format!("HTTP/1.1 200 OK\r\ncontent-length: {value}\r\n\r\nhello"), "Length");
    }
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\nhello", "Length");
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "Length",
    );
}

#[test]
fn chunked_bodies() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    check(&chunked("5\r\nhello\r\n0\r\n\r\n"), "200 open");
    check(&chunked("5;a=b\r\nhello\r\nA\r\n0123456789\r\n00\r\n\r\n"), "200 open");
    check(&chunked("0\r\nx: y\r\nz: w\r\n\r\n"), "200 open");
    check(&chunked("5\r\nhello\r\n"), "Truncated");
    check(&chunked("5\r\nhello0\r\n\r\n"), "Chunk");
    check(&chunked("5\nhello\r\n0\r\n\r\n"), "Chunk");
    check(&chunked("\r\n"), "Chunk");
    check(&chunked(";x\r\n"), "Chunk");
    check(&chunked("g\r\n"), "Chunk");
    check(&chunked("00000000000000001\r\n"), "Chunk");
    check(&chunked("0\r\nx: y\n\r\n"), "Chunk");
    check(&chunked("0\r\n\rx"), "Chunk");
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n0\r\n\r\n", "200 open");
    check("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "Chunk");
}

#[test]
fn endless_extensions_and_trailers_are_refused() {
    let long = "x".repeat(HEAD_MAX_BYTES + 1);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in [format!("5;{long}"), format!("0\r\n{long}")] {
        assert_eq!(outcome(format!("{head}{body}").as_bytes(), &[], false), "Chunk");
    }
}

#[test]
fn bodies_that_end_with_the_connection() {
    check("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nwhatever", "200 at the close");
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nwhatever", "200 at the close");
    check("HTTP/1.0 200 OK\r\n\r\n", "200 at the close");
}

#[test]
fn responses_without_a_body() {
    check("HTTP/1.1 204 No Content\r\n\r\n", "204 open");
    check("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "304 open");
    check_method(true, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "200 open");
    check_method(true, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "200 open");
}

#[test]
fn interim_responses_are_skipped_and_switching_protocols_is_not() {
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
        "204 open",
    );
    check("HTTP/1.1 101 Switching Protocols\r\n\r\n", "Status");
}

#[test]
fn connections_that_stay_open_and_those_that_do_not() {
    let of = |line: &str| format!("HTTP/{line}\r\ncontent-length: 0\r\n\r\n");
    check(&of("1.1 200 OK"), "200 open");
    check(&of("1.1 200 OK\r\nConnection: close"), "200 close");
    check(&of("1.1 200 OK\r\nConnection: keep-alive, Close"), "200 close");
    check(&of("1.0 200 OK"), "200 close");
    check(&of("1.0 200 OK\r\nconnection: Keep-Alive"), "200 open");
}

#[test]
fn heads_that_are_not_http() {
    check("garbage\r\n\r\n", "Head");
    check("\r\nHTTP/1.1 204 No Content\r\n\r\n", "Head");
    check("HTTP/2.0 200 OK\r\n\r\n", "Head");
    check("HTTP/1.1 2000 OK\r\n\r\n", "Head");
    check("HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n", "Status");
    check("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "Head");
    check("HTTP/1.1 200 OK\r\ncontent-length: 0\n\r\n", "Head");
    check("HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n", "Head");
}

#[test]
fn endless_heads_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_MAX_BYTES));
    let cuts: Vec<usize> = (1..8).map(|piece| piece * HEAD_MAX_BYTES / 8).collect();
    for cuts in [cuts.as_slice(), &[]] {
        assert_eq!(outcome(long.as_bytes(), cuts, false), "HeadTooLong");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
    assert_eq!(outcome(many.as_bytes(), &[], false), "HeadTooLong");
}

#[test]
fn a_cached_head_never_stands_for_another() {
    let mut parser = Parser::new(false);
    let mut cache = HeadCache::default();
    let mut check = |response: &str, expect: Result<u16, FramingError>| {
        let got = parser.advance(response.as_bytes(), &mut cache).map(|progress| match progress {
            Progress::Complete { status, consumed, .. } => {
                assert_eq!(consumed, response.len(), "{response:?}");
                status
            }
            Progress::Partial => panic!("{response:?} is complete"),
        });
        assert_eq!(got, expect, "{response:?}");
    };
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok(200));
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok(200));
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes", Ok(200));
    check("HTTP/1.1 503 OK\r\ncontent-length: 3\r\n\r\nyes", Ok(503));
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nyes", Ok(200));
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx\r\n\r\nyes", Err(FramingError::Head));
}

proptest! {
    #[test]
    fn any_split_of_any_mixture_gives_the_same_answer(
        parts in prop::collection::vec(prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: u\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "garbage\r\n\r\n",
            "\r\n",
        ]), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = parts.concat().into_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|index| index.index(bytes.len())).collect();
        at.sort_unstable();
        prop_assert_eq!(outcome(&bytes, &at, false), outcome(&bytes, &[], false));
    }
}
