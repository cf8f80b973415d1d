//! CLOSED and LISTEN (RFC 9293 §3.10.7.1 and §3.10.7.2): states without a connection.

use crate::segment::{Segment, SegmentOut};

/// CLOSED: "all data in the incoming segment is discarded", and a reset answers all but a reset.
#[must_use]
pub fn closed(segment: &Segment<'_>) -> Option<SegmentOut> {
    segment.reset()
}

/// What a segment to a listener calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nothing.
    Ignore,
    /// A reset.
    Answer(SegmentOut),
    /// It is a SYN that may open a connection: [`HalfOpen`](crate::HalfOpen),
    /// [`Tcb::accept`](crate::Tcb::accept), or a [`cookie`](crate::cookie).
    Open,
}

/// LISTEN: a segment arrives that belongs to no connection and completes no half-open one.
///
/// The caller has sorted out what came to or from a broadcast or multicast address (MUST-57,
/// MUST-63).
#[must_use]
pub fn listen(segment: &Segment<'_>) -> Listen {
    // First, check for a RST: "An incoming RST segment could not be valid [...] and be ignored."
    if segment.rst() {
        return Listen::Ignore;
    }
    // Second, check for an ACK: "Any acknowledgment is bad if it arrives on a connection still in
    // the LISTEN state."
    if segment.has_ack() {
        return segment.reset().map_or(Listen::Ignore, Listen::Answer);
    }
    // Third, check for a SYN. One with a FIN is a probe: it opens nothing (CVE-2012-6638).
    if segment.syn() && !segment.fin() {
        return Listen::Open;
    }
    // Fourth, other data or control: "drop the segment and return."
    Listen::Ignore
}
