//! SEGMENT ARRIVES (RFC 9293 §3.10.7), state by state, and before it the path that most segments
//! take.

mod listen;
mod others;
mod syn_sent;
mod text;
mod time_wait;

pub use listen::{Listen, closed, listen};
pub use time_wait::{TimeWait, TimeWaitVerdict};

use crate::segment::{Flags, Segment};
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
        let mut verdict = Verdict::default();
        if self.is_predicted(segment) {
            self.predicted_arrives(now, segment, &mut verdict);
            return verdict;
        }
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

    /// Header prediction: whether `segment` is the one that was expected, on a connection where
    /// nothing is lost and nothing waits for a hole. Then every check of §3.10.7.4 is known to
    /// pass, and what is left is to count bytes.
    fn is_predicted(&self, segment: &Segment<'_>) -> bool {
        let in_order = self.state == State::Established
            && segment.flags.without(Flags::PSH) == Flags::ACK
            && segment.seq == self.rcv.nxt
            && u32::from(segment.payload_len) <= self.rcv.wnd;
        // What acknowledges nothing and brings nothing may be a duplicate acknowledgement.
        let acknowledges = segment.ack.in_window(self.snd.una, self.snd.flight() + 1)
            && (segment.payload_len > 0 || segment.ack != self.snd.una);
        let is_fresh = match segment.options.timestamps {
            // PAWS, without the exception for connections that were idle for long.
            Some(timestamps) if self.clock.on => {
                timestamps.val.wrapping_sub(self.clock.recent).cast_signed() >= 0
            }
            None if self.clock.on => false,
            _ => true,
        };
        in_order
            && acknowledges
            && is_fresh
            && self.recovery.is_quiet()
            && self.rcv.held.is_empty()
            && self.rcv.fin.is_none()
            && !self.settings.deaf
            && segment.options.sack.is_empty()
    }

    fn predicted_arrives(&mut self, now: Instant, segment: &Segment<'_>, verdict: &mut Verdict) {
        self.liveness.heard = now;
        // RFC 7323 §4.3: SEG.SEQ is RCV.NXT, and so not above Last.ACK.sent only if all that has
        // arrived is acknowledged.
        if let Some(timestamps) = segment.options.timestamps
            && self.clock.on
            && segment.seq.le(self.rcv.acked)
        {
            self.clock.recent = timestamps.val;
            self.clock.recent_at = now;
        }
        let accepted = self.ack_arrives(now, segment, verdict);
        debug_assert!(accepted, "SEG.ACK lies between SND.UNA and SND.NXT");
        if segment.payload_len > 0 {
            verdict.deliver = Span { from: 0, len: segment.payload_len };
            self.text_in_order(now, segment.payload_len);
        }
    }
}
