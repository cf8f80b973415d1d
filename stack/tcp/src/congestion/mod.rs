//! Congestion control: how much may be in the network (MUST-19; RFC 5681, RFC 9438).

mod cubic;
mod reno;

use crate::seq::Seq;
use crate::time::Instant;
use core::time::Duration;
use cubic::Cubic;

/// Which rule increases and decreases the congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 5681 with the recovery of RFC 6582.
    NewReno,
    /// RFC 9438.
    Cubic,
}

/// No congestion window grows beyond this, in bytes: the largest window that RFC 7323 allows.
const CWND_MAX: u32 = 1 << 30;

/// RFC 6928 §2: the initial window for segments of `smss` bytes, in bytes.
pub(crate) fn initial_window(smss: u32) -> u32 {
    (10 * smss).min((2 * smss).max(14_600))
}

/// What an acknowledgement of new data tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) now: Instant,
    pub(crate) bytes: u32,
    /// Eff.snd.MSS, in bytes.
    pub(crate) smss: u32,
    pub(crate) srtt: Duration,
    /// Whether slow start follows a retransmission time-out.
    pub(crate) after_timeout: bool,
    /// Whether the window held back data when what is acknowledged was sent.
    pub(crate) is_limited: bool,
}

/// The congestion window and its kin, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Congestion {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// Bytes acknowledged in congestion avoidance that no increase has been made for yet.
    credit: u32,
    /// SND.NXT when the window held back data last.
    pub(crate) limited: Seq,
    algorithm: Algorithm,
    cubic: Cubic,
}

impl Congestion {
    pub(crate) fn new(algorithm: Algorithm, smss: u32, iss: Seq) -> Self {
        Self {
            cwnd: initial_window(smss),
            // §3.1: "should be set arbitrarily high".
            ssthresh: u32::MAX,
            credit: 0,
            limited: iss,
            algorithm,
            cubic: Cubic::default(),
        }
    }

    /// The peer's SYN has told the size of segments.
    pub(crate) fn restart(&mut self, smss: u32) {
        self.cwnd = initial_window(smss);
    }

    /// New data are acknowledged, outside of fast recovery, and `flight` bytes were outstanding.
    #[inline]
    pub(crate) fn on_ack(&mut self, acked: &Acked, flight: u32) {
        // A window that was not used says nothing of what the network bears (RFC 7661 §4.2):
        // neither branch then opens it further. Slow start may be half a window ahead.
        if self.cwnd < self.ssthresh {
            if acked.is_limited || flight.saturating_mul(2) >= self.cwnd {
                self.slow_start(acked);
            }
        } else if acked.is_limited {
            self.cwnd = match self.algorithm {
                Algorithm::NewReno => reno::increase(self.cwnd, &mut self.credit, acked),
                Algorithm::Cubic => self.cubic.increase(self.cwnd, &mut self.credit, acked),
            };
        } else {
            self.cubic.pause();
        }
        self.cwnd = self.cwnd.min(CWND_MAX);
    }

    /// RFC 3465: by the bytes acknowledged, at most L = 2 segments, 1 after a time-out (§2.3).
    fn slow_start(&mut self, acked: &Acked) {
        let limit = if acked.after_timeout { acked.smss } else { 2 * acked.smss };
        self.cwnd = self.cwnd.saturating_add(acked.bytes.min(limit));
    }

    /// The window after a loss with `flight` bytes outstanding (RFC 5681 §3.1, equation 4).
    fn reduce(&mut self, flight: u32, smss: u32) {
        let reduced = match self.algorithm {
            Algorithm::NewReno => flight / 2,
            Algorithm::Cubic => self.cubic.reduce(flight),
        };
        self.ssthresh = reduced.max(2 * smss);
        self.credit = 0;
    }

    /// Duplicate acknowledgements show a loss.
    pub(crate) fn on_loss(&mut self, flight: u32, smss: u32) {
        self.reduce(flight, smss);
        self.cwnd = self.ssthresh;
    }

    /// The retransmission timer shows a loss; `first` if not of the same data again.
    pub(crate) fn on_timeout(&mut self, flight: u32, smss: u32, first: bool) {
        if first {
            self.reduce(flight, smss);
        }
        self.cubic.restart();
        // §3.1: "the loss window, LW, which equals 1 full-sized segment".
        self.cwnd = smss;
    }

    /// §4.1: nothing was sent for longer than a time-out.
    pub(crate) fn on_idle(&mut self, smss: u32) {
        self.cwnd = self.cwnd.min(initial_window(smss));
        self.cubic.pause();
    }
}
