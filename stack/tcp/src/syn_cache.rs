//! The SYN cache's entry (RFC 4987 §3.4): what must be known of a handshake, in fixed space.

use crate::config::{Config, MSS_DEFAULT};
use crate::options::{OptionsOut, Timestamps};
use crate::segment::{Flags, Segment, SegmentOut};
use crate::seq::Seq;
use crate::tcb::{Tcb, millis};
use crate::time::Instant;
use crate::verdict::Closed;
use core::time::Duration;

/// A half-open connection, or what a [`cookie`](crate::cookie) has kept of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfOpen {
    /// ISS: our initial sequence number.
    pub iss: Seq,
    /// IRS: the peer's.
    pub irs: Seq,
    /// What our timestamp clock is ahead of the time.
    pub(crate) clock_offset: u32,
    /// The peer's last timestamp, if timestamps are in use.
    pub(crate) timestamps: Option<u32>,
    /// The MSS that the peer announced, in bytes.
    pub(crate) mss: u16,
    /// The window of its SYN, in bytes.
    pub(crate) wnd: u16,
    /// The shift of its windows, if scaling is in use.
    pub(crate) wscale: Option<u8>,
    /// Whether SACK is in use.
    pub(crate) sack: bool,
    /// SYN-ACKs sent again.
    pub(crate) retransmits: u8,
    /// When to send the next one.
    pub(crate) timeout: Instant,
}

/// What a segment for a half-open connection calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfOpenVerdict {
    /// Nothing.
    Ignore,
    /// This; the entry stays.
    Answer(SegmentOut),
    /// The handshake is complete: [`Tcb::from_half_open`], which is shown the segment next.
    Establish,
    /// The entry is to be removed.
    Remove(Closed),
}

impl HalfOpen {
    /// Of a SYN that [`listen`](crate::listen) found good.
    #[must_use]
    pub fn new(
        now: Instant,
        config: &Config,
        iss: Seq,
        clock_offset: u32,
        syn: &Segment<'_>,
    ) -> Self {
        let options = &syn.options;
        Self {
            iss,
            irs: syn.seq,
            clock_offset,
            timestamps: options.timestamps.filter(|_| config.timestamps).map(|ts| ts.val),
            // MUST-15: 536 without the option.
            mss: options.mss.unwrap_or(MSS_DEFAULT),
            wnd: syn.wnd,
            wscale: options.wscale.filter(|_| config.window_scaling),
            sack: options.sack_permitted && config.sack,
            retransmits: 0,
            timeout: now + config.initial_rto,
        }
    }

    /// `<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>`
    #[must_use]
    pub fn syn_ack(&self, now: Instant, config: &Config) -> SegmentOut {
        self.syn_ack_at(config, millis(now).wrapping_add(self.clock_offset))
    }

    /// The same with a clock that a cookie has chosen.
    pub(crate) fn syn_ack_at(&self, config: &Config, clock: u32) -> SegmentOut {
        let window = config.receive_capacity_bytes;
        SegmentOut {
            seq: self.iss,
            ack: self.irs + 1,
            flags: Flags::SYN | Flags::ACK,
            // RFC 7323 §2.2: the window of a SYN is never scaled.
            wnd: u16::try_from(window).unwrap_or(u16::MAX),
            options: OptionsOut {
                mss: Some(config.mss()),
                wscale: self.wscale.map(|_| config.wscale()),
                sack_permitted: self.sack,
                timestamps: self.timestamps.map(|ecr| Timestamps { val: clock, ecr }),
                ..OptionsOut::default()
            },
            ..SegmentOut::default()
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.timeout
    }

    /// When the SYN-ACK was sent, if it was sent once: then its round trip is the first that is
    /// measured (RFC 6298 §2.2). A cookie does not know.
    ///
    /// That a repeated SYN was answered in between does not show. Then the measurement is too
    /// long, but shorter than the first time-out, and what follows no worse than after a SYN that
    /// was lost (RFC 6298 §5.7).
    pub(crate) fn sent(&self, config: &Config) -> Option<Instant> {
        let is_known = self.retransmits == 0 && self.timeout != Instant::ZERO;
        is_known.then(|| {
            let waited = u64::try_from(config.initial_rto.as_nanos()).unwrap_or(u64::MAX);
            Instant::from_nanos(self.timeout.as_nanos().saturating_sub(waited))
        })
    }

    /// No ACK has come in time: the SYN-ACK to be sent again, `None` if the entry is to be
    /// removed.
    pub fn handle_timeout(&mut self, now: Instant, config: &Config) -> Option<SegmentOut> {
        if self.retransmits >= config.syn_ack_retransmits {
            return None;
        }
        self.retransmits += 1;
        let doubled = config.initial_rto.saturating_mul(1 << self.retransmits.min(16));
        self.timeout = now + doubled.min(config.max_rto);
        Some(self.syn_ack(now, config))
    }

    /// A segment arrives: SYN-RECEIVED of RFC 9293 §3.10.7.4, as far as an entry can tell. What
    /// completes the handshake is left to the connection that comes of it.
    #[must_use]
    pub fn segment_arrives(
        &self,
        now: Instant,
        config: &Config,
        segment: &Segment<'_>,
    ) -> HalfOpenVerdict {
        if segment.syn() && segment.seq == self.irs && !segment.has_ack() && !segment.rst() {
            return HalfOpenVerdict::Answer(self.syn_ack(now, config));
        }
        if segment.has_ack() && !segment.rst() && !segment.syn() && segment.ack == self.iss + 1 {
            return HalfOpenVerdict::Establish;
        }
        // What is left is rare: a connection of a moment decides, which nothing is delivered to,
        // since it takes nothing without an ACK.
        let mut tcb = Tcb::from_half_open(now, config, self);
        let verdict = tcb.handle_segment(now, segment);
        match (tcb.closed(), verdict.answer) {
            (Some(why), _) => HalfOpenVerdict::Remove(why),
            (None, Some(answer)) => HalfOpenVerdict::Answer(answer),
            (None, None) => HalfOpenVerdict::Ignore,
        }
    }

    /// How long an entry lives at most, from its SYN to its removal.
    #[must_use]
    pub fn lifetime(config: &Config) -> Duration {
        (0..=config.syn_ack_retransmits)
            .map(|count| config.initial_rto.saturating_mul(1 << count.min(16)).min(config.max_rto))
            .sum()
    }
}
