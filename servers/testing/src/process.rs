//! A server as a child process: started, asked, stopped.

use crate::Client;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for what should happen at once before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped without [`stop`](Self::stop).
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    /// The ready line.
    pub ready: Value,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `binary` on a free port of 127.0.0.1, with `arguments` beside, and waits until it is
    /// ready.
    ///
    /// # Panics
    /// Where the binary does not start or does not print a ready line.
    #[must_use]
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        Self::spawn(command(binary, arguments))
    }

    /// As [`start`](Self::start), with at most `most` descriptors, seven of which are taken by
    /// something else: the server finds fewer than it reckons with.
    ///
    /// The limit holds from the start, because io_uring accepts by the limit that was in force
    /// when the accept was started.
    ///
    /// # Panics
    /// As [`start`](Self::start), and where `prlimit` (util-linux) fails.
    #[must_use]
    pub fn start_crowded(binary: &str, most: usize) -> Self {
        let script = "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd</dev/null\"; done; exec \"$@\"";
        let limit = format!("--nofile={most}:{most}");
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", "prlimit", &limit, binary, "--listen", "127.0.0.1:0"]);
        shell.stdin(Stdio::null());
        Self::spawn(shell)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let lines = read_lines(child.stdout.take().expect("piped"));
        let ready = next_line(&lines, "ready");
        assert_eq!(ready["pid"], child.id(), "the ready line names this process");
        let listen = ready["listen"].as_str().expect("listen is a string");
        let address = listen.parse().expect("listen is an address");
        Self { child, lines, ready, address }
    }

    /// Opens a connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal by its name, for example `TERM`.
    ///
    /// # Panics
    /// Where the process is gone.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: the program of that name is not on every machine.
        let line = format!("kill -s {name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status().expect("sh is there");
        assert!(status.success(), "{line}: {status}");
    }

    /// The counters of a fresh report line (SIGUSR1).
    ///
    /// # Panics
    /// Where no report line comes.
    pub fn report(&mut self) -> Value {
        self.signal("USR1");
        next_line(&self.lines, "report")["counters"].clone()
    }

    /// Asks for reports until the counter has reached `least`, and returns what it came to.
    ///
    /// # Panics
    /// Where that does not happen within [`PATIENCE`].
    pub fn wait_for(&mut self, counter: &str, least: u64) -> u64 {
        let start = Instant::now();
        loop {
            let report = self.report();
            let value = report[counter].as_u64().unwrap_or_else(|| panic!("no {counter}"));
            if value >= least {
                return value;
            }
            assert!(start.elapsed() < PATIENCE, "{counter} never reached {least}: {report}");
        }
    }

    /// Nanoseconds that the process has spent on a CPU, all threads together
    /// (kernel `sched-stats.rst`: the first field of `schedstat` in `/proc/PID/task/TID`).
    ///
    /// # Panics
    /// Where the process is gone.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("running");
        tasks
            .map(|task| {
                let path = task.expect("readable").path().join("schedstat");
                let text = fs::read_to_string(path).expect("the thread is running");
                let first = text.split(' ').next().expect("three fields");
                first.parse::<u64>().expect("a number")
            })
            .sum()
    }

    /// Times that threads of the process went to sleep.
    ///
    /// # Panics
    /// Where the process is gone.
    #[must_use]
    pub fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("running");
        tasks
            .map(|task| {
                let path = task.expect("readable").path().join("status");
                let text = fs::read_to_string(path).expect("the thread is running");
                let field = |line: &str| -> Option<u64> {
                    line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok()
                };
                text.lines().find_map(field).unwrap_or_else(|| panic!("no count in {text}"))
            })
            .sum()
    }

    /// Descriptors that the process has open.
    ///
    /// # Panics
    /// Where the process is gone.
    #[must_use]
    pub fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("running").count()
    }

    /// Stops it by SIGTERM and returns the counters of its exit line, consistent and complete.
    ///
    /// # Panics
    /// Where it does not exit with 0, prints no exit line, or lost count of a connection.
    pub fn stop(self) -> Value {
        self.signal("TERM");
        self.exit()
    }

    /// As [`stop`](Self::stop), where the signal has been sent already.
    ///
    /// # Panics
    /// As [`stop`](Self::stop).
    pub fn exit(mut self) -> Value {
        let counters = next_line(&self.lines, "exit")["counters"].clone();
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}");
        let count = |name: &str| counters[name].as_u64().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(count("connections_accepted"), count("connections_closed"), "{counters}");
        let by_reason: u64 = counters
            .as_object()
            .expect("counters by name")
            .iter()
            .filter(|(name, _)| name.starts_with("closed_"))
            .map(|(name, _)| count(name))
            .sum();
        assert_eq!(by_reason, count("connections_closed"), "each has one reason: {counters}");
        counters
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves no server behind. Both calls fail where it has ended already.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// Runs `binary` with flags that it must refuse, and returns what it printed on standard error.
///
/// # Panics
/// Where it exits with 0, panics, or prints an event line all the same.
#[must_use]
pub fn refused(binary: &str, arguments: &[&str]) -> String {
    // A server that does not refuse would run for ever: timeout (coreutils) ends it.
    let mut limited = Command::new("timeout");
    let output = limited.arg(PATIENCE.as_secs().to_string()).arg(binary).args(arguments).output();
    let output = output.expect("timeout is there");
    let error = String::from_utf8(output.stderr).expect("messages are UTF-8");
    let context = format!("{arguments:?}: {}: {error}", output.status);
    assert_eq!(output.status.code().map(|code| code == 0), Some(false), "{context}");
    assert_eq!(output.stdout, b"", "{context}");
    assert!(!error.contains("panicked"), "{context}");
    error
}

/// `--listen` comes first, so that `arguments` can give another.
fn command(binary: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The lines of `stdout` as they come, read by a thread so that waiting for one can end.
fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("standard output is UTF-8");
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next_line(lines: &Receiver<String>, event: &str) -> Value {
    let line = lines.recv_timeout(PATIENCE);
    let line = line.unwrap_or_else(|error| panic!("no {event} line, see above: {error}"));
    let value: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(value["event"], event, "{line}");
    value
}
