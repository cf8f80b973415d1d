//! Files beside the columns: raw samples, spectra, JSON.

use super::super::stats::{Summary, at_percent};
use crate::samples::Samples;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Percentiles in the JSON, with their keys: exact, by the rank rule of the columns.
const PERCENTILES: [(&str, f64); 8] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99_9", 99.9),
    ("p99_99", 99.99),
    ("p99_999", 99.999),
];

/// The largest sample for which the histogram takes its memory at once, in nanoseconds.
const EXPECTED_MAX_NS: u64 = 10_000_000_000;

/// All samples in a histogram of three significant digits.
pub(super) fn histogram(samples: &[u64]) -> Samples {
    let mut kept = Samples::new(3, EXPECTED_MAX_NS);
    samples.iter().for_each(|sample| kept.record(*sample));
    kept
}

fn write_file(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{path} cannot be written: {error}"))
}

/// Writes every sample of a size, one a line, to `PREFIX-SIZE.dat`.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn write_raw(prefix: &str, size: usize, samples: &[u64]) -> Result<(), String> {
    let mut text = String::with_capacity(samples.len() * 7);
    for sample in samples {
        writeln!(text, "{sample}").map_err(|error| error.to_string())?;
    }
    write_file(&format!("{prefix}-{size}.dat"), &text)
}

/// Writes the percentile spectrum of a size to `PREFIX-SIZE.hgrm`, as HdrHistogram's plotter
/// reads it, in nanoseconds.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn write_hgrm(prefix: &str, size: usize, samples: &Samples) -> Result<(), String> {
    write_file(&format!("{prefix}-{size}.hgrm"), &spectrum(samples))
}

/// Five points for each halving of what is left to 100 %.
const TICKS_PER_HALF: u32 = 5;

#[expect(clippy::cast_precision_loss, reason = "figures for a plot")]
fn spectrum(samples: &Samples) -> String {
    let histogram = samples.histogram();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64, step.quantile_iterated_to());
        text += &format!("{value:>12.3} {quantile:>14.12} {seen:>10}");
        if quantile < 1.0 {
            text += &format!(" {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, stdev) = (samples.mean(), samples.stdev());
    let (max, count) = (samples.max() as f64, samples.count());
    text += &format!("#[Mean    = {mean:>12.3}, StdDeviation   = {stdev:>12.3}]\n");
    text += &format!("#[Max     = {max:>12.3}, Total count    = {count:>12}]\n");
    let (buckets, sub_buckets) = (histogram.buckets(), 2048);
    text += &format!("#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]\n");
    text
}

/// The run as JSON.
pub(super) struct Report {
    value: Value,
    sizes: Vec<Value>,
}

impl Report {
    /// A report without sizes.
    pub(super) fn new(facts: &[(String, String)], reporting: &str) -> Self {
        let facts: serde_json::Map<String, Value> =
            facts.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let value = json!({"schema": "pingpong/1", "facts": facts, "reporting": reporting});
        Self { value, sizes: Vec::new() }
    }

    /// Adds a size, its samples in ascending order.
    ///
    /// # Errors
    /// Where the histogram cannot be written, which takes more than 2^63 samples.
    pub(super) fn add(
        &mut self,
        size: usize,
        summary: &Summary,
        sorted: &[u64],
        kept: &Samples,
    ) -> Result<(), String> {
        let histogram = record::encode_histogram(kept.histogram());
        let histogram = histogram.map_err(|error| format!("the histogram: {error}"))?;
        let percentiles: serde_json::Map<String, Value> = PERCENTILES
            .iter()
            .map(|(key, percent)| ((*key).to_owned(), at_percent(sorted, *percent).into()))
            .collect();
        self.sizes.push(json!({
            "size_bytes": size,
            "iterations": summary.count,
            "mean_ns": summary.mean,
            "min_ns": summary.min,
            "median_ns": summary.median,
            "max_ns": summary.max,
            "percentile_ns": summary.percentile,
            "stddev_ns": summary.stddev,
            "percentiles_ns": percentiles,
            "histogram_ns": histogram,
        }));
        Ok(())
    }

    /// Writes it.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn write(mut self, path: &Path) -> Result<(), String> {
        self.value["sizes"] = self.sizes.into();
        let text = format!("{:#}\n", self.value);
        fs::write(path, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}
