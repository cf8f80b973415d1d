//! The answer in a sentence, with its interval, and what the figures say of the hypothesis.

use super::View;
use super::cells::{Axis, Row};
use super::text::{digits, duration, float, list, short, si};
use crate::matrix;
use record::{Cell, Estimate, Step};

/// What came out.
pub(super) struct Answer {
    /// The answer.
    pub(super) sentence: String,
    /// What must be said in the same breath.
    pub(super) limits: Vec<String>,
    /// What became of the hypothesis.
    pub(super) verdict: String,
}

/// Puts the figures into words.
pub(super) fn answer(view: &View<'_>) -> Answer {
    let (sentence, told) = told(view);
    Answer { sentence, limits: limits(view, &told), verdict: verdict(view) }
}

/// The first row that the answer speaks of.
pub(super) fn subject<'a, 'b>(view: &'b View<'a>) -> Option<&'b Row<'a>> {
    told(view).1.first().copied()
}

/// The sentence and the rows that it speaks of.
fn told<'a, 'b>(view: &'b View<'a>) -> (String, Vec<&'b Row<'a>>) {
    let steps = &view.run.summary.steps;
    if let [first, .., last] = steps.as_slice() {
        let rows = [first, last].into_iter().filter_map(|step| view.rows.get(step.cell));
        return (of_steps(steps, first, last), rows.collect());
    }
    let Some(best) = best(view) else {
        let Some(row) = view.rows.first() else { return (nothing_measured(), Vec::new()) };
        return (of_one(row), vec![row]);
    };
    if best.of.cell.rate_rps.is_some() {
        return of_rate(view);
    }
    (of_ratio(best, &view.run.summary.baseline), vec![best])
}

fn nothing_measured() -> String {
    "No server was measured.".to_owned()
}

fn of_one(row: &Row<'_>) -> String {
    let figures = &row.of.figures;
    format!(
        "{} answers {} requests/s, half of them within {}.",
        row.label,
        with_interval(&figures.throughput_rps, si),
        duration(figures.latency_us.p50)
    )
}

/// The cell with the largest ratio, those of the baseline and its like left out.
fn best<'a, 'b>(view: &'b View<'a>) -> Option<&'b Row<'a>> {
    let contenders = view.rows.iter().filter(|row| !is_own_baseline(row));
    contenders.max_by(|left, right| {
        let median = |row: &Row<'_>| row.of.figures.ratio_to_baseline.median;
        median(left).total_cmp(&median(right))
    })
}

/// A cell that is its own baseline has a ratio of one in every round.
pub(super) fn is_own_baseline(row: &Row<'_>) -> bool {
    let Estimate { median, ci95: [low, high] } = row.of.figures.ratio_to_baseline;
    [median, low, high].iter().all(|ratio| (ratio - 1.0).abs() < 1e-12)
}

fn of_ratio(best: &Row<'_>, baseline: &str) -> String {
    let ratio = &best.of.figures.ratio_to_baseline;
    let [low, high] = ratio.ci95;
    let cell = &best.of.cell;
    let load = match cell.connections {
        1 => "on one connection".to_owned(),
        connections => format!("with {connections} connections"),
    };
    // The sentence says it in words.
    let label = best.label.replace(&format!(" {}c", cell.connections), "");
    if low <= 1.0 && high >= 1.0 {
        return format!(
            "{label} and {baseline} cannot be told apart {load}: the ratio of their throughputs \
             is {}.",
            with_interval(ratio, digits)
        );
    }
    let (what, of_what) = match cell.service.as_deref() {
        Some("echo") => ("makes", "round trips of"),
        _ => ("answers", "requests of"),
    };
    format!(
        "{label} {what} {} times (95 % interval {} to {}) the {of_what} {baseline} {load}.",
        digits(ratio.median),
        digits(low),
        digits(high)
    )
}

fn of_steps(steps: &[Step], first: &Step, last: &Step) -> String {
    let largest = steps.iter().skip(1).max_by(|left, right| {
        left.ratio_to_previous.median.total_cmp(&right.ratio_to_previous.median)
    });
    let largest = largest.map_or_else(String::new, |step| {
        let client = if step.changes_client { ", where the client changes, too" } else { "" };
        format!(
            " The largest step is {}, {} times the one before{client}.",
            step.name,
            with_interval(&step.ratio_to_previous, digits)
        )
    });
    let whole = &last.ratio_to_first;
    format!(
        "All steps together answer {} times (95 % interval {} to {}) the requests of {}.{largest}",
        digits(whole.median),
        digits(whole.ci95[0]),
        digits(whole.ci95[1]),
        first.name
    )
}

/// At a given rate it is latency that differs: at the highest that every server answered.
fn of_rate<'a, 'b>(view: &'b View<'a>) -> (String, Vec<&'b Row<'a>>) {
    let kept_up = |row: &Row<'_>, rate: u64| {
        row.of.cell.rate_rps == Some(rate)
            && row.of.figures.throughput_rps.median >= 0.99 * float(rate)
    };
    let mut rates: Vec<u64> = view.rows.iter().filter_map(|row| row.of.cell.rate_rps).collect();
    rates.sort_unstable();
    rates.dedup();
    let at = |rate: u64| -> Vec<&'b Row<'a>> {
        view.rows.iter().filter(|row| row.of.cell.rate_rps == Some(rate)).collect()
    };
    let common = rates.iter().rev().find(|rate| at(**rate).iter().all(|row| kept_up(row, **rate)));
    let Some(rate) = common else {
        return ("At no rate did every server keep up.".to_owned(), Vec::new());
    };
    let rows = at(*rate);
    // The sentence says the rate once, for all of them.
    let cells: Vec<Cell> = rows.iter().map(|row| Axis::Rate.without(&row.of.cell)).collect();
    let labels = matrix::labels(&cells.iter().collect::<Vec<_>>());
    let p99s: Vec<String> = rows
        .iter()
        .zip(labels)
        .map(|(row, label)| format!("{} with {label}", duration(row.of.figures.latency_us.p99)))
        .collect();
    let sentence = format!(
        "At {} requests/s, the highest rate at which every server kept up, 99 % of the requests \
         take no longer than {}.",
        short(&si(float(*rate))),
        list(&p99s)
    );
    (sentence, rows)
}

/// `1.42 (1.38 to 1.46)`.
pub(super) fn with_interval(estimate: &Estimate, format: fn(f64) -> String) -> String {
    let [low, high] = estimate.ci95;
    format!("{} ({} to {})", format(estimate.median), format(low), format(high))
}

fn limits(view: &View<'_>, told: &[&Row<'_>]) -> Vec<String> {
    let mut limits = Vec::new();
    let limited: Vec<&str> =
        told.iter().filter(|row| row.client_limited).map(|row| row.label.as_str()).collect();
    if !limited.is_empty() {
        limits.push(format!(
            "The client was the limit with {}: the server may be capable of more.",
            list(&limited)
        ));
    }
    if view.run.summary.environment.build_profile != "release" {
        limits.push("This was no release build: the figures say nothing about speed.".to_owned());
    }
    let failing: Vec<&str> =
        told.iter().filter(|row| row.of.figures.errors > 0).map(|row| row.label.as_str()).collect();
    if !failing.is_empty() {
        limits.push(format!("There were errors with {}.", list(&failing)));
    }
    limits
}

/// A bound that a hypothesis gives: `at least 1.1 times the requests of epoll`.
struct Claim<'a> {
    subject: &'a str,
    at_least: f64,
    baseline: &'a str,
}

/// Reads `MODE answers at least N times the requests of MODE` in a hypothesis.
fn claim<'a>(hypothesis: &'a str, modes: &[&str]) -> Option<Claim<'a>> {
    let plain = |word: &'a str| word.trim_matches(|c: char| !c.is_alphanumeric());
    let (before, after) = hypothesis.split_once("at least ")?;
    let subject = before.split_whitespace().rev().map(plain).find(|word| modes.contains(word))?;
    let (number, after) = after.split_once(" times the requests of ")?;
    let baseline = after.split_whitespace().map(plain).next()?;
    Some(Claim { subject, at_least: number.parse().ok()?, baseline })
}

/// Whether the hypothesis held, where it gives a bound that the figures can be held against.
fn verdict(view: &View<'_>) -> String {
    let summary = &view.run.summary;
    let modes: Vec<&str> = view.rows.iter().map(|row| row.of.cell.mode.as_str()).collect();
    let claim = claim(&summary.hypothesis, &modes);
    let Some(claim) = claim.filter(|claim| claim.baseline == summary.baseline) else {
        return "It gives no bound that a program could check: hold it against the figures."
            .to_owned();
    };
    let judged = view.rows.iter().filter(|row| row.of.cell.mode == claim.subject);
    let judged: Vec<String> = judged
        .map(|row| {
            let ratio = &row.of.figures.ratio_to_baseline;
            let [low, high] = ratio.ci95;
            let held = match claim.at_least {
                bound if low >= bound => "it held",
                bound if high < bound => "it did not hold",
                _ => "it is undecided, since the interval has the bound in it",
            };
            format!("with {}, {held}: {}", row.label, with_interval(ratio, digits))
        })
        .collect();
    let mut sentence = judged.join("; ");
    sentence.push('.');
    sentence[..1].make_ascii_uppercase();
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_found_in_a_hypothesis() {
        let hypothesis = "Polling gains more than copying costs: xdp answers at least 1.1 times \
                          the requests of epoll.";
        let found = claim(hypothesis, &["epoll", "xdp"]).unwrap();
        assert_eq!((found.subject, found.baseline), ("xdp", "epoll"));
        assert!((found.at_least - 1.1).abs() < 1e-12);
        for other in ["xdp is faster than epoll.", "At least it is xdp.", ""] {
            assert!(claim(other, &["epoll", "xdp"]).is_none(), "{other}");
        }
    }
}
