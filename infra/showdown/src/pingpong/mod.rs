//! What `loadgen pingpong --json FILE` writes, as the report that every other load leaves.
//!
//! A ping-pong has one message under way, so that its rate is one over its mean round trip.

use crate::matrix::Point;
use crate::measure::CellFailed;
use crate::process::Ended;
use anyhow::{Context, Result, ensure};
use record::{Latency, LoadErrors, LoadReport, LoadSetup};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The schema that is read here.
const SCHEMA: &str = "pingpong/1";
/// Percentiles that the reports of other loads have; a ping-pong's has more.
const PERCENTILES: [&str; 6] = ["p50", "p75", "p90", "p99", "p99_9", "p99_99"];

#[derive(Debug, Deserialize)]
struct Report {
    schema: String,
    reporting: String,
    sizes: Vec<Size>,
}

#[derive(Debug, Deserialize)]
struct Size {
    size_bytes: u64,
    iterations: u64,
    mean_ns: f64,
    min_ns: f64,
    max_ns: f64,
    stddev_ns: f64,
    percentiles_ns: BTreeMap<String, f64>,
    histogram_ns: String,
}

/// Reads the report of a ping-pong and removes it. It does not say what CPU time it took, so that
/// `cpu_s` is 0 until somebody who does know fills it in.
///
/// # Errors
/// Where there is none, or one that is not of this build, with what the generator said.
pub(crate) fn read_report(json: &Path, client: &Ended, point: &Point) -> Result<LoadReport> {
    let stderr = client.stderr.trim();
    if !client.status.success() {
        return Err(CellFailed::client_failed("loadgen pingpong", client));
    }
    let text = fs::read_to_string(json).with_context(|| {
        format!("loadgen pingpong left no report. It wrote to standard error:\n{stderr}")
    })?;
    // Removed at once, so that a generator that writes nothing is never credited with an old one.
    fs::remove_file(json).context("the report of loadgen pingpong cannot be removed")?;
    convert(&text, point)
}

fn convert(text: &str, point: &Point) -> Result<LoadReport> {
    let report: Report = serde_json::from_str(text).context(
        "the report of loadgen pingpong is not of this build; cure: cargo build --release",
    )?;
    ensure!(
        report.schema == SCHEMA && report.reporting == "RTT" && report.sizes.len() == 1,
        "the report of loadgen pingpong has schema {}, {} of {} sizes, not {SCHEMA}, RTT of one; \
         cure: cargo build --release",
        report.schema,
        report.reporting,
        report.sizes.len()
    );
    let size = &report.sizes[0];
    if size.iterations == 0 || size.mean_ns <= 0.0 {
        return Err(CellFailed::no_response("not one message came back".to_owned()));
    }
    #[expect(clippy::cast_precision_loss, reason = "iterations are a few millions at most")]
    let duration_s = size.mean_ns * size.iterations as f64 / 1e9;
    Ok(LoadReport {
        schema: LoadReport::SCHEMA,
        setup: setup(point, size, duration_s),
        duration_s,
        requests: size.iterations,
        read_bytes: size.iterations * size.size_bytes,
        throughput_rps: 1e9 / size.mean_ns,
        latency: latency(size),
        service: None,
        lateness: None,
        lateness_undisturbed: None,
        censored: 0,
        errors: LoadErrors::default(),
        errors_by_errno: Vec::new(),
        status: BTreeMap::new(),
        sent: size.iterations,
        in_flight: 0,
        unsent: 0,
        reopened: 0,
        interval_s: duration_s,
        interval_requests: vec![size.iterations],
        cpu_s: 0.0,
        client: None,
        conditions: Vec::new(),
    })
}

fn setup(point: &Point, size: &Size, duration_s: f64) -> LoadSetup {
    LoadSetup {
        url: format!("echo of {} bytes", size.size_bytes),
        connections: 1,
        threads: 1,
        duration_s,
        warmup_s: 0.0,
        transport: point.cell.transport.clone().unwrap_or_default(),
        schedule: "closed".to_owned(),
        rate_rps: None,
        arrival: None,
        seed: None,
        spin: Some("always".to_owned()),
        timeout_s: None,
        ends_hung: false,
        pipeline: None,
        endpoints: Vec::new(),
        cpus: Vec::new(),
    }
}

fn latency(size: &Size) -> Latency {
    let us = |ns: f64| ns / 1e3;
    let of = |key: &str| Some((key.to_owned(), us(*size.percentiles_ns.get(key)?)));
    Latency {
        count: size.iterations,
        min_us: us(size.min_ns),
        mean_us: us(size.mean_ns),
        stdev_us: us(size.stddev_ns),
        max_us: us(size.max_ns),
        percentiles_us: PERCENTILES.into_iter().filter_map(of).collect(),
        histogram_ns: size.histogram_ns.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::matrix;

    const REPORT: &str = r#"{
        "schema": "pingpong/1", "facts": {}, "reporting": "RTT",
        "sizes": [{
            "size_bytes": 64, "iterations": 1000, "mean_ns": 20000.0, "min_ns": 9000,
            "median_ns": 19000, "max_ns": 100000, "percentile_ns": 50000, "stddev_ns": 500.0,
            "percentiles_ns": {"p50": 19000, "p95": 40000, "p99_9": 99000}, "histogram_ns": "H"
        }]
    }"#;

    fn converted(text: &str) -> Result<LoadReport> {
        let experiment = Experiment::load("latency").unwrap();
        let point = matrix::expand(&experiment, 1 << 20).unwrap().points.remove(0);
        convert(text, &point)
    }

    #[test]
    fn a_ping_pong_is_a_load_of_one_message_at_a_time() {
        let load = converted(REPORT).unwrap();
        assert_eq!((load.requests, load.sent, load.read_bytes), (1000, 1000, 64_000));
        assert_eq!((load.throughput_rps, load.duration_s), (50_000.0, 0.02));
        assert_eq!((load.latency.min_us, load.latency.max_us), (9.0, 100.0));
        let percentiles = [("p50", 19.0), ("p99_9", 99.0)];
        let expect = percentiles.map(|(key, us)| (key.to_owned(), us));
        assert_eq!(load.latency.percentiles_us, BTreeMap::from(expect));
        assert_eq!(load.latency.histogram_ns, "H");
        assert_eq!((load.setup.connections, load.errors.total()), (1, 0));
    }

    #[test]
    fn halves_of_round_trips_and_other_schemas_are_refused() {
        let check = |from: &str, to: &str, part: &str| {
            let message = format!("{:#}", converted(&REPORT.replace(from, to)).unwrap_err());
            assert!(message.contains(part), "{message}");
        };
        check("\"RTT\"", "\"1/2 RTT\"", "cure: cargo build");
        check("pingpong/1", "pingpong/2", "cure: cargo build");
        check("\"iterations\": 1000", "\"iterations\": 0", "not one message came back");
        check("\"size_bytes\"", "\"size\"", "not of this build");
    }
}
