//! Finds the end of a head in input that may arrive a byte at a time.
//!
//! ```text
//!   GET / HTTP/1.1 CR LF  Host: x CR LF  CR LF  body ...
//!   └─ request line ──┘   └─ field ──┘   └─ end of the head
//!                         ▲ line_start      ▲ scanned
//! ```
//!
//! Each byte is looked at once, however it arrives: what was seen is remembered. What can be known
//! to be wrong before the end is refused before the end, so that garbage, TLS on the plain port or
//! an endless request line are answered at once and not after the time-out.
//!
//! The verdict depends on the bytes alone, never on how they were split: each check fires at a
//! certain byte, and the one that fires first wins. A head that arrived whole and in order skips
//! the check of the request line by bytes, because the parser makes it again; where anything is
//! wrong, it is made after all, to find what came first.

use crate::token::is_token_byte;
use crate::{Limits, Status};
use memchr::memchr;

/// How far the search for the end of a head has come. Offsets from the head's first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Bytes in which line ends were looked for.
    scanned: usize,
    /// Where the line begins that `scanned` is in.
    line_start: usize,
    /// Bytes of the request line that `request_line` was fed.
    judged: usize,
    request_line: RequestLine,
}

impl Scan {
    /// The length of the head that `input` begins with, once it is there whole.
    ///
    /// `input` must not begin with an empty line, and is the input of the last call with more
    /// behind it.
    ///
    /// # Errors
    /// The status to refuse the head with, where enough of it is there to know.
    pub(crate) fn find_end(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Status> {
        match self.find_empty_line(input, limits) {
            Ok(Some(end)) => Ok(Some(end)),
            Ok(None) => self.judge_request_line(input, limits).map(|()| None),
            Err(status) => Err(self.first_error(input, limits, status)),
        }
    }

    /// What to refuse the head with, where `status` is right unless the request line fails first.
    pub(crate) fn first_error(mut self, input: &[u8], limits: &Limits, status: Status) -> Status {
        match self.judge_request_line(input, limits) {
            // RFC 9112 §3: a method longer than any that is implemented gets 501.
            Ok(()) if status == Status::UriTooLong && self.request_line.part == Part::Method => {
                Status::NotImplemented
            }
            Ok(()) => status,
            Err(earlier) => earlier,
        }
    }

    fn find_empty_line(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Status> {
        let request_line_max = request_line_max(limits);
        while let Some(offset) = memchr(b'\n', &input[self.scanned..]) {
            let line_feed = self.scanned + offset;
            if self.line_start == 0 && line_feed >= request_line_max {
                return Err(Status::UriTooLong);
            }
            // RFC 9110 §5.4: a head too large is refused with 4xx.
            if line_feed >= limits.head_bytes {
                return Err(Status::FieldsTooLarge);
            }
            // RFC 9112 §2.2: a bare LF may be taken for a line end. It is not: who takes it and
            // who does not disagree about where a message ends.
            if line_feed == self.line_start || input[line_feed - 1] != b'\r' {
                return Err(Status::BadRequest);
            }
            if line_feed == self.line_start + 1 {
                return Ok(Some(line_feed + 1));
            }
            self.scanned = line_feed + 1;
            self.line_start = line_feed + 1;
        }
        self.scanned = input.len();
        if self.line_start == 0 && input.len() >= request_line_max {
            return Err(Status::UriTooLong);
        }
        if input.len() > limits.head_bytes {
            return Err(Status::FieldsTooLarge);
        }
        Ok(None)
    }

    /// Feeds the request line, as far as it is there, to the check by bytes.
    fn judge_request_line(&mut self, input: &[u8], limits: &Limits) -> Result<(), Status> {
        let end = input.len().min(request_line_max(limits));
        while self.judged < end && self.request_line.part != Part::Done {
            self.request_line.feed(input[self.judged])?;
            self.judged += 1;
        }
        Ok(())
    }
}

/// A request line of so many bytes, without its line feed, is too long: one more than fit with
/// their CR, but never so many that the head would be too long first.
fn request_line_max(limits: &Limits) -> usize {
    limits.request_line_bytes.saturating_add(2).min(limits.head_bytes.saturating_add(1))
}

/// The part of the request line that the next byte belongs to (RFC 9112 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Method,
    Target,
    Version,
    LineFeed,
    Done,
}

/// The check of a request line by bytes: three words, one space between, CR LF behind.
#[derive(Clone, Copy, Debug, Default)]
struct RequestLine {
    part: Part,
    /// Whether the part has a byte yet.
    begun: bool,
}

impl RequestLine {
    fn feed(&mut self, byte: u8) -> Result<(), Status> {
        use Part::{Done, LineFeed, Method, Target, Version};
        (self.part, self.begun) = match (self.part, byte) {
            (Method, b' ') if self.begun => (Target, false),
            (Method, byte) if is_token_byte(byte) => (Method, true),
            (Target, b' ') if self.begun => (Version, false),
            (Target, 0x21..=0x7e) => (Target, true),
            (Version, b'\r') if self.begun => (LineFeed, false),
            (Version, 0x21..=0x7e) => (Version, true),
            (LineFeed, b'\n') => (Done, false),
            _ => return Err(Status::BadRequest),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { request_line_bytes: 20, head_bytes: 40, ..Limits::DEFAULT };

    /// The verdict on `input` whole, after checking that a byte at a time gives the same.
    fn verdict(input: &[u8]) -> Result<Option<usize>, Status> {
        let whole = Scan::default().find_end(input, &LIMITS);
        let mut scan = Scan::default();
        let mut split = Ok(None);
        for end in 1..=input.len() {
            split = scan.find_end(&input[..end], &LIMITS);
            if split != Ok(None) {
                break;
            }
        }
        assert_eq!(whole, split, "{}", input.escape_ascii());
        whole
    }

    #[test]
    fn the_head_ends_after_its_empty_line() {
        assert_eq!(verdict(b"GET / HTTP/1.1\r\n\r\nrest"), Ok(Some(18)));
        assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n"), Ok(Some(27)));
        assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: x\r\n"), Ok(None));
        assert_eq!(verdict(b"GET / HTTP/1.1\r"), Ok(None));
    }

    #[test]
    fn what_is_wrong_early_is_refused_early() {
        let bad = Err(Status::BadRequest);
        assert_eq!(verdict(b"\x16\x03\x01"), bad);
        assert_eq!(verdict(b"GET /\r\n"), bad);
        assert_eq!(verdict(b"GET  "), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1 "), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1\n"), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1\rX"), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: x\n"), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1\r\nHost: x\r\n\n"), bad);
        assert_eq!(verdict(b"GET / HTTP/1.1\r\n\n"), bad);
    }

    #[test]
    fn limits_are_exact_and_the_first_to_be_crossed_wins() {
        assert_eq!(verdict(b"GET /5678901 HTTP/1.\r\n\r\n"), Ok(Some(24)));
        assert_eq!(verdict(b"GET /56789012 HTTP/1.\r\n\r\n"), Err(Status::UriTooLong));
        assert_eq!(verdict(b"GET /567890123456789012345"), Err(Status::UriTooLong));
        assert_eq!(verdict(b"GETTTTTTTTTTTTTTTTTTTTTTTT"), Err(Status::NotImplemented));
        assert_eq!(verdict(b"GET /\x7f6789012 HTTP/1.\r\n\r\n"), Err(Status::BadRequest));

        // A head of so many bytes, all told; or one that never ends.
        let head = |length: usize| {
            let value = "x".repeat(length - "GET / HTTP/1.1\r\nHost: \r\n\r\n".len());
            format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n")
        };
        assert_eq!(verdict(head(40).as_bytes()), Ok(Some(40)));
        assert_eq!(verdict(head(41).as_bytes()), Err(Status::FieldsTooLarge));
        assert_eq!(verdict(&head(100).as_bytes()[..40]), Ok(None));
        assert_eq!(verdict(&head(100).as_bytes()[..41]), Err(Status::FieldsTooLarge));
        let bad = head(41).replace("GET ", "GET\t");
        assert_eq!(verdict(bad.as_bytes()), Err(Status::BadRequest));
    }

    #[test]
    fn a_request_line_limit_above_the_head_limit_changes_nothing_about_splits() {
        for request_line_bytes in [37, 38, 39, 40, usize::MAX] {
            let limits = Limits { request_line_bytes, ..LIMITS };
            for length in 30..50 {
                let input = [b"GET /".as_slice(), &[b'x'; 50][..length - 5], b"\r\n"].concat();
                let whole = Scan::default().find_end(&input, &limits);
                let mut scan = Scan::default();
                let split = (1..=input.len())
                    .map(|end| scan.find_end(&input[..end], &limits))
                    .find(|verdict| *verdict != Ok(None));
                assert_eq!(Some(whole), split, "{request_line_bytes} {length}");
            }
        }
    }
}
