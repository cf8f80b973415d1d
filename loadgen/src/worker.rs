//! The loop of one thread: a schedule over a transport until the stop rule says so.
//!
//! The counters balance at every moment: each request that was sent is completed, or ended in one
//! error, or is in flight ([`Counts::balance`]). A response that is late or has a bad status is
//! completed all the same, and counted beside.
//!
//! A connection that may send goes through one place, `Worker::next`, whatever made it free: a
//! closed loop sends at once, or after the rest that the source wishes for; an open loop sends if a
//! request is waiting, else the connection joins the free ones, of which the loop takes the one
//! that has been free for longest when the next request is due.

mod arrivals;
mod connection;
mod handler;
mod opening;
mod tally;
mod timers;
mod watch;

pub use crate::outcome::{Counts, Outcome};
pub(crate) use tally::Tally;

use crate::interval::{self, Intervals, Tap};
use crate::meter::Meter;
use crate::outcome::LATE_NS;
use crate::plan::{HungRule, Plan, SPIN_NS, Schedule, Share, Spin, Window, nanos};
use crate::response::HeadCache;
use crate::source::{Source, SourceError};
use crate::transport::{Next, Transport};
use arrivals::Arrivals;
use connection::{Connection, Phase};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};
use tally::Batch;
use timers::{Timer, Timers};

/// Pause before a connection that could not be opened is tried again.
const RETRY_NS: u64 = 100_000_000;

/// Most batches sent between two looks at what has arrived.
const SENDS_MAX: usize = 64;

/// Why a thread could not go on.
#[derive(Debug)]
pub enum LoadError {
    /// The transport cannot wait any more.
    Transport(io::Error),
    /// The source cannot go on.
    Source(SourceError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(formatter),
            Self::Source(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for LoadError {}

/// The connections of one thread and what they measure.
#[derive(Debug)]
pub struct Worker<S> {
    source: S,
    /// Requests in a batch.
    depth: u64,
    /// Whether the source may wish for rests.
    rests: bool,
    /// Whether the source is told of responses.
    wants_responses: bool,
    /// When requests are due in an open loop; `None` in a closed one.
    arrivals: Option<Arrivals>,
    connections: Vec<Connection>,
    /// Connections that an open loop can send on, each at most once; some are free no longer.
    free: VecDeque<usize>,
    heads: HeadCache,
    timers: Timers,
    tally: Tally,
    /// Requests sent and not answered.
    in_flight: u64,
    timeout_ns: u64,
    hung: HungRule,
    spin: Spin,
    /// Whether the transport polls, and never sleeps.
    polls: bool,
    /// Why the source cannot go on, once that is so.
    error: Option<SourceError>,
}

/// Runs one thread's share of a plan from now to the end of the window, until `interrupted`, or
/// until the source stops. Gives the source back, which may be asked for what it has seen.
///
/// # Errors
/// Where the transport cannot wait or the source cannot go on; what happens to a connection is
/// counted instead.
pub fn run<T: Transport, S: Source>(
    transport: &mut T,
    mut worker: Worker<S>,
    window: Window,
    interrupted: &AtomicBool,
) -> Result<(Outcome, S), LoadError> {
    // Since when so many requests were in flight, as far as the loop has seen.
    let (mut before_ns, mut held) = (transport.now_ns(), 0);
    let mut meter = Meter::new(window, before_ns, worker.arrivals.is_some());
    worker.tally.begin(before_ns, 0);
    for slot in 0..worker.connections.len() {
        worker.open(before_ns, slot, transport);
    }
    loop {
        let now_ns = transport.now_ns();
        worker.tally.watch.read(now_ns);
        worker.tally.in_flight_ns += u128::from(held) * u128::from(now_ns - before_ns);
        before_ns = now_ns;
        let mut ready_ns = now_ns;
        let is_due = meter.is_due(now_ns);
        if is_due {
            worker.tally.watch.work();
            if meter.begins(now_ns) {
                worker.tally.begin(now_ns, worker.in_flight);
            }
            meter.tick(now_ns, worker.tally.counts.requests);
            worker.tally.hand_over(now_ns, false);
        }
        if let Some(error) = worker.error {
            return Err(LoadError::Source(error));
        }
        let over = interrupted.load(Ordering::Relaxed) || worker.source.stopped();
        if now_ns >= meter.end_ns() || over {
            return Ok(worker.finish(meter, now_ns));
        }
        let has_served = worker.serve_timers(now_ns, transport);
        let has_sent = worker.send_due(now_ns, transport);
        if is_due || has_served || has_sent {
            ready_ns = transport.now_ns();
            worker.tally.watch.read(ready_ns);
        }
        let wait_ns = worker.wait_ns(ready_ns, meter.due_ns().min(meter.end_ns()));
        held = worker.in_flight;
        worker.tally.watch.poll(if transport.sleeps() { wait_ns } else { 0 });
        transport.poll(wait_ns, &mut worker).map_err(LoadError::Transport)?;
    }
}

/// What each of so many threads needs to be watched, and the end that watches: an interval for
/// each `length`, rounded up to 100 ms.
#[must_use]
pub fn watch(threads: usize, length: Duration) -> (Vec<Tap>, Intervals) {
    interval::taps(threads, length, &tally::latencies())
}

impl<S: Source> Worker<S> {
    /// A worker that sends what `source` gives as the plan says, beginning with the window.
    #[must_use]
    pub fn new(plan: &Plan, source: S, share: Share, window: &Window) -> Self {
        let depth = source.depth().max(1) as u64;
        let arrivals = match plan.schedule {
            Schedule::Closed => None,
            Schedule::Open { rate_rps, arrival, seed } => {
                Some(Arrivals::new(window.load_ns, rate_rps, depth, (arrival, seed), share))
            }
        };
        let head_only = source.fixed().is_some_and(is_head);
        let connection = || Connection::new(head_only);
        Self {
            depth,
            rests: arrivals.is_none(),
            wants_responses: source.wants_responses(),
            arrivals,
            connections: std::iter::repeat_with(connection).take(plan.connections).collect(),
            free: VecDeque::with_capacity(plan.connections),
            heads: HeadCache::default(),
            timers: Timers::new(plan.connections),
            tally: Tally::new(plan),
            in_flight: 0,
            timeout_ns: nanos(plan.timeout),
            hung: plan.hung,
            spin: plan.spin,
            polls: plan.transport.is_bypass(),
            error: None,
            source,
        }
    }

    /// Lets somebody watch the run while it goes on. The time is looked at every 100 ms.
    #[must_use]
    pub fn watched_by(mut self, tap: Tap) -> Self {
        self.tally.tap = Some(tap);
        self
    }

    /// How long the transport may wait, given when the meter is next due.
    fn wait_ns(&self, now_ns: u64, meter_ns: u64) -> u64 {
        let until = |due_ns: u64| due_ns.saturating_sub(now_ns);
        let wait_ns = until(meter_ns.min(self.timers.next_ns()));
        let send_ns = match &self.arrivals {
            Some(arrivals) if !self.free.is_empty() => until(arrivals.next_ns()),
            _ => u64::MAX,
        };
        match self.spin {
            Spin::Always => 0,
            Spin::Near => wait_ns.min(send_ns.saturating_sub(SPIN_NS)),
            Spin::Never => wait_ns.min(send_ns),
        }
    }

    /// Serves the timers that are due; false where none was.
    fn serve_timers<T: Transport>(&mut self, now_ns: u64, transport: &mut T) -> bool {
        let mut has_served = false;
        while let Some((slot, timer)) = self.timers.take(now_ns) {
            self.tally.watch.work();
            match timer {
                Timer::Retry => self.open(now_ns, slot, transport),
                Timer::Opening => self.end_opening(now_ns, slot, transport),
                Timer::Rest => self.end_rest(slot, transport),
                Timer::Timeout => self.end_hung(now_ns, slot, transport),
            }
            has_served = true;
        }
        has_served
    }

    /// Sends what is due in an open loop, as long as there are connections for it; false where
    /// nothing was.
    fn send_due<T: Transport>(&mut self, now_ns: u64, transport: &mut T) -> bool {
        for nth in 0..SENDS_MAX {
            match &self.arrivals {
                Some(arrivals) if arrivals.next_ns() <= now_ns => {}
                _ => return nth > 0,
            }
            let Some((slot, free_ns)) = self.take_free() else { return nth > 0 };
            let sent_ns = transport.now_ns();
            self.tally.watch.read(sent_ns);
            if matches!(self.start_due(sent_ns, free_ns, slot), Next::Send) {
                transport.send(slot, self);
            }
        }
        true
    }

    /// The connection that has been free for longest, with the time since.
    fn take_free(&mut self) -> Option<(usize, u64)> {
        while let Some(slot) = self.free.pop_front() {
            let connection = &mut self.connections[slot];
            connection.listed = false;
            if let Phase::Free { since_ns } = connection.phase {
                return Some((slot, since_ns));
            }
        }
        None
    }

    /// The connection is free for its next batch.
    fn next(&mut self, now_ns: u64, slot: usize) -> Next {
        if self.arrivals.is_some() {
            return self.next_open(now_ns, slot);
        }
        if self.rests {
            return self.rest(now_ns, slot);
        }
        self.start(now_ns, now_ns, slot)
    }

    fn next_open(&mut self, now_ns: u64, slot: usize) -> Next {
        // Those that were free before go first; the loop sees to them after this turn.
        if self.free.is_empty() {
            let next = self.start_due(now_ns, now_ns, slot);
            if next == Next::Send || self.error.is_some() {
                return next;
            }
        }
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Free { since_ns: now_ns };
        if !connection.listed {
            connection.listed = true;
            self.free.push_back(slot);
        }
        Next::Wait
    }

    /// Starts the next batch of an open loop on a connection that is free since `free_ns`, if one
    /// is due.
    fn start_due(&mut self, now_ns: u64, free_ns: u64, slot: usize) -> Next {
        if self.source.stopped() {
            return Next::Wait;
        }
        let due_ns = self.arrivals.as_mut().and_then(|arrivals| arrivals.take(now_ns));
        let Some(intended_ns) = due_ns else { return Next::Wait };
        if free_ns > intended_ns {
            self.tally.counts.queued += self.depth;
        }
        if now_ns - intended_ns > LATE_NS {
            self.tally.counts.late += self.depth;
        }
        self.tally.sent_since(intended_ns.max(free_ns), now_ns);
        self.start(now_ns, intended_ns, slot)
    }

    /// Lets the connection rest as the source wishes.
    fn rest(&mut self, now_ns: u64, slot: usize) -> Next {
        match self.source.delay() {
            Ok(None) => self.rests = false,
            Ok(Some(delay)) if delay.is_zero() => {}
            Ok(Some(delay)) => {
                self.connections[slot].phase = Phase::Resting { open: true };
                self.timers.set(now_ns.saturating_add(nanos(delay)), slot, Timer::Rest);
                return Next::Wait;
            }
            Err(error) => return self.give_up(error),
        }
        self.start(now_ns, now_ns, slot)
    }

    fn end_rest<T: Transport>(&mut self, slot: usize, transport: &mut T) {
        match self.connections[slot].phase {
            Phase::Resting { open: true } => {
                let now_ns = transport.now_ns();
                if self.start(now_ns, now_ns, slot) == Next::Send {
                    transport.send(slot, self);
                }
            }
            Phase::Resting { open: false } => self.connections[slot].phase = Phase::Rested,
            Phase::Closed | Phase::Free { .. } | Phase::Rested | Phase::Busy(_) => {
                debug_assert!(false, "a rest ends by its timer only");
            }
        }
    }

    /// Makes the next batch and sends it, unless the source has stopped: the loop ends the run
    /// after this turn, and a script that counts its requests gets as many as it wanted.
    fn start(&mut self, now_ns: u64, intended_ns: u64, slot: usize) -> Next {
        self.tally.watch.work();
        let connection = &mut self.connections[slot];
        if self.source.stopped() {
            connection.phase = Phase::Free { since_ns: now_ns };
            return Next::Wait;
        }
        if self.source.fixed().is_none() {
            if let Err(error) = self.source.render(&mut connection.request) {
                return self.give_up(error);
            }
            connection.parser.expect_head_only(is_head(&connection.request));
        }
        connection.phase = Phase::Busy(Batch { intended_ns, sent_ns: now_ns, left: self.depth });
        self.tally.counts.sent += self.depth;
        self.in_flight += self.depth;
        if self.hung == HungRule::End && !connection.watched {
            connection.watched = true;
            self.timers.set(now_ns.saturating_add(self.timeout_ns), slot, Timer::Timeout);
        }
        Next::Send
    }

    /// Gives up what the connection has sent if that is unanswered for too long; else looks again
    /// when it would be. One timer per connection is enough, however many batches it sends.
    fn end_hung<T: Transport>(&mut self, now_ns: u64, slot: usize, transport: &mut T) {
        let connection = &mut self.connections[slot];
        connection.watched = false;
        let Phase::Busy(batch) = connection.phase else { return };
        let due_ns = batch.sent_ns.saturating_add(self.timeout_ns);
        if due_ns > now_ns {
            connection.watched = true;
            self.timers.set(due_ns, slot, Timer::Timeout);
            return;
        }
        connection.close();
        self.in_flight -= batch.left;
        self.tally.gave_up(now_ns, &batch);
        self.tally.counts.reopened += 1;
        self.open(now_ns, slot, transport);
    }

    /// The source cannot go on: the loop ends the run after this turn.
    fn give_up(&mut self, error: SourceError) -> Next {
        self.error.get_or_insert(error);
        Next::Wait
    }

    /// Ends the measurement. Walks all connections, and all requests that are due and unsent.
    fn finish(mut self, mut meter: Meter, now_ns: u64) -> (Outcome, S) {
        if meter.begins(now_ns) {
            self.tally.begin(now_ns, self.in_flight);
        }
        self.tally.close_gap(now_ns);
        for connection in &self.connections {
            if let Phase::Busy(batch) = connection.phase {
                if now_ns - batch.sent_ns > self.timeout_ns {
                    self.tally.hung(now_ns, &batch);
                } else {
                    self.tally.counts.in_flight += batch.left;
                }
            }
        }
        self.count_unopened(now_ns);
        // What is due in the moment of the end is no part of the measurement any more.
        while let Some(arrivals) = &mut self.arrivals
            && let Some(intended_ns) = arrivals.take(now_ns.saturating_sub(1))
        {
            self.tally.unsent(now_ns, intended_ns, self.depth);
        }
        debug_assert!(self.tally.counts.balance(), "{:?}", self.tally.counts);
        self.tally.hand_over(now_ns, true);
        (meter.finish(now_ns, self.tally), self.source)
    }
}

/// Whether a batch begins with a HEAD request, whose response has no body.
fn is_head(batch: &[u8]) -> bool {
    batch.starts_with(b"HEAD ")
}

#[cfg(test)]
mod tests;
