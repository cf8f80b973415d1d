//! The gate: no figure is shown for a server that answers otherwise than the contract says.
//!
//! Each server of an experiment is started once and put to the short pass of the conformance
//! suite before the rounds begin. One that fails is shown as failed and not measured.

use crate::commands::DRAIN_S;
use crate::contender::Contender;
use crate::experiment::{Experiment, Mode};
use crate::matrix::{self, Point, Subject};
use crate::measure::start_server;
use crate::process::{Events, Interrupted};
use crate::programs::Programs;
use anyhow::{Context, Result, bail};
use record::{Cell, Verdict};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time that the short pass may take.
const PASS_MAX: Duration = Duration::from_secs(60);
/// Time that a server gets to end afterwards.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Failures that are kept of each server.
const FAILURES_MAX: usize = 20;
/// Seconds that one server takes, for estimates: starting, the pass, stopping.
pub(crate) const SERVER_S: f64 = 1.0;

/// The part of the suite's report that is read here.
#[derive(Debug, Deserialize)]
struct Report {
    rows: Vec<Row>,
    stale_exceptions: Vec<String>,
    passed: u64,
    failed: u64,
    excepted: u64,
}

#[derive(Debug, Deserialize)]
struct Row {
    verdict: String,
    failure: Option<String>,
}

/// One point for each different server of a matrix; a floor is none.
pub(crate) fn servers(points: &[Point]) -> Vec<&Point> {
    let mut servers: Vec<&Point> = Vec::new();
    for point in points.iter().filter(|point| point.subject != Subject::Floor) {
        if !servers.iter().any(|other| is_same_server(other, point)) {
            servers.push(point);
        }
    }
    servers
}

/// Whether two points have the same server, under whatever load.
pub(crate) fn is_same_server(left: &Point, right: &Point) -> bool {
    let of = |point: &Point| (point.link, point.cell.tcp.clone(), point.cell.wait.clone());
    left.subject == right.subject && of(left) == of(right) && left.server_args == right.server_args
}

/// Puts every server of the matrix to the short pass.
///
/// # Errors
/// Where a program does not start, ends early or hangs; and [`crate::process::Interrupted`].
pub(crate) fn examine(
    points: &[Point],
    programs: &Programs,
    events: &Events,
    scratch: &Path,
) -> Result<Vec<Verdict>> {
    let json = scratch.join("conformance.json");
    let examined = servers(points).into_iter().map(|point| {
        let verdict = match &point.subject {
            Subject::Contender(contender) => {
                examine_contender(contender, point, programs, events, &json)
            }
            Subject::Server(_) | Subject::Floor => examine_one(point, programs, events, &json)
                .with_context(|| format!("conformance of {}", point.cell.mode)),
        }?;
        eprintln!("{}: {}", server_label(&verdict), words(&verdict));
        Ok(verdict)
    });
    examined.collect()
}

fn words(verdict: &Verdict) -> String {
    let Verdict { passed, failed, excepted, .. } = verdict;
    match excepted {
        0 => format!("conformance {passed} passed, {failed} failed"),
        _ => format!("conformance {passed} passed, {failed} failed, {excepted} as listed"),
    }
}

fn is_contender(point: &Point) -> bool {
    matches!(point.subject, Subject::Contender(_))
}

/// The name of a server in lines about its conformance.
pub(crate) fn server_label(verdict: &Verdict) -> String {
    let Verdict { mode, tcp, wait, link, name, .. } = verdict;
    if let Some(name) = name {
        return name.clone();
    }
    // Only DPDK's server can be on several links in one experiment.
    let link = link.as_ref().filter(|_| mode == Mode::Dpdk.name());
    let parts = [Some(mode), link, tcp.as_ref(), wait.as_ref()];
    parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Puts a server that is not ours to the pass. That it fails it, or crashes, keeps it out of
/// nothing; that it does not start does.
fn examine_contender(
    contender: &Contender,
    point: &Point,
    programs: &Programs,
    events: &Events,
    json: &Path,
) -> Result<Verdict> {
    let error = match examine_one(point, programs, events, json) {
        Ok(verdict) => return Ok(verdict),
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => error,
    };
    // Whether it starts at all is asked first: a measurement needs no more.
    let _site = programs.prepare(point, events)?;
    let (server, _, _) = start_server(point, programs, events)
        .with_context(|| format!("contender {}", contender.name))?;
    server.stop(events, Duration::from_secs(DRAIN_S.into()) + STOP_GRACE)?;
    let nothing = Report {
        rows: Vec::new(),
        stale_exceptions: Vec::new(),
        passed: 0,
        failed: 1,
        excepted: 0,
    };
    let failures = vec![format!("the pass was not finished: {error:#}")];
    Ok(Verdict { failures, ..verdict(point, nothing) })
}

fn examine_one(
    point: &Point,
    programs: &Programs,
    events: &Events,
    json: &Path,
) -> Result<Verdict> {
    // The suite speaks HTTP: of a server that is to return every byte it examines that service.
    let point = &Point { cell: Cell { service: None, ..point.cell.clone() }, ..point.clone() };
    let _site = programs.prepare(point, events)?;
    let (server, _, _) = start_server(point, programs, events)?;
    let command = programs.conformance_command(point, json);
    let suite = programs.spawn(events, "conformance", command)?;
    let either_ended = || suite.has_ended() || server.has_ended();
    events.wait_until(Instant::now() + PASS_MAX, either_ended)?;
    if server.has_ended() {
        return Err(server.failure("ended during the conformance pass"));
    }
    if !suite.has_ended() {
        return Err(suite.failure("did not end in time"));
    }
    let ended = suite.finish(events, Instant::now())?;
    programs.deliver(&ended, json)?;
    server.stop(events, Duration::from_secs(DRAIN_S.into()) + STOP_GRACE)?;
    let text = fs::read_to_string(json).with_context(|| {
        format!("the suite left no report. It wrote to standard error:\n{}", ended.stderr.trim())
    })?;
    fs::remove_file(json).context("the suite's report cannot be removed")?;
    let report: Report = serde_json::from_str(&text)
        .context("the suite's report is not of this build; cure: cargo build --release")?;
    Ok(verdict(point, report))
}

fn verdict(point: &Point, report: Report) -> Verdict {
    let failed = report.rows.into_iter().filter(|row| row.verdict == "failed");
    let stale = report.stale_exceptions.into_iter();
    let stale = stale.map(|case| format!("{case} is listed as an exception and passes"));
    let failures = failed.filter_map(|row| row.failure).chain(stale);
    Verdict {
        mode: point.cell.mode.clone(),
        tcp: point.cell.tcp.clone(),
        wait: point.cell.wait.clone(),
        link: point.cell.link.clone(),
        name: point.cell.name.clone().filter(|_| is_contender(point)),
        passed: report.passed,
        failed: report.failed,
        excepted: report.excepted,
        failures: failures.take(FAILURES_MAX).collect(),
    }
}

/// The points whose servers have passed.
///
/// # Errors
/// Where the baseline has not: there would be nothing to take ratios against.
pub(crate) fn admitted(
    experiment: &Experiment,
    points: Vec<Point>,
    verdicts: &[Verdict],
) -> Result<Vec<Point>> {
    let has_passed = |point: &Point| {
        point.subject == Subject::Floor
            || is_contender(point)
            || verdicts.iter().any(|verdict| {
                verdict.failed == 0
                    && verdict.mode == point.cell.mode
                    && verdict.link == point.cell.link
                    && verdict.tcp == point.cell.tcp
                    && verdict.wait == point.cell.wait
            })
    };
    if !points.iter().all(|point| has_passed(&points[point.baseline])) {
        let mode = experiment.baseline.name();
        let of_baseline = verdicts.iter().filter(|verdict| verdict.mode == mode);
        let failures: Vec<&str> =
            of_baseline.flat_map(|verdict| &verdict.failures).map(String::as_str).collect();
        bail!(
            "the baseline {mode} fails conformance, so nothing can be compared with it:\n{}",
            failures.join("\n")
        );
    }
    let keeps: Vec<bool> = points.iter().map(has_passed).collect();
    Ok(matrix::keep(points, &keeps))
}
