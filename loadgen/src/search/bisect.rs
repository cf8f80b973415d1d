//! Which rate to try next: growth until the objective fails, bisection, confirmation.
//!
//! 1. *Growth*: from the lowest rate allowed, doubling, in short trials.
//! 2. *Bisection* between the highest rate that held and the lowest that did not, at their
//!    geometric mean, in short trials, until they are within the resolution.
//! 3. *Confirmation* of the highest rate that held, in a trial of full length. Where that fails,
//!    lower ones are tried at full length, each time twice as far below.
//!
//! One bad trial may be noise, so a trial that does not hold is repeated, and two of three decide.
//! One good trial is believed: if it was luck, the confirmation finds out.

use super::trial::Verdict;

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest rate, in requests per second, at least 1.
    pub min_rps: u64,
    /// The highest, at least the lowest.
    pub max_rps: u64,
    /// How far apart the rates that hold and that do not may be in the end, in percent, at least 1.
    pub resolution_percent: u64,
}

/// How long a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Long enough to find the way.
    Short,
    /// As long as a result needs.
    Full,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run a trial, and tell [`Bisection::observe`] what it says.
    Run {
        /// Requests per second.
        rate_rps: u64,
        /// How long.
        length: Length,
    },
    /// The search is over.
    Done(Conclusion),
}

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The objective holds at this rate, confirmed at full length.
    Holds {
        /// Requests per second.
        rate_rps: u64,
        /// What ends the search above it.
        above: Above,
    },
    /// It does not hold at any rate that was tried, down to the lowest allowed.
    Never {
        /// What the lowest rate says: it fails, or the client was the limit.
        verdict: Verdict,
    },
}

/// Why a rate above is not the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above {
    /// The objective fails at this rate.
    Fails(u64),
    /// The client was the limit at this rate; the server may be good for more.
    ClientLimit(u64),
    /// No higher rate was allowed.
    Max,
}

/// Trials at one rate, until they decide.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    holds: u32,
    fails: u32,
    client: u32,
}

impl Votes {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Holds => self.holds += 1,
            Verdict::Fails => self.fails += 1,
            Verdict::ClientLimit => self.client += 1,
        }
    }

    /// One that holds is enough at the first try; else two of three.
    fn decision(self) -> Option<Verdict> {
        let against = self.fails + self.client;
        match (self.holds, against) {
            (1, 0) | (2.., _) => Some(Verdict::Holds),
            // One trial in which the client kept up shows that the server does not.
            (_, 2..) if self.fails > 0 => Some(Verdict::Fails),
            (_, 2..) => Some(Verdict::ClientLimit),
            _ => None,
        }
    }
}

/// The state of a search.
#[derive(Clone, Debug)]
pub struct Bisection {
    bounds: Bounds,
    /// The highest rate that held.
    low_rps: Option<u64>,
    /// The lowest that did not, and why.
    high: Option<(u64, Verdict)>,
    /// The trial that is due.
    rate_rps: u64,
    length: Length,
    votes: Votes,
    /// Confirmations that did not hold.
    unconfirmed: u32,
    conclusion: Option<Conclusion>,
}

impl Bisection {
    /// A search that has not begun.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let min_rps = bounds.min_rps.max(1);
        Self {
            bounds: Bounds {
                min_rps,
                max_rps: bounds.max_rps.max(min_rps),
                resolution_percent: bounds.resolution_percent.clamp(1, 100),
            },
            low_rps: None,
            high: None,
            rate_rps: min_rps,
            length: Length::Short,
            votes: Votes::default(),
            unconfirmed: 0,
            conclusion: None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn step(&self) -> Step {
        match self.conclusion {
            Some(conclusion) => Step::Done(conclusion),
            None => Step::Run { rate_rps: self.rate_rps, length: self.length },
        }
    }

    /// Takes what the trial says that [`Bisection::step`] asked for.
    pub fn observe(&mut self, verdict: Verdict) {
        if self.conclusion.is_some() {
            return;
        }
        self.votes.count(verdict);
        let Some(decision) = self.votes.decision() else { return };
        self.votes = Votes::default();
        match (self.length, decision) {
            (Length::Short, Verdict::Holds) => self.low_rps = Some(self.rate_rps),
            (Length::Full, Verdict::Holds) => {
                self.conclusion =
                    Some(Conclusion::Holds { rate_rps: self.rate_rps, above: self.above() });
                return;
            }
            (_, against) => self.high = Some((self.rate_rps, against)),
        }
        match self.length {
            Length::Short => self.narrow(),
            Length::Full => self.lower(),
        }
    }

    /// The next short trial, or the first confirmation.
    fn narrow(&mut self) {
        let Some(low_rps) = self.low_rps else {
            // The lowest rate is the first, so nothing below it is left.
            let verdict = self.high.map_or(Verdict::Fails, |(_, verdict)| verdict);
            self.conclusion = Some(Conclusion::Never { verdict });
            return;
        };
        let high_rps = self.high.map(|(rate_rps, _)| rate_rps);
        let next_rps = match high_rps {
            None if low_rps < self.bounds.max_rps => {
                Some(low_rps.saturating_mul(2).min(self.bounds.max_rps))
            }
            Some(high_rps) if high_rps - low_rps > self.resolution_rps(low_rps) => {
                Some(geometric_mean(low_rps, high_rps))
            }
            None | Some(_) => None,
        };
        match next_rps {
            Some(rate_rps) => self.rate_rps = rate_rps,
            None => (self.rate_rps, self.length) = (low_rps, Length::Full),
        }
    }

    /// The next confirmation, below the one that did not hold.
    fn lower(&mut self) {
        if self.rate_rps == self.bounds.min_rps {
            let verdict = self.high.map_or(Verdict::Fails, |(_, verdict)| verdict);
            self.conclusion = Some(Conclusion::Never { verdict });
            return;
        }
        let widening = 1_u64.checked_shl(self.unconfirmed).unwrap_or(u64::MAX);
        let below_rps = self.resolution_rps(self.rate_rps).saturating_mul(widening);
        self.unconfirmed += 1;
        self.rate_rps = self.rate_rps.saturating_sub(below_rps).max(self.bounds.min_rps);
    }

    /// The resolution at a rate, at least 1.
    fn resolution_rps(&self, rate_rps: u64) -> u64 {
        let share = u128::from(rate_rps) * u128::from(self.bounds.resolution_percent) / 100;
        u64::try_from(share).unwrap_or(u64::MAX).max(1)
    }

    fn above(&self) -> Above {
        match self.high {
            None => Above::Max,
            Some((rate_rps, Verdict::ClientLimit)) => Above::ClientLimit(rate_rps),
            Some((rate_rps, _)) => Above::Fails(rate_rps),
        }
    }
}

/// The rate as many times above `low` as it is below `high`, strictly between them where anything
/// is.
fn geometric_mean(low: u64, high: u64) -> u64 {
    let root = (u128::from(low) * u128::from(high)).isqrt();
    let root = u64::try_from(root).unwrap_or(u64::MAX);
    root.clamp(low.saturating_add(1), high.saturating_sub(1).max(low.saturating_add(1)))
}

#[cfg(test)]
mod tests;
