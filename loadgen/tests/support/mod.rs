//! What the tests of the binary have in common.
//!
//! A load that is to do something is not given a time for it, which a machine that stops for two
//! seconds would take away: it runs until the server has seen what the test waits for, and is then
//! interrupted, which ends it with its results. Nor is a response late by then, unless a test says
//! so with a time-out of its own.

#[macro_use]
pub(crate) mod transports;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use transports::transport;

/// How long anything is waited for before the test fails: far longer than any machine stops.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, told to use the transport of the test.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    if transport() != "epoll" {
        command.args(["--transport", transport()]);
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn loadgen(words: &[&str]) -> Output {
    command().args(words).output().unwrap()
}

/// Runs a load that lasts until `reached` returns, and interrupts it.
pub(crate) fn load_until(words: &[&str], reached: impl FnOnce()) -> Output {
    let mut running = Running(Some(
        command()
            .args(["-d1h", "-T1h"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    ));
    reached();
    let child = running.0.take().unwrap();
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// A load that ends with its test, whatever becomes of that.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// How much a server has seen.
#[derive(Debug, Default)]
pub(crate) struct Count {
    number: Mutex<u64>,
    risen: Condvar,
}

impl Count {
    /// Counts one more; returns how many there were before.
    pub(crate) fn add(&self) -> u64 {
        let mut number = self.number.lock().unwrap();
        *number += 1;
        self.risen.notify_all();
        *number - 1
    }

    pub(crate) fn get(&self) -> u64 {
        *self.number.lock().unwrap()
    }

    /// Waits until there are so many.
    pub(crate) fn wait_for(&self, wanted: u64) {
        let number = self.number.lock().unwrap();
        let (number, waited) =
            self.risen.wait_timeout_while(number, PATIENCE, |number| *number < wanted).unwrap();
        assert!(!waited.timed_out(), "{number} of {wanted}");
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file of the test's own, taken away with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
