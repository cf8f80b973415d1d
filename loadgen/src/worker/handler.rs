//! What a worker does when something happens on one of its connections.

use super::connection::Phase;
use super::timers::Timer;
use super::{RETRY_NS, Worker};
use crate::response::{FramingError, Progress, RESPONSE_MAX_BYTES, take_apart};
use crate::source::{Source, SourceError};
use crate::transport::{Failure, Handler, Next};

impl<S: Source> Worker<S> {
    /// A response came whole. Returns what the connection does next, `None` where it awaits more
    /// of them.
    fn complete(&mut self, now_ns: u64, slot: usize, status: u16, reusable: bool) -> Option<Next> {
        let connection = &mut self.connections[slot];
        let Phase::Busy(batch) = &mut connection.phase else {
            return Some(self.reopen(now_ns, slot));
        };
        batch.left -= 1;
        self.in_flight -= 1;
        let batch = *batch;
        self.tally.responded(now_ns, &batch, status);
        if self.error.is_some() {
            return Some(Next::Wait);
        }
        if batch.left > 0 {
            return None;
        }
        Some(if reusable { self.next(now_ns, slot) } else { self.reopen(now_ns, slot) })
    }

    /// Closes the connection and opens it again. What it carried is lost.
    fn reopen(&mut self, now_ns: u64, slot: usize) -> Next {
        let lost = self.abandon(slot);
        self.tally.lost(lost);
        self.tally.counts.reopened += 1;
        self.begin_opening(now_ns, slot);
        Next::Reopen
    }

    /// As [`Worker::reopen`], after a response that was malformed.
    fn reject(&mut self, now_ns: u64, slot: usize) -> Next {
        let lost = self.abandon(slot);
        self.tally.malformed(lost);
        self.reopen(now_ns, slot)
    }

    /// Takes the requests off a connection that is of no more use; returns how many.
    fn abandon(&mut self, slot: usize) -> u64 {
        let lost = self.connections[slot].close().map_or(0, |batch| batch.left);
        self.in_flight -= lost;
        lost
    }

    /// Responses that the connection awaits.
    fn awaited(&self, slot: usize) -> u64 {
        match self.connections[slot].phase {
            Phase::Busy(batch) => batch.left,
            _ => 0,
        }
    }

    /// Keeps a piece of a response for the source.
    fn keep(&mut self, slot: usize, bytes: &[u8]) {
        let response = &mut self.connections[slot].response;
        if response.len() + bytes.len() > RESPONSE_MAX_BYTES {
            let limit = RESPONSE_MAX_BYTES >> 20;
            self.give_up(SourceError(format!(
                "a response is longer than the {limit} MiB that can be kept for a script's \
                 response(): ask for less, or leave response() out"
            )));
            return;
        }
        response.extend_from_slice(bytes);
    }

    /// Tells the source of the response that was kept.
    fn tell(&mut self, slot: usize, status: u16) {
        let response = &mut self.connections[slot].response;
        let told = take_apart(response, |fields, body| self.source.response(status, fields, body));
        response.clear();
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.give_up(error);
            }
            Err(error) => debug_assert!(false, "the parser took it for whole: {error}"),
        }
    }
}

impl<S: Source> Handler for Worker<S> {
    fn looked(&mut self, clock: &dyn Fn() -> u64, found: bool) {
        // A closed loop has no time at which it should have sent, and is spared the reading; but
        // where it polls, it has read the clock already, and idle looks tell whether it was busy.
        if self.arrivals.is_some() || self.polls {
            self.tally.watch.looked(clock(), found);
        }
    }

    fn opened(&mut self, now_ns: u64, slot: usize) -> Next {
        self.tally.watch.work();
        self.connections[slot].opening_ns = None;
        match self.connections[slot].phase {
            Phase::Resting { .. } => {
                self.connections[slot].phase = Phase::Resting { open: true };
                Next::Wait
            }
            Phase::Rested => self.start(now_ns, now_ns, slot),
            Phase::Closed | Phase::Free { .. } | Phase::Busy(_) => self.next(now_ns, slot),
        }
    }

    fn received(&mut self, now_ns: u64, slot: usize, bytes: &[u8], reusable: bool) -> Next {
        self.tally.watch.work();
        self.tally.counts.read_bytes += bytes.len() as u64;
        if self.awaited(slot) == 0 {
            // Nobody asked: a server may say why it is about to close a connection that is idle.
            return self.reopen(now_ns, slot);
        }
        let mut rest = bytes;
        loop {
            let progress = self.connections[slot].parser.advance(rest, &mut self.heads);
            let taken = match progress {
                Ok(Progress::Partial) => rest.len(),
                Ok(Progress::Complete { consumed, .. }) => consumed,
                Err(_) => return self.reject(now_ns, slot),
            };
            if self.wants_responses {
                self.keep(slot, &rest[..taken]);
            }
            let Ok(Progress::Complete { status, keep_alive, .. }) = progress else {
                return Next::Wait;
            };
            rest = &rest[taken..];
            // The end of the last response that is awaited ends the bytes.
            if !rest.is_empty() && self.awaited(slot) <= 1 {
                return self.reject(now_ns, slot);
            }
            if self.wants_responses && self.error.is_none() {
                self.tell(slot, status);
            }
            if let Some(next) = self.complete(now_ns, slot, status, keep_alive && reusable) {
                return next;
            }
            if !keep_alive {
                return self.reopen(now_ns, slot);
            }
            if rest.is_empty() {
                return Next::Wait;
            }
        }
    }

    fn closed(&mut self, now_ns: u64, slot: usize) -> Next {
        self.tally.watch.work();
        let parser = &mut self.connections[slot].parser;
        if !parser.has_begun() {
            return self.reopen(now_ns, slot);
        }
        let ended: Result<u16, FramingError> = parser.finish();
        match ended {
            Ok(status) => {
                if self.wants_responses && self.error.is_none() {
                    self.tell(slot, status);
                }
                self.complete(now_ns, slot, status, false)
                    .unwrap_or_else(|| self.reopen(now_ns, slot))
            }
            Err(_) => self.reject(now_ns, slot),
        }
    }

    fn failed(&mut self, now_ns: u64, slot: usize, failure: Failure, errno: i32) -> Next {
        self.tally.watch.work();
        let lost = self.abandon(slot);
        self.tally.failed(failure, errno, lost);
        if failure == Failure::Connect {
            self.connections[slot].opening_ns = None;
            self.timers.set(now_ns.saturating_add(RETRY_NS), slot, Timer::Retry);
            return Next::Close;
        }
        self.reopen(now_ns, slot)
    }

    fn request(&self, slot: usize) -> &[u8] {
        self.source.fixed().unwrap_or(&self.connections[slot].request)
    }
}
