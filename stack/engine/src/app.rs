//! What a program plugs into the engine.

use crate::transport::SendBuffer;
use std::net::SocketAddrV4;
use tcp::Instant;

/// Names a connection of one engine. It never names another one later: it carries a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Why [`App::ready`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is more input.
    Data,
    /// There is room for output: the connection has just opened and nothing else is to be told,
    /// or the send buffer is at least half empty again after [`Advance::wants_space`].
    Space,
    /// The peer has closed its side: the input is all that will ever come. Told once.
    Eof,
    /// The time of [`Advance::wake_at`] has come.
    Timer,
    /// The engine drains: end the connection when its work is done. Told once.
    Drain,
}

/// How to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// A FIN behind the output; input is still delivered (half-close, RFC 9293 §3.6).
    Write,
    /// A FIN behind the output; input is dropped and counted from now on.
    Both,
    /// A reset, now. Output that waits is lost.
    Reset,
}

/// What one call of [`App::ready`] did and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Advance {
    /// Bytes at the front of the input that are done with. The rest is offered again with more.
    pub consumed: usize,
    /// Call again with [`Event::Timer`] at this time, [`Instant::NEVER`] for none. It replaces
    /// what was asked for before.
    pub wake_at: Instant,
    /// Call again with [`Event::Space`] when there is room for output.
    pub wants_space: bool,
    /// Close. After the first [`Close::Both`] or [`Close::Reset`] only [`Event::Timer`] follows.
    pub close: Option<Close>,
}

impl Advance {
    /// Nothing consumed, nothing waited for but input.
    pub const IDLE: Self =
        Self { consumed: 0, wake_at: Instant::NEVER, wants_space: false, close: None };
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides closed in good order, and everything sent was acknowledged.
    Finished,
    /// The peer reset it.
    ResetByPeer,
    /// The application reset it.
    ResetByApp,
    /// The peer fell silent while output or a FIN waited for it.
    TimedOut,
    /// The drain's deadline cut it off.
    DrainDeadline,
}

/// Why an active open came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer answered with a reset: nobody listens on that port.
    Refused,
    /// The peer did not answer within [`Config::connect_timeout`](crate::Config::connect_timeout).
    TimedOut,
    /// Nobody on the link answers for the peer's address.
    Unreachable,
    /// Every port of [`Config::ephemeral_ports`](crate::Config::ephemeral_ports) is in use with
    /// this peer, or in TIME-WAIT.
    NoPort,
    /// As many connections, connections that are being opened, or addresses that are being asked
    /// for, as may be.
    TableFull,
    /// No peer has this address: it is ours, zero, loopback, multicast or broadcast, or port zero.
    Unaddressable,
    /// The engine drains.
    Draining,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Refused => "the peer refused the connection: nothing listens on that port",
            Self::TimedOut => "the peer did not answer in time",
            Self::Unreachable => "nobody on the link answers for the peer's address",
            Self::NoPort => "every ephemeral port is in use or in TIME-WAIT",
            Self::TableFull => "too many connections, or too many that are being opened",
            Self::Unaddressable => "no peer can have this address",
            Self::Draining => "no connection is opened while the engine drains",
        })
    }
}

impl std::error::Error for ConnectError {}

/// The output of one connection: bytes are put here, and TCP sends them when it may.
///
/// It borrows the connection's send buffer, never the queue.
#[derive(Debug)]
pub struct Outbox<'a> {
    buffer: &'a mut dyn SendBuffer,
    waiting_since: Instant,
}

impl<'a> Outbox<'a> {
    /// The outbox of `buffer`, of whose backlog the peer last took some at `waiting_since`.
    ///
    /// For the engine, and for tests of an [`App`] without one.
    pub fn new(buffer: &'a mut dyn SendBuffer, waiting_since: Instant) -> Self {
        Self { buffer, waiting_since }
    }

    /// Bytes that can be put now. Zero once the connection was closed.
    #[must_use]
    pub fn space(&self) -> usize {
        self.buffer.space()
    }

    /// Appends `bytes` whole.
    ///
    /// # Panics
    /// If `bytes` is longer than [`space`](Self::space): a programmer's error.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.buffer.put(bytes);
        }
    }

    /// Bytes put that the peer has not acknowledged yet.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.buffer.backlog()
    }

    /// Since when output has been waiting and the peer has taken none of it, `None` while there
    /// is no backlog.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        (self.backlog() > 0).then_some(self.waiting_since)
    }
}

/// A program on the engine: told of connections, answers into their outboxes.
///
/// Of each active open that began, either [`connected`](Self::connected) or
/// [`connect_failed`](Self::connect_failed) tells, exactly once.
/// Calls come from [`Engine::poll`](crate::Engine::poll), one connection at a time, and must
/// neither block nor ask the time.
pub trait App {
    /// What the program keeps for each connection.
    type Conn;

    /// A handshake is complete. `None` refuses the connection, which is then reset.
    fn opened(&mut self, now: Instant, id: ConnId, peer: SocketAddrV4) -> Option<Self::Conn>;

    /// The handshake that [`Engine::connect`](crate::Engine::connect) began with `token` is
    /// complete. `None` resets the connection.
    ///
    /// A program that never connects, or does not care which side opened, needs only
    /// [`opened`](Self::opened).
    fn connected(
        &mut self,
        now: Instant,
        id: ConnId,
        peer: SocketAddrV4,
        token: u64,
    ) -> Option<Self::Conn> {
        let _ = token;
        self.opened(now, id, peer)
    }

    /// What [`Engine::connect`](crate::Engine::connect) began with `token` came to nothing. Nothing
    /// was kept for it, so [`closed`](Self::closed) does not follow.
    ///
    /// Every program that connects must implement this; the others are never told.
    fn connect_failed(&mut self, token: u64, why: ConnectError) {
        let _ = (token, why);
    }

    /// Something happened. `input` is all that was received and not consumed, in order.
    fn ready(
        &mut self,
        now: Instant,
        conn: &mut Self::Conn,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance;

    /// The connection is over: what was kept for it is handed back.
    fn closed(&mut self, conn: Self::Conn, why: Closed);
}
