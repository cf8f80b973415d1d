//! What follows from a segment: for the bytes of its payload, for the send buffer, for the peer.

use crate::segment::SegmentOut;

/// A part of a segment's payload that goes into the reassembly buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it goes: bytes behind what RCV.NXT was when the segment arrived.
    pub offset: u32,
    /// Where it begins in the payload, in bytes.
    pub from: u16,
    /// Its length, in bytes.
    pub len: u16,
}

/// The parts of a payload that are to be stored, none of which is stored already: the bytes that
/// arrived first win, whatever a retransmission says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pieces: [Piece; Self::MAX],
    count: u8,
}

impl Store {
    /// Most pieces of one segment; what lies behind them is dropped, and will be sent again.
    pub const MAX: usize = 4;

    pub(crate) fn push(&mut self, piece: Piece) -> bool {
        let Some(place) = self.pieces.get_mut(usize::from(self.count)) else { return false };
        *place = piece;
        self.count += 1;
        true
    }

    /// The pieces, in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[Piece] {
        &self.pieces[..usize::from(self.count)]
    }
}

/// A part of a segment's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins in the payload, in bytes.
    pub from: u16,
    /// Its length, in bytes.
    pub len: u16,
}

/// Why a segment, or part of it, was dropped. Each is a name for a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The connection is closed, or TIME-WAIT has no use for the segment.
    NoConnection,
    /// Outside of the receive window (RFC 9293 §3.10.7.4, first).
    OutOfWindow,
    /// An old duplicate by its timestamp (RFC 7323 §5.3, PAWS).
    Paws,
    /// Without a timestamp where they are in use (RFC 7323 §3.2).
    NoTimestamp,
    /// A reset that is not at RCV.NXT (RFC 5961 §3.2), or in TIME-WAIT (RFC 1337).
    Reset,
    /// A SYN on a synchronised connection (RFC 5961 §4.2), or one that begins nothing.
    Syn,
    /// No ACK bit where one must be.
    NoAck,
    /// It acknowledges what was never sent, or what is too old (RFC 5961 §5.2).
    BadAck,
    /// Its payload would open one hole too many.
    TooManyHoles,
    /// Payload behind the peer's FIN, on a SYN, or after the application closed.
    Unwanted,
}

/// Why a connection is closed (MUST-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides have sent a FIN and seen it acknowledged.
    Finished,
    /// The peer reset it.
    Reset,
    /// The peer, or the network on its behalf, refused our SYN.
    Refused,
    /// A reset, or no answer, ended a passive handshake: the listener goes on (MUST-11).
    BackToListen,
    /// We reset it, at the application's wish or since it left data unread.
    Aborted,
    /// Nothing answered for as long as R2, or keep-alives, or the write time-out allow.
    TimedOut,
}

/// What follows from a segment.
///
/// First the front of the send buffer goes, `acked` bytes of it. Then there is either `deliver`,
/// which is handed on from where the payload lies, or, while there are holes, `store` and then
/// `released`. `answer` is sent at once; everything else that is to be sent comes out of
/// [`Tcb::poll_transmit`](crate::Tcb::poll_transmit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Bytes at the front of the send buffer that the peer has acknowledged.
    pub acked: u32,
    /// Payload that is in order, when nothing is stored.
    pub deliver: Span,
    /// Payload for the reassembly buffer.
    pub store: Store,
    /// Bytes at the front of the reassembly buffer, from the old RCV.NXT on, that are in order
    /// now.
    pub released: u32,
    /// The handshake is complete.
    pub opened: bool,
    /// All that the peer will ever send has been delivered.
    pub eof: bool,
    /// TIME-WAIT is over, since the segment is a SYN that opens a new connection: release this
    /// one and show the segment to the listener (RFC 6191).
    pub reopen: bool,
    /// What is to be sent at once.
    pub answer: Option<SegmentOut>,
    /// Why the segment, or a part of it, was dropped.
    pub dropped: Option<Dropped>,
}
