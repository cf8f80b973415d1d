//! The response catalogue: which request is answered with what.
//!
//! | route | GET, HEAD | POST |
//! |---|---|---|
//! | `/plaintext` | 13 bytes of `text/plain` | 405 |
//! | `/json` | `{"message":"Hello, World!"}` | 405 |
//! | `/bytes/N` | N bytes of [`PATTERN`], repeated | 405 |
//! | `/echo` | 405 | the request's body |
//! | `/` | as `/plaintext` | as `/echo` |
//! | `*` | `OPTIONS` only: the methods of the server | |
//!
//! Paths are compared byte for byte, without decoding: a path with `%` in it is no route.

use crate::Status;

/// The body of `/plaintext`.
pub const PLAINTEXT: &[u8; 13] = b"Hello, World!";

/// The longest body of `/bytes/N`: 16 MiB.
pub const BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The bytes of `/bytes/N`: byte number `i` is `i` modulo 251, in a piece that repeats.
///
/// 251 is a prime: a piece that is lost, sent twice or sent in the wrong place shows, whatever
/// power of two its length is.
pub static PATTERN: [u8; PATTERN_LEN] = {
    let mut pattern = [0; PATTERN_LEN];
    let mut value = 0_u8;
    let mut at = 0;
    while at < PATTERN_LEN {
        pattern[at] = value;
        value = if value == 250 { 0 } else { value + 1 };
        at += 1;
    }
    pattern
};

/// Length of [`PATTERN`]: whole periods, a little less than 64 KiB.
const PATTERN_LEN: usize = 251 * 256;

/// The piece of the body of `/bytes/N` that begins at `offset`, at most as long as [`PATTERN`].
#[must_use]
pub fn pattern_from(offset: usize) -> &'static [u8] {
    &PATTERN[offset % PATTERN_LEN..]
}

/// What `/json` serialises for each request.
#[derive(Debug, serde::Serialize)]
pub struct Message {
    /// The one member.
    pub message: &'static str,
}

impl Message {
    /// The message that everybody answers.
    pub const HELLO: Self = Self { message: "Hello, World!" };
    /// Length of [`HELLO`](Self::HELLO) in JSON, in bytes.
    pub const HELLO_JSON_LEN: usize = 27;
}

/// The methods of an `allow` field (RFC 9110 §10.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// What `/plaintext`, `/json` and `/bytes/N` allow.
    GetHead,
    /// What `/echo` allows.
    Post,
    /// What `/` allows.
    GetHeadPost,
    /// What the server as a whole knows.
    All,
}

impl Allow {
    /// The field's value.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::GetHead => "GET, HEAD",
            Self::Post => "POST",
            Self::GetHeadPost => "GET, HEAD, POST",
            Self::All => "GET, HEAD, POST, OPTIONS",
        }
    }
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// No bytes, and no `content-type`.
    Empty,
    /// No bytes, and an `allow` field.
    Allow(Allow),
    /// [`PLAINTEXT`].
    Plaintext,
    /// [`Message::HELLO`], serialised for each request.
    Json,
    /// So many bytes of [`PATTERN`], at most [`BYTES_MAX`].
    Bytes(u32),
    /// The body of the request, taken whole.
    Echo,
}

impl Content {
    /// The value of `content-type`, where there is one.
    #[must_use]
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Allow(_) => None,
            Self::Plaintext => Some("text/plain"),
            Self::Json => Some("application/json"),
            Self::Bytes(_) | Self::Echo => Some("application/octet-stream"),
        }
    }
}

/// What a request is answered with, once its body was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// The body.
    pub content: Content,
    /// The answer to HEAD: the head of the answer to GET, and no body (RFC 9110 §9.3.2).
    pub head_only: bool,
}

impl Answer {
    /// An answer of a status alone, with an empty body.
    #[must_use]
    pub const fn empty(status: Status) -> Self {
        Self { status, content: Content::Empty, head_only: false }
    }

    const fn ok(content: Content) -> Self {
        Self { status: Status::Ok, content, head_only: false }
    }

    const fn not_allowed(allow: Allow) -> Self {
        let content = Content::Allow(allow);
        Self { status: Status::MethodNotAllowed, content, head_only: false }
    }
}

/// A method, as far as the catalogue tells them apart (RFC 9110 §9.1: case matters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// OPTIONS: answered for `*`.
    Options,
    /// CONNECT: not implemented, but its target has a form of its own.
    Connect,
    /// Known by name, allowed nowhere: PUT, DELETE, PATCH, TRACE.
    Known,
    /// Any other token.
    Unknown,
}

impl Method {
    /// The method called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            "CONNECT" => Self::Connect,
            "PUT" | "DELETE" | "PATCH" | "TRACE" => Self::Known,
            _ => Self::Unknown,
        }
    }
}

/// What to answer to `method` for `path`: the target's path without its query, or `*`.
#[must_use]
pub fn answer(method: Method, path: &str) -> Answer {
    match method {
        Method::Get => get(path),
        Method::Head => {
            let answer = get(path);
            Answer { head_only: true, ..answer }
        }
        Method::Post => match path {
            "/echo" | "/" => Answer::ok(Content::Echo),
            _ => not_allowed(path),
        },
        Method::Options if path == "*" => Answer::ok(Content::Allow(Allow::All)),
        Method::Options | Method::Known => not_allowed(path),
        // RFC 9110 §9.1: a method that is unrecognised or not implemented is answered with 501.
        Method::Connect | Method::Unknown => Answer::empty(Status::NotImplemented),
    }
}

/// The answer to GET.
fn get(path: &str) -> Answer {
    match path {
        "/plaintext" | "/" => Answer::ok(Content::Plaintext),
        "/json" => Answer::ok(Content::Json),
        _ => match bytes_route(path) {
            Some(length) => Answer::ok(Content::Bytes(length)),
            None => not_allowed(path),
        },
    }
}

/// 405 where the route exists with another method, else 404.
fn not_allowed(path: &str) -> Answer {
    match path {
        "/plaintext" | "/json" => Answer::not_allowed(Allow::GetHead),
        "/" => Answer::not_allowed(Allow::GetHeadPost),
        "/echo" => Answer::not_allowed(Allow::Post),
        _ if bytes_route(path).is_some() => Answer::not_allowed(Allow::GetHead),
        _ => Answer::empty(Status::NotFound),
    }
}

/// The N of `/bytes/N`: decimal digits without leading zeros, at most [`BYTES_MAX`].
fn bytes_route(path: &str) -> Option<u32> {
    let digits = path.strip_prefix("/bytes/")?;
    let plain = digits == "0" || !digits.starts_with('0');
    if !plain || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|length| *length <= BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_answers_its_methods_and_no_other() {
        use Content::{Bytes, Echo, Json, Plaintext};
        let ok = |content| Answer::ok(content);
        let check = |method: &str, path: &str, expect: Answer| {
            assert_eq!(answer(Method::from_name(method), path), expect, "{method} {path}");
        };
        check("GET", "/plaintext", ok(Plaintext));
        check("GET", "/", ok(Plaintext));
        check("GET", "/json", ok(Json));
        check("GET", "/bytes/0", ok(Bytes(0)));
        check("GET", "/bytes/16777216", ok(Bytes(BYTES_MAX)));
        check("POST", "/echo", ok(Echo));
        check("POST", "/", ok(Echo));
        check("HEAD", "/json", Answer { head_only: true, ..ok(Json) });
        check("OPTIONS", "*", ok(Content::Allow(Allow::All)));

        check("GET", "/echo", Answer::not_allowed(Allow::Post));
        check("HEAD", "/echo", Answer { head_only: true, ..Answer::not_allowed(Allow::Post) });
        check("POST", "/bytes/5", Answer::not_allowed(Allow::GetHead));
        check("DELETE", "/", Answer::not_allowed(Allow::GetHeadPost));
        check("OPTIONS", "/plaintext", Answer::not_allowed(Allow::GetHead));
        check("TRACE", "/json", Answer::not_allowed(Allow::GetHead));

        for path in ["/bytes/16777217", "/bytes/", "/bytes/-1", "/bytes/+1", "/bytes/01"] {
            check("GET", path, Answer::empty(Status::NotFound));
        }
        for path in ["", "/plaintext/", "/Plaintext", "/bytes/99999999999999999999", "/%"] {
            check("POST", path, Answer::empty(Status::NotFound));
        }
        check("get", "/", Answer::empty(Status::NotImplemented));
        check("CONNECT", "x:443", Answer::empty(Status::NotImplemented));
    }

    #[test]
    fn the_pattern_is_continuous_where_it_repeats() {
        for offset in [0, 1, 250, 251, PATTERN_LEN - 1, PATTERN_LEN, PATTERN_LEN + 3] {
            assert_eq!(usize::from(pattern_from(offset)[0]), offset % 251, "{offset}");
        }
    }

    #[test]
    fn the_json_is_as_long_as_it_says() {
        let json = serde_json::to_vec(&Message::HELLO).expect("serialises");
        assert_eq!(json, br#"{"message":"Hello, World!"}"#);
        assert_eq!(json.len(), Message::HELLO_JSON_LEN);
    }
}
