//! Two runs side by side: `showdown compare A B`.
//!
//! Cells are matched by what was measured in them. Rounds of different runs are not paired: the
//! interval of a ratio is Welch's, on logarithms.

mod differences;
mod folder;
mod render;
#[cfg(test)]
mod tests;

use crate::matrix;
use crate::statistics::{SAMPLES_FOR_CI95, unpaired_ratio};
use crate::summarise::percentile_us;
use anyhow::{Result, ensure};
use differences::Difference;
use folder::Run;
use record::{Cell, Estimate, Measurement};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The exit code where B is slower than it may be: that of `loadgen --fail-if`, too.
pub(crate) const SLOWER: u8 = 99;

/// What came out of a comparison; `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Version of this schema.
    schema: u32,
    a: Side,
    b: Side,
    /// The cells that both have.
    cells: Vec<CellComparison>,
    /// Labels of those that only A has.
    only_in_a: Vec<String>,
    /// Labels of those that only B has.
    only_in_b: Vec<String>,
    /// What differs in the environment and in the experiment.
    differences: Vec<Difference>,
    /// What a reader must know, a sentence each.
    notes: Vec<String>,
    /// What `--fail-if-slower` found; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<Gate>,
}

/// One of the two runs.
#[derive(Debug, Serialize)]
struct Side {
    folder: String,
    experiment: String,
    started_utc: String,
    /// Rounds that the figures come from.
    rounds: usize,
}

/// A cell in both runs; ratios are B over A.
#[derive(Debug, Serialize)]
struct CellComparison {
    label: String,
    #[serde(flatten)]
    cell: Cell,
    throughput_rps_a: f64,
    throughput_rps_b: f64,
    throughput_ratio: Estimate,
    /// Of the rounds' medians of latency; absent where a histogram is empty.
    p50_ratio: Option<Estimate>,
    /// Of the rounds' 99th percentiles.
    p99_ratio: Option<Estimate>,
}

/// What `--fail-if-slower` found.
#[derive(Debug, Serialize)]
struct Gate {
    /// The loss of throughput that is allowed, 0 to 1.
    slower_max: f64,
    /// Cells whose whole interval lies below `1 - slower_max`.
    failed: Vec<String>,
    /// Cells whose interval holds `1 - slower_max`: more rounds would tell.
    undecided: Vec<String>,
}

impl Comparison {
    /// Reads two results folders and compares them. With `slower_max`, a share of A's throughput,
    /// it also judges whether B has lost more than that.
    ///
    /// # Errors
    /// A sentence where a folder is none or was edited, where no cell is in both, or where there
    /// are too few rounds to judge by.
    pub(crate) fn of(a: &Path, b: &Path, slower_max: Option<f64>) -> Result<Self> {
        let (a, b) = (Run::open(a)?, Run::open(b)?);
        let (of_a, of_b) = (by_cell(&a), by_cell(&b));
        let all: Vec<&Cell> = of_a.keys().chain(of_b.keys()).copied().collect();
        let labels: BTreeMap<&Cell, String> =
            all.iter().copied().zip(matrix::labels(&all)).collect();
        let mut cells = Vec::new();
        for (cell, in_a) in &of_a {
            let Some(in_b) = of_b.get(cell) else { continue };
            cells.push(compare_cell(labels[cell].clone(), cell, in_a, in_b)?);
        }
        ensure!(
            !cells.is_empty(),
            "{} and {} have no cell in common: compare two runs of one experiment",
            a.folder.display(),
            b.folder.display()
        );
        let only = |these: &Cells<'_>, those: &Cells<'_>| -> Vec<String> {
            let missing = these.keys().filter(|cell| !those.contains_key(*cell));
            missing.map(|cell| labels[cell].clone()).collect()
        };
        let gate = slower_max.map(|slower_max| gate(slower_max, &cells, [&a, &b])).transpose()?;
        Ok(Self {
            schema: 1,
            only_in_a: only(&of_a, &of_b),
            only_in_b: only(&of_b, &of_a),
            differences: differences::between(&a, &b)?,
            notes: notes([&a, &b]),
            a: side(&a),
            b: side(&b),
            cells,
            gate,
        })
    }

    /// Whether `--fail-if-slower` found a cell that has lost more than it may.
    pub(crate) fn is_slower(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| !gate.failed.is_empty())
    }
}

/// The measurements of each cell, in the order of their rounds.
type Cells<'a> = BTreeMap<&'a Cell, Vec<&'a Measurement>>;

fn by_cell(run: &Run) -> Cells<'_> {
    let mut cells = Cells::new();
    for measurement in &run.measurements {
        cells.entry(&measurement.cell).or_default().push(measurement);
    }
    cells
}

fn side(run: &Run) -> Side {
    Side {
        folder: run.folder.display().to_string(),
        experiment: run.summary.experiment.clone(),
        started_utc: run.summary.started_utc.clone(),
        rounds: run.summary.rounds.used.len(),
    }
}

fn compare_cell(
    label: String,
    cell: &Cell,
    a: &[&Measurement],
    b: &[&Measurement],
) -> Result<CellComparison> {
    let rates = |of: &[&Measurement]| -> Vec<f64> {
        of.iter().map(|measurement| measurement.load.throughput_rps).collect()
    };
    let percentile_ratio = |percentile: f64| -> Result<Option<Estimate>> {
        let of = |run: &[&Measurement]| -> Result<Vec<f64>> {
            run.iter().map(|measurement| percentile_us(measurement, percentile)).collect()
        };
        let (a, b) = (of(a)?, of(b)?);
        let all_known = a.iter().chain(&b).all(|us| *us > 0.0);
        Ok(all_known.then(|| unpaired_ratio(&b, &a)))
    };
    let (rates_a, rates_b) = (rates(a), rates(b));
    Ok(CellComparison {
        label,
        cell: cell.clone(),
        throughput_rps_a: crate::statistics::estimate(&rates_a).median,
        throughput_rps_b: crate::statistics::estimate(&rates_b).median,
        throughput_ratio: unpaired_ratio(&rates_b, &rates_a),
        p50_ratio: percentile_ratio(50.0)?,
        p99_ratio: percentile_ratio(99.0)?,
    })
}

/// A cell fails only where its whole interval lies below what is allowed: what may be noise does
/// not fail a build. A server that was measured in A and fails conformance in B fails it as well.
fn gate(slower_max: f64, cells: &[CellComparison], [a, b]: [&Run; 2]) -> Result<Gate> {
    for run in [a, b] {
        let rounds = run.summary.rounds.used.len();
        ensure!(
            rounds >= SAMPLES_FOR_CI95,
            "--fail-if-slower needs {SAMPLES_FOR_CI95} rounds on either side, and {} has {rounds}: \
             run it again with --rounds {SAMPLES_FOR_CI95} or more",
            run.folder.display()
        );
    }
    let least = 1.0 - slower_max;
    let chosen = |wanted: &dyn Fn([f64; 2]) -> bool| -> Vec<String> {
        let chosen = cells.iter().filter(|cell| wanted(cell.throughput_ratio.ci95));
        chosen.map(|cell| cell.label.clone()).collect()
    };
    let mut failed = chosen(&|[_, high]| high < least);
    let broken = b.summary.conformance.iter().filter(|verdict| verdict.failed > 0);
    let was_measured = |mode: &str| a.summary.cells.iter().any(|of| of.cell.mode == mode);
    failed.extend(
        broken.filter(|verdict| was_measured(&verdict.mode)).map(|verdict| {
            format!("{}, which fails conformance", crate::gate::server_label(verdict))
        }),
    );
    let undecided = chosen(&|[low, high]| low < least && least <= high);
    Ok(Gate { slower_max, failed, undecided })
}

fn notes(runs: [&Run; 2]) -> Vec<String> {
    let mut notes = vec![
        "The two were not interleaved: what the machine did at either time is in the ratios and \
         not in their intervals. One run with both as its cells compares better."
            .to_owned(),
    ];
    for run in runs {
        let rounds = run.summary.rounds.used.len();
        if rounds < SAMPLES_FOR_CI95 {
            notes.push(format!(
                "{} has {} only: the intervals are not to be relied on.",
                run.folder.display(),
                crate::summarise::count_of(rounds, "round")
            ));
        }
        if run.summary.environment.build_profile != "release" {
            notes.push(format!(
                "{} is a debug build's: it says nothing about speed.",
                run.folder.display()
            ));
        }
    }
    notes
}
