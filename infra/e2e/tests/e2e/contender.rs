//! A server that is not ours takes part in a run, from its file to the row of the table.

use crate::experiment::Scratch;
use crate::lab::{Turn, root, succeeded};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What nginx says of one process, and the same of a master with a worker.
const PROCESSES: (&str, &str) =
    ("master_process off;", "master_process on;\nworker_processes 1;\nuser root;");

/// The rows of a list that are nginx's.
fn of_nginx(list: &Value) -> Vec<&Value> {
    let rows = list.as_array().expect("a list").iter();
    rows.filter(|row| row["name"] == "nginx").collect()
}

#[test]
fn a_server_that_is_not_ours_is_measured_and_judged_with_all_its_processes() {
    // Debian keeps it where the PATH of ordinary users does not lead.
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    if !nginx.iter().any(|path| Path::new(path).is_file()) {
        eprintln!("SKIPPED: no nginx: apt-get install --no-install-recommends nginx-light");
        return;
    }
    let _turn = Turn::wait();
    let scratch = Scratch::new("contender");
    let shipped = root().join("infra/contenders/nginx.toml");
    let shipped = fs::read_to_string(shipped).expect("it comes with the program");
    assert!(shipped.contains(PROCESSES.0), "{shipped}");
    let file = scratch.file("nginx.toml", &shipped.replace(PROCESSES.0, PROCESSES.1));
    let file = file.to_str().expect("UTF-8");
    let arguments = ["--modes", "epoll", "--transport", "epoll", "--contender", file];
    let output = scratch.showdown(&arguments).output().expect("it starts");
    let table = succeeded("showdown run", &output);
    let rows = |name| table.lines().filter(|line| line.split(' ').next() == Some(name)).count();
    assert!(rows("epoll") >= 2, "requests and costs at least: {table}");
    assert_eq!(rows("nginx"), rows("epoll"), "a row in every table: {table}");

    let folder = scratch.results();
    let summary = fs::read_to_string(folder.join("summary.json")).expect("it is there");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let [cell] = of_nginx(&summary["cells"])[..] else { panic!("one cell: {summary}") };
    let number = |path: &str| {
        let value = cell.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{path} is no number: {cell}"))
    };
    assert_eq!((&cell["mode"], number("/errors")), (&"contender".into(), 0.0), "{cell}");
    assert!(number("/ratio_to_baseline/median") > 0.0, "{cell}");
    // The master does nothing under load: what is accounted and counted is the worker's.
    assert!(number("/cpu_s_per_million/server") > 0.0, "{cell}");
    let unavailable = cell["cost"]["unavailable"].as_array().expect("a list of reasons");
    let mut reasons = unavailable.iter().filter_map(Value::as_str);
    match reasons.find(|reason| reason.starts_with("system calls: ")) {
        Some(reason) => {
            assert!(cell["cost"]["server"]["syscalls"].is_null(), "not counted: {cell}");
            eprintln!("SKIPPED: the count of {reason}");
        }
        None => {
            assert!(number("/cost/server/syscalls") >= 1.0, "a receive at least: {cell}");
        }
    }
    assert!(number("/cost/rss_bytes") > 0.0, "{cell}");
    let version = cell["obtained"]["version"].as_str().expect("nginx -v says it");
    assert!(version.starts_with("nginx version: "), "{version}");

    let [verdict] = of_nginx(&summary["conformance"])[..] else { panic!("one: {summary}") };
    let inputs = ["passed", "failed"].map(|key| verdict[key].as_u64().expect("a count"));
    assert!(inputs[0] > 0 && inputs[1] > 0, "it has its own ways, and is measured: {verdict}");
    scratch.assert_nothing_is_left();
}
