//! Runs many cases at a time and sums up.

use crate::case::Case;
use crate::exceptions::Exception;
use crate::link::Delivery;
use crate::run::{self, Target, Verdict};
use crate::vitals::Process;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One case in one delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// `H06.1`.
    pub case: String,
    /// How the input was delivered.
    pub delivery: String,
    /// `passed`, `failed` or `excepted`.
    pub verdict: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// What was received, dates masked: equal on all servers.
    pub transcript: String,
}

/// The whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Name of the server, where one was given.
    pub server: Option<String>,
    /// Rows by case and delivery.
    pub rows: Vec<Row>,
    /// Exceptions that no longer apply.
    pub stale_exceptions: Vec<String>,
    /// Rows that passed.
    pub passed: usize,
    /// Rows that failed, stale exceptions among them.
    pub failed: usize,
    /// Rows that failed as the list of exceptions says.
    pub excepted: usize,
    /// Rows whose bounds on memory and CPU time were not held against the server's process.
    pub unmeasured: usize,
    /// Failures that were not believed: the case was run again, see [`SHORTEST_TIMEOUT`].
    pub repeated: Vec<String>,
}

/// The shortest of the server's time-outs.
///
/// A case that fails after this long may have met one that its input did not mean: a machine that
/// stands still between two bytes makes a slow client of the suite. So it is run again; a server
/// that is at fault fails every time.
pub const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Times that a case is run, at most.
const ATTEMPTS: usize = 3;

/// Runs all `cases` in all their deliveries, `jobs` connections at a time.
///
/// Cases that bound what they cost come first and one by one: beside others, or behind them in
/// memory that the server has kept, their cost would not show. It is held against `process`.
#[must_use]
pub fn run_all(
    target: &Target,
    cases: &[Case],
    exceptions: &[Exception],
    server: Option<&str>,
    jobs: usize,
    process: Option<&Process>,
) -> Report {
    let work: Vec<(&Case, Delivery)> = cases
        .iter()
        .flat_map(|case| Target::deliveries(case).iter().map(move |way| (case, *way)))
        .collect();
    let (alone, together): (Vec<_>, Vec<_>) =
        work.into_iter().partition(|(case, _)| case.bounds.any());
    let repeated = Mutex::new(Vec::new());
    // What fails as it is listed needs no second look.
    let is_listed = |case: &Case| exceptions.iter().any(|one| one.covers(&case.name()));
    let judge = |case: &Case, way: Delivery, run: &dyn Fn() -> Verdict| {
        if is_listed(case) { run() } else { believed(case, way, &repeated, || timed(run)) }
    };
    let mut done: Vec<Done<'_>> = alone
        .iter()
        .map(|(case, way)| {
            (*case, *way, judge(case, *way, &|| bounded(target, case, *way, process)))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let beside = Mutex::new(Vec::with_capacity(together.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((case, way)) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(case, *way, &|| target.run(case, *way));
                    let mut done = beside.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((*case, *way, verdict));
                }
            });
        }
    });
    done.extend(beside.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut report = sum_up(done, exceptions, server);
    report.unmeasured = if process.is_none() { alone.len() } else { 0 };
    report.repeated = repeated.into_inner().unwrap_or_else(PoisonError::into_inner);
    report
}

/// Runs a case until its verdict can be believed; notes every failure that was not.
fn believed(
    case: &Case,
    way: Delivery,
    repeated: &Mutex<Vec<String>>,
    mut run: impl FnMut() -> (Verdict, Duration),
) -> Verdict {
    for _ in 1..ATTEMPTS {
        let (verdict, took) = run();
        let Some(why) = verdict.failure.as_ref().filter(|_| took >= SHORTEST_TIMEOUT) else {
            return verdict;
        };
        let note = format!("{} {}: {why}", case.name(), way.name());
        repeated.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }
    run().0
}

fn timed(run: impl FnOnce() -> Verdict) -> (Verdict, Duration) {
    let start = Instant::now();
    (run(), start.elapsed())
}

/// A case that was run, how, and what came of it.
type Done<'c> = (&'c Case, Delivery, Verdict);

/// Runs a case and holds its cost against its bounds.
fn bounded(target: &Target, case: &Case, way: Delivery, process: Option<&Process>) -> Verdict {
    let Some(process) = process else { return target.run(case, way) };
    // What the first connection takes once and for all is not the case's cost.
    target.warm_up();
    match process.growth(|| target.run(case, way)) {
        Ok((mut verdict, growth)) => {
            verdict.failure = verdict.failure.or_else(|| growth.beyond(&case.bounds));
            verdict
        }
        Err(why) => Verdict { failure: Some(why), outcome: None, transcript: String::new() },
    }
}

/// A delivery that passes but not as the others of its case do has failed.
fn demand_one_outcome(done: &mut [Done<'_>]) {
    for group in done.chunk_by_mut(|left, right| left.0.name() == right.0.name()) {
        let Some((first, outcome)) = group
            .iter()
            .find_map(|(_, way, verdict)| verdict.outcome.map(|outcome| (*way, outcome)))
        else {
            continue;
        };
        for (_, _, verdict) in group {
            if verdict.failure.is_none() && verdict.outcome != Some(outcome) {
                let name = first.name();
                verdict.failure = Some(format!("the outcome is not the one {name}"));
            }
        }
    }
}

fn sum_up(mut done: Vec<Done<'_>>, exceptions: &[Exception], server: Option<&str>) -> Report {
    done.sort_by_key(|(case, way, _)| (case.id.clone(), case.variant, way.name()));
    demand_one_outcome(&mut done);
    let mut used = vec![false; exceptions.len()];
    let rows: Vec<Row> = done
        .into_iter()
        .map(|(case, way, verdict)| {
            let name = case.name();
            let listed = exceptions.iter().position(|exception| exception.covers(&name));
            let word = match (&verdict.failure, listed) {
                (None, _) => "passed",
                (Some(_), None) => "failed",
                (Some(_), Some(index)) => {
                    used[index] = true;
                    "excepted"
                }
            };
            let failure = verdict.failure.map(|why| explain(case, way, &why, &verdict.transcript));
            let transcript = verdict.transcript;
            Row {
                case: name,
                delivery: way.name().to_owned(),
                verdict: word.to_owned(),
                failure,
                transcript,
            }
        })
        .collect();
    let stale_exceptions: Vec<String> = exceptions
        .iter()
        .zip(used)
        .filter(|(exception, used)| !used && !exception.is_at_times)
        .map(|(exception, _)| exception.case.clone())
        .collect();
    let count = |word| rows.iter().filter(|row| row.verdict == word).count();
    let (passed, failed, excepted) = (count("passed"), count("failed"), count("excepted"));
    Report {
        server: server.map(str::to_owned),
        failed: failed + stale_exceptions.len(),
        rows,
        stale_exceptions,
        passed,
        excepted,
        unmeasured: 0,
        repeated: Vec::new(),
    }
}

fn explain(case: &Case, way: Delivery, why: &str, transcript: &str) -> String {
    let got: String = transcript.chars().take(600).collect();
    format!(
        "FAILED {} ({}; {}), sent {}: {why}; sent '{}'; got '{got}'; expected '{}'",
        case.name(),
        case.title,
        case.source,
        way.name(),
        run::sent(case),
        case.expected,
    )
}

/// Compares two reports case by case: the servers must have sent the same bytes.
#[must_use]
pub fn differences(left: &Report, right: &Report) -> Vec<String> {
    let key = |row: &Row| (row.case.clone(), row.delivery.clone());
    let mut found = Vec::new();
    for row in &left.rows {
        match right.rows.iter().find(|other| key(other) == key(row)) {
            Some(other) if other.transcript == row.transcript => {}
            Some(other) => found.push(format!(
                "{} {}: '{}' against '{}'",
                row.case, row.delivery, row.transcript, other.transcript
            )),
            None => found.push(format!("{} {}: only on one side", row.case, row.delivery)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a case whose attempts fail or pass after these times; returns whether it failed, how
    /// many attempts were made and how many were noted.
    fn attempts(script: &[(bool, Duration)]) -> (bool, usize, usize) {
        let cases = crate::case::all().expect("the cases can be read");
        let (mut made, noted) = (0, Mutex::new(Vec::new()));
        let verdict = believed(&cases[0], Delivery::Whole, &noted, || {
            let (fails, took) = script[made];
            made += 1;
            let failure = fails.then(|| "got 408".to_owned());
            (Verdict { failure, outcome: None, transcript: String::new() }, took)
        });
        (verdict.failure.is_some(), made, noted.into_inner().expect("not poisoned").len())
    }

    #[test]
    fn only_failures_that_may_be_the_machines_are_repeated() {
        let (soon, late) = (Duration::from_millis(1), SHORTEST_TIMEOUT);
        assert_eq!(attempts(&[(false, soon)]), (false, 1, 0));
        assert_eq!(attempts(&[(false, late)]), (false, 1, 0));
        assert_eq!(attempts(&[(true, soon)]), (true, 1, 0));
        assert_eq!(attempts(&[(true, late), (false, soon)]), (false, 2, 1));
        assert_eq!(attempts(&[(true, late), (true, soon)]), (true, 2, 1));
        assert_eq!(attempts(&[(true, late), (true, late), (true, late)]), (true, 3, 2));
    }
}
