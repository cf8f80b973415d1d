//! The loop of one thread: a schedule over a transport until the stop rule says so.
//!
//! The counters balance at every moment: each request that was sent is completed, or ended in one
//! error, or is in flight (`sent == requests + read + write + framing + in_flight`). A response
//! that is late or has a bad status is completed all the same, and counted beside.

use crate::meter::Meter;
use crate::plan::{Plan, Schedule, Window, nanos};
use crate::response::{HeadCache, Parser, Progress};
use crate::samples::Samples;
use crate::transport::{Failure, Handler, Next, Transport};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pause before a connection that could not be opened is tried again.
const RETRY_NS: u64 = 100_000_000;

/// Digits kept of a latency, and the latency up to which they cost no allocation: an hour.
const LATENCY_DIGITS: u8 = 3;
const LATENCY_EXPECTED_MAX_NS: u64 = 3_600_000_000_000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Responses received whole.
    pub requests: u64,
    /// Bytes received, heads and malformed responses included.
    pub read_bytes: u64,
    /// Connections opened again after they had been open.
    pub reopened: u64,
    /// Connections that could not be opened.
    pub connect: u64,
    /// Requests whose connection failed, or was closed before the first byte of the response. A
    /// close that is announced, or that is there with the response before, is no error: the next
    /// request goes to a new connection. A server that closes without a word may do so after the
    /// next request was sent, which is then counted here, as wrk counts it.
    pub read: u64,
    /// Requests that could not be written.
    pub write: u64,
    /// Requests whose response was malformed, or was cut off by the close of the connection.
    pub framing: u64,
    /// Responses later than the time-out.
    pub timeout: u64,
    /// Responses with a status above 399.
    pub status: u64,
    /// Requests without an answer when counting ended.
    pub in_flight: u64,
}

impl Counts {
    /// Whether every request that was sent is accounted for.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.sent == self.requests + self.read + self.write + self.framing + self.in_flight
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.requests += other.requests;
        self.read_bytes += other.read_bytes;
        self.reopened += other.reopened;
        self.connect += other.connect;
        self.read += other.read;
        self.write += other.write;
        self.framing += other.framing;
        self.timeout += other.timeout;
        self.status += other.status;
        self.in_flight += other.in_flight;
    }
}

/// Three digits of status code.
const STATUS_CODES: usize = 1000;

/// What a thread, or all of them together, have measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was counted.
    pub counts: Counts,
    /// Responses by status code.
    pub statuses: Vec<u64>,
    /// Latency of every response in nanoseconds.
    pub latency: Samples,
    /// Requests per second of one thread in each interval of 100 ms, as wrk samples them.
    pub rates: Samples,
    /// Responses in each element of the series.
    pub series: Vec<u64>,
    /// CPU time of the measurement in nanoseconds, user and system.
    pub cpu_ns: u64,
    /// When the measurement began; the earliest of the threads.
    pub began_ns: u64,
    /// When it ended; the latest of the threads.
    pub ended_ns: u64,
}

impl Outcome {
    /// Adds what another thread measured in the same window.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.statuses.iter_mut().zip(&other.statuses).for_each(|(sum, count)| *sum += count);
        self.latency.merge(&other.latency);
        self.rates.merge(&other.rates);
        let longest = self.series.len().max(other.series.len());
        self.series.resize(longest, 0);
        self.series.iter_mut().zip(&other.series).for_each(|(sum, count)| *sum += count);
        self.cpu_ns += other.cpu_ns;
        self.began_ns = self.began_ns.min(other.began_ns);
        self.ended_ns = self.ended_ns.max(other.ended_ns);
    }

    /// Seconds that were measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days")]
    pub fn duration_s(&self) -> f64 {
        (self.ended_ns - self.began_ns) as f64 / 1e9
    }
}

/// One connection, as HTTP sees it.
#[derive(Debug)]
struct Connection {
    parser: Parser,
    /// When its request was sent, while the response is awaited.
    sent_ns: Option<u64>,
}

/// The connections of one thread and what they measure.
#[derive(Debug)]
pub struct Worker {
    schedule: Schedule,
    request: Vec<u8>,
    timeout_ns: u64,
    connections: Vec<Connection>,
    heads: HeadCache,
    /// Connections to open again, with the time for it; the first is the next.
    retries: VecDeque<(u64, usize)>,
    counts: Counts,
    statuses: Vec<u64>,
    latency: Samples,
}

/// Runs one thread's share of a plan from now to the end of the window, or until `interrupted`.
///
/// # Errors
/// Where the transport cannot wait any more; what happens to a connection is counted instead.
pub fn run<T: Transport>(
    transport: &mut T,
    mut worker: Worker,
    window: Window,
    interrupted: &AtomicBool,
) -> io::Result<Outcome> {
    let mut meter = Meter::new(window, transport.now_ns());
    for slot in 0..worker.connections.len() {
        transport.open(slot, &mut worker);
    }
    loop {
        let now_ns = transport.now_ns();
        if meter.is_due(now_ns) {
            if meter.begins(now_ns) {
                worker.forget();
            }
            meter.tick(now_ns, worker.counts.requests);
        }
        if now_ns >= meter.end_ns() || interrupted.load(Ordering::Relaxed) {
            return Ok(worker.finish(meter, now_ns));
        }
        worker.retry(now_ns, transport);
        let wake_ns = worker.retries.front().map_or(u64::MAX, |(due_ns, _)| *due_ns);
        let wake_ns = wake_ns.min(meter.due_ns()).min(meter.end_ns());
        transport.poll(wake_ns.saturating_sub(now_ns), &mut worker)?;
    }
}

impl Worker {
    /// A worker that sends `request` as the plan says.
    #[must_use]
    pub fn new(plan: &Plan, request: Vec<u8>) -> Self {
        let connection = || Connection { parser: Parser::new(false), sent_ns: None };
        Self {
            schedule: plan.schedule,
            request,
            timeout_ns: nanos(plan.timeout),
            connections: std::iter::repeat_with(connection).take(plan.connections).collect(),
            heads: HeadCache::default(),
            retries: VecDeque::with_capacity(plan.connections),
            counts: Counts::default(),
            statuses: vec![0; STATUS_CODES],
            latency: Samples::new(LATENCY_DIGITS, LATENCY_EXPECTED_MAX_NS),
        }
    }

    /// Requests sent and not answered. Walks all connections: for the ends of the measurement only.
    fn in_flight(&self) -> u64 {
        self.connections.iter().filter(|connection| connection.sent_ns.is_some()).count() as u64
    }

    /// The warm-up is over: what it counted is forgotten. Requests in flight are carried over.
    fn forget(&mut self) {
        self.counts = Counts { sent: self.in_flight(), ..Counts::default() };
        self.statuses.fill(0);
        self.latency.clear();
    }

    fn finish(mut self, mut meter: Meter, now_ns: u64) -> Outcome {
        if meter.begins(now_ns) {
            self.forget();
        }
        self.counts.in_flight = self.in_flight();
        debug_assert!(self.counts.balance(), "{:?}", self.counts);
        meter.finish(now_ns, self.counts, self.statuses, self.latency)
    }

    /// Opens the connections whose pause is over.
    fn retry<T: Transport>(&mut self, now_ns: u64, transport: &mut T) {
        while let Some((due_ns, slot)) = self.retries.front().copied()
            && due_ns <= now_ns
        {
            self.retries.pop_front();
            transport.open(slot, self);
        }
    }

    /// The connection is free for its next request.
    fn next(&mut self, now_ns: u64, slot: usize) -> Next {
        match self.schedule {
            Schedule::Closed => {
                self.counts.sent += 1;
                self.connections[slot].sent_ns = Some(now_ns);
                Next::Send
            }
        }
    }

    fn complete(&mut self, now_ns: u64, slot: usize, status: u16, reusable: bool) -> Next {
        let Some(sent_ns) = self.connections[slot].sent_ns.take() else {
            return self.reopen(slot);
        };
        let latency_ns = now_ns - sent_ns;
        self.latency.record(latency_ns);
        self.counts.requests += 1;
        self.counts.timeout += u64::from(latency_ns > self.timeout_ns);
        self.counts.status += u64::from(status > 399);
        self.statuses[usize::from(status)] += 1;
        if reusable { self.next(now_ns, slot) } else { self.reopen(slot) }
    }

    fn reopen(&mut self, slot: usize) -> Next {
        self.connections[slot].parser.reset();
        self.counts.reopened += 1;
        Next::Reopen
    }

    /// Takes the request off a connection that is of no more use; true where there was one.
    fn abandon(&mut self, slot: usize) -> bool {
        self.connections[slot].sent_ns.take().is_some()
    }
}

impl Handler for Worker {
    fn opened(&mut self, now_ns: u64, slot: usize) -> Next {
        self.next(now_ns, slot)
    }

    fn received(&mut self, now_ns: u64, slot: usize, bytes: &[u8], reusable: bool) -> Next {
        self.counts.read_bytes += bytes.len() as u64;
        match self.connections[slot].parser.advance(bytes, &mut self.heads) {
            Ok(Progress::Partial) => Next::Wait,
            // One request is open at a time, so that the end of its response ends the bytes.
            Ok(Progress::Complete { consumed, status, keep_alive }) if consumed == bytes.len() => {
                self.complete(now_ns, slot, status, keep_alive && reusable)
            }
            Ok(Progress::Complete { .. }) | Err(_) => {
                self.counts.framing += u64::from(self.abandon(slot));
                self.reopen(slot)
            }
        }
    }

    fn closed(&mut self, now_ns: u64, slot: usize) -> Next {
        let parser = &mut self.connections[slot].parser;
        if !parser.has_begun() {
            self.counts.read += u64::from(self.abandon(slot));
            return self.reopen(slot);
        }
        match parser.finish() {
            Ok(status) => self.complete(now_ns, slot, status, false),
            Err(_) => {
                self.counts.framing += u64::from(self.abandon(slot));
                self.reopen(slot)
            }
        }
    }

    fn failed(&mut self, now_ns: u64, slot: usize, failure: Failure) -> Next {
        match failure {
            Failure::Connect => {
                self.counts.connect += 1;
                self.retries.push_back((now_ns.saturating_add(RETRY_NS), slot));
                return Next::Close;
            }
            Failure::Read => self.counts.read += u64::from(self.abandon(slot)),
            Failure::Write => self.counts.write += u64::from(self.abandon(slot)),
        }
        self.reopen(slot)
    }

    fn request(&self, _slot: usize) -> &[u8] {
        &self.request
    }
}

#[cfg(test)]
mod tests;
