//! Child processes that are always ended, and the one place where this program waits.
//!
//! A child is a leader of its own process group, so that Ctrl-C reaches only this program, which
//! then ends its children in order. It is started through `setpriv --pdeathsig`, so that the
//! kernel ends it where this program is killed outright. While it is not reaped its number cannot
//! be given to another process, so that no signal goes astray.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Lines of standard output that are kept, from the end: an exit line is the last one.
const LINES_MAX: usize = 1000;
/// Longest line that is read in one piece, in bytes; an exit line has a few thousand.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of standard error that are kept, from the end.
const STDERR_BYTES_MAX: usize = 16 * 1024;

/// Signals within this time of the first are the same wish: `timeout` sends one to the program and
/// one to its group.
const SAME_MOMENT: Duration = Duration::from_millis(500);

/// The user asked this program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// Number of the signal.
    pub(crate) signal: i32,
}

impl Interrupted {
    /// Its name: `SIGTERM`.
    pub(crate) fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.signal).unwrap_or("a signal")
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "interrupted by signal {}", self.signal)
    }
}

impl std::error::Error for Interrupted {}

enum Event {
    Signal(i32),
    /// A child printed a line or ended: whoever waits looks at it again.
    Progress,
}

/// Everything this program waits for: its own signals, and lines and ends of children.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    signals: signal_hook::iterator::Handle,
}

impl Events {
    /// Takes over SIGINT, SIGTERM and SIGHUP: the first of them ends a run in order, and one that
    /// comes later aborts the program.
    ///
    /// # Errors
    /// Where a handler cannot be installed.
    pub(crate) fn new() -> Result<Self> {
        let (sender, receiver) = channel();
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be taken over")?;
        let handle = signals.handle();
        let to = sender.clone();
        thread::spawn(move || {
            let mut first: Option<Instant> = None;
            for signal in &mut signals {
                match first {
                    Some(at) if at.elapsed() > SAME_MOMENT => abort(signal),
                    Some(_) => {}
                    // The receiver is gone only when the program is ending anyway.
                    None if to.send(Event::Signal(signal)).is_err() => break,
                    None => {
                        first = Some(Instant::now());
                        tell("interrupted: ending in order; a second signal aborts at once");
                    }
                }
            }
        });
        Ok(Self { sender, receiver, signals: handle })
    }

    /// Waits until `condition` holds (true) or the deadline has passed (false).
    ///
    /// # Errors
    /// [`Interrupted`] as soon as a signal arrives.
    pub(crate) fn wait_until(
        &self,
        deadline: Instant,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool, Interrupted> {
        loop {
            if condition() {
                // Even then a signal that has arrived comes first.
                return self.check().map(|()| true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok(Event::Progress) => {}
                Ok(Event::Signal(signal)) => return Err(Interrupted { signal }),
                // This value holds a sender itself, so that the channel never disconnects.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok(condition());
                }
            }
        }
    }

    /// Looks for a signal without waiting.
    ///
    /// # Errors
    /// [`Interrupted`] where one has arrived.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        for event in self.receiver.try_iter() {
            if let Event::Signal(signal) = event {
                return Err(Interrupted { signal });
            }
        }
        Ok(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.signals.close();
    }
}

/// Ends this program with nothing put in order. Its children are ended by the kernel, and the next
/// run removes what is left of the topology.
fn abort(signal: i32) -> ! {
    tell(&format!(
        "aborted by signal {signal}; what is left of the topology goes with the next run, or by: \
         showdown topology down"
    ));
    std::process::exit(128 + signal)
}

/// Says something on standard error, which may be gone with its terminal: then nobody is left to
/// tell.
fn tell(what: &str) {
    drop(writeln!(std::io::stderr(), "showdown: {what}"));
}

/// What a child has shown so far; its threads write it.
#[derive(Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    stderr: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread left in a list of lines is still a list of lines.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process; dropping it kills it.
pub(crate) struct Process {
    name: String,
    command: Vec<String>,
    child: Child,
    pid: Pid,
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
    reaped: Option<ExitStatus>,
    /// Where words go to what runs the program for us at another end; its end ends the program.
    control: Option<ChildStdin>,
}

/// How a child ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its status.
    pub(crate) status: ExitStatus,
    /// Lines of standard output.
    pub(crate) lines: Vec<String>,
    /// The end of standard error.
    pub(crate) stderr: String,
    /// Whether it had to be killed.
    pub(crate) killed: bool,
}

impl Process {
    /// Starts `command`, program first, with nothing on standard input.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub(crate) fn spawn(events: &Events, name: &str, command: Vec<String>) -> Result<Self> {
        Self::spawn_with(events, name, command, Stdio::null())
    }

    /// As [`Process::spawn`], where `command` runs the program at another end (`hosts`).
    ///
    /// # Errors
    /// Where the command cannot be started.
    pub(crate) fn spawn_remote(events: &Events, name: &str, command: Vec<String>) -> Result<Self> {
        Self::spawn_with(events, name, command, Stdio::piped())
    }

    fn spawn_with(events: &Events, name: &str, command: Vec<String>, input: Stdio) -> Result<Self> {
        let (program, arguments) = command.split_first().context("an empty command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} cannot be started: {}", command.join(" ")))?;
        let pid = Pid::from_child(&child);
        let seen = Arc::new(Seen::default());
        let mut threads = Vec::with_capacity(3);
        if let Some(output) = child.stdout.take() {
            let (seen, sender) = (Arc::clone(&seen), events.sender.clone());
            threads.push(thread::spawn(move || read_lines(output, &seen, &sender)));
        }
        if let Some(errors) = child.stderr.take() {
            let seen = Arc::clone(&seen);
            threads.push(thread::spawn(move || read_tail(errors, &seen)));
        }
        let (ended, sender) = (Arc::clone(&seen), events.sender.clone());
        threads.push(thread::spawn(move || wait_for_end(pid, &ended, &sender)));
        let control = child.stdin.take();
        let name = name.to_owned();
        Ok(Self { name, command, child, pid, seen, threads, reaped: None, control })
    }

    /// Its number, valid until it is reaped.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command line it was started with.
    pub(crate) fn command(&self) -> &[String] {
        &self.command
    }

    /// Whether it has ended; it can still be looked at in `/proc`.
    pub(crate) fn has_ended(&self) -> bool {
        self.seen.ended.load(Ordering::Acquire)
    }

    /// The JSON line of this event that it has printed, if any.
    pub(crate) fn event_line(&self, event: &str) -> Option<serde_json::Value> {
        find_event(&lock(&self.seen.lines), event)
    }

    /// Whether a line of its standard output, or what is kept of its standard error, has this text.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        let in_output = lock(&self.seen.lines).iter().any(|line| line.contains(text));
        in_output || String::from_utf8_lossy(&lock(&self.seen.stderr)).contains(text)
    }

    /// How many JSON lines of this event it has printed, of those kept.
    pub(crate) fn count_of_event(&self, event: &str) -> usize {
        let lines = lock(&self.seen.lines);
        let values = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        values.filter(|value: &serde_json::Value| value["event"] == event).count()
    }

    /// Asks one of our servers for its counters, which it prints as a `report` event. Another
    /// program would end.
    ///
    /// # Errors
    /// Where the signal cannot be sent.
    pub(crate) fn ask_for_report(&self) -> Result<()> {
        self.send(Signal::USR1, "USR1")
    }

    /// Whether the program runs at another end.
    pub(crate) fn is_remote(&self) -> bool {
        self.control.is_some()
    }

    /// Gives a word to what runs the program at another end; nothing is done for one that runs
    /// here.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn tell(&self, word: &str) -> Result<()> {
        let Some(mut control) = self.control.as_ref() else { return Ok(()) };
        match control.write_all(format!("{word}\n").as_bytes()) {
            // It has ended, which is for those to see who wait for it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told.with_context(|| format!("{} cannot be told {word}", self.name)),
        }
    }

    fn send(&self, signal: Signal, name: &str) -> Result<()> {
        if self.is_remote() {
            return self.tell(name);
        }
        rustix::process::kill_process(self.pid, signal)
            .with_context(|| format!("{} cannot be sent SIG{name}", self.name))
    }

    /// Waits for its end until the deadline, and reaps it; kills it where it has not ended then.
    ///
    /// # Errors
    /// [`Interrupted`], and what reaping returns.
    pub(crate) fn finish(mut self, events: &Events, deadline: Instant) -> Result<Ended> {
        let ended = events.wait_until(deadline, || self.has_ended())?;
        self.reap(!ended)
    }

    /// Asks it to end with SIGTERM, then as [`Process::finish`].
    ///
    /// # Errors
    /// [`Interrupted`], and what sending the signal or reaping returns.
    pub(crate) fn stop(self, events: &Events, grace: Duration) -> Result<Ended> {
        self.send(Signal::TERM, "TERM")?;
        self.finish(events, Instant::now() + grace)
    }

    /// An error that shows how it ended and what it wrote to standard error.
    pub(crate) fn failure(mut self, what: &str) -> anyhow::Error {
        let name = self.name.clone();
        let command = self.command.join(" ");
        let killed = !self.has_ended();
        match self.reap(killed) {
            Ok(ended) => {
                let how = if killed { "was still running" } else { "had ended" };
                let status = if killed { String::new() } else { format!(" ({})", ended.status) };
                let stderr = match ended.stderr.trim() {
                    "" => "It wrote nothing to standard error.".to_owned(),
                    text => format!("It wrote to standard error:\n{text}"),
                };
                anyhow::anyhow!(
                    "{name} {what}; it {how}{status}.\n{stderr}\nIt was started as: {command}"
                )
            }
            Err(error) => error.context(format!("{name} {what}")),
        }
    }

    fn reap(&mut self, kill: bool) -> Result<Ended> {
        // The group, so that nothing that the child started outlives it. It has a leader until the
        // child is reaped, so that its number still means it.
        if let Err(error) = rustix::process::kill_process_group(self.pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            bail!("{} cannot be killed: {error}", self.name);
        }
        let status =
            self.child.wait().with_context(|| format!("{} cannot be reaped", self.name))?;
        self.reaped = Some(status);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                bail!("a thread that read from {} panicked", self.name);
            }
        }
        Ok(Ended {
            status,
            lines: std::mem::take(&mut *lock(&self.seen.lines)),
            stderr: String::from_utf8_lossy(&lock(&self.seen.stderr)).into_owned(),
            killed: kill,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.is_none()
            && let Err(error) = self.reap(true)
        {
            eprintln!("showdown: {error:#}");
        }
    }
}

impl Ended {
    /// The JSON line of this event that it has printed, if any.
    pub(crate) fn event_line(&self, event: &str) -> Option<serde_json::Value> {
        find_event(&self.lines, event)
    }

    /// What the program wrote into its report at another end; empty of one that ran here.
    pub(crate) fn written(&self) -> String {
        let values = self.lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        let written = values.filter(|value: &serde_json::Value| value["event"] == "written");
        written.filter_map(|value| value["text"].as_str().map(str::to_owned)).collect()
    }

    /// How it ended, in words.
    pub(crate) fn words(&self) -> String {
        match (self.killed, self.status.signal()) {
            (true, _) => "killed, because it did not end in time".to_owned(),
            (false, _) => self.status.to_string(),
        }
    }
}

fn find_event(lines: &[String], event: &str) -> Option<serde_json::Value> {
    // A line that is not JSON is no event; servers may print other things.
    let mut values = lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok());
    values.find(|value: &serde_json::Value| value["event"] == event)
}

fn read_lines(output: impl Read, seen: &Seen, sender: &Sender<Event>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        // An unreadable pipe ends the reading as an end of file does.
        match output.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let mut lines = lock(&seen.lines);
        if lines.len() == LINES_MAX {
            lines.remove(0);
        }
        lines.push(String::from_utf8_lossy(&line).into_owned());
        drop(lines);
        notify(sender);
    }
}

fn read_tail(mut errors: impl Read, seen: &Seen) {
    let mut buffer = [0; 4096];
    while let Ok(count) = errors.read(&mut buffer) {
        if count == 0 {
            break;
        }
        let mut tail = lock(&seen.stderr);
        tail.extend_from_slice(&buffer[..count]);
        let excess = tail.len().saturating_sub(STDERR_BYTES_MAX);
        tail.drain(..excess);
    }
}

/// Waits without reaping, so that `/proc/PID` stays readable.
fn wait_for_end(pid: Pid, seen: &Seen, sender: &Sender<Event>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
    seen.ended.store(true, Ordering::Release);
    notify(sender);
}

fn notify(sender: &Sender<Event>) {
    // Nobody to notify means that the program is ending: nothing is lost.
    drop(sender.send(Event::Progress));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(events: &Events, script: &str) -> Process {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        Process::spawn(events, "shell", command).unwrap()
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_a_child_writes_is_kept_within_bounds() {
        let events = Events::new().unwrap();
        let script = "yes x | head -c 50000 >&2; yes '{\"event\":\"early\"}' | head -n 3000; \
                      echo '{\"event\":\"exit\",\"counters\":{}}'";
        let ended = shell(&events, script).finish(&events, far()).unwrap();
        assert!(ended.status.success() && !ended.killed, "{}", ended.words());
        assert_eq!(ended.stderr.len(), STDERR_BYTES_MAX);
        assert_eq!(ended.lines.len(), LINES_MAX);
        assert!(ended.event_line("exit").is_some(), "the last line is among those kept");
        assert!(ended.event_line("ready").is_none());
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let events = Events::new().unwrap();
        let process = shell(&events, "trap '' TERM; echo '{\"event\":\"ready\"}'; sleep 60");
        assert!(events.wait_until(far(), || process.event_line("ready").is_some()).unwrap());
        let ended = process.stop(&events, Duration::ZERO).unwrap();
        assert_eq!(ended.words(), "killed, because it did not end in time");
        assert_eq!(ended.status.signal(), Some(9));
    }

    #[test]
    fn a_failure_shows_status_and_standard_error() {
        let events = Events::new().unwrap();
        let process = shell(&events, "echo 'no such interface' >&2; exit 2");
        assert!(events.wait_until(far(), || process.has_ended()).unwrap());
        let message = process.failure("did not start").to_string();
        for part in ["shell did not start", "exit status: 2", "no such interface", "sh -c"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let events = Events::new().unwrap();
        let command = vec!["/no/such/program".to_owned()];
        let error = Process::spawn(&events, "server-epoll", command).err().unwrap();
        let message = format!("{error:#}");
        assert!(message.contains("server-epoll cannot be started"), "{message}");
    }
}
