//! SEGMENT ARRIVES (RFC 9293 §3.10.7), state by state.

mod listen;
mod others;
mod syn_sent;
mod text;
mod time_wait;

pub use listen::{Listen, closed, listen};
pub use time_wait::{TimeWait, TimeWaitVerdict};

use crate::segment::Segment;
use crate::tcb::{State, Tcb};
use crate::time::Instant;
use crate::verdict::{Dropped, Span, Verdict};

impl Tcb {
    /// A segment of this connection arrives.
    ///
    /// Its checksum has been verified (MUST-3). The caller does what the [`Verdict`] says, in its
    /// order, and then asks [`poll_transmit`](Self::poll_transmit); after a burst of segments once
    /// for all of them (MUST-58, MUST-59).
    #[must_use = "bytes are acknowledged to the peer as if they had been taken over"]
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment<'_>) -> Verdict {
        if let Some(acked) = self.handle_predicted(now, segment) {
            let deliver = Span { from: 0, len: segment.payload_len };
            return Verdict { acked, deliver, ..Verdict::default() };
        }
        self.unpredicted_arrives(now, segment)
    }

    /// A segment of this connection arrives, and takes the long way.
    pub(crate) fn unpredicted_arrives(&mut self, now: Instant, segment: &Segment<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        match self.state {
            State::Closed => {
                verdict.answer = closed(segment);
                verdict.dropped = Some(Dropped::NoConnection);
            }
            State::SynSent => self.syn_sent_arrives(now, segment, &mut verdict),
            State::TimeWait => self.time_wait_arrives(now, segment, &mut verdict),
            _ => self.others_arrives(now, segment, &mut verdict),
        }
        verdict
    }
}
