//! Whether what a script's first `request()` returned is HTTP, and how many requests it holds.
//!
//! wrk counts them with http-parser and says what is wrong in that library's words, so these words
//! and positions are kept for the mistakes that scripts make. Where http-parser lets through what a
//! server need not understand (a version that is not 1.x, a request line without one), the request
//! is refused here.

use httparse::{Error as HeadError, Header, Status};
use std::fmt;

/// Most fields of a request.
const FIELDS_MAX: usize = 256;

/// The methods that http-parser knows.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// What is wrong, and where: line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    what: &'static str,
    line: usize,
    column: usize,
}

impl Refused {
    fn at(what: &'static str, bytes: &[u8], offset: usize) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { what, line, column: before.len() - line_start + 1 }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}:{}", self.what, self.line, self.column)
    }
}

const INCOMPLETE: &str = "incomplete request";
const METHOD: &str = "invalid HTTP method";
const URL: &str = "invalid URL";
const CONSTANT: &str = "invalid constant string";
const STRICT: &str = "strict mode assertion failed";
const VERSION: &str = "invalid HTTP version";
const FIELD: &str = "invalid character in header";
const LINE_FEED: &str = "LF character expected";
const OVERFLOW: &str = "too many header bytes seen; overflow detected";
const LENGTH: &str = "invalid character in content-length header";
const TWO_LENGTHS: &str = "unexpected content-length header";
const CHUNK_SIZE: &str = "invalid character in chunk size header";
const CLOSED: &str = "data received after completed connection: close message";

/// What is wrong at an offset; without an offset, the bytes end too early.
type Fault = Option<(&'static str, usize)>;

/// Counts the requests in a batch: at least one.
///
/// A last request that is cut short is not counted and not refused, as in wrk, if there is a whole
/// one before it.
pub(super) fn count(batch: &[u8]) -> Result<usize, Refused> {
    let mut requests = 0;
    let mut at = 0;
    let mut closed = false;
    loop {
        // Empty lines before a request are skipped (RFC 9112 §2.2).
        at += batch[at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if at == batch.len() {
            break;
        }
        if closed {
            return Err(Refused::at(CLOSED, batch, at));
        }
        match request(&batch[at..]) {
            Ok(whole) => {
                requests += 1;
                at += whole.bytes;
                closed = !whole.keep_alive;
            }
            Err(Some((what, offset))) => return Err(Refused::at(what, batch, at + offset)),
            Err(None) => break,
        }
    }
    if requests == 0 { Err(Refused::at(INCOMPLETE, batch, batch.len())) } else { Ok(requests) }
}

/// A request that is there in full.
struct Whole {
    bytes: usize,
    keep_alive: bool,
}

fn request(bytes: &[u8]) -> Result<Whole, Fault> {
    check_method(bytes)?;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let body_at = match head.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Err(None),
        Err(error) => return Err(Some(head_fault(bytes, error))),
    };
    let method = head.method.unwrap_or_default();
    check_target(method, head.path.unwrap_or_default())?;
    let framing = Framing::of(bytes, head.headers, body_at)?;
    let body = &bytes[body_at..];
    let body_bytes = if framing.chunked {
        chunked(body).map_err(|fault| fault.map(|(what, offset)| (what, body_at + offset)))?
    } else {
        framing.length.filter(|length| *length <= body.len()).ok_or(None)?
    };
    let keep_alive = if head.version == Some(1) { !framing.close } else { framing.keep_alive };
    Ok(Whole { bytes: body_at + body_bytes, keep_alive })
}

/// The offset of the first byte that no known method has there.
fn check_method(bytes: &[u8]) -> Result<(), Fault> {
    let token = bytes.iter().take_while(|byte| **byte != b' ').count();
    let fits =
        |length: usize| METHODS.iter().any(|name| name.as_bytes().starts_with(&bytes[..length]));
    match (1..=token).find(|length| !fits(*length)) {
        Some(length) => Err(Some((METHOD, length - 1))),
        None if token == bytes.len() => Err(None),
        None if METHODS.iter().any(|name| name.as_bytes() == &bytes[..token]) => Ok(()),
        None => Err(Some((METHOD, token))),
    }
}

/// A target is a path, `*`, or has a scheme; that of CONNECT is an authority.
fn check_target(method: &str, target: &str) -> Result<(), Fault> {
    if method == "CONNECT" || target.starts_with(['/', '*']) {
        return Ok(());
    }
    let scheme = target.bytes().take_while(u8::is_ascii_alphabetic).count();
    if scheme > 0 && target[scheme..].starts_with("://") {
        return Ok(());
    }
    Err(Some((URL, method.len() + 1 + scheme)))
}

/// Finds the byte that a head is refused for: the shortest beginning that is refused ends with it.
fn head_fault(bytes: &[u8], error: HeadError) -> (&'static str, usize) {
    let refused = |length: usize| {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        httparse::Request::new(&mut fields).parse(&bytes[..length]).is_err()
    };
    let (mut accepted, mut shortest) = (0, bytes.len());
    while accepted + 1 < shortest {
        let middle = accepted.midpoint(shortest);
        if refused(middle) { shortest = middle } else { accepted = middle }
    }
    let at = shortest - 1;
    let after_return = at > 0 && bytes[at - 1] == b'\r';
    let what = match error {
        HeadError::Token => URL,
        HeadError::Version => version_fault(bytes, at),
        HeadError::TooManyHeaders => OVERFLOW,
        HeadError::NewLine => LINE_FEED,
        _ if after_return => LINE_FEED,
        _ => FIELD,
    };
    (what, at)
}

/// http-parser's name for a wrong byte in `HTTP/1.1`.
fn version_fault(bytes: &[u8], at: usize) -> &'static str {
    let begin = bytes[..at].iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
    match at - begin {
        0 => CONSTANT,
        1..=4 => STRICT,
        _ => VERSION,
    }
}

/// What the fields say of the end of the request.
struct Framing {
    chunked: bool,
    /// The content-length, 0 where there is none; `None` where it fits no memory.
    length: Option<usize>,
    close: bool,
    keep_alive: bool,
}

impl Framing {
    fn of(bytes: &[u8], fields: &[Header<'_>], body_at: usize) -> Result<Self, Fault> {
        let mut framing = Self { chunked: false, length: Some(0), close: false, keep_alive: false };
        let mut has_length = false;
        for field in fields {
            let has_token = |token: &str| {
                let mut tokens = field.value.split(|byte| *byte == b',');
                tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            };
            if field.name.eq_ignore_ascii_case("content-length") {
                if has_length {
                    return Err(Some((TWO_LENGTHS, offset_in(bytes, field.value))));
                }
                has_length = true;
                framing.length = length(bytes, field.value)?;
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                framing.chunked |= has_token("chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                framing.close |= has_token("close");
                framing.keep_alive |= has_token("keep-alive");
            }
        }
        if framing.chunked && has_length {
            return Err(Some((TWO_LENGTHS, body_at - 1)));
        }
        Ok(framing)
    }
}

fn length(bytes: &[u8], value: &[u8]) -> Result<Option<usize>, Fault> {
    match value.iter().position(|byte| !byte.is_ascii_digit()) {
        Some(at) => Err(Some((LENGTH, offset_in(bytes, value) + at))),
        None if value.is_empty() => Err(Some((LENGTH, offset_in(bytes, value)))),
        None => Ok(std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok())),
    }
}

/// Where a part of `bytes` begins in them.
fn offset_in(bytes: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(bytes.as_ptr().addr())
}

/// Bytes of a chunked body, its last empty line included.
fn chunked(body: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        let size = match httparse::parse_chunk_size(&body[at..]) {
            Ok(Status::Complete((taken, size))) => {
                at += taken;
                usize::try_from(size).map_err(|_| None)?
            }
            Ok(Status::Partial) => return Err(None),
            Err(_) => {
                let digits = body[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                return Err(Some((CHUNK_SIZE, at + digits)));
            }
        };
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; FIELDS_MAX];
            return match httparse::parse_headers(&body[at..], &mut trailers) {
                Ok(Status::Complete((taken, _))) => Ok(at + taken),
                Ok(Status::Partial) => Err(None),
                Err(_) => Err(Some((FIELD, at))),
            };
        }
        at = at.checked_add(size).filter(|end| *end <= body.len()).ok_or(None)?;
        match &body[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Err(None),
            _ => return Err(Some((LINE_FEED, at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(batch: &str, expect: Result<usize, &str>) {
        let found = count(batch.as_bytes()).map_err(|refused| refused.to_string());
        assert_eq!(found, expect.map_err(str::to_owned), "{batch:?}");
    }

    #[test]
    fn whole_requests_are_counted() {
        check("GET / HTTP/1.1\r\n\r\n", Ok(1));
        check(&"GET /?a HTTP/1.1\r\nHost: h\r\n\r\n".repeat(16), Ok(16));
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", Ok(2));
        check("GET / HTTP/1.1\r\n\r\n\r\n", Ok(1));
        check("GET / HTTP/1.1\nHost: x\n\n", Ok(1));
        check("GET / HTTP/1.0\r\n\r\n", Ok(1));
        check("OPTIONS * HTTP/1.1\r\n\r\nGET http://h/ HTTP/1.1\r\n\r\n", Ok(2));
        check("CONNECT h:443 HTTP/1.1\r\n\r\n", Ok(1));
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nA: b\r\n\r\n";
        check(&chunked.repeat(2), Ok(2));
        // A second request that is cut short goes unnoticed in wrk as well.
        check("GET / HTTP/1.1\r\n\r\nGET / HT", Ok(1));
    }

    /// Every message and position is what Debian's wrk 4.1.0 prints for the same request.
    #[test]
    fn mistakes_are_told_in_the_words_of_wrk() {
        check("", Err("incomplete request at 1:1"));
        check("5", Err("invalid HTTP method at 1:1"));
        check("GE T / HTTP/1.1\r\n\r\n", Err("invalid HTTP method at 1:3"));
        check("FOO / HTTP/1.1\r\n\r\n", Err("invalid HTTP method at 1:1"));
        check("GOO / HTTP/1.1\r\n\r\n", Err("invalid HTTP method at 1:2"));
        check("get / HTTP/1.1\r\n\r\n", Err("invalid HTTP method at 1:1"));
        check("GET foo HTTP/1.1\r\n\r\n", Err("invalid URL at 1:8"));
        check("GET /a b HTTP/1.1\r\n\r\n", Err("invalid constant string at 1:8"));
        check("GET / HTTX/1.1\r\n\r\n", Err("strict mode assertion failed at 1:10"));
        check("GET / HTTP/1.1\r\nHo st: x\r\n\r\n", Err("invalid character in header at 2:3"));
        check("GET / HTTP/1.1\r\nHost: x\x01y\r\n\r\n", Err("invalid character in header at 2:8"));
        check("GET / HTTP/1.1\r\nA: b\rX\r\n\r\n", Err("LF character expected at 2:6"));
        check("GET / HTTP/1.1\r\nHost: x\r\n", Err("incomplete request at 3:1"));
        check("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", Err("incomplete request at 4:4"));
        check("POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\nabc", {
            Err("invalid character in content-length header at 2:18")
        });
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {
            Err("invalid character in chunk size header at 4:1")
        });
        let both = "Content-Length: 1\r\nTransfer-Encoding: chunked";
        check(&format!("POST / HTTP/1.1\r\n{both}\r\n\r\n0\r\n\r\n"), {
            Err("unexpected content-length header at 4:2")
        });
        check("GET / HTTP/1.1\r\n\r\nabc", Err("invalid HTTP method at 3:1"));
        check("GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", {
            Err("data received after completed connection: close message at 4:1")
        });
    }

    #[test]
    fn what_http_parser_lets_through_is_refused() {
        check("GET / HTTP/2.0\r\n\r\n", Err("invalid HTTP version at 1:12"));
        check("GET /\r\n\r\n", Err("invalid URL at 1:6"));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(batch in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_ne!(count(&batch), Ok(0));
        }

        #[test]
        fn a_batch_cut_anywhere_holds_what_came_before(cut in 0_usize..60) {
            let one = "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";
            let batch = one.repeat(2);
            let found = count(&batch.as_bytes()[..cut]);
            prop_assert_eq!(found.ok(), (cut >= one.len()).then_some(1));
        }
    }
}
