//! What a queue counts.

use queue::Counter;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What we count ourselves. The field's name is the counter's.
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
    /// Their bytes, without FCS.
    rx_bytes,
    /// Dropped: the kernel's descriptor named a frame that it does not have, or crossed its end.
    rx_bad_frames,
    /// Refills that found fewer free frames than the receive share lacks: the caller holds them.
    rx_starved_refills,
    /// System calls that made the kernel look at the FILL ring.
    rx_kicks,
    /// Those of them that failed.
    rx_kick_errors,
    /// Packets handed to the kernel. What it then drops, its device counts.
    tx_frames,
    /// Their bytes, without FCS.
    tx_bytes,
    /// Frames that came back from transmission.
    tx_completed_frames,
    /// Dropped: shorter than an Ethernet header, or longer than the link carries.
    tx_bad_length_frames,
    /// Left in the caller's burst, because transmission had used its share. Counted at each try.
    tx_refused_frames,
    /// The kernel's COMPLETION ring named frames that were not being sent.
    tx_bad_completions,
    /// System calls that made the kernel look at the TX ring.
    tx_kicks,
    /// Kicks after which the kernel wants another one: EAGAIN.
    tx_again_errors,
    /// Kicks that met a full device queue, which dropped a packet: EBUSY.
    tx_busy_errors,
    /// Kicks that found no socket buffer: ENOBUFS or ENOMEM.
    tx_no_buffer_errors,
    /// Kicks that found the interface down: ENETDOWN.
    tx_link_down_errors,
    /// Kicks that failed otherwise.
    tx_other_errors,
    /// Calls of `alloc` that found nothing left of the transmit share.
    alloc_refusals,
}

/// Visits what the kernel counts (`XDP_STATISTICS`).
pub(crate) fn visit_kernel(statistics: &libc::xdp_statistics, visit: &mut dyn FnMut(Counter, u64)) {
    let mut visit = |name, count| visit(Counter(name), count);
    visit("kernel_rx_dropped_frames", statistics.rx_dropped);
    visit("kernel_rx_ring_full_frames", statistics.rx_ring_full);
    visit("kernel_fill_ring_empty_frames", statistics.rx_fill_ring_empty_descs);
    visit("kernel_rx_invalid_descs", statistics.rx_invalid_descs);
    visit("kernel_tx_invalid_descs", statistics.tx_invalid_descs);
    visit("kernel_tx_ring_empty_polls", statistics.tx_ring_empty_descs);
}
