//! `showdown run` leaves a folder that others can read, and nothing else.

use crate::lab::{PREFIX, Turn, binary, root, send, succeeded};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MODES: [&str; 5] = ["epoll", "hyper", "uring", "xdp", "memif"];

/// A variable of the environment by which the processes of a run are known: they inherit it.
const MARK: &str = "SHOWDOWN_E2E_RUN";

/// A folder for results, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("showdown-e2e-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What lies in it, hidden folders included.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        entries.map(|entry| entry.expect("readable").path()).collect()
    }

    /// The only results folder in it.
    pub(crate) fn results(&self) -> PathBuf {
        let mut folders = self.folders();
        folders.retain(|path| path.is_dir());
        assert_eq!(folders.len(), 1, "one run is one folder: {folders:?}");
        folders.remove(0)
    }

    /// Writes a file into it.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a temporary file");
        path
    }

    /// The smallest experiment of all modes, its results in this folder.
    pub(crate) fn showdown(&self, arguments: &[&str]) -> Command {
        self.run(&root().join("infra/e2e/tests/e2e/smallest.toml"), arguments)
    }

    /// An experiment, its results in this folder.
    pub(crate) fn run(&self, experiment: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("showdown"));
        command.arg("run").arg(experiment);
        command.arg("--out").arg(&self.0).args(arguments);
        command.env("SHOWDOWN_PREFIX", PREFIX).env(MARK, &self.0).stdin(Stdio::null());
        command
    }

    /// No namespace of the suite, hence no interface and no XDP program, and no process that the
    /// run started.
    pub(crate) fn assert_nothing_is_left(&self) {
        let namespaces = Command::new("ip").args(["netns", "list"]).output().expect("ip is there");
        let namespaces = succeeded("ip netns list", &namespaces);
        assert!(!namespaces.contains(&format!("{PREFIX}-")), "{namespaces}");
        self.assert_no_process_is_left();
    }

    /// No process that the run started, in whatever namespace.
    pub(crate) fn assert_no_process_is_left(&self) {
        let mark = format!("{MARK}={}", self.0.display());
        for entry in fs::read_dir("/proc").expect("Linux") {
            let process = entry.expect("readable").path();
            // Not a process, or one that has just ended.
            let Ok(environment) = fs::read(process.join("environ")) else { continue };
            let marked = environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes());
            assert!(!marked, "{} runs: {:?}", process.display(), fs::read(process.join("comm")));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left: {error}", self.0.display());
        }
    }
}

#[test]
fn a_run_leaves_a_complete_folder() {
    let _turn = Turn::wait();
    let scratch = Scratch::new("run");
    let output = scratch.showdown(&[]).output().expect("it starts");
    let table = succeeded("showdown run", &output);
    let [folder] = &scratch.folders()[..] else { panic!("one run is one folder") };
    assert!(table.contains(&folder.display().to_string()), "the folder is named:\n{table}");
    let name = folder.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    assert!(name.ends_with("-smallest"), "{name}");
    let (figures, costs) = table.split_once("CPU µs, all cores").expect("what requests cost");
    // What does not fit beside it follows after an empty line, under the same labels.
    let (costs, _) = costs.split_once("\n\n").expect("notes follow");
    for (mode, part) in MODES.iter().flat_map(|mode| [(mode, figures), (mode, costs)]) {
        let rows = part.lines().filter(|line| line.starts_with(&format!("{mode} "))).count();
        assert_eq!(rows, 1, "one row for {mode}:\n{part}");
    }
    for link in ["veth", "memif"] {
        let label = format!("floor {link}, 8 in flight ");
        let floors = figures.lines().filter(|line| line.starts_with(&label));
        assert_eq!(floors.count(), 1, "one row for the floor of {link}:\n{table}");
    }
    check_summary(&fs::read_to_string(folder.join("summary.json")).expect("it is there"));
    let traced = crate::trace::check(folder);
    assert!(traced >= MODES.len() * 15, "{traced} numbers were traced");

    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "MANIFEST.sha256"]).current_dir(folder);
    let checked = succeeded("sha256sum", &check.output().expect("coreutils"));
    let listed = checked.lines().count();
    let files = fs::read_dir(folder).expect("it is there").count();
    let report = ["report.html", "report.md", "cells.csv", "latency.csv", "rounds.csv"];
    for name in report {
        assert!(folder.join(name).is_file(), "{name} is missing");
    }
    let others = files - report.len() - 1;
    assert_eq!(listed, others, "all but the manifest and the report are listed:\n{checked}");
    scratch.assert_nothing_is_left();
}

/// The keys that readers of `summary.json` rely on.
fn check_summary(text: &str) {
    let summary: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(summary["baseline"], "epoll");
    assert!(summary["environment"].is_object(), "{text}");
    for mode in MODES {
        let figures = &summary["modes"][mode];
        let number = |path: &str| {
            let value = figures.pointer(path).and_then(Value::as_f64);
            value.unwrap_or_else(|| panic!("modes.{mode}{path} is no number: {figures}"))
        };
        for estimate in ["/throughput_rps", "/ratio_to_baseline"] {
            let [low, high] = ["0", "1"].map(|end| number(&format!("{estimate}/ci95/{end}")));
            let median = number(&format!("{estimate}/median"));
            assert!(0.0 < low && low <= median && median <= high, "{mode}{estimate}: {figures}");
        }
        let latencies = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];
        let latencies = latencies.map(|key| number(&format!("/latency_us/{key}")));
        assert!(latencies.is_sorted() && latencies[0] > 0.0, "{mode}: {latencies:?}");
        for who in ["server", "client", "rest"] {
            assert!(number(&format!("/cpu_s_per_million/{who}")) >= 0.0, "{mode}: {figures}");
        }
        assert!(number("/share_of_floor/median") > 0.0, "{mode}: {figures}");
        assert_eq!(number("/errors"), 0.0, "{mode}: {figures}");
    }
    assert_eq!(summary["modes"]["epoll"]["ratio_to_baseline"]["median"], 1.0);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let _turn = Turn::wait();
    let scratch = Scratch::new("interrupted");
    let mut command = scratch.showdown(&["--rounds", "1000"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The line of the first round says that servers have run; the next one is running.
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let first = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("round 1:")));
    assert!(first.is_some(), "no line of a round");
    send(run.id(), "INT");
    let said: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
    let status = run.wait().expect("our child");
    assert_eq!(status.code(), Some(130), "as a shell reports SIGINT: {}", said.join("\n"));
    assert_eq!(scratch.folders(), Vec::<PathBuf>::new(), "a run that was cut short is no run");
    scratch.assert_nothing_is_left();
}

#[test]
fn an_unknown_mode_is_refused() {
    let _turn = Turn::wait();
    let scratch = Scratch::new("refused");
    let output = scratch.showdown(&["--modes", "epoll,nginx"]).output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("nginx") && error.contains("--modes"), "{error}");
    assert_eq!(scratch.folders(), Vec::<PathBuf>::new());
}
