//! `showdown remote run`, which a run between hosts starts at each end, with shells in the place of
//! servers and generator.

use serde_json::Value;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A program that runs at an end.
struct Remote {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Remote {
    fn run(script: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_showdown"))
            .args(["remote", "run", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut remote = Self { child, lines };
        assert_eq!(remote.next()["event"], "started", "first of all");
        remote
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("another line").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("'{line}' is not JSON"))
    }

    fn tell(&mut self, word: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{word}\n").as_bytes()).unwrap();
    }

    /// The lines that are left, and how it ended.
    fn end(mut self) -> (Vec<Value>, ExitStatus) {
        let mut values = Vec::new();
        for line in self.lines.by_ref() {
            values.push(serde_json::from_str(&line.unwrap()).unwrap());
        }
        (values, self.child.wait().unwrap())
    }
}

#[test]
fn output_report_cpu_time_and_status_come_back() {
    let script = r#"echo '{"event":"exit"}'; printf 'one\n"two" é' >/dev/stdin; exit 3"#;
    let (lines, status) = Remote::run(script).end();
    let with = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(with("exit").len(), 1, "{lines:?}");
    let [account] = with("account")[..] else { panic!("{lines:?}") };
    assert_eq!(account["is_last"], true);
    assert!(account["cpus"].as_str().unwrap().contains("cpu0 "), "{account}");
    assert!(account["process"].as_str().unwrap().contains("(sh) Z"), "not reaped yet: {account}");
    assert_eq!(account["memory"], Value::Null, "it never was ready");
    let [written] = with("written")[..] else { panic!("{lines:?}") };
    assert_eq!(written["text"], "one\n\"two\" é");
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_long_report_comes_in_pieces() {
    // In a pipe the standard input of head is the pipe.
    let script = "{ yes é | head -n 100000; } >/dev/stdin";
    let (lines, status) = Remote::run(script).end();
    let pieces = lines.iter().filter(|line| line["event"] == "written");
    let pieces: Vec<&str> = pieces.map(|line| line["text"].as_str().unwrap()).collect();
    assert!(pieces.len() > 1 && status.success());
    assert_eq!(pieces.concat(), "é\n".repeat(100_000));
}

#[test]
fn words_are_signals_and_questions() {
    let script = r#"
        trap 'echo "{\"event\":\"report\"}"' USR1
        trap 'kill $!; echo "{\"event\":\"exit\"}"; exit 0' TERM
        echo '{"event":"ready"}'
        sleep 60 & while :; do wait $!; done"#;
    let mut remote = Remote::run(script);
    assert_eq!(remote.next()["event"], "ready");
    remote.tell("account");
    let account = remote.next();
    assert_eq!((&account["event"], &account["is_last"]), (&"account".into(), &false.into()));
    remote.tell("USR1");
    assert_eq!(remote.next()["event"], "report");
    remote.tell("TERM");
    // In whichever order: its last line, and what it took in all.
    let (lines, status) = remote.end();
    assert!(lines.iter().any(|line| line["event"] == "exit"), "{lines:?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_end_of_the_connection_ends_the_program() {
    let mut remote = Remote::run(r#"echo "{\"event\":\"ready\",\"pid\":$$}"; exec sleep 60"#);
    assert_eq!(remote.next()["event"], "ready");
    drop(remote.child.stdin.take());
    let (_, status) = remote.end();
    assert_eq!(status.code(), Some(128 + 9), "as a shell reports SIGKILL");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_showdown"))
        .args(["remote", "run", "--", "./no-such-server"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("./no-such-server"), "{error}");
}

#[test]
fn a_look_says_what_is_there_and_what_is_not() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showdown"));
    command.args(["remote", "look", "--interface", "no-such", "--cpu", "0", "--file", "./nothing"]);
    let output = command.args(["--login", "192.0.2.9 5000 192.0.2.1 22"]).output().unwrap();
    let look: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(look["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(look["missing"], serde_json::json!(["./nothing"]));
    assert_eq!(look["login"], "192.0.2.1");
    assert_eq!(look["environment"], Value::Null, "there is no such interface");
    assert!(!look["cpus"].as_array().unwrap().is_empty());
}
