//! One run at one rate, and what it says of an objective.

use crate::output::condition::Condition;
use crate::output::figures::Figures;
use std::time::Duration;

/// Share of the requests that were due which may be missing before a rate counts as not reached.
const SHORTFALL_PERCENT: f64 = 2.0;

/// Standard deviations of a Poisson count that may be missing: of a few hundred random arrivals,
/// 2 % fewer than on average are nothing unusual.
const SHORTFALL_SIGMAS: f64 = 3.0;

/// What runs a load.
pub trait Trial {
    /// Runs an open loop at a rate in requests per second, for so long.
    ///
    /// # Errors
    /// A sentence, where there is no run at all: the server is gone, the machine refuses. It ends
    /// the sweep or the search.
    fn run(&mut self, rate_rps: u64, length: Duration) -> Result<TrialOutcome, String>;
}

/// What a trial measured.
#[derive(Clone, Debug)]
pub struct TrialOutcome {
    /// The figures; their latency is from the time at which a request was due.
    pub figures: Figures,
    /// The 99th percentile of how late the generator itself sent, in nanoseconds, where known.
    pub lateness_p99_ns: Option<u64>,
    /// Why the client and not the server was the limit, in a sentence, where it was.
    pub client_limit: Option<String>,
    /// Whether the user interrupted it: what it measured stands, and nothing follows.
    pub interrupted: bool,
}

impl TrialOutcome {
    /// Whether responses came at the rate that was asked for, apart from chance.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "compared within percents")]
    pub fn reached(&self, rate_rps: u64) -> bool {
        let due = rate_rps as f64 * self.figures.duration_s;
        let allowed = (due * SHORTFALL_PERCENT / 100.0).max(SHORTFALL_SIGMAS * due.sqrt());
        self.figures.counts.requests > 0 && self.figures.counts.requests as f64 >= due - allowed
    }
}

/// What a trial says of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds at this rate.
    Holds,
    /// It does not.
    Fails,
    /// It does not, but the client was the limit, so that nothing is known of the server.
    ClientLimit,
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it does not hold; empty where it does.
    pub reasons: Vec<String>,
}

/// Judges a trial: every condition holds, and the rate was reached. A latency of which nothing is
/// known does not hold.
#[must_use]
pub fn judge(outcome: &TrialOutcome, rate_rps: u64, objective: &[Condition]) -> Judgement {
    let mut reasons: Vec<String> = objective
        .iter()
        .map(|condition| condition.check(&outcome.figures))
        .filter(|finding| finding.holds != Some(true))
        .map(|finding| finding.measured)
        .collect();
    if !outcome.reached(rate_rps) {
        let achieved_rps = outcome.figures.rate_rps();
        reasons.push(format!("{achieved_rps:.0}/s of {rate_rps}/s were achieved"));
    }
    if reasons.is_empty() {
        return Judgement { verdict: Verdict::Holds, reasons };
    }
    let Some(why) = &outcome.client_limit else {
        return Judgement { verdict: Verdict::Fails, reasons };
    };
    reasons.push(why.clone());
    Judgement { verdict: Verdict::ClientLimit, reasons }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::outcome::Counts;
    use crate::output::figures::tests::figures;
    use crate::samples::Samples;

    /// A trial of so many responses, all with one latency.
    pub(crate) fn outcome(requests: u64, duration_s: f64, latency_ns: u64) -> TrialOutcome {
        let mut latency = Samples::new(3, 3_600_000_000_000);
        (0..requests.min(1)).for_each(|_| latency.record(latency_ns));
        TrialOutcome {
            figures: Figures {
                latency,
                duration_s,
                counts: Counts { sent: requests, requests, ..Counts::default() },
                non2xx: 0,
                ..figures()
            },
            lateness_p99_ns: Some(10_000),
            client_limit: None,
            interrupted: false,
        }
    }

    fn check(outcome: &TrialOutcome, verdict: Verdict, reasons: &[&str]) {
        let objective = ["p99<=200us", "errors==0"].map(|text| Condition::parse(text).unwrap());
        let judgement = judge(outcome, 1000, &objective);
        assert_eq!(judgement.verdict, verdict, "{judgement:?}");
        assert_eq!(judgement.reasons, reasons);
    }

    #[test]
    fn an_objective_holds_if_every_condition_does_and_the_rate_was_reached() {
        check(&outcome(10_000, 10.0, 200_000), Verdict::Holds, &[]);
        check(&outcome(10_000, 10.0, 300_000), Verdict::Fails, &["p99 is 300us"]);
        check(&outcome(9_000, 10.0, 1000), Verdict::Fails, &["900/s of 1000/s were achieved"]);
        let silent = outcome(0, 10.0, 0);
        let reasons = ["p99 is unknown: no response came", "0/s of 1000/s were achieved"];
        check(&silent, Verdict::Fails, &reasons);
        let mut failing = outcome(10_000, 10.0, 1000);
        failing.figures.counts.read = 3;
        check(&failing, Verdict::Fails, &["errors is 3"]);
    }

    #[test]
    fn the_client_is_to_blame_only_where_the_objective_does_not_hold() {
        let why = "the generator was late";
        let limited = |outcome| TrialOutcome { client_limit: Some(why.to_owned()), ..outcome };
        check(&limited(outcome(10_000, 10.0, 1000)), Verdict::Holds, &[]);
        let late = limited(outcome(10_000, 10.0, 1_000_000));
        check(&late, Verdict::ClientLimit, &["p99 is 1000us", why]);
    }

    #[test]
    fn what_chance_takes_from_a_short_trial_is_no_shortfall() {
        // 100 random arrivals: a standard deviation is 10.
        assert!(outcome(70, 1.0, 1).reached(100));
        assert!(!outcome(69, 1.0, 1).reached(100));
        // A million: 2 % are many standard deviations.
        assert!(outcome(980_000, 1.0, 1).reached(1_000_000));
        assert!(!outcome(979_999, 1.0, 1).reached(1_000_000));
        assert!(!outcome(0, 1.0, 1).reached(1));
    }
}
