//! Status line and fields of a response, as far as they say where it ends.

use super::{FIELDS_MAX, FramingError, HEAD_MAX_BYTES};

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    pub(super) body: Body,
}

/// How the length of the body is told (RFC 9112 §6.3), whether or not there may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A head that was looked for.
pub(super) enum Reading {
    /// It is there, with its length in bytes, the empty line included.
    Complete(Head, usize),
    /// More bytes are needed.
    Partial,
}

/// The last head that was parsed, with its meaning.
///
/// One for all connections of a thread: they talk to the same server, which writes the same date.
#[derive(Debug, Default)]
pub struct HeadCache {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl HeadCache {
    /// Reads the head at the start of `input`.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<Reading, FramingError> {
        if let Some(head) = self.head
            && input.starts_with(&self.bytes)
        {
            // NB: the bytes that are equal end in the empty line, so the head ends there too.
            return Ok(Reading::Complete(head, self.bytes.len()));
        }
        let reading = parse(input)?;
        if let Reading::Complete(head, length) = reading {
            self.bytes.clear();
            self.bytes.extend_from_slice(&input[..length]);
            self.head = Some(head);
        }
        Ok(reading)
    }
}

fn parse(input: &[u8]) -> Result<Reading, FramingError> {
    // httparse skips empty lines before the status line; no server may send them (RFC 9112 §2.2).
    if input.first().is_some_and(|byte| *byte != b'H') {
        return Err(FramingError::Head);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() < HEAD_MAX_BYTES => {
            return Ok(Reading::Partial);
        }
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(FramingError::HeadTooLong);
        }
        Err(_) => return Err(FramingError::Head),
    };
    if length > HEAD_MAX_BYTES {
        return Err(FramingError::HeadTooLong);
    }
    // httparse lets a line end in a bare line feed; a server that sends one is wrong.
    let lines_end_well = |at: usize| at > 0 && input[at - 1] == b'\r';
    if (0..length).any(|at| input[at] == b'\n' && !lines_end_well(at)) {
        return Err(FramingError::Head);
    }
    let status = response.code.unwrap_or(0);
    if status < 100 {
        return Err(FramingError::Status);
    }
    let minor = response.version.unwrap_or(0);
    Ok(Reading::Complete(Fields::collect(response.headers)?.meaning(status, minor)?, length))
}

/// The fields that matter here.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// Whether `transfer-encoding` is there, and whether its last coding is chunked.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn collect(headers: &[httparse::Header<'_>]) -> Result<Self, FramingError> {
        let mut fields = Self::default();
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                // RFC 9112 §6.3, rule 5: several lengths, even equal ones, need not be accepted.
                if fields.length.replace(number(header.value)?).is_some() {
                    return Err(FramingError::Length);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                let last = tokens(header.value).last().unwrap_or_default();
                fields.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
            } else if header.name.eq_ignore_ascii_case("connection") {
                for token in tokens(header.value) {
                    fields.close |= token.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(fields)
    }

    fn meaning(self, status: u16, minor: u8) -> Result<Head, FramingError> {
        // RFC 9112 §6.1: a server must not send both, nor a transfer coding in HTTP/1.0.
        let body = match (self.chunked, self.length) {
            (Some(_), Some(_)) => return Err(FramingError::Length),
            (Some(_), None) if minor == 0 => return Err(FramingError::Chunk),
            (Some(true), None) => Body::Chunked,
            (None, Some(length)) => Body::Length(length),
            (Some(false) | None, None) => Body::UntilClose,
        };
        // RFC 9112 §9.3, whose first rule is that close wins.
        let keep_alive = !self.close && (minor >= 1 || self.keep_alive);
        Ok(Head { status, keep_alive, body })
    }
}

/// A `content-length`: digits and nothing else, within 64 bits.
fn number(value: &[u8]) -> Result<u64, FramingError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::Length);
    }
    value
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(FramingError::Length)
}

/// The elements of a comma-separated list.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
