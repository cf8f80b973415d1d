//! SIGTERM, SIGINT and SIGUSR1, turned into events that threads can wait for.

use crate::sys;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the user asked the process for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: drain and end.
    Stop,
    /// SIGUSR1: print the counters.
    Report,
}

/// The process's signals, blocked in every thread and taken by one.
#[derive(Debug)]
pub struct Signals(());

impl Signals {
    /// Blocks SIGTERM, SIGINT and SIGUSR1 in this thread and those it will start.
    ///
    /// Call it first in `main`, before any thread exists.
    ///
    /// # Errors
    /// Whatever `pthread_sigmask` returns.
    pub fn block() -> io::Result<Self> {
        sys::block_signals().map(|()| Self(()))
    }

    /// Sleeps until one of them arrives.
    ///
    /// # Errors
    /// Whatever `sigwait` returns.
    pub fn wait(&self) -> io::Result<Signal> {
        sys::wait_signal()
    }
}

/// Tells every thread to drain: a flag to look at, and a descriptor that becomes readable.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    event: OwnedFd,
}

impl Shutdown {
    /// A shutdown not yet requested.
    ///
    /// # Errors
    /// Whatever `eventfd` returns.
    pub fn new() -> io::Result<Self> {
        let event = sys::eventfd()?;
        Ok(Self(Arc::new(Inner { requested: AtomicBool::new(false), event })))
    }

    /// Whether draining was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Requests it, for all threads and for good.
    ///
    /// # Errors
    /// Whatever writing to the eventfd returns.
    pub fn request(&self) -> io::Result<()> {
        self.0.requested.store(true, Ordering::Relaxed);
        sys::eventfd_signal(self.0.event.as_fd())
    }

    /// Readable from the request on, and left so: nobody reads it, so that it wakes all threads.
    #[must_use]
    pub fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    /// What a thread would read from the event: the count, or `WouldBlock`.
    fn peek(shutdown: &Shutdown) -> io::Result<u64> {
        let mut count = [0; 8];
        let event = shutdown.event().try_clone_to_owned()?;
        File::from(event).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }

    #[test]
    fn the_event_is_readable_from_the_request_on() {
        let shutdown = Shutdown::new().expect("a descriptor is free");
        let other = shutdown.clone();
        assert!(!other.is_requested());
        let before = peek(&other).expect_err("nothing to read yet");
        assert_eq!(before.kind(), io::ErrorKind::WouldBlock);
        shutdown.request().expect("an eventfd takes 2^64 - 2 requests");
        shutdown.request().expect("a second request changes nothing");
        assert!(other.is_requested());
        assert_eq!(peek(&other).expect("readable"), 2);
    }
}
