//! The boundary between the engine and a TCP implementation.
//!
//! The engine owns the connection table, demultiplexing, timers, lists and frames; a [`Tcp`] owns
//! the state machine and the bytes of each connection. It is shown one segment at a time and asked
//! for one at a time; it sees neither frames nor other connections.

use crate::flow::Flow;
use std::fmt::Debug;
use tcp::Instant;

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
    fn put(&mut self, bytes: &[u8]);
    /// Bytes put that the peer has not acknowledged yet.
    fn backlog(&self) -> usize;
}

/// A TCP implementation. Packets are IPv4 packets without options towards the network, checked
/// and with good checksums towards TCP; checksums of what it emits are not its affair.
pub trait Tcp {
    /// One connection.
    type Conn: Debug;

    /// Makes a connection of the SYN in `packet`, `None` if it is not acceptable.
    fn accept(&mut self, now: Instant, flow: Flow, packet: &[u8]) -> Option<Self::Conn>;

    /// OPEN, active (RFC 9293 §3.10.1): the SYN leaves at the next
    /// [`poll_transmit`](Self::poll_transmit). `None` if there is no room for a connection.
    fn connect(&mut self, now: Instant, flow: Flow) -> Option<Self::Conn>;

    /// RFC 9293 §3.10.7: a segment of this connection arrives. Writes the IPv4 packet that answers
    /// it at once, if one does, to `reply` and returns its length in bytes; all else waits for
    /// [`poll_transmit`](Self::poll_transmit). `reply` has room for a packet of the MTU.
    fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut Self::Conn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Option<usize>;

    /// Writes the next segment to be sent now into `buffer` as an IPv4 packet; returns its length
    /// in bytes. Time-outs that have passed take effect here.
    fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut Self::Conn,
        buffer: &mut [u8],
    ) -> Option<usize>;

    /// When [`poll_transmit`](Self::poll_transmit) will have something to do: at once if that is
    /// not after `now`, [`Instant::NEVER`] if not before a segment arrives.
    fn poll_timeout(&mut self, now: Instant, conn: &Self::Conn) -> Instant;

    /// Where the connection stands.
    fn phase(&self, conn: &Self::Conn) -> Phase;

    /// Whether the peer's FIN has arrived, with all bytes before it.
    fn is_eof(&self, conn: &Self::Conn) -> bool;

    /// Bytes put that the peer has not acknowledged yet.
    fn backlog(&self, conn: &Self::Conn) -> usize;

    /// Whether output or a FIN waits for the peer's acknowledgement.
    fn is_unacknowledged(&self, conn: &Self::Conn) -> bool;

    /// Bytes received in order and not consumed.
    fn unread(&self, conn: &Self::Conn) -> usize;

    /// The unread bytes, and the send buffer, at the same time.
    fn split<'a>(&'a mut self, conn: &'a mut Self::Conn) -> (&'a [u8], &'a mut dyn SendBuffer);

    /// Consumes `count` unread bytes.
    fn consume(&mut self, conn: &mut Self::Conn, count: usize);

    /// Sends a FIN behind the output (RFC 9293 §3.10.4).
    fn close(&mut self, conn: &mut Self::Conn);

    /// Forgets the output and sends a reset (RFC 9293 §3.10.5).
    fn abort(&mut self, conn: &mut Self::Conn);

    /// Takes a connection back; what it held may serve another one.
    fn release(&mut self, conn: Self::Conn);
}
