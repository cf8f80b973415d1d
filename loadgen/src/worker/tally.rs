//! What one thread writes down while it runs.

use super::watch::Watch;
use crate::interval::Tap;
use crate::outcome::{Counts, Gap, WrkFigures};
use crate::plan::{Plan, Schedule, Spin};
use crate::samples::Samples;
use crate::transport::Failure;
use std::collections::BTreeMap;

/// Digits kept of a latency, and the latency up to which they cost no allocation: an hour.
const LATENCY_DIGITS: u8 = 3;
const LATENCY_EXPECTED_MAX_NS: u64 = 3_600_000_000_000;

/// Room for the latencies of a run.
pub(super) fn latencies() -> Samples {
    Samples::new(LATENCY_DIGITS, LATENCY_EXPECTED_MAX_NS)
}

/// Three digits of status code.
const STATUS_CODES: usize = 1000;

/// A batch that was sent, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// When it was to be sent; in a closed loop, when it was.
    pub(super) intended_ns: u64,
    /// When it was sent.
    pub(super) sent_ns: u64,
    /// Responses that are awaited.
    pub(super) left: u64,
}

/// What was counted and recorded. [`crate::outcome::Outcome`] says what each means.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) statuses: Vec<u64>,
    pub(crate) latency: Samples,
    pub(crate) service: Option<Samples>,
    pub(crate) lateness: Option<Samples>,
    pub(crate) lateness_undisturbed: Option<Samples>,
    pub(crate) watch: Watch,
    pub(crate) errnos: BTreeMap<(Failure, i32), u64>,
    pub(crate) gap: Gap,
    pub(crate) in_flight_ns: u128,
    pub(crate) wrk: Option<WrkFigures>,
    /// Who watches the run while it goes on.
    pub(super) tap: Option<Tap>,
    /// When the latest response came, or counting began.
    responded_ns: u64,
    timeout_ns: u64,
    batch_latency: bool,
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        let is_open = matches!(plan.schedule, Schedule::Open { .. });
        Self {
            counts: Counts::default(),
            statuses: vec![0; STATUS_CODES],
            latency: latencies(),
            service: is_open.then(latencies),
            lateness: is_open.then(latencies),
            lateness_undisturbed: is_open.then(latencies),
            watch: Watch::new(plan.spin != Spin::Never),
            errnos: BTreeMap::new(),
            gap: Gap::default(),
            in_flight_ns: 0,
            wrk: plan.wrk_figures.then(WrkFigures::default),
            tap: None,
            responded_ns: 0,
            timeout_ns: crate::plan::nanos(plan.timeout),
            batch_latency: plan.batch_latency,
        }
    }

    /// Counting begins, or begins anew: requests in flight are carried over, all else is forgotten.
    pub(super) fn begin(&mut self, now_ns: u64, in_flight: u64) {
        self.counts = Counts { sent: in_flight, ..Counts::default() };
        self.statuses.fill(0);
        self.latency.clear();
        let Self { service, lateness, lateness_undisturbed, .. } = self;
        let of_open_loop = [service, lateness, lateness_undisturbed];
        of_open_loop.into_iter().flatten().for_each(Samples::clear);
        self.watch.begin();
        self.errnos.clear();
        self.gap = Gap::default();
        self.in_flight_ns = 0;
        self.wrk = self.wrk.take().map(|_| WrkFigures::default());
        self.responded_ns = now_ns;
        if let Some(tap) = &mut self.tap {
            tap.begin(now_ns, self.counts);
        }
    }

    /// Hands the interval over if it is over, or `at_end`.
    pub(super) fn hand_over(&mut self, now_ns: u64, at_end: bool) {
        if let Some(tap) = &mut self.tap
            && (at_end || tap.is_due(now_ns))
        {
            tap.hand_over(now_ns, self.counts);
        }
    }

    /// A batch of an open loop is sent, which could have been sent since `since_ns`.
    pub(super) fn sent_since(&mut self, since_ns: u64, now_ns: u64) {
        let is_undisturbed = !self.watch.touches(since_ns);
        let undisturbed = self.lateness_undisturbed.as_mut().filter(|_| is_undisturbed);
        for samples in self.lateness.iter_mut().chain(undisturbed) {
            samples.record(now_ns - since_ns);
        }
    }

    fn record(&mut self, latency_ns: u64, times: u64) {
        self.latency.record_n(latency_ns, times);
        if let Some(tap) = &mut self.tap {
            tap.latency().record_n(latency_ns, times);
        }
    }

    /// A response came, the last of its batch if `batch.left` is 0.
    pub(super) fn responded(&mut self, now_ns: u64, batch: &Batch, status: u16) {
        self.close_gap(now_ns);
        let latency_ns = now_ns - batch.intended_ns;
        self.counts.requests += 1;
        self.counts.timeout += u64::from(latency_ns > self.timeout_ns);
        self.counts.status += u64::from(status > 399);
        self.statuses[usize::from(status)] += 1;
        if batch.left == 0 || !self.batch_latency {
            self.record(latency_ns, 1);
            if let Some(service) = &mut self.service {
                service.record(now_ns - batch.sent_ns);
            }
        }
        if batch.left == 0
            && let Some(wrk) = &mut self.wrk
        {
            let latency_ns = now_ns - batch.sent_ns;
            if latency_ns > self.timeout_ns {
                wrk.timeout += 1;
            } else {
                *wrk.latency_us.entry(latency_ns / 1000).or_default() += 1;
            }
        }
    }

    /// Requests that were sent have gone unanswered for longer than the time-out. They enter the
    /// latencies with the time that they have waited.
    pub(super) fn hung(&mut self, now_ns: u64, batch: &Batch) {
        self.counts.hung += batch.left;
        let times = if self.batch_latency { 1 } else { batch.left };
        self.record(now_ns - batch.intended_ns, times);
        if let Some(service) = &mut self.service {
            service.record_n(now_ns - batch.sent_ns, times);
        }
    }

    /// A batch is given up, whose late answer wrk would have counted.
    pub(super) fn gave_up(&mut self, now_ns: u64, batch: &Batch) {
        self.hung(now_ns, batch);
        if let Some(wrk) = &mut self.wrk {
            wrk.timeout += 1;
        }
    }

    /// Requests were due at `intended_ns` and have not been sent when counting ends.
    pub(super) fn unsent(&mut self, now_ns: u64, intended_ns: u64, depth: u64) {
        self.counts.unsent += depth;
        let times = if self.batch_latency { 1 } else { depth };
        self.record(now_ns - intended_ns, times);
    }

    /// A connection that carried `lost` requests is of no more use.
    pub(super) fn failed(&mut self, failure: Failure, errno: i32, lost: u64) {
        *self.errnos.entry((failure, errno)).or_default() += 1;
        match failure {
            Failure::Connect => self.counts.connect += 1,
            Failure::Read => self.lost(lost),
            Failure::Write => {
                self.counts.write += lost;
                if let Some(wrk) = &mut self.wrk {
                    wrk.write += u64::from(lost > 0);
                }
            }
        }
    }

    /// A connection ended without the answers to `lost` requests.
    pub(super) fn lost(&mut self, lost: u64) {
        self.counts.read += lost;
        self.wrk_read(lost);
    }

    /// A connection was given up for a malformed response, `lost` requests being unanswered.
    pub(super) fn malformed(&mut self, lost: u64) {
        self.counts.framing += lost;
        self.wrk_read(lost);
    }

    fn wrk_read(&mut self, lost: u64) {
        if let Some(wrk) = &mut self.wrk {
            wrk.read += u64::from(lost > 0);
        }
    }

    /// Ends the time without a response, if it is the longest so far.
    pub(super) fn close_gap(&mut self, now_ns: u64) {
        let length_ns = now_ns - self.responded_ns;
        self.gap = self.gap.longer(Gap { began_ns: self.responded_ns, length_ns });
        self.responded_ns = now_ns;
    }
}
