//! The notation of the case files: readable text for arbitrary bytes.
//!
//! `¶` is CR LF, `↵` a bare LF, `␍` a bare CR, `⇥` a TAB, `\xHH` any byte, `\\` a backslash.
//! `{H}` is `Host: x¶`. `{N*TEXT}` repeats TEXT, in which `#` becomes the running number from 0;
//! TEXT may hold macros itself.
//! `{random N SEED}` is N bytes of a seeded generator. A literal brace is written `\x7b`.

use std::fmt;

/// Longest input that a case may expand to, in bytes: a typing error must not eat the memory.
pub const INPUT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is wrong with a text in the notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotationError {
    /// A backslash that begins no known escape.
    BadEscape(String),
    /// A brace without its partner, or with nothing known inside.
    BadMacro(String),
    /// The expansion exceeds [`INPUT_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for NotationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadEscape(at) => {
                write!(formatter, "unknown escape at '{at}': write \\xHH or \\\\")
            }
            Self::BadMacro(at) => write!(
                formatter,
                "unknown macro at '{at}': write {{H}}, {{N*TEXT}} or {{random N SEED}}"
            ),
            Self::TooLong => write!(formatter, "expands to more than {INPUT_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for NotationError {}

/// Expands a text to the bytes it stands for.
///
/// # Errors
/// [`NotationError`] with the place of the fault.
pub fn expand(text: &str) -> Result<Vec<u8>, NotationError> {
    let mut output = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '¶' => output.extend_from_slice(b"\r\n"),
            '↵' => output.push(b'\n'),
            '␍' => output.push(b'\r'),
            '⇥' => output.push(b'\t'),
            '\\' => rest = escape(rest, &mut output)?,
            '{' => rest = expand_macro(rest, &mut output)?,
            plain => output.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if output.len() > INPUT_BYTES_MAX {
            return Err(NotationError::TooLong);
        }
    }
    Ok(output)
}

/// `rest` begins after the backslash; returns what follows the escape.
fn escape<'t>(rest: &'t str, output: &mut Vec<u8>) -> Result<&'t str, NotationError> {
    if let Some(after) = rest.strip_prefix('\\') {
        output.push(b'\\');
        return Ok(after);
    }
    let byte = rest
        .strip_prefix('x')
        .and_then(|hex| hex.get(..2))
        .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        .ok_or_else(|| NotationError::BadEscape(excerpt(rest)))?;
    output.push(byte);
    Ok(&rest[3..])
}

/// `rest` begins after the opening brace; returns what follows the closing one.
fn expand_macro<'t>(rest: &'t str, output: &mut Vec<u8>) -> Result<&'t str, NotationError> {
    let bad = || NotationError::BadMacro(excerpt(rest));
    let end = closing_brace(rest).ok_or_else(bad)?;
    let (body, after) = (&rest[..end], &rest[end + 1..]);
    if body == "H" {
        output.extend_from_slice(b"Host: x\r\n");
    } else if let Some(numbers) = body.strip_prefix("random ") {
        let (count, seed) = numbers.split_once(' ').ok_or_else(bad)?;
        let count: usize = count.parse().map_err(|_| bad())?;
        let mut random = Random::new(seed.parse().map_err(|_| bad())?);
        output.extend((0..count.min(INPUT_BYTES_MAX)).map(|_| random.byte()));
    } else {
        let (count, text) = body.split_once('*').ok_or_else(bad)?;
        let count: usize = count.parse().map_err(|_| bad())?;
        repeat(count, text, output)?;
    }
    Ok(after)
}

/// Where the macro ends whose opening brace lies before `rest`.
fn closing_brace(rest: &str) -> Option<usize> {
    let mut open = 1;
    rest.char_indices().find_map(|(index, letter)| {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(index)
    })
}

fn repeat(count: usize, text: &str, output: &mut Vec<u8>) -> Result<(), NotationError> {
    let fixed = if text.contains('#') { None } else { Some(expand(text)?) };
    for number in 0..count {
        match &fixed {
            Some(bytes) => output.extend_from_slice(bytes),
            None => output.extend(expand(&text.replace('#', &number.to_string()))?),
        }
        if output.len() > INPUT_BYTES_MAX {
            return Err(NotationError::TooLong);
        }
    }
    Ok(())
}

fn excerpt(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Writes bytes in the notation, so that a failure shows what a case file would say.
#[must_use]
pub fn show(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    let mut index = 0;
    while index < bytes.len().min(limit) {
        match bytes[index] {
            b'\r' if bytes.get(index + 1) == Some(&b'\n') => {
                text.push('¶');
                index += 1;
            }
            b'\r' => text.push('␍'),
            b'\n' => text.push('↵'),
            b'\t' => text.push('⇥'),
            b'\\' => text.push_str("\\\\"),
            b'{' | b'}' => text.push_str(&format!("\\x{:02x}", bytes[index])),
            plain @ 0x20..=0x7e => text.push(char::from(plain)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
        index += 1;
    }
    if bytes.len() > limit {
        text.push_str(&format!("… ({} bytes in all)", bytes.len()));
    }
    text
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator for one seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// The next byte.
    pub const fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        let width = (high - low) as u64 + 1;
        low + usize::try_from(self.next() % width).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_expands_to_its_bytes() {
        let check = |text: &str, expect: &[u8]| assert_eq!(expand(text).as_deref(), Ok(expect));
        check("GET / HTTP/1.1¶{H}¶", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        check("a↵b␍c⇥d", b"a\nb\rc\td");
        check("\\x00\\xff\\\\", b"\x00\xff\\");
        check("{3*ab}", b"ababab");
        check("{2*{3*a}b}", b"aaabaaab");
        check("{3*X-#: v¶}", b"X-0: v\r\nX-1: v\r\nX-2: v\r\n");
        assert_eq!(expand("{random 5 1}").map(|bytes| bytes.len()), Ok(5));
        assert_eq!(expand("{random 5 1}"), expand("{random 5 1}"));
        assert_ne!(expand("{random 8 1}"), expand("{random 8 2}"));
    }

    #[test]
    fn faults_are_named() {
        let check = |text: &str, expect: NotationError| assert_eq!(expand(text), Err(expect));
        check("\\q", NotationError::BadEscape("q".to_owned()));
        check("\\x4", NotationError::BadEscape("x4".to_owned()));
        check("{oops", NotationError::BadMacro("oops".to_owned()));
        check("{what}", NotationError::BadMacro("what}".to_owned()));
        check("{99999999*aaaa}", NotationError::TooLong);
    }

    #[test]
    fn show_is_the_inverse_of_expand() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\r\n{}\\").collect();
        assert_eq!(expand(&show(&bytes, usize::MAX)), Ok(bytes));
    }
}
