//! HTTP/1.1 responses: where each one ends, and whether it is well formed (RFC 9112).
//!
//! The parser is strict, because it is a referee: what RFC 9112 lets a lenient client accept (two
//! lengths, a bare line feed, bytes after the end) is a [`FramingError`] here. It keeps no bytes of
//! a body and copies a head only where the head arrived in pieces.
//!
//! Servers under load answer with the same head again and again, save for the date once a second.
//! [`HeadCache`] therefore keeps the last head that was parsed with its meaning: a head that is
//! equal *byte for byte* means the same and costs one comparison, and any other head, whatever
//! differs in it, is parsed in full.

mod chunked;
mod head;
mod whole;

use chunked::Chunked;
pub use head::HeadCache;
use head::{Body, Head, Reading};
use std::fmt;
pub use whole::{RESPONSE_MAX_BYTES, take_apart};

/// Longest head that is waited for, in bytes.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Most fields in a head.
pub const FIELDS_MAX: usize = 128;

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// The head is not HTTP, or a line in it ends in a bare line feed.
    Head,
    /// The head is longer than [`HEAD_MAX_BYTES`] or has more than [`FIELDS_MAX`] fields.
    HeadTooLong,
    /// `content-length` is not one number, or stands beside `transfer-encoding`.
    Length,
    /// The body is not chunked as RFC 9112 §7.1 says.
    Chunk,
    /// The status does not fit: 101 without an upgrade asked for, or below 100.
    Status,
    /// Bytes follow the end of the response though no other request is open.
    Excess,
    /// The connection was closed inside the response.
    Truncated,
}

impl fmt::Display for FramingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Head => "the head is not HTTP/1.1",
            Self::HeadTooLong => "the head is too long",
            Self::Length => "the content-length is not one number",
            Self::Chunk => "the chunked body is malformed",
            Self::Status => "the status does not answer the request",
            Self::Excess => "bytes follow the end of the response",
            Self::Truncated => "the connection was closed inside the response",
        })
    }
}

impl std::error::Error for FramingError {}

/// What the bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were taken; the response is not complete.
    Partial,
    /// The response is complete.
    Complete {
        /// Bytes taken; what follows belongs to the next response.
        consumed: usize,
        /// Status code.
        status: u16,
        /// Whether the connection stays open (RFC 9112 §9.3).
        keep_alive: bool,
    },
}

/// Where a response stands.
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// Bytes of the body that are to come.
    Length {
        head: Head,
        left: u64,
    },
    Chunked {
        head: Head,
        chunked: Chunked,
    },
    UntilClose {
        head: Head,
    },
}

/// Finds the end of one response after the other, in whatever pieces the bytes arrive.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// The beginning of a head that is not complete.
    partial: Vec<u8>,
    /// Whether the requests are HEAD, so that responses have no body.
    head_only: bool,
}

impl Parser {
    /// A parser at the start of a response. `head_only`: the requests are HEAD.
    #[must_use]
    pub fn new(head_only: bool) -> Self {
        Self { state: State::Head, partial: Vec::new(), head_only }
    }

    /// Says whether the next requests are HEAD, so that their responses have no body.
    pub fn expect_head_only(&mut self, head_only: bool) {
        self.head_only = head_only;
    }

    /// Forgets a response that has begun: the connection is a new one.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.partial.clear();
    }

    /// Whether some of the current response has arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Head) || !self.partial.is_empty()
    }

    /// Takes bytes up to the end of the current response.
    ///
    /// # Errors
    /// [`FramingError`] where the response is malformed; the connection is of no more use.
    pub fn advance(
        &mut self,
        input: &[u8],
        cache: &mut HeadCache,
    ) -> Result<Progress, FramingError> {
        let mut taken = 0;
        if matches!(self.state, State::Head) {
            match self.take_head(input, cache)? {
                Some(after_head) => taken = after_head,
                None => return Ok(Progress::Partial),
            }
        }
        self.take_body(input, taken)
    }

    /// The peer has closed the connection: the end of a body without a length.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] inside a response whose end is announced. Before the first byte
    /// of a response there is nothing to end, which is for the caller to know by
    /// [`Parser::has_begun`].
    pub fn finish(&mut self) -> Result<u16, FramingError> {
        let State::UntilClose { head } = self.state else { return Err(FramingError::Truncated) };
        self.state = State::Head;
        Ok(head.status)
    }

    /// Takes a head, skipping interim responses. Returns how many bytes of `input` were taken once
    /// the final head is complete, and sets the state for its body.
    fn take_head(
        &mut self,
        input: &[u8],
        cache: &mut HeadCache,
    ) -> Result<Option<usize>, FramingError> {
        let mut taken = 0;
        loop {
            let Some((head, length)) = self.read_head(&input[taken..], cache)? else {
                return Ok(None);
            };
            taken += length;
            // RFC 9110 §15.2: any number of interim responses may precede the final one. 101 would
            // end HTTP on this connection, which no request of ours asks for.
            match head.status {
                100 | 102..=199 => {}
                101 => return Err(FramingError::Status),
                _ => {
                    self.state = self.body_of(head);
                    return Ok(Some(taken));
                }
            }
        }
    }

    /// Reads one head from what was kept and `input`; returns it with how many bytes of `input`
    /// belong to it.
    fn read_head(
        &mut self,
        input: &[u8],
        cache: &mut HeadCache,
    ) -> Result<Option<(Head, usize)>, FramingError> {
        if self.partial.is_empty() {
            return Ok(match cache.read(input)? {
                Reading::Complete(head, length) => Some((head, length)),
                Reading::Partial => {
                    self.partial.extend_from_slice(input);
                    None
                }
            });
        }
        let kept = self.partial.len();
        let room = HEAD_MAX_BYTES.saturating_sub(kept);
        self.partial.extend_from_slice(&input[..input.len().min(room)]);
        match cache.read(&self.partial)? {
            Reading::Complete(head, length) => {
                self.partial.clear();
                // NB: the kept bytes alone were no complete head, so the head ends inside `input`.
                Ok(Some((head, length - kept)))
            }
            Reading::Partial => Ok(None),
        }
    }

    /// RFC 9112 §6.3: which of its rules gives the length of the body.
    fn body_of(&self, head: Head) -> State {
        if self.head_only || matches!(head.status, 204 | 304) {
            return State::Length { head, left: 0 };
        }
        match head.body {
            Body::Length(left) => State::Length { head, left },
            Body::Chunked => State::Chunked { head, chunked: Chunked::new() },
            Body::UntilClose => State::UntilClose { head },
        }
    }

    fn take_body(&mut self, input: &[u8], taken: usize) -> Result<Progress, FramingError> {
        let rest = &input[taken..];
        match &mut self.state {
            State::Head | State::UntilClose { .. } => Ok(Progress::Partial),
            State::Length { head, left } => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= here as u64;
                if *left > 0 {
                    return Ok(Progress::Partial);
                }
                let head = *head;
                Ok(self.complete(head, taken + here))
            }
            State::Chunked { head, chunked } => match chunked.advance(rest)? {
                None => Ok(Progress::Partial),
                Some(here) => {
                    let head = *head;
                    Ok(self.complete(head, taken + here))
                }
            },
        }
    }

    fn complete(&mut self, head: Head, consumed: usize) -> Progress {
        self.state = State::Head;
        Progress::Complete { consumed, status: head.status, keep_alive: head.keep_alive }
    }
}

#[cfg(test)]
mod tests;
