//! What to send, and when: RFC 9293 §3.8.6 with Nagle's algorithm and avoidance of silly windows,
//! within what congestion control allows.

use crate::options::{OptionsOut, Timestamps};
use crate::recovery::Phase;
use crate::segment::{Cause, Flags, SegmentOut};
use crate::seq::{Block, Seq};
use crate::tcb::{Fin, Probe, SendBuffer, State, Tcb};
use crate::time::Instant;

/// RFC 3042, limited transmit: segments beyond the congestion window, one for each of the first
/// two duplicate acknowledgements.
const LIMITED_TRANSMIT_MAX: u8 = 2;

impl Tcb {
    /// Whether [`poll_transmit`](Self::poll_transmit) may have something to send now: if not, it
    /// need not be asked before the next event, nor anything be made ready for a segment.
    #[must_use]
    #[inline(always)]
    pub fn has_output(&self, unacked: &impl SendBuffer) -> bool {
        let pending = &self.pending;
        match self.state {
            State::Closed => pending.rst,
            State::SynSent | State::SynReceived => pending.syn || pending.ack || pending.keep_alive,
            State::TimeWait => pending.ack || pending.keep_alive,
            _ => {
                unacked.backlog() > self.snd.flight()
                    || pending.ack
                    || pending.keep_alive
                    || self.snd.fin == Fin::Queued
                    || !self.recovery.is_quiet()
            }
        }
    }

    /// The next segment to be sent now, `None` when there is none. To be asked until then after
    /// each event: a segment, a time-out, a call of the user.
    pub fn poll_transmit(&mut self, now: Instant, unacked: &impl SendBuffer) -> Option<SegmentOut> {
        match self.state {
            State::Closed => self.poll_reset(now),
            State::SynSent | State::SynReceived => {
                self.poll_syn(now).or_else(|| self.poll_ack(now))
            }
            State::TimeWait => self.poll_ack(now),
            _ => self.poll_data(now, unacked.backlog()).or_else(|| self.poll_ack(now)),
        }
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>`
    fn poll_reset(&mut self, now: Instant) -> Option<SegmentOut> {
        core::mem::take(&mut self.pending.rst).then(|| self.reset_segment(now))
    }

    /// RFC 7323 §3.2: timestamps "should be sent in an <RST> segment", too.
    pub(crate) fn reset_segment(&self, now: Instant) -> SegmentOut {
        let (val, ecr) = (self.clock.now(now), self.clock.recent);
        let timestamps = self.clock.on.then_some(Timestamps { val, ecr });
        SegmentOut {
            seq: self.snd.nxt,
            ack: self.rcv.nxt,
            flags: Flags::RST | Flags::ACK,
            options: OptionsOut { timestamps, ..OptionsOut::default() },
            ..SegmentOut::default()
        }
    }

    fn poll_syn(&mut self, now: Instant) -> Option<SegmentOut> {
        if !core::mem::take(&mut self.pending.syn) {
            return None;
        }
        self.snd.nxt = self.snd.iss + 1;
        self.liveness.sent = now;
        if self.liveness.probes == 0 {
            self.rtt.sent(now, self.snd.nxt);
        }
        if self.timers.rtx == Instant::NEVER {
            self.start_waiting(now);
            self.start_rtx(now);
        }
        let is_answer = self.state == State::SynReceived;
        let timestamps = self.clock.on.then(|| Timestamps {
            val: self.clock.now(now),
            ecr: if is_answer { self.clock.recent } else { 0 },
        });
        if is_answer {
            self.rcv.acked = self.rcv.nxt;
        }
        Some(SegmentOut {
            seq: self.snd.iss,
            ack: self.rcv.nxt,
            flags: Flags::SYN | Flags::ACK.only_if(is_answer),
            wnd: u16::try_from(self.rcv.wnd).unwrap_or(u16::MAX),
            options: OptionsOut {
                mss: Some(self.rcv.mss),
                wscale: self.settings.scaling.then_some(self.rcv.wscale),
                sack_permitted: self.sack,
                timestamps,
                ..OptionsOut::default()
            },
            cause: if self.liveness.probes == 0 { Cause::Regular } else { Cause::SynAgain },
            ..SegmentOut::default()
        })
    }

    fn poll_ack(&mut self, now: Instant) -> Option<SegmentOut> {
        if self.pending.keep_alive {
            self.pending.keep_alive = false;
            // SHLD-12: a number that is acknowledged already provokes an answer without data.
            return Some(self.build(now, self.snd.nxt - 1, Flags::ACK, 0));
        }
        self.pending.ack.then(|| self.ack_segment(now))
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`
    pub(crate) fn ack_segment(&mut self, now: Instant) -> SegmentOut {
        self.build(now, self.snd.nxt, Flags::ACK, 0)
    }

    /// A segment with `payload_len` bytes from `seq` on. It acknowledges all that has arrived, so
    /// that no other need be sent for that.
    fn build(&mut self, now: Instant, seq: Seq, flags: Flags, payload_len: u16) -> SegmentOut {
        let options = self.options(now);
        self.build_with(options, seq, flags, payload_len)
    }

    fn build_with(
        &mut self,
        options: OptionsOut,
        seq: Seq,
        flags: Flags,
        payload_len: u16,
    ) -> SegmentOut {
        let wnd = self.acknowledging_window();
        let payload_offset = if payload_len > 0 { seq.since(self.snd.una) } else { 0 };
        SegmentOut {
            seq,
            ack: self.rcv.nxt,
            flags,
            wnd,
            options,
            payload_offset,
            payload_len,
            cause: Cause::Regular,
        }
    }

    /// The window for a segment that acknowledges all that has arrived, which is noted.
    #[inline(always)]
    pub(crate) fn acknowledging_window(&mut self) -> u16 {
        self.pending.ack = false;
        self.timers.ack = Instant::NEVER;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.dsack = None;
        self.offer()
    }

    /// The options of anything but a SYN. RFC 2018 §4: the first block is the one that the most
    /// recent segment is part of; RFC 2883 §4: before it, what arrived twice.
    fn options(&self, now: Instant) -> OptionsOut {
        let mut options = OptionsOut::default();
        if self.clock.on {
            let (val, ecr) = (self.clock.now(now), self.clock.recent);
            options.timestamps = Some(Timestamps { val, ecr });
        }
        if self.sack && !(self.rcv.held.is_empty() && self.rcv.dsack.is_none()) {
            let max = if self.clock.on { 3 } else { 4 };
            for block in self.rcv.dsack.iter().chain(self.rcv.held.as_slice()) {
                options.sack.push(*block, max);
            }
        }
        options
    }

    /// The window to announce. RFC 9293 §3.8.6.2.2, MUST-39: nothing smaller than a segment or half
    /// the buffer, else the right edge stays where it is; and SHLD-14: it never goes back.
    ///
    /// DEVIATION: the RFC moves the edge of a large window by a segment or not at all, too. We
    /// announce all the room there is, as BSD does: then the window of a connection whose input is
    /// read at once is always the same, and Linux, which predicts the window along with the rest
    /// of the header, stays on its fast path.
    ///
    /// What the peer sees is rounded down to its scale; RCV.WND is what was meant, and all of it
    /// is taken (RFC 7323 §2.4).
    #[inline]
    fn offer(&mut self) -> u16 {
        let rcv = &mut self.rcv;
        let free = rcv.free();
        if free >= (rcv.capacity / 2).min(u32::from(rcv.mss)) {
            rcv.wnd = rcv.wnd.max(free);
        }
        u16::try_from(rcv.wnd >> rcv.wscale).unwrap_or(u16::MAX)
    }

    fn poll_data(&mut self, now: Instant, backlog: u32) -> Option<SegmentOut> {
        let has_output = backlog > self.snd.flight() || self.snd.fin == Fin::Queued;
        if !has_output && self.recovery.is_quiet() {
            return None;
        }
        if let Some(block) = self.next_lost()
            && let Some(segment) = self.send_again(now, block, true)
        {
            return Some(segment);
        }
        if let Some(segment) = self.poll_new(now, backlog) {
            return Some(segment);
        }
        if let Some(block) = self.next_suspect() {
            let is_rescue = self.recovery.board.end().is_some_and(|end| block.start.ge(end));
            return self.send_again(now, block, !is_rescue);
        }
        if has_output && self.snd.flight() == 0 {
            return self.persist(now, backlog);
        }
        None
    }

    /// Sends the front of `block` again; `None` if it lies beyond the window. HighRxt moves if
    /// `advance`.
    fn send_again(&mut self, now: Instant, block: Block, advance: bool) -> Option<SegmentOut> {
        // SHLD-16: within the window. At its closed left edge one byte serves as a probe.
        let room = (self.snd.una + self.snd.wnd).since(block.start);
        let room = if block.start == self.snd.una { room.max(1) } else { room };
        let has_fin = self.snd.fin == Fin::Sent && block.end == self.snd.nxt;
        let bytes = block.len() - u32::from(has_fin);
        let len = short(bytes.min(room)).min(self.payload_max(now));
        let fin = has_fin && u32::from(len) == bytes && room > bytes;
        let end = block.start + u32::from(len) + u32::from(fin);
        if end == block.start {
            return None;
        }
        if advance {
            self.recovery.rtx = self.recovery.rtx.last(end);
        }
        self.rtt.cancel();
        self.recovery.sent_again(self.clock.now(now));
        self.liveness.sent = now;
        if self.timers.rtx == Instant::NEVER {
            self.start_waiting(now);
            self.start_rtx(now);
        }
        let is_last = end == self.snd.nxt;
        let flags = Flags::ACK | Flags::FIN.only_if(fin) | Flags::PSH.only_if(is_last && len > 0);
        let cause = match self.recovery.phase {
            Phase::Loss => Cause::AfterTimeOut,
            _ if advance => Cause::FastRecovery,
            _ => Cause::Rescue,
        };
        Some(SegmentOut { cause, ..self.build(now, block.start, flags, len) })
    }

    /// Most bytes of payload in a segment that is sent now, beside its options.
    fn payload_max(&self, now: Instant) -> u16 {
        self.snd.mss.saturating_sub(self.options(now).len())
    }

    /// Room for new data in the congestion window, in bytes.
    fn congestion_room(&self) -> u32 {
        let mut limit = self.congestion.cwnd;
        if self.recovery.phase == Phase::Open {
            let beyond = self.recovery.dup_acks.min(LIMITED_TRANSMIT_MAX);
            limit = limit.saturating_add(u32::from(beyond) * self.smss());
        }
        limit.saturating_sub(self.pipe())
    }

    /// Data that have not been sent, and the FIN behind them. All data count as pushed (MUST-60),
    /// and go in segments as large as may be (SHLD-28).
    fn poll_new(&mut self, now: Instant, backlog: u32) -> Option<SegmentOut> {
        let flight = self.snd.flight();
        let unsent = backlog.saturating_sub(flight);
        let is_queued = self.snd.fin == Fin::Queued;
        if (unsent == 0 && !is_queued) || self.not_sent_again().is_some() {
            return None;
        }
        if flight == 0 && now > self.rtt.expires(self.liveness.sent) {
            self.congestion.on_idle(self.smss());
        }
        // SHLD-15 and MUST-34: a window that has shrunk below SND.NXT leaves no room, no more.
        let room = (self.snd.una + self.snd.wnd).since(self.snd.nxt);
        let options = self.options(now);
        let payload_max = u32::from(self.snd.mss.saturating_sub(options.len()));
        let wanted = unsent.min(room).min(payload_max);
        let len = wanted.min(self.congestion_room());
        if len < wanted {
            self.congestion.limited = self.snd.nxt;
        }
        let fin = is_queued && len == unsent && room > len;
        let is_allowed = len == payload_max || self.may_send_short(len, unsent, flight, fin);
        if (len == 0 && !fin) || !is_allowed {
            return None;
        }
        // MUST-61: PSH where the buffer ends.
        let push = Flags::PSH.only_if(len == unsent && len > 0);
        let flags = Flags::ACK | push | Flags::FIN.only_if(fin);
        let is_beyond = self.recovery.dup_acks > 0 && flight + len > self.congestion.cwnd;
        let is_limited = is_beyond && self.recovery.phase == Phase::Open;
        let cause = if is_limited { Cause::LimitedTransmit } else { Cause::Regular };
        let segment = self.build_with(options, self.snd.nxt, flags, short(len));
        let segment = SegmentOut { cause, ..segment };
        self.sent_new(now, len, fin);
        if self.congestion_room() < self.smss() {
            // The window is used to the full, whether more waits or not.
            self.congestion.limited = self.snd.nxt;
        }
        Some(segment)
    }

    /// RFC 9293 §3.8.6.2.1, MUST-38, and §3.7.4, SHLD-7: whether less than a full segment may go.
    fn may_send_short(&self, len: u32, unsent: u32, flight: u32, fin: bool) -> bool {
        // Nagle: not while something is outstanding. A FIN says that nothing will follow.
        if self.settings.nagle && flight > 0 && !fin {
            return false;
        }
        len == unsent || len >= (self.snd.max_wnd / 2).max(1) || self.pending.force
    }

    /// SND.NXT moves, and the timers know.
    #[inline(always)]
    pub(crate) fn sent_new(&mut self, now: Instant, len: u32, fin: bool) {
        if self.snd.flight() == 0 {
            // The persist timer ran, if any did.
            self.timers.rtx = Instant::NEVER;
        }
        self.snd.nxt += len + u32::from(fin);
        self.snd.probe = Probe::None;
        self.pending.force = false;
        if fin {
            self.snd.fin = Fin::Sent;
        }
        self.sent(now, self.snd.nxt);
    }

    /// MUST-35 and MUST-36: output waits for the window, and nothing is outstanding that would
    /// bring an acknowledgement. SHLD-29: the first probe goes out after a time-out, SHLD-30: the
    /// next ones at doubled intervals.
    fn persist(&mut self, now: Instant, backlog: u32) -> Option<SegmentOut> {
        if self.timers.rtx == Instant::NEVER {
            self.start_waiting(now);
            self.start_persist(now);
        }
        if !core::mem::take(&mut self.pending.force) {
            return None;
        }
        let (flags, len) = if backlog > 0 {
            self.snd.probe = Probe::Byte;
            (Flags::ACK, 1)
        } else {
            self.snd.probe = Probe::Fin;
            (Flags::ACK | Flags::FIN, 0)
        };
        let cause = Cause::WindowProbe;
        Some(SegmentOut { cause, ..self.build(now, self.snd.nxt, flags, len) })
    }
}

pub(crate) fn short(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
