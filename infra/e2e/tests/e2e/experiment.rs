//! `showdown run` leaves a folder that others can read, and nothing else.

use crate::lab::{PREFIX, Turn, binary, root, send, succeeded};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

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

/// A run that would take an hour, when it has finished its first round: the next one runs.
fn run_into_its_second_round(scratch: &Scratch) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut command = scratch.showdown(&["--rounds", "1000", "--modes", "epoll,xdp"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let first = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("round 1:")));
    assert!(first.is_some(), "no line of a round");
    (run, lines)
}

#[test]
fn an_interrupted_run_keeps_its_rounds_and_leaves_nothing_else() {
    let _turn = Turn::wait();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let scratch = Scratch::new(&format!("interrupted-{signal}"));
        let (mut run, lines) = run_into_its_second_round(&scratch);
        send(run.id(), signal);
        let said: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
        let status = run.wait().expect("our child");
        assert_eq!(status.code(), Some(code), "as a shell reports it: {}", said.join("\n"));
        let [folder] = &scratch.folders()[..] else { panic!("one folder, and no partial one") };
        let summary = fs::read_to_string(folder.join("summary.json")).expect("it is there");
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        assert_eq!(summary["interrupted"], format!("SIG{signal}"));
        assert_eq!(summary["rounds"]["used"][0], 1, "{}", summary["rounds"]);
        let page = fs::read_to_string(folder.join("report.html")).expect("it is there");
        assert!(page.contains(&format!("INTERRUPTED by SIG{signal}")), "the page says so");
        scratch.assert_nothing_is_left();
    }
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next_one() {
    let _turn = Turn::wait();
    let scratch = Scratch::new("killed");
    let (mut run, lines) = run_into_its_second_round(&scratch);
    send(run.id(), "KILL");
    assert_eq!(run.wait().expect("our child").code(), None, "it died of the signal");
    // Standard error is closed when all that the run started has ended, too.
    drop(lines.map(|line| line.expect("UTF-8")).collect::<Vec<String>>());
    let left = Command::new("ip").args(["netns", "list"]).output().expect("ip is there");
    let left = succeeded("ip netns list", &left);
    assert!(left.contains(&format!("{PREFIX}-server")), "there is nothing to remove: {left}");

    let output = scratch.showdown(&["--rounds", "1", "--modes", "epoll"]).output();
    succeeded("showdown run", &output.expect("it starts"));
    scratch.assert_nothing_is_left();
}

/// The smallest experiment with one line more, of one mode in one round.
fn run_with(scratch: &Scratch, name: &str, line: &str, arguments: &[&str]) -> Value {
    let text = include_str!("smallest.toml").replacen("rounds = 2\n", "rounds = 1\n", 1);
    let file = scratch.0.join(format!("{name}.toml"));
    fs::write(&file, format!("counts = false\n{line}\n{text}")).expect("a temporary file");
    let mut command = Command::new(binary("showdown"));
    command.arg("run").arg(&file).arg("--out").arg(scratch.0.join("out"));
    command.args(["--modes", "epoll", "--duration", "1"]).args(arguments);
    command.env("SHOWDOWN_PREFIX", PREFIX).env(MARK, &scratch.0).stdin(Stdio::null());
    succeeded("showdown run", &command.output().expect("it starts"));
    scratch.assert_nothing_is_left();
    let out = fs::read_dir(scratch.0.join("out")).expect("it is there").last();
    let folder = out.expect("one folder").expect("readable").path();
    let summary = fs::read_to_string(folder.join("summary.json")).expect("it is there");
    let mut summary: Value = serde_json::from_str(&summary).expect("JSON");
    summary["folder"] = folder.display().to_string().into();
    summary
}

/// CPU time of one CPU in soft interrupts, in seconds, over the measurements of a run.
fn softirq_s(summary: &Value, cpu: &Value) -> f64 {
    let folder = summary["folder"].as_str().expect("put there above");
    let rounds = fs::read_to_string(format!("{folder}/rounds.jsonl")).expect("it is there");
    let measured = rounds.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let servers = measured.filter(|of| of["cell"]["mode"] != "floor");
    let of_cpu = |of: Value| {
        let cpus = of["cpu"]["cpus"].as_array().expect("a list").clone();
        let time = cpus.into_iter().find(|time| time["cpu"] == *cpu).expect("the CPU");
        time["softirq_s"].as_f64().expect("a number")
    };
    servers.map(of_cpu).sum()
}

#[test]
fn soft_interrupts_are_placed_where_the_experiment_says_and_the_record_says_it() {
    let _turn = Turn::wait();
    let places = [
        ("rps", "what it receives, by receive packet steering", "Receive packet steering"),
        ("threaded-napi", "what it receives, in the thread of a NAPI", "receives in a thread"),
    ];
    for (placement, role, note) in places {
        let scratch = Scratch::new(placement);
        let line = format!("softirq = \"{placement}\"");
        let summary = run_with(&scratch, placement, &line, &[]);
        for (who, key) in [("server", "server_cpu"), ("load generator", "client_cpu")] {
            let cpu = &summary["environment"][key];
            let said = summary["environment"]["cpu_roles"][cpu.to_string()].as_str();
            assert_eq!(said, Some(format!("{who}; soft interrupts of {role}").as_str()));
            if placement == "rps" {
                assert!(softirq_s(&summary, cpu) > 0.0, "{who} received nothing");
            }
        }
        assert!(summary["notes"].to_string().contains(note), "{}", summary["notes"]);
    }
}

#[test]
fn a_profile_has_a_flame_graph_of_server_and_client() {
    let _turn = Turn::wait();
    let perf = Command::new("perf").arg("version").stdin(Stdio::null()).output();
    if !perf.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no profile without perf: apt-get install linux-perf");
        return;
    }
    let scratch = Scratch::new("profile");
    let summary = run_with(&scratch, "profile", "", &["--profile"]);
    let notes = summary["notes"].to_string();
    assert!(!notes.contains("No profile"), "{notes}");
    let folder = summary["folder"].as_str().expect("put there above");
    for (side, program) in [("server", "server_epoll::"), ("client", "loadgen::")] {
        let names = fs::read_dir(format!("{folder}/profile")).expect("it is there");
        let names = names.map(|entry| entry.expect("readable").file_name());
        let mut names = names.map(|name| name.into_string().expect("ASCII"));
        let name = names.find(|name| name.ends_with(&format!("-{side}.folded")));
        let name = name.unwrap_or_else(|| panic!("no stacks of the {side}"));
        let path = format!("{folder}/profile/{name}");
        let stacks = fs::read_to_string(&path).expect("it is there");
        let of_program = stacks.lines().filter(|stack| stack.contains(program)).count();
        assert!(of_program > 0, "{path} has no function of {program}");
        let graph = fs::read_to_string(path.replace(".folded", ".svg")).expect("it is there");
        assert!(graph.starts_with("<svg") && graph.contains("<title>"), "{path}");
    }
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
