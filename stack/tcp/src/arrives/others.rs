//! All other states (RFC 9293 §3.10.7.4), in the order of its eight checks.

use crate::options::Timestamps;
use crate::segment::{Flags, Segment};
use crate::seq::Block;
use crate::tcb::{Fin, State, Tcb};
use crate::time::Instant;
use crate::verdict::{Closed, Dropped, Verdict};
use core::time::Duration;

/// RFC 7323 §5.5: after 24 days without a segment a timestamp may have wrapped, and says nothing.
const TS_RECENT_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3600);

impl Tcb {
    pub(super) fn others_arrives(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) {
        let mut segment = *segment;
        if self.state == State::SynReceived && segment.syn() && segment.seq == self.rcv.irs {
            if !segment.has_ack() {
                // The peer's SYN again: our answer was lost. A bare ACK would not help it.
                self.pending.syn = true;
                return;
            }
            // MUST-10: in a simultaneous open the peer's SYN-ACK repeats a SYN that we know.
            segment.flags = segment.flags.without(Flags::SYN);
            segment.seq += 1;
        }
        let proceeds = self.check_sequence(now, &segment, verdict)
            && self.check_reset(now, &segment, verdict)
            && self.check_syn(now, &segment, verdict)
            && self.check_ack(now, &segment, verdict);
        if !proceeds {
            return;
        }
        // RFC 7323 §5.3, R3. Not before the fifth check, as the RFC has it: a forged segment would
        // otherwise leave a timestamp behind that all of the peer's are older than.
        self.take_timestamp(now, &segment);
        self.liveness.heard = now;
        // Sixth, check the URG bit (MUST-30, MUST-31): "RCV.UP <- max(RCV.UP,SEG.UP)".
        // MUST-62: the pointer is to the byte behind the urgent ones.
        if segment.flags.contains(Flags::URG) && self.may_receive() {
            let up = segment.seq + u32::from(segment.up);
            if up.gt(self.rcv.nxt) {
                self.rcv.up = if self.rcv.urgent { self.rcv.up.last(up) } else { up };
                self.rcv.urgent = true;
            }
        }
        // Seventh, process the segment text; eighth, check the FIN bit.
        self.text_arrives(now, &segment, verdict);
    }

    /// First, check the sequence number; before it PAWS (RFC 7323 §5.3, R1), and a SYN, which RFC
    /// 5961 §4.2 answers whatever its number is.
    fn check_sequence(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) -> bool {
        if segment.rst() || segment.syn() {
            return true;
        }
        if let Err(dropped) = self.check_timestamps(now, segment) {
            verdict.dropped = Some(dropped);
            if dropped == Dropped::Paws {
                self.answer_unacceptable(now, segment, verdict);
            }
            return false;
        }
        if self.is_acceptable(segment) {
            return true;
        }
        let behind = self.rcv.nxt.0.wrapping_sub((segment.seq + segment.len()).0);
        let repeats = !segment.is_empty() && behind <= self.rcv.capacity;
        if repeats && segment.has_ack() && self.is_credible(segment.ack) {
            // DEVIATION: RFC 7323 §5.3 takes no timestamp of an unacceptable segment. But one that
            // repeats the last window was sent again because its acknowledgement was lost: an echo
            // of the original would make the time-out look like a round trip, and the next
            // time-out longer still.
            self.take_timestamp(now, segment);
        }
        verdict.dropped = Some(Dropped::OutOfWindow);
        self.answer_unacceptable(now, segment, verdict);
        false
    }

    fn check_timestamps(&self, now: Instant, segment: &Segment<'_>) -> Result<(), Dropped> {
        if !self.clock.on {
            return Ok(());
        }
        let Some(Timestamps { val, .. }) = segment.options.timestamps else {
            // RFC 7323 §3.2: "SHOULD silently drop".
            return Err(Dropped::NoTimestamp);
        };
        let is_old = val.wrapping_sub(self.clock.recent).cast_signed() < 0;
        let is_valid = now - self.clock.recent_at < TS_RECENT_LIFETIME;
        if is_old && is_valid { Err(Dropped::Paws) } else { Ok(()) }
    }

    /// RFC 7323 §5.3, R3: "SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent".
    fn take_timestamp(&mut self, now: Instant, segment: &Segment<'_>) {
        if let Some(timestamps) = segment.options.timestamps
            && self.clock.on
            && segment.seq.le(self.rcv.acked)
        {
            self.clock.recent = timestamps.val;
            self.clock.recent_at = now;
        }
    }

    /// The four cases of RFC 9293 table 6, and what it allows beside them.
    ///
    /// DEVIATION: an empty segment at the right edge is taken, as Linux does, because a peer that
    /// has filled the window acknowledges from there; RFC 9293 asks for "special allowance" only
    /// where the window is zero. And so is a bare FIN at RCV.NXT while the window is zero, which
    /// would otherwise be sent and answered until the window opens.
    fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let (nxt, edge) = (self.rcv.nxt, self.rcv.nxt + self.rcv.wnd);
        let (start, end) = (segment.seq, segment.seq + segment.len());
        if segment.is_empty() || (segment.payload_len == 0 && start == nxt) {
            return nxt.le(start) && start.le(edge);
        }
        start.lt(edge) && end.gt(nxt)
    }

    /// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply". One
    /// with data is a retransmission whose sender needs the answer; others get a bounded number,
    /// so that two ends that disagree do not answer each other for ever.
    fn answer_unacceptable(&mut self, now: Instant, segment: &Segment<'_>, verdict: &mut Verdict) {
        if segment.is_empty() {
            self.challenge(now, verdict);
            return;
        }
        let end = segment.payload_seq() + u32::from(segment.payload_len);
        if segment.payload_len > 0 && segment.seq.lt(self.rcv.nxt) {
            // RFC 2883 §4.1: all of it has arrived before.
            self.rcv.dsack = Some(Block { start: segment.seq, end: end.first(self.rcv.nxt) });
        }
        verdict.answer = Some(self.ack_segment(now));
    }

    /// Second, check the RST bit: RFC 5961 §3.2, whatever data it carries (SHLD-2), even with a
    /// window of zero (MUST-66).
    ///
    /// DEVIATION: on the right edge itself it is challenged, though the window ends before it, as
    /// Linux does: there stands a peer that has filled the window and then resets.
    fn check_reset(&mut self, now: Instant, segment: &Segment<'_>, verdict: &mut Verdict) -> bool {
        if !segment.rst() {
            return true;
        }
        let edge = self.rcv.nxt + self.rcv.wnd;
        if segment.seq == self.rcv.nxt {
            self.enter_closed(match self.state {
                // MUST-11: "If this connection was initiated with a passive OPEN, then return this
                // connection to the LISTEN state".
                State::SynReceived if self.settings.passive => Closed::BackToListen,
                State::SynReceived => Closed::Refused,
                _ => Closed::Reset,
            });
            return false;
        }
        verdict.dropped = Some(Dropped::Reset);
        if segment.seq.gt(self.rcv.nxt) && segment.seq.le(edge) {
            self.challenge(now, verdict);
        }
        false
    }

    /// Fourth, check the SYN bit: RFC 5961 §4.2, a challenge ACK in every state.
    fn check_syn(&mut self, now: Instant, segment: &Segment<'_>, verdict: &mut Verdict) -> bool {
        if !segment.syn() {
            return true;
        }
        verdict.dropped = Some(Dropped::Syn);
        self.challenge(now, verdict);
        false
    }

    /// Fifth, check the ACK field.
    fn check_ack(&mut self, now: Instant, segment: &Segment<'_>, verdict: &mut Verdict) -> bool {
        // "If the ACK bit is off, drop the segment and return."
        if !segment.has_ack() {
            verdict.dropped = Some(Dropped::NoAck);
            return false;
        }
        if self.state == State::SynReceived {
            return self.check_handshake(now, segment, verdict);
        }
        if !self.ack_arrives(now, segment, verdict) {
            return false;
        }
        if self.is_fin_acked() {
            self.fin_acked(now);
        }
        self.state != State::Closed
    }

    /// SYN-RECEIVED: "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state".
    fn check_handshake(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) -> bool {
        if segment.ack.le(self.snd.una) || segment.ack.gt(self.snd.nxt) {
            verdict.answer = segment.reset();
            verdict.dropped = Some(Dropped::BadAck);
            return false;
        }
        self.handshake_acked(now, segment);
        let wnd = u32::from(segment.wnd) << self.snd.wscale;
        self.snd.wnd = wnd;
        self.snd.max_wnd = wnd;
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = segment.ack;
        verdict.opened = true;
        true
    }

    /// Our SYN is acknowledged: ESTABLISHED, or what follows if the application has closed.
    pub(super) fn handshake_acked(&mut self, now: Instant, segment: &Segment<'_>) {
        let was_repeated = self.liveness.probes > 0;
        self.snd.una = segment.ack;
        self.snd.nxt = segment.ack;
        self.pending.syn = false;
        self.rtt.acked(now, segment.ack, || None);
        self.restart_rtx(now);
        if was_repeated {
            // RFC 6298 §5.7.
            self.rtt.syn_was_lost();
        }
        let is_closing = self.snd.fin == Fin::Queued;
        self.state = if is_closing { State::FinWait1 } else { State::Established };
        self.start_keep_alive(now);
    }

    /// Our FIN is acknowledged.
    fn fin_acked(&mut self, now: Instant) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.settings.deaf {
                    self.timers.state = self.settings.fin_wait2_timeout.after(now);
                }
            }
            State::Closing => self.enter_time_wait(now),
            State::LastAck => self.enter_closed(Closed::Finished),
            _ => {}
        }
    }
}
