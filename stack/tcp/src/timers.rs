//! Timers: retransmission (RFC 6298 §5), persist, delayed acknowledgement, keep-alive, and those of
//! FIN-WAIT-2 and TIME-WAIT.

use crate::recovery::Phase;
use crate::seq::Seq;
use crate::tcb::{Fin, Probe, State, Tcb};
use crate::time::Instant;
use crate::verdict::Closed;
use core::time::Duration;

/// A duration in milliseconds, in four bytes; the largest stands for "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(u32);

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX))
    }
}

impl Millis {
    /// The moment so long behind `instant`. In nanoseconds throughout: a `Duration` would divide
    /// by 10^9 to be made, and multiply to be used.
    pub(crate) const fn after(self, instant: Instant) -> Instant {
        if self.0 == u32::MAX {
            return Instant::NEVER;
        }
        let nanos = self.0 as u64 * 1_000_000;
        Instant::from_nanos(instant.as_nanos().saturating_add(nanos))
    }
}

/// When each timer expires; [`Instant::NEVER`] if it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// Retransmission, or persist while nothing is outstanding.
    pub(crate) rtx: Instant,
    /// Delayed acknowledgement.
    pub(crate) ack: Instant,
    /// The state's own: keep-alive, FIN-WAIT-2, TIME-WAIT.
    pub(crate) state: Instant,
}

impl Default for Timers {
    fn default() -> Self {
        Self { rtx: Instant::NEVER, ack: Instant::NEVER, state: Instant::NEVER }
    }
}

/// Since when things are as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// The last acceptable segment arrived.
    pub(crate) heard: Instant,
    /// The last segment with data was sent.
    pub(crate) sent: Instant,
    /// Something is outstanding that nothing has answered since; NEVER if nothing is.
    pub(crate) unanswered: Instant,
    /// Output waits, and nothing of it has been acknowledged since; NEVER if none does.
    pub(crate) stalled: Instant,
    /// Keep-alive probes, or SYNs sent again, that nothing has answered.
    pub(crate) probes: u8,
    /// Challenge ACKs sent in the second that began at `challenged_ms`.
    pub(crate) challenges: u8,
    pub(crate) challenged_ms: u32,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            sent: now,
            unanswered: Instant::NEVER,
            stalled: Instant::NEVER,
            probes: 0,
            challenges: 0,
            challenged_ms: 0,
        }
    }
}

impl Tcb {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do. Whatever an event calls
    /// for at once comes out of `poll_transmit`, which is asked after each event.
    #[must_use]
    #[inline(always)]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = self.timers.rtx.min(self.timers.ack).min(self.timers.state);
        (at != Instant::NEVER).then_some(at)
    }

    /// Lets the timers take effect that have expired by `now`; `poll_transmit` is to be asked
    /// afterwards. Returns whether that of retransmission has, and a SYN, data or a FIN are to be
    /// sent again.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let mut sends_again = false;
        if self.timers.ack <= now {
            self.timers.ack = Instant::NEVER;
            self.pending.ack = true;
        }
        if self.timers.rtx <= now {
            self.timers.rtx = Instant::NEVER;
            sends_again = self.retransmission_expired(now);
        }
        if self.timers.state <= now {
            self.timers.state = Instant::NEVER;
            self.state_expired(now);
        }
        sends_again
    }

    /// RFC 6298 §5.1 and §5.6: starts the timer, not beyond the moment of giving up.
    #[inline]
    pub(crate) fn start_rtx(&mut self, now: Instant) {
        self.timers.rtx = self.rtt.expires(now).min(self.given_up_at());
    }

    /// The same while the window is closed. The moment of giving up is not known yet: each answer
    /// to a probe puts it off. Only a write time-out cannot be put off.
    pub(crate) fn start_persist(&mut self, now: Instant) {
        let stalled = self.settings.write_timeout.after(self.liveness.stalled);
        self.timers.rtx = self.rtt.expires(now).min(stalled);
    }

    #[inline]
    fn given_up_at(&self) -> Instant {
        let r2 = match self.state {
            State::SynSent => self.settings.syn_timeout,
            // A number of SYN-ACKs bounds it.
            State::SynReceived if self.settings.passive => return Instant::NEVER,
            State::SynReceived => self.settings.syn_timeout,
            _ => self.settings.user_timeout,
        };
        let stalled = self.settings.write_timeout.after(self.liveness.stalled);
        (r2.after(self.liveness.unanswered)).min(stalled)
    }

    fn retransmission_expired(&mut self, now: Instant) -> bool {
        if self.given_up_at() <= now {
            self.give_up();
            return false;
        }
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        match self.state {
            State::SynSent | State::SynReceived => return self.syn_expired(now),
            _ if self.snd.flight() == 0 => {
                // MUST-36: the persist timer. The probe doubles as the SWS override (§3.8.6.2.1).
                self.pending.force = true;
                self.start_persist(now);
                return false;
            }
            _ => self.data_expired(now),
        }
        true
    }

    /// MUST-20, R2: tells the peer too, who may be able to hear though not to answer.
    fn give_up(&mut self) {
        let was_synchronised = !matches!(self.state, State::SynSent | State::SynReceived);
        self.enter_closed(Closed::TimedOut);
        self.pending.rst = was_synchronised;
    }

    fn syn_expired(&mut self, now: Instant) -> bool {
        self.liveness.probes = self.liveness.probes.saturating_add(1);
        let is_passive = self.settings.passive;
        if is_passive && self.liveness.probes > self.settings.syn_ack_retransmits {
            self.enter_closed(Closed::BackToListen);
            return false;
        }
        // Karn: which of the SYNs is acknowledged will not be known.
        self.rtt.cancel();
        self.pending.syn = true;
        self.start_rtx(now);
        true
    }

    /// RFC 6298 §5.4 to §5.6, RFC 5681 §3.1, RFC 6675 §5.1.
    fn data_expired(&mut self, now: Instant) {
        let recovery = &mut self.recovery;
        // The same data lost again do not reduce the threshold again.
        let is_first = recovery.phase != Phase::Loss || recovery.una_at_loss != self.snd.una;
        if is_first {
            recovery.remember(&self.congestion, self.snd.una);
        }
        if recovery.board.is_reneged(self.snd.una) {
            recovery.board.clear();
        }
        recovery.enter_loss(self.snd.una, self.snd.nxt);
        // SHLD-17: what lies beyond a shrunken window was not lost by congestion.
        if self.snd.wnd > 0 {
            let flight = self.snd.flight().min(self.congestion.cwnd);
            let smss = self.smss();
            self.congestion.on_timeout(flight, smss, is_first);
        }
        self.rtt.cancel();
        self.path_is_in_doubt();
        self.start_rtx(now);
    }

    fn state_expired(&mut self, now: Instant) {
        match self.state {
            State::TimeWait => self.enter_closed(Closed::Finished),
            State::FinWait2 if self.settings.deaf => self.enter_closed(Closed::TimedOut),
            State::Established | State::CloseWait | State::FinWait1 | State::FinWait2 => {
                self.keep_alive_expired(now);
            }
            _ => {}
        }
    }

    /// RFC 9293 §3.8.4. MUST-26: only when nothing was heard for the interval.
    fn keep_alive_expired(&mut self, now: Instant) {
        let due = self.settings.keep_idle.after(self.liveness.heard);
        if now < due {
            self.liveness.probes = 0;
            self.timers.state = due;
            return;
        }
        if self.liveness.probes >= self.settings.keep_probes {
            self.give_up();
            return;
        }
        self.timers.state = self.settings.keep_interval.after(now);
        // Data that are outstanding have a timer of their own.
        if self.snd.flight() == 0 {
            self.liveness.probes += 1;
            self.pending.keep_alive = true;
        }
    }

    /// The connection is established: keep-alives begin, if they are on.
    pub(crate) fn start_keep_alive(&mut self, now: Instant) {
        self.liveness.probes = 0;
        if self.settings.keep_probes > 0 {
            self.timers.state = self.settings.keep_idle.after(now);
        }
    }

    /// The peer has acknowledged `ack`, something new: RFC 6298 §5.2 and §5.3.
    #[inline(always)]
    pub(crate) fn restart_rtx(&mut self, now: Instant) {
        self.rtt.backoff = 0;
        if self.snd.flight() == 0 {
            self.timers.rtx = Instant::NEVER;
            self.liveness.unanswered = Instant::NEVER;
            self.liveness.stalled = Instant::NEVER;
        } else {
            self.liveness.unanswered = now;
            self.liveness.stalled = now;
            self.start_rtx(now);
        }
    }

    /// Something that wants an acknowledgement, up to `end`, is sent for the first time.
    #[inline(always)]
    pub(crate) fn sent(&mut self, now: Instant, end: Seq) {
        self.rtt.sent(now, end);
        self.liveness.sent = now;
        if self.timers.rtx == Instant::NEVER {
            self.start_waiting(now);
            self.start_rtx(now);
        }
    }

    pub(crate) fn start_waiting(&mut self, now: Instant) {
        self.liveness.unanswered = self.liveness.unanswered.min(now);
        self.liveness.stalled = self.liveness.stalled.min(now);
    }

    /// The window has opened: what the persist timer did is over.
    pub(crate) fn stop_persisting(&mut self) {
        if self.snd.flight() == 0 && self.timers.rtx != Instant::NEVER {
            self.timers.rtx = Instant::NEVER;
            self.rtt.backoff = 0;
            self.liveness.unanswered = Instant::NEVER;
        }
        self.pending.force = false;
    }

    /// Whether our FIN has been sent and acknowledged.
    pub(crate) fn is_fin_acked(&self) -> bool {
        self.snd.fin == Fin::Sent && self.snd.flight() == 0 && self.snd.probe == Probe::None
    }
}
