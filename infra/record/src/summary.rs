//! What came out of a run: `summary.json`.

use crate::{Cell, Environment, LoadErrors, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of an experiment, computed from its measurements.
///
/// Version 2 has `floors` and `share_of_floor`, and cells as [`Cell`] describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Version of this schema: [`Summary::SCHEMA`].
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// What it asks.
    pub question: String,
    /// When the run began and ended, as `2026-01-31T12:00:00Z`.
    pub started_utc: String,
    /// See `started_utc`.
    pub finished_utc: String,
    /// Name of the mode that ratios are taken against.
    pub baseline: String,
    /// Figures by mode. Where the matrix has several cells of one mode, these are the first's,
    /// with the first value of every other axis; `cells` has all of them.
    pub modes: BTreeMap<String, Figures>,
    /// Every cell of the matrix.
    pub cells: Vec<CellFigures>,
    /// What each link carried with no stack on it: a frame that came back is a response.
    #[serde(default)]
    pub floors: Vec<CellFigures>,
    /// What the conformance suite said about each server. Those that failed have no figures.
    pub conformance: Vec<Verdict>,
    /// Which rounds the figures come from.
    pub rounds: Rounds,
    /// What a reader must know to judge the figures, a sentence each.
    pub notes: Vec<String>,
    /// What the run was measured on and with.
    pub environment: Environment,
}

impl Summary {
    /// The version written by this build.
    pub const SCHEMA: u32 = 2;
}

/// Figures of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellFigures {
    /// The cell.
    #[serde(flatten)]
    pub cell: Cell,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What the server said when it was ready: the mode that it really obtained.
    pub obtained: serde_json::Value,
}

/// What was measured in one cell, over all rounds used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Responses per second: one sample for each round.
    pub throughput_rps: Estimate,
    /// Latency of all responses of all rounds, from one merged histogram, in microseconds.
    pub latency_us: Percentiles,
    /// CPU time per million responses, in seconds.
    pub cpu_s_per_million: CpuCost,
    /// Throughput over that of the baseline's cell in the same round: one sample for each round.
    pub ratio_to_baseline: Estimate,
    /// Throughput over that of the link's floor with as many frames in flight, at most 256, in the
    /// same round: one sample for each round. Absent where no floor was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_floor: Option<Estimate>,
    /// Errors of every kind in all rounds used, the server's wrong endings included.
    pub errors: u64,
    /// Those of the load generator by kind.
    pub errors_by_kind: LoadErrors,
    /// Measurements in which the server ended otherwise than it should.
    pub server_errors: u64,
    /// Responses in all rounds used.
    pub requests: u64,
}

/// A median and what it could as well have been.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Median of the samples.
    pub median: f64,
    /// Its 95 % confidence interval, `[low, high]`: bootstrap over the samples, percentile method.
    pub ci95: [f64; 2],
}

/// Percentiles of latency, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// Half of the responses took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p99_9: f64,
    /// 99.99 % took no longer.
    pub p99_99: f64,
    /// The slowest.
    pub max: f64,
}

/// CPU time per million responses, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuCost {
    /// The server's process.
    pub server: f64,
    /// The load generator's process.
    pub client: f64,
    /// All other busy time of all CPUs: soft interrupts, interrupts, the kernel's threads, and
    /// whatever else ran on the machine.
    pub rest: f64,
}

/// Which rounds were measured and what became of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Rounds asked for.
    pub wanted: u32,
    /// Numbers of the rounds that the figures come from.
    pub used: Vec<u32>,
    /// Rounds in which the hypervisor took away more than the bound.
    pub disturbed: Vec<DisturbedRound>,
    /// The bound: share of the server's and the client's CPU, 0 to 1.
    pub steal_share_max: f64,
    /// Seed of the order of measurements and of the bootstrap.
    pub seed: u64,
}

/// A round in which the hypervisor took away more than the bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisturbedRound {
    /// Number of the round.
    pub round: u32,
    /// The largest share of its measurements, 0 to 1.
    pub steal_share: f64,
    /// Whether it is used all the same, for want of undisturbed rounds.
    pub used: bool,
}
