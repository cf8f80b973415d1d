//! What a queue counts, and what the control thread does.

use crate::handshake::Refusal;
use queue::Counter;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a queue counts. The field's name is the counter's.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counts {
            $($(#[doc = $doc])+ pub(crate) $name: u64,)+
        }

        impl Counts {
            /// Visits every count under its name.
            pub(crate) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
                $(visit(Counter(stringify!($name)), self.$name);)+
            }
        }
    };
}

counts! {
    /// Packets received and passed to the caller.
    rx_frames,
    /// Their bytes.
    rx_bytes,
    /// Dropped: shorter than an Ethernet header.
    rx_short_frames,
    /// Dropped: longer than a frame.
    rx_long_frames,
    /// Polls that found packets waiting and no free frame: the caller holds them all.
    rx_starved_polls,
    /// Links dropped, because an index of a receive ring went back or too far.
    rx_bad_indices,
    /// Links dropped, because a received descriptor named memory that is in no region.
    rx_bad_descriptors,
    /// Links dropped, because a received packet went on in a buffer that had not come.
    rx_bad_chains,
    /// Packets handed to the peer.
    tx_frames,
    /// Their bytes.
    tx_bytes,
    /// Dropped: shorter than an Ethernet header, or longer than the link carries.
    tx_bad_length_frames,
    /// Dropped: there was no peer.
    tx_link_down_frames,
    /// Left in the caller's burst, because the peer had not taken what was sent before. Counted at
    /// each try.
    tx_refused_frames,
    /// Links dropped, because an index of a transmit ring went back or too far.
    tx_bad_indices,
    /// Links dropped, because a buffer offered for transmission was empty or in no region.
    tx_bad_descriptors,
    /// Links dropped, because a packet needed more buffers than a ring has.
    tx_bad_chains,
    /// Bursts sent to a peer that asks for interrupts, which nobody sends: it may be asleep. One
    /// burst in 64 is looked at.
    tx_unmasked_bursts,
    /// Calls of `alloc` that found too few free frames.
    alloc_refusals,
    /// Peers found.
    link_ups,
    /// Peers lost.
    link_downs,
}

/// What the control thread counts: one writer, many readers.
#[derive(Debug, Default)]
pub(crate) struct ControlCounts {
    /// Peers that began a handshake, or were asked for one.
    handshakes: AtomicU64,
    /// Refused: the wrong interface, secret, version or mode.
    strangers: AtomicU64,
    /// Refused: another peer is connected, or too many are connecting.
    surplus: AtomicU64,
    /// Refused: messages, regions or rings that are not what they should be.
    malformed: AtomicU64,
    /// Refused: the handshake took too long.
    slow: AtomicU64,
    /// The peer ended the connection, with or without a word.
    ends: AtomicU64,
    /// The peer broke the rules of a ring.
    faults: AtomicU64,
    /// System calls that failed.
    errors: AtomicU64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ControlCount {
    Handshake,
    End,
    Error,
}

impl ControlCounts {
    /// Counts an event.
    pub(crate) fn add(&self, count: ControlCount) {
        let counter = match count {
            ControlCount::Handshake => &self.handshakes,
            ControlCount::End => &self.ends,
            ControlCount::Error => &self.errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a peer that was left.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Version | Refusal::Mode | Refusal::Id | Refusal::Secret => &self.strangers,
            Refusal::Connected | Refusal::Crowded => &self.surplus,
            Refusal::Slow => &self.slow,
            Refusal::BadIndex | Refusal::BadDescriptor | Refusal::BadChain => &self.faults,
            Refusal::Closing => return,
            _ => &self.malformed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Visits every count under its name.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
        for (name, count) in [
            ("control_handshakes", &self.handshakes),
            ("control_stranger_refusals", &self.strangers),
            ("control_surplus_refusals", &self.surplus),
            ("control_malformed_refusals", &self.malformed),
            ("control_slow_refusals", &self.slow),
            ("control_peer_ends", &self.ends),
            ("control_ring_faults", &self.faults),
            ("control_errors", &self.errors),
        ] {
            visit(Counter(name), count.load(Ordering::Relaxed));
        }
    }
}
