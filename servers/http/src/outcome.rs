//! What a connection tells its caller.

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
    /// that a client that still sends receives the answer (RFC 9112 §9.6).
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

impl Close {
    /// Without an answer before it: nobody waits for what a reset could destroy.
    pub(crate) const fn silent(why: Reason) -> Self {
        Self { how: Closing::Fin, why }
    }

    /// After an answer, which a reset in reply to further input would destroy.
    pub(crate) const fn after_answer(why: Reason) -> Self {
        Self { how: Closing::Linger, why }
    }
}

/// What one call of [`Connection::advance`](crate::Connection::advance) did and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Advance {
    /// Bytes at the front of the input that are done with.
    pub consumed: usize,
    /// Final responses whose last byte was put during this call.
    pub responses: u32,
    /// Output space is what it waits for: call again when the sink has more, or less backlog,
    /// with the same input. Otherwise it waits for more input.
    pub blocked_on_output: bool,
    /// Call again at this monotonic time in nanoseconds if nothing else happens before;
    /// [`Advance::NEVER`] where there is no such time.
    pub wake_at_ns: u64,
    /// Close once the output is flushed; do not call again.
    pub close: Option<Close>,
}

impl Advance {
    /// The value of `wake_at_ns` that no clock reaches.
    pub const NEVER: u64 = u64::MAX;
}
