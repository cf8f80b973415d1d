//! The chunked transfer coding (RFC 9112 §7.1), byte for byte, without keeping any.

use super::{FramingError, HEAD_MAX_BYTES};

/// Where a chunked body stands.
#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size; the number of digits so far.
    Size {
        digits: u8,
    },
    /// In a chunk extension, up to its CR.
    Extension,
    /// Before the LF that ends the line of a size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    /// Inside a line of the trailer section, up to its CR.
    Trailer,
    TrailerLf,
    /// Before the LF that ends the body.
    EndLf,
}

/// Most hexadecimal digits of a chunk size: 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// The decoder of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    state: State,
    /// The size being read, then the bytes of the chunk that are to come.
    left: u64,
    /// Bytes of extensions and trailers, bounded as a head is.
    overhead: usize,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size { digits: 0 }, left: 0, overhead: 0 }
    }

    /// Takes bytes; returns how many once the body is complete, `None` while it is not.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<Option<usize>, FramingError> {
        let mut at = 0;
        while at < input.len() {
            if matches!(self.state, State::Data) {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.left -= here as u64;
                at += here;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            let ended = self.step(input[at])?;
            at += 1;
            if ended {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Takes one byte outside of the data; true at the end of the body.
    fn step(&mut self, byte: u8) -> Result<bool, FramingError> {
        self.state = match (self.state, byte) {
            (State::Size { digits: 1.. }, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. }, b';') => State::Extension,
            (State::Size { digits }, digit) => self.size_digit(digits, digit)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::SizeLf, b'\n') if self.left == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => return Ok(true),
            (State::Extension, byte) if byte != b'\n' => self.skipped(State::Extension)?,
            (State::TrailerStart | State::Trailer, byte) if byte != b'\n' => {
                self.skipped(State::Trailer)?
            }
            _ => return Err(FramingError::Chunk),
        };
        Ok(false)
    }

    fn size_digit(&mut self, digits: u8, digit: u8) -> Result<State, FramingError> {
        let value = char::from(digit).to_digit(16).ok_or(FramingError::Chunk)?;
        if digits == SIZE_DIGITS_MAX {
            return Err(FramingError::Chunk);
        }
        self.left = self.left << 4 | u64::from(value);
        Ok(State::Size { digits: digits + 1 })
    }

    fn skipped(&mut self, next: State) -> Result<State, FramingError> {
        self.overhead += 1;
        if self.overhead > HEAD_MAX_BYTES { Err(FramingError::Chunk) } else { Ok(next) }
    }
}
