//! What came out of a run: `summary.json`.

#[cfg(doc)]
use crate::Failure;
use crate::{Cell, Environment, LoadErrors, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of an experiment, computed from its measurements.
///
/// Version 2 has `floors` and `share_of_floor`, and cells as [`Cell`] describes them. Version 3 has
/// `hypothesis`, `steps`, `cost`, `latency_ratio_to_baseline`, `stop` and the reasons of disturbed
/// rounds. Version 4 has the measurements that were taken again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Version of this schema: [`Summary::SCHEMA`].
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// What it asks.
    pub question: String,
    /// What was expected, and why.
    #[serde(default)]
    pub hypothesis: String,
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
    /// The steps of a waterfall, in their order; empty for other experiments.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The signal that ended the run before its time: `SIGTERM`; absent otherwise, and before
    /// version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
    /// Cells without figures, because half of their measurements or more failed, or because those
    /// of their baseline did. Absent before version 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedCell>,
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
    pub const SCHEMA: u32 = 4;
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
    /// What a response cost beside that. Absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Throughput over that of the baseline's cell in the same round: one sample for each round.
    pub ratio_to_baseline: Estimate,
    /// Percentiles of latency over those of the baseline's cell in the same round: one sample for
    /// each round. Absent before version 3, and where a round has no latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ratio_to_baseline: Option<LatencyRatios>,
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

/// What a response cost: sums over the rounds used, divided by their responses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// CPU time of all CPUs in user mode, in microseconds per response.
    pub user_us: f64,
    /// CPU time of all CPUs in kernel mode on behalf of processes, in microseconds per response.
    pub system_us: f64,
    /// CPU time of all CPUs in interrupts and soft interrupts, in microseconds per response.
    pub softirq_us: f64,
    /// Cores that did something, on average: busy time of all CPUs over the length of the window.
    /// A core that polls is busy all the time.
    pub cores_busy: f64,
    /// Counts per response of the server's process; each absent where it could not be counted.
    pub server: CountsPerResponse,
    /// The same of the generator's process.
    pub client: CountsPerResponse,
    /// Interrupts of all CPUs per response.
    #[serde(default)]
    pub interrupts: Option<f64>,
    /// Share of the server's polls that found nothing to do, 0 to 1, the mean over the rounds;
    /// absent where the server sleeps.
    #[serde(default)]
    pub idle_poll_share: Option<f64>,
    /// Resident memory of the loaded server in bytes, the median over the rounds.
    #[serde(default)]
    pub rss_bytes: Option<u64>,
    /// What the connections added to it, in bytes for each: the median over the rounds. It says
    /// little with few connections.
    #[serde(default)]
    pub bytes_per_connection: Option<f64>,
    /// What could not be counted, and why, a sentence each.
    #[serde(default)]
    pub unavailable: Vec<String>,
}

/// Counts of one process, per response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountsPerResponse {
    /// System calls begun.
    #[serde(default)]
    pub syscalls: Option<f64>,
    /// Context switches.
    #[serde(default)]
    pub context_switches: Option<f64>,
    /// Page faults.
    #[serde(default)]
    pub page_faults: Option<f64>,
    /// Cycles.
    #[serde(default)]
    pub cycles: Option<f64>,
    /// Instructions.
    #[serde(default)]
    pub instructions: Option<f64>,
    /// Misses of the last-level cache.
    #[serde(default)]
    pub llc_misses: Option<f64>,
}

/// A step of a waterfall: what one change brought, with all those before it in place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, which is that of its cell.
    pub name: String,
    /// What is different from the step before, in a sentence; of the first, what it starts from.
    pub change: String,
    /// The index of its cell in `cells`.
    pub cell: usize,
    /// Throughput over that of the step before, in the same round: one sample for each round. Of
    /// the first, 1.
    pub ratio_to_previous: Estimate,
    /// Throughput over that of the first step, in the same round: one sample for each round.
    pub ratio_to_first: Estimate,
    /// Whether the client or the link is another than that of the step before, so that the ratio
    /// is not of the server alone.
    pub changes_client: bool,
}

/// A rate or a ratio, and what it could as well have been.
///
/// The noise of either multiplies, so that both are estimated on logarithms: where the noise is
/// symmetric there, the geometric mean of the samples estimates their median, with less error than
/// the middle sample has. Quotients of two estimates are the estimates of the quotients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate of the median: the geometric mean of the samples. Before version 3 it was the
    /// middle sample.
    pub median: f64,
    /// Its 95 % confidence interval, `[low, high]`: Student's, on logarithms; of one sample, twice
    /// the sample. Before version 3 it was a bootstrap of the middle sample.
    pub ci95: [f64; 2],
}

/// Percentiles of latency over those of the baseline: less than 1 is faster.
///
/// Each sample is of one round. The percentiles that are shown come from the merged histogram of
/// all rounds, so that their quotient is not exactly this ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyRatios {
    /// Of the medians.
    pub p50: Estimate,
    /// Of the 99th percentiles.
    pub p99: Estimate,
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
    /// Rounds that something disturbed.
    pub disturbed: Vec<DisturbedRound>,
    /// Measurements that something from outside disturbed and that were taken again in the same
    /// round, so that no figure has them. Absent before version 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<Superseded>,
    /// The bound: share of the server's and the client's CPU, 0 to 1.
    pub steal_share_max: f64,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// When the run was to stop, and why it did. Absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

/// A cell that has no figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedCell {
    /// Its label.
    pub cell: String,
    /// Rounds in which it failed; 0 where it did not, but its baseline did.
    pub failed: u32,
    /// Rounds in which it was measured or failed.
    pub rounds: u32,
    /// As in [`Failure::cause`] of the last failure; `baseline-failed` where its baseline did.
    pub cause: String,
    /// The same in words, the first line.
    pub evidence: String,
}

/// A measurement in whose place a later one of the same cell in the same round counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superseded {
    /// Number of the round.
    pub round: u32,
    /// The label of the cell.
    pub cell: String,
    /// Which measurement of the cell in the round it was, from 1.
    pub attempt: u32,
    /// What disturbed it.
    pub reasons: Vec<Disturbance>,
}

/// A round that something disturbed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisturbedRound {
    /// Number of the round.
    pub round: u32,
    /// The largest share of its measurements that the hypervisor took away, 0 to 1.
    pub steal_share: f64,
    /// Whether it is used all the same, for want of undisturbed rounds.
    pub used: bool,
    /// What disturbed it. Before version 3 it was always `steal`, and this is empty.
    #[serde(default)]
    pub reasons: Vec<Disturbance>,
}

/// Why a round counts as disturbed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// The rule: `steal`, `foreign-load`, `client-delayed`, `errors`, `server-ended` or
    /// `client-limited` (an open loop that the generator could not keep); `failed` where a
    /// measurement gave no figure, and `unfinished` where the run ended before every cell was
    /// measured.
    pub rule: String,
    /// The label of the cell in whose measurement it was seen.
    pub cell: String,
    /// What was measured and the bound that it passed, in words: `7.2 % of the server's CPU went
    /// to other processes, more than 5 %`.
    pub evidence: String,
}

/// When a run was to stop, and why it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Half the width of the 95 % interval of each ratio, over the ratio, at which the run stops,
    /// 0.03 for three percent; absent where the number of rounds is fixed.
    pub half_width_max: Option<f64>,
    /// The widest that remained.
    pub half_width: f64,
    /// Whose it is: the label of the cell.
    pub widest: String,
    /// Why the run stopped, a sentence.
    pub reason: String,
}
