//! Whole runs over loopback, with shell scripts in the place of servers and generator.
//!
//! The scripts answer at once with figures that are known, so that every test knows what must
//! come out. They need no root, and setpriv of util-linux, which every Debian has.

use hdrhistogram::Histogram;
use record::LoadReport;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Says that it is ready, waits for SIGTERM, says what it counted. `$0` is its own path.
const SERVER: &str = r#"#!/bin/sh
echo "$$" >>"$(dirname "$0")/pids"
mode=${0##*server-}
exit_line="{\"event\":\"exit\",\"mode\":\"$mode\",\"counters\":{\"requests\":1}}"
trap 'kill $!; echo "$exit_line"; exit 0' TERM
echo "{\"event\":\"ready\",\"mode\":\"$mode\",\"arguments\":\"$*\"}"
sleep 60 &
wait
"#;

/// Starts, but dies before it is ready.
const BROKEN_SERVER: &str =
    "#!/bin/sh\necho 'port 8080 is taken: end the other server' >&2\nexit 1\n";

/// Kills the server that was started last, and would itself not end.
const KILLER: &str = r#"#!/bin/sh
kill -KILL "$(tail -n 1 "$(dirname "$0")/pids")"
exec sleep 60
"#;

/// Reports 1000 requests of 512 µs in a second. The server process that was started last tells
/// the mode: hyper answers 1.5 times as often.
const LOADGEN: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --json) json=$2; shift ;; esac
  shift
done
folder=$(dirname "$0")
requests=1000
grep -q hyper "/proc/$(tail -n 1 "$folder/pids")/cmdline" && requests=1500
sed "s/REQUESTS/$requests/g" "$folder/report.json" >"$json"
"#;

/// Reports 1000 exchanges of 512 µs each, where it is called as a ping-pong is.
const PINGPONG: &str = r#"#!/bin/sh
[ "$1" = pingpong ] || exit 3
while [ $# -gt 0 ]; do
  case $1 in --json) json=$2; shift ;; --sizes) size=$2; shift ;; esac
  shift
done
sed "s/SIZE/$size/" "$(dirname "$0")/pingpong.json" >"$json"
"#;

/// A server that is not ours: it reads a file, says something, and dies of SIGTERM.
const THEIRS: &str = r#"#!/bin/sh
[ "$1" = --version ] && echo "theirs 1.2" && exit
echo "$$" >>"$(dirname "$0")/pids"
echo "$(cat "$1") $COLOUR" >>"$(dirname "$0")/heard"
echo "serving now" >&2
exec sleep 60
"#;

/// What stands for it in an experiment.
const CONTENDER: &str = r#"
[[contender]]
name = "theirs"
command = "bin/theirs {dir}/conf"
ready = { line = "serving" }
env = { COLOUR = "red" }
setup = ["test -e {dir}/conf && echo setup >>log"]
teardown = ["echo teardown >>log; rm {dir}/conf"]
version = "bin/theirs --version"
[contender.files]
conf = "listen on {host} cpu {cpu} {"
"#;

/// Both ends of a floor: 4000 frames in a second.
const FLOOR: &str = r#"#!/bin/sh
folder=$(dirname "$0")
if [ "$1" = send ]; then
  while [ $# -gt 0 ]; do
    case $1 in --json) json=$2; shift ;; esac
    shift
  done
  sed "s/REQUESTS/4000/g" "$folder/report.json" >"$json"
  exit
fi
trap 'kill $!; echo "{\"event\":\"exit\",\"mode\":\"floor\",\"counters\":{}}"; exit 0' TERM
echo "{\"event\":\"ready\",\"pid\":$$,\"mode\":\"floor\",\"wait\":\"spin\"}"
sleep 60 &
wait
"#;

/// Makes the interface, and joins it to nothing.
const MEMIF_TAP: &str = "#!/bin/sh\nip tuntap add \"$3\" mode tap\necho ready: nothing\nsleep 60\n";

/// Finds nothing wrong with any server, unless there is a file that names it.
const CONFORMANCE: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --json) json=$2; shift ;; --server) server=$2; shift ;; esac
  shift
done
if [ -e "$(dirname "$0")/wrong-$server" ]; then
  rows='{"case":"H06.1","delivery":"in one write","verdict":"failed","failure":"FAILED H06.1",
    "transcript":""}'
  counts='"passed":4,"failed":1,"excepted":0'
else
  counts='"passed":5,"failed":0,"excepted":0'
fi
echo "{\"server\":\"$server\",\"rows\":[$rows],\"stale_exceptions\":[],$counts}" >"$json"
[ -z "$rows" ]
"#;

/// A report of REQUESTS requests whose histogram has one sample of 512,000 ns.
fn report() -> String {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    histogram.record(512_000).unwrap();
    let histogram = record::encode_histogram(&histogram).unwrap();
    let mut report = serde_json::json!({
        "schema": LoadReport::SCHEMA, "duration_s": 1.0, "requests": "N", "read_bytes": 1,
        "throughput_rps": "F",
        "errors": {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0, "framing": 0},
        "status": {"200": 1}, "sent": "N", "in_flight": 0, "reopened": 0, "interval_s": 0.1,
        "interval_requests": [], "cpu_s": 0.1,
    });
    report["setup"] = serde_json::json!({
        "url": "http://127.0.0.1/", "connections": 32, "threads": 1, "duration_s": 1.0,
        "warmup_s": 0.0, "transport": "epoll", "schedule": "closed", "cpus": [0],
    });
    report["latency"] = serde_json::json!({
        "count": 1, "min_us": 512.0, "mean_us": 512.0, "stdev_us": 0.0, "max_us": 512.0,
        "percentiles_us": {}, "histogram_ns": histogram,
    });
    report.to_string().replace("\"N\"", "REQUESTS").replace("\"F\"", "REQUESTS.0")
}

const EXPERIMENT: &str = r#"
question = "q"
hypothesis = "h"
topology = "loopback"
baseline = "epoll"
rounds = 4
duration_s = 1
warmup_s = 0.0
repeats = 0
budget_s = 60
steal_share_max = 1.0
seed = 7
# Whatever else the machine does, no round is dropped.
[disturbed]
foreign_share_max = 1.0
client_delayed_share_max = 1.0
[axes]
mode = ["epoll", "hyper"]
connections = [32]
"#;

/// The same on shared memory: epoll is reached over loopback, memif by the memif client.
const ON_MEMIF: &str = r#"mode = ["epoll", "memif", "dpdk"]
transport = ["epoll", "memif"]"#;

/// A folder with fake binaries and an experiment; removed at the end.
struct Stage {
    folder: PathBuf,
}

impl Stage {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("showdown-{name}"));
        // What an earlier, interrupted test left.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("bin")).unwrap();
        let stage = Self { folder };
        stage.script("server-epoll", SERVER);
        stage.script("server-hyper", SERVER);
        stage.script("loadgen", LOADGEN);
        stage.script("conformance", CONFORMANCE);
        fs::write(stage.folder.join("bin/report.json"), report()).unwrap();
        fs::write(stage.folder.join("fake.toml"), EXPERIMENT).unwrap();
        stage
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.folder.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self) -> Output {
        self.run_with(&[])
    }

    fn run_with(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_showdown"))
            .args(["run", "fake.toml", "--bin-dir", "bin", "--out", "out"])
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .unwrap()
    }

    /// Runs into an error: what was said, after a check that nothing is left.
    fn fails(&self, code: i32) -> String {
        let output = self.run();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        self.nothing_runs();
        assert_eq!(self.results(), [] as [PathBuf; 0], "{stderr}");
        stderr
    }

    /// Every server that was started is gone: the pids are ours, and none is in use by a script.
    fn nothing_runs(&self) {
        let pids = fs::read_to_string(self.folder.join("bin/pids")).unwrap_or_default();
        for pid in pids.lines() {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(!command.contains("server-"), "{pid} still runs: {command}");
        }
    }

    fn results(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.join("out")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_run_leaves_a_complete_folder_with_the_figures_that_were_put_in() {
    let stage = Stage::new("complete");
    let output = stage.run();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stage.nothing_runs();

    let results = stage.results();
    let [folder] = results.as_slice() else { panic!("{results:?}") };
    assert!(folder.file_name().unwrap().to_str().unwrap().ends_with("-fake"), "{folder:?}");
    assert!(stdout.ends_with(&format!("results: out/{}\n", folder_name(folder))), "{stdout}");
    let table = fs::read_to_string(folder.join("table.txt")).unwrap();
    assert!(stdout.starts_with(&table) && table.contains("1.500 [1.500, 1.500]"), "{stdout}");

    let summary = json(&folder.join("summary.json"));
    assert_eq!(summary["baseline"], "epoll");
    assert_eq!(summary["modes"]["hyper"]["ratio_to_baseline"]["median"], 1.5);
    assert_eq!(summary["modes"]["epoll"]["throughput_rps"]["median"], 1000.0);
    assert_eq!(summary["modes"]["epoll"]["latency_us"]["max"], 512.0);
    assert_eq!(summary["modes"]["epoll"]["errors"], 0);
    assert_eq!(summary["environment"], json(&folder.join("environment.json")));
    assert_eq!(summary["environment"]["network"]["topology"], "loopback");

    let rounds = fs::read_to_string(folder.join("rounds.jsonl")).unwrap();
    let rounds: Vec<Value> =
        rounds.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let modes: Vec<&str> =
        rounds.iter().map(|round| round["cell"]["mode"].as_str().unwrap()).collect();
    assert_eq!(modes.len(), 8);
    assert!(modes.chunks(2).all(|pair| pair[0] != pair[1]), "not interleaved: {modes:?}");
    assert_eq!(rounds[0]["server"]["exit"]["counters"]["requests"], 1);
    assert_eq!(rounds[0]["server"]["ended_well"], true);

    // The folder says how to check itself, and its experiment can be run again.
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "MANIFEST.sha256"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let experiment = fs::read_to_string(folder.join("experiment.toml")).unwrap();
    assert!(experiment.contains("seed = 7"), "{experiment}");
}

fn folder_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The generator says of the first measurement that its CPU was taken from it, and has by far the
/// best figure there.
#[test]
fn a_disturbed_measurement_is_taken_again_and_kept_beside_the_one_that_counts() {
    let stage = Stage::new("disturbed");
    let mut disturbed: Value = serde_json::from_str(&report().replace("REQUESTS", "9")).unwrap();
    disturbed["client"] = serde_json::json!({
        "target_rps": null, "sent_rps": 9.0, "on_time_percent": null, "queued": 0,
        "thread_cpu_percent": [50.0], "thread_delayed_percent": [20.0], "in_flight_mean": 1.0,
        "littles_law": 1.0, "longest_gap_s": 0.0, "longest_gap_at_s": 0.0, "limit": null,
        "idle_poll_share": null,
    });
    let disturbed = disturbed.to_string().replace("9.0", "9000.0").replace(":9,", ":9000,");
    fs::write(stage.folder.join("bin/disturbed.json"), disturbed).unwrap();
    let first = "if [ ! -e \"$folder/was\" ]; then\n  : >\"$folder/was\"\n  cp \
                 \"$folder/disturbed.json\" \"$json\"\n  exit\nfi\nrequests=1000\n";
    stage.script("loadgen", &LOADGEN.replace("requests=1000\n", first));
    let experiment = EXPERIMENT.replace("client_delayed_share_max = 1.0", "");
    let experiment = experiment.replace("[disturbed]", "counts = false\n[disturbed]");
    fs::write(stage.folder.join("fake.toml"), experiment).unwrap();
    let output = stage.run();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("requests/s; 1 measurement taken again\n"), "{stderr}");

    let folder = &stage.results()[0];
    let rounds = fs::read_to_string(folder.join("rounds.jsonl")).unwrap();
    let rounds: Vec<Value> =
        rounds.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rounds.len(), 9, "four rounds of two cells, and one again");
    assert_eq!(rounds[0]["load"]["requests"], 9000);
    assert_eq!(rounds[0]["disturbed"][0]["rule"], "client-delayed");
    let again: Vec<usize> = (0..9).filter(|place| rounds[*place]["attempt"] == 2).collect();
    assert_eq!(again, [2], "at the end of its round");
    assert_eq!((&rounds[2]["round"], &rounds[2]["position"]), (&1.into(), &3.into()));
    assert_eq!(rounds[2]["cell"], rounds[0]["cell"]);

    let summary = json(&folder.join("summary.json"));
    assert_eq!(summary["rounds"]["used"], serde_json::json!([1, 2, 3, 4]));
    assert_eq!(summary["rounds"]["superseded"][0]["attempt"], 1);
    assert_eq!(summary["modes"]["epoll"]["throughput_rps"]["median"], 1000.0);
    assert_eq!(summary["modes"]["hyper"]["ratio_to_baseline"]["median"], 1.5);
    let csv = fs::read_to_string(folder.join("rounds.csv")).unwrap();
    assert!(!csv.contains("9000"), "the report has what counts:\n{csv}");
}

#[test]
fn the_order_of_measurements_follows_from_the_seed() {
    let order = |name: &str| {
        let stage = Stage::new(name);
        assert!(stage.run().status.success());
        let results = stage.results();
        let rounds = fs::read_to_string(results[0].join("rounds.jsonl")).unwrap();
        let mode = |line: &str| -> String {
            let round: Value = serde_json::from_str(line).unwrap();
            round["cell"]["mode"].to_string()
        };
        rounds.lines().map(mode).collect::<Vec<String>>()
    };
    assert_eq!(order("seed-first"), order("seed-second"));
}

#[test]
fn a_server_that_does_not_get_ready_is_shown_with_what_it_said() {
    let stage = Stage::new("broken");
    stage.script("server-hyper", BROKEN_SERVER);
    let stderr = stage.fails(1);
    for part in ["server-hyper", "did not say that it is ready", "exit status: 1", "is taken"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_server_that_dies_under_load_is_shown_with_what_it_said() {
    let stage = Stage::new("dying");
    let complaint = "#!/bin/sh\necho 'segmentation fault, so to speak' >&2\n";
    stage.script("server-hyper", &SERVER.replace("#!/bin/sh\n", complaint));
    stage.script("loadgen", KILLER);
    let mut experiment = EXPERIMENT.replace("\"epoll\", \"hyper\"", "\"hyper\"");
    experiment = experiment.replace("baseline = \"epoll\"", "baseline = \"hyper\"");
    fs::write(stage.folder.join("fake.toml"), experiment).unwrap();
    let stderr = stage.fails(1);
    for part in ["server-hyper ended while it was loaded", "signal: 9", "so to speak"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_generator_that_fails_is_shown_with_what_it_said() {
    let stage = Stage::new("generator");
    stage.script("loadgen", "#!/bin/sh\necho 'unable to connect' >&2\nexit 1\n");
    let stderr = stage.fails(1);
    assert!(stderr.contains("loadgen failed (exit status: 1)"), "{stderr}");
    assert!(stderr.contains("unable to connect"), "{stderr}");
    stage.script("loadgen", "#!/bin/sh\nexit 0\n");
    assert!(stage.fails(1).contains("left no report"));
    let none = LOADGEN.replace("=1000", "=0").replace("=1500", "=0");
    stage.script("loadgen", &none);
    assert!(stage.fails(1).contains("not one response arrived"));
}

#[test]
fn a_cell_without_a_response_is_named_in_the_table_and_the_run_goes_on() {
    let stage = Stage::new("silent");
    stage.script("loadgen", &LOADGEN.replace("=1500", "=0"));
    let output = stage.run();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("round 1: hyper FAILED (no-response): not one response"), "{stderr}");
    stage.nothing_runs();
    let folder = &stage.results()[0];
    let summary = json(&folder.join("summary.json"));
    assert_eq!(summary["modes"]["epoll"]["throughput_rps"]["median"], 1000.0);
    assert_eq!(summary["modes"]["hyper"], Value::Null, "never a figure of zero");
    assert_eq!(summary["rounds"]["used"], serde_json::json!([1, 2, 3, 4]));
    let failed = &summary["failed"][0];
    assert_eq!((&failed["cell"], &failed["failed"]), (&"hyper".into(), &3.into()));
    let table = fs::read_to_string(folder.join("table.txt")).unwrap();
    let line = "hyper  FAILED in 3 of 3 rounds, no figure is shown: no-response\n";
    assert!(table.contains(line), "{table}");
    let failures = fs::read_to_string(folder.join("failures.jsonl")).unwrap();
    assert_eq!(failures.lines().count(), 3);
    let first: Value = serde_json::from_str(failures.lines().next().unwrap()).unwrap();
    assert_eq!((&first["round"], &first["cause"]), (&1.into(), &"no-response".into()));
    let manifest = fs::read_to_string(folder.join("MANIFEST.sha256")).unwrap();
    assert!(manifest.contains("  failures.jsonl\n"), "{manifest}");
}

#[test]
fn a_server_that_ends_wrongly_counts_as_an_error() {
    let stage = Stage::new("wrong-end");
    stage.script("server-hyper", &SERVER.replace("exit 0", "exit 9"));
    let output = stage.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&stage.results()[0].join("summary.json"));
    assert_eq!(summary["modes"]["hyper"]["server_errors"], 4);
    assert_eq!(summary["modes"]["hyper"]["errors"], 4);
    assert_eq!(summary["modes"]["epoll"]["errors"], 0);
    assert!(String::from_utf8(output.stdout).unwrap().contains("ERRORS with hyper"));
}

/// The generator interrupts the run that started it, and would itself never end.
#[test]
fn a_signal_ends_the_run_and_all_that_it_started() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let stage = Stage::new(&format!("signal-{signal}"));
        let interrupts = format!("#!/bin/sh\nkill -{signal} $PPID\nexec sleep 60\n");
        stage.script("loadgen", &interrupts);
        let stderr = stage.fails(code);
        assert!(stderr.contains("interrupted by signal"), "{stderr}");
    }
}

/// The generator interrupts the run that started it under its sixth load: two rounds are finished,
/// and the third has one measurement of two.
#[test]
fn an_interrupted_run_leaves_its_finished_rounds_in_a_folder_that_says_so() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let stage = Stage::new(&format!("unfinished-{signal}"));
        let sixth = format!(
            "echo >>\"$folder/loads\"\n[ \"$(wc -l <\"$folder/loads\")\" = 6 ] && kill -{signal} \
             $PPID && exec sleep 60\nrequests=1000\n"
        );
        stage.script("loadgen", &LOADGEN.replace("requests=1000\n", &sixth));
        let experiment = EXPERIMENT.replace("[disturbed]", "counts = false\n[disturbed]");
        fs::write(stage.folder.join("fake.toml"), experiment).unwrap();
        let output = stage.run();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        stage.nothing_runs();
        assert!(stderr.contains("a second signal aborts at once"), "{stderr}");

        let results = stage.results();
        let [folder] = results.as_slice() else { panic!("{results:?}") };
        let summary = json(&folder.join("summary.json"));
        assert_eq!(summary["interrupted"], format!("SIG{signal}"));
        assert_eq!(summary["rounds"]["used"], serde_json::json!([1, 2]));
        let unfinished = &summary["rounds"]["disturbed"][0];
        assert_eq!((&unfinished["round"], &unfinished["used"]), (&3.into(), &false.into()));
        assert_eq!(unfinished["reasons"][0]["rule"], "unfinished");
        assert_eq!(summary["modes"]["hyper"]["ratio_to_baseline"]["median"], 1.5);
        let rounds = fs::read_to_string(folder.join("rounds.jsonl")).unwrap();
        assert_eq!(rounds.lines().count(), 5, "what was measured is kept");
        let said = format!("INTERRUPTED by SIG{signal} after 2 of 4 rounds");
        for file in ["table.txt", "report.html"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(text.contains(&said), "{file}:\n{text}");
        }
    }
}

/// The generator sends the first signal when it loads the contender, whose teardown takes long and
/// sends the second.
#[test]
fn a_second_signal_aborts_what_the_first_one_began() {
    let stage = Stage::new("aborted");
    stage.script("theirs", THEIRS);
    let interrupts = "if ! grep -q server-epoll \"/proc/$(tail -n 1 \
                      \"$folder/pids\")/cmdline\"; then\n  echo $PPID >run\n  kill -TERM $PPID\n  \
                      exec sleep 60\nfi\nrequests=1000\n";
    stage.script("loadgen", &LOADGEN.replace("requests=1000\n", interrupts));
    let teardown = "[ -e run ] || exit 0; sleep 1; kill -TERM $(cat run); exec sleep 5";
    let contender = CONTENDER.replace("echo teardown >>log; rm {dir}/conf", teardown);
    assert!(contender.contains("sleep 5"), "{contender}");
    let experiment = EXPERIMENT.replace("\"epoll\", \"hyper\"", "\"epoll\"");
    let experiment = experiment.replace("[disturbed]", "counts = false\n[disturbed]");
    fs::write(stage.folder.join("fake.toml"), experiment + &contender).unwrap();
    let output = stage.run();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert!(stderr.contains("a second signal aborts at once"), "{stderr}");
    assert!(stderr.contains("showdown: aborted by signal 15"), "{stderr}");
}

#[test]
fn missing_binaries_are_named_before_anything_starts() {
    let stage = Stage::new("missing");
    fs::remove_file(stage.folder.join("bin/server-hyper")).unwrap();
    let stderr = stage.fails(1);
    assert!(stderr.contains("server-hyper; cure: cargo build --release"), "{stderr}");
}

/// Whether a TAP interface can be made in a namespace of our own; says why not.
fn taps_can_be_made() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    let output = command.arg("ip tuntap add tap0 mode tap").output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        eprintln!("SKIPPED: no TAP interface can be made by a user: {}", why.trim());
    }
    output.status.success()
}

#[test]
fn a_mode_is_measured_beside_the_floor_of_its_link() {
    if !taps_can_be_made() {
        return;
    }
    let stage = Stage::new("floor");
    for (name, text) in [("server-memif", SERVER), ("floor", FLOOR), ("memif-tap", MEMIF_TAP)] {
        stage.script(name, text);
    }
    let experiment = EXPERIMENT.replace("mode = [\"epoll\", \"hyper\"]", ON_MEMIF);
    let experiment = experiment.replace("seed = 7", "seed = 7\nfloor = true");
    fs::write(stage.folder.join("fake.toml"), experiment).unwrap();
    let output = stage.run();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stage.nothing_runs();
    let left_out: Vec<&str> =
        stderr.lines().filter_map(|line| line.strip_prefix("left out: ")).collect();
    let [dpdk, by_memif, by_epoll] = left_out.as_slice() else { panic!("{stderr}") };
    assert!(dpdk.starts_with("dpdk: server-dpdk is not built; cure: "), "{dpdk}");
    assert_eq!(*by_epoll, "memif by the epoll client: no link joins them");
    assert_eq!(*by_memif, "epoll by the memif client: no link joins them");

    let results = stage.results();
    let summary = json(&results[0].join("summary.json"));
    assert_eq!(summary["modes"]["memif"]["share_of_floor"]["median"], 0.25);
    assert_eq!(summary["modes"]["epoll"]["share_of_floor"], Value::Null);
    assert_eq!(summary["modes"]["floor"], Value::Null, "a floor is no mode");
    assert_eq!(summary["floors"][0]["throughput_rps"]["median"], 4000.0);
    assert_eq!(summary["floors"][0]["link"], "memif");
    let notes = summary["notes"].as_array().unwrap();
    let noted = |part: &str| notes.iter().any(|note| note.as_str().unwrap().contains(part));
    assert!(noted("A floor is what the link carries"), "{notes:?}");
    assert!(noted("Compared with epoll under 32 connections of the epoll client"), "{notes:?}");
    assert!(noted("Left out: dpdk: server-dpdk is not built"), "{notes:?}");
    let rounds = fs::read_to_string(results[0].join("rounds.jsonl")).unwrap();
    // Where dpdk-testpmd is installed, a second floor has its name behind the path.
    let ours = r#""mode":"floor","link":"memif","connections":32,"path":"/plaintext"}"#;
    assert_eq!(rounds.matches(ours).count(), 4, "{rounds}");
    let table = fs::read_to_string(results[0].join("table.txt")).unwrap();
    let row = |label: &str| table.lines().find(|line| line.starts_with(label)).unwrap().to_owned();
    assert!(row("memif").contains("25.0 %"), "{table}");
    assert!(row("epoll").contains(" -  "), "{table}");
    assert!(row("floor memif, 32 in flight").contains("4,000"), "{table}");
}

/// A stage with a contender beside the two servers.
fn stage_with_theirs(name: &str, contender: &str) -> Stage {
    let stage = Stage::new(name);
    stage.script("theirs", THEIRS);
    let experiment = EXPERIMENT.replace("rounds = 4", "rounds = 2");
    fs::write(stage.folder.join("fake.toml"), experiment + contender).unwrap();
    stage
}

#[test]
fn a_server_that_is_not_ours_has_the_same_rounds_and_is_cleaned_up_after() {
    let stage = stage_with_theirs("contender", CONTENDER);
    // What the suite says of it is for information.
    fs::write(stage.folder.join("bin/wrong-theirs"), "").unwrap();
    let output = stage.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = &stage.results()[0];
    let summary = json(&folder.join("summary.json"));
    let of_theirs = |cells: &Value| {
        let cells = cells.as_array().unwrap().iter();
        cells.filter(|cell| cell["name"] == "theirs").cloned().collect::<Vec<_>>()
    };
    let cell = &of_theirs(&summary["cells"])[0];
    assert_eq!((&cell["mode"], &cell["path"]), (&"contender".into(), &"/plaintext".into()));
    assert_eq!(cell["throughput_rps"]["median"], 1000.0);
    assert_eq!((&cell["errors"], &cell["obtained"]["version"]), (&0.into(), &"theirs 1.2".into()));
    assert_eq!(of_theirs(&summary["conformance"])[0]["failed"], 1);
    let hash = summary["environment"]["binaries_sha256"]["theirs"].as_str();
    assert_eq!(hash.map(str::len), Some(64), "of the program that was started");
    assert_eq!(summary["modes"]["contender"], Value::Null, "it has a name, and is no mode");
    let table = fs::read_to_string(folder.join("table.txt")).unwrap();
    assert!(table.contains("theirs (theirs 1.2) is not ours: it answers 4 of 5"), "{table}");
    assert!(!table.contains("no figure is shown"), "{table}");

    // Once for the suite, once for counting and once for each round: prepared, started, cleaned up.
    let log = fs::read_to_string(stage.folder.join("log")).unwrap();
    assert_eq!(log, "setup\nteardown\n".repeat(4));
    let heard = fs::read_to_string(stage.folder.join("bin/heard")).unwrap();
    let mut lines = heard.lines();
    assert!(lines.all(|line| line.starts_with("listen on 127.0.0.1 cpu ")), "{heard}");
    assert!(heard.lines().all(|line| line.ends_with(" { red")) && heard.lines().count() == 4);
    let experiment = fs::read_to_string(folder.join("experiment.toml")).unwrap();
    assert!(experiment.contains("name = \"theirs\""), "{experiment}");
}

#[test]
fn a_contender_that_cannot_be_set_up_or_started_is_shown_with_what_it_said() {
    let broken = CONTENDER.replace("test -e {dir}/conf", "echo 'no disk' >&2 && false");
    let stage = stage_with_theirs("contender-setup", &broken);
    let stderr = stage.fails(1);
    assert!(stderr.contains("setup of theirs failed") && stderr.contains("no disk"), "{stderr}");
    let log = fs::read_to_string(stage.folder.join("log")).unwrap();
    assert!(!log.is_empty() && log.lines().all(|line| line == "teardown"), "{log}");

    let stage = stage_with_theirs("contender-start", CONTENDER);
    stage.script("theirs", BROKEN_SERVER);
    let stderr = stage.fails(1);
    for part in ["contender theirs", "theirs did not get ready", "port 8080 is taken"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_contender_that_is_not_there_is_built_unless_there_is_no_time() {
    let built = CONTENDER.replace("command = \"bin/theirs", "command = \"{bin}/built");
    let built = built.replacen("setup", "build = \"cp bin/theirs {bin}/built\"\nsetup", 1);
    let quick = "[quick]\nrounds = 1\nduration_s = 1\nwarmup_s = 0.0\nrepeats = 0\nbudget_s = 60\n";
    let stage = stage_with_theirs("contender-build", &format!("{built}{quick}"));
    let program = stage.folder.join("bin/built");
    let left_out = |output: &Output| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        // A folder's name tells seconds, and these runs may take less than one.
        fs::remove_dir_all(stage.folder.join("out")).expect("a run leaves it");
        (stderr.contains("left out: theirs: not built; cure: cp bin/theirs bin/built"), stderr)
    };

    let (is_left_out, stderr) = left_out(&stage.run_with(&["--quick"]));
    assert!(is_left_out && !program.exists(), "{stderr}");
    let (is_left_out, stderr) = left_out(&stage.run());
    assert!(!is_left_out && program.is_file(), "{stderr}");
    let told = "contender theirs: bin/built is not there; building it: cp bin/theirs bin/built";
    assert!(stderr.contains(told), "{stderr}");
    let (_, stderr) = left_out(&stage.run());
    assert!(!stderr.contains("building it"), "what is there is not built again: {stderr}");
}

#[test]
fn an_echo_is_measured_by_ping_pong() {
    let stage = Stage::new("echo");
    stage.script("loadgen", PINGPONG);
    let mut report: Value = serde_json::from_str(&report().replace("REQUESTS", "1")).unwrap();
    let histogram = report["latency"]["histogram_ns"].take();
    let size = serde_json::json!({
        "size_bytes": "SIZE", "iterations": 1000, "mean_ns": 512_000, "min_ns": 512_000,
        "median_ns": 512_000, "max_ns": 512_000, "percentile_ns": 512_000, "stddev_ns": 0,
        "percentiles_ns": {"p50": 512_000}, "histogram_ns": histogram,
    });
    let pingpong = serde_json::json!({
        "schema": "pingpong/1", "facts": {}, "reporting": "RTT", "sizes": [size],
    });
    let text = pingpong.to_string().replace("\"SIZE\"", "SIZE");
    fs::write(stage.folder.join("bin/pingpong.json"), text).unwrap();
    let axes = "connections = [1, 2]\nservice = [\"echo\"]\npayload = [8, 64]";
    let experiment = EXPERIMENT.replace("connections = [32]", axes);
    fs::write(stage.folder.join("fake.toml"), experiment).unwrap();
    let output = stage.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = &stage.results()[0];
    let summary = json(&folder.join("summary.json"));
    let cells = summary["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4, "two servers and two lengths");
    assert_eq!(cells[1]["throughput_rps"]["median"], 1e6 / 512.0);
    assert_eq!((&cells[1]["service"], &cells[1]["payload_bytes"]), (&"echo".into(), &64.into()));
    assert_eq!(cells[1]["latency_us"]["max"], 512.0);
    let asked = cells[1]["obtained"]["arguments"].as_str().unwrap();
    assert!(asked.ends_with("--service echo"), "{asked}");
    let notes = summary["notes"].to_string();
    assert!(notes.contains("with service echo and 2 connections: a ping-pong has one"), "{notes}");
}

#[test]
fn a_flag_that_a_server_does_not_have_is_named_before_anything_starts() {
    let stage = Stage::new("flag");
    let help = "#!/bin/sh\n[ \"$1\" = --help ] && echo '  --steer <HOW>' && exit\n";
    stage.script("server-epoll", &SERVER.replace("#!/bin/sh\n", help));
    let step = |name: &str, flag: &str| {
        format!(
            "[[step]]\nname = \"{name}\"\nchange = \"c\"\nmode = \"epoll\"\n\
             server_args = [\"{flag}\", \"x\"]\n"
        )
    };
    let write = |flag: &str| {
        let text = EXPERIMENT.replace("mode = [\"epoll\", \"hyper\"]\n", "");
        let text = text + &step("first", "--steer") + &step("second", flag);
        fs::write(stage.folder.join("fake.toml"), text).unwrap();
    };
    write("--ster");
    let stderr = stage.fails(1);
    assert!(stderr.contains("the step 'second' gives server-epoll the flag --ster"), "{stderr}");
    assert!(!stage.folder.join("bin/pids").exists(), "nothing was started");
    write("--steer");
    let output = stage.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&stage.results()[0].join("summary.json"));
    assert_eq!(summary["cells"][1]["name"], "second");
    let asked = summary["cells"][1]["obtained"]["arguments"].as_str().unwrap();
    assert!(asked.ends_with("--steer x"), "{asked}");
}

#[test]
fn a_server_that_fails_conformance_has_no_figures() {
    let stage = Stage::new("nonconforming");
    fs::write(stage.folder.join("bin/wrong-hyper"), "").unwrap();
    let output = stage.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = stage.results();
    let [folder] = results.as_slice() else { panic!("{results:?}") };
    let summary = json(&folder.join("summary.json"));
    assert_eq!(summary["modes"]["hyper"], Value::Null);
    assert_eq!(summary["modes"]["epoll"]["throughput_rps"]["median"], 1000.0);
    assert_eq!(summary["conformance"][1]["mode"], "hyper");
    assert_eq!(summary["conformance"][1]["failed"], 1);
    let table = fs::read_to_string(folder.join("table.txt")).unwrap();
    assert!(table.contains("hyper  FAILED conformance in 1 of 5 inputs"), "{table}");
}

#[test]
fn a_baseline_that_fails_conformance_ends_the_run() {
    let stage = Stage::new("baseless");
    fs::write(stage.folder.join("bin/wrong-epoll"), "").unwrap();
    let stderr = stage.fails(1);
    assert!(stderr.contains("the baseline epoll fails conformance"), "{stderr}");
    assert!(stderr.contains("FAILED H06.1"), "{stderr}");
}
