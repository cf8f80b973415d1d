//! Which cells stand: those that give figures in most of their rounds.

use super::that_count;
use crate::experiment::Experiment;
use crate::matrix::{self, Point};
use record::{Cell, FailedCell, Failure, Measurement};

/// A cell that failed so often and never gave a figure is not tried again: a generator that waits
/// for answers in vain takes half a minute each time.
const FAILURES_MAX: usize = 3;

/// The cells that stand, with what was measured in them.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    /// The cells, with the places of those that they are compared with.
    pub(crate) points: Vec<Point>,
    /// Their measurements that count.
    pub(crate) measurements: Vec<&'a Measurement>,
    /// Those of their measurements that gave no figure.
    pub(crate) failures: Vec<&'a Failure>,
    /// The cells that do not stand.
    pub(crate) failed: Vec<FailedCell>,
}

impl<'a> Standing<'a> {
    /// A cell stands that failed in fewer than half of its rounds, and whose baseline stands, too:
    /// without that there is nothing to compare it with. What was measured later may change it.
    pub(crate) fn of(
        points: &[Point],
        measurements: &'a [Measurement],
        failures: &'a [Failure],
        experiment: &Experiment,
    ) -> Self {
        let counting = that_count(measurements);
        let of_cell = |cell: &Cell| {
            let failed = failures.iter().filter(|of| of.cell == *cell).count();
            (failed, failed + counting.iter().filter(|of| of.cell == *cell).count())
        };
        let works = |point: &Point| {
            let (failed, rounds) = of_cell(&point.cell);
            failed == 0 || failed * 2 < rounds
        };
        let stands = |point: &Point| works(point) && works(&points[point.baseline]);
        let keeps: Vec<bool> = points.iter().map(stands).collect();
        let fallen = points.iter().zip(&keeps).filter(|(_, keeps)| !**keeps);
        let failed = fallen.map(|(point, _)| {
            let (failed, rounds) = of_cell(&point.cell);
            let cell = if works(point) { &points[point.baseline].cell } else { &point.cell };
            let last = failures.iter().rfind(|of| of.cell == *cell);
            let (cause, evidence) = match last {
                Some(failure) if works(point) => {
                    let baseline = matrix::label(&failure.cell, experiment);
                    (
                        "baseline-failed".to_owned(),
                        format!("compared with {baseline}, which failed"),
                    )
                }
                Some(failure) => (failure.cause.clone(), first_line(&failure.evidence)),
                None => (String::new(), String::new()),
            };
            FailedCell {
                cell: matrix::label(&point.cell, experiment),
                failed: u32::try_from(failed).unwrap_or(u32::MAX),
                rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
                cause,
                evidence,
            }
        });
        let failed = failed.collect();
        let points = keep(points.to_vec(), &keeps);
        let has = |cell: &Cell| points.iter().any(|point| point.cell == *cell);
        Self {
            measurements: counting.into_iter().filter(|of| has(&of.cell)).collect(),
            failures: failures.iter().filter(|of| has(&of.cell)).collect(),
            failed,
            points,
        }
    }
}

/// As [`matrix::keep`]; a point whose floor is not kept has none.
fn keep(mut points: Vec<Point>, keeps: &[bool]) -> Vec<Point> {
    for point in &mut points {
        point.floor = point.floor.filter(|floor| keeps[*floor]);
    }
    matrix::keep(points, keeps)
}

/// Whether a cell has failed so often that it is not tried again.
pub(crate) fn is_given_up(cell: &Cell, measurements: &[Measurement], failures: &[Failure]) -> bool {
    failures.iter().filter(|of| of.cell == *cell).count() >= FAILURES_MAX
        && !measurements.iter().any(|of| of.cell == *cell)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end().to_owned()
}

/// What a reader must know of the cells that have no figures, a sentence each.
pub(crate) fn notes(failed: &[FailedCell]) -> Vec<String> {
    let note = |of: &FailedCell| {
        let FailedCell { cell, failed, rounds, cause, evidence } = of;
        let evidence = evidence.trim_end_matches('.');
        match failed {
            0 => format!("FAILED: {cell} has no figure: {evidence}."),
            _ => format!(
                "FAILED: {cell} has no figure, since it failed in {failed} of {rounds} rounds, \
                 the last time by {cause}: {evidence}. failures.jsonl has all of it."
            ),
        }
    };
    failed.iter().map(note).collect()
}
