//! When the measurement begins, and what is sampled at fixed times while it lasts.

use crate::outcome::{Outcome, ThreadUse};
use crate::plan::{RATE_INTERVAL_NS, Window};
use crate::samples::Samples;
use crate::transport::sys;
use crate::worker::Tally;

/// Digits kept of a rate, and the rate up to which they cost no allocation.
const RATE_DIGITS: u8 = 4;
const RATE_EXPECTED_MAX_RPS: u64 = 10_000_000;

/// The clockwork of one thread.
#[derive(Debug)]
pub(crate) struct Meter {
    window: Window,
    /// Whether the measurement lasts from one instant of the window to the other, even where the
    /// thread was late for the first.
    by_clock: bool,
    /// When the measurement began, once it has.
    began_ns: Option<u64>,
    cpu_began_ns: u64,
    delay_began_ns: u64,
    /// When the next sample is due.
    due_ns: u64,
    /// Where the rate that is being sampled began: time and requests.
    rate_from: (u64, u64),
    rates: Samples,
    series: Vec<u64>,
    /// Requests that the series has.
    in_series: u64,
}

impl Meter {
    /// A meter for a run that starts now; without a warm-up the measurement begins at once.
    ///
    /// `by_clock` is for an open loop, whose requests are due by the clock: if the thread is late,
    /// so are they, and that is not to be left out. A closed loop is measured at its full length
    /// instead.
    pub(crate) fn new(window: Window, now_ns: u64, by_clock: bool) -> Self {
        let mut meter = Self {
            window,
            by_clock,
            began_ns: None,
            cpu_began_ns: 0,
            delay_began_ns: 0,
            due_ns: window.measure_ns,
            rate_from: (0, 0),
            rates: Samples::new(RATE_DIGITS, RATE_EXPECTED_MAX_RPS),
            series: Vec::with_capacity(window.series_len()),
            in_series: 0,
        };
        if now_ns >= window.measure_ns {
            // What starting the thread took is part of the time, as in wrk.
            meter.begin(window.measure_ns);
        }
        meter
    }

    fn begin(&mut self, now_ns: u64) {
        self.began_ns = Some(now_ns);
        self.cpu_began_ns = sys::thread_cpu_ns();
        self.delay_began_ns = sys::thread_delay_ns();
        self.due_ns = now_ns.saturating_add(RATE_INTERVAL_NS);
        self.rate_from = (now_ns, 0);
    }

    /// When the measurement ends: at its full length after it began.
    pub(crate) fn end_ns(&self) -> u64 {
        let length_ns = self.window.end_ns - self.window.measure_ns;
        self.began_ns.map_or(self.window.end_ns, |began_ns| began_ns.saturating_add(length_ns))
    }

    /// When there is something to do.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Whether there is something to do.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }

    /// Begins the measurement if it has not begun; true where this call did.
    pub(crate) fn begins(&mut self, now_ns: u64) -> bool {
        let begins = self.began_ns.is_none();
        if begins {
            let is_clocked = self.by_clock && now_ns >= self.window.measure_ns;
            self.begin(if is_clocked { self.window.measure_ns } else { now_ns });
        }
        begins
    }

    /// Takes the samples that are due, given the requests completed so far.
    pub(crate) fn tick(&mut self, now_ns: u64, requests: u64) {
        if !self.is_due(now_ns) {
            return;
        }
        self.sample_rate(now_ns, requests);
        self.extend_series(self.due_ns, requests);
        while self.is_due(now_ns) {
            self.due_ns = self.due_ns.saturating_add(RATE_INTERVAL_NS);
        }
    }

    /// As wrk does: an interval without a response gives no sample, but makes the next one longer.
    fn sample_rate(&mut self, now_ns: u64, requests: u64) {
        let (from_ns, from_requests) = self.rate_from;
        let (elapsed_ns, done) = (now_ns - from_ns, requests - from_requests);
        if done > 0 && elapsed_ns > 0 {
            let per_second = u128::from(done) * 1_000_000_000 / u128::from(elapsed_ns);
            self.rates.record(u64::try_from(per_second).unwrap_or(u64::MAX));
            self.rate_from = (now_ns, requests);
        }
    }

    /// Counts what is not in the series yet as of the element that `at_ns` ends or lies in.
    fn extend_series(&mut self, at_ns: u64, requests: u64) {
        let since_ns = at_ns - self.began_ns.unwrap_or(at_ns);
        let elements = usize::try_from(since_ns.div_ceil(self.window.series_ns).max(1))
            .unwrap_or(usize::MAX)
            .min(self.window.series_len());
        // NB: grows within its capacity, which was taken from the same length.
        self.series.resize(elements.max(self.series.len()), 0);
        if let Some(last) = self.series.last_mut() {
            *last += requests - self.in_series;
            self.in_series = requests;
        }
    }

    /// Ends the measurement.
    pub(crate) fn finish(mut self, now_ns: u64, tally: Tally) -> Outcome {
        self.extend_series(now_ns, tally.counts.requests);
        let began_ns = self.began_ns.unwrap_or(now_ns);
        let cpu_ns = sys::thread_cpu_ns() - self.cpu_began_ns;
        let delayed_ns = sys::thread_delay_ns() - self.delay_began_ns;
        Outcome {
            counts: tally.counts,
            statuses: tally.statuses,
            latency: tally.latency,
            service: tally.service,
            lateness: tally.lateness,
            lateness_undisturbed: tally.lateness_undisturbed,
            rates: self.rates,
            series: self.series,
            errnos: tally.errnos,
            gap: tally.gap,
            in_flight_ns: tally.in_flight_ns,
            threads: vec![ThreadUse {
                cpu_ns,
                delayed_ns,
                interruptions: tally.watch.seen,
                idle_ns: tally.watch.idle_ns,
                wall_ns: now_ns - began_ns,
            }],
            wrk: tally.wrk,
            began_ns,
            ended_ns: now_ns,
        }
    }
}
