//! A complete head, parsed and judged.

use crate::catalogue::{self, Answer, Method};
use crate::framing::{Framing, FramingFields};
use crate::host::is_valid_host;
use crate::token::trim;
use crate::{Limits, Status, target};
use core::mem::MaybeUninit;
use httparse::Header;

/// Whether the connection goes on after the answer (RFC 9112 §9.3), and what the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// HTTP/1.1's default: goes on, and nothing is said.
    Keep,
    /// HTTP/1.0 asked for it: goes on, and `connection: keep-alive` says so.
    KeepAsked,
    /// Ends, and `connection: close` says so.
    Close,
}

/// What a head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Length of the head.
    pub(crate) head_bytes: usize,
    /// What to answer.
    pub(crate) answer: Answer,
    /// Where the body ends.
    pub(crate) framing: Framing,
    /// Whether the connection goes on.
    pub(crate) persistence: Persistence,
    /// The client waits for 100, or for the final status, before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Judges the head that `input` begins with, if it is there whole: the way of nearly every head,
/// in one pass of the parser. `input` must not begin with a CR or LF.
///
/// # Errors
/// Something is wrong, or missing. What, and what to answer, is found by the other way: by looking
/// for the end of the head first, and calling [`judge`] with it then.
pub(crate) fn judge_at_once(input: &[u8], limits: &Limits) -> Result<Request, Status> {
    let mut table = [const { MaybeUninit::<Header<'_>>::uninit() }; Limits::HEADER_COUNT_MAX];
    let places = &mut table[..limits.header_count.min(Limits::HEADER_COUNT_MAX)];
    let mut parsed = httparse::Request::new(&mut []);
    let (Ok(httparse::Status::Complete(length)), Some(method), Some(target)) =
        (parsed.parse_with_uninit_headers(input, places), parsed.method, parsed.path)
    else {
        return Err(Status::BadRequest);
    };
    // Two spaces and "HTTP/1.x".
    let line_bytes = method.len() + target.len() + 10;
    let within = line_bytes <= limits.request_line_bytes && length <= limits.head_bytes;
    if !within || !has_strict_line_ends(&input[..length], parsed.headers) {
        return Err(Status::BadRequest);
    }
    let line = RequestLine { method, target, http_1_0: parsed.version == Some(0) };
    line.judge(length, parsed.headers, limits)
}

/// Whether each LF of `head` has a CR before it, where `fields` are what the parser found there.
///
/// The parser takes a bare LF for a line end, and nothing else: so it is enough to look at the end
/// of the line before each field, and before the empty line.
fn has_strict_line_ends(head: &[u8], fields: &[Header<'_>]) -> bool {
    let starts = fields.iter().map(|field| field.name.as_ptr().addr() - head.as_ptr().addr());
    let empty_line = head.len().saturating_sub(2);
    let is_strict = |start: usize| start >= 2 && head[start - 2] == b'\r';
    head.ends_with(b"\r\n") && starts.chain([empty_line]).all(is_strict)
}

/// Parses `head`, which ends with its empty line, and has a CR before each LF.
///
/// # Errors
/// The status to refuse it with; the connection is then to be closed.
pub(crate) fn judge(head: &[u8], limits: &Limits) -> Result<Request, Status> {
    let mut table = [const { MaybeUninit::<Header<'_>>::uninit() }; Limits::HEADER_COUNT_MAX];
    let places = &mut table[..limits.header_count.min(Limits::HEADER_COUNT_MAX)];
    let mut parsed = httparse::Request::new(&mut []);
    let line = match parsed.parse_with_uninit_headers(head, places) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {
            let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
                return Err(Status::BadRequest);
            };
            RequestLine { method, target, http_1_0: parsed.version == Some(0) }
        }
        Err(httparse::Error::Version) => return judge_other_version(head, limits),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::FieldsTooLarge),
        Ok(_) | Err(_) => return Err(Status::BadRequest),
    };
    line.judge(head.len(), parsed.headers, limits)
}

/// Parses a head whose version `httparse` does not know: a later HTTP/1 is served as HTTP/1.1
/// (RFC 9110 §2.5), another major version is refused.
#[cold]
fn judge_other_version(head: &[u8], limits: &Limits) -> Result<Request, Status> {
    let end = memchr::memchr(b'\n', head).ok_or(Status::BadRequest)?;
    let (line, fields) = head.split_at(end + 1);
    let line = core::str::from_utf8(line).map_err(|_| Status::BadRequest)?;
    let mut words = line.trim_end_matches("\r\n").split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::BadRequest);
    };
    match version.as_bytes() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {}
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Status::VersionNotSupported);
        }
        _ => return Err(Status::BadRequest),
    }
    let mut table = [httparse::EMPTY_HEADER; Limits::HEADER_COUNT_MAX];
    let places = &mut table[..limits.header_count.min(Limits::HEADER_COUNT_MAX)];
    match httparse::parse_headers(fields, places) {
        Ok(httparse::Status::Complete((length, headers))) if length == fields.len() => {
            let line = RequestLine { method, target, http_1_0: false };
            line.judge(head.len(), headers, limits)
        }
        Err(httparse::Error::TooManyHeaders) => Err(Status::FieldsTooLarge),
        Ok(_) | Err(_) => Err(Status::BadRequest),
    }
}

/// A request line whose version is known to be HTTP/1.
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    http_1_0: bool,
}

impl RequestLine<'_> {
    /// What the method and the target ask for.
    #[inline]
    fn answer(&self, method: Method) -> Result<Answer, Status> {
        let answer = catalogue::answer(method, self.target);
        if answer.status == Status::Ok {
            // The target is a route as it stands: there is nothing to take apart.
            return Ok(answer);
        }
        let path = target::path(method, self.target).ok_or(Status::BadRequest)?;
        Ok(catalogue::answer(method, path))
    }

    fn judge(
        &self,
        head_bytes: usize,
        headers: &[Header<'_>],
        limits: &Limits,
    ) -> Result<Request, Status> {
        let method = Method::from_name(self.method);
        let answer = self.answer(method)?;
        let fields = Fields::collect(headers)?;

        // RFC 9112 §3.2: 400 for any HTTP/1.1 request without Host.
        if !fields.host && !self.http_1_0 {
            return Err(Status::BadRequest);
        }
        let framing = fields.framing.framing(self.http_1_0, limits)?;
        // RFC 1945 §8.3: a valid content-length is required on all HTTP/1.0 POST requests.
        if method == Method::Post && self.http_1_0 && framing == Framing::None {
            return Err(Status::BadRequest);
        }
        let answer = match fields.expectation {
            // RFC 9110 §10.1.1: 417 for what cannot be met. HTTP/1.0 has no expectations. It may be
            // sent, while §9.1 wants 501 for an unknown method: a refusal stays one.
            Some(Expectation::Other) if !self.http_1_0 && !answer.status.closes() => {
                Answer::empty(Status::ExpectationFailed)
            }
            _ => answer,
        };
        let persistence = match (fields.close, fields.keep_alive) {
            // RFC 9112 §9.3, in its order.
            (true, _) => Persistence::Close,
            (false, _) if !self.http_1_0 => Persistence::Keep,
            (false, true) => Persistence::KeepAsked,
            (false, false) => Persistence::Close,
        };
        // An expectation about no content is void, and HTTP/1.0 never gets a 100.
        let expects_continue = fields.expectation.is_some()
            && !self.http_1_0
            && !matches!(framing, Framing::None | Framing::Length(0));
        Ok(Request { head_bytes, answer, framing, persistence, expects_continue })
    }
}

/// What the client expects (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    /// `100-continue`.
    Continue,
    /// Something that is not defined.
    Other,
}

/// The fields that matter here. All others are parsed, and otherwise ignored.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    host: bool,
    framing: FramingFields,
    expectation: Option<Expectation>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn collect(headers: &[Header<'_>]) -> Result<Self, Status> {
        let mut fields = Self::default();
        for header in headers {
            let (name, value) = (header.name, header.value);
            // Most fields are told apart by the length of their names alone.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    // RFC 9112 §3.2: 400 for more than one Host, or an invalid one.
                    if fields.host || !is_valid_host(value) {
                        return Err(Status::BadRequest);
                    }
                    fields.host = true;
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    let met = value.eq_ignore_ascii_case(b"100-continue");
                    let expectation = if met { Expectation::Continue } else { Expectation::Other };
                    // Of several lines one that cannot be met decides.
                    if fields.expectation != Some(Expectation::Other) {
                        fields.expectation = Some(expectation);
                    }
                }
                10 if name.eq_ignore_ascii_case("connection") => fields.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => {
                    fields.framing.content_length(value)?;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.framing.transfer_encoding(value)?;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// Takes a line of `connection`: a list of options, of which two matter (RFC 9110 §7.6.1).
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}
