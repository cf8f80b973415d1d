//! The chunked coding, decoded from RFC 9112 §7.1 by recursive descent.

use bytes::Bytes;
use server_http::Limits;

/// What a body comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// The body is there to its end.
    Complete {
        /// What it carries.
        data: Bytes,
        /// How many bytes of input it takes.
        length: usize,
    },
    /// Nothing is wrong with it so far.
    Partial,
    /// It is malformed, or beyond a limit; why.
    Refused(&'static str),
}

/// Decodes the body that `input` begins with.
pub(crate) fn decode(input: &[u8], limits: &Limits) -> Decoded {
    let allowance = limits.chunk_overhead_bytes;
    let mut reader = Reader { input, at: 0, data: Vec::new(), allowance, limits };
    match reader.body() {
        Ok(()) => Decoded::Complete { length: reader.at, data: reader.data.into() },
        Err(Stop::Partial) => Decoded::Partial,
        Err(Stop::Refused(why)) => Decoded::Refused(why),
    }
}

/// Why reading does not go on.
enum Stop {
    Partial,
    Refused(&'static str),
}

type Read<T = ()> = Result<T, Stop>;

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    data: Vec<u8>,
    /// Bytes of overhead that are still allowed.
    allowance: usize,
    limits: &'a Limits,
}

impl Reader<'_> {
    /// chunked-body = *chunk last-chunk trailer-section CRLF
    fn body(&mut self) -> Read {
        loop {
            let size = self.size()?;
            self.extensions()?;
            self.line_end()?;
            if size == 0 {
                return self.trailers();
            }
            self.chunk_data(size)?;
            self.line_end()?;
        }
    }

    /// chunk-size = 1*HEXDIG
    fn size(&mut self) -> Read<u64> {
        let mut size = 0_u64;
        let mut digits = 0;
        while self.peek()?.is_ascii_hexdigit() {
            let digit = char::from(self.byte()?).to_digit(16).unwrap_or(0);
            size = size.saturating_mul(16).saturating_add(u64::from(digit));
            // RFC 9112 §7.1: a recipient must not overflow. Half the range is as absurd.
            if size >= i64::MAX.unsigned_abs() {
                return Err(Stop::Refused("a size that overflows"));
            }
            digits += 1;
        }
        if digits == 0 || !matches!(self.peek()?, b'\r' | b';' | b' ' | b'\t') {
            return Err(Stop::Refused("a size that is no number"));
        }
        let within = self.limits.body_bytes as u64;
        if size > within - self.data.len() as u64 {
            return Err(Stop::Refused("too much data"));
        }
        Ok(size)
    }

    /// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    fn extensions(&mut self) -> Read {
        let mut spaced = self.space()?;
        while self.peek()? == b';' {
            self.byte()?;
            self.space()?;
            self.token()?;
            spaced = self.space()?;
            if self.peek()? == b'=' {
                self.byte()?;
                self.space()?;
                self.extension_value()?;
                spaced = self.space()?;
            }
        }
        // Space belongs to the extension behind it, and none is there.
        if spaced { Err(Stop::Refused("space before a line end")) } else { Ok(()) }
    }

    /// chunk-ext-val = token / quoted-string
    fn extension_value(&mut self) -> Read {
        if self.peek()? != b'"' {
            return self.token();
        }
        self.byte()?;
        loop {
            match self.byte()? {
                b'"' => return Ok(()),
                b'\\' => drop(self.text_byte()?),
                byte => text(byte)?,
            }
        }
    }

    fn chunk_data(&mut self, size: u64) -> Read {
        let rest = &self.input[self.at..];
        let size = usize::try_from(size).map_err(|_| Stop::Partial)?;
        let Some(data) = rest.get(..size) else {
            return Err(Stop::Partial);
        };
        self.data.extend_from_slice(data);
        self.at += size;
        // Overhead may exceed the data by the limit.
        self.allowance += size;
        Ok(())
    }

    /// trailer-section = *( field-line CRLF ), and the final CRLF.
    fn trailers(&mut self) -> Read {
        self.allowance = self.allowance.min(self.limits.chunk_overhead_bytes);
        let mut fields = 0;
        while self.peek()? != b'\r' {
            fields += 1;
            if fields > self.limits.header_count {
                return Err(Stop::Refused("too many trailers"));
            }
            self.token()?;
            if self.byte()? != b':' {
                return Err(Stop::Refused("a trailer without a colon"));
            }
            while self.peek()? != b'\r' {
                self.text_byte()?;
            }
            self.line_end()?;
        }
        self.line_end()
    }

    fn line_end(&mut self) -> Read {
        let is_end = self.byte()? == b'\r' && self.byte()? == b'\n';
        if is_end { Ok(()) } else { Err(Stop::Refused("no CR LF")) }
    }

    /// True where there is any.
    fn space(&mut self) -> Read<bool> {
        let start = self.at;
        while matches!(self.peek()?, b' ' | b'\t') {
            self.byte()?;
        }
        Ok(self.at > start)
    }

    fn token(&mut self) -> Read {
        let start = self.at;
        while is_token_byte(self.peek()?) {
            self.byte()?;
        }
        if self.at > start { Ok(()) } else { Err(Stop::Refused("no token")) }
    }

    fn text_byte(&mut self) -> Read {
        text(self.byte()?)
    }

    fn peek(&self) -> Read<u8> {
        self.input.get(self.at).copied().ok_or(Stop::Partial)
    }

    /// The next byte, which is overhead.
    fn byte(&mut self) -> Read<u8> {
        let byte = self.peek()?;
        let spent = Stop::Refused("too much overhead");
        self.allowance = self.allowance.checked_sub(1).ok_or(spent)?;
        self.at += 1;
        Ok(byte)
    }
}

/// RFC 9110 §5.5 and §5.6.4: HTAB / SP / VCHAR / obs-text.
fn text(byte: u8) -> Read {
    let is_control = byte != b'\t' && (byte < b' ' || byte == 0x7f);
    if is_control { Err(Stop::Refused("a control character")) } else { Ok(()) }
}

/// RFC 9110 §5.6.2, tchar.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        let decode = |input: &str| decode(input.as_bytes(), &Limits::DEFAULT);
        let complete = |data: &'static str, length| Decoded::Complete { data: data.into(), length };
        assert_eq!(decode("5\r\nhello\r\n0\r\n\r\nrest"), complete("hello", 15));
        assert_eq!(
            decode("5 ;a=\"b\\\"\";c\r\nhello\r\n00\r\nX: y\r\n\r\n"),
            complete("hello", 33)
        );
        assert_eq!(decode("5\r\nhello\r\n0\r\n\r"), Decoded::Partial);
        for malformed in ["x", "5 \r", "5;\r", "5\n", "5\r\nhello!", "0\r\n\n", "0\r\nX\r", "5;a="]
        {
            let is_fine = malformed == "5;a=";
            assert_eq!(decode(malformed) == Decoded::Partial, is_fine, "{malformed:?}");
        }
    }
}
