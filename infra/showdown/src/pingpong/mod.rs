//! What `loadgen pingpong --json FILE` writes, as the report that every other load leaves.
//!
//! A ping-pong has one message under way, so that its rate is one over its mean round trip.

use crate::matrix::Point;
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
    ensure!(
        client.status.success(),
        "loadgen pingpong failed ({}). It wrote to standard error:\n{stderr}",
        client.status
    );
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
    ensure!(size.iterations > 0 && size.mean_ns > 0.0, "not one message came back");
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
