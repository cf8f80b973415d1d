//! RFC 9293 §3.10.7.4, fifth: the ACK field; RFC 5681, RFC 6298 and RFC 6675 on what it tells.

use crate::congestion::Acked;
use crate::recovery::Phase;
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use crate::tcb::{Fin, Probe, State, Tcb, millis};
use crate::time::Instant;
use crate::verdict::{Dropped, Verdict};
use core::time::Duration;

/// RFC 5961 §7: challenge ACKs of one connection in one second.
///
/// The bound is each connection's own: a bound on all of them together would tell an attacker,
/// who sees it reached, that his guess about another connection was right (CVE-2016-5696).
const CHALLENGES_PER_SECOND: u8 = 10;

impl Tcb {
    /// Answers with `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`, unless too many such answers were given
    /// in this second.
    pub(crate) fn challenge(&mut self, now: Instant, verdict: &mut Verdict) {
        let now_ms = millis(now);
        if now_ms.wrapping_sub(self.liveness.challenged_ms) >= 1000 {
            self.liveness.challenged_ms = now_ms;
            self.liveness.challenges = 0;
        }
        if self.liveness.challenges < CHALLENGES_PER_SECOND {
            self.liveness.challenges += 1;
            verdict.answer = Some(self.ack_segment(now));
        }
    }

    /// The ACK field of a segment on a synchronised connection; whether the segment may be
    /// processed further.
    pub(crate) fn ack_arrives(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) -> bool {
        let una = self.snd.una;
        if !self.is_credible(segment.ack) {
            verdict.dropped = Some(Dropped::BadAck);
            self.challenge(now, verdict);
            return false;
        }
        let wnd = u32::from(segment.wnd) << self.snd.wscale;
        if segment.ack.gt(una) {
            verdict.acked = self.new_ack(now, segment);
        } else if segment.ack == una {
            self.repeated_ack(now, segment, wnd);
        }
        if una.le(segment.ack) {
            self.update_window(now, segment, wnd, segment.ack.gt(una));
        }
        true
    }

    /// RFC 5961 §5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT. Others are forged, or very late.
    pub(crate) fn is_credible(&self, ack: Seq) -> bool {
        ack.le(self.snd.max()) && ack.ge(self.snd.una - self.snd.max_wnd)
    }

    /// Whether `segment` has the numbers of one that the peer sends now, in order, out of order or
    /// again: they lie in both windows, or no further before what is expected than a window.
    ///
    /// Who has not seen the connection's segments can only guess them. So it can be asked before a
    /// segment is believed in matters that are not TCP's, such as where answers are to go.
    #[must_use]
    pub fn recognises(&self, segment: &Segment<'_>) -> bool {
        let acknowledges = segment.flags.contains(Flags::ACK)
            && self.snd.una.le(segment.ack)
            && segment.ack.le(self.snd.max());
        if self.state == State::SynSent {
            return acknowledges && segment.ack == self.snd.nxt;
        }
        let window = self.rcv.capacity + self.rcv.wnd + 1;
        acknowledges && segment.seq.in_window(self.rcv.nxt - self.rcv.capacity, window)
    }

    /// SEG.ACK is above SND.UNA. Returns how many bytes of the send buffer it acknowledges.
    pub(crate) fn new_ack(&mut self, now: Instant, segment: &Segment<'_>) -> u32 {
        let (ack, flight) = (segment.ack, self.snd.flight());
        if ack.gt(self.snd.nxt) {
            self.probe_acked();
        }
        let newly = ack.since(self.snd.una);
        self.snd.una = ack;
        let is_fin_acked = self.snd.fin == Fin::Sent && ack == self.snd.nxt;
        let bytes = newly - u32::from(is_fin_acked);
        self.round_trip(now, segment);
        self.path.acked(bytes, self.snd.mss);
        let was_quiet = self.recovery.is_quiet();
        if !was_quiet || !segment.options.sack.is_empty() {
            self.undo_if_spurious(self.echo(segment));
            self.recovery.board.advance(ack);
            self.take_sack(segment);
        }
        if self.recovery.phase != Phase::Recovery {
            let acked = Acked {
                now,
                bytes,
                smss: self.smss(),
                srtt: self.rtt.srtt(),
                after_timeout: self.recovery.phase == Phase::Loss,
                is_limited: ack.le(self.congestion.limited) || self.recovery.phase == Phase::Loss,
            };
            self.congestion.on_ack(&acked, flight);
        }
        if !self.recovery.is_quiet() {
            self.recovery_advances(now, newly);
        }
        self.restart_rtx(now);
        bytes
    }

    /// SEG.ACK, which is SND.UNA now, ends a round trip.
    #[inline(always)]
    pub(crate) fn round_trip(&mut self, now: Instant, segment: &Segment<'_>) {
        let (echo, clock) = (self.echo(segment), self.clock);
        self.rtt.acked(now, segment.ack, || {
            // A clock that is ahead of ours was never ours.
            let elapsed_ms = clock.now(now).wrapping_sub(echo?);
            (elapsed_ms < 1 << 31).then(|| Duration::from_millis(elapsed_ms.max(1).into()))
        });
    }

    /// What was sent beyond a closed window has been taken after all.
    fn probe_acked(&mut self) {
        if self.snd.probe == Probe::Fin {
            self.snd.fin = Fin::Sent;
        }
        self.snd.probe = Probe::None;
        self.snd.nxt += 1;
    }

    fn echo(&self, segment: &Segment<'_>) -> Option<u32> {
        let timestamps = segment.options.timestamps.filter(|_| self.clock.on)?;
        Some(timestamps.ecr)
    }

    /// SEG.ACK = SND.UNA: a duplicate acknowledgement, a window update, or data of the peer's.
    fn repeated_ack(&mut self, now: Instant, segment: &Segment<'_>, wnd: u32) {
        if self.snd.flight() == 0 {
            return;
        }
        let has_news = self.take_sack(segment);
        // RFC 6675 §2 counts what selectively acknowledges something new; RFC 5681 §2 what has
        // neither data nor FIN nor another window.
        let is_duplicate =
            if self.sack { has_news } else { segment.is_empty() && wnd == self.snd.wnd };
        if is_duplicate {
            self.duplicate_ack(now);
        }
    }

    /// RFC 6675 §4, Update(). Blocks at or below SND.UNA report duplicates (RFC 2883), blocks
    /// above SND.NXT or turned round are forged: none of them enters. Whether any said something
    /// new.
    fn take_sack(&mut self, segment: &Segment<'_>) -> bool {
        if !self.sack {
            return false;
        }
        let mut has_news = false;
        for block in segment.options.sack_blocks() {
            let is_between = block.start.gt(self.snd.una) && block.end.le(self.snd.nxt);
            if is_between && !block.is_empty() {
                has_news |= self.recovery.board.add(block);
            }
        }
        has_news
    }

    /// "If SND.UNA =< SEG.ACK =< SND.NXT, the send window should be updated", by newer segments
    /// only.
    ///
    /// DEVIATION: RFC 9293 takes a segment as newer by SND.WL1 and SND.WL2. What `advances`
    /// SND.UNA is newer as well, because the peer never sent that number before: the old window,
    /// counted from the new SND.UNA, would reach beyond all that it ever announced. A
    /// retransmission of the peer's is such a segment: old by its number, new by all else.
    #[inline(always)]
    pub(crate) fn update_window(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        wnd: u32,
        advances: bool,
    ) {
        let snd = &mut self.snd;
        let is_newer =
            snd.wl1.lt(segment.seq) || (snd.wl1 == segment.seq && snd.wl2.le(segment.ack));
        if !is_newer && !advances {
            return;
        }
        let has_grown = wnd > snd.wnd;
        snd.wnd = wnd;
        snd.wl1 = snd.wl1.last(segment.seq);
        snd.wl2 = segment.ack;
        snd.max_wnd = snd.max_wnd.max(wnd);
        if has_grown {
            self.stop_persisting();
        }
        // MUST-37 and SHLD-17: a peer that answers is there, and what it does not take for want of
        // room is not lost.
        let is_beyond = self.snd.flight() == 0 || self.snd.nxt.gt(self.snd.una + wnd);
        if is_beyond && self.liveness.unanswered != Instant::NEVER {
            self.liveness.unanswered = now;
        }
    }
}
