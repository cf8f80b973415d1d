//! `showdown run --hosts`, with two namespaces in the place of two machines.

use crate::experiment::Scratch;
use crate::lab::{Lab, PREFIX, binary, root, send, succeeded};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file of hosts that users have for the local topology, for that of the suite.
fn hosts(scratch: &Scratch) -> PathBuf {
    let file = root().join("infra/hosts/namespaces.toml");
    let text = fs::read_to_string(file).expect("it is there");
    scratch.file("hosts.toml", &text.replace("sd-", &format!("{PREFIX}-")))
}

/// The smallest experiment, of a kernel server and of one that bypasses it, between hosts.
fn run(scratch: &Scratch, hosts: &Path, arguments: &[&str]) -> Command {
    let mut command = scratch.showdown(arguments);
    command.args(["--modes", "epoll,xdp", "--transport", "epoll", "--hosts"]).arg(hosts);
    command
}

fn json(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name)).expect("it is there");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_run_between_hosts_leaves_a_folder_that_verifies_and_nothing_else() {
    let _lab = Lab::new();
    let scratch = Scratch::new("hosts");
    let hosts = hosts(&scratch);
    let output = run(&scratch, &hosts, &[]).output().expect("it starts");
    let table = succeeded("showdown run --hosts", &output);
    scratch.assert_no_process_is_left();
    let folders: Vec<PathBuf> =
        scratch.folders().into_iter().filter(|entry| entry.is_dir()).collect();
    let [folder] = &folders[..] else { panic!("one run is one folder: {folders:?}") };
    let report = Command::new(binary("showdown")).args(["report", "--check"]).arg(folder).output();
    succeeded("showdown report --check", &report.expect("it starts"));
    let told = fs::read_to_string(folder.join("hosts.toml")).expect("it is there");
    assert_eq!(told, fs::read_to_string(&hosts).expect("written above"));

    let network = &json(folder, "environment.json")["network"];
    assert_eq!(network["topology"], "hosts");
    for (place, (end, interface)) in [("server", "srv0"), ("client", "cli0")].iter().enumerate() {
        let of = &network["ends"][place];
        assert_eq!(of["namespace"], format!("ip netns exec {PREFIX}-{end}"));
        assert_eq!(of["interface"], format!("{PREFIX}-{interface}"));
        assert_eq!(of["offloads"]["tx-checksumming"], "off", "read at that end: {of}");
    }
    let rounds = fs::read_to_string(folder.join("rounds.jsonl")).expect("it is there");
    assert_eq!(rounds.lines().count(), 4, "two modes in two rounds");
    for line in rounds.lines() {
        check_measurement(&serde_json::from_str(line).expect("JSON"));
    }
    assert!(table.contains("not between hosts"), "what is not counted is told:\n{table}");
}

/// What comes from the server's end is there, and what cannot be had is absent.
fn check_measurement(of: &Value) {
    assert_eq!(of["cell"]["link"], "wire", "{of}");
    assert_eq!(of["server"]["ended_well"], true, "{of}");
    let responses = of["server"]["exit"]["counters"]["responses"].as_u64();
    assert!(responses >= of["load"]["requests"].as_u64(), "its exit line: {of}");
    let number = |path: &str| of.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    assert!(number("/memory/rss_loaded") > 0.0, "{of}");
    assert!(number("/window_s") >= 0.5, "{of}");
    let of_server = number("/cpu/server/user_s") + number("/cpu/server/system_s");
    let of_client = number("/cpu/client/user_s") + number("/cpu/client/system_s");
    assert!(of_server + of_client > 0.0, "{of}");
    assert_eq!(of.pointer("/counts/server/syscalls").and_then(Value::as_u64), None, "{of}");
}

#[test]
fn ctrl_c_ends_what_runs_at_both_ends() {
    let _lab = Lab::new();
    let scratch = Scratch::new("hosts-interrupted");
    let hosts = hosts(&scratch);
    let mut command = run(&scratch, &hosts, &["--rounds", "1000"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let first = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("round 1:")));
    assert!(first.is_some(), "no line of a round");
    send(run.id(), "INT");
    let said: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
    let status = run.wait().expect("our child");
    assert_eq!(status.code(), Some(130), "as a shell reports SIGINT: {}", said.join("\n"));
    scratch.assert_no_process_is_left();
}

#[test]
fn an_address_that_is_not_there_is_refused_before_anything_starts() {
    let _lab = Lab::new();
    let scratch = Scratch::new("hosts-refused");
    let text = fs::read_to_string(hosts(&scratch)).expect("written above");
    let wrong = text.replacen("198.18.0.1\"", "198.18.0.99\"", 1);
    let output = run(&scratch, &scratch.file("hosts.toml", &wrong), &[]).output();
    let output = output.expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    let cure = format!("ip address add 198.18.0.99/24 dev {PREFIX}-srv0");
    assert!(error.contains(&cure) && error.contains("[server]"), "{error}");
}
