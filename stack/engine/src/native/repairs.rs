//! What is sent because something was lost, or might be: counted where it leaves.

use queue::Counter;
use tcp::Cause;

/// How often each kind of repair was made, on all connections together. The SYN-ACKs of handshakes
/// without a connection are counted apart, as `syn_ack_retransmits`.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Segments with a SYN, data or a FIN that had been sent before, whatever for.
    retransmitted_segments: u64,
    /// Time-outs that something is sent again for (RFC 6298 §5.4 to §5.7).
    retransmission_timeouts: u64,
    /// Of the segments: those of fast retransmit and fast recovery (RFC 5681 §3.2, RFC 6675).
    fast_retransmits: u64,
    /// Of the segments: tails, sent again in a recovery without proof of a loss (RFC 6675 §4).
    rescue_retransmits: u64,
    /// New segments on the first two duplicate acknowledgements (RFC 3042).
    limited_transmits: u64,
    /// Probes of a closed window (RFC 9293 §3.8.6.1).
    window_probes: u64,
}

impl Repairs {
    /// The retransmission timer has expired.
    pub(super) fn timed_out(&mut self) {
        self.retransmission_timeouts += 1;
    }

    /// A segment leaves.
    #[inline]
    pub(super) fn sends(&mut self, cause: Cause) {
        self.retransmitted_segments += u64::from(cause.is_again());
        match cause {
            Cause::Regular | Cause::SynAgain | Cause::AfterTimeOut => {}
            Cause::FastRecovery => self.fast_retransmits += 1,
            Cause::Rescue => self.rescue_retransmits += 1,
            Cause::LimitedTransmit => self.limited_transmits += 1,
            Cause::WindowProbe => self.window_probes += 1,
        }
    }

    pub(super) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
        visit(Counter("tcp_retransmitted_segments"), self.retransmitted_segments);
        visit(Counter("tcp_retransmission_timeouts"), self.retransmission_timeouts);
        visit(Counter("tcp_fast_retransmits"), self.fast_retransmits);
        visit(Counter("tcp_rescue_retransmits"), self.rescue_retransmits);
        visit(Counter("tcp_limited_transmits"), self.limited_transmits);
        visit(Counter("tcp_window_probes"), self.window_probes);
    }
}
