//! `chunked`: any bytes, as the body of a request with `transfer-encoding: chunked`.

use super::{TIGHT, deliver_in_all_ways, grammar};
use crate::delivery::{Ending, Outcome, Plan, deliver};
use crate::engine::{Failure, Random, Target, fnv};
use crate::reference::{Decoded, decode};
use crate::responses;

/// Any bytes, as a chunked body.
pub(super) struct Chunked;

/// The body comes back.
const ECHO: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The body is decoded all the same, and dropped.
const DROP: &str = "PUT /json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Target for Chunked {
    fn name(&self) -> &'static str {
        "chunked"
    }

    fn input_bytes_max(&self) -> usize {
        1000
    }

    fn dictionary(&self) -> &'static [&'static [u8]] {
        DICTIONARY
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        grammar::chunked_body(random)
    }

    fn check(&self, body: &[u8]) -> Result<u64, Failure> {
        let input = [ECHO.as_bytes(), body].concat();
        let expect = decode(body, &TIGHT);
        let Some(outcomes) = deliver_in_all_ways(&input, &TIGHT)? else {
            return Ok(0);
        };
        check_verdict(&expect, &outcomes.whole, ECHO.len() + body.len())?;
        let answered_at = outcomes.by_byte.first_answer_at;
        if let Decoded::Complete { length, .. } = expect
            && answered_at != Some(ECHO.len() + length)
        {
            let what = format!("answered after {answered_at:?}, {length} behind the head");
            return Err(Failure::new("body_length", what));
        }
        let input = [DROP.as_bytes(), body].concat();
        let dropped = deliver(&input, &TIGHT, Plan::whole(Ending::Open))?;
        check_dropped(&expect, &dropped)?;
        Ok(behaviour(&expect))
    }
}

/// The connection answers with the data, waits, or refuses, as the reference does.
fn check_verdict(expect: &Decoded, outcome: &Outcome, length: usize) -> Result<(), Failure> {
    match expect {
        Decoded::Partial => {
            let waits = outcome.output.is_empty() && outcome.consumed == Some(length);
            let what = || format!("{outcome:?} where more is needed");
            if waits { Ok(()) } else { Err(Failure::new("partial_body", what())) }
        }
        Decoded::Complete { data, .. } => {
            let (response, _) = responses::first(&outcome.output, false)?;
            if response.status == 200 && response.body == data {
                return Ok(());
            }
            let what = format!("{response:?} in place of {}", data.escape_ascii());
            let is_strict = response.refuses();
            let oracle = if is_strict { "stricter_than_the_reference" } else { "another_body" };
            Err(Failure::new(oracle, what))
        }
        Decoded::Refused(why) => {
            let refused = !outcome.output.is_empty()
                && responses::first(&outcome.output, false)?.0.refuses()
                && outcome.close.is_some();
            let what = || format!("{outcome:?} in spite of {why}");
            if refused { Ok(()) } else { Err(Failure::new("laxer_than_the_reference", what())) }
        }
    }
}

/// A body that is dropped is decoded no less than one that is kept.
fn check_dropped(expect: &Decoded, outcome: &Outcome) -> Result<(), Failure> {
    let status = match outcome.output.is_empty() {
        true => None,
        false => Some(responses::first(&outcome.output, false)?.0.status),
    };
    let agrees = match expect {
        Decoded::Partial => status.is_none(),
        Decoded::Complete { .. } => status == Some(405),
        Decoded::Refused(_) => matches!(status, Some(400 | 413)),
    };
    let what = || format!("{status:?} where the body is dropped, and {expect:?}");
    if agrees { Ok(()) } else { Err(Failure::new("dropped_body", what())) }
}

/// Bodies do the same that end in the same way with about as much data and overhead.
fn behaviour(decoded: &Decoded) -> u64 {
    let story = match decoded {
        Decoded::Complete { data, length } => {
            let (data, overhead) = (data.len(), length - data.len());
            format!("complete {} {overhead}", data.checked_ilog2().map_or(0, |log| log + 1))
        }
        Decoded::Partial => "partial".to_owned(),
        Decoded::Refused(why) => (*why).to_owned(),
    };
    fnv(story.as_bytes())
}

const DICTIONARY: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"0\r\n",
    b"00000\r\n\r\n",
    b"5\r\nhello\r\n",
    b"1\r\nx\r\n",
    b"A\r\n0123456789\r\n",
    b"a;x\r\n0123456789\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b";",
    b";a",
    b";a=b",
    b" ; a = b",
    b";a=\"b\"",
    b";a=\"\\\"\"",
    b"\"",
    b"\\",
    b"=",
    b" ",
    b"\t",
    b"0x5",
    b"+5",
    b"258\r\n",
    b"259\r\n",
    b"7FFFFFFFFFFFFFFF\r\n",
    b"7FFFFFFFFFFFFFFE\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"X: y\r\n",
    b"X:\r\n",
    b"Content-Length: 5\r\n",
    b" fold\r\n",
    b":",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_pass_and_differ_in_what_they_do() {
        let check = |body: &str| Chunked.check(body.as_bytes()).expect("no oracle fails");
        let whole = check("5\r\nhello\r\n0\r\n\r\n");
        assert_ne!(whole, check("5\r\nhello\r\n0\r\n\r"));
        assert_ne!(whole, check("5\r\nhello!\r\n0\r\n\r\n"));
    }
}
