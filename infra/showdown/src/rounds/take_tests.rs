//! A machine that is made up: each measurement takes a second, and the script says which of them
//! are disturbed.

use super::*;
use crate::rounds::{superseded, that_count};
use crate::summarise::tests::{environment, experiment, load, measurement, points};
use anyhow::Context;
use record::Superseded;

/// Time that each measurement takes.
const ONE: Duration = Duration::from_secs(1);

/// What its clock shows at the beginning.
const BEGAN: Duration = Duration::from_secs(50);

/// What is wrong with a measurement, and what it gives.
type Script = fn(&Turn) -> Given;

struct Given {
    steal_share: f64,
    /// 0 where not one response arrived.
    rps: u32,
}

const QUIET: Given = Given { steal_share: 0.0, rps: 1000 };
/// Disturbed, and faster than any other.
const STOLEN: Given = Given { steal_share: 0.5, rps: 9000 };
const FAILED: Given = Given { steal_share: 0.0, rps: 0 };

struct Machine {
    script: Script,
    now: Duration,
    turns: Vec<Turn>,
    kept: Vec<Measurement>,
    failed: Vec<Failure>,
    said: Vec<String>,
    more: usize,
}

impl Source for Machine {
    fn now(&self) -> Duration {
        self.now
    }

    fn measure(&mut self, turn: Turn) -> Result<Measurement> {
        self.now += ONE;
        self.turns.push(turn);
        let Given { steal_share, rps } = (self.script)(&turn);
        if rps == 0 {
            return Err(CellFailed::no_response("nothing came\nIt wrote: x".to_owned()))
                .context("a context does not hide it");
        }
        let mut of = measurement(&points()[turn.index], turn.round, load(rps, &[20]));
        of.position = turn.position;
        of.cpu.steal_share = steal_share;
        Ok(of)
    }

    fn keep(&mut self, measurement: &Measurement) -> Result<()> {
        self.kept.push(measurement.clone());
        Ok(())
    }

    fn keep_failure(&mut self, failure: &Failure) -> Result<()> {
        self.failed.push(failure.clone());
        Ok(())
    }

    fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }

    fn expect_more(&mut self, measurements: usize) {
        self.more += measurements;
    }
}

impl Machine {
    /// One on which some time has passed already.
    fn new(script: Script) -> Self {
        let (turns, kept, failed, said) = Default::default();
        Self { script, now: BEGAN, turns, kept, failed, said, more: 0 }
    }

    /// Takes the rounds of an experiment on it.
    fn take(&mut self, experiment: &Experiment) -> Result<Taken> {
        let (points, environment) = (points(), environment());
        take(Series { experiment, points: &points, environment: &environment, seed: 7 }, self)
    }
}

/// Three rounds of epoll and xdp as the script says, after a change to the experiment.
fn run(change: fn(&mut Experiment), script: Script) -> (Experiment, Machine, Taken) {
    let mut experiment = experiment();
    change(&mut experiment);
    let mut machine = Machine::new(script);
    let taken = machine.take(&experiment).unwrap();
    assert_eq!(machine.kept, taken.measurements, "all that was measured is kept");
    assert_eq!(machine.failed, taken.failures);
    (experiment, machine, taken)
}

fn clean_rounds(experiment: &Experiment, taken: &Taken) -> Vec<u32> {
    let points = points();
    let standing = Standing::of(&points, &taken.measurements, &taken.failures, experiment);
    clean(&judge(&standing, experiment, &environment()))
}

#[test]
fn quiet_rounds_measure_every_cell_once() {
    let (experiment, machine, taken) = run(|_| (), |_| QUIET);
    assert_eq!(taken.ended, Ended::Complete);
    assert_eq!(clean_rounds(&experiment, &taken), [1, 2, 3]);
    assert_eq!((taken.measurements.len(), machine.more), (6, 0));
    assert!(taken.measurements.iter().all(|of| of.attempt == 1 && of.disturbed.is_empty()));
    for round in machine.turns.chunks(2) {
        assert_eq!([round[0].position, round[1].position], [1, 2]);
        assert_ne!(round[0].index, round[1].index);
    }
}

#[test]
fn a_disturbed_cell_is_measured_again_at_the_end_of_its_round_and_the_round_counts() {
    let script: Script = |turn| match turn {
        Turn { index: 0, round: 2, attempt: 1 | 2, .. } => STOLEN,
        _ => QUIET,
    };
    let (experiment, machine, taken) = run(|_| (), script);
    assert_eq!(taken.ended, Ended::Complete);
    assert_eq!(clean_rounds(&experiment, &taken), [1, 2, 3]);
    let again = |position, attempt| Turn { index: 0, round: 2, position, attempt };
    assert_eq!(machine.turns[4..6], [again(3, 2), again(4, 3)], "{:?}", machine.turns);
    assert_eq!((machine.turns.len(), machine.more), (8, 2));
    assert!(machine.said[1].contains("; 2 measurements taken again"), "{:?}", machine.said);

    // The fast ones are kept and listed, and count for nothing.
    let counting = that_count(&taken.measurements);
    assert_eq!(counting.len(), 6);
    assert!(counting.iter().all(|of| of.load.requests == 1000));
    let listed = superseded(&taken.measurements, &experiment);
    let attempts: Vec<u32> = listed.iter().map(|of| of.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    let Superseded { round, cell, reasons, .. } = &listed[0];
    assert_eq!((*round, cell.as_str(), reasons[0].rule.as_str()), (2, "epoll", "steal"));
    let notes = super::super::notes(&record::Rounds {
        superseded: listed,
        ..crate::summarise::tests::rounds(&[1, 2, 3])
    });
    assert!(notes[0].starts_with("2 measurements were disturbed from outside (steal 2)"));
    let used = crate::summarise::tests::rounds(&[1, 2, 3]);
    let summary = crate::summarise::tests::summary_of(&taken.measurements, used).unwrap();
    assert_eq!(summary.modes["epoll"].throughput_rps.median, 1000.0);
}

#[test]
fn a_cell_that_stays_disturbed_costs_its_round_and_another_round_takes_its_place() {
    let script: Script = |turn| if turn.round == 1 && turn.index == 1 { STOLEN } else { QUIET };
    let (experiment, machine, taken) = run(|experiment| experiment.effort.cell_repeats = 2, script);
    assert_eq!(taken.ended, Ended::Complete);
    assert_eq!(clean_rounds(&experiment, &taken), [2, 3, 4]);
    let of_first = machine.turns.iter().filter(|turn| turn.round == 1);
    let attempts: Vec<u32> = of_first.filter(|turn| turn.index == 1).map(|of| of.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(machine.said[0].contains("DISTURBED: steal (xdp: "), "{:?}", machine.said);
}

#[test]
fn with_no_repeats_of_cells_the_round_is_dropped_at_once() {
    let script: Script = |turn| if turn.round == 1 { STOLEN } else { QUIET };
    let (experiment, machine, taken) = run(|experiment| experiment.effort.cell_repeats = 0, script);
    assert_eq!(clean_rounds(&experiment, &taken), [2, 3, 4]);
    assert_eq!(machine.turns.len(), 8);
}

/// Nothing is measured again for what it gave.
#[test]
fn no_result_makes_a_cell_be_measured_again() {
    let script: Script = |turn| Given { rps: 1 + turn.round * 90_000, ..QUIET };
    let (_, machine, taken) = run(|_| (), script);
    assert_eq!((machine.turns.len(), taken.ended), (6, Ended::Complete));
}

#[test]
fn however_much_is_disturbed_the_time_allowed_is_kept() {
    for budget_s in 2..20 {
        let mut experiment = experiment();
        experiment.effort.rounds = 100;
        experiment.effort.budget_s = budget_s;
        let mut machine = Machine::new(|_| STOLEN);
        let taken = machine.take(&experiment).unwrap();
        assert_eq!(taken.ended, Ended::Budget);
        let took = machine.now - BEGAN;
        assert!(took <= ONE * budget_s, "{took:?} of {budget_s} s");
        assert!(took + ONE * 2 > ONE * budget_s, "{took:?} of {budget_s} s are used");
    }
}

#[test]
fn a_round_in_which_a_cell_gives_no_figure_is_taken_anew() {
    let script: Script = |turn| if turn.round == 3 && turn.index == 1 { FAILED } else { QUIET };
    let (experiment, machine, taken) = run(|_| (), script);
    assert_eq!(taken.ended, Ended::Complete);
    assert_eq!(clean_rounds(&experiment, &taken), [1, 2, 4]);
    assert_eq!((taken.measurements.len(), taken.failures.len()), (7, 1));
    let Failure { round, cause, evidence, .. } = &taken.failures[0];
    assert_eq!((*round, cause.as_str()), (3, "no-response"));
    assert_eq!(evidence, "nothing came\nIt wrote: x");
    let of_third = machine.said.iter().filter(|line| line.starts_with("round 3: "));
    let of_third: Vec<&String> = of_third.collect();
    assert!(of_third[0].starts_with("round 3: xdp FAILED (no-response): nothing came"));
    assert!(of_third[1].ends_with("DISTURBED: failed (xdp: nothing came)"), "{of_third:?}");
    let standing =
        Standing::of(&points(), &taken.measurements, &taken.failures, &experiment).failed;
    assert_eq!(standing, [], "one of four is no property of the cell");
}

#[test]
fn a_cell_that_never_gives_a_figure_is_given_up_and_the_run_goes_on() {
    let script: Script = |turn| if turn.index == 1 { FAILED } else { QUIET };
    let (experiment, machine, taken) = run(|experiment| experiment.effort.rounds = 5, script);
    assert_eq!(taken.ended, Ended::Complete);
    assert_eq!(clean_rounds(&experiment, &taken), [1, 2, 3, 4, 5]);
    assert_eq!(machine.turns.iter().filter(|turn| turn.index == 1).count(), 3);
    let points = points();
    let standing = Standing::of(&points, &taken.measurements, &taken.failures, &experiment);
    assert_eq!(standing.points, points[..1]);
    assert_eq!((standing.failed[0].failed, standing.failed[0].rounds), (3, 3));
    let notes = super::super::failed_notes(&standing.failed);
    assert_eq!(
        notes,
        ["FAILED: xdp has no figure, since it failed in 3 of 3 rounds, the last time by \
          no-response: nothing came. failures.jsonl has all of it."]
    );
}

#[test]
fn without_its_baseline_a_cell_has_nothing_to_be_compared_with() {
    let script: Script = |turn| if turn.index == 0 { FAILED } else { QUIET };
    let (experiment, _, taken) = run(|experiment| experiment.effort.repeats = 0, script);
    assert_eq!(taken.ended, Ended::Repeats);
    let points = points();
    let standing = Standing::of(&points, &taken.measurements, &taken.failures, &experiment);
    assert!(standing.points.is_empty());
    let causes: Vec<&str> = standing.failed.iter().map(|of| of.cause.as_str()).collect();
    assert_eq!(causes, ["no-response", "baseline-failed"]);
    assert_eq!(standing.failed[1].evidence, "compared with epoll, which failed");

    let mut more = experiment;
    more.effort.rounds = 9;
    let mut machine = Machine::new(script);
    let error = machine.take(&more).unwrap_err().to_string();
    assert!(error.contains("no server gives a figure that could be compared"), "{error}");
    assert!(error.contains("nothing came"), "{error}");
    assert_eq!(machine.turns.len(), 6, "three rounds, and no more");
}
