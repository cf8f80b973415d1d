//! Connections in TIME-WAIT: a bounded table of their own, small entries instead of two buffers.

use crate::flow::{Flow, FlowTable};
use crate::wheel::Wheel;
use std::time::Duration;
use tcp::{Instant, Segment, SegmentOut, TimeWaitVerdict};

/// A connection that both sides closed, we first (RFC 9293 §3.3.2).
#[derive(Clone, Copy, Debug)]
struct Entry {
    flow: Flow,
    rest: tcp::TimeWait,
}

/// What a segment that belongs to a connection in TIME-WAIT calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Ignore,
    /// An acknowledgement.
    Answer(SegmentOut),
    /// It begins a new connection; the old one is forgotten.
    Reopen,
}

/// The table.
#[derive(Debug)]
pub(crate) struct TimeWait {
    duration: Duration,
    flows: FlowTable,
    entries: Vec<Entry>,
    spare: Vec<u32>,
    wheel: Wheel,
}

impl TimeWait {
    /// A table for `capacity` connections, of `duration` each. Allocates once.
    pub(crate) fn new(capacity: u32, duration: Duration, key: &[u8; 16]) -> Self {
        let places = capacity as usize;
        Self {
            duration,
            flows: FlowTable::new(places, key),
            entries: Vec::with_capacity(places),
            spare: Vec::with_capacity(places),
            wheel: Wheel::new(places),
        }
    }

    /// Connections in it.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether `flow` is in TIME-WAIT.
    pub(crate) fn holds(&self, flow: Flow) -> bool {
        self.flows.find(flow).is_some()
    }

    /// Enters a connection; false if the table is full, and the connection ends without.
    pub(crate) fn enter(&mut self, now: Instant, flow: Flow, rest: tcp::TimeWait) -> bool {
        let entry = Entry { flow, rest };
        let place = if let Some(place) = self.spare.pop() {
            self.entries[place as usize] = entry;
            place
        } else if self.entries.len() < self.entries.capacity() {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("the capacity is a u32")
        } else {
            return false;
        };
        self.flows.insert(flow, place);
        self.wheel.schedule(place, now + self.duration);
        true
    }

    fn forget(&mut self, place: u32) {
        self.flows.remove(self.entries[place as usize].flow);
        self.wheel.cancel(place);
        self.spare.push(place);
    }

    /// Removes connections whose time is over by `now`, at a cost of `budget`; returns how many.
    pub(crate) fn expire(&mut self, now: Instant, budget: &mut usize) -> u64 {
        let mut expired = 0;
        while let Some(place) = self.wheel.pop(now, budget) {
            self.forget(place);
            expired += 1;
        }
        expired
    }

    /// What `segment` calls for, the rest of whose 4-tuple is `flow`; `None` if it belongs to no
    /// connection here.
    pub(crate) fn segment_arrives(
        &mut self,
        now: Instant,
        flow: Flow,
        segment: &Segment<'_>,
    ) -> Option<Verdict> {
        let place = self.flows.find(flow)?;
        Some(match self.entries[place as usize].rest.segment_arrives(now, segment) {
            TimeWaitVerdict::Ignore => Verdict::Ignore,
            TimeWaitVerdict::Answer(answer) => Verdict::Answer(answer),
            TimeWaitVerdict::Restart(answer) => {
                self.wheel.schedule(place, now + self.duration);
                Verdict::Answer(answer)
            }
            TimeWaitVerdict::Reopen => {
                self.forget(place);
                Verdict::Reopen
            }
        })
    }

    /// No connection's time is over before this.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }
}
