//! Which rounds count, and when there are enough of them.
//!
//! ```text
//! measurements ──► rules: what disturbed each round ──► choose: which are used
//!                                                   └─► stop: are the intervals narrow enough
//! ```
//!
//! A round is dropped as a whole, so that the measurements of two cells stay pairs. No rule looks
//! at a throughput or a latency: a sample is never dropped for being large or small.

mod rules;
mod stop;

pub(crate) use rules::{Bounds, Judged, judge, words};
pub(crate) use stop::{Ended, StopRule, widest};

use crate::experiment::Experiment;
use crate::statistics::SAMPLES_FOR_CI95;
use crate::summarise::count_of;
use record::{DisturbedRound, Rounds, Stop};

/// With fewer undisturbed rounds than this, the least disturbed ones are used as well.
const ROUNDS_MIN: usize = 3;

/// The numbers of the undisturbed rounds.
pub(crate) fn clean(judged: &[Judged]) -> Vec<u32> {
    judged.iter().filter(|round| round.reasons.is_empty()).map(|round| round.round).collect()
}

/// Decides which rounds the figures come from: the undisturbed ones, and for want of three of
/// them the least disturbed ones.
pub(crate) fn choose(judged: Vec<Judged>, experiment: &Experiment, seed: u64) -> Rounds {
    let mut used = clean(&judged);
    let lacking = ROUNDS_MIN.min(judged.len()).saturating_sub(used.len());
    let mut disturbed: Vec<Judged> =
        judged.into_iter().filter(|round| !round.reasons.is_empty()).collect();
    disturbed.sort_by(|left, right| left.severity.total_cmp(&right.severity));
    used.extend(disturbed.iter().take(lacking).map(|round| round.round));
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
        used,
        steal_share_max: experiment.steal_share_max,
        seed,
        stop: None,
    }
}

/// What a reader must know of the rounds, a sentence each.
pub(crate) fn notes(rounds: &Rounds) -> Vec<String> {
    let mut notes = Vec::new();
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

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
