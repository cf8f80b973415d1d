//! TIME-WAIT (RFC 9293 §3.10.7.4; RFC 1337; RFC 6191): all that is needed of a connection then.

use crate::options::{OptionsOut, Timestamps};
use crate::segment::{Flags, Segment, SegmentOut};
use crate::seq::Seq;
use crate::tcb::{Clock, State, Tcb};
use crate::time::Instant;
use crate::verdict::{Dropped, Verdict};

/// What is left of a connection in TIME-WAIT, small enough to keep many.
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    /// SND.NXT: behind our FIN.
    pub snd_nxt: Seq,
    /// RCV.NXT: behind the peer's FIN.
    pub rcv_nxt: Seq,
    wnd: u16,
    clock_on: bool,
    clock_offset: u32,
    ts_recent: u32,
}

/// What a segment calls for in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitVerdict {
    /// Nothing.
    Ignore,
    /// An acknowledgement.
    Answer(SegmentOut),
    /// An acknowledgement, and two maximum segment lifetimes from now on.
    Restart(SegmentOut),
    /// It opens a new connection; this one is forgotten. The new initial sequence number must lie
    /// behind [`TimeWait::snd_nxt`], which the clock of [`isn`](crate::isn) sees to.
    Reopen,
}

impl TimeWait {
    /// Of a connection that another state machine has led here: without timestamps, and with a
    /// window of zero, since nothing can follow the peer's FIN.
    #[must_use]
    pub const fn without_timestamps(snd_nxt: Seq, rcv_nxt: Seq) -> Self {
        Self { snd_nxt, rcv_nxt, wnd: 0, clock_on: false, clock_offset: 0, ts_recent: 0 }
    }

    /// What a segment calls for.
    #[must_use]
    pub fn segment_arrives(&self, now: Instant, segment: &Segment<'_>) -> TimeWaitVerdict {
        // RFC 1337 §3, (F1): a reset does not end TIME-WAIT early.
        if segment.rst() {
            return TimeWaitVerdict::Ignore;
        }
        if segment.syn() && !segment.has_ack() && !segment.fin() && self.is_newer(segment) {
            return TimeWaitVerdict::Reopen;
        }
        // Fifth, check the ACK field: "If the ACK bit is off, drop the segment and return."
        if !segment.has_ack() && !segment.syn() {
            return TimeWaitVerdict::Ignore;
        }
        if segment.fin() && !segment.syn() {
            // "The only thing that can arrive in this state is a retransmission of the remote FIN.
            // Acknowledge it, and restart the 2 MSL timeout."
            return TimeWaitVerdict::Restart(self.answer(now));
        }
        // First, check the sequence number. DEVIATION: RFC 9293 answers every segment that is out
        // of place. We answer an empty one only if it acknowledges all that was sent: otherwise
        // two ends in TIME-WAIT that disagree would never be silent.
        if segment.is_empty() && (segment.seq == self.rcv_nxt || segment.ack != self.snd_nxt) {
            return TimeWaitVerdict::Ignore;
        }
        TimeWaitVerdict::Answer(self.answer(now))
    }

    /// SHLD-4, RFC 6191 §2: by its timestamp if both incarnations have one, else by its number,
    /// a SYN is newer than all that the old connection has seen.
    fn is_newer(&self, syn: &Segment<'_>) -> bool {
        let is_above = syn.seq.ge(self.rcv_nxt);
        match syn.options.timestamps {
            Some(Timestamps { val, .. }) if self.clock_on => {
                let ahead = val.wrapping_sub(self.ts_recent).cast_signed();
                ahead > 0 || (ahead == 0 && is_above)
            }
            _ => is_above,
        }
    }

    fn answer(&self, now: Instant) -> SegmentOut {
        let clock = Clock {
            on: self.clock_on,
            offset: self.clock_offset,
            recent: self.ts_recent,
            recent_at: now,
        };
        let timestamps = clock.on.then(|| Timestamps { val: clock.now(now), ecr: self.ts_recent });
        SegmentOut {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            wnd: self.wnd,
            options: OptionsOut { timestamps, ..OptionsOut::default() },
            ..SegmentOut::default()
        }
    }
}

impl Tcb {
    /// What is to be kept of a connection in TIME-WAIT, `None` in other states. An acknowledgement
    /// that `poll_transmit` still has to send must be sent first.
    #[must_use]
    pub fn time_wait(&self) -> Option<TimeWait> {
        (self.state == State::TimeWait).then(|| TimeWait {
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            wnd: u16::try_from(self.rcv.wnd >> self.rcv.wscale).unwrap_or(u16::MAX),
            clock_on: self.clock.on,
            clock_offset: self.clock.offset,
            ts_recent: self.clock.recent,
        })
    }

    pub(super) fn time_wait_arrives(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        verdict: &mut Verdict,
    ) {
        let Some(entry) = self.time_wait() else { return };
        match entry.segment_arrives(now, segment) {
            TimeWaitVerdict::Ignore => verdict.dropped = Some(Dropped::NoConnection),
            TimeWaitVerdict::Answer(_) => {
                verdict.dropped = Some(Dropped::NoConnection);
                self.challenge(now, verdict);
            }
            TimeWaitVerdict::Restart(answer) => {
                verdict.answer = Some(answer);
                self.enter_time_wait(now);
            }
            TimeWaitVerdict::Reopen => verdict.reopen = true,
        }
    }
}
