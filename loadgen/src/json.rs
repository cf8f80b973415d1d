//! The report that `--json` writes: every figure in a unit named by its key, and all samples.

use crate::options::Options;
use crate::plan::Window;
use crate::samples::Samples;
use crate::worker::Outcome;
use record::{HistogramError, Latency, LoadErrors, LoadReport, LoadSetup};

/// Percentiles with their keys.
const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99_9", 99.9),
    ("p99_99", 99.99),
];

/// Puts the report of a run together.
///
/// # Errors
/// Where the histogram cannot be written, which takes more than 2^63 samples.
#[expect(clippy::cast_precision_loss, reason = "figures of a report have 53 bits")]
pub fn report(
    options: &Options,
    window: &Window,
    outcome: &Outcome,
) -> Result<LoadReport, HistogramError> {
    let counts = &outcome.counts;
    let duration_s = outcome.duration_s();
    let rate = if duration_s > 0.0 { counts.requests as f64 / duration_s } else { 0.0 };
    Ok(LoadReport {
        schema: LoadReport::SCHEMA,
        setup: setup(options),
        duration_s,
        requests: counts.requests,
        read_bytes: counts.read_bytes,
        throughput_rps: rate,
        latency: latency(&outcome.latency)?,
        errors: LoadErrors {
            connect: counts.connect,
            read: counts.read,
            write: counts.write,
            timeout: counts.timeout,
            status: counts.status,
            framing: counts.framing,
        },
        status: (0_u16..)
            .zip(&outcome.statuses)
            .filter(|(_, count)| **count > 0)
            .map(|(status, count)| (status, *count))
            .collect(),
        sent: counts.sent,
        in_flight: counts.in_flight,
        reopened: counts.reopened,
        interval_s: window.series_ns as f64 / 1e9,
        interval_requests: outcome.series.clone(),
        cpu_s: outcome.cpu_ns as f64 / 1e9,
    })
}

#[expect(clippy::cast_precision_loss, reason = "seconds asked for have 53 bits")]
fn setup(options: &Options) -> LoadSetup {
    LoadSetup {
        url: options.url_text.clone(),
        connections: (options.plan.connections * options.threads) as u64,
        threads: options.threads as u64,
        duration_s: options.duration_s as f64,
        warmup_s: options.plan.warmup.as_secs_f64(),
        transport: options.plan.transport.to_string(),
        schedule: options.plan.schedule.to_string(),
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
