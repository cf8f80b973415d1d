//! Reports of committed results, and the headline tables, are what `showdown` generates now.

use super::Finding;
use crate::tree::{self, Tree};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::process::{Command, Output};

/// Asks `showdown`, which is only built where there is something to ask about.
///
/// # Errors
/// Where it cannot be built or started.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let folders = folders(&tree.paths);
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = ask(tree, &folders)?;
    // The headline tables are made of the same folders: what is wrong with one is said once.
    if findings.is_empty() {
        findings = ask(tree, &["--readme".to_owned(), "results".to_owned()])?;
    }
    Ok(findings)
}

/// Committed results folders, from the root.
fn folders(paths: &BTreeSet<String>) -> Vec<String> {
    let folder = |path: &String| {
        let (folder, _) = path.strip_prefix("results/")?.split_once('/')?;
        Some(format!("results/{folder}"))
    };
    let folders: BTreeSet<String> = paths.iter().filter_map(folder).collect();
    folders.into_iter().collect()
}

fn ask(tree: &Tree, arguments: &[String]) -> Result<Vec<Finding>> {
    let mut command = tree::cargo();
    command.args(["run", "--quiet", "--locked", "--package", "showdown", "--"]);
    command.args(["report", "--check"]).args(arguments).current_dir(&tree.root);
    findings(&mut command)
}

/// Exit code 1 is a finding: a line of standard output for each file that differs, or a sentence on
/// standard error about a folder that cannot be read.
fn findings(command: &mut Command) -> Result<Vec<Finding>> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let Output { status, stdout, stderr } = output;
    if status.success() {
        return Ok(Vec::new());
    }
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if status.code() != Some(1) {
        bail!("{command:?} failed ({status}): {}", stderr.trim());
    }
    let differing = stdout.lines().filter(|line| line.contains("cure:"));
    let mut findings: Vec<Finding> = differing.map(finding).collect();
    if findings.is_empty() {
        findings.push(Finding::new("results", 0, stderr.trim()));
    }
    Ok(findings)
}

/// `path: what; cure: …`.
fn finding(line: &str) -> Finding {
    match line.split_once(": ") {
        Some((path, what)) => Finding::new(path, 0, what),
        None => Finding::new("results", 0, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(script: &str) -> Result<Vec<String>> {
        let found = findings(Command::new("sh").args(["-c", script]))?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn folders_are_found_once_each() {
        let paths = ["results/README.md", "results/a/summary.json", "results/a/x", "src/b/c"];
        assert_eq!(folders(&paths.map(str::to_owned).into()), ["results/a"]);
    }

    #[test]
    fn what_differs_is_a_finding() -> Result<()> {
        assert_eq!(says("echo results/a: as it is generated")?, [""; 0]);
        let differs = "echo results/a: as it is generated; \
                       echo 'results/b/report.html: differs; cure: again'; exit 1";
        assert_eq!(says(differs)?, ["results/b/report.html: differs; cure: again"]);
        let changed = "echo 'showdown: results/b/summary.json was changed' >&2; exit 1";
        assert_eq!(says(changed)?, ["results: showdown: results/b/summary.json was changed"]);
        assert!(says("exit 101").is_err(), "a build that fails is no finding");
        Ok(())
    }
}
