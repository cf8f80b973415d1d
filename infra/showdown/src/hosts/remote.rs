//! What runs at an end: it starts one program, and ends it when nobody listens any more.
//!
//! Standard input has a word on each line: `TERM` and `USR1` are sent to the program, `account`
//! is answered with the CPU time so far. Its end, which is that of the connection, kills the
//! program. Standard output has the program's own lines, and in between those of this one, all of
//! them JSON: `started`, `account`, `written`.

use super::account::Account;
use super::look;
use crate::cost::MemoryWatch;
use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Where a program at an end writes its report: its standard input is a file in memory, so that
/// none is left on a disk, however the run ends.
pub(crate) const REPORT: &str = "/dev/stdin";
/// Longest report, in bytes.
const REPORT_BYTES_MAX: u64 = 64 << 20;
/// Characters of a report that go on one line.
const PIECE_CHARS: usize = 32 * 1024;
/// Longest line of a program that is passed on in one piece, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a run does at an end; not for people.
#[derive(Subcommand)]
pub(crate) enum Remote {
    /// Start a program, pass signals on to it, and end it with the connection
    Run {
        /// The program and its arguments
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Say what is here, as a line of JSON
    Look(look::Arguments),
}

/// Does it.
///
/// # Errors
/// Where a program cannot be started, or where the kernel does not say what is asked.
pub(crate) fn command(remote: Remote) -> Result<ExitCode> {
    match remote {
        Remote::Run { command } => run(&command),
        Remote::Look(arguments) => {
            say(&serde_json::to_value(look::look(&arguments)?)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The program while it has not been reaped, so that its number cannot be another's.
#[derive(Default)]
struct Target {
    pid: Option<Pid>,
    memory: Option<MemoryWatch>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Target>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Target> {
        // What a panicking thread left is a number and a reading, both whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal, unless the program has been reaped.
    fn send(&self, signal: Signal) -> Result<()> {
        match self.lock().pid {
            Some(pid) => Ok(rustix::process::kill_process(pid, signal)?),
            None => Ok(()),
        }
    }

    /// Says what CPU time it took so far.
    fn account(&self, is_last: bool) -> Result<()> {
        let target = self.lock();
        let Some(pid) = target.pid else { return Ok(()) };
        let account = Account::read(pid.as_raw_pid(), target.memory.as_ref(), is_last)?;
        drop(target);
        say(&serde_json::to_value(account)?)
    }
}

fn run(command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let report = File::from(memfd_create("report", MemfdFlags::CLOEXEC)?);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(report.try_clone()?))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let pid = Pid::from_child(&child);
    let target = Shared::default();
    target.lock().pid = Some(pid);
    say(&json!({"event": "started"}))?;
    let output = child.stdout.take().context("standard output is piped")?;
    let forwarded = thread::spawn({
        let target = target.clone();
        move || pass_on(output, &target)
    });
    thread::spawn({
        let target = target.clone();
        move || obey(&target)
    });
    let ended = wait_and_reap(&mut child, pid, &target);
    let code = ended?;
    if forwarded.join().is_err() {
        bail!("the thread that reads from {program} panicked");
    }
    hand_back(report)?;
    Ok(code)
}

/// Waits for the end of the program, says what CPU time it took in all, and reaps it.
fn wait_and_reap(child: &mut Child, pid: Pid, target: &Shared) -> Result<ExitCode> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
    let said = target.account(true);
    target.lock().pid = None;
    let status = child.wait().context("the program cannot be reaped")?;
    said?;
    // As a shell reports a process that a signal ended.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Passes lines on as they come. What follows a ready line is the memory under load, so that its
/// peak is reset before anybody can know of it.
fn pass_on(output: ChildStdout, target: &Shared) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let event = serde_json::from_slice::<serde_json::Value>(&line).ok();
        if event.is_some_and(|value| value["event"] == "ready") {
            let mut target = target.lock();
            let pid = target.pid.and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
            // Of a server whose peak cannot be reset the memory is not known, and not told.
            target.memory = pid.and_then(|pid| MemoryWatch::begin(pid).ok().flatten());
        }
        if write(&line).is_err() {
            // Nobody listens any more.
            give_up(target);
            return;
        }
    }
}

/// Does what standard input says, and kills the program at its end.
fn obey(target: &Shared) {
    for word in io::stdin().lock().lines() {
        let done = match word.as_deref() {
            Ok("TERM") => target.send(Signal::TERM),
            Ok("USR1") => target.send(Signal::USR1),
            Ok("account") => target.account(false),
            Ok(other) => Err(anyhow::anyhow!("'{other}' is not understood here")),
            Err(_) => break,
        };
        if let Err(error) = done {
            eprintln!("showdown remote: {error:#}");
        }
    }
    give_up(target);
}

fn give_up(target: &Shared) {
    if let Err(error) = target.send(Signal::KILL) {
        eprintln!("showdown remote: the program cannot be ended: {error:#}");
    }
}

/// Says what the program wrote into its report, in pieces: readers take lines of some length only.
fn hand_back(mut report: File) -> Result<()> {
    let bytes = report.metadata()?.len();
    ensure!(bytes <= REPORT_BYTES_MAX, "a report of {bytes} bytes is more than is handed back");
    let mut text = String::new();
    report.rewind()?;
    report.read_to_string(&mut text).context("the report is not text")?;
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(PIECE_CHARS) {
        let piece: String = piece.iter().collect();
        say(&json!({"event": "written", "text": piece}))?;
    }
    Ok(())
}

fn say(value: &serde_json::Value) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    write(&line).context("nobody listens")
}

/// Writes lines whole: two threads do.
fn write(line: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line)?;
    output.flush()
}
