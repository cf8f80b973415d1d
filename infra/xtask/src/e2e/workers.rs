//! Runs the tests of the end-to-end suite side by side, each in a machine of its own.
//!
//! Every test is a process with a network namespace and a `/run` of its own, so that two tests
//! that bring up the same topology do not see each other, and what a killed one leaves goes with
//! it. Most of a test is waiting (for a time-out that it provokes, for an interface to go), which
//! is why there are more workers than CPUs. Tests that measure run last, one at a time.
//!
//! What it deliberately does not do: judge. Whether a test passed is its exit status.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Modules whose tests ask how much other programs take of the CPUs, and so must run alone.
const ALONE: [&str; 3] = ["calibration::", "diagnose::", "experiment::"];

/// A test that takes longer is ended, with all that it started.
const LIMIT: Duration = Duration::from_secs(600);

/// How many of the slowest tests are named at the end.
const NAMED: usize = 8;

/// What becomes the test in the new namespaces: the arguments are its program and its flags.
const ENTER: &str = "mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up && exec \"$@\"";

/// What the suite said.
pub(crate) struct Outcome {
    /// Whether no test failed.
    pub(crate) ok: bool,
    /// What tests left out, and why, each reason once.
    pub(crate) skipped: Vec<String>,
}

/// One test that has run.
struct Done {
    name: String,
    took: Duration,
    ok: bool,
    output: String,
}

/// The names of the tests in the suite that are wanted.
///
/// # Errors
/// Where the suite cannot be started.
pub(crate) fn tests(suite: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut list = Command::new(suite);
    list.args(["--list", "--format", "terse"]).stdin(Stdio::null());
    let output = list.output().with_context(|| format!("cannot start {}", suite.display()))?;
    Ok(wanted(&String::from_utf8_lossy(&output.stdout), is_wanted))
}

/// The names in a suite's list. Those of one case for all modes follow each other, so that
/// servers that spin and servers that sleep take turns.
fn wanted(list: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let mut names: Vec<String> = names.filter(|name| is_wanted(name)).map(String::from).collect();
    names.sort_by(|a, b| (case(a), a).cmp(&(case(b), b)));
    names
}

/// The last part of a test's path.
fn case(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

fn runs_alone(name: &str) -> bool {
    ALONE.iter().any(|module| name.starts_with(module))
}

/// Runs them, prints a line for each and, at the end, what the failed ones said.
///
/// # Errors
/// Where a test cannot be started at all.
pub(crate) fn run(suite: &Path, tests: Vec<String>) -> Result<Outcome> {
    let start = Instant::now();
    let (alone, beside): (Vec<String>, Vec<String>) =
        tests.into_iter().partition(|name| runs_alone(name));
    let workers = thread::available_parallelism().map_or(2, usize::from) + 1;
    let mut all = side_by_side(suite, beside, workers)?;
    all.extend(side_by_side(suite, alone, 1)?);
    Ok(summarise(all, start.elapsed()))
}

fn side_by_side(suite: &Path, tests: Vec<String>, workers: usize) -> Result<Vec<Done>> {
    let waiting = Mutex::new(tests.into_iter());
    let next = || waiting.lock().ok().and_then(|mut tests| tests.next());
    let work = || {
        let mut done = Vec::new();
        while let Some(name) = next() {
            done.push(one(suite, name)?);
        }
        Ok(done)
    };
    let all: Result<Vec<Vec<Done>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    });
    Ok(all?.into_iter().flatten().collect())
}

fn one(suite: &Path, name: String) -> Result<Done> {
    let start = Instant::now();
    let mut command = Command::new("timeout");
    command.args(["--kill-after", "10", &LIMIT.as_secs().to_string()]);
    command.args(["unshare", "--net", "--mount", "sh", "-c", ENTER, "sh"]);
    command.arg(suite).args(["--exact", &name, "--show-output"]).stdin(Stdio::null());
    let output = command.output().context("cannot start timeout: apt-get install coreutils")?;
    let took = start.elapsed();
    let ok = output.status.success();
    let verdict = if ok { "ok    " } else { "FAILED" };
    eprintln!("{verdict} {:>6.1} s  {name}", took.as_secs_f64());
    Ok(Done { output: text(&output, took), name, took, ok })
}

/// Both streams of a test that has ended.
fn text(output: &Output, took: Duration) -> String {
    let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let end = if took < LIMIT { "" } else { "ended, since it took too long\n" };
    format!("{}{}{end}", streams[0], streams[1])
}

fn summarise(mut all: Vec<Done>, took: Duration) -> Outcome {
    let mut skipped: Vec<String> = Vec::new();
    for done in &all {
        let reasons = done.output.lines().filter_map(crate::ci::reason_to_skip);
        for reason in reasons {
            if !skipped.iter().any(|known| known == reason) {
                skipped.push(reason.to_owned());
            }
        }
    }
    for failed in all.iter().filter(|done| !done.ok) {
        eprintln!("\n---- {}\n{}", failed.name, failed.output);
    }
    all.sort_by_key(|done| std::cmp::Reverse(done.took));
    eprintln!("\nthe slowest:");
    for done in all.iter().take(NAMED) {
        eprintln!("       {:>6.1} s  {}", done.took.as_secs_f64(), done.name);
    }
    let failed: Vec<&str> =
        all.iter().filter(|done| !done.ok).map(|done| done.name.as_str()).collect();
    let passed = all.len() - failed.len();
    eprintln!("e2e: {passed} passed, {} failed in {:.1} s", failed.len(), took.as_secs_f64());
    for name in &failed {
        eprintln!("FAILED {name}");
    }
    Outcome { ok: failed.is_empty(), skipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &str, ok: bool, output: &str) -> Done {
        Done { name: name.to_owned(), took: Duration::ZERO, ok, output: output.to_owned() }
    }

    #[test]
    fn what_measures_runs_alone() {
        assert!(runs_alone("experiment::a_run_leaves_a_folder"));
        assert!(!runs_alone("epoll::curl_is_content"));
    }

    #[test]
    fn tests_of_one_case_follow_each_other() {
        let list = "a::x: test\na::y: test\nb::x: test\nc::z: test\n";
        assert_eq!(wanted(list, |name| name != "c::z"), ["a::x", "b::x", "a::y"]);
    }

    #[test]
    fn one_failure_fails_the_suite_and_a_reason_to_skip_is_heard_once() {
        // What a test that failed has said is printed: a reason in it would be heard of this one.
        let skips = "SKIPPED: no perf\n";
        let all = vec![done("a", true, skips), done("b", false, ""), done("c", true, skips)];
        let outcome = summarise(all, Duration::ZERO);
        assert!(!outcome.ok);
        assert_eq!(outcome.skipped, ["no perf"]);
        assert!(summarise(vec![done("a", true, "")], Duration::ZERO).ok);
    }
}
