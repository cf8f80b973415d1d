//! The frame: a handle to one packet buffer.

/// Longest packet that a [`Frame`] can name, in bytes.
pub const FRAME_LEN_MAX: u16 = u16::MAX;

/// What was asked of, or said by, the hardware for one frame. Bits of [`Frame::meta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta(pub u32);

impl Meta {
    /// Received: the port says that the IPv4 and TCP checksums are right.
    pub const CHECKSUM_GOOD: Self = Self(1 << 0);
    /// To send: the port must complete the TCP checksum.
    pub const CHECKSUM_FILL: Self = Self(1 << 1);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A move-only handle to one packet buffer; the bytes stay in the queue's memory.
///
/// `addr` is an index that the driver bounds-checks at each use (a UMEM offset, a slot in a table
/// of mbufs or a memif ring), never a pointer. `start` and `len` bound the packet in its buffer,
/// in bytes.
#[must_use = "a dropped frame is a leaked buffer: pass it to tx_burst or free"]
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    addr: u64,
    start: u16,
    len: u16,
    meta: Meta,
}

const _: () = assert!(size_of::<Frame>() == 16);

impl Frame {
    /// Names the packet of `len` bytes that begins `start` bytes into the buffer at `addr`.
    ///
    /// For drivers: whoever calls it vouches that nobody else holds a frame for this buffer.
    pub const fn from_parts(addr: u64, start: u16, len: u16, meta: Meta) -> Self {
        Self { addr, start, len, meta }
    }

    /// The driver's index of the buffer.
    #[must_use]
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// Offset of the packet in its buffer, in bytes.
    #[must_use]
    pub const fn start(&self) -> u16 {
        self.start
    }

    /// Length of the packet, in bytes, without FCS.
    #[expect(clippy::len_without_is_empty, reason = "an empty packet is not a state to ask for")]
    #[must_use]
    pub const fn len(&self) -> u16 {
        self.len
    }

    /// What was asked of, or said by, the hardware.
    #[must_use]
    pub const fn meta(&self) -> Meta {
        self.meta
    }

    /// The same buffer with another packet length: what `bytes_mut` of a driver records.
    pub const fn resize(&mut self, len: u16) {
        self.len = len;
    }

    /// Replaces what is asked of the hardware.
    pub const fn mark(&mut self, meta: Meta) {
        self.meta = meta;
    }
}
