//! Where a request's body ends (RFC 9112 §6).

use crate::token::{is_token, trim};
use crate::{Limits, Status};

/// A length from here on is a mistake or an attack, and malformed; one below it that is longer
/// than allowed is only too large.
pub(crate) const LENGTH_ABSURD: u64 = i64::MAX.unsigned_abs();

/// How a request's body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body: neither field was there.
    None,
    /// A body of so many bytes, perhaps none.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// The framing fields of one head, field line by field line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    codings: Option<Codings>,
}

/// What the lines of `transfer-encoding` said so far, as one list (RFC 9110 §5.3).
#[derive(Clone, Copy, Debug, Default)]
struct Codings {
    /// `chunked` was the last coding.
    chunked: bool,
    /// Another coding was named.
    unknown: bool,
}

impl FramingFields {
    /// Takes a line of `content-length`.
    ///
    /// # Errors
    /// 400 where it is not one decimal number, or is the second.
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        // RFC 9112 §6.3 rule 5 allows for a list of equal numbers. It is refused, because nobody
        // sends one who means well.
        if self.content_length.is_some() {
            return Err(Status::BadRequest);
        }
        self.content_length = Some(decimal(value).ok_or(Status::BadRequest)?);
        Ok(())
    }

    /// Takes a line of `transfer-encoding`.
    ///
    /// # Errors
    /// 400 where a member of the list is malformed, or follows `chunked`.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Status> {
        let codings = self.codings.get_or_insert_default();
        for member in value.split(|byte| *byte == b',') {
            // RFC 9112 §6.3 rule 4: chunked must be the final coding, once.
            if codings.chunked {
                return Err(Status::BadRequest);
            }
            let member = trim(member);
            let (name, parameters) = match member.iter().position(|byte| *byte == b';') {
                Some(end) => (trim(&member[..end]), true),
                None => (member, false),
            };
            if !is_token(name) {
                return Err(Status::BadRequest);
            }
            match (name.eq_ignore_ascii_case(b"chunked"), parameters) {
                (true, false) => codings.chunked = true,
                // RFC 9112 §7.1: chunked has no parameters, their presence is an error.
                (true, true) => return Err(Status::BadRequest),
                (false, _) => codings.unknown = true,
            }
        }
        Ok(())
    }

    /// The framing that all the lines together ask for.
    ///
    /// # Errors
    /// 400 where they are ambiguous, 413 where the length is known to be too large, 501 where a
    /// coding is not implemented.
    pub(crate) fn framing(self, http_1_0: bool, limits: &Limits) -> Result<Framing, Status> {
        match (self.codings, self.content_length) {
            // RFC 9112 §6.1: transfer-encoding in HTTP/1.0 means that the framing is faulty; and
            // with content-length beside it, somebody is being deceived.
            (Some(_), _) if http_1_0 => Err(Status::BadRequest),
            (Some(_), Some(_)) => Err(Status::BadRequest),
            // RFC 9112 §6.1: a coding that is not understood gets 501.
            (Some(codings), None) if codings.unknown => Err(Status::NotImplemented),
            (Some(_), None) => Ok(Framing::Chunked),
            (None, Some(length)) if exceeds(length, limits.body_bytes) => {
                Err(Status::ContentTooLarge)
            }
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }
}

/// Checks the framing fields of a head that something else has parsed: the values of its lines of
/// `content-length` and of `transfer-encoding`, in order.
///
/// # Errors
/// The status to refuse the request with.
pub fn check_framing<'a>(
    content_lengths: impl Iterator<Item = &'a [u8]>,
    transfer_encodings: impl Iterator<Item = &'a [u8]>,
    http_1_0: bool,
    limits: &Limits,
) -> Result<(), Status> {
    let mut fields = FramingFields::default();
    for value in content_lengths {
        fields.content_length(trim(value))?;
    }
    for value in transfer_encodings {
        fields.transfer_encoding(value)?;
    }
    fields.framing(http_1_0, limits).map(drop)
}

/// Whether `length` is more than `limit`, whatever the width of either.
pub(crate) fn exceeds(length: u64, limit: usize) -> bool {
    usize::try_from(length).map_or(true, |length| length > limit)
}

/// Digits without sign, space or leading zero, of less than [`LENGTH_ABSURD`] (RFC 9110 §8.6).
///
/// The grammar allows for leading zeros. They are refused, because some read them as octal.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (value < LENGTH_ABSURD).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `lines` come to, which [`check_framing`] must agree with.
    fn check(lines: &[&str], expect: Result<Framing, Status>) {
        let values = |wanted: &'static str| {
            let split = lines.iter().filter_map(|line| line.split_once(':'));
            split.filter(move |(name, _)| *name == wanted).map(|(_, value)| value.as_bytes())
        };
        let checked = check_framing(values("CL"), values("TE"), false, &Limits::DEFAULT);
        assert_eq!(checked, expect.map(drop), "{lines:?}");
        let parse = || {
            let mut fields = FramingFields::default();
            for line in lines {
                let (name, value) = line.split_once(':').expect("a field line");
                let value = trim(value.as_bytes());
                match name {
                    "CL" => fields.content_length(value)?,
                    _ => fields.transfer_encoding(value)?,
                }
            }
            fields.framing(false, &Limits::DEFAULT)
        };
        assert_eq!(parse(), expect, "{lines:?}");
    }

    #[test]
    fn lengths_are_plain_decimal_numbers_within_the_limit() {
        check(&[], Ok(Framing::None));
        check(&["CL: 0"], Ok(Framing::Length(0)));
        check(&["CL: 16777216"], Ok(Framing::Length(16_777_216)));
        check(&["CL: 16777217"], Err(Status::ContentTooLarge));
        check(&["CL: 9223372036854775806"], Err(Status::ContentTooLarge));
        for value in ["9223372036854775807", "18446744073709551616", "", "-1", "+5", "5 ,5", "05"] {
            check(&[&format!("CL: {value}")], Err(Status::BadRequest));
        }
        check(&["CL: 5", "CL: 5"], Err(Status::BadRequest));
    }

    #[test]
    fn chunked_is_the_only_coding_and_the_last() {
        check(&["TE: chunked"], Ok(Framing::Chunked));
        check(&["TE: Chunked"], Ok(Framing::Chunked));
        check(&["TE: gzip"], Err(Status::NotImplemented));
        check(&["TE: gzip;q=1, chunked"], Err(Status::NotImplemented));
        check(&["TE: gzip", "TE: chunked"], Err(Status::NotImplemented));
        for value in [
            "chunked, gzip",
            "chunked, chunked",
            "",
            ",chunked",
            "chunked,",
            "\"chunked\"",
            "chunked;q=1",
            "chun ked",
        ] {
            check(&[&format!("TE: {value}")], Err(Status::BadRequest));
        }
        check(&["TE: chunked", "TE: chunked"], Err(Status::BadRequest));
        check(&["TE: chunked", "CL: 5"], Err(Status::BadRequest));
        check(&["CL: 5", "TE: gzip"], Err(Status::BadRequest));
    }

    #[test]
    fn http_1_0_has_no_transfer_coding() {
        let mut fields = FramingFields::default();
        fields.transfer_encoding(b"chunked").expect("well-formed");
        assert_eq!(fields.framing(true, &Limits::DEFAULT), Err(Status::BadRequest));
    }
}
