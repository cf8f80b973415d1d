//! The report, in the load generator's schema: a frame that came back is a response.

use crate::link::Link;
use crate::send::{INTERVAL, Load, Outcome};
use anyhow::Result;
use hdrhistogram::Histogram;
use record::{Latency, LoadErrors, LoadReport, LoadSetup, encode_histogram};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;

/// What a run amounts to, in words that readers of the load generator's reports know.
///
/// Frames have neither status nor connection, so that both are left out; those that were lost are
/// requests that hang.
pub(crate) fn of(
    outcome: &Outcome,
    load: &Load,
    link: &Link,
    cpu: Option<usize>,
) -> Result<LoadReport> {
    let in_flight = u64::from(load.in_flight);
    let setup = LoadSetup {
        url: format!("{} frames of {} bytes", link.driver(), load.bytes),
        connections: in_flight,
        threads: 1,
        duration_s: load.duration.as_secs_f64(),
        warmup_s: load.warmup.as_secs_f64(),
        transport: link.driver().to_owned(),
        schedule: "closed".to_owned(),
        rate_rps: None,
        arrival: None,
        seed: None,
        spin: None,
        timeout_s: None,
        ends_hung: true,
        pipeline: None,
        endpoints: Vec::new(),
        cpus: cpu.into_iter().collect(),
    };
    Ok(LoadReport {
        schema: LoadReport::SCHEMA,
        setup,
        duration_s: outcome.took.as_secs_f64(),
        requests: outcome.back,
        read_bytes: outcome.back * u64::from(load.bytes),
        throughput_rps: outcome.rate(),
        latency: latency(&outcome.round_trip_ns)?,
        service: None,
        lateness: None,
        lateness_undisturbed: None,
        censored: 0,
        errors: LoadErrors { hung: outcome.lost, framing: outcome.strays, ..LoadErrors::default() },
        errors_by_errno: Vec::new(),
        status: BTreeMap::new(),
        sent: outcome.back + outcome.lost + outcome.in_flight,
        in_flight: outcome.in_flight,
        unsent: 0,
        reopened: 0,
        interval_s: INTERVAL.as_secs_f64(),
        interval_requests: outcome.intervals.clone(),
        cpu_s: cpu_s(),
        client: None,
        conditions: Vec::new(),
    })
}

fn latency(round_trip_ns: &Histogram<u64>) -> Result<Latency> {
    #[expect(clippy::cast_precision_loss, reason = "2^53 ns are a hundred days")]
    let us = |ns: u64| ns as f64 / 1e3;
    let keys = [
        ("p50", 50.0),
        ("p75", 75.0),
        ("p90", 90.0),
        ("p99", 99.0),
        ("p99_9", 99.9),
        ("p99_99", 99.99),
    ];
    let at = |(key, percentile): (&str, f64)| {
        (key.to_owned(), us(round_trip_ns.value_at_percentile(percentile)))
    };
    Ok(Latency {
        count: round_trip_ns.len(),
        min_us: us(round_trip_ns.min()),
        mean_us: round_trip_ns.mean() / 1e3,
        stdev_us: round_trip_ns.stdev() / 1e3,
        max_us: us(round_trip_ns.max()),
        percentiles_us: keys.into_iter().map(at).collect(),
        histogram_ns: encode_histogram(round_trip_ns)?,
    })
}

/// CPU time of this process so far, in seconds.
#[expect(clippy::cast_precision_loss, reason = "seconds and nanoseconds of a process's life")]
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
