//! Second by second: what threads measured, brought together without holding them up.
//!
//! Each thread has an [`IntervalSink`] with a few histograms made before the run. It records into
//! one of them; when a second is over it hands that one to the [`Collector`] and goes on with a
//! spare, which is a swap of two pointers through bounded channels: nothing is allocated, cleared
//! or waited for. The collector, on the thread that waits for the end of the run anyway, adds up
//! the threads' parts, clears them and gives them back.

use crate::samples::Samples;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Length of an interval in nanoseconds: a second.
pub const INTERVAL_NS: u64 = 1_000_000_000;

/// A remainder shorter than this, with nothing in it, is how much the last turn of the loop ran
/// over, and makes no row.
const REMAINDER_MIN_NS: u64 = INTERVAL_NS / 10;

/// Histograms of each thread: how many seconds the collector may be late without a merged row.
const PARTS_PER_THREAD: usize = 4;

/// Rows that wait for a thread's part. A thread that falls further behind has its part added to a
/// later row, which is counted.
const PENDING_MAX: usize = 8;

/// Precision of the histograms, and the latency up to which they need no more memory: an hour.
const DIGITS: u8 = 3;
const EXPECTED_MAX_NS: u64 = 3_600_000_000_000;

/// What one thread measured in one interval, or in several where it had no spare.
#[derive(Debug)]
struct Part {
    thread: usize,
    /// The interval that it ends.
    index: u64,
    /// When it ended, in nanoseconds after the beginning of the measurement.
    end_ns: u64,
    /// Intervals that had to go on in the same histogram.
    merged: u64,
    latency: Samples,
    service: Option<Samples>,
    errors: u64,
}

impl Part {
    fn new(thread: usize, with_service: bool) -> Self {
        let samples = || Samples::new(DIGITS, EXPECTED_MAX_NS);
        Self {
            thread,
            index: 0,
            end_ns: 0,
            merged: 0,
            latency: samples(),
            service: with_service.then(samples),
            errors: 0,
        }
    }

    fn clear(&mut self) {
        self.latency.clear();
        if let Some(service) = &mut self.service {
            service.clear();
        }
        self.errors = 0;
        self.merged = 0;
    }

    fn is_empty(&self) -> bool {
        self.latency.count() == 0 && self.errors == 0
    }
}

/// Takes the samples of one thread.
#[derive(Debug)]
pub struct IntervalSink {
    part: Box<Part>,
    /// Has room for every part there is, so that sending never waits.
    full: SyncSender<Box<Part>>,
    spare: Receiver<Box<Part>>,
    began_ns: u64,
    due_ns: u64,
    index: u64,
    /// Errors of the intervals before this one.
    errors_before: u64,
}

impl IntervalSink {
    /// The measurement begins: what the warm-up left is forgotten.
    pub fn begin(&mut self, now_ns: u64) {
        self.part.clear();
        self.began_ns = now_ns;
        self.due_ns = now_ns.saturating_add(INTERVAL_NS);
        self.index = 0;
        self.errors_before = 0;
    }

    /// A response came. `service_ns` counts where both latencies are kept.
    pub fn record(&mut self, latency_ns: u64, service_ns: u64) {
        self.part.latency.record(latency_ns);
        if let Some(service) = &mut self.part.service {
            service.record(service_ns);
        }
    }

    /// Ends the interval if it is over. `errors` is the number since the measurement began. To be
    /// called once per turn of the loop, or whenever [`IntervalSink::due_ns`] has passed.
    pub fn tick(&mut self, now_ns: u64, errors: u64) {
        if now_ns < self.due_ns {
            return;
        }
        self.count_errors(errors);
        self.part.end_ns = self.due_ns - self.began_ns;
        match self.spare.try_recv() {
            Ok(spare) => {
                let mut part = std::mem::replace(&mut self.part, spare);
                part.index = self.index;
                hand_over(&self.full, part);
            }
            // The collector is late or gone. The samples stay; the next row has them as well.
            Err(_) => self.part.merged += 1,
        }
        self.index = (now_ns - self.began_ns) / INTERVAL_NS;
        self.due_ns = self.began_ns.saturating_add((self.index + 1).saturating_mul(INTERVAL_NS));
    }

    /// When the interval ends.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The measurement has ended.
    pub fn finish(mut self, now_ns: u64, errors: u64) {
        self.tick(now_ns, errors);
        self.count_errors(errors);
        let Self { mut part, full, began_ns, index, .. } = self;
        part.index = index;
        part.end_ns = now_ns.saturating_sub(began_ns);
        let length_ns = part.end_ns.saturating_sub(index * INTERVAL_NS);
        if length_ns >= REMAINDER_MIN_NS || !part.is_empty() {
            hand_over(&full, part);
        }
    }

    fn count_errors(&mut self, errors: u64) {
        self.part.errors += errors.saturating_sub(self.errors_before);
        self.errors_before = errors;
    }
}

fn hand_over(full: &SyncSender<Box<Part>>, part: Box<Part>) {
    // A collector that is gone wants nothing any more: the run is over.
    drop(full.try_send(part));
}

/// What all threads measured in one interval.
#[derive(Debug)]
pub struct Row {
    /// Number of the interval, from 0.
    pub index: u64,
    /// Length in nanoseconds: a second, or less at the end of the run.
    pub length_ns: u64,
    /// The latency that is reported, in nanoseconds, one sample per response.
    pub latency: Samples,
    /// The latency from when a request was sent, where the one that is reported is not that.
    pub service: Option<Samples>,
    /// Errors of all kinds.
    pub errors: u64,
}

impl Row {
    /// Seconds from the beginning of the measurement to that of the interval.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run have 53 bits")]
    pub fn start_s(&self) -> f64 {
        (self.index * INTERVAL_NS) as f64 / 1e9
    }

    /// Length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most a second")]
    pub fn length_s(&self) -> f64 {
        self.length_ns as f64 / 1e9
    }

    /// Responses per second of the interval; 0 where it has no length.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded to 53 bits")]
    pub fn rate_rps(&self) -> f64 {
        if self.length_ns == 0 { 0.0 } else { self.latency.count() as f64 / self.length_s() }
    }
}

/// Brings the parts of all threads together.
#[derive(Debug)]
pub struct Collector {
    full: Receiver<Box<Part>>,
    /// Back to each thread.
    spares: Vec<SyncSender<Box<Part>>>,
    with_service: bool,
    /// Number of intervals that each thread has handed over or passed.
    passed: Vec<u64>,
    /// Rows that are not complete, in order.
    pending: VecDeque<Row>,
    /// The interval of the next row.
    next: u64,
    merged: u64,
}

/// The two ends for a run of so many threads. `with_service` keeps both latencies.
#[must_use]
pub fn channel(threads: usize, with_service: bool) -> (Vec<IntervalSink>, Collector) {
    let (full_sender, full) = sync_channel(threads * PARTS_PER_THREAD);
    let mut sinks = Vec::with_capacity(threads);
    let mut spares = Vec::with_capacity(threads);
    for thread in 0..threads {
        let (spare_sender, spare) = sync_channel(PARTS_PER_THREAD);
        for _ in 1..PARTS_PER_THREAD {
            // There is room: the channel was made for them.
            drop(spare_sender.try_send(Box::new(Part::new(thread, with_service))));
        }
        spares.push(spare_sender);
        sinks.push(IntervalSink {
            part: Box::new(Part::new(thread, with_service)),
            full: full_sender.clone(),
            spare,
            began_ns: 0,
            due_ns: u64::MAX,
            index: 0,
            errors_before: 0,
        });
    }
    let passed = vec![0; threads];
    let pending = VecDeque::with_capacity(PENDING_MAX);
    (sinks, Collector { full, spares, with_service, passed, pending, next: 0, merged: 0 })
}

impl Collector {
    /// Takes what threads have handed over, and returns the next row that is complete, if there is
    /// one. To be called until it returns `None`, several times a second.
    pub fn next_row(&mut self) -> Option<Row> {
        self.take_parts();
        let slowest = self.passed.iter().copied().min().unwrap_or(0);
        (slowest > self.next || self.pending.len() > PENDING_MAX).then(|| self.pop()).flatten()
    }

    /// Returns the rows that are left once all threads have ended.
    pub fn finish(&mut self) -> Vec<Row> {
        self.take_parts();
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Intervals that share a row with the one after, because this end came too late for them.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    fn pop(&mut self) -> Option<Row> {
        let row = self.pending.pop_front()?;
        self.next = row.index + 1;
        Some(row)
    }

    fn take_parts(&mut self) {
        while let Ok(mut part) = self.full.try_recv() {
            self.add(&part);
            part.clear();
            // A thread that has ended takes nothing back.
            drop(self.spares[part.thread].try_send(part));
        }
    }

    fn add(&mut self, part: &Part) {
        self.passed[part.thread] = part.index + 1;
        self.merged += part.merged;
        // Its row may be out already; then the next one has it.
        let index = part.index.max(self.next);
        self.merged += u64::from(index > part.index);
        while self.pending.back().is_none_or(|row| row.index < index) {
            let mut row =
                self.empty_row(self.pending.back().map_or(self.next, |row| row.index + 1));
            // Nobody measured anything in those before, but they lasted.
            row.length_ns = if row.index < index { INTERVAL_NS } else { 0 };
            self.pending.push_back(row);
        }
        let at = usize::try_from(index - self.next).expect("rows in memory fit an index");
        let row = &mut self.pending[at];
        row.latency.merge(&part.latency);
        if let (Some(sum), Some(service)) = (&mut row.service, &part.service) {
            sum.merge(service);
        }
        row.errors += part.errors;
        let length_ns = part.end_ns.saturating_sub(row.index * INTERVAL_NS).min(INTERVAL_NS);
        row.length_ns = row.length_ns.max(length_ns);
    }

    fn empty_row(&self, index: u64) -> Row {
        let samples = || Samples::new(DIGITS, EXPECTED_MAX_NS);
        Row {
            index,
            length_ns: 0,
            latency: samples(),
            service: self.with_service.then(samples),
            errors: 0,
        }
    }
}

#[cfg(test)]
mod tests;
