//! Connections that are being opened: how long that may take, and what is counted where it does
//! not end.
//!
//! The kernel gives a TCP connection up after minutes, and TLS has no limit at all: a server that
//! accepts and then says nothing in the handshake would keep the connection to the end of the run,
//! and nobody would know.

use super::Worker;
use super::timers::Timer;
use crate::plan::{CONNECT_TIMEOUT, nanos};
use crate::source::Source;
use crate::transport::{Failure, Transport};

impl<S: Source> Worker<S> {
    /// The transport is about to open the connection.
    pub(super) fn begin_opening(&mut self, now_ns: u64, slot: usize) {
        let connection = &mut self.connections[slot];
        connection.opening_ns = Some(now_ns);
        // As for requests, one timer per connection is enough, however often it is opened.
        if !connection.opening_watched {
            connection.opening_watched = true;
            let due_ns = now_ns.saturating_add(nanos(CONNECT_TIMEOUT));
            self.timers.set(due_ns, slot, Timer::Opening);
        }
    }

    /// Opens the connection, which the transport closes first if need be.
    pub(super) fn open<T: Transport>(&mut self, now_ns: u64, slot: usize, transport: &mut T) {
        self.begin_opening(now_ns, slot);
        transport.open(slot, self);
    }

    /// Gives an attempt up that has lasted too long, and begins another at once; else looks again
    /// when it would have.
    pub(super) fn end_opening<T: Transport>(
        &mut self,
        now_ns: u64,
        slot: usize,
        transport: &mut T,
    ) {
        let connection = &mut self.connections[slot];
        connection.opening_watched = false;
        let Some(opening_ns) = connection.opening_ns else { return };
        let due_ns = opening_ns.saturating_add(nanos(CONNECT_TIMEOUT));
        if due_ns > now_ns {
            connection.opening_watched = true;
            self.timers.set(due_ns, slot, Timer::Opening);
            return;
        }
        connection.close();
        self.tally.failed(Failure::Connect, libc::ETIMEDOUT, 0);
        self.open(now_ns, slot, transport);
    }

    /// Counts, at the end, the connections that had been opening for longer than the time-out: a
    /// run may be shorter than [`CONNECT_TIMEOUT`].
    pub(super) fn count_unopened(&mut self, now_ns: u64) {
        let timeout_ns = self.timeout_ns;
        let is_late = |opening_ns: &u64| now_ns - opening_ns > timeout_ns;
        for connection in &self.connections {
            if connection.opening_ns.as_ref().is_some_and(is_late) {
                self.tally.failed(Failure::Connect, libc::ETIMEDOUT, 0);
            }
        }
    }
}
