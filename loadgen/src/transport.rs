//! How bytes reach the server, and the boundary that every transport stands behind.
//!
//! A [`Transport`] owns the connections of one thread, numbered by *slot*, and their sockets; it
//! knows nothing of HTTP. It tells a [`Handler`] what happened and does what the handler answers.
//! Bytes are lent to the handler where they were received, so a transport whose bytes lie in a
//! frame or in a ring need not copy them. The clock is the transport's too, which lets a test drive
//! the whole generator in virtual time.

pub mod bypass;
pub mod epoll;
#[expect(unsafe_code, reason = "system calls, each wrapped once")]
pub(crate) mod sys;
pub mod tls;
pub mod uring;

use socket2::SockAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

/// Where connections lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// As the kernel takes it.
    ///
    /// # Errors
    /// EINVAL where the path of a Unix socket is too long.
    pub(crate) fn sock_addr(&self) -> io::Result<SockAddr> {
        match self {
            Self::Tcp(address) => Ok(SockAddr::from(*address)),
            Self::Unix(path) => SockAddr::unix(path),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => path.display().fmt(formatter),
        }
    }
}

/// What the handler wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing; wait for bytes.
    Wait,
    /// Send [`Handler::request`].
    Send,
    /// Close it, and open it again at once.
    Reopen,
    /// Close it; the caller of [`Transport::open`] opens it again.
    Close,
}

/// What a connection was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It was being opened.
    Connect,
    /// A response was awaited.
    Read,
    /// A request was being written.
    Write,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Why something failed, as [`Handler::failed`] is told: what the system says about a number of
/// `errno(3)`, or TLS about one of its own, which are negative.
#[must_use]
pub(crate) fn reason(number: i32) -> String {
    if number < 0 { crate::tls::reason(number) } else { strerror(number) }
}

/// What the system says about an error number, without the number that the standard library adds.
#[must_use]
pub(crate) fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// What happens on connections. `now_ns` is the transport's clock.
pub trait Handler {
    /// The transport has done nothing in its turn but look for what has happened, or wait for it,
    /// until now, which is what `clock` reads; it has `found` something, which comes next. A
    /// transport that cannot tell need not say so.
    fn looked(&mut self, _clock: &dyn Fn() -> u64, _found: bool) {}

    /// A connection is open.
    fn opened(&mut self, now_ns: u64, slot: usize) -> Next;

    /// Bytes arrived, the clock being read right after. `reusable` is false where nothing more can
    /// be sent: the peer has closed its side, or the request before is not yet sent whole.
    fn received(&mut self, now_ns: u64, slot: usize, bytes: &[u8], reusable: bool) -> Next;

    /// The peer closed the connection in order.
    fn closed(&mut self, now_ns: u64, slot: usize) -> Next;

    /// The connection failed with a number of `errno(3)`, 0 where there is none, or with one of
    /// [`TlsError::code`](crate::tls::TlsError::code). [`Next::Send`] and [`Next::Wait`] are no
    /// answers to it.
    fn failed(&mut self, now_ns: u64, slot: usize, failure: Failure, errno: i32) -> Next;

    /// The request to send on a connection.
    fn request(&self, slot: usize) -> &[u8];

    /// All of [`Handler::request`] is written.
    fn sent(&mut self, _slot: usize) -> Next {
        Next::Wait
    }
}

/// The connections of one thread.
pub trait Transport {
    /// Whether [`poll`](Self::poll) may let the thread sleep; else it looks again and again.
    fn sleeps(&self) -> bool {
        true
    }

    /// The time in nanoseconds, which never runs backwards.
    fn now_ns(&self) -> u64;

    /// Opens a connection; the handler hears how that ends, perhaps before this returns. One that
    /// was open, or was being opened, is closed first.
    fn open(&mut self, slot: usize, handler: &mut impl Handler);

    /// Sends [`Handler::request`] on an open connection that is sending nothing.
    fn send(&mut self, slot: usize, handler: &mut impl Handler);

    /// Waits until something happens, but not longer than about `wait_ns`, and tells the handler.
    /// One call does a bounded amount of work.
    ///
    /// # Errors
    /// Only where waiting itself is impossible: what happens to a connection goes to the handler.
    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()>;

    /// Ends every connection, so that none is left open at the server; nobody is told. There is
    /// nothing to do where the kernel closes what a thread drops.
    fn leave(&mut self) {}
}

#[cfg(test)]
mod tests;
