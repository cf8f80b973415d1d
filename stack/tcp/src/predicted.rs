//! Header prediction (V. Jacobson, "Congestion Avoidance and Control", 1988; Linux's
//! `tcp_rcv_established`): the segment that is expected, and the answer that goes out in one piece.
//!
//! Both are shortcuts, never another opinion: what they leave behind is, bit for bit, what the
//! checks of RFC 9293 §3.10.7.4 and [`Tcb::poll_transmit`] leave behind. The tests compare them.

use crate::congestion::Acked;
use crate::options::Timestamps;
use crate::segment::{Flags, HEADER_MIN, Segment};
use crate::seq::Seq;
use crate::tcb::{Fin, Probe, State, Tcb};
use crate::time::Instant;
use crate::transmit::short;

/// A segment to be sent that carries all that waits: ACK and PSH, and no options but timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainOut {
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgement number.
    pub ack: Seq,
    /// The window as it goes into the header, already scaled.
    pub wnd: u16,
    /// Timestamps, where they are in use.
    pub timestamps: Option<Timestamps>,
    /// Where the payload begins in the send buffer, and that it goes to its end.
    pub payload_offset: u32,
    /// Bytes of payload.
    pub payload_len: u16,
}

impl PlainOut {
    /// The control bits.
    pub const FLAGS: Flags = Flags::ACK.with(Flags::PSH);

    /// Length of the header with its options, in bytes.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        if self.timestamps.is_some() { Timestamps::PADDED_LEN + HEADER_MIN } else { HEADER_MIN }
    }

    /// Writes the header to the front of `buffer`, and returns the sum of its words, which is what
    /// a checksum is made of: they are at hand here, and need not be read again. The sum is not
    /// folded. The checksum is left zero, as [`SegmentOut::emit`](crate::SegmentOut::emit) leaves
    /// it.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`header_len`](Self::header_len).
    #[inline(always)]
    pub fn emit(&self, source_port: u16, destination_port: u16, buffer: &mut [u8]) -> u64 {
        let (header, options) =
            buffer.split_first_chunk_mut::<HEADER_MIN>().expect("room for the header");
        let ports = u32::from(source_port) << 16 | u32::from(destination_port);
        // Data offset in words of four bytes, reserved bits, control bits.
        let offset = if self.timestamps.is_some() { 8 } else { 5 };
        let control = offset << 12 | u32::from(Self::FLAGS.to_bits());
        let words = [ports, self.seq.0, self.ack.0, control << 16 | u32::from(self.wnd), 0];
        for (place, word) in header.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_be_bytes();
        }
        let mut sum = words.map(u64::from).iter().sum();
        if let Some(timestamps) = self.timestamps {
            let padded = options.first_chunk_mut().expect("room for the options");
            *padded = timestamps.to_padded();
            sum += timestamps.sum();
        }
        sum
    }
}

impl Tcb {
    /// Header prediction: takes `segment` if it is the one that was expected, and returns how many
    /// bytes of the send buffer it acknowledges. Its payload is in order, all of it.
    ///
    /// `None` for any other, and then nothing has changed: it is for
    /// [`handle_segment`](Self::handle_segment), which would have done the same for the expected.
    #[inline(always)]
    pub fn handle_predicted(&mut self, now: Instant, segment: &Segment<'_>) -> Option<u32> {
        self.is_predicted(segment).then(|| self.predicted_arrives(now, segment))
    }

    /// Whether `segment` is the one that was expected, on a connection where nothing is lost,
    /// nothing waits for a hole and no window is probed. Then every check of §3.10.7.4 is known to
    /// pass, and what is left is to count bytes.
    #[inline(always)]
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
            && self.snd.probe == Probe::None
            && self.recovery.is_quiet()
            && self.rcv.held.is_empty()
            && self.rcv.fin.is_none()
            && !self.settings.deaf
            && segment.options.sack.is_empty()
    }

    #[inline(always)]
    fn predicted_arrives(&mut self, now: Instant, segment: &Segment<'_>) -> u32 {
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
        let newly = segment.ack.since(self.snd.una);
        if newly > 0 {
            self.predicted_ack(now, segment, newly);
        }
        let wnd = u32::from(segment.wnd) << self.snd.wscale;
        self.update_window(now, segment, wnd, newly > 0);
        if segment.payload_len > 0 {
            self.text_in_order(now, segment.payload_len);
        }
        newly
    }

    /// What is left of `new_ack` while nothing hints at a loss.
    #[inline(always)]
    fn predicted_ack(&mut self, now: Instant, segment: &Segment<'_>, newly: u32) {
        let flight = self.snd.flight();
        self.snd.una = segment.ack;
        self.round_trip(now, segment);
        self.path.acked(newly, self.snd.mss);
        let acked = Acked {
            now,
            bytes: newly,
            smss: self.smss(),
            srtt: self.rtt.srtt(),
            after_timeout: false,
            is_limited: segment.ack.le(self.congestion.limited),
        };
        self.congestion.on_ack(&acked, flight);
        self.restart_rtx(now);
    }

    /// What [`poll_transmit`](Self::poll_transmit) says in the usual case: all that waits of the
    /// `backlog` bytes in the send buffer goes into one segment, now, and nothing comes behind it.
    ///
    /// `None` in any other case, and then nothing has changed.
    #[inline(always)]
    pub fn poll_predicted(&mut self, now: Instant, backlog: u32) -> Option<PlainOut> {
        let (flight, smss) = (self.snd.flight(), self.smss());
        let unsent = backlog.saturating_sub(flight);
        // The windows, and what is the most in a segment.
        let room = (self.snd.una + self.snd.wnd).since(self.snd.nxt);
        let window = self.congestion.cwnd.saturating_sub(flight);
        let fits = unsent.wrapping_sub(1) < room.min(window).min(smss);
        if !fits || !self.is_answer_predicted(now, flight) {
            return None;
        }
        let seq = self.snd.nxt;
        let (val, ecr) = (self.clock.now(now), self.clock.recent);
        let timestamps = self.clock.on.then_some(Timestamps { val, ecr });
        let wnd = self.acknowledging_window();
        self.sent_new(now, unsent, false);
        if window - unsent < smss {
            // The window is used to the full, whether more waits or not.
            self.congestion.limited = self.snd.nxt;
        }
        let (ack, payload_offset) = (self.rcv.nxt, flight);
        let payload_len = short(unsent);
        Some(PlainOut { seq, ack, wnd, timestamps, payload_offset, payload_len })
    }

    /// Whether nothing but data in order is to be said, and nothing holds them back but windows.
    #[inline(always)]
    fn is_answer_predicted(&self, now: Instant, flight: u32) -> bool {
        let may_go = if flight == 0 {
            // RFC 5681 §4.1: after idleness the congestion window begins anew.
            now <= self.rtt.expires(self.liveness.sent)
        } else {
            !self.settings.nagle
        };
        self.state == State::Established
            && self.snd.fin == Fin::None
            && self.snd.probe == Probe::None
            && !self.pending.keep_alive
            && self.rcv.held.is_empty()
            && self.rcv.dsack.is_none()
            && self.recovery.is_quiet()
            && may_go
    }
}

#[cfg(test)]
mod tests;
