//! From what a run has measured to the figures that a script's `done` is given.

use super::figures::{Errors, RATE_MAX_RPS, Recorded, Summary, WrkFigures};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::plan::{Schedule, nanos};
use crate::samples::Samples;

/// What wrk would tell a script, its correction included, or wrk2 where a rate was given.
///
/// wrk's latencies are those of batches, where they were kept; wrk2's are those of responses, from
/// when each request was to be sent.
#[must_use]
pub fn figures(options: &Options, outcome: &Outcome) -> WrkFigures {
    let rate_given = matches!(options.plan.schedule, Schedule::Open { .. });
    let wrk = outcome.wrk.clone().unwrap_or_default();
    let mut latency = Recorded::new(nanos(options.plan.timeout) / 1000);
    if rate_given {
        latency = recorded(&outcome.latency, 1000, outcome.latency.max() / 1000);
    } else {
        for (value_us, count) in &wrk.latency_us {
            latency.record_n(*value_us, *count);
        }
    }
    let counts = &outcome.counts;
    let errors = Errors {
        connect: counts.connect,
        read: wrk.read,
        write: wrk.write,
        status: counts.status,
        timeout: wrk.timeout,
    };
    let summary = Summary {
        duration_us: (outcome.ended_ns - outcome.began_ns) / 1000,
        requests: counts.requests,
        bytes: counts.read_bytes,
        errors,
    };
    let requests = recorded(&outcome.rates, 1, RATE_MAX_RPS);
    let mut figures = WrkFigures { latency, requests, summary, rate_given };
    figures.correct(options.connections as u64);
    figures
}

/// Samples in another unit, as many of them as `per` make one of; those above the limit are left
/// out, as wrk leaves them out.
fn recorded(samples: &Samples, per: u64, limit: u64) -> Recorded {
    let mut recorded = Recorded::new(limit);
    for bucket in samples.histogram().iter_recorded() {
        let value = bucket.value_iterated_to().clamp(samples.min(), samples.max());
        recorded.record_n(value / per, bucket.count_at_value());
    }
    recorded
}
