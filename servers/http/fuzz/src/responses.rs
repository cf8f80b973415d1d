//! Output taken apart into responses, by a parser that shares nothing with the servers.

use crate::delivery::DATE;
use crate::engine::Failure;
use bytes::Bytes;

/// One response, interim or final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    fields: Vec<(&'a str, &'a str)>,
    /// The value of `content-length`; 0 for an interim response, which has none.
    pub(crate) content_length: usize,
    /// What follows the head; nothing for an answer to HEAD.
    pub(crate) body: Bytes,
}

impl<'a> Response<'a> {
    /// The value of the field called `name`, if there is one.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// Whether it refuses the request and thereby ends the connection.
    pub(crate) const fn refuses(&self) -> bool {
        self.status >= 400 && !matches!(self.status, 404 | 405 | 417)
    }

    /// Whether it is an interim response (RFC 9110 §15.2).
    pub(crate) const fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// The response that `output` begins with, checked for all that holds for every response, and
/// what follows it.
///
/// # Errors
/// The invariant that does not hold.
pub(crate) fn first(output: &[u8], to_head: bool) -> Result<(Response<'_>, &[u8]), Failure> {
    let fail = |what: String| Failure::new("malformed_response", what);
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| fail(format!("no whole head: {}", output.escape_ascii())))?;
    let head = core::str::from_utf8(&output[..end]).map_err(|error| fail(error.to_string()))?;
    let rest = &output[end + 4..];
    let mut lines = head.split("\r\n");
    let status = status(lines.next().unwrap_or_default())
        .ok_or_else(|| fail(format!("no status line: {head:?}")))?;
    let fields = lines.map(field).collect::<Option<Vec<_>>>();
    let fields = fields.ok_or_else(|| fail(format!("no field: {head:?}")))?;
    let mut response = Response { status, fields, content_length: 0, body: Bytes::new() };
    check(&response).map_err(|what| fail(format!("{what}: {head:?}")))?;
    if response.is_interim() {
        return Ok((response, rest));
    }
    let length = response.value("content-length").and_then(|value| value.parse().ok());
    response.content_length = length.ok_or_else(|| fail(format!("no length: {head:?}")))?;
    // The body is as long as the head says.
    let length = if to_head { 0 } else { response.content_length };
    let Some((body, behind)) = rest.split_at_checked(length) else {
        return Err(fail(format!("{} of {length} bytes of a body", rest.len())));
    };
    response.body = Bytes::copy_from_slice(body);
    Ok((response, behind))
}

/// `HTTP/1.1 SP 3DIGIT SP reason`
fn status(line: &str) -> Option<u16> {
    let (code, reason) = line.strip_prefix("HTTP/1.1 ")?.split_once(' ')?;
    let well_formed = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    (well_formed && !reason.is_empty()).then(|| code.parse().ok())?
}

/// A name in lower case, a colon, a space, and a value without control characters.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(": ")?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_value = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (is_name && is_value).then_some((name, value))
}

/// What is wrong with the fields.
fn check(response: &Response<'_>) -> Result<(), &'static str> {
    let count = |name: &str| response.fields.iter().filter(|(field, _)| *field == name).count();
    let must = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
    if response.is_interim() {
        return must(
            response.status == 100 && response.fields.is_empty(),
            "an odd interim response",
        );
    }
    must(count("content-length") == 1, "not one content-length")?;
    must(count("transfer-encoding") == 0, "a transfer-encoding")?;
    must(count("connection") <= 1, "more than one connection")?;
    must(count("date") == 1 && response.value("date") == Some(DATE), "not one date")?;
    must(count("server") == 1, "not one server")?;
    must(response.status != 405 || count("allow") == 1, "405 without allow")?;
    let closes = response.value("connection") == Some("close");
    must(closes || !response.refuses(), "a refusal without connection: close")?;
    let is_error = response.status >= 400;
    must(!is_error || response.value("content-length") == Some("0"), "an error with a body")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(output: &str) -> Result<u16, Failure> {
        let output = output.replace('¶', "\r\n").replace("DATE", DATE);
        first(output.as_bytes(), false).map(|(response, _)| response.status)
    }

    #[test]
    fn what_is_not_well_formed_is_noticed() {
        let rest = "server: showdown¶content-length: 0¶date: DATE¶¶";
        assert_eq!(parse(&format!("HTTP/1.1 404 Not Found¶{rest}")), Ok(404));
        assert_eq!(parse("HTTP/1.1 100 Continue¶¶"), Ok(100));
        for wrong in [
            format!("HTTP/1.0 200 OK¶{rest}"),
            format!("HTTP/1.1 20 OK¶{rest}"),
            format!("HTTP/1.1 400 Bad Request¶{rest}"),
            format!("HTTP/1.1 405 Method Not Allowed¶{rest}"),
            format!("HTTP/1.1 200 OK¶content-length: 0¶{rest}"),
            format!("HTTP/1.1 200 OK¶transfer-encoding: chunked¶{rest}"),
            format!("HTTP/1.1 200 OK¶x: a\rb¶{rest}"),
            rest.to_owned(),
            "HTTP/1.1 200 OK¶server: x¶content-length: 1¶date: DATE¶¶".to_owned(),
            "HTTP/1.1 200 OK¶server: x¶content-length: 0¶¶".to_owned(),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
