//! The chunked transfer coding (RFC 9112 §7.1), decoded as it arrives.
//!
//! ```text
//!   5 ;name="value" CR LF  hello CR LF   0 CR LF   name: value CR LF   CR LF
//!   size  extension        data          last      trailer field       end
//! ```

use crate::framing::{LENGTH_ABSURD, exceeds};
use crate::token::is_token_byte;
use crate::{Limits, Status};

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    SizeStart,
    /// A further digit, or what follows the size.
    Size,
    /// Space before the `;` of an extension (RFC 9112 §7.1.1, BWS).
    ExtensionSpace,
    /// Behind `;`: space, or the first byte of a name.
    NameStart,
    /// A further byte of the name, or what follows it.
    Name,
    /// Space behind a name: `=` or the next `;` must follow.
    NameSpace,
    /// Behind `=`: space, or the first byte of a value.
    ValueStart,
    /// A further byte of a token, or what follows it.
    Value,
    /// Inside quotes.
    Quoted,
    /// Behind a backslash inside quotes.
    QuotedPair,
    /// Behind the closing quote: the end of the line, or another extension.
    QuotedEnd,
    /// The LF of a size's line.
    SizeLineFeed,
    /// Data of the chunk.
    Data,
    /// The CR behind the data.
    DataReturn,
    /// The LF behind the data.
    DataLineFeed,
    /// The first byte of a trailer field, or the CR of the final empty line.
    TrailerStart,
    /// A further byte of the field's name, or the colon.
    TrailerName,
    /// The field's value, or the CR behind it.
    TrailerValue,
    /// The LF of a trailer field.
    TrailerLineFeed,
    /// The LF of the final empty line.
    EndLineFeed,
    /// Behind the body.
    Done,
}

/// A decoder that stands somewhere in one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    state: State,
    /// The size of the chunk as far as it was read, or what is left of its data.
    size: u64,
    /// Data decoded so far.
    data_bytes: u64,
    /// How much more overhead the body may have: the limit, plus the data, less the overhead.
    overhead_left: u64,
    /// How many more trailer fields it may have.
    trailers_left: u32,
}

/// What [`Chunked::decode`] found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Bytes of input that are done with, `data` among them.
    pub(crate) consumed: usize,
    /// Data, which may be empty.
    pub(crate) data: &'a [u8],
}

impl Chunked {
    /// A decoder before the first byte of a body.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::SizeStart,
            size: 0,
            data_bytes: 0,
            overhead_left: limits.chunk_overhead_bytes as u64,
            trailers_left: u32::try_from(limits.header_count).unwrap_or(u32::MAX),
        }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Data decoded so far.
    pub(crate) const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Reads up to the end of the next piece of data, of the input, or of the body.
    ///
    /// # Errors
    /// 400 where the coding is malformed or has too much overhead, 413 where the data is longer
    /// than allowed.
    pub(crate) fn decode<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<Piece<'a>, Status> {
        let mut consumed = 0;
        while !self.is_done() && consumed < input.len() {
            if self.state == State::Data {
                let rest = &input[consumed..];
                let length = rest.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
                self.count_data(length as u64);
                return Ok(Piece { consumed: consumed + length, data: &rest[..length] });
            }
            // The overhead may exceed the data by so much: a body in honest chunks of any length
            // passes, one that is all sizes and extensions does not.
            self.overhead_left = self.overhead_left.checked_sub(1).ok_or(Status::BadRequest)?;
            self.state = self.next(input[consumed], limits)?;
            consumed += 1;
        }
        Ok(Piece { consumed, data: &[] })
    }

    fn count_data(&mut self, length: u64) {
        self.size -= length;
        self.data_bytes += length;
        self.overhead_left += length;
        if self.size == 0 {
            self.state = State::DataReturn;
        }
    }

    /// The state behind `byte`.
    fn next(&mut self, byte: u8, limits: &Limits) -> Result<State, Status> {
        use State::*;
        Ok(match (self.state, byte) {
            (SizeStart | Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (Size, b'\r') => self.size_end(SizeLineFeed, limits)?,
            (Size, b';') => self.size_end(NameStart, limits)?,
            (Size, b' ' | b'\t') => self.size_end(ExtensionSpace, limits)?,
            (SizeLineFeed, b'\n') if self.size > 0 => Data,
            (SizeLineFeed, b'\n') => self.last_chunk(limits),

            // RFC 9112 §7.1.1: an extension that is not recognised is ignored; none is.
            (ExtensionSpace | NameSpace | QuotedEnd | Name | Value, b';') => NameStart,
            (ExtensionSpace, b' ' | b'\t') => ExtensionSpace,
            (NameStart, b' ' | b'\t') => NameStart,
            (NameStart | Name, byte) if is_token_byte(byte) => Name,
            (Name | NameSpace, b'=') => ValueStart,
            (Name | NameSpace, b' ' | b'\t') => NameSpace,
            (ValueStart, b' ' | b'\t') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Value, byte) if is_token_byte(byte) => Value,
            (Value | QuotedEnd, b' ' | b'\t') => ExtensionSpace,
            (Name | Value | QuotedEnd, b'\r') => SizeLineFeed,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, byte) if is_text(byte) => Quoted,

            (DataReturn, b'\r') => DataLineFeed,
            (DataLineFeed, b'\n') => SizeStart,

            // RFC 9112 §7.1.2: trailer fields are read, and discarded.
            (TrailerStart, b'\r') => EndLineFeed,
            (TrailerStart, byte) if is_token_byte(byte) => self.trailer()?,
            (TrailerName, byte) if is_token_byte(byte) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLineFeed,
            (TrailerValue, byte) if is_text(byte) => TrailerValue,
            (TrailerLineFeed, b'\n') => TrailerStart,
            (EndLineFeed, b'\n') => Done,
            _ => return Err(Status::BadRequest),
        })
    }

    /// RFC 9112 §7.1: large sizes must not overflow.
    fn digit(&mut self, byte: u8) -> Result<State, Status> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            byte => (byte | 0x20) - b'a' + 10,
        };
        if self.state == State::SizeStart {
            self.size = 0;
        }
        let size = self.size.checked_mul(16).map(|size| size + u64::from(digit));
        self.size = size.filter(|size| *size < LENGTH_ABSURD).ok_or(Status::BadRequest)?;
        Ok(State::Size)
    }

    fn size_end(&self, next: State, limits: &Limits) -> Result<State, Status> {
        if exceeds(self.data_bytes.saturating_add(self.size), limits.body_bytes) {
            return Err(Status::ContentTooLarge);
        }
        Ok(next)
    }

    /// From here on no data earns overhead: the trailer section is bounded by the limit alone.
    fn last_chunk(&mut self, limits: &Limits) -> State {
        self.overhead_left = self.overhead_left.min(limits.chunk_overhead_bytes as u64);
        State::TrailerStart
    }

    fn trailer(&mut self) -> Result<State, Status> {
        self.trailers_left = self.trailers_left.checked_sub(1).ok_or(Status::BadRequest)?;
        Ok(State::TrailerName)
    }
}

/// A tab, a visible byte, a space, or obs-text (RFC 9110 §5.5 and §5.6.4).
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data and length of the body that `input` begins with, decoded in pieces of `step` bytes.
    fn decode(
        input: &[u8],
        step: usize,
        limits: &Limits,
    ) -> Result<(Vec<u8>, usize, bool), Status> {
        let mut decoder = Chunked::new(limits);
        let (mut data, mut at) = (Vec::new(), 0);
        for chunk in input.chunks(step) {
            let mut rest = chunk;
            while !rest.is_empty() && !decoder.is_done() {
                let piece = decoder.decode(rest, limits)?;
                data.extend_from_slice(piece.data);
                at += piece.consumed;
                rest = &rest[piece.consumed..];
            }
        }
        Ok((data, at, decoder.is_done()))
    }

    fn check(input: &[u8], expect: Result<&[u8], Status>) {
        for step in [1, 2, 3, 7, input.len()] {
            let got = decode(input, step, &Limits::DEFAULT);
            let expect = expect.map(|data| (data.to_vec(), input.len(), true));
            assert_eq!(got, expect, "{} in steps of {step}", input.escape_ascii());
        }
    }

    #[test]
    fn well_formed_bodies_decode_to_their_data() {
        check(b"0\r\n\r\n", Ok(b""));
        check(b"5\r\nhello\r\n0\r\n\r\n", Ok(b"hello"));
        check(b"A\r\nhelloworld\r\n00\r\n\r\n", Ok(b"helloworld"));
        check(b"1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\nZ:\r\n\r\n", Ok(b"abc"));
        check(b"5;ext=val\r\nhello\r\n0;x\r\n\r\n", Ok(b"hello"));
        check(b"5 ; a = \"b;\\\"c\" ;d;e=f\r\nhello\r\n0\r\n\r\n", Ok(b"hello"));
        check(b"0\r\nX:POST / HTTP/1.1\r\n\r\n", Ok(b""));
    }

    #[test]
    fn malformed_bodies_are_refused_however_they_arrive() {
        for line in [
            "",
            "0x5",
            "+5",
            "-1",
            "5x",
            "zz",
            " 5",
            "5 ",
            "1_0",
            "0_2e",
            "5;",
            "5;\0ext",
            "5;a\rX",
            "5\r\r;ABCD",
            "5;bad[=x",
            "5;a=\"b",
            "5;a =",
            "5;a ",
            "5;a=b ",
            "5;a=\"b\" ",
            "FFFFFFFFFFFFFFFF0",
            "FFFFFFFFFFFFFFFFF",
            "10000000000000005",
            "7FFFFFFFFFFFFFFF",
            "5\0",
        ] {
            let body = format!("{line}\r\nhello\r\n0\r\n\r\n");
            for step in [1, 2, body.len()] {
                let got = decode(body.as_bytes(), step, &Limits::DEFAULT);
                assert_eq!(got, Err(Status::BadRequest), "{}", line.escape_debug());
            }
        }
        check(b"5\nhello\r\n0\r\n\r\n", Err(Status::BadRequest));
        check(b"5;\nhello\r\n0\r\n\r\n", Err(Status::BadRequest));
        check(b"5\r\nhello0\r\n\r\n", Err(Status::BadRequest));
        check(b"5\r\nhello!!\r\n", Err(Status::BadRequest));
        check(b"5\r\nhello\n0\r\n\r\n", Err(Status::BadRequest));
        check(b"5\rhello", Err(Status::BadRequest));
        check(b"0\r\n\n", Err(Status::BadRequest));
        check(b"0\r\nX y\r\n\r\n", Err(Status::BadRequest));
        check(b"0\r\nX: \0\r\n\r\n", Err(Status::BadRequest));
        check(b"1000001\r\n", Err(Status::ContentTooLarge));
        check(b"7FFFFFFFFFFFFFFE\r\n", Err(Status::ContentTooLarge));
    }

    #[test]
    fn an_unfinished_body_is_neither() {
        for input in [&b"5\r\nhel"[..], b"5\r\nhello\r\n", b"0\r\n", b"0\r\nX: y\r\n", b"5;a=\"b"] {
            let (_, consumed, done) = decode(input, 1, &Limits::DEFAULT).expect("no error yet");
            assert_eq!((consumed, done), (input.len(), false), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn overhead_may_exceed_the_data_by_the_limit_and_no_more() {
        let limits = Limits { chunk_overhead_bytes: 100, ..Limits::DEFAULT };
        // Per chunk: overhead 6, data 6.
        let honest = [b"6\r\n123456\r\n".repeat(1000), b"0\r\n\r\n".to_vec()].concat();
        let (data, ..) = decode(&honest, 7, &limits).expect("honest");
        assert_eq!(data.len(), 6000);
        // Per chunk: overhead 5, data 1. The excess of 4 is used up in the 25th or 26th chunk.
        let spent = b"1\r\nx\r\n".repeat(26);
        assert!(decode(&spent[..24 * 6], 7, &limits).is_ok());
        assert_eq!(decode(&spent, 7, &limits), Err(Status::BadRequest));
        // Trailers live on the limit alone, however much data there was.
        let trailer = [b"X: ".to_vec(), b"y".repeat(100), b"\r\n\r\n".to_vec()].concat();
        let long = [b"6\r\n123456\r\n".repeat(1000), b"0\r\n".to_vec(), trailer].concat();
        assert_eq!(decode(&long, 7, &limits), Err(Status::BadRequest));
    }

    #[test]
    fn trailer_fields_are_counted() {
        let limits = Limits { header_count: 3, ..Limits::DEFAULT };
        let body =
            |count| [b"0\r\n".to_vec(), b"X: y\r\n".repeat(count), b"\r\n".to_vec()].concat();
        assert!(decode(&body(3), 1, &limits).is_ok_and(|(.., done)| done));
        assert_eq!(decode(&body(4), 1, &limits), Err(Status::BadRequest));
    }
}
