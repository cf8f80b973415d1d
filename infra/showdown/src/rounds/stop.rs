//! When a run has enough rounds.

use super::standing::Standing;
use crate::experiment::Experiment;
use crate::matrix::{self, Point};
use crate::process::Interrupted;
use crate::statistics::{self, SAMPLES_FOR_CI95};
use crate::summarise::count_of;
use record::{Cell, Stop};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key `stop` of an experiment: the run ends when every ratio is known well enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopRule {
    /// Half the width of the 95 % interval of a ratio over the ratio, 0.03 for ±3 %.
    pub(crate) half_width: f64,
    /// Undisturbed rounds before the first look at the intervals.
    pub(crate) rounds_min: u32,
}

impl StopRule {
    /// # Errors
    /// A sentence that names the key and what it may be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (0.001..=1.0).contains(&self.half_width),
            "stop.half_width = {} is not 0.001 to 1: 0.03 stops at ±3 %",
            self.half_width
        );
        anyhow::ensure!(
            usize::try_from(self.rounds_min).is_ok_and(|least| least >= SAMPLES_FOR_CI95),
            "stop.rounds_min = {} is less than {SAMPLES_FOR_CI95}: with fewer rounds a narrow \
             interval is luck",
            self.rounds_min
        );
        Ok(())
    }

    /// Whether the run may end.
    ///
    /// It may be asked after every round. Stopping when an interval happens to be narrow makes it
    /// miss more often; with six rounds and Student's quantile to begin with, it still covers
    /// 92.5 % and more, which a test simulates.
    pub(crate) fn is_met(&self, rounds: usize, widest: Option<&Widest>) -> bool {
        u32::try_from(rounds).is_ok_and(|rounds| rounds >= self.rounds_min)
            && widest.is_some_and(|widest| widest.half_width <= self.half_width)
    }
}

/// The ratio that is known least.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Widest {
    /// Half the width of its interval, over it.
    pub(crate) half_width: f64,
    /// The label of its cell.
    pub(crate) label: String,
}

/// The widest interval of the ratios to the baseline, over the rounds given. None where no ratio
/// has one: there is no cell beside the baseline, or less than two rounds.
pub(crate) fn widest(
    standing: &Standing<'_>,
    rounds: &[u32],
    experiment: &Experiment,
) -> Option<Widest> {
    let mut rates: BTreeMap<&Cell, Vec<f64>> = BTreeMap::new();
    let Standing { points, measurements, .. } = standing;
    for measurement in measurements.iter().filter(|of| rounds.contains(&of.round)) {
        rates.entry(&measurement.cell).or_default().push(measurement.load.throughput_rps);
    }
    let of_point = |(index, point): (usize, &Point)| {
        let (own, baseline) = (&rates.get(&point.cell)?, &rates.get(&points[point.baseline].cell)?);
        let ratios: Vec<f64> = own.iter().zip(baseline.iter()).map(|(own, to)| own / to).collect();
        (point.baseline != index && ratios.len() > 1).then(|| Widest {
            half_width: statistics::half_width(&statistics::estimate(&ratios)),
            label: matrix::label(&point.cell, experiment),
        })
    };
    let all = points.iter().enumerate().filter_map(of_point);
    all.max_by(|left, right| left.half_width.total_cmp(&right.half_width))
}

/// Why no more rounds were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every interval was narrow enough.
    Narrow,
    /// There were as many undisturbed rounds as were wanted.
    Complete,
    /// More rounds were disturbed than may be repeated.
    Repeats,
    /// The time was used up.
    Budget,
    /// The user asked for it.
    Interrupted(Interrupted),
}

impl Ended {
    /// As it is recorded.
    pub(crate) fn stop(self, experiment: &Experiment, used: usize, widest: Option<Widest>) -> Stop {
        let effort = &experiment.effort;
        let rounds = count_of(used, "round");
        let mut reason = match self {
            Self::Narrow => format!("Stopped after {rounds}, when every ratio was known well"),
            Self::Complete => format!("Measured {rounds}, as many as were wanted"),
            Self::Repeats => format!(
                "Only {used} of {} rounds are used: the {} repeats allowed were used up",
                effort.rounds, effort.repeats
            ),
            Self::Budget => format!(
                "Only {used} of {} rounds are used: the {} s allowed were used up",
                effort.rounds, effort.budget_s
            ),
            // In capitals, as every note that warns.
            Self::Interrupted(by) => format!(
                "INTERRUPTED by {} after {used} of {} rounds: what was measured until then is all \
                 that there is",
                by.name(),
                effort.rounds
            ),
        };
        let widest = widest.unwrap_or(Widest { half_width: 0.0, label: String::new() });
        if !widest.label.is_empty() {
            let percent = widest.half_width * 100.0;
            reason.push_str(&format!(
                "; the widest interval is that of {}, ±{percent:.1} %",
                widest.label
            ));
        }
        let half_width_max = experiment.stop.map(|rule| rule.half_width);
        if let Some(bound) = half_width_max.filter(|_| !widest.label.is_empty()) {
            let word = if widest.half_width <= bound { "within" } else { "wider than" };
            reason.push_str(&format!(", {word} the ±{} % asked for", bound * 100.0));
        }
        reason.push('.');
        Stop { half_width_max, half_width: widest.half_width, widest: widest.label, reason }
    }
}
