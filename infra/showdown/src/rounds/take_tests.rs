//! A machine that is made up: each measurement takes a second, and the script says which of them
//! are disturbed.

use super::*;
use crate::rounds::{superseded, that_count};
use crate::summarise::tests::{environment, experiment, load, measurement, points};
use record::Superseded;

/// Time that each measurement takes.
const ONE: Duration = Duration::from_secs(1);

/// What is wrong with a measurement, and what it gives.
type Script = fn(&Turn) -> Given;

struct Given {
    steal_share: f64,
    rps: u32,
}

const QUIET: Given = Given { steal_share: 0.0, rps: 1000 };
/// Disturbed, and faster than any other.
const STOLEN: Given = Given { steal_share: 0.5, rps: 9000 };

struct Machine {
    script: Script,
    now: Duration,
    turns: Vec<Turn>,
    kept: Vec<Measurement>,
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
        let mut of = measurement(&points()[turn.index], turn.round, load(rps, &[20]));
        of.position = turn.position;
        of.cpu.steal_share = steal_share;
        Ok(of)
    }

    fn keep(&mut self, measurement: &Measurement) -> Result<()> {
        self.kept.push(measurement.clone());
        Ok(())
    }

    fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }

    fn expect_more(&mut self, measurements: usize) {
        self.more += measurements;
    }
}

/// Three rounds of epoll and xdp as the script says, after a change to the experiment.
fn run(change: fn(&mut Experiment), script: Script) -> (Experiment, Machine, Taken) {
    let mut experiment = experiment();
    change(&mut experiment);
    let (points, environment) = (points(), environment());
    let series =
        Series { experiment: &experiment, points: &points, environment: &environment, seed: 7 };
    let (said, turns, kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut machine = Machine { script, now: Duration::ZERO, turns, kept, said, more: 0 };
    let taken = take(series, &mut machine).unwrap();
    assert_eq!(machine.kept, taken.measurements, "all that was measured is kept");
    (experiment, machine, taken)
}

fn clean_rounds(experiment: &Experiment, taken: &Taken) -> Vec<u32> {
    clean(&judge(&taken.measurements, experiment, &environment()))
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
        let (points, environment) = (points(), environment());
        let series =
            Series { experiment: &experiment, points: &points, environment: &environment, seed: 7 };
        let (said, turns, kept) = (Vec::new(), Vec::new(), Vec::new());
        let script: Script = |_| STOLEN;
        let mut machine = Machine { script, now: ONE * 50, turns, kept, said, more: 0 };
        let taken = take(series, &mut machine).unwrap();
        assert_eq!(taken.ended, Ended::Budget);
        let took = machine.now - ONE * 50;
        assert!(took <= ONE * budget_s, "{took:?} of {budget_s} s");
        assert!(took + ONE * 2 > ONE * budget_s, "{took:?} of {budget_s} s are used");
    }
}
