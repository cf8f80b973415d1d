//! `http_request`: any bytes, as the input of a connection.

use super::{TIGHT, deliver_in_all_ways, grammar, require_same};
use crate::delivery::{Cuts, Ending, Plan, Taking, deliver};
use crate::engine::{Failure, Random, Target, fnv};
use crate::judge::judge;
use server_http::Limits;

/// Any bytes, as the input of a connection.
pub(super) struct HttpRequest;

impl Target for HttpRequest {
    fn name(&self) -> &'static str {
        "http_request"
    }

    fn input_bytes_max(&self) -> usize {
        1000
    }

    fn dictionary(&self) -> &'static [&'static [u8]] {
        DICTIONARY
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        grammar::request(random)
    }

    fn check(&self, input: &[u8]) -> Result<u64, Failure> {
        let mut story = String::new();
        if let Some(outcomes) = deliver_in_all_ways(input, &TIGHT)? {
            let verdict = judge(input, &outcomes.whole, &TIGHT)?;
            // By the byte there may be interim responses that there are not at once.
            judge(input, &outcomes.by_byte, &TIGHT)?;
            verdict.judge_end(&outcomes.whole, &outcomes.at_eof, &outcomes.timed_out)?;
            story = verdict.story;
        }
        // The limits that servers run with let more of it through.
        let whole = deliver(input, &Limits::DEFAULT, Plan::whole(Ending::Open))?;
        if !whole.is_cut_short {
            let (cuts, taking) = (Cuts::Random(fnv(input)), Taking::AtOnceLending);
            let plan = Plan { cuts, taking, ending: Ending::Open };
            require_same(&whole, &deliver(input, &Limits::DEFAULT, plan)?, plan)?;
            story.push('|');
            story.push_str(&judge(input, &whole, &Limits::DEFAULT)?.story);
        }
        Ok(fnv(story.as_bytes()))
    }
}

const DICTIONARY: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS * ",
    b"CONNECT x:443 ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"BREW ",
    b"/plaintext",
    b"/json",
    b"/bytes/100",
    b"/echo",
    b"/none?query#fragment",
    b"http://x",
    b"https://[::1]:80/json",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/1.2\r\n",
    b" HTTP/2.0\r\n",
    b" HTTP/0.9\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"Host: x\r\n",
    b"Host: [::1]:80\r\n",
    b"Host: a,b\r\n",
    b"Host:\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 05\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: x, close\r\n",
    b"Connection: close, x\r\n",
    b" HTTP/1.2 \r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: other\r\n",
    b"X: y\r\n",
    b" : ",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"5;a=\"b\"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_requests_pass_and_differ_in_what_they_do() {
        let get = HttpRequest.check(b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n");
        let bad = HttpRequest.check(b"GET /json HTTP/1.1\r\n\r\n");
        assert!(get.is_ok() && bad.is_ok() && get != bad, "{get:?} {bad:?}");
    }
}
