//! One connection.

use crate::{Limits, Now, Sink};

/// Why a connection is being closed: the name under which a server counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client asked for it (`connection: close`, HTTP/1.0), and was answered.
    Asked,
    /// The client closed its side and everything was answered.
    PeerClosed,
    /// A 4xx or 5xx that ends the connection was sent.
    Refused,
    /// The head was not complete in time; 408 was sent.
    HeadTimeout,
    /// The body came too slowly; 408 was sent.
    BodyTimeout,
    /// No request came in time.
    IdleTimeout,
    /// The server is draining.
    Drained,
}

/// How to close, once all output has been flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Send a FIN and be done with it.
    Fin,
    /// Send a FIN, read and drop up to `linger_bytes` for up to `linger_timeout`, then close, so
    /// that a client that still sends receives the refusal (RFC 9112 §9.6).
    Linger,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// How.
    pub how: Closing,
    /// Why.
    pub why: Reason,
}

/// What one call of [`Connection::advance`] did and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Advance {
    /// Bytes at the front of the input that are done with.
    pub consumed: usize,
    /// Final responses whose last byte was put during this call.
    pub responses: u32,
    /// Output space is what it waits for: call again when the sink has more, with the same input.
    /// Otherwise it waits for more input.
    pub blocked_on_output: bool,
    /// Call again at this monotonic time in nanoseconds if nothing else happens before.
    pub wake_at_ns: u64,
    /// Close once the output is flushed; do not call again.
    pub close: Option<Close>,
}

/// HTTP/1.1 on one connection: any split of the input gives the same output.
#[derive(Debug)]
pub struct Connection {
    _limits: &'static Limits,
}

impl Connection {
    /// A connection accepted at `now_ns`, bounded by `limits`.
    #[must_use]
    pub fn new(limits: &'static Limits, _now_ns: u64) -> Self {
        Self { _limits: limits }
    }

    /// Reads what it can of `input`, answers into `output`.
    ///
    /// `input` is everything received and not yet consumed; `eof` says that no more will follow
    /// it. Bytes not consumed must be offered again, with more behind them. Call it when input
    /// arrived, when space was made after `blocked_on_output`, and at `wake_at_ns`.
    pub fn advance(
        &mut self,
        _now: &Now,
        _input: &[u8],
        _eof: bool,
        _output: &mut impl Sink,
    ) -> Advance {
        Advance { consumed: 0, responses: 0, blocked_on_output: false, wake_at_ns: 0, close: None }
    }

    /// Asks for an early end: the response in flight is the last and says `connection: close`.
    /// Call [`advance`](Self::advance) afterwards; an idle connection closes in that call.
    pub fn drain(&mut self) {}
}
