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
    /// Latency of every response, none left out, and of the `censored` requests. In a closed loop
    /// from when the request was sent, in an open one from when it was to be sent.
    pub latency: Latency,
    /// In an open loop, the latency of the same responses from when each request was really sent.
    #[serde(default)]
    pub service: Option<Latency>,
    /// In an open loop, from when a request could have been sent, being due and a connection free,
    /// to when it was: how late the generator was.
    #[serde(default)]
    pub lateness: Option<Latency>,
    /// The samples of `lateness` of those requests that no interruption touched between the two
    /// moments: a time at which the generator's thread looked for something to do and the core did
    /// something else. `client.disturbed` says how many are left out.
    #[serde(default)]
    pub lateness_undisturbed: Option<Latency>,
    /// Samples of `latency` that say how long a request had waited when it was given up or the
    /// measurement ended: `errors.hung` and `unsent`.
    #[serde(default)]
    pub censored: u64,
    /// Errors by kind.
    pub errors: LoadErrors,
    /// Failures of connections, by what was being done and the error number.
    #[serde(default)]
    pub errors_by_errno: Vec<ErrnoCount>,
    /// Responses by status code.
    pub status: BTreeMap<u16, u64>,
    /// Requests sent, those in flight when the warm-up ended included. Each is in exactly one of
    /// `requests`, `errors.read`, `errors.write`, `errors.framing`, `errors.hung` and `in_flight`.
    pub sent: u64,
    /// Requests sent and not answered when the measurement ended, none older than the time-out.
    pub in_flight: u64,
    /// Requests of an open loop that were due but could not be sent before the measurement ended.
    #[serde(default)]
    pub unsent: u64,
    /// Connections opened again, because the server had closed them or after an error.
    pub reopened: u64,
    /// Length of one element of `interval_requests` in seconds.
    pub interval_s: f64,
    /// Responses received whole in each interval of the measurement, all threads together.
    pub interval_requests: Vec<u64>,
    /// CPU time of the generator's threads in seconds, user and system.
    pub cpu_s: f64,
    /// Whether the figures are those of the server, or of the generator.
    #[serde(default)]
    pub client: Option<LoadClient>,
    /// The conditions that were to fail the run (`--fail-if`), in the order in which they were
    /// given. Where one failed it, the exit code was 99.
    #[serde(default)]
    pub conditions: Vec<LoadCondition>,
}

impl LoadReport {
    /// The version written by this build.
    pub const SCHEMA: u32 = 5;
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
    /// Schedule: `closed` (each connection sends when it has its answer) or `open` (each request
    /// is sent at its time).
    pub schedule: String,
    /// Requests per second asked of an open loop.
    #[serde(default)]
    pub rate_rps: Option<u64>,
    /// Gaps of an open loop: `fixed` or `poisson`.
    #[serde(default)]
    pub arrival: Option<String>,
    /// What random gaps were drawn from.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How the time of the next request was waited for: `near` (sleeping, then spinning), `always`
    /// (spinning) or `never` (sleeping).
    #[serde(default)]
    pub spin: Option<String>,
    /// Seconds after which a response is late.
    #[serde(default)]
    pub timeout_s: Option<f64>,
    /// Whether a request without an answer until then was given up and its connection reopened.
    #[serde(default)]
    pub ends_hung: bool,
    /// Requests sent at once on a connection.
    #[serde(default)]
    pub pipeline: Option<u64>,
    /// Where the connections led, in turn.
    #[serde(default)]
    pub endpoints: Vec<String>,
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
    /// Percentiles in microseconds, keyed `p50`, `p75`, `p90`, `p99`, `p99_9`, `p99_99`; and, in
    /// `latency`, those of `--percentiles`, with `_` for the point.
    pub percentiles_us: BTreeMap<String, f64>,
    /// All samples in nanoseconds: an HdrHistogram as [`crate::encode_histogram`] writes it.
    pub histogram_ns: String,
}

/// What went wrong, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadErrors {
    /// Attempts to open a connection that failed or did not end in time.
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
    /// Requests not answered within the time-out when they were given up or the measurement ended.
    /// They are in the histogram, with the time that they had waited.
    #[serde(default)]
    pub hung: u64,
}

impl LoadErrors {
    /// Errors of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { connect, read, write, timeout, status, framing, hung } = self;
        connect + read + write + timeout + status + framing + hung
    }
}

/// How often connections failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrnoCount {
    /// What was being done: `connect`, `read` or `write`.
    pub during: String,
    /// The number of `errno(3)`, 0 where there was none; negative where TLS failed.
    pub errno: i32,
    /// What the system, or TLS, says about it.
    pub text: String,
    /// How often.
    pub count: u64,
}

/// What the generator says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadClient {
    /// Requests per second that fell due: the rate asked for, as the schedule gave it out.
    pub target_rps: Option<f64>,
    /// Requests per second that were sent.
    pub sent_rps: f64,
    /// Of the requests that fell due, the percentage sent within 100 µs of when they were due.
    pub on_time_percent: Option<f64>,
    /// Requests of an open loop that waited for a connection, because all were busy.
    pub queued: u64,
    /// CPU time of each thread as a percentage of the time measured.
    pub thread_cpu_percent: Vec<f64>,
    /// Time that each thread waited for a CPU while others had it, in percent of the time measured.
    pub thread_delayed_percent: Vec<f64>,
    /// Interruptions of 5 µs and more that each thread saw while it looked for something to do, in
    /// percent of the time measured; empty in a closed loop, which does not look out for them.
    #[serde(default)]
    pub thread_interrupted_percent: Vec<f64>,
    /// How many interruptions all threads saw in an open loop.
    #[serde(default)]
    pub interruptions: Option<u64>,
    /// The longest of them in seconds; 0 where there was none.
    #[serde(default)]
    pub longest_interruption_s: Option<f64>,
    /// Sends of an open loop that `lateness` has and `lateness_undisturbed` leaves out.
    #[serde(default)]
    pub disturbed: Option<u64>,
    /// Share of its time that a thread which polls was in polls that found nothing, 0 to 1, of the
    /// thread that had the least of it; none where threads sleep. Interruptions of its polls are
    /// not its time.
    #[serde(default)]
    pub idle_poll_share: Option<f64>,
    /// Requests in flight, averaged over the measurement.
    pub in_flight_mean: f64,
    /// What Little's law makes of throughput and latency from the send on: it is near
    /// `in_flight_mean` where the samples account for the time.
    pub littles_law: f64,
    /// The longest time without a response on one thread, in seconds.
    pub longest_gap_s: f64,
    /// When that began, in seconds after the measurement did.
    pub longest_gap_at_s: f64,
    /// Why the figures are the generator's limit instead of the server's; none where they are not.
    pub limit: Option<String>,
}

/// A condition on the figures, and what they say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadCondition {
    /// The condition as it was written: `p99>500us`.
    pub condition: String,
    /// What was measured, in the unit of the condition: `p99 is 612.351us`.
    pub measured: String,
    /// Whether it failed the run: it came true, or is about a latency and no response came.
    pub failed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_the_first_schema_can_be_read() {
        let text = r#"{
            "schema": 1, "duration_s": 1.0, "requests": 2, "read_bytes": 3, "throughput_rps": 2.0,
            "setup": {
                "url": "http://h/", "connections": 1, "threads": 1, "duration_s": 1.0,
                "warmup_s": 0.0, "transport": "epoll", "schedule": "closed", "cpus": [0]
            },
            "latency": {
                "count": 2, "min_us": 1.0, "mean_us": 1.0, "stdev_us": 0.0, "max_us": 1.0,
                "percentiles_us": { "p50": 1.0 }, "histogram_ns": ""
            },
            "errors": {
                "connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0, "framing": 0
            },
            "status": { "200": 2 }, "sent": 2, "in_flight": 0, "reopened": 0, "interval_s": 0.1,
            "interval_requests": [2], "cpu_s": 0.5
        }"#;
        let report: LoadReport = serde_json::from_str(text).unwrap();
        assert_eq!((report.requests, report.errors.hung, report.unsent), (2, 0, 0));
        assert!(report.conditions.is_empty());
        assert!(report.client.is_none() && report.setup.rate_rps.is_none());
    }
}
