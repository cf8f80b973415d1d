//! ICMP errors about our segments (RFC 9293 §3.9.2.2, RFC 5927), and the path's MTU (RFC 1191).

use crate::config::{HEADERS_LEN, MSS_MIN};
use crate::seq::Seq;
use crate::tcb::{State, Tcb};
use crate::time::Instant;
use crate::verdict::Closed;

/// What an ICMP message says, without the type's other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// Destination unreachable, with its code; 4 is
    /// [`FragmentationNeeded`](Self::FragmentationNeeded).
    Unreachable(u8),
    /// Fragmentation needed and DF set, with the next hop's MTU in bytes.
    FragmentationNeeded(u16),
    /// Source quench.
    SourceQuench,
    /// Time exceeded.
    TimeExceeded,
    /// Parameter problem.
    ParameterProblem,
}

/// An ICMP error that quotes a segment of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What it says.
    pub kind: IcmpKind,
    /// The sequence number of the segment that it quotes.
    pub seq: Seq,
}

/// What became of an ICMP error. Each is a name for a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpVerdict {
    /// It quotes a sequence number that is not outstanding: forged, or too late.
    OutOfWindow,
    /// It says nothing that we act upon.
    Ignored,
    /// A problem that may pass: retransmission goes on (MUST-56).
    Soft,
    /// The connection, whose handshake had just begun, is closed (SHLD-26).
    Closed,
    /// Segments are smaller from now on.
    PathMtu,
    /// Packets as large as these have arrived before: believed only once data are lost
    /// (RFC 5927 §7.2).
    PathMtuDoubted,
}

/// What is known of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// The largest packet that is known to have arrived, in bytes.
    max_acked: u16,
    /// An MTU that was claimed and is doubted, in bytes; zero if there is none.
    claimed: u16,
}

impl Path {
    /// `bytes` were acknowledged at once, in segments of at most `mss`: progress refutes a claim.
    pub(crate) fn acked(&mut self, bytes: u32, mss: u16) {
        let payload = u16::try_from(bytes).unwrap_or(u16::MAX).min(mss);
        self.max_acked = self.max_acked.max(payload + HEADERS_LEN);
        self.claimed = 0;
    }
}

/// RFC 791: every path carries packets of this size, in bytes.
const MTU_MIN: u16 = 68;

impl Tcb {
    /// An ICMP error arrives. MUST-54: the caller has found the connection by the ports and
    /// addresses that it quotes.
    pub fn handle_icmp(&mut self, now: Instant, error: IcmpError) -> IcmpVerdict {
        // RFC 5927 §4.1: SND.UNA =< SEG.SEQ < SND.NXT.
        if !error.seq.in_window(self.snd.una, self.snd.flight()) {
            return IcmpVerdict::OutOfWindow;
        }
        match error.kind {
            // MUST-55.
            IcmpKind::SourceQuench => IcmpVerdict::Ignored,
            IcmpKind::FragmentationNeeded(mtu) => self.fragmentation_needed(now, mtu),
            // RFC 9293 §3.9.2.2: protocol unreachable, port unreachable.
            IcmpKind::Unreachable(2 | 3) if self.state == State::SynSent => {
                self.enter_closed(Closed::Refused);
                IcmpVerdict::Closed
            }
            // DEVIATION: RFC 9293 SHLD-26 would abort on these in any state. RFC 5927 §5.2 takes
            // them as soft errors once a connection is synchronised, since anyone can forge one.
            IcmpKind::Unreachable(_) | IcmpKind::TimeExceeded | IcmpKind::ParameterProblem => {
                IcmpVerdict::Soft
            }
        }
    }

    fn fragmentation_needed(&mut self, now: Instant, mtu: u16) -> IcmpVerdict {
        let current = self.snd.mss + HEADERS_LEN;
        if mtu < MTU_MIN || mtu >= current || matches!(self.state, State::SynSent) {
            return IcmpVerdict::Ignored;
        }
        let mtu = mtu.max(self.settings.min_path_mtu);
        if mtu >= current {
            return IcmpVerdict::Ignored;
        }
        if mtu < self.path.max_acked {
            self.path.claimed = mtu;
            return IcmpVerdict::PathMtuDoubted;
        }
        self.shrink_segments(mtu);
        // What was too large is sent again at once; RFC 1191 §6.5: it is no sign of congestion.
        if self.state != State::SynReceived {
            self.recovery.enter_loss(self.snd.una, self.snd.nxt);
            self.rtt.cancel();
            self.start_rtx(now);
        }
        IcmpVerdict::PathMtu
    }

    fn shrink_segments(&mut self, mtu: u16) {
        self.snd.mss = mtu.saturating_sub(HEADERS_LEN).max(MSS_MIN).min(self.snd.mss);
        self.path = Path::default();
    }

    /// The retransmission timer has expired: that is the loss without which a claim is doubted.
    pub(crate) fn path_is_in_doubt(&mut self) {
        if self.path.claimed != 0 {
            self.shrink_segments(self.path.claimed);
        }
    }
}
