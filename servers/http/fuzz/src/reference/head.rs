//! A head, read twice: by `httparse`, and line by line after the grammar of RFC 9112.

use super::chunked::is_token_byte;

/// A head that both readings accept and agree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    /// The minor version: 0, or what is served as 1.
    pub(super) minor: u8,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// Its length, with the empty line.
    pub(super) length: usize,
    /// The length of the request line, without its end.
    pub(super) line_length: usize,
}

impl Head {
    /// The values of the fields called `name`, in lower case.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_slice())
    }
}

/// What the input begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Head(Head),
    Partial,
    Malformed(&'static str),
}

/// Reads the head that `input` begins with, empty lines already skipped.
pub(super) fn parse(input: &[u8]) -> Parsed {
    // DEVIATION: httparse refuses HTTP/1.2 to 1.9. RFC 9110 §2.5 has them served as the highest
    // minor version that is known, so the digit is replaced before httparse sees it.
    let input = &with_known_minor(input)[..];
    let mut table = [httparse::EMPTY_HEADER; 300];
    let mut parsed = httparse::Request::new(&mut table);
    let length = match parsed.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Malformed("httparse refuses it"),
    };
    let Some(head) = read(&input[..length]) else {
        return Parsed::Malformed("not after the grammar");
    };
    let same_fields = head.fields.len() == parsed.headers.len()
        && head
            .fields
            .iter()
            .zip(parsed.headers.iter())
            .all(|((name, value), header)| name == header.name && value == header.value);
    let same_line = parsed.method == Some(&head.method)
        && parsed.path == Some(&head.target)
        && parsed.version == Some(head.minor);
    if same_line && same_fields {
        Parsed::Head(head)
    } else {
        Parsed::Malformed("two readings differ")
    }
}

/// `input`, where the request line ends with HTTP/1.1 in place of HTTP/1.2 to 1.9.
fn with_known_minor(input: &[u8]) -> Vec<u8> {
    let mut copy = input.to_vec();
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    if let Some(line) = input[..end].strip_suffix(b"\r")
        && let [before @ .., b'2'..=b'9'] = line
        && before.ends_with(b" HTTP/1.")
    {
        copy[before.len()] = b'1';
    }
    copy
}

/// RFC 9112 §2.1: request-line CRLF *( field-line CRLF ) CRLF, without obs-fold.
fn read(head: &[u8]) -> Option<Head> {
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = split_lines(text)?.into_iter();
    let request_line = lines.next()?;
    let mut words = request_line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let visible = |byte: &u8| byte.is_ascii_graphic();
    let well_formed = words.next().is_none()
        && is_token(method)
        && !target.is_empty()
        && target.iter().all(visible);
    let minor = match version.strip_prefix(b"HTTP/1.")? {
        [digit @ b'0'..=b'1'] => digit - b'0',
        _ => return None,
    };
    if !well_formed {
        return None;
    }
    Some(Head {
        method: String::from_utf8(method.to_vec()).ok()?,
        target: String::from_utf8(target.to_vec()).ok()?,
        minor,
        fields: lines.map(read_field).collect::<Option<_>>()?,
        length: head.len(),
        line_length: request_line.len(),
    })
}

/// The lines between CR LFs; None where a CR or LF stands alone.
fn split_lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let alone = |line: &&[u8]| line.contains(&b'\r') || line.contains(&b'\n');
    (!lines.iter().any(alone)).then_some(lines)
}

/// RFC 9112 §5: field-name ":" OWS field-value OWS
fn read_field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let well_formed = is_token(name) && value.iter().all(is_text);
    let name = String::from_utf8(name.to_vec()).ok()?;
    well_formed.then(|| (name, value.to_vec()))
}

fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| is_token_byte(*byte))
}

/// Without the spaces and tabs around it (RFC 9110 §5.6.3).
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let outside = |byte: &u8| *byte != b' ' && *byte != b'\t';
    let start = value.iter().position(outside).unwrap_or(value.len());
    let end = value.iter().rposition(outside).map_or(start, |last| last + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_by_the_line() {
        let Parsed::Head(head) = parse(b"GET / HTTP/1.7\r\nhOst:\t x \r\nX:\r\n\r\nrest") else {
            panic!("well-formed");
        };
        assert_eq!((head.length, head.line_length, head.minor), (33, 14, 1));
        assert_eq!(head.values("host").collect::<Vec<_>>(), [b"x"]);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), Parsed::Partial);
        for malformed in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.10\r\n\r\n",
            "GET / HTTP/1.1\r\nX : y\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(parse(malformed.as_bytes()), Parsed::Malformed(_)), "{malformed:?}");
        }
    }
}
