//! Delivers bytes to a connection in pieces, takes its output in pieces, and says what came of it.

mod client;
mod plan;

pub(crate) use plan::{Cuts, Ending, Plan, Taking};

use crate::allocations;
use crate::engine::{Failure, Random};
use bytes::Bytes;
use client::Client;
use server_http::{Advance, Close, Connection, Date, Limits, Now, Sink};

/// The `date` of every answer: the example of RFC 9110 §5.6.7.
pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// An input whose answers are longer is not judged: `/bytes/N` has no upper end worth the time.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A connection may hold so much beside the body of a request: what it keeps between requests.
const HELD_BYTES_MIN: usize = 1024;

/// No request is shorter.
const REQUEST_BYTES_MIN: usize = "A / HTTP/1.0\r\n\r\n".len();

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// All that was answered.
    pub(crate) output: Bytes,
    /// The final responses that the connection counted.
    pub(crate) responses: u32,
    /// How it ended, if it did.
    pub(crate) close: Option<Close>,
    /// Bytes done with; where it ended, that is no longer told.
    pub(crate) consumed: Option<usize>,
    /// When it wants to be woken.
    pub(crate) wake_at_ns: u64,
    /// Bytes that had been offered when the first response was complete.
    pub(crate) first_answer_at: Option<usize>,
    /// The answers were too long to go on.
    pub(crate) is_cut_short: bool,
}

/// Delivers `input` to a new connection.
///
/// # Errors
/// Where an oracle that holds for every call does not.
pub(crate) fn deliver(
    input: &[u8],
    limits: &'static Limits,
    plan: Plan,
) -> Result<Outcome, Failure> {
    let mut delivery = Delivery::new(input, limits, plan);
    delivery.offer_all(plan)?;
    delivery.end(plan.ending)?;
    Ok(delivery.outcome())
}

struct Delivery<'a> {
    input: &'a [u8],
    limits: &'static Limits,
    connection: Connection,
    client: Client,
    now: Now,
    consumed: usize,
    responses: u32,
    last: Option<Advance>,
    /// Bytes that the connection has allocated and not given back.
    held_bytes: usize,
    first_answer_at: Option<usize>,
}

impl<'a> Delivery<'a> {
    fn new(input: &'a [u8], limits: &'static Limits, plan: Plan) -> Self {
        Self {
            input,
            limits,
            connection: Connection::new(limits, 0),
            client: Client::new(plan.taking),
            now: Now { monotonic_ns: 0, date: Date::from_unix_seconds(784_111_777) },
            consumed: 0,
            responses: 0,
            last: None,
            held_bytes: 0,
            first_answer_at: None,
        }
    }

    fn offer_all(&mut self, plan: Plan) -> Result<(), Failure> {
        let mut cuts = plan.cuts.over(self.input.len());
        let mut random = Random::new(self.input.len() as u64);
        let mut end = 0;
        loop {
            end = cuts.next_end(end);
            let is_last = end == self.input.len();
            self.offer(end, is_last && plan.ending == Ending::EofWithLast)?;
            if is_last || self.is_over() {
                return Ok(());
            }
            // A caller may call for no reason: nothing may come of it.
            if plan.cuts.are_random() && random.one_in(8) {
                self.offer(end, false)?;
            }
        }
    }

    /// Offers what is not consumed of the input up to `end`, until more is needed, or nothing.
    fn offer(&mut self, end: usize, eof: bool) -> Result<(), Failure> {
        while !self.is_over() {
            let advance = self.advance(end, eof)?;
            self.client.take_now();
            if !advance.blocked_on_output || advance.close.is_some() {
                return Ok(());
            }
            if !self.client.make_room() {
                let what = "it waits for space in a sink that has nothing but space";
                return Err(Failure::new("progress", what));
            }
        }
        Ok(())
    }

    /// One call, and what holds for every call.
    fn advance(&mut self, end: usize, eof: bool) -> Result<Advance, Failure> {
        let offered = &self.input[self.consumed..end];
        let is_held_back = self.client.sink().backlog() >= self.limits.output_bytes;
        let (connection, now, client) = (&mut self.connection, &self.now, &mut self.client);
        let (advance, peak_bytes) = allocations::measure(&mut self.held_bytes, || {
            connection.advance(now, offered, eof, client.sink())
        });
        if advance.consumed > offered.len() {
            let what = format!("{} of {} bytes consumed", advance.consumed, offered.len());
            return Err(Failure::new("over_read", what));
        }
        self.consumed += advance.consumed;
        self.responses += advance.responses;
        if self.responses > 0 && self.first_answer_at.is_none() {
            self.first_answer_at = Some(end);
        }
        // Where answers are too long to be judged, there are at least not more than requests; the
        // last may be to one that is not consumed.
        if self.responses as usize > 1 + self.consumed / REQUEST_BYTES_MIN {
            let what = format!("{} to {} bytes of input", self.responses, self.consumed);
            return Err(Failure::new("response_count", what));
        }
        // What was begun is finished; no further request is read, but too many empty lines are
        // refused all the same, which is the end.
        if is_held_back && advance.responses > 1 + u32::from(advance.close.is_some()) {
            let what = format!("{} answers in spite of the backlog", advance.responses);
            return Err(Failure::new("back_pressure", what));
        }
        self.last = Some(advance);
        self.check_memory(peak_bytes)?;
        Ok(advance)
    }

    /// A connection holds no more than the body it was sent and may keep, twice over because
    /// vectors double; and nearly nothing once it is over.
    fn check_memory(&self, peak_bytes: usize) -> Result<(), Failure> {
        let body_bytes = self.consumed.min(self.limits.body_bytes);
        let bound = HELD_BYTES_MIN + 2 * body_bytes;
        if peak_bytes > bound {
            let what = format!("{peak_bytes} bytes held after {} of input", self.consumed);
            return Err(Failure::new("memory", what));
        }
        if self.close().is_some() && self.held_bytes > HELD_BYTES_MIN {
            let what = format!("{} bytes held after the end", self.held_bytes);
            return Err(Failure::new("memory", what));
        }
        Ok(())
    }

    fn end(&mut self, ending: Ending) -> Result<(), Failure> {
        let end = self.input.len();
        match ending {
            Ending::Open | Ending::EofWithLast => return self.must_be_over(ending),
            _ if self.is_over() => return Ok(()),
            Ending::Eof => self.offer(end, true)?,
            Ending::TimeOut => {
                self.now.monotonic_ns = self.last.map_or(0, |advance| advance.wake_at_ns);
                self.offer(end, false)?;
            }
            Ending::Drain => {
                self.connection.drain();
                self.offer(end, false)?;
            }
        }
        self.must_be_over(ending)
    }

    /// The end of the input and a time that has come end a connection. Draining may wait.
    fn must_be_over(&self, ending: Ending) -> Result<(), Failure> {
        match ending {
            Ending::Open | Ending::Drain => Ok(()),
            _ if self.is_over() => Ok(()),
            Ending::Eof | Ending::EofWithLast | Ending::TimeOut => {
                Err(Failure::new("not_over", format!("{ending:?} does not end the connection")))
            }
        }
    }

    fn close(&self) -> Option<Close> {
        self.last.and_then(|advance| advance.close)
    }

    fn is_over(&self) -> bool {
        self.close().is_some() || self.client.is_cut_short()
    }

    fn outcome(self) -> Outcome {
        let close = self.close();
        Outcome {
            responses: self.responses,
            close,
            consumed: close.is_none().then_some(self.consumed),
            wake_at_ns: self.last.map_or(Advance::NEVER, |advance| advance.wake_at_ns),
            first_answer_at: self.first_answer_at,
            is_cut_short: self.client.is_cut_short(),
            output: self.client.into_output().into(),
        }
    }
}
