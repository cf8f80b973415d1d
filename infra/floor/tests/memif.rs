//! Both ends as processes on a memif, which needs no privilege.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const FLOOR: &str = env!("CARGO_BIN_EXE_floor");

/// A path that no other test has, short enough for a Unix socket.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("floor-{}-{name}", std::process::id()))
}

/// A reflecting process; killed when dropped.
struct Reflector(Child);

impl Drop for Reflector {
    fn drop(&mut self) {
        // Both calls fail where it has ended already.
        let _already_gone = self.0.kill();
        let _already_waited = self.0.wait();
    }
}

#[test]
fn every_frame_that_was_sent_is_accounted_for() {
    let (socket, json) = (path("socket"), path("json"));
    let (socket_text, json_text) = (socket.display().to_string(), json.display().to_string());
    let mut far = Command::new(FLOOR);
    far.args(["reflect", "--socket", &socket_text]).stdout(Stdio::piped());
    let mut far = Reflector(far.spawn().expect("it starts"));
    let mut output = BufReader::new(far.0.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&ready["event"], &ready["driver"]), (&"ready".into(), &"memif".into()));

    let mut near = Command::new(FLOOR);
    near.args(["send", "--socket", &socket_text, "--in-flight", "32", "--bytes", "100"]);
    near.args(["--duration", "1", "--warmup", "0", "--json", &json_text]);
    let sent = near.output().expect("it starts");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(String::from_utf8_lossy(&sent.stdout).contains("of 100 bytes there and back, 32 in"));

    let text = std::fs::read_to_string(&json).expect("it was written");
    std::fs::remove_file(&json).expect("written above");
    let report: record::LoadReport = serde_json::from_str(&text).expect("the schema");
    assert!(report.requests > 0, "{text}");
    assert_eq!(report.errors.total(), 0, "{text}");
    assert_eq!(report.sent, report.requests + report.in_flight, "{text}");
    assert_eq!(report.latency.count, report.requests, "{text}");
    assert!(report.in_flight <= 32, "{text}");
    // A frame that is back is sent again in the same moment, so that the round trips of each of
    // the 32 follow upon one another and fill the time (Little's law).
    let filled_s = report.latency.mean_us * report.requests as f64 / 1e6;
    assert!((0.9..1.1).contains(&(filled_s / 32.0 / report.duration_s)), "{filled_s}: {text}");

    let kill = Command::new("sh").args(["-c", &format!("kill -s TERM {}", far.0.id())]).status();
    assert!(kill.expect("sh is there").success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("UTF-8");
    let exit: Value = serde_json::from_str(rest.trim()).expect("an exit line");
    assert!(far.0.wait().expect("our child").success());
    let reflected = exit["counters"]["tx_frames"].as_u64().expect("a count");
    assert!((report.requests..=report.sent).contains(&reflected), "{reflected}: {text}");
    assert!(!socket.exists(), "the socket's file goes with its server");
}

/// DPDK reflects what our queue sends; said aloud where it is not installed.
#[test]
fn testpmd_reflects_as_well() {
    if Command::new("dpdk-testpmd").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no dpdk-testpmd: apt-get install dpdk-dev");
        return;
    }
    let (socket, json) = (path("testpmd"), path("testpmd-json"));
    // As one that was killed together with its parent leaves it.
    drop(UnixListener::bind(&socket).expect("a free path"));
    assert!(socket.exists());
    let (socket_text, json_text) = (socket.display().to_string(), json.display().to_string());
    let mut far = Command::new(FLOOR);
    far.args(["reflect", "--by", "testpmd", "--socket", &socket_text]).stdout(Stdio::piped());
    let mut far = Reflector(far.spawn().expect("it starts"));
    let mut output = BufReader::new(far.0.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&ready["event"], &ready["reflector"]), (&"ready".into(), &"testpmd".into()));

    let mut near = Command::new(FLOOR);
    near.args(["send", "--socket", &socket_text, "--in-flight", "32", "--duration", "1"]);
    near.args(["--json", &json_text]);
    let sent = near.output().expect("it starts");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    let kill = Command::new("sh").args(["-c", &format!("kill -s TERM {}", far.0.id())]).status();
    assert!(kill.expect("sh is there").success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("UTF-8");
    let exit: Value = serde_json::from_str(rest.trim()).expect("an exit line");
    assert!(far.0.wait().expect("our child").success());
    assert_eq!(exit["event"], "exit");
    let text = std::fs::read_to_string(&json).expect("it was written");
    std::fs::remove_file(&json).expect("written above");
    let report: record::LoadReport = serde_json::from_str(&text).expect("the schema");
    assert!(report.requests > 0, "{text}");
    assert!(!socket.exists(), "testpmd, which is killed, leaves it");
}

#[test]
fn nobody_at_the_other_end_is_said() {
    let output = Command::new(FLOOR).args(["send", "--interface", "no-such-if0"]).output();
    let output = output.expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("no-such-if0"), "{error}");
}
