//! `showdown diagnose`: why is bypass slower, or not faster, here?
//!
//! A cause is named where the folder proves it, never where it is merely likely: each comes with
//! its evidence, the numbers of this run, and with what cures it. [`rules`] has them as one table.
//!
//! What it deliberately does not do: measure. What a run did not record cannot be a cause here.

mod evidence;
mod rules;
mod words;

use evidence::Case;
use record::{CellFigures, Measurement, Summary};
use rules::{Finding, RULES, Rule};

/// Modes that bypass the kernel's TCP.
const BYPASS: [&str; 3] = ["xdp", "memif", "dpdk"];

/// What a folder says about its bypass modes.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    /// How each bypass cell compares with the baseline, in the order of the folder.
    verdicts: Vec<Verdict>,
    /// What the folder proves, the most likely first.
    causes: Vec<Cause>,
    /// What makes the figures themselves doubtful, a sentence each.
    warnings: Vec<String>,
}

/// How one bypass cell compares with the baseline.
#[derive(Debug)]
struct Verdict {
    label: String,
    ratio: record::Estimate,
}

/// A cause, with all cells in which it was found.
#[derive(Debug)]
struct Cause {
    rule: &'static Rule,
    /// What was found where it weighs most.
    worst: Finding,
    /// The label of the cell of `worst`.
    worst_cell: String,
    /// The labels of all cells in which it was found.
    cells: Vec<String>,
}

/// Reads causes out of a run.
pub(crate) fn diagnose(summary: &Summary, measurements: &[Measurement]) -> Diagnosis {
    let cases: Vec<Case<'_>> = bypass_cells(summary)
        .map(|(label, of)| Case::new(summary, label, of, measurements))
        .collect();
    let mut causes: Vec<Cause> = RULES.iter().filter_map(|rule| cause(rule, &cases)).collect();
    // A stable sort: causes of one tier that weigh the same stay in the order of the table.
    causes.sort_by(|left, right| {
        let weight = right.worst.weight.total_cmp(&left.worst.weight);
        left.rule.tier.cmp(&right.rule.tier).then(weight)
    });
    let verdicts = cases.iter().map(|case| Verdict {
        label: case.label.clone(),
        ratio: case.figures.figures.ratio_to_baseline,
    });
    Diagnosis { verdicts: verdicts.collect(), causes, warnings: warnings(summary, &cases) }
}

/// Each bypass cell with what it is called.
fn bypass_cells(summary: &Summary) -> impl Iterator<Item = (String, &CellFigures)> {
    let named = words::labels(summary).into_iter().zip(&summary.cells);
    named.filter(|(_, of)| BYPASS.contains(&of.cell.mode.as_str()))
}

/// A rule over all cases; none where it is found in no case.
fn cause(rule: &'static Rule, cases: &[Case<'_>]) -> Option<Cause> {
    let found: Vec<(String, Finding)> =
        cases.iter().filter_map(|case| Some((case.label.clone(), (rule.check)(case)?))).collect();
    let cells = found.iter().map(|(label, _)| label.clone()).collect();
    let weighs_most = found
        .into_iter()
        .reduce(|most, other| if other.1.weight > most.1.weight { other } else { most });
    weighs_most.map(|(worst_cell, worst)| Cause { rule, worst, worst_cell, cells })
}

/// What makes the figures doubtful before any cause is looked for.
fn warnings(summary: &Summary, cases: &[Case<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    if summary.environment.build_profile != "release" {
        warnings.push(format!(
            "The binaries are of a {} build, which says nothing about speed: cargo build \
             --release, and run again.",
            summary.environment.build_profile
        ));
    }
    for verdict in summary.conformance.iter().filter(|verdict| verdict.failed > 0) {
        warnings.push(format!(
            "{} failed the conformance suite and has no figures: what answers wrongly is not \
             slow, it is wrong.",
            verdict.mode
        ));
    }
    let failing = cases.iter().filter(|case| case.figures.figures.errors > 0);
    for Case { label, figures, .. } in failing {
        warnings.push(format!(
            "{label} had {} errors in {} responses: rounds.jsonl has them by kind.",
            figures.figures.errors, figures.figures.requests
        ));
    }
    warnings
}

impl Diagnosis {
    /// The names of the causes, the most likely first.
    #[cfg(test)]
    fn names(&self) -> Vec<&'static str> {
        self.causes.iter().map(|cause| cause.rule.name).collect()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
