//! One request of a stream: where it begins, what it asks for, where it ends.

use super::chunked::{Decoded, decode};
use super::head::{Head, Parsed, parse, trim};
use super::routes::{Content, Expected, expected, is_host};
use bytes::Bytes;
use server_http::Limits;

/// What comes next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, or a head that is not whole; the first of its bytes.
    Partial {
        /// Where the head begins, behind empty lines.
        start: usize,
    },
    /// A head that may not be accepted; why.
    Refused(&'static str),
    /// A head that is to be accepted.
    Request(Request),
}

/// A request whose head is to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What it is to be answered with.
    pub(crate) expected: Expected,
    /// The body.
    pub(crate) body: Body,
    /// Whether the connection ends with its answer.
    pub(crate) closes: bool,
    /// The answer says `connection: keep-alive`.
    pub(crate) says_keep_alive: bool,
    /// The client waits for 100, or for the final status, before it sends the body.
    pub(crate) waits: bool,
}

impl Request {
    /// Whether the answer goes out before the body comes in.
    ///
    /// RFC 9110 §10.1.1: a client that waits hears the final status at once where the body does not
    /// matter to it.
    pub(crate) fn is_answered_first(&self) -> bool {
        self.waits && self.expected.content != Content::Echo
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// It is there to its end.
    Complete {
        /// What it carries.
        content: Bytes,
        /// Where the next request begins.
        end: usize,
    },
    /// Nothing is wrong with it so far.
    Partial,
    /// It may not be accepted; why.
    Refused(&'static str),
}

/// What is wrong with a head.
type Judged<T> = Result<T, &'static str>;

/// The request at `from` in `stream`.
pub(crate) fn next(stream: &[u8], from: usize, limits: &Limits) -> Next {
    let mut start = from;
    let mut empty_lines = 0;
    while stream[start..].starts_with(b"\r\n") {
        start += 2;
        empty_lines += 1;
        if empty_lines > limits.empty_lines {
            return Next::Refused("empty lines without end");
        }
    }
    let rest = &stream[start..];
    match parse(rest) {
        Parsed::Partial => Next::Partial { start },
        // A CR of which the LF may follow.
        Parsed::Malformed(_) if rest == b"\r" => Next::Partial { start },
        Parsed::Malformed(why) => Next::Refused(why),
        Parsed::Head(head) => match request(&head, &rest[head.length..], start, limits) {
            Ok(request) => Next::Request(request),
            Err(why) => Next::Refused(why),
        },
    }
}

fn request(head: &Head, behind: &[u8], start: usize, limits: &Limits) -> Judged<Request> {
    let refuse = |when: bool, why: &'static str| if when { Err(why) } else { Ok(()) };
    refuse(head.line_length > limits.request_line_bytes, "a long request line")?;
    refuse(head.length > limits.head_bytes, "a long head")?;
    refuse(head.fields.len() > limits.header_count, "many fields")?;
    check_host(head)?;
    let framing = framing(head, limits)?;
    let expected = expected(&head.method, &head.target)?;

    let is_1_0 = head.minor == 0;
    // RFC 1945 §8.3: content-length is required.
    let lacks_length = is_1_0 && head.method == "POST" && framing == Framing::Length(None);
    refuse(lacks_length, "a POST of HTTP/1.0 without length")?;

    let expectations = || head.values("expect");
    let other = expectations().any(|value| !value.eq_ignore_ascii_case(b"100-continue"));
    let expected = if other && !is_1_0 { Expected::failed_expectation() } else { expected };
    let has_body = !matches!(framing, Framing::Length(None | Some(0)));
    let (close, keep_alive) = (has_option(head, b"close"), has_option(head, b"keep-alive"));
    Ok(Request {
        body: body(framing, behind, start + head.length, limits),
        closes: close || (is_1_0 && !keep_alive),
        says_keep_alive: is_1_0 && keep_alive && !close,
        waits: has_body && !is_1_0 && expectations().next().is_some(),
        expected,
    })
}

/// RFC 9112 §3.2: exactly one, at most one in HTTP/1.0, and valid.
fn check_host(head: &Head) -> Judged<()> {
    let hosts: Vec<&[u8]> = head.values("host").collect();
    match hosts[..] {
        [] if head.minor == 0 => Ok(()),
        [host] if is_host(host) => Ok(()),
        _ => Err("no valid Host"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(Option<u64>),
    Chunked,
}

/// RFC 9112 §6.3.
fn framing(head: &Head, limits: &Limits) -> Judged<Framing> {
    let lengths: Vec<&[u8]> = head.values("content-length").collect();
    let codings: Vec<&[u8]> = head.values("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Length(None)),
        ([length], []) => match decimal(length) {
            // DEVIATION: a leading zero is refused, which the grammar allows.
            _ if length.len() > 1 && length[0] == b'0' => Err("a length with a leading zero"),
            Some(length) if length <= limits.body_bytes as u64 => Ok(Framing::Length(Some(length))),
            Some(_) => Err("a long body"),
            None => Err("a length that is no number"),
        },
        // DEVIATION: equal lengths may be taken for one. They are refused.
        (_, []) => Err("two lengths"),
        ([], [coding]) if head.minor > 0 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        ([], _) => Err("a transfer coding other than chunked"),
        (_, _) => Err("a length and a transfer coding"),
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| core::str::from_utf8(value).ok()?.parse().ok())?
}

/// RFC 9110 §7.6.1: whether one of the lists called `connection` has `option`.
fn has_option(head: &Head, option: &[u8]) -> bool {
    let members = head.values("connection").flat_map(|list| list.split(|byte| *byte == b','));
    members.into_iter().any(|member| trim(member).eq_ignore_ascii_case(option))
}

fn body(framing: Framing, behind: &[u8], start: usize, limits: &Limits) -> Body {
    match framing {
        Framing::Length(length) => {
            let length = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
            behind.get(..length).map_or(Body::Partial, |content| Body::Complete {
                content: Bytes::copy_from_slice(content),
                end: start + length,
            })
        }
        Framing::Chunked => match decode(behind, limits) {
            Decoded::Complete { data, length } => {
                Body::Complete { content: data, end: start + length }
            }
            Decoded::Partial => Body::Partial,
            Decoded::Refused(why) => Body::Refused(why),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_taken_apart() {
        let stream = b"\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabGET / HTT";
        let Next::Request(request) = next(stream, 0, &Limits::DEFAULT) else {
            panic!("well-formed");
        };
        assert_eq!(request.body, Body::Complete { content: Bytes::from_static(b"ab"), end: 51 });
        assert!(!request.closes && !request.waits);
        assert_eq!(next(stream, 51, &Limits::DEFAULT), Next::Partial { start: 51 });
    }
}
