//! What a queue counts, and what its port does.

use crate::sys::{Dropped, PortStats};
use queue::Counter;

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
    /// Polls that did not look, because the caller holds as many frames as there are.
    rx_starved_polls,
    /// Packets that the port has taken.
    tx_frames,
    /// Their bytes.
    tx_bytes,
    /// Dropped: shorter than an Ethernet header, or longer than the link carries.
    tx_bad_length_frames,
    /// Dropped: the port took no more, and has no link.
    tx_link_down_frames,
    /// Left in the caller's burst, because the transmit ring is full. Counted at each try.
    tx_refused_frames,
    /// Calls of `alloc` that found too few free frames.
    alloc_refusals,
}

impl Dropped {
    /// Visits what the border has dropped.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
        for (name, count) in [
            // Shorter than an Ethernet header.
            ("rx_short_frames", self.rx_short_frames),
            // More than one buffer, and more than fits into one.
            ("rx_long_frames", self.rx_long_frames),
            // Somebody else could have written to the buffer.
            ("rx_shared_frames", self.rx_shared_frames),
            // The port, or the driver in its stead, found the checksum wrong.
            ("rx_bad_checksum_frames", self.rx_bad_checksum_frames),
            // The port can never send such a packet (`rte_eth_tx_prepare`).
            ("tx_unsendable_frames", self.tx_unsendable_frames),
        ] {
            visit(Counter(name), count);
        }
    }
}

impl PortStats {
    /// Visits what the port has counted, under DPDK's names for it (`rte_eth_stats`).
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(Counter, u64)) {
        for (name, count) in [
            ("port_ipackets", self.ipackets),
            ("port_opackets", self.opackets),
            // Dropped by the port: its receive rings were full.
            ("port_imissed_packets", self.imissed),
            ("port_ierrors_packets", self.ierrors),
            // Found the mempool empty.
            ("port_rx_nombuf_packets", self.rx_nombuf),
            ("port_oerrors_packets", self.oerrors),
        ] {
            visit(Counter(name), count);
        }
    }
}
