//! Compares what a connection answered with what the reference makes of the same bytes.

use crate::delivery::Outcome;
use crate::engine::Failure;
use crate::reference::{Body, Next, Request, next};
use crate::responses::{self, Response};
use server_http::{Close, Closing, Limits};

/// What a connection has done with an input, and what it owes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What the input did, in a few words that are the same for inputs that did the same.
    pub(crate) story: String,
    /// A request was begun that is neither whole nor answered.
    owes_answer: bool,
}

impl Verdict {
    /// Judges how an input ends that has come to `open` so far: nothing is answered to the end of
    /// the input, and 408 to a request that does not arrive, if it was not answered yet.
    ///
    /// # Errors
    /// Where that is not so.
    pub(crate) fn judge_end(
        &self,
        open: &Outcome,
        at_eof: &Outcome,
        timed_out: &Outcome,
    ) -> Result<(), Failure> {
        if at_eof.output != open.output {
            let what = format!("{:?} in place of {:?}", at_eof.output, open.output);
            return Err(Failure::new("answer_to_the_end", what));
        }
        let more = timed_out.output.strip_prefix(&open.output[..]).unwrap_or_default();
        let is_right = if self.owes_answer {
            let (response, behind) = responses::first(more, false)?;
            response.status == 408 && behind.is_empty()
        } else {
            timed_out.output == open.output
        };
        let what = || format!("{:?} after {:?}", timed_out.output, open.output);
        if is_right { Ok(()) } else { Err(Failure::new("answer_to_silence", what())) }
    }
}

/// Judges the outcome of `input` delivered to its end, and left open.
///
/// # Errors
/// The oracle that does not hold.
pub(crate) fn judge(input: &[u8], outcome: &Outcome, limits: &Limits) -> Result<Verdict, Failure> {
    let mut judge = Judge {
        input,
        limits,
        outcome,
        output: &outcome.output,
        at: 0,
        finals: 0,
        story: Vec::new(),
        owes_answer: false,
    };
    let end = judge.read_all()?;
    judge.check_end(end)?;
    Ok(Verdict { story: judge.story(), owes_answer: judge.owes_answer })
}

/// What the last response says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It goes on.
    Open,
    /// A response said that it ends.
    Announced,
    /// It ends because the body of a request that was answered already is malformed.
    BodyRefused,
    /// The body of a request that was answered already has not arrived whole.
    BodyAwaited,
}

struct Judge<'a> {
    input: &'a [u8],
    limits: &'a Limits,
    outcome: &'a Outcome,
    /// Output that was not looked at.
    output: &'a [u8],
    /// Where the next request begins.
    at: usize,
    finals: u32,
    /// What was done for each request: its status, and why it was refused or waits.
    story: Vec<String>,
    owes_answer: bool,
}

impl Judge<'_> {
    /// Reads response after response, each with the request it answers.
    fn read_all(&mut self) -> Result<End, Failure> {
        let mut end = End::Open;
        while !self.output.is_empty() {
            if end != End::Open {
                return Err(Failure::new("after_the_end", format!("more output after {end:?}")));
            }
            let request = next(self.input, self.at, self.limits);
            end = self.read_one(&request)?;
        }
        let (counted, found) = (self.outcome.responses, self.finals);
        if counted != found {
            let what = format!("{found} responses, {counted} counted");
            return Err(Failure::new("response_count", what));
        }
        Ok(end)
    }

    fn read_one(&mut self, request: &Next) -> Result<End, Failure> {
        let to_head = matches!(request, Next::Request(request) if request.expected.head_only);
        let (mut response, mut rest) = responses::first(self.output, to_head)?;
        if response.is_interim() {
            self.check_interim(request)?;
            if rest.is_empty() {
                self.output = rest;
                return Ok(End::Open);
            }
            (response, rest) = responses::first(rest, to_head)?;
            if response.is_interim() {
                return Err(Failure::new("interim", "100 Continue twice"));
            }
        }
        self.output = rest;
        self.finals += 1;
        self.tell(response.status.to_string());
        if response.refuses() {
            self.check_refusal(request)?;
            return Ok(End::Announced);
        }
        let Next::Request(request) = request else {
            let what = format!("{} for {request:?} at {}", response.status, self.at);
            return Err(Failure::new("laxer_than_the_reference", what));
        };
        check_answer(request, &response)?;
        self.step_over(request, &response)
    }

    /// 100 is for a request of HTTP/1.1 that waits for it, and whose body is taken.
    fn check_interim(&mut self, request: &Next) -> Result<(), Failure> {
        self.tell("100");
        match request {
            Next::Request(request) if request.waits => Ok(()),
            _ => Err(Failure::new("interim", "100 Continue, and nobody waits for it")),
        }
    }

    /// Only what may not be accepted is refused.
    fn check_refusal(&mut self, request: &Next) -> Result<(), Failure> {
        let why = match request {
            Next::Refused(why) => why,
            // A head that can no longer become good is refused before its end.
            Next::Partial { .. } => "a head in the making",
            Next::Request(Request { body: Body::Refused(why), .. }) => why,
            Next::Request(request) => {
                let what = format!("refused, and nothing is wrong with {request:?}");
                return Err(Failure::new("stricter_than_the_reference", what));
            }
        };
        self.tell(why);
        Ok(())
    }

    /// Where the next request begins, after one that was answered.
    fn step_over(&mut self, request: &Request, response: &Response<'_>) -> Result<End, Failure> {
        let closes = response.value("connection") == Some("close");
        if closes {
            return Ok(End::Announced);
        }
        let first = request.is_answered_first();
        match &request.body {
            Body::Complete { end, .. } => {
                self.at = *end;
                Ok(End::Open)
            }
            Body::Partial if first => Ok(End::BodyAwaited),
            Body::Refused(_) if first => Ok(End::BodyRefused),
            body => {
                let what = format!("answered with {} before {body:?}", response.status);
                Err(Failure::new("laxer_than_the_reference", what))
            }
        }
    }

    /// Whether the connection ended as the last response said; and if it goes on, whether it
    /// rightly waits.
    fn check_end(&mut self, end: End) -> Result<(), Failure> {
        let lingers = |close: &Close| close.how == Closing::Linger;
        match (end, &self.outcome.close) {
            (End::Announced | End::BodyRefused, Some(close)) if lingers(close) => Ok(()),
            (End::BodyAwaited, None) => self.check_consumed(self.input.len()),
            (End::Open, None) => self.check_silence(),
            (end, close) => Err(Failure::new("close", format!("{end:?} and then {close:?}"))),
        }
    }

    /// RFC 9112 §9.3.2: every complete request is answered; only an incomplete one waits.
    fn check_silence(&mut self) -> Result<(), Failure> {
        let unanswered = |what: String| Err(Failure::new("unanswered", what));
        match next(self.input, self.at, self.limits) {
            Next::Partial { start } => {
                self.tell("partial head");
                self.owes_answer = !matches!(self.input[start..], [] | [b'\r']);
                self.check_consumed(start)
            }
            Next::Request(Request { body: Body::Partial, .. }) => {
                self.tell("partial body");
                self.owes_answer = true;
                self.check_consumed(self.input.len())
            }
            Next::Request(request) => unanswered(format!("{request:?} at {}", self.at)),
            Next::Refused(why) => {
                self.tell(why);
                let rest = &self.input[self.at..];
                let start = rest.iter().position(|byte| !b"\r\n".contains(byte));
                let head = &rest[start.unwrap_or(rest.len())..];
                if head.windows(4).any(|window| window == b"\r\n\r\n") {
                    return unanswered(format!("a whole head with {why} at {}", self.at));
                }
                self.owes_answer = true;
                Ok(())
            }
        }
    }

    fn check_consumed(&self, expect: usize) -> Result<(), Failure> {
        if self.outcome.consumed == Some(expect) {
            return Ok(());
        }
        let what = format!("{:?} bytes consumed, not {expect}", self.outcome.consumed);
        Err(Failure::new("consumed", what))
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    /// The end of the story: what comes before is another input's.
    fn story(&self) -> String {
        let from = self.story.len().saturating_sub(2);
        self.story[from..].join(", ")
    }
}

/// The answer says what the reference reads out of the head and body of the request.
fn check_answer(request: &Request, response: &Response<'_>) -> Result<(), Failure> {
    let expected = &request.expected;
    let body = if let Body::Complete { content, .. } = &request.body { &content[..] } else { &[] };
    let content = expected.content.bytes(body);
    let connection = match (request.closes, request.says_keep_alive) {
        (true, _) => Some("close"),
        (false, true) => Some("keep-alive"),
        (false, false) => None,
    };
    let sent: &[u8] = if expected.head_only { &[] } else { &content };
    let is_right = response.status == expected.status
        && response.content_length == content.len()
        && response.body == sent
        && response.value("content-type") == expected.media_type
        && response.value("allow") == expected.allow
        && response.value("connection") == connection;
    if is_right {
        return Ok(());
    }
    let what = format!("{response:?} for {request:?}");
    Err(Failure::new("another_answer", what))
}
