//! The report that `--json` writes: every figure in a unit named by its key, and all samples.

use crate::options::Options;
use crate::outcome::Outcome;
use crate::output::percentiles::Percentile;
use crate::plan::{HungRule, Schedule, Window};
use crate::samples::Samples;
use crate::transport::{Endpoint, reason};
use record::{
    ErrnoCount, HistogramError, Latency, LoadClient, LoadCondition, LoadErrors, LoadReport,
    LoadSetup,
};

/// Percentiles with their keys.
const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99_9", 99.9),
    ("p99_99", 99.99),
];

/// What a run was, beside its options.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// When it was measured.
    pub window: &'a Window,
    /// Where its connections led, in turn.
    pub endpoints: &'a [Endpoint],
    /// Requests in a batch.
    pub depth: usize,
    /// What the conditions of `--fail-if` have come to.
    pub conditions: &'a [LoadCondition],
}

/// Puts the report of a run together.
///
/// # Errors
/// Where the histogram cannot be written, which takes more than 2^63 samples.
#[expect(clippy::cast_precision_loss, reason = "figures of a report have 53 bits")]
pub fn report(
    options: &Options,
    setting: &Setting<'_>,
    outcome: &Outcome,
    client: LoadClient,
) -> Result<LoadReport, HistogramError> {
    let counts = &outcome.counts;
    let duration_s = outcome.duration_s();
    let rate = if duration_s > 0.0 { counts.requests as f64 / duration_s } else { 0.0 };
    let mut reported = latency(&outcome.latency)?;
    if let Some(list) = &options.output.percentiles {
        let asked = list.as_slice().iter();
        let asked = asked.map(|one| (key(*one), one.of(&outcome.latency) as f64 / 1000.0));
        reported.percentiles_us.extend(asked);
    }
    Ok(LoadReport {
        schema: LoadReport::SCHEMA,
        setup: setup(options, setting),
        duration_s,
        requests: counts.requests,
        read_bytes: counts.read_bytes,
        throughput_rps: rate,
        latency: reported,
        service: outcome.service.as_ref().map(latency).transpose()?,
        lateness: outcome.lateness.as_ref().map(latency).transpose()?,
        lateness_undisturbed: outcome.lateness_undisturbed.as_ref().map(latency).transpose()?,
        censored: counts.censored(),
        errors: LoadErrors {
            connect: counts.connect,
            read: counts.read,
            write: counts.write,
            timeout: counts.timeout,
            status: counts.status,
            framing: counts.framing,
            hung: counts.hung,
        },
        errors_by_errno: outcome
            .errnos
            .iter()
            .map(|((failure, errno), count)| ErrnoCount {
                during: failure.to_string(),
                errno: *errno,
                text: reason(*errno),
                count: *count,
            })
            .collect(),
        status: (0_u16..)
            .zip(&outcome.statuses)
            .filter(|(_, count)| **count > 0)
            .map(|(status, count)| (status, *count))
            .collect(),
        sent: counts.sent,
        in_flight: counts.in_flight,
        unsent: counts.unsent,
        reopened: counts.reopened,
        interval_s: setting.window.series_ns as f64 / 1e9,
        interval_requests: outcome.series.clone(),
        cpu_s: outcome.cpu_ns() as f64 / 1e9,
        client: Some(client),
        conditions: setting.conditions.to_vec(),
    })
}

/// The key of a percentile: `p99_9`, `max`.
fn key(percentile: Percentile) -> String {
    let text = percentile.to_string().replace('.', "_");
    if percentile == Percentile::MAX { text } else { format!("p{text}") }
}

#[expect(clippy::cast_precision_loss, reason = "seconds asked for have 53 bits")]
fn setup(options: &Options, setting: &Setting<'_>) -> LoadSetup {
    let plan = &options.plan;
    let (rate_rps, arrival, seed) = match plan.schedule {
        Schedule::Closed => (None, None, None),
        Schedule::Open { rate_rps, arrival, seed } => {
            (Some(rate_rps), Some(arrival.to_string()), Some(seed))
        }
    };
    LoadSetup {
        url: options.url_text.clone(),
        connections: (plan.connections * options.threads) as u64,
        threads: options.threads as u64,
        duration_s: options.duration_s as f64,
        warmup_s: plan.warmup.as_secs_f64(),
        transport: plan.transport.to_string(),
        schedule: plan.schedule.to_string(),
        rate_rps,
        arrival,
        seed,
        spin: Some(plan.spin.to_string()),
        timeout_s: Some(plan.timeout.as_secs_f64()),
        ends_hung: plan.hung == HungRule::End,
        pipeline: Some(setting.depth as u64),
        endpoints: setting.endpoints.iter().map(Endpoint::to_string).collect(),
        cpus: options.pin.clone(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies have 53 bits")]
fn latency(samples: &Samples) -> Result<Latency, HistogramError> {
    let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
    Ok(Latency {
        count: samples.count(),
        min_us: micros(samples.min()),
        mean_us: samples.mean() / 1000.0,
        stdev_us: samples.stdev() / 1000.0,
        max_us: micros(samples.max()),
        percentiles_us: PERCENTILES
            .iter()
            .map(|(key, percent)| ((*key).to_owned(), micros(samples.percentile(*percent))))
            .collect(),
        histogram_ns: record::encode_histogram(samples.histogram())?,
    })
}
