//! Taking rounds: every cell once, what was disturbed again, until there are enough of them.

use super::{Ended, Standing, clean, from_outside, judge, standing, widest, words};
use crate::experiment::Experiment;
use crate::matrix::{self, Point, Subject};
use crate::measure::CellFailed;
use crate::process::Interrupted;
use crate::statistics;
use crate::summarise::count_of;
use anyhow::{Result, ensure};
use record::{Cell, Environment, Failure, Measurement};
use std::time::Duration;

/// Which cell is measured, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Its place in the matrix.
    pub(crate) index: usize,
    /// The number of the round, from 1.
    pub(crate) round: u32,
    /// The place in the round, from 1.
    pub(crate) position: u32,
    /// How often the cell has been measured in the round, this time included.
    pub(crate) attempt: u32,
}

/// What measures.
pub(crate) trait Source {
    /// Time on a clock that only runs forwards.
    fn now(&self) -> Duration;

    /// Measures a cell.
    ///
    /// # Errors
    /// [`CellFailed`], and whatever else ends the run.
    fn measure(&mut self, turn: Turn) -> Result<Measurement>;

    /// Keeps what was measured for good.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn keep(&mut self, measurement: &Measurement) -> Result<()>;

    /// Keeps what happened in the place of a measurement.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn keep_failure(&mut self, failure: &Failure) -> Result<()>;

    /// Says a line to the user.
    fn say(&mut self, line: &str);

    /// So many measurements are to come that were not to be expected.
    fn expect_more(&mut self, measurements: usize);
}

/// What is measured, and what rounds are judged by.
#[derive(Clone, Copy)]
pub(crate) struct Series<'a> {
    /// How often, and what disturbs.
    pub(crate) experiment: &'a Experiment,
    /// The cells.
    pub(crate) points: &'a [Point],
    /// Which CPUs are measured.
    pub(crate) environment: &'a Environment,
    /// Seed of the order.
    pub(crate) seed: u64,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Taken {
    /// In the order in which it was.
    pub(crate) measurements: Vec<Measurement>,
    /// What gave no figure.
    pub(crate) failures: Vec<Failure>,
    /// Why there is no more.
    pub(crate) ended: Ended,
}

impl Taken {
    /// What ended the run before its time.
    pub(crate) fn interrupted(&self) -> Option<Interrupted> {
        match self.ended {
            Ended::Interrupted(by) => Some(by),
            Ended::Narrow | Ended::Complete | Ended::Repeats | Ended::Budget => None,
        }
    }

    /// What came of something that followed the rounds; an interruption of it ends the run, whose
    /// rounds are not lost by that.
    ///
    /// # Errors
    /// All others.
    pub(crate) fn unless_interrupted(&mut self, came: Result<Vec<String>>) -> Result<Vec<String>> {
        let Err(error) = came else { return came };
        let Some(by) = error.downcast_ref::<Interrupted>() else { return Err(error) };
        self.ended = Ended::Interrupted(*by);
        Ok(Vec::new())
    }
}

/// Measures rounds until there are enough undisturbed ones, or until no more are allowed. A cell
/// that gives no figure ends nothing, as long as there is another one to measure; where the user
/// interrupts, what was measured until then is returned.
///
/// # Errors
/// As [`Source::measure`] and [`Source::keep`], and where no server gives any figure.
pub(crate) fn take(series: Series<'_>, source: &mut impl Source) -> Result<Taken> {
    let budget = Budget::new(series.experiment, source.now());
    let (measurements, failures) = (Vec::new(), Vec::new());
    let mut taking = Taking { series, source, budget, measurements, failures };
    let ended = match taking.rounds() {
        Ok(ended) => ended,
        Err(error) => match error.downcast_ref::<Interrupted>() {
            Some(by) => Ended::Interrupted(*by),
            None => return Err(error),
        },
    };
    let Taking { measurements, failures, .. } = taking;
    Ok(Taken { measurements, failures, ended })
}

struct Taking<'a, S: Source> {
    series: Series<'a>,
    source: &'a mut S,
    budget: Budget,
    measurements: Vec<Measurement>,
    failures: Vec<Failure>,
}

impl<S: Source> Taking<'_, S> {
    fn rounds(&mut self) -> Result<Ended> {
        let Series { experiment, points, environment, .. } = self.series;
        let effort = experiment.effort;
        for round in 1..=effort.rounds + effort.repeats {
            if !self.budget.allows_round(self.source.now()) {
                self.source.say("the time allowed is used up");
                return Ok(Ended::Budget);
            }
            self.round(round)?;
            let standing = Standing::of(points, &self.measurements, &self.failures, experiment);
            let judged = judge(&standing, experiment, environment);
            let disturbed_by = judged.iter().rfind(|of| of.round == round);
            let disturbed_by = disturbed_by.map_or_else(String::new, |of| words(&of.reasons));
            self.source.say(&self.round_line(round, &disturbed_by));
            let clean = clean(&judged);
            if clean.len() >= effort.rounds as usize {
                return Ok(Ended::Complete);
            }
            if let Some(rule) = &experiment.stop {
                let widest = widest(&standing, &clean, experiment);
                if rule.is_met(clean.len(), widest.as_ref()) {
                    return Ok(Ended::Narrow);
                }
            }
            if !disturbed_by.is_empty() {
                self.source.expect_more(points.len());
            }
        }
        Ok(Ended::Repeats)
    }

    /// Measures every cell once, in an order drawn for this round, then those again that something
    /// from outside disturbed, in the same order: at the end of the round, because what disturbs a
    /// machine often lasts longer than a measurement.
    fn round(&mut self, round: u32) -> Result<()> {
        let Series { experiment, points, seed, .. } = self.series;
        let began = self.source.now();
        let mut due = statistics::order(seed, round, points.len());
        due.retain(|index| !self.is_given_up(*index));
        self.check_that_a_server_is_left()?;
        let mut position = 0;
        for attempt in 1..=1 + experiment.effort.cell_repeats {
            let mut disturbed = Vec::new();
            for index in due {
                let is_again = attempt > 1;
                if is_again && !self.budget.allows_one(self.source.now()) {
                    return Ok(());
                }
                if is_again {
                    self.source.expect_more(1);
                }
                position += 1;
                if !self.one(Turn { index, round, position, attempt })? {
                    disturbed.push(index);
                }
            }
            if attempt == 1 {
                self.budget.round_took(self.source.now().saturating_sub(began));
            }
            due = disturbed;
        }
        Ok(())
    }

    fn is_given_up(&self, index: usize) -> bool {
        let cell = &self.series.points[index].cell;
        standing::is_given_up(cell, &self.measurements, &self.failures)
    }

    /// Without one there is nothing that a run could give.
    fn check_that_a_server_is_left(&self) -> Result<()> {
        let points = self.series.points.iter().enumerate();
        let mut servers = points.filter(|(_, point)| point.subject != Subject::Floor);
        let is_left = servers
            .any(|(index, point)| !self.is_given_up(index) && !self.is_given_up(point.baseline));
        let last = self.failures.last().map_or("", |failure| failure.evidence.as_str());
        ensure!(
            is_left,
            "no server gives a figure that could be compared; the last failure: {last}"
        );
        Ok(())
    }

    /// Measures a cell; whether nothing from outside disturbed it.
    fn one(&mut self, turn: Turn) -> Result<bool> {
        let Series { experiment, environment, points, .. } = self.series;
        let began = self.source.now();
        let mut measurement = match self.source.measure(turn) {
            Ok(measurement) => measurement,
            Err(error) => {
                let Some(failed) = error.downcast_ref::<CellFailed>() else { return Err(error) };
                self.fail(&points[turn.index].cell, turn, failed)?;
                return Ok(true);
            }
        };
        measurement.attempt = turn.attempt;
        measurement.disturbed = from_outside(&measurement, experiment, environment);
        self.source.keep(&measurement)?;
        self.budget.one_took(self.source.now().saturating_sub(began));
        let is_quiet = measurement.disturbed.is_empty();
        self.measurements.push(measurement);
        Ok(is_quiet)
    }

    /// Nothing from outside is known to have caused it: it is not tried again in this round.
    fn fail(&mut self, cell: &Cell, turn: Turn, failed: &CellFailed) -> Result<()> {
        let failure = Failure {
            schema: Measurement::SCHEMA,
            round: turn.round,
            position: turn.position,
            cell: cell.clone(),
            cause: failed.cause.to_owned(),
            evidence: failed.evidence.clone(),
        };
        self.source.keep_failure(&failure)?;
        let label = matrix::label(cell, self.series.experiment);
        let CellFailed { cause, evidence } = failed;
        self.source.say(&format!("round {}: {label} FAILED ({cause}): {evidence}", turn.round));
        self.failures.push(failure);
        Ok(())
    }

    /// What a round gave; `disturbed_by` is empty where nothing disturbed it.
    fn round_line(&self, round: u32, disturbed_by: &str) -> String {
        let of_round = self.measurements.iter().filter(|of| of.round == round);
        let again = of_round.filter(|of| of.attempt > 1).count();
        let mut rates: Vec<String> = super::that_count(&self.measurements)
            .into_iter()
            .filter(|of| of.round == round)
            .map(|of| {
                let label = matrix::label(&of.cell, self.series.experiment);
                format!("{label} {:.1}k", of.load.throughput_rps / 1e3)
            })
            .collect();
        rates.sort();
        let mut line = format!("round {round}: {} requests/s", rates.join(", "));
        if again > 0 {
            line.push_str(&format!("; {} taken again", count_of(again, "measurement")));
        }
        if !disturbed_by.is_empty() {
            line.push_str(&format!("; DISTURBED: {disturbed_by}"));
        }
        line
    }
}

/// The time that rounds may take. The first round always runs once through; another one, or a
/// measurement that is taken again, is begun only if the longest so far would still fit.
struct Budget {
    ends: Duration,
    round: Duration,
    one: Duration,
}

impl Budget {
    fn new(experiment: &Experiment, now: Duration) -> Self {
        let total = Duration::from_secs(experiment.effort.budget_s.into());
        Self { ends: now + total, round: Duration::ZERO, one: Duration::ZERO }
    }

    fn allows_round(&self, now: Duration) -> bool {
        now + self.round <= self.ends
    }

    fn allows_one(&self, now: Duration) -> bool {
        now + self.one <= self.ends
    }

    /// How long every cell once took, without those measured again.
    fn round_took(&mut self, time: Duration) {
        self.round = self.round.max(time);
    }

    fn one_took(&mut self, time: Duration) {
        self.one = self.one.max(time);
    }
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
