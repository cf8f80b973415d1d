//! The control protocol without its socket: messages in, messages out.
//!
//! ```text
//!   server                                    client
//!     hello ────────────────────────────────▶
//!     ack   ◀──────────────────────────────── init          each of the client's messages waits
//!     ack   ◀──────────────────────────────── add region    for its answer
//!     ack   ◀──────────────────────────────── add ring      (for every ring)
//!     connected ◀──────────────────────────── connect
//! ```

mod client;
mod server;

pub(crate) use client::{Client, ClientStep};
pub(crate) use server::{Server, ServerStep};

use crate::wire::{Message, Text};

/// Why we do not go on with a peer: what it is told, and the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not memif 2.0.
    Version,
    /// Packets that are not Ethernet frames.
    Mode,
    /// Another interface's number.
    Id,
    /// Not the secret.
    Secret,
    /// The interface has a peer.
    Connected,
    /// Too many peers that have not come to an end.
    Crowded,
    /// The wrong message at this time, or none that there is.
    Unexpected,
    /// A descriptor is missing that belongs to the message, or one too many came.
    Descriptor,
    /// A region out of order, or one too many.
    RegionIndex,
    /// A region shorter than was said, or longer than all may be.
    RegionSize,
    /// A region that could shrink while it is mapped.
    RegionUnsealed,
    /// A region that the kernel does not map.
    RegionUnmappable,
    /// A ring out of order, or one too many.
    RingIndex,
    /// Other rings one way than the other way.
    RingsUnpaired,
    /// A ring outside of its region.
    RingPlace,
    /// A ring of too many descriptors.
    RingSize,
    /// A ring that does not begin as rings do.
    RingCookie,
    /// The handshake takes too long.
    Slow,
    /// An index that went back, or too far.
    BadIndex,
    /// A descriptor outside of the regions.
    BadDescriptor,
    /// A packet without an end.
    BadChain,
    /// We end.
    Closing,
}

impl Refusal {
    /// What the peer is told.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Version => "only memif version 2.0 is spoken here",
            Self::Mode => "only Ethernet mode is spoken here",
            Self::Id => "no interface of this id here",
            Self::Secret => "the secret is another one",
            Self::Connected => "already connected",
            Self::Crowded => "too many peers are connecting",
            Self::Unexpected => "unexpected message",
            Self::Descriptor => "a file descriptor is missing, or one too many",
            Self::RegionIndex => "regions out of order, or too many",
            Self::RegionSize => "a region is shorter than said, or too long",
            Self::RegionUnsealed => {
                "a region has no F_SEAL_SHRINK: in VPP, give the interface no-zero-copy"
            }
            Self::RegionUnmappable => "a region cannot be mapped",
            Self::RingIndex => "rings out of order, or too many",
            Self::RingsUnpaired => "as many rings are needed each way",
            Self::RingPlace => "a ring lies outside of its region",
            Self::RingSize => "a ring is too large",
            Self::RingCookie => "a ring has no cookie",
            Self::Slow => "the handshake takes too long",
            Self::BadIndex => "a ring's index went back or too far",
            Self::BadDescriptor => "a descriptor lies outside of its region",
            Self::BadChain => "a chain of buffers has no end",
            Self::Closing => "closed",
        }
    }

    /// The message that says it.
    pub(crate) fn message(self) -> Message {
        Message::Disconnect { code: 0, reason: Text::new(self.text()) }
    }
}

/// The name under which an end introduces itself.
pub(crate) const NAME: &str = concat!("showdown queue-memif ", env!("CARGO_PKG_VERSION"));
