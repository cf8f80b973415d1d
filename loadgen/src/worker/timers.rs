//! What a thread has to do later on a connection.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Why a connection is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// It could not be opened: try again.
    Retry,
    /// Its rest before the next batch is over.
    Rest,
    /// Its opening may have lasted too long.
    Opening,
    /// What it sent may have gone unanswered for too long.
    Timeout,
}

/// Timers by due time. Each connection has at most one of each kind, which is the bound.
#[derive(Debug)]
pub(super) struct Timers(BinaryHeap<Reverse<(u64, usize, Timer)>>);

impl Timers {
    /// Room for the timers of so many connections.
    pub(super) fn new(connections: usize) -> Self {
        Self(BinaryHeap::with_capacity(connections))
    }

    pub(super) fn set(&mut self, due_ns: u64, slot: usize, timer: Timer) {
        self.0.push(Reverse((due_ns, slot, timer)));
    }

    /// When the next one is due; the end of time where there is none.
    pub(super) fn next_ns(&self) -> u64 {
        self.0.peek().map_or(u64::MAX, |Reverse((due_ns, ..))| *due_ns)
    }

    /// Takes the next one that is due.
    pub(super) fn take(&mut self, now_ns: u64) -> Option<(usize, Timer)> {
        if self.next_ns() > now_ns {
            return None;
        }
        self.0.pop().map(|Reverse((_, slot, timer))| (slot, timer))
    }
}
