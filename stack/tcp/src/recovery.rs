//! Loss recovery: what is to be sent again (RFC 6675 with selective acknowledgements, RFC 6582
//! without, RFC 5681 §3.1 after a time-out), and how to take back a reduction that was wrong.

use crate::congestion::Congestion;
use crate::sack::{DUP_THRESH, Scoreboard};
use crate::seq::{Block, Seq};
use crate::tcb::Tcb;
use crate::time::Instant;

/// Where recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Duplicate acknowledgements have shown a loss: fast recovery.
    Recovery,
    /// The retransmission timer has: everything before `recover` is sent again, in slow start.
    Loss,
}

/// State of recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    /// Duplicate acknowledgements since SND.UNA moved.
    pub(crate) dup_acks: u8,
    /// One segment from SND.UNA on is to be sent again, whatever the window says.
    pub(crate) resend: bool,
    /// RFC 6675 §5.1, `RescueRxt`: the one rescue retransmission has been made.
    pub(crate) rescued: bool,
    /// RFC 6675, `RecoveryPoint`; RFC 6582, `recover`.
    pub(crate) recover: Seq,
    /// Everything before it has been sent again, as far as it was lost: HighRxt + 1.
    pub(crate) rtx: Seq,
    /// SND.UNA when the loss was found.
    pub(crate) una_at_loss: Seq,
    undo_cwnd: u32,
    undo_ssthresh: u32,
    /// Our clock at the first retransmission, while it may still prove to be spurious.
    undo_clock: Option<u32>,
    /// Whether the reduction may still be taken back.
    undo_armed: bool,
    pub(crate) board: Scoreboard,
}

impl Recovery {
    pub(crate) fn new(iss: Seq) -> Self {
        Self {
            phase: Phase::Open,
            dup_acks: 0,
            resend: false,
            rescued: false,
            recover: iss,
            rtx: iss,
            una_at_loss: iss,
            undo_cwnd: 0,
            undo_ssthresh: 0,
            undo_clock: None,
            undo_armed: false,
            board: Scoreboard::default(),
        }
    }

    /// Whether nothing hints at a loss: what the fast path wants to know.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase == Phase::Open && self.dup_acks == 0 && self.board.is_empty()
    }

    /// Notes the windows before they are reduced.
    pub(crate) fn remember(&mut self, congestion: &Congestion, una: Seq) {
        self.una_at_loss = una;
        self.undo_cwnd = congestion.cwnd;
        self.undo_ssthresh = congestion.ssthresh;
        self.undo_clock = None;
        self.undo_armed = true;
    }

    /// The retransmission timer has expired.
    pub(crate) fn enter_loss(&mut self, una: Seq, nxt: Seq) {
        self.enter(Phase::Loss, una, nxt);
        self.resend = false;
    }

    fn enter(&mut self, phase: Phase, una: Seq, nxt: Seq) {
        self.phase = phase;
        self.dup_acks = 0;
        self.resend = true;
        self.rescued = false;
        self.recover = nxt;
        self.rtx = una;
    }

    fn leave(&mut self) {
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.resend = false;
        self.undo_armed = false;
    }

    /// Our clock when something is sent again.
    pub(crate) fn sent_again(&mut self, clock: u32) {
        self.undo_clock.get_or_insert(clock);
    }
}

impl Tcb {
    /// A duplicate acknowledgement: RFC 5681 §3.2, RFC 6675 §5.
    pub(crate) fn duplicate_ack(&mut self, now: Instant) {
        let smss = self.smss();
        let recovery = &mut self.recovery;
        match recovery.phase {
            Phase::Open => {
                recovery.dup_acks = recovery.dup_acks.saturating_add(1);
                let is_enough = u32::from(recovery.dup_acks) >= DUP_THRESH;
                if is_enough || recovery.board.is_lost(self.snd.una, smss) {
                    self.enter_recovery(now);
                }
            }
            Phase::Recovery if !self.sack => {
                // RFC 6582 §3.2, 3: one segment has left the network. More than were outstanding
                // cannot have: beyond that they are forged (Savage 1999).
                let outstanding = recovery.recover.since(recovery.una_at_loss);
                let limit = self.congestion.ssthresh.saturating_add(outstanding);
                self.congestion.cwnd = self.congestion.cwnd.saturating_add(smss).min(limit);
            }
            Phase::Recovery | Phase::Loss => {}
        }
    }

    /// RFC 6675 §5, 4; RFC 6582 §3.2, 2.
    fn enter_recovery(&mut self, now: Instant) {
        let smss = self.smss();
        self.recovery.remember(&self.congestion, self.snd.una);
        // What limited transmit has sent is left out, as RFC 5681 §3.2, 2 wants.
        let flight = self.snd.flight().min(self.congestion.cwnd);
        self.congestion.on_loss(flight, smss);
        if !self.sack {
            self.congestion.cwnd = self.congestion.cwnd.saturating_add(DUP_THRESH * smss);
        }
        self.recovery.enter(Phase::Recovery, self.snd.una, self.snd.nxt);
        self.start_rtx(now);
    }

    /// SND.UNA has moved by `newly` while a loss is being recovered from, or hinted at.
    pub(crate) fn recovery_advances(&mut self, now: Instant, newly: u32) {
        let smss = self.smss();
        let (una, flight) = (self.snd.una, self.snd.flight());
        let recovery = &mut self.recovery;
        recovery.rtx = recovery.rtx.last(una);
        match recovery.phase {
            Phase::Open => {
                recovery.dup_acks = 0;
                if recovery.board.is_lost(una, smss) {
                    self.enter_recovery(now);
                }
            }
            _ if una.ge(recovery.recover) => {
                if recovery.phase == Phase::Recovery {
                    let deflated = self.congestion.ssthresh;
                    self.congestion.cwnd = if self.sack {
                        deflated
                    } else {
                        // RFC 6582 §3.2, 3, "Full acknowledgments", option 1.
                        deflated.min(flight.max(smss) + smss)
                    };
                }
                recovery.leave();
            }
            Phase::Recovery if self.sack => {
                // Without a block above there is no hole to be found: go on as RFC 6582 does.
                recovery.resend = recovery.board.is_empty();
            }
            Phase::Recovery => {
                // RFC 6582 §3.2, 3, "Partial acknowledgments".
                recovery.resend = true;
                let back = if newly >= smss { smss } else { 0 };
                let cwnd = self.congestion.cwnd.saturating_sub(newly) + back;
                self.congestion.cwnd = cwnd.max(smss);
            }
            Phase::Loss => {}
        }
    }

    /// The first acknowledgement of new data after a retransmission: if it echoes a clock before
    /// that, it is for the original, and nothing was lost. RFC 3522 detects, RFC 4015 §3.2
    /// responds: the windows return, and nothing more is sent again.
    pub(crate) fn undo_if_spurious(&mut self, echo: Option<u32>) {
        let recovery = &mut self.recovery;
        if !core::mem::take(&mut recovery.undo_armed) {
            return;
        }
        let (Some(sent_again), Some(echo)) = (recovery.undo_clock, echo) else { return };
        if Seq(echo).lt(Seq(sent_again)) {
            self.congestion.cwnd = self.congestion.cwnd.max(recovery.undo_cwnd);
            self.congestion.ssthresh = recovery.undo_ssthresh;
            recovery.leave();
        }
    }

    /// Bytes thought to be in the network.
    pub(crate) fn pipe(&self) -> u32 {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let Recovery { board, rtx, recover, .. } = &self.recovery;
        match self.recovery.phase {
            Phase::Recovery if self.sack => board.pipe(una, nxt, *rtx, self.smss()),
            Phase::Open | Phase::Recovery => self.snd.flight(),
            Phase::Loss => {
                let again = board.unsacked_bytes(Block { start: una, end: *rtx });
                again + board.unsacked_bytes(Block { start: *recover, end: nxt })
            }
        }
    }

    /// Whether the congestion window admits a segment that is sent again.
    fn admits_again(&self) -> bool {
        let pipe = self.pipe();
        pipe == 0 || pipe.saturating_add(self.smss()) <= self.congestion.cwnd
    }

    /// What has been lost and is to be sent again before anything new.
    pub(crate) fn next_lost(&mut self) -> Option<Block> {
        let (una, smss) = (self.snd.una, self.smss());
        let recovery = &self.recovery;
        let all = Block { start: una, end: recovery.recover };
        match recovery.phase {
            Phase::Open => None,
            Phase::Recovery if recovery.resend => {
                let block = recovery.board.first_unsacked(all);
                self.recovery.resend = false;
                block
            }
            Phase::Recovery if self.sack && self.admits_again() => {
                recovery.board.next_hole(una, recovery.rtx, smss, true)
            }
            Phase::Recovery => None,
            Phase::Loss if self.admits_again() => self.not_sent_again(),
            Phase::Loss => None,
        }
    }

    /// After a time-out: what is still to be sent again.
    pub(crate) fn not_sent_again(&self) -> Option<Block> {
        let Recovery { board, rtx, recover, phase, .. } = &self.recovery;
        if *phase != Phase::Loss {
            return None;
        }
        board.first_unsacked(Block { start: *rtx, end: *recover })
    }

    /// RFC 6675 §4, NextSeg() rules 3 and 4, when there is nothing new to send.
    pub(crate) fn next_suspect(&mut self) -> Option<Block> {
        if self.recovery.phase != Phase::Recovery || !self.sack || !self.admits_again() {
            return None;
        }
        let (una, smss) = (self.snd.una, self.smss());
        let recovery = &mut self.recovery;
        let hole = recovery.board.next_hole(una, recovery.rtx, smss, false);
        if hole.is_some() {
            return hole;
        }
        let end = recovery.recover;
        let start = recovery.board.end()?.last(recovery.rtx).last(end - smss);
        let block = Block { start, end };
        if recovery.rescued || block.is_empty() {
            return None;
        }
        recovery.rescued = true;
        Some(block)
    }
}
