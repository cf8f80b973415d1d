//! The list of checks, and the one place where they are run.

use crate::{dpdk, e2e, tidy, tree};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A check, in the order in which they run: the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// rustfmt changes nothing
    Fmt,
    /// Scripts pass shellcheck
    Shellcheck,
    /// The rules that no compiler checks
    Tidy,
    /// Licences, sources and repeated versions, by cargo-deny
    Deny,
    /// Clippy finds nothing, in code, tests, benches and examples
    Clippy,
    /// Unit, property, integration and documentation tests; with libdpdk, what needs it as well
    Test,
    /// The documentation builds without a warning
    Doc,
    /// Clippy and the documentation for what needs libdpdk
    Dpdk,
    /// Every server over a veth pair
    E2e,
    /// The servers in infra/contenders compile; only if named: it downloads what they are built on
    Contenders,
}

impl Check {
    /// Whether it runs where no check is named.
    fn is_default(self) -> bool {
        self != Self::Contenders
    }
}

/// The workspace of servers that are not ours: they are compared, and no part of the project.
const CONTENDERS: &str = "infra/contenders/Cargo.toml";

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// With the reason and the command that cures it.
    Skipped(String),
}

/// One line of the summary.
struct Entry {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// Runs `only`, or every default check; prints the summary; true where none failed.
///
/// # Errors
/// Where a program cannot be started at all.
pub(crate) fn run(only: &[Check]) -> Result<bool> {
    let root = tree::root();
    let mut entries = Vec::new();
    for check in Check::value_variants() {
        let is_wanted = if only.is_empty() { check.is_default() } else { only.contains(check) };
        if is_wanted {
            let name = name(*check);
            eprintln!("\n==> {name}");
            let start = Instant::now();
            let (outcome, skipped_tests) = run_check(*check, &root)?;
            entries.push(Entry { name: name.clone(), outcome, took: start.elapsed() });
            entries.extend(skipped_tests.into_iter().map(|reason| Entry {
                name: format!("{name}, in part"),
                outcome: Outcome::Skipped(reason),
                took: Duration::ZERO,
            }));
        }
    }
    Ok(summarise(&entries))
}

fn name(check: Check) -> String {
    check.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Runs one check. The second value holds what tests said about parts that they skipped.
fn run_check(check: Check, root: &Path) -> Result<(Outcome, Vec<String>)> {
    let outcome = match check {
        Check::Fmt => cargo(root, &["fmt", "--all", "--check"])?,
        Check::Shellcheck => shellcheck(root)?,
        Check::Tidy => passed(tidy::run()?),
        Check::Deny => deny(root)?,
        Check::Clippy => clippy(root, &dpdk::all_others())?,
        Check::Test => return all_tests(root),
        Check::Doc => doc(root, &dpdk::all_others())?,
        Check::Dpdk => with_dpdk(root)?,
        Check::E2e => match e2e::cannot() {
            Some(reason) => Outcome::Skipped(reason),
            None => {
                let outcome = e2e::run(None)?;
                return Ok((passed(outcome.ok), outcome.skipped));
            }
        },
        Check::Contenders => contenders(root)?,
    };
    Ok((outcome, Vec::new()))
}

/// Clippy over packages that cargo's flags name.
fn clippy(root: &Path, packages: &[&str]) -> Result<Outcome> {
    let clippy = ["clippy", "--locked", "--all-targets"];
    cargo(root, &[&clippy[..], packages, &["--", "--deny", "warnings"]].concat())
}

/// Formatting and clippy of the workspace in `infra/contenders`.
fn contenders(root: &Path) -> Result<Outcome> {
    let formatted = cargo(root, &["fmt", "--all", "--check", "--manifest-path", CONTENDERS])?;
    let clippy = ["clippy", "--locked", "--manifest-path", CONTENDERS, "--", "--deny", "warnings"];
    let all = [formatted, cargo(root, &clippy)?];
    Ok(passed(!all.contains(&Outcome::Failed)))
}

/// Documentation of packages that cargo's flags name.
fn doc(root: &Path, packages: &[&str]) -> Result<Outcome> {
    let mut doc = tree::cargo();
    doc.args(["doc", "--locked", "--no-deps"]).args(packages);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    status(doc, root)
}

/// Every test but the end-to-end ones. With libdpdk all is built at once, and the way in which the
/// end-to-end suite wants it; without, what needs it is left out.
fn all_tests(root: &Path) -> Result<(Outcome, Vec<String>)> {
    let no_dpdk = dpdk::cannot();
    let packages = if no_dpdk.is_some() { dpdk::all_others() } else { dpdk::everything() };
    let (outcome, mut skipped) = test(root, &[&packages[..], &["--exclude", "e2e"]].concat())?;
    skipped.extend(no_dpdk);
    Ok((outcome, skipped))
}

/// Clippy and documentation of what needs libdpdk.
fn with_dpdk(root: &Path) -> Result<Outcome> {
    if let Some(reason) = dpdk::cannot() {
        return Ok(Outcome::Skipped(reason));
    }
    let packages = dpdk::packages();
    let all = [clippy(root, &packages)?, doc(root, &packages)?];
    Ok(passed(!all.contains(&Outcome::Failed)))
}

const fn passed(ok: bool) -> Outcome {
    if ok { Outcome::Passed } else { Outcome::Failed }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<Outcome> {
    let mut command = tree::cargo();
    command.args(arguments);
    status(command, root)
}

fn status(mut command: Command, root: &Path) -> Result<Outcome> {
    eprintln!("$ {command:?}");
    let status = command.current_dir(root).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    Ok(passed(status.success()))
}

fn shellcheck(root: &Path) -> Result<Outcome> {
    if !is_installed("shellcheck") {
        return Ok(Outcome::Skipped("no shellcheck: apt-get install shellcheck".to_owned()));
    }
    let tree = tree::Tree::read()?;
    let mut command = Command::new("shellcheck");
    command.arg("--external-sources");
    command.args(tree.files.iter().filter(|file| tidy::is_script(file)).map(|file| &file.path));
    status(command, root)
}

fn deny(root: &Path) -> Result<Outcome> {
    if !is_installed("cargo-deny") {
        let reason = "no cargo-deny: cargo install --locked cargo-deny (tidy checks licences and \
                      repeated versions against deny.toml all the same)";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    // Not the advisories: whether they pass depends on the day, not on the tree.
    cargo(root, &["deny", "--locked", "check", "bans", "licenses", "sources"])
}

/// Whether a program of this name can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.arg("--version").stdin(Stdio::null());
    quiet.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs the tests of packages that cargo's flags name, and listens for what they skip.
///
/// A test that cannot run here (a kernel or a capability is missing) prints `SKIPPED: reason`,
/// on standard error or where `--show-output` passes it on although the test counts as passed.
fn test(root: &Path, packages: &[&str]) -> Result<(Outcome, Vec<String>)> {
    let mut command = tree::cargo();
    command.args(["test", "--locked", "--no-fail-fast"]).args(packages);
    command.args(["--", "--show-output"]);
    eprintln!("$ {command:?}");
    // One pipe for both, so that lines stay in order. The command holds the writing end: it is
    // dropped after the start, or the reading end would never see the end.
    let (output, writer) = io::pipe().context("cannot make a pipe")?;
    command.current_dir(root).stdin(Stdio::null());
    command.stdout(writer.try_clone().context("cannot copy a pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    drop(command);
    let mut skipped = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests print")?;
        eprintln!("{line}");
        let reason = reason_to_skip(&line).map(str::to_owned);
        skipped.extend(reason.filter(|reason| !skipped.contains(reason)));
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    Ok((passed(status.success()), skipped))
}

/// What a line of a test's output says was left out, and why.
pub(crate) fn reason_to_skip(line: &str) -> Option<&str> {
    // With one test at a time, what it prints follows its name on the same line.
    line.split_once("SKIPPED: ").map(|(_, reason)| reason.trim())
}

/// Prints one line per check and, last and alone, the counts. True where nothing failed.
fn summarise(entries: &[Entry]) -> bool {
    eprintln!("\n==> summary");
    for entry in entries {
        let seconds = entry.took.as_secs_f64();
        match &entry.outcome {
            Outcome::Passed => eprintln!("passed   {:<12} {seconds:>6.1} s", entry.name),
            Outcome::Failed => eprintln!("FAILED   {:<12} {seconds:>6.1} s", entry.name),
            Outcome::Skipped(reason) => eprintln!("SKIPPED  {:<12} {reason}", entry.name),
        }
    }
    let (line, ok) = counts(entries);
    #[expect(clippy::print_stdout, reason = "the result of the program, for whoever reads it")]
    {
        println!("{line}");
    }
    ok
}

fn counts(entries: &[Entry]) -> (String, bool) {
    let count =
        |is: fn(&Outcome) -> bool| entries.iter().filter(|entry| is(&entry.outcome)).count();
    let failed = count(|outcome| *outcome == Outcome::Failed);
    let line = format!(
        "{} passed, {failed} failed, {} skipped",
        count(|outcome| *outcome == Outcome::Passed),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    );
    (line, failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Outcome) -> Entry {
        Entry { name: "check".to_owned(), outcome, took: Duration::ZERO }
    }

    #[test]
    fn outcomes_are_counted() {
        let skipped = || entry(Outcome::Skipped("not root".to_owned()));
        let (line, ok) = counts(&[entry(Outcome::Passed), skipped(), entry(Outcome::Passed)]);
        assert_eq!((line.as_str(), ok), ("2 passed, 0 failed, 1 skipped", true));
        let (line, ok) = counts(&[entry(Outcome::Failed), skipped(), skipped()]);
        assert_eq!((line.as_str(), ok), ("0 passed, 1 failed, 2 skipped", false));
    }

    #[test]
    fn what_a_test_skips_is_heard() {
        assert_eq!(reason_to_skip("SKIPPED: no CAP_BPF"), Some("no CAP_BPF"));
        assert_eq!(reason_to_skip("test skips ... SKIPPED: no ip"), Some("no ip"));
        assert_eq!(reason_to_skip("test skips ... ok"), None);
    }

    #[test]
    fn programs_are_found() {
        assert!(is_installed(env!("CARGO")));
        assert!(!is_installed("showdown-no-such-program"));
    }
}
