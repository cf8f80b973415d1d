//! One request and its answer.

use crate::body::Body;
use crate::catalogue::{Answer, Content};
use crate::head::{Persistence, Request};
use crate::{Limits, Reason, Status};

/// A request whose head was accepted, or a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) answer: Answer,
    pub(crate) persistence: Persistence,
    pub(crate) body: Body,
    /// The client waits for 100 before it sends the body.
    pub(crate) continue_due: bool,
    /// The head of the answer was put.
    pub(crate) answer_begun: bool,
    /// The answer was put whole, before the body was taken.
    pub(crate) answered: bool,
    /// Bytes of the answer's content that were put.
    pub(crate) sent: usize,
    /// The connection ends with this answer.
    pub(crate) closing: Option<Reason>,
}

impl Exchange {
    /// The exchange that `request` opens.
    pub(crate) fn new(request: &Request, limits: &Limits) -> Self {
        let mut closing = (request.persistence == Persistence::Close).then_some(Reason::Asked);
        if request.answer.status.closes() {
            closing = Some(Reason::Refused);
        }
        Self {
            answer: request.answer,
            persistence: request.persistence,
            body: Body::new(request.framing, limits),
            continue_due: request.expects_continue,
            answer_begun: false,
            answered: false,
            sent: 0,
            closing,
        }
    }

    /// An answer that ends the connection, whatever else was going on.
    pub(crate) const fn refusal(status: Status, why: Reason) -> Self {
        Self {
            answer: Answer::empty(status),
            persistence: Persistence::Close,
            body: Body::Length { total: 0, taken: 0 },
            continue_due: false,
            answer_begun: false,
            answered: false,
            sent: 0,
            closing: Some(why),
        }
    }

    /// Whether the answer goes out before the body comes in.
    ///
    /// Where the answer ends the connection, the body does not matter. Where the client holds the
    /// body back until it hears something, it must hear the final status at once if that is known
    /// (RFC 9110 §10.1.1). Otherwise the body comes first, so that a request with a malformed body
    /// gets one answer, not two.
    pub(crate) fn is_answered_first(&self) -> bool {
        let refused = self.closing == Some(Reason::Refused);
        refused || (self.continue_due && self.answer.content != Content::Echo)
    }
}
