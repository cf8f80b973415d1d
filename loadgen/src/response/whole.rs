//! A response that was kept whole, taken apart for a script.

use super::{FIELDS_MAX, FramingError};

/// Longest response, head included, that is kept for a script, in bytes.
pub const RESPONSE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Takes a response apart that the parser has found complete: calls `then` with its fields, as
/// received and in order, and its body without the chunked coding.
///
/// # Errors
/// [`FramingError`] where it is not a complete response, which the parser would have said before.
pub fn take_apart<T>(
    bytes: &[u8],
    then: impl FnOnce(&[(&[u8], &[u8])], &[u8]) -> T,
) -> Result<T, FramingError> {
    let mut rest = bytes;
    loop {
        let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut room);
        let Ok(httparse::Status::Complete(length)) = response.parse(rest) else {
            return Err(FramingError::Head);
        };
        rest = &rest[length..];
        // RFC 9110 §15.2: interim responses precede the final one.
        if response.code.is_some_and(|code| code < 200) {
            continue;
        }
        let fields: Vec<(&[u8], &[u8])> =
            response.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let is_chunked =
            fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"));
        // NB: other codings end with the connection, and are given as they came; so is nothing.
        if is_chunked && let Some(body) = unchunk(rest) {
            return Ok(then(&fields, &body));
        }
        return Ok(then(&fields, rest));
    }
}

/// The data of a chunked body (RFC 9112 §7.1), `None` where it is none.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let Ok(httparse::Status::Complete((length, size))) = httparse::parse_chunk_size(rest)
        else {
            return None;
        };
        if size == 0 {
            return Some(body);
        }
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(rest.get(length..length.checked_add(size)?)?);
        rest = rest.get(length + size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &str, fields: &[(&str, &str)], body: &str) {
        let seen = take_apart(response.as_bytes(), |fields, body| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let fields = fields.iter().map(|(name, value)| (text(name), text(value)));
            (fields.collect::<Vec<_>>(), text(body))
        });
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        assert_eq!(seen, Ok((fields.collect(), body.into())), "{response:?}");
    }

    #[test]
    fn fields_come_as_received_and_bodies_decoded() {
        check(
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok",
            &[("X-A", "1"), ("x-a", "2"), ("Content-Length", "2")],
            "ok",
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;x=y\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
            &[("Transfer-Encoding", "chunked")],
            "ok!",
        );
        check("HTTP/1.1 200 OK\r\n\r\nuntil the close", &[], "until the close");
        check(
            "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 204 No\r\nC: d\r\n\r\n",
            &[("C", "d")],
            "",
        );
        // The answer to HEAD announces a coding and has no body.
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            &[("Transfer-Encoding", "chunked")],
            "",
        );
    }

    #[test]
    fn what_is_not_complete_is_refused() {
        assert_eq!(take_apart(b"HTTP/1.1 200 OK\r\n", |_, _| ()), Err(FramingError::Head));
    }
}
