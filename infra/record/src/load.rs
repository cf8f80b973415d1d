//! What `loadgen --json FILE` writes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of the load generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// Version of this schema: [`LoadReport::SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub setup: LoadSetup,
    /// Seconds from the start of the load to the end of the measurement, warm-up excluded.
    pub duration_s: f64,
    /// Responses received whole.
    pub requests: u64,
    /// Bytes read from sockets, heads included.
    pub read_bytes: u64,
    /// Responses per second.
    pub throughput_rps: f64,
    /// Latency of every response, none left out.
    pub latency: Latency,
    /// Errors by kind.
    pub errors: LoadErrors,
    /// Responses by status code.
    pub status: BTreeMap<u16, u64>,
    /// Requests sent, those in flight when the warm-up ended included. Each is in exactly one of
    /// `requests`, `errors.read`, `errors.write`, `errors.framing` and `in_flight`.
    pub sent: u64,
    /// Requests sent and not answered when the measurement ended.
    pub in_flight: u64,
    /// Connections opened again, because the server had closed them or after an error.
    pub reopened: u64,
    /// Length of one element of `interval_requests` in seconds.
    pub interval_s: f64,
    /// Responses received whole in each interval of the measurement, all threads together.
    pub interval_requests: Vec<u64>,
    /// CPU time of the generator's threads in seconds, user and system.
    pub cpu_s: f64,
}

impl LoadReport {
    /// The version written by this build.
    pub const SCHEMA: u32 = 1;
}

/// What the generator was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSetup {
    /// The URL.
    pub url: String,
    /// Connections, all threads together.
    pub connections: u64,
    /// Threads.
    pub threads: u64,
    /// Seconds asked for, warm-up excluded.
    pub duration_s: f64,
    /// Seconds of warm-up before the measurement.
    pub warmup_s: f64,
    /// Transport: `epoll`.
    pub transport: String,
    /// Schedule: `closed` (each connection sends when it has its answer).
    pub schedule: String,
    /// CPUs of the threads, empty where they were not pinned.
    pub cpus: Vec<usize>,
}

/// Latency of responses, from the first byte written to the last byte read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Smallest, in microseconds.
    pub min_us: f64,
    /// Mean, in microseconds.
    pub mean_us: f64,
    /// Standard deviation, in microseconds.
    pub stdev_us: f64,
    /// Largest, in microseconds.
    pub max_us: f64,
    /// Percentiles in microseconds, keyed `p50`, `p75`, `p90`, `p99`, `p99_9`, `p99_99`.
    pub percentiles_us: BTreeMap<String, f64>,
    /// All samples in nanoseconds: an HdrHistogram as [`crate::encode_histogram`] writes it.
    pub histogram_ns: String,
}

/// What went wrong, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadErrors {
    /// Connections that could not be opened.
    pub connect: u64,
    /// Connections that failed, or closed before the first byte, while a response was awaited.
    pub read: u64,
    /// Connections that failed while a request was written.
    pub write: u64,
    /// Responses later than the time-out. They are in `requests` and in the histogram too.
    pub timeout: u64,
    /// Responses with a status above 399. They are in `requests` and in the histogram too.
    pub status: u64,
    /// Responses whose framing or length was wrong.
    pub framing: u64,
}

impl LoadErrors {
    /// Errors of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout + self.status + self.framing
    }
}
