//! Which rounds count, and when there are enough of them.
//!
//! ```text
//! take ──► measurements ──► rules: what disturbed each round ──► choose: which are used
//!                                                            └─► stop: are the intervals narrow
//! ```
//!
//! A measurement that something from outside disturbed is taken again within its round, and the
//! last one of each cell counts. A round that stays disturbed is dropped as a whole, so that the
//! measurements of two cells stay pairs. No rule looks at a throughput or a latency: a sample is
//! never dropped for being large or small.

mod rules;
mod standing;
mod stop;
mod take;

pub(crate) use rules::{Bounds, Judged, from_outside, judge, kinds, words};
pub(crate) use standing::{Standing, notes as failed_notes};
pub(crate) use stop::{Ended, StopRule, widest};
pub(crate) use take::{Series, Source, Taken, Turn, take};

use crate::experiment::Experiment;
use crate::matrix;
use crate::statistics::SAMPLES_FOR_CI95;
use crate::summarise::count_of;
use record::{DisturbedRound, Measurement, Rounds, Stop, Superseded};
use std::collections::BTreeMap;

/// With fewer undisturbed rounds than this, the least disturbed ones are used as well.
const ROUNDS_MIN: usize = 3;

/// Whether a later measurement of the same cell in the same round counts in the place of this one.
pub(crate) fn is_superseded(measurement: &Measurement, all: &[Measurement]) -> bool {
    all.iter().any(|other| {
        other.attempt > measurement.attempt
            && other.round == measurement.round
            && other.cell == measurement.cell
    })
}

/// The measurements that count, in their order: of each cell in each round the last.
pub(crate) fn that_count(measurements: &[Measurement]) -> Vec<&Measurement> {
    let rounds = measurements.chunk_by(|left, right| left.round == right.round);
    let of_round = |round| <[Measurement]>::iter(round).filter(|of| !is_superseded(of, round));
    rounds.flat_map(of_round).collect()
}

/// The measurements that do not count, each with what disturbed it.
pub(crate) fn superseded(measurements: &[Measurement], experiment: &Experiment) -> Vec<Superseded> {
    let rounds = measurements.chunk_by(|left, right| left.round == right.round);
    let of_round = |round| <[Measurement]>::iter(round).filter(|of| is_superseded(of, round));
    let listed = rounds.flat_map(of_round).map(|of| Superseded {
        round: of.round,
        cell: matrix::label(&of.cell, experiment),
        attempt: of.attempt,
        reasons: of.disturbed.clone(),
    });
    listed.collect()
}

/// The numbers of the undisturbed rounds.
pub(crate) fn clean(judged: &[Judged]) -> Vec<u32> {
    judged.iter().filter(|round| round.reasons.is_empty()).map(|round| round.round).collect()
}

/// Decides which rounds the figures come from: the undisturbed ones, and for want of three of
/// them the least disturbed ones, if every cell has a figure there.
pub(crate) fn choose(judged: Vec<Judged>, experiment: &Experiment, seed: u64) -> Rounds {
    let mut used = clean(&judged);
    let lacking = ROUNDS_MIN.min(judged.len()).saturating_sub(used.len());
    let mut disturbed: Vec<Judged> =
        judged.into_iter().filter(|round| !round.reasons.is_empty()).collect();
    disturbed.sort_by(|left, right| left.severity.total_cmp(&right.severity));
    let usable = disturbed.iter().filter(|round| round.is_complete);
    used.extend(usable.take(lacking).map(|round| round.round));
    used.sort_unstable();
    disturbed.sort_by_key(|round| round.round);
    let disturbed = disturbed.into_iter().map(|judged| DisturbedRound {
        round: judged.round,
        steal_share: judged.steal_share,
        used: used.contains(&judged.round),
        reasons: judged.reasons,
    });
    Rounds {
        wanted: experiment.effort.rounds,
        disturbed: disturbed.collect(),
        superseded: Vec::new(),
        used,
        steal_share_max: experiment.steal_share_max,
        seed,
        stop: None,
    }
}

/// What a reader must know of the rounds, a sentence each.
pub(crate) fn notes(rounds: &Rounds) -> Vec<String> {
    let mut notes = Vec::from_iter(note_on_superseded(&rounds.superseded));
    for round in &rounds.disturbed {
        let what = words(&round.reasons);
        notes.push(if round.used {
            format!("DISTURBED: round {} is used for want of better ones: {what}.", round.round)
        } else {
            format!("Round {} is dropped: {what}.", round.round)
        });
    }
    let used = rounds.used.len();
    match &rounds.stop {
        Some(Stop { reason, .. }) => notes.push(reason.clone()),
        None if u32::try_from(used).is_ok_and(|used| used < rounds.wanted) => {
            notes.push(format!("Only {used} of {} rounds are used.", rounds.wanted));
        }
        None => {}
    }
    if used == 1 {
        notes.push("One round has no interval: [low, high] is the figure itself.".to_owned());
    } else if used < SAMPLES_FOR_CI95 {
        notes.push(format!(
            "{} are few: with less than {SAMPLES_FOR_CI95} the intervals hold only if the noise \
             of the logarithms is symmetric.",
            count_of(used, "round")
        ));
    }
    notes
}

/// How many measurements were taken again, and for what.
fn note_on_superseded(superseded: &[Superseded]) -> Option<String> {
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    // A measurement that two rules found is counted under the first.
    for reason in superseded.iter().filter_map(|of| of.reasons.first()) {
        *by_rule.entry(&reason.rule).or_default() += 1;
    }
    let rules: Vec<String> =
        by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    (!superseded.is_empty()).then(|| {
        format!(
            "{} disturbed from outside ({}) and taken again within the round: rounds.jsonl keeps \
             what was measured first, and no figure has it.",
            match superseded.len() {
                1 => "1 measurement was".to_owned(),
                more => format!("{more} measurements were"),
            },
            rules.join(", ")
        )
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
