//! Segments: what the state machine reads of one that arrives, and what it says is to be sent.

use crate::options::{Options, OptionsOut};
use crate::seq::Seq;
use core::fmt;
use core::ops::BitOr;
use smoltcp::wire::TcpPacket;

/// Length of a TCP header without options, in bytes.
pub const HEADER_MIN: usize = 20;
/// Length of the longest TCP header, in bytes.
pub const HEADER_MAX: usize = 60;

/// The control bits (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push function.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);

    /// The bits of byte 13 of a header. Those of RFC 3168 are left out.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x3f)
    }

    /// As in byte 13 of a header.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// With the bits of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// These bits if `condition` holds, else none.
    #[must_use]
    pub const fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self(0) }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Bytes that are no TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a TCP header is cut off, or its data offset is below 5")
    }
}

impl core::error::Error for Malformed {}

/// A received segment, its checksum verified, its ports matched to a connection.
///
/// It has no payload, only the length of one: the state machine says which part of the payload is
/// to go where, and never sees the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment<'a> {
    /// SEG.SEQ
    pub seq: Seq,
    /// SEG.ACK, meaningful with [`Flags::ACK`].
    pub ack: Seq,
    /// SEG.WND as it stands in the header, unscaled and unsigned (MUST-1).
    pub wnd: u16,
    /// SEG.UP, meaningful with [`Flags::URG`].
    pub up: u16,
    /// The control bits.
    pub flags: Flags,
    /// Bytes of payload.
    pub payload_len: u16,
    /// The options.
    pub options: Options<'a>,
}

impl<'a> Segment<'a> {
    /// Reads a segment from its first header byte to its last payload byte.
    ///
    /// # Errors
    /// If the header does not fit into `bytes`, its data offset is below 5, or there are more
    /// bytes than an IPv4 packet can carry.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let packet = TcpPacket::new_checked(bytes).map_err(|_| Malformed)?;
        Ok(Self {
            seq: Seq(packet.seq_number().0.cast_unsigned()),
            ack: Seq(packet.ack_number().0.cast_unsigned()),
            wnd: packet.window_len(),
            up: packet.urgent_at(),
            flags: Flags::from_bits(bytes[13]),
            payload_len: u16::try_from(packet.payload().len()).map_err(|_| Malformed)?,
            options: Options::parse(packet.options()),
        })
    }

    /// SEG.LEN: SYN and FIN count one each (RFC 9293 §3.4).
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::from(self.payload_len) + u32::from(self.syn()) + u32::from(self.fin())
    }

    /// Whether the segment occupies no sequence numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence number of the first payload byte.
    #[must_use]
    pub fn payload_seq(&self) -> Seq {
        self.seq + u32::from(self.syn())
    }

    /// Whether SYN is set.
    #[must_use]
    pub fn syn(&self) -> bool {
        self.flags.contains(Flags::SYN)
    }

    /// Whether FIN is set.
    #[must_use]
    pub fn fin(&self) -> bool {
        self.flags.contains(Flags::FIN)
    }

    /// Whether RST is set.
    #[must_use]
    pub fn rst(&self) -> bool {
        self.flags.contains(Flags::RST)
    }

    /// Whether ACK is set, and [`ack`](Self::ack) says something.
    #[must_use]
    pub fn has_ack(&self) -> bool {
        self.flags.contains(Flags::ACK)
    }

    /// The answer to a segment that no connection wants (RFC 9293 §3.10.7.1), `None` to a reset:
    /// `<SEQ=SEG.ACK><CTL=RST>`, or `<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>` without an ACK.
    #[must_use]
    pub fn reset(&self) -> Option<SegmentOut> {
        if self.rst() {
            return None;
        }
        Some(if self.has_ack() {
            SegmentOut { seq: self.ack, flags: Flags::RST, ..SegmentOut::default() }
        } else {
            let (ack, flags) = (self.seq + self.len(), Flags::RST | Flags::ACK);
            SegmentOut { ack, flags, ..SegmentOut::default() }
        })
    }
}

/// What a segment is sent for, as far as anybody counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// All that a connection sends on which nothing is lost and no window closes.
    #[default]
    Regular,
    /// A SYN, or a SYN-ACK, that was not answered in time (RFC 6298 §5.7).
    SynAgain,
    /// Sent again after the retransmission timer has expired, the first segment (RFC 6298 §5.4) or
    /// one of those behind it (RFC 5681 §3.1).
    AfterTimeOut,
    /// Sent again because later segments have arrived: fast retransmit and fast recovery (RFC 5681
    /// §3.2, RFC 6582, RFC 6675).
    FastRecovery,
    /// The tail, sent again once in a recovery though nothing says that it is lost (RFC 6675 §4,
    /// `NextSeg` rule 4).
    Rescue,
    /// New data beyond the congestion window, on one of the first two duplicate acknowledgements
    /// (RFC 3042).
    LimitedTransmit,
    /// A byte, or a FIN, into a closed window (RFC 9293 §3.8.6.1).
    WindowProbe,
}

impl Cause {
    /// Whether all of the segment has been sent before.
    #[must_use]
    pub const fn is_again(self) -> bool {
        matches!(self, Self::SynAgain | Self::AfterTimeOut | Self::FastRecovery | Self::Rescue)
    }
}

/// A segment to be sent: a header, and which bytes of the send buffer go with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentOut {
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgement number, zero without [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window as it goes into the header, already scaled.
    pub wnd: u16,
    /// The options.
    pub options: OptionsOut,
    /// Where the payload begins in the send buffer, whose first byte is the oldest that is not
    /// acknowledged.
    pub payload_offset: u32,
    /// Bytes of payload.
    pub payload_len: u16,
    /// What it is sent for; not part of the header.
    pub cause: Cause,
}

impl SegmentOut {
    /// Length of the header with its options, in bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        HEADER_MIN + usize::from(self.options.len())
    }

    /// Writes the header to the front of `buffer` and returns its length in bytes. The checksum
    /// is left zero: it is the caller's, who also has the payload and the addresses (MUST-2).
    ///
    /// # Panics
    /// If `buffer` is shorter than [`header_len`](Self::header_len).
    pub fn emit(&self, source_port: u16, destination_port: u16, buffer: &mut [u8]) -> usize {
        let len = self.header_len();
        let (header, options) = buffer[..len].split_at_mut(HEADER_MIN);
        let mut fixed = [0; HEADER_MIN];
        fixed[0..2].copy_from_slice(&source_port.to_be_bytes());
        fixed[2..4].copy_from_slice(&destination_port.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        // Data offset, in words of four bytes.
        fixed[12] = u8::try_from(len / 4).unwrap_or(u8::MAX) << 4;
        fixed[13] = self.flags.0;
        fixed[14..16].copy_from_slice(&self.wnd.to_be_bytes());
        header.copy_from_slice(&fixed);
        self.options.emit(options);
        len
    }
}
