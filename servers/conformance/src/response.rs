//! A strict reader of responses, independent of every parser under test.

use std::time::{SystemTime, UNIX_EPOCH};

/// One response as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Fields in order, names as sent.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Body, empty for HEAD and for 1xx, 204 and 304.
    pub body: Vec<u8>,
    /// Head as sent, its empty line included.
    pub head: Vec<u8>,
}

/// Longest head of a response that is accepted, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

impl Response {
    /// Values of the field `name`, case-insensitive.
    pub fn values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        let same = move |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|field| field.1.as_slice())
    }

    /// Whether `name`, or `name:value`, is among the fields.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        match field.split_once(':') {
            Some((name, value)) => self.values(name).any(|sent| sent == value.as_bytes()),
            None => self.values(field).next().is_some(),
        }
    }

    /// Head and body with the date masked: what all servers must send alike.
    #[must_use]
    pub fn masked(&self) -> Vec<u8> {
        let mut bytes = mask_date(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The head with the date masked.
    #[must_use]
    pub fn masked_head(&self) -> Vec<u8> {
        mask_date(&self.head)
    }

    /// Tries to read one response from the front of `bytes`.
    ///
    /// Returns the response and its length in bytes, or `None` while it is incomplete. `to_head`
    /// says that the request was a HEAD.
    ///
    /// # Errors
    /// A sentence about the first rule that the bytes break.
    pub fn parse(bytes: &[u8], to_head: bool) -> Result<Option<(Self, usize)>, String> {
        let Some(head_len) = head_len(bytes)? else { return Ok(None) };
        let head = &bytes[..head_len];
        let mut lines = head[..head_len - 4].split_crlf();
        let status = status_line(lines.next().unwrap_or_default())?;
        let fields = lines.map(field_line).collect::<Result<Vec<_>, _>>()?;
        let mut response = Self { status, fields, body: Vec::new(), head: head.to_vec() };
        response.check_head()?;
        let no_body = to_head || status < 200 || status == 204 || status == 304;
        let body_len = if no_body { 0 } else { response.content_length()? };
        let Some(body) = bytes.get(head_len..head_len + body_len) else { return Ok(None) };
        response.body = body.to_vec();
        Ok(Some((response, head_len + body_len)))
    }

    fn content_length(&self) -> Result<usize, String> {
        let value = self.values("content-length").next().ok_or("R5: no content-length")?;
        let text = std::str::from_utf8(value).map_err(|_| "R5: content-length is not text")?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(format!("R5: content-length '{text}' is not digits"));
        }
        text.parse().map_err(|_| format!("R5: content-length {text} is too large"))
    }

    /// The invariants that each head must keep by itself: R2 to R4, R7, R8, R10.
    fn check_head(&self) -> Result<(), String> {
        let lengths = self.values("content-length").count();
        let codings = self.values("transfer-encoding").count();
        if self.status < 200 || self.status == 204 {
            let framing = lengths + codings;
            return if framing == 0 { Ok(()) } else { Err("R4: framing on 1xx or 204".into()) };
        }
        self.check_date()?;
        if codings > 0 {
            return Err("R3, R9: transfer-encoding in a response".to_owned());
        }
        if lengths != 1 {
            return Err(format!("R5: {lengths} content-length fields"));
        }
        if self.status == 405 && !self.has("allow") {
            return Err("R7: 405 without allow".to_owned());
        }
        if self.must_close() && !self.has("connection:close") {
            return Err(format!("R8: {} without connection: close", self.status));
        }
        Ok(())
    }

    /// Whether the policy closes the connection after this status (R8).
    #[must_use]
    pub fn must_close(&self) -> bool {
        self.status >= 400 && !matches!(self.status, 404 | 405 | 417)
    }

    fn check_date(&self) -> Result<(), String> {
        let dates: Vec<&[u8]> = self.values("date").collect();
        let [date] = dates[..] else {
            return Err(format!("R2: {} date fields", dates.len()));
        };
        let text = String::from_utf8_lossy(date).into_owned();
        let sent = parse_date(&text).ok_or_else(|| format!("R2: '{text}' is no IMF-fixdate"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now.abs_diff(sent) > 2 {
            return Err(format!("R2: date '{text}' is {} s away", now.abs_diff(sent)));
        }
        Ok(())
    }
}

/// Length of the head that begins `bytes`, its empty line included.
fn head_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    match window.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(position) => Ok(Some(position + 4)),
        None if bytes.len() >= HEAD_BYTES_MAX => Err("a head of more than 16 KiB".to_owned()),
        None if !b"HTTP/1.1 ".starts_with(&bytes[..bytes.len().min(9)]) => {
            Err("R1: does not begin with 'HTTP/1.1 '".to_owned())
        }
        None => Ok(None),
    }
}

fn status_line(line: &[u8]) -> Result<u16, String> {
    let wrong = || format!("R1: status line '{}'", String::from_utf8_lossy(line));
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or_else(wrong)?;
    let (digits, reason) = rest.split_at_checked(3).ok_or_else(wrong)?;
    if !digits.iter().all(u8::is_ascii_digit) || reason.first() != Some(&b' ') {
        return Err(wrong());
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

fn field_line(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let wrong = |what: &str| format!("R10: {what} in '{}'", String::from_utf8_lossy(line));
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(wrong("CR, LF or NUL"));
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| wrong("no colon"))?;
    let name = &line[..colon];
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return Err(wrong("a name that is no token"));
    }
    let value = line[colon + 1..].trim_ascii();
    Ok((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

trait SplitCrlf {
    fn split_crlf(&self) -> impl Iterator<Item = &[u8]>;
}

impl SplitCrlf for [u8] {
    fn split_crlf(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let end = bytes.windows(2).position(|two| two == b"\r\n");
            rest = end.map(|end| &bytes[end + 2..]);
            Some(&bytes[..end.unwrap_or(bytes.len())])
        })
    }
}

/// Replaces the value of `date` by `*`.
fn mask_date(head: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(head.len());
    for (index, line) in head.split_crlf().enumerate() {
        if index > 0 {
            masked.extend_from_slice(b"\r\n");
        }
        let is_date = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
        masked.extend_from_slice(if is_date { b"date: *" } else { line });
    }
    masked
}

/// Seconds since 1970 of an IMF-fixdate (RFC 9110 §5.6.7), strict in every character.
fn parse_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const DAYS: &str = "ThuFriSatSunMonTueWed";
    let shape = "ddd, 00 mmm 0000 00:00:00 GMT";
    let fits = text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(sent, wanted)| match wanted {
            b'0' => sent.is_ascii_digit(),
            b'd' | b'm' => sent.is_ascii_alphabetic(),
            exact => sent == exact,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let month = MONTHS.find(&text[8..11]).filter(|at| at % 3 == 0)? as u64 / 3;
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    // Days before a date of the proleptic Gregorian calendar whose year begins in March.
    let shifted = if month < 2 { year.checked_sub(1)? } else { year };
    let month_from_march = (month + 10) % 12;
    let before_year = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400;
    let days = (before_year + (month_from_march * 306 + 5) / 10 + day).checked_sub(1 + 719_468)?;
    let weekday = &DAYS[usize::try_from(days % 7).ok()? * 3..][..3];
    let in_range = day >= 1 && hour < 24 && minute < 60 && second < 61;
    (in_range && weekday == &text[..3]).then(|| days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_to_the_second_and_to_the_weekday() {
        let check =
            |text: &str, expect: Option<u64>| assert_eq!(parse_date(text), expect, "{text}");
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799));
        check("Mon, 06 Nov 1994 08:49:37 GMT", None);
        check("Sun, 6 Nov 1994 08:49:37 GMT", None);
        check("Sun, 06 Nov 1994 08:49:37 UTC", None);
        check("Sun, 06 nov 1994 08:49:37 GMT", None);
    }

    #[test]
    fn broken_responses_are_refused_by_rule() {
        let date = "date: *";
        let check = |text: &str, expect: &str| {
            let error = Response::parse(text.as_bytes(), false).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("HTTP/1.0 200 OK\r\n\r\n", "R1");
        check("hello", "R1");
        check("HTTP/1.1 200\r\n\r\n", "R1");
        check("HTTP/1.1 200 OK\r\n\r\n", "R2");
        check(&format!("HTTP/1.1 200 OK\r\n{date}\r\n\r\n"), "R2");
        check("HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", "R4");
        check("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "R10");
        check("HTTP/1.1 200 OK\r\nX y: a\r\n\r\n", "R10");
    }

    #[test]
    fn an_incomplete_response_is_awaited() {
        assert_eq!(Response::parse(b"HTTP/1.1 20", false), Ok(None));
        assert_eq!(Response::parse(b"", false), Ok(None));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nrest";
        let (response, len) = Response::parse(interim, false).expect("good").expect("whole");
        assert_eq!((response.status, len), (100, interim.len() - 4));
    }
}
