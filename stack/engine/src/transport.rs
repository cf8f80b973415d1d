//! The boundary between the engine and a TCP implementation.
//!
//! The engine owns the connection table, demultiplexing, timers, lists and frames; a [`Tcp`] owns
//! the state machine and the bytes of each connection. It is shown one segment at a time and asked
//! for one at a time; it sees neither frames nor other connections.

use crate::answer::Answer;
use crate::app::Closed;
use crate::counters::{Count, Counters};
use crate::flow::Flow;
use crate::packet::Mac;
use queue::Counter;
use std::fmt::Debug;
use std::ops::Range;
use tcp::{IcmpError, IcmpVerdict, Instant, Segment, TimeWait};

/// Where a connection stands, as far as the engine must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake is not complete.
    Handshake,
    /// Data may flow in at least one direction, or a FIN is on its way.
    Open,
    /// Both sides have closed; only TIME-WAIT is left.
    TimeWait,
    /// Nothing is left, but perhaps a reset that must be sent.
    Closed,
}

/// The send buffer of one connection.
pub trait SendBuffer: Debug {
    /// Bytes that can be put now.
    fn space(&self) -> usize;
    /// Appends `bytes`, at most [`space`](Self::space) of them.
    ///
    /// # Panics
    /// If there are more.
    fn put(&mut self, bytes: &[u8]);
    /// Bytes put that the peer has not acknowledged yet.
    fn backlog(&self) -> usize;
}

/// A segment for the port that is listened on, of no connection: what opens one here cannot
/// disturb any other (MUST-41), and listening goes on while others open (MUST-42).
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// Whom it is from.
    pub flow: Flow,
    /// The MAC address it came from.
    pub mac: Mac,
    /// The IPv4 packet.
    pub packet: &'a [u8],
    /// Whether it has a SYN and no ACK.
    pub begins: bool,
    /// Whether the connection table has no place left.
    pub is_full: bool,
}

/// What a [`Stranger`] calls for.
#[derive(Debug)]
pub enum Listened<C> {
    /// A reset, as where nobody listens (RFC 9293 §3.10.7.1).
    Refuse,
    /// Nothing.
    Drop(Count),
    /// The IPv4 packet of so many bytes in `reply`; no connection has come of it yet.
    Reply(usize),
    /// It begins a connection, whose handshake goes on.
    Begin(C),
    /// It completes a handshake: the connection is to be shown the segment.
    Complete(C),
}

/// What a segment of a connection calls for.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Length of the IPv4 packet in `reply` that answers it at once, in bytes. All else waits for
    /// [`Tcp::poll_transmit`].
    pub reply: Option<usize>,
    /// Where in the packet payload lies that is in order, and is unread without being stored:
    /// after it was offered to the application, the rest is for [`Tcp::keep`].
    pub in_packet: Range<usize>,
    /// Why the segment, or a part of it, was dropped.
    pub dropped: Option<Count>,
}

/// A TCP implementation. Packets are IPv4 packets without options towards the network, checked
/// and with good checksums towards TCP; checksums of what it emits are not its affair.
pub trait Tcp {
    /// One connection.
    type Conn: Debug;
    /// The send buffer of a connection while the application may put into it.
    type Output<'a>: SendBuffer
    where
        Self: 'a;

    /// RFC 9293 §3.10.7.2: a segment arrives that belongs to no connection. What answers it at
    /// once goes to `reply`, which has room for a packet of the MTU.
    fn listen(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        reply: &mut [u8],
        counters: &mut Counters,
    ) -> Listened<Self::Conn>;

    /// OPEN, active (RFC 9293 §3.10.1): the SYN leaves at the next
    /// [`poll_transmit`](Self::poll_transmit). `None` if there is no room for a connection.
    fn connect(&mut self, now: Instant, flow: Flow) -> Option<Self::Conn>;

    /// Handshakes under way of which no connection has come yet.
    fn half_open(&self) -> usize {
        0
    }

    /// No handshake without a connection has anything to do before this.
    fn handshake_timeout(&self) -> Instant {
        Instant::NEVER
    }

    /// Writes what such a handshake has to send now into `buffer` as an IPv4 packet; returns its
    /// length in bytes and whom it is for. Forgets those that have taken too long.
    fn poll_handshake(
        &mut self,
        _now: Instant,
        _buffer: &mut [u8],
        _counters: &mut Counters,
    ) -> Option<(usize, Mac)> {
        None
    }

    /// No new connections from now on; handshakes under way have until `limit`.
    fn drain(&mut self, _limit: Instant) {}

    /// RFC 9293 §3.10.7: a segment of this connection arrives. What answers it at once goes to
    /// `reply`, which has room for a packet of the MTU.
    fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut Self::Conn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Arrival;

    /// Whether the numbers of the segment in `packet` are such as the peer's would be now, which
    /// nobody knows who has not seen the connection's segments.
    fn recognises(&self, conn: &Self::Conn, packet: &[u8]) -> bool;

    /// Header prediction: takes a segment if it is the one that was expected of a connection on
    /// which nothing is unread; returns how many bytes of output it acknowledges. All of its
    /// payload is in order, and unread without being stored.
    ///
    /// `None` for any other segment: then nothing has changed, and it is for
    /// [`segment_arrives`](Self::segment_arrives).
    fn predicted_arrives(
        &mut self,
        _now: Instant,
        _conn: &mut Self::Conn,
        _segment: &Segment<'_>,
    ) -> Option<u32> {
        None
    }

    /// Stores `bytes`, the end of what lay [`in_packet`](Arrival::in_packet) and was not consumed.
    fn keep(&mut self, conn: &mut Self::Conn, bytes: &[u8]);

    /// RFC 5927: an ICMP error that quotes a segment of this connection arrives.
    fn icmp_arrives(
        &mut self,
        _now: Instant,
        _conn: &mut Self::Conn,
        _error: IcmpError,
    ) -> IcmpVerdict {
        IcmpVerdict::Ignored
    }

    /// Writes the next segment to be sent now into `buffer` as an IPv4 packet; returns its length
    /// in bytes. Time-outs that have passed take effect here.
    fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut Self::Conn,
        buffer: &mut [u8],
    ) -> Option<usize>;

    /// The same in the usual case: the connection is open both ways, all output that waits goes
    /// into one segment, and nothing is to be sent behind it before what
    /// [`poll_timeout`](Self::poll_timeout) would say. Writes its payload where it belongs in the
    /// packet, and leaves the headers to the port; sums the payload if `sums`.
    /// `None` in any other case, and then nothing has changed.
    fn poll_predicted(
        &mut self,
        _now: Instant,
        _conn: &mut Self::Conn,
        _buffer: &mut [u8],
        _sums: bool,
    ) -> Option<Answer> {
        None
    }

    /// When [`poll_transmit`](Self::poll_transmit) will have something to do: at once if that is
    /// not after `now`, [`Instant::NEVER`] if not before a segment arrives.
    fn poll_timeout(&mut self, now: Instant, conn: &Self::Conn) -> Instant;

    /// Reads a word of each cache line that the next segment of the connection will need, for
    /// nothing but to have them read. Costs nothing where it is not worth the while.
    fn touch(&self, _conn: &Self::Conn) -> u64 {
        0
    }

    /// The same for its buffers, once the connection itself is at hand.
    fn touch_buffers(&self, _conn: &Self::Conn) -> u64 {
        0
    }

    /// Where the connection stands.
    fn phase(&self, conn: &Self::Conn) -> Phase;

    /// Why TCP has ended the connection by itself, `None` if it has not or cannot tell.
    fn ended(&self, _conn: &Self::Conn) -> Option<Closed> {
        None
    }

    /// What is to be kept of a connection in TIME-WAIT, `None` if TCP cannot tell.
    fn time_wait(&self, _conn: &Self::Conn) -> Option<TimeWait> {
        None
    }

    /// Whether the peer's FIN has arrived, with all bytes before it.
    fn is_eof(&self, conn: &Self::Conn) -> bool;

    /// Bytes put that the peer has not acknowledged yet.
    fn backlog(&self, conn: &Self::Conn) -> usize;

    /// Whether output or a FIN waits for the peer's acknowledgement.
    fn is_unacknowledged(&self, conn: &Self::Conn) -> bool;

    /// Bytes received in order and not consumed.
    fn unread(&self, conn: &Self::Conn) -> usize;

    /// The unread bytes that are stored, and the send buffer, at the same time.
    fn split<'a>(&'a mut self, conn: &'a mut Self::Conn) -> (&'a [u8], Self::Output<'a>);

    /// Consumes `count` unread bytes.
    fn consume(&mut self, conn: &mut Self::Conn, count: usize);

    /// Sends a FIN behind the output (RFC 9293 §3.10.4).
    fn close(&mut self, conn: &mut Self::Conn);

    /// Forgets the output and sends a reset (RFC 9293 §3.10.5).
    fn abort(&mut self, conn: &mut Self::Conn);

    /// Takes a connection back; what it held may serve another one.
    fn release(&mut self, conn: Self::Conn);

    /// Calls `visit` with what TCP counts by itself.
    fn counters(&self, _visit: &mut dyn FnMut(Counter, u64)) {}
}
