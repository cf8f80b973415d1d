//! `dpdk-testpmd` as the other end of a memif.

use crate::PATIENCE;
use std::io::{BufRead, BufReader, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

const PROGRAM: &str = "dpdk-testpmd";

/// testpmd with one memif that sends back what it receives, ended when dropped.
pub(crate) struct Testpmd {
    child: Child,
    /// `None` once it was told to end.
    input: Option<ChildStdin>,
    /// The file that a server leaves behind when it is killed.
    socket: Option<PathBuf>,
    /// What it prints, line by line.
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Testpmd {
    /// Starts it as the other end of `socket`, with `more` arguments of the memif; `None`, said
    /// aloud, where it is not installed.
    pub(crate) fn start(socket: &Path, role: &str, more: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|dir| dir.join(PROGRAM).is_file()) {
            let reason = format!("no {PROGRAM}: apt-get install dpdk-dev");
            writeln!(stderr(), "SKIPPED: {reason}").expect("standard error");
            return None;
        }
        let mut child = command(socket, role, more).spawn().expect("it is installed");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in output.lines() {
                let line = line.expect("UTF-8");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (input, reader) = (child.stdin.take(), Some(reader));
        let socket = (role == "server").then(|| socket.to_owned());
        Some(Self { child, input, socket, lines, reader })
    }

    /// Says commands to it, one a line.
    pub(crate) fn say(&mut self, commands: &str) {
        let input = self.input.as_mut().expect("it was not told to end");
        writeln!(input, "{commands}").expect("it listens");
    }

    /// Waits until it prints a line that has `words` in it.
    pub(crate) fn expect(&self, words: &str) {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("testpmd did not say {words:?}: {seen}"));
            if line.contains(words) {
                return;
            }
            seen += &line;
            seen.push('\n');
        }
    }

    /// Has it forward no more, and waits until it does not: it reads a ring without looking whether
    /// that is still mapped, so that it dies of a peer that leaves meanwhile.
    pub(crate) fn stop_forwarding(&mut self) {
        self.say("stop");
        self.expect("Accumulated forward statistics");
    }

    /// Has it end; returns what it printed and nobody waited for.
    pub(crate) fn quit(mut self) -> String {
        self.say("quit");
        drop(self.input.take());
        let text = self.lines.iter().collect::<Vec<_>>().join("\n");
        self.reader.take().expect("it is asked once").join().expect("it prints UTF-8");
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // Both fail where it has ended, as it should have.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(socket) = &self.socket {
            drop(std::fs::remove_file(socket));
        }
        if let Some(reader) = self.reader.take() {
            // It fails where testpmd printed what is no text: by then the test has failed.
            drop(reader.join());
        }
    }
}

fn command(socket: &Path, role: &str, more: &str) -> Command {
    let socket = socket.to_str().expect("UTF-8");
    let vdev = format!("net_memif0,role={role},socket={socket},socket-abstract=no{more}");
    let prefix = format!("memif-test-{role}-{}", std::process::id());
    // Into a pipe it would print nothing for long.
    let mut testpmd = Command::new("stdbuf");
    testpmd.args(["-oL", PROGRAM, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry"]);
    // The thread that forwards may run on any CPU; the main one only waits for commands.
    let last = std::thread::available_parallelism().expect("Linux says").get() - 1;
    let lcores = format!("0@0,1@(0-{last})");
    testpmd.args(["--file-prefix", &prefix, "--vdev", &vdev, "--lcores", &lcores]);
    // It would throw away what has come before it is ready.
    testpmd.args(["--", "--no-flush-rx", "--forward-mode=io", "--no-lsc-interrupt"]);
    // As a port starts or stops, it would wait nine seconds for a link.
    testpmd.args(["--disable-link-check", "--interactive", "--auto-start"]);
    testpmd.arg("--total-num-mbufs=8192");
    testpmd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    testpmd
}
