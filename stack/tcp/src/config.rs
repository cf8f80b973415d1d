//! What a connection is told when it opens.

use crate::congestion::Algorithm;
use core::time::Duration;

/// Keep-alives (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long nothing must have arrived before the first probe. MUST-28: two hours or more,
    /// unless someone asks for less.
    pub idle: Duration,
    /// From one unanswered probe to the next. MUST-27: this and `idle` can be set.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up. MUST-29: more than one.
    pub probes: u8,
}

impl KeepAlive {
    /// Linux's defaults: two hours, then nine probes at 75 seconds each.
    pub const LINUX: Self =
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 };
}

const _: () = assert!(KeepAlive::LINUX.idle.as_secs() >= 2 * 60 * 60, "MUST-28");
const _: () = assert!(KeepAlive::LINUX.probes > 1, "MUST-29");

/// Bounds, timeouts and switches of a connection.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent switches")]
pub struct Config {
    /// Most bytes that are received and not consumed, those behind holes included.
    pub receive_capacity_bytes: u32,
    /// What [`Tcb::receive_capacity`](crate::Tcb::receive_capacity) may raise that to later, if it
    /// is more: the scale of windows is chosen for it, and cannot be changed (RFC 7323 §2.3).
    pub receive_capacity_max_bytes: u32,
    /// Largest IPv4 packet of the link, in bytes.
    pub mtu: u16,
    /// No ICMP message makes packets smaller than this, in bytes (RFC 5927 §7).
    pub min_path_mtu: u16,
    /// Whether to offer and accept window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Whether to offer and accept timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Whether to offer and accept selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// SHLD-7: Nagle's algorithm. MUST-17: it can be turned off, here and later.
    pub nagle: bool,
    /// Congestion control.
    pub congestion: Algorithm,
    /// Retransmission time-out before the first round trip is known (RFC 6298 §2.1).
    pub initial_rto: Duration,
    /// Lower bound of the retransmission time-out.
    pub min_rto: Duration,
    /// Upper bound of it (RFC 6298 §2.5).
    pub max_rto: Duration,
    /// Longest delay of an acknowledgement. MUST-40: below 0.5 s.
    pub ack_delay: Duration,
    /// Whether every second segment is acknowledged at once, however short it is, as BSD does.
    /// SHLD-19 wants that of full-sized segments only.
    pub ack_every_second: bool,
    /// R2 (RFC 9293 §3.8.3): from the first transmission that nothing answers to giving up.
    /// SHLD-11: at least 100 s by default. MUST-21: the application may set it, here and later.
    pub user_timeout: Duration,
    /// R2 for the SYN of an active open. MUST-23: at least three minutes.
    pub syn_timeout: Duration,
    /// How often a SYN-ACK is sent again before the half-open connection is forgotten.
    pub syn_ack_retransmits: u8,
    /// Longest time that output may wait without progress even if the peer answers with a zero
    /// window; `None` waits for ever, as MUST-37 wants.
    pub write_timeout: Option<Duration>,
    /// How long FIN-WAIT-2 lasts once the application has closed both directions.
    pub fin_wait2_timeout: Duration,
    /// Two maximum segment lifetimes.
    pub time_wait: Duration,
    /// MUST-25: keep-alives are off by default.
    pub keep_alive: Option<KeepAlive>,
}

impl Config {
    /// Defaults, for a receive buffer of `receive_capacity_bytes` and a link of `mtu` bytes.
    #[must_use]
    pub const fn new(receive_capacity_bytes: u32, mtu: u16) -> Self {
        Self {
            receive_capacity_bytes,
            receive_capacity_max_bytes: receive_capacity_bytes,
            mtu,
            min_path_mtu: 552,
            window_scaling: true,
            timestamps: true,
            sack: true,
            nagle: true,
            congestion: Algorithm::Cubic,
            initial_rto: Duration::from_secs(1),
            // DEVIATION: RFC 6298 §2.4 wants at least 1 s. Like Linux we take 200 ms, because a
            // round trip in a data centre is far below a millisecond; delayed acknowledgements
            // are the lower bound that remains.
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(60),
            ack_delay: Duration::from_millis(40),
            ack_every_second: false,
            user_timeout: Duration::from_secs(100),
            syn_timeout: Duration::from_secs(180),
            syn_ack_retransmits: 5,
            write_timeout: None,
            fin_wait2_timeout: Duration::from_secs(60),
            // DEVIATION: RFC 9293 §3.4.2 takes two minutes for one MSL. Like Linux we take one
            // minute for two, because a server that closes holds one entry for each connection.
            time_wait: Duration::from_secs(60),
            keep_alive: None,
        }
    }

    /// The MSS to announce, always (MUST-14, MUST-67, SHLD-5, SHLD-6): what fits behind an IPv4
    /// and a TCP header without options.
    #[must_use]
    pub fn mss(&self) -> u16 {
        self.mtu.saturating_sub(HEADERS_LEN).max(MSS_MIN)
    }

    /// The shift to announce: the smallest that lets the whole buffer be a window, as large as it
    /// may ever be.
    #[must_use]
    pub fn wscale(&self) -> u8 {
        let capacity = self.receive_capacity_bytes.max(self.receive_capacity_max_bytes);
        let mut shift = 0;
        while shift < crate::options::WINDOW_SCALE_MAX && capacity >> shift > u32::from(u16::MAX) {
            shift += 1;
        }
        shift
    }
}

/// An IPv4 and a TCP header without options, in bytes.
pub(crate) const HEADERS_LEN: u16 = 40;

/// MUST-15: what is assumed of a peer that sends no MSS option, in bytes.
pub(crate) const MSS_DEFAULT: u16 = 536;

/// DEVIATION: a peer's MSS below this is taken as this. RFC 9293 names no lower bound, but with 40
/// bytes of options a smaller one leaves no room for data, and each byte would cost a header.
pub(crate) const MSS_MIN: u16 = 64;
