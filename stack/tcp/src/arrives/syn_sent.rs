//! SYN-SENT (RFC 9293 §3.10.7.3).

use crate::config::{HEADERS_LEN, MSS_DEFAULT, MSS_MIN};
use crate::segment::Segment;
use crate::tcb::{State, Tcb};
use crate::time::Instant;
use crate::verdict::{Closed, Dropped, Verdict};

impl Tcb {
    pub(super) fn syn_sent_arrives(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) {
        let acks_syn = segment.ack.gt(self.snd.iss) && segment.ack.le(self.snd.nxt);
        // First, check the ACK bit: "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset".
        if segment.has_ack() && !acks_syn {
            verdict.answer = segment.reset();
            verdict.dropped = Some(Dropped::BadAck);
            return;
        }
        // Second, check the RST bit. RFC 5961 §3: only one that acknowledges our SYN is believed.
        if segment.rst() {
            if segment.has_ack() {
                self.enter_closed(Closed::Refused);
            } else {
                verdict.dropped = Some(Dropped::Reset);
            }
            return;
        }
        // Third, check the security: there is none. Fourth, check the SYN bit. Fifth, "if neither
        // of the SYN or RST bits is set, then drop the segment and return."
        if !segment.syn() || segment.fin() {
            verdict.dropped = Some(Dropped::Syn);
            return;
        }
        self.take_syn(now, segment);
        if segment.payload_len > 0 {
            // It may be queued; unacknowledged, it will be sent again.
            verdict.dropped = Some(Dropped::Unwanted);
        }
        if segment.has_ack() {
            self.handshake_acked(now, segment);
            verdict.opened = true;
            self.pending.ack = true;
        } else {
            // MUST-10, simultaneous open: "enter SYN-RECEIVED, form a SYN,ACK segment".
            self.state = State::SynReceived;
            self.pending.syn = true;
        }
    }

    /// The peer's SYN: its number, its window, and what both sides agree upon.
    fn take_syn(&mut self, now: Instant, segment: &Segment<'_>) {
        let options = &segment.options;
        self.rcv.irs = segment.seq;
        self.rcv.nxt = segment.seq + 1;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.up = self.rcv.nxt;
        // RFC 7323 §2.2: scaled only if both SYNs say so, and never in a SYN.
        self.settings.scaling &= options.wscale.is_some();
        if self.settings.scaling {
            self.snd.wscale = options.wscale.unwrap_or(0);
        } else {
            self.rcv.wscale = 0;
        }
        self.snd.wnd = u32::from(segment.wnd);
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = if segment.has_ack() { segment.ack } else { self.snd.iss };
        self.sack &= options.sack_permitted;
        self.clock.on &= options.timestamps.is_some();
        if let Some(timestamps) = options.timestamps {
            self.clock.recent = timestamps.val;
            self.clock.recent_at = now;
        }
        let path_mss = self.rcv.mss.min(u16::MAX - HEADERS_LEN);
        self.snd.mss = options.mss.unwrap_or(MSS_DEFAULT).max(MSS_MIN).min(path_mss);
        self.congestion.restart(self.smss());
    }
}
