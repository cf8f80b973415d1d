//! One connection: a head, perhaps a body, an answer, and again.
//!
//! ```text
//!     ┌─────────────────────────────── answered ────────┐
//!     ▼                                                 │
//!   Idle ──▶ Head ──────▶ Body ──────────────▶ Answer ──┴──▶ Ended
//!     │        │  no body                      ▲    │
//!     └────────┴───────────────────────────────┘    │
//!                           ▲                       │
//!                           └───────────────────────┘
//!                           answered before the body (RFC 9110 §10.1.1)
//! ```

use crate::body::Body;
use crate::catalogue::{Answer, Content, Message, PLAINTEXT};
use crate::exchange::Exchange;
use crate::framing::Framing;
use crate::head::{self, Persistence, Request};
use crate::response::{self, CONTINUE, HEAD_MAX, Head};
use crate::scan::Scan;
use crate::{Advance, Close, Limits, Now, Reason, Sink, Status};
use core::time::Duration;

/// A body's memory of more bytes than this is given back when its answer was sent, so that a
/// connection that once echoed something long does not hold it while it idles.
const RETAINED_BODY_BYTES: usize = 1024;

/// HTTP/1.1 on one connection: any split of the input gives the same output.
///
/// The one exception is the interim `100 Continue`, which is due only while the body has not
/// begun to arrive.
#[derive(Debug)]
pub struct Connection {
    limits: &'static Limits,
    phase: Phase,
    /// When the phase's clock was started: the idle time, the head's or the body's.
    since_ns: u64,
    /// The body of a `POST /echo`, taken so far or being sent.
    body: Vec<u8>,
    draining: bool,
}

/// What the next byte of input is, or what comes before it is looked at.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between requests.
    Idle,
    /// Inside a head, or the empty lines before it.
    Head(PartialHead),
    /// Inside a body.
    Body(Exchange),
    /// An answer is due, or partly put.
    Answer(Exchange),
    /// The connection is over.
    Ended(Close),
}

/// A head that has not arrived whole.
#[derive(Clone, Copy, Debug, Default)]
struct PartialHead {
    scan: Scan,
    empty_lines: usize,
    /// The first byte of the request line is there: the head's clock runs, not the idle one.
    begun: bool,
}

/// One call of [`Connection::advance`]: what it was given and what it has done.
struct Turn<'a, S> {
    now: &'a Now,
    input: &'a [u8],
    output: &'a mut S,
    consumed: usize,
    responses: u32,
}

impl<'a, S> Turn<'a, S> {
    /// The input that is not done with.
    fn rest(&self) -> &'a [u8] {
        &self.input[self.consumed..]
    }

    fn done(&self, blocked_on_output: bool, wake_at_ns: u64, close: Option<Close>) -> Advance {
        let Self { consumed, responses, .. } = *self;
        Advance { consumed, responses, blocked_on_output, wake_at_ns, close }
    }
}

/// What follows a step.
enum Step {
    /// The next step, at once.
    Again,
    /// More input.
    NeedInput,
    /// More space, or less backlog.
    NeedSpace,
}

impl Connection {
    /// A connection accepted at `now_ns`, bounded by `limits`.
    #[must_use]
    pub fn new(limits: &'static Limits, now_ns: u64) -> Self {
        Self { limits, phase: Phase::Idle, since_ns: now_ns, body: Vec::new(), draining: false }
    }

    /// Reads what it can of `input`, answers into `output`.
    ///
    /// `input` is everything received and not yet consumed; `eof` says that no more will follow
    /// it. Bytes not consumed must be offered again, with more behind them. Call it when input
    /// arrived, when space was made after `blocked_on_output`, and at `wake_at_ns`.
    ///
    /// A sink whose space reaches 512 bytes now and then suffices for every answer.
    pub fn advance(
        &mut self,
        now: &Now,
        input: &[u8],
        eof: bool,
        output: &mut impl Sink,
    ) -> Advance {
        let mut turn = Turn { now, input, output, consumed: 0, responses: 0 };
        loop {
            let step = match self.phase {
                Phase::Idle => self.read_first(&mut turn),
                Phase::Head(partial) => self.read_head(partial, &mut turn),
                Phase::Body(exchange) => self.read_body(exchange, &mut turn),
                Phase::Answer(mut exchange) => self.put_answer(&mut exchange, &mut turn),
                Phase::Ended(close) => {
                    // RFC 9112 §9.6: what follows the last request is not processed.
                    turn.consumed = input.len();
                    return turn.done(false, Advance::NEVER, Some(close));
                }
            };
            match step {
                Step::Again => {}
                Step::NeedSpace => return turn.done(true, Advance::NEVER, None),
                // RFC 9112 §8: an incomplete request is dropped without an answer.
                Step::NeedInput if eof => self.end(Close::silent(Reason::PeerClosed)),
                Step::NeedInput => {
                    let deadline_ns = self.deadline_ns();
                    if now.monotonic_ns < deadline_ns {
                        return turn.done(false, deadline_ns, None);
                    }
                    self.time_out();
                }
            }
        }
    }

    /// Asks for an early end: the response in flight is the last and says `connection: close`.
    /// Call [`advance`](Self::advance) afterwards; an idle connection closes in that call.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Takes the way of nearly every request, whose head is there whole and in order; any other
    /// is left to [`read_head`](Self::read_head).
    fn read_first<S: Sink>(&mut self, turn: &mut Turn<'_, S>) -> Step {
        loop {
            let input = turn.rest();
            match input {
                [] if self.draining => {
                    self.end(Close::silent(Reason::Drained));
                    return Step::Again;
                }
                [] => return Step::NeedInput,
                [b'\r' | b'\n', ..] => {}
                _ if self.holds_back(turn) => return Step::NeedSpace,
                _ => {
                    if let Ok(request) = head::judge_at_once(input, self.limits) {
                        if self.answer_at_once(&request, turn) {
                            continue;
                        }
                        return self.begin_exchange(&request, turn);
                    }
                }
            }
            self.phase = Phase::Head(PartialHead::default());
            return Step::Again;
        }
    }

    /// Answers a request without a body whose answer is a head, and content that goes with it, on
    /// a connection that goes on, if there is space: what nearly every request asks for.
    fn answer_at_once<S: Sink>(&mut self, request: &Request, turn: &mut Turn<'_, S>) -> bool {
        let length = match request.answer.content {
            Content::Plaintext => PLAINTEXT.len(),
            Content::Json => Message::HELLO_JSON_LEN,
            Content::Empty | Content::Allow(_) | Content::Bytes(_) | Content::Echo => return false,
        };
        let goes_on = request.persistence == Persistence::Keep && !self.draining;
        if !goes_on || request.framing != Framing::None {
            return false;
        }
        if !put_head(&request.answer, request.persistence, length, turn) {
            return false;
        }
        turn.consumed += request.head_bytes;
        turn.responses += 1;
        self.since_ns = turn.now.monotonic_ns;
        true
    }

    /// Whether requests wait: a client that does not take its answers gets no more of them.
    fn holds_back<S: Sink>(&self, turn: &Turn<'_, S>) -> bool {
        turn.output.backlog() >= self.limits.output_bytes.max(1)
    }

    fn read_head<S: Sink>(&mut self, mut partial: PartialHead, turn: &mut Turn<'_, S>) -> Step {
        // RFC 9112 §2.2: empty lines before a request line are ignored, here up to a bound.
        while !partial.begun && turn.rest().starts_with(b"\r\n") {
            turn.consumed += 2;
            partial.empty_lines += 1;
            self.phase = Phase::Head(partial);
            if partial.empty_lines > self.limits.empty_lines {
                return self.refuse(Status::BadRequest);
            }
        }
        let input = turn.rest();
        if !partial.begun && matches!(input, [] | [b'\r']) {
            if self.draining {
                self.end(Close::silent(Reason::Drained));
                return Step::Again;
            }
            return Step::NeedInput;
        }
        if self.holds_back(turn) {
            return Step::NeedSpace;
        }
        if !partial.begun {
            partial.begun = true;
            self.since_ns = turn.now.monotonic_ns;
        }
        let refusal = match partial.scan.find_end(input, self.limits) {
            Ok(Some(length)) => match head::judge(&input[..length], self.limits) {
                Ok(request) => return self.begin_exchange(&request, turn),
                Err(status) => partial.scan.first_error(input, self.limits, status),
            },
            Ok(None) => {
                self.phase = Phase::Head(partial);
                return Step::NeedInput;
            }
            Err(status) => status,
        };
        self.refuse(refusal)
    }

    fn begin_exchange<S: Sink>(&mut self, request: &Request, turn: &mut Turn<'_, S>) -> Step {
        turn.consumed += request.head_bytes;
        let mut exchange = Exchange::new(request, self.limits);
        if exchange.body.is_done() || exchange.is_answered_first() {
            return self.put_answer(&mut exchange, turn);
        }
        if exchange.answer.content == Content::Echo
            && let Framing::Length(length) = request.framing
            && let Some(step) = self.echo_at_once(exchange, length, turn)
        {
            return step;
        }
        self.since_ns = turn.now.monotonic_ns;
        self.phase = Phase::Body(exchange);
        Step::Again
    }

    /// Echoes a body that is there whole straight from the input, if the output takes it whole.
    fn echo_at_once<S: Sink>(
        &mut self,
        mut exchange: Exchange,
        length: u64,
        turn: &mut Turn<'_, S>,
    ) -> Option<Step> {
        let length = usize::try_from(length).ok()?;
        let content = turn.rest().get(..length)?;
        if turn.output.space() < HEAD_MAX.saturating_add(length) {
            return None;
        }
        exchange.body = Body::new(Framing::None, self.limits);
        if !self.put_head(&mut exchange, length, turn) {
            return None;
        }
        turn.output.put(content);
        turn.consumed += length;
        Some(self.finish(&exchange, turn))
    }

    fn read_body<S: Sink>(&mut self, mut exchange: Exchange, turn: &mut Turn<'_, S>) -> Step {
        let input = turn.rest();
        // RFC 9110 §10.1.1: 100 may be left out once content has begun to arrive.
        if exchange.continue_due && input.is_empty() {
            if turn.output.space() < CONTINUE.len() {
                return Step::NeedSpace;
            }
            turn.output.put(CONTINUE);
        }
        exchange.continue_due = false;

        let echoes = exchange.answer.content == Content::Echo;
        let store = echoes.then_some(&mut self.body);
        match exchange.body.take(input, store, self.limits) {
            Ok(consumed) => turn.consumed += consumed,
            Err(_) if exchange.answered => {
                self.end(Close::after_answer(Reason::Refused));
                return Step::Again;
            }
            Err(status) => return self.refuse(status),
        }
        if !exchange.body.is_done() {
            self.phase = Phase::Body(exchange);
            return Step::NeedInput;
        }
        self.phase = if exchange.answered {
            self.since_ns = turn.now.monotonic_ns;
            Phase::Idle
        } else {
            Phase::Answer(exchange)
        };
        Step::Again
    }

    fn put_answer<S: Sink>(&mut self, exchange: &mut Exchange, turn: &mut Turn<'_, S>) -> Step {
        let answer = exchange.answer;
        let content_length = match answer.content {
            Content::Empty | Content::Allow(_) => 0,
            Content::Plaintext => PLAINTEXT.len(),
            Content::Json => Message::HELLO_JSON_LEN,
            Content::Bytes(length) => length as usize,
            Content::Echo => self.body.len(),
        };
        if !exchange.answer_begun {
            if !self.put_head(exchange, content_length, turn) {
                self.phase = Phase::Answer(*exchange);
                return Step::NeedSpace;
            }
            if answer.head_only || response::is_content_with_head(answer.content) {
                exchange.sent = content_length;
            }
        }
        while exchange.sent < content_length {
            let space = turn.output.space();
            if space == 0 {
                self.phase = Phase::Answer(*exchange);
                return Step::NeedSpace;
            }
            let left = content_length - exchange.sent;
            exchange.sent += if answer.content == Content::Echo {
                let length = left.min(space);
                turn.output.put(&self.body[exchange.sent..][..length]);
                length
            } else {
                turn.output.put_pattern(exchange.sent, left)
            };
        }
        self.finish(exchange, turn)
    }

    /// Puts the head of the answer, if there is space for all of it.
    fn put_head<S: Sink>(
        &self,
        exchange: &mut Exchange,
        content_length: usize,
        turn: &mut Turn<'_, S>,
    ) -> bool {
        if self.draining && exchange.closing.is_none() {
            exchange.closing = Some(Reason::Drained);
        }
        let persistence = match exchange.closing {
            Some(_) => Persistence::Close,
            None => exchange.persistence,
        };
        let is_put = put_head(&exchange.answer, persistence, content_length, turn);
        exchange.answer_begun |= is_put;
        is_put
    }

    /// The answer was put whole: what comes next.
    fn finish<S: Sink>(&mut self, exchange: &Exchange, turn: &mut Turn<'_, S>) -> Step {
        turn.responses += 1;
        self.release_body();
        self.since_ns = turn.now.monotonic_ns;
        self.phase = match exchange.closing {
            Some(why) => Phase::Ended(Close::after_answer(why)),
            None if exchange.body.is_done() => Phase::Idle,
            None => Phase::Body(Exchange { answered: true, continue_due: false, ..*exchange }),
        };
        Step::Again
    }

    /// Answers with `status`, and nothing after it.
    #[cold]
    fn refuse(&mut self, status: Status) -> Step {
        self.release_body();
        self.phase = Phase::Answer(Exchange::refusal(status, Reason::Refused));
        Step::Again
    }

    fn end(&mut self, close: Close) {
        self.release_body();
        self.phase = Phase::Ended(close);
    }

    fn release_body(&mut self) {
        self.body.clear();
        if self.body.capacity() > RETAINED_BODY_BYTES {
            self.body.shrink_to(RETAINED_BODY_BYTES);
        }
    }

    /// When the client has waited for too long with what comes next.
    fn deadline_ns(&self) -> u64 {
        let wait_ns = match self.phase {
            Phase::Idle | Phase::Head(PartialHead { begun: false, .. }) => {
                nanos(self.limits.idle_timeout)
            }
            Phase::Head(_) => nanos(self.limits.head_timeout),
            Phase::Body(exchange) => self.body_wait_ns(exchange.body.taken_bytes()),
            Phase::Answer(_) | Phase::Ended(_) => return Advance::NEVER,
        };
        self.since_ns.saturating_add(wait_ns)
    }

    /// From the start of a body to the time when `taken_bytes` are too few: after the grace, once
    /// the average is below the rate.
    fn body_wait_ns(&self, taken_bytes: u64) -> u64 {
        let rate = self.limits.body_rate_bytes_per_s;
        let earned_ns = taken_bytes.saturating_mul(1_000_000_000).checked_div(rate);
        earned_ns.unwrap_or(u64::MAX).max(nanos(self.limits.body_grace))
    }

    /// RFC 9110 §15.5.9: 408 for a request that was begun; an idle connection just ends.
    #[cold]
    fn time_out(&mut self) {
        self.release_body();
        self.phase = match self.phase {
            Phase::Idle | Phase::Head(PartialHead { begun: false, .. }) => {
                Phase::Ended(Close::silent(Reason::IdleTimeout))
            }
            Phase::Head(_) => {
                Phase::Answer(Exchange::refusal(Status::RequestTimeout, Reason::HeadTimeout))
            }
            Phase::Body(Exchange { answered: true, .. }) => {
                Phase::Ended(Close::after_answer(Reason::BodyTimeout))
            }
            Phase::Body(_) => {
                Phase::Answer(Exchange::refusal(Status::RequestTimeout, Reason::BodyTimeout))
            }
            ended @ (Phase::Answer(_) | Phase::Ended(_)) => ended,
        };
    }
}

/// Puts the head of `answer`, if there is space for all of it.
fn put_head<S: Sink>(
    answer: &Answer,
    persistence: Persistence,
    content_length: usize,
    turn: &mut Turn<'_, S>,
) -> bool {
    let date = &turn.now.date;
    let lent = turn.output.lend(HEAD_MAX).and_then(<[u8]>::first_chunk_mut);
    if let Some(room) = lent {
        let head = Head::compose(room, answer, persistence, content_length, date);
        let length = head.as_bytes().len();
        turn.output.commit(length);
        return true;
    }
    let mut room = [0; HEAD_MAX];
    let head = Head::compose(&mut room, answer, persistence, content_length, date);
    let space = turn.output.space() >= head.as_bytes().len();
    if space {
        turn.output.put(head.as_bytes());
    }
    space
}

/// A time-out of more than five centuries is none.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
