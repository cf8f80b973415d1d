//! The highest rate that holds an objective: the search driven over a trial, what is printed on the
//! way, and what it comes to.

use super::bisect::{Above, Bisection, Bounds, Conclusion, Length, Step};
use super::row::Row;
use super::trial::{Judgement, Trial, Verdict, judge};
use crate::output::condition::Condition;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// What is searched for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Conditions that must all hold.
    pub conditions: Vec<Condition>,
    /// Where to search.
    pub bounds: Bounds,
    /// Length of the trials that find the way.
    pub short: Duration,
    /// Length of the trials that confirm.
    pub full: Duration,
}

/// A trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTrial {
    /// Its figures.
    pub row: Row,
    /// Short or full.
    pub length: Length,
    /// What it says.
    pub judgement: Judgement,
}

impl fmt::Display for SearchTrial {
    /// The row, the length and the verdict.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match self.length {
            Length::Short => "short",
            Length::Full => "full",
        };
        let reasons = self.judgement.reasons.join("; ");
        write!(formatter, "{}  {length:>5}  ", self.row)?;
        match self.judgement.verdict {
            Verdict::Holds => formatter.write_str("holds"),
            Verdict::Fails => write!(formatter, "fails: {reasons}"),
            Verdict::ClientLimit => write!(formatter, "client: {reasons}"),
        }
    }
}

/// A search that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Every trial in its order.
    pub trials: Vec<SearchTrial>,
    /// What was found; `None` where the user interrupted it.
    pub conclusion: Option<Conclusion>,
}

/// Searches. `show` is given each trial as it comes.
///
/// # Errors
/// Where a trial cannot be run at all, its sentence.
pub fn run(
    objective: &Objective,
    trial: &mut impl Trial,
    mut show: impl FnMut(&SearchTrial),
) -> Result<Search, String> {
    let mut bisection = Bisection::new(objective.bounds);
    let mut search = Search { trials: Vec::new(), conclusion: None };
    loop {
        let (rate_rps, length) = match bisection.step() {
            Step::Run { rate_rps, length } => (rate_rps, length),
            Step::Done(conclusion) => {
                search.conclusion = Some(conclusion);
                return Ok(search);
            }
        };
        let duration = match length {
            Length::Short => objective.short,
            Length::Full => objective.full,
        };
        let outcome = trial.run(rate_rps, duration)?;
        let judgement = judge(&outcome, rate_rps, &objective.conditions);
        let verdict = judgement.verdict;
        let record = SearchTrial { row: Row::of(rate_rps, &outcome), length, judgement };
        show(&record);
        search.trials.push(record);
        if outcome.interrupted {
            return Ok(search);
        }
        bisection.observe(verdict);
    }
}

impl Search {
    /// Whether a rate was found that holds at full length.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        matches!(self.conclusion, Some(Conclusion::Holds { .. }))
    }

    /// The result in sentences, a line each.
    #[must_use]
    pub fn conclusion(&self, objective: &Objective) -> String {
        let texts: Vec<String> = objective.conditions.iter().map(ToString::to_string).collect();
        let what = texts.join(" and ");
        let min_rps = objective.bounds.min_rps;
        let full_s = objective.full.as_secs_f64();
        match self.conclusion {
            None => "Interrupted: nothing is confirmed.\n".to_owned(),
            Some(Conclusion::Holds { rate_rps, above }) => {
                let above = match above {
                    Above::Fails(above_rps) => format!("It fails at {above_rps}/s."),
                    Above::ClientLimit(above_rps) => format!(
                        "The client was the limit at {above_rps}/s{}: the server may hold more.",
                        self.client_reason(above_rps)
                    ),
                    Above::Max => "No higher rate was allowed (--max).".to_owned(),
                };
                let found = format!("{rate_rps}/s, confirmed for {full_s} s");
                format!("Highest rate that holds {what}: {found}.\n{above}\n")
            }
            Some(Conclusion::Never { verdict: Verdict::ClientLimit }) => format!(
                "{what} does not hold even at {min_rps}/s, but the client was the limit{}: \
                 nothing is known of the server.\n",
                self.client_reason(min_rps)
            ),
            Some(Conclusion::Never { .. }) => {
                format!("{what} does not hold even at {min_rps}/s (--min).\n")
            }
        }
    }

    /// Why the client was the limit at a rate, in parentheses.
    fn client_reason(&self, rate_rps: u64) -> String {
        let mut trials = self.trials.iter().filter(|trial| trial.row.target_rps == rate_rps);
        let reason = trials.find_map(|trial| trial.row.client_limit.as_ref());
        reason.map_or_else(String::new, |why| format!(" ({why})"))
    }

    /// The search as an object of JSON. `rate_rps` is `null` where no rate was confirmed.
    #[must_use]
    pub fn json(&self, url: &str, objective: &Objective) -> Value {
        let trials: Vec<Value> = self
            .trials
            .iter()
            .map(|trial| {
                let mut object = trial.row.json();
                object["full_length"] = json!(trial.length == Length::Full);
                object["verdict"] = json!(verdict_name(trial.judgement.verdict));
                object["reasons"] = json!(trial.judgement.reasons);
                object
            })
            .collect();
        let (rate_rps, above) = match self.conclusion {
            Some(Conclusion::Holds { rate_rps, above }) => (Some(rate_rps), Some(above)),
            Some(Conclusion::Never { .. }) | None => (None, None),
        };
        let fails_at_rps = above.and_then(|above| match above {
            Above::Fails(rate_rps) => Some(rate_rps),
            Above::ClientLimit(_) | Above::Max => None,
        });
        let client_limit_at_rps = above.and_then(|above| match above {
            Above::ClientLimit(rate_rps) => Some(rate_rps),
            Above::Fails(_) | Above::Max => None,
        });
        json!({
            "schema": 1,
            "kind": "search",
            "url": url,
            "objective": objective.conditions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "min_rps": objective.bounds.min_rps,
            "max_rps": objective.bounds.max_rps,
            "resolution_percent": objective.bounds.resolution_percent,
            "short_s": objective.short.as_secs_f64(),
            "full_s": objective.full.as_secs_f64(),
            "rate_rps": rate_rps,
            "fails_at_rps": fails_at_rps,
            "client_limit_at_rps": client_limit_at_rps,
            "interrupted": self.conclusion.is_none(),
            "trials": trials,
        })
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::ClientLimit => "client-limit",
    }
}

#[cfg(test)]
mod tests;
