//! What a cell needs beside its server: offloads of the interfaces, and what a contender wants
//! done before it starts and after it has ended.
//!
//! What it deliberately does not do: start the server.

use crate::contender::{CONTENDER, Contender, Ready};
use crate::matrix::{Point, Subject};
use crate::process::{Ended, Events, Process};
use crate::programs::{Place, Programs};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seconds that each command of a contender's setup or teardown gets.
const COMMAND_S_MAX: u32 = 30;
/// Time that another end gets to start a program.
const START_MAX: Duration = Duration::from_secs(15);
/// Time between two looks at the ports that somebody listens on: nothing tells when one is opened.
const LOOK: Duration = Duration::from_millis(10);
/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// Looks at whether a contender that has ended still listens, at most: two seconds of them.
const LOOKS_MAX: u32 = 200;

/// What was prepared; dropping it undoes all of it.
pub(crate) struct Prepared {
    /// Commands that undo it, in their order.
    undo: Vec<Vec<String>>,
    /// A contender's folder.
    folder: Option<PathBuf>,
}

impl Programs {
    /// Prepares the ground for the server of a cell.
    ///
    /// # Errors
    /// Where a command fails, with what it wrote; and [`crate::process::Interrupted`].
    pub(crate) fn prepare(&self, point: &Point, events: &Events) -> Result<Prepared> {
        // What is to be undone is noted before it is done, so that a failure undoes it, too.
        let mut prepared = Prepared { undo: self.offload_commands(point, false), folder: None };
        for command in self.offload_commands(point, true) {
            run(events, "ethtool", command)?;
        }
        if let Subject::Contender(contender) = &point.subject {
            self.prepare_contender(contender, point, events, &mut prepared)?;
        }
        Ok(prepared)
    }

    /// Starts a program by its command, and waits until it runs where that is at another end.
    ///
    /// # Errors
    /// Where it cannot be started, with what the other end says; and
    /// [`crate::process::Interrupted`].
    pub(crate) fn spawn(
        &self,
        events: &Events,
        name: &str,
        command: Vec<String>,
    ) -> Result<Process> {
        if !matches!(self.network, Place::Hosts(_)) {
            return Process::spawn(events, name, command);
        }
        let process = Process::spawn_remote(events, name, command)?;
        let has_started = || process.event_line("started").is_some();
        events.wait_until(Instant::now() + START_MAX, || has_started() || process.has_ended())?;
        if !has_started() && !process.has_ended() {
            return Err(process.failure("was not started at its end in time"));
        }
        Ok(process)
    }

    /// Puts the report of a program that has ended where it is looked for; one that ran here wrote
    /// it there itself.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn deliver(&self, ended: &Ended, json: &Path) -> Result<()> {
        let written = ended.written();
        if !matches!(self.network, Place::Hosts(_)) || written.is_empty() {
            return Ok(());
        }
        fs::write(json, written).with_context(|| format!("{} cannot be written", json.display()))
    }

    /// The commands that prepare the ground for a contender; none for servers of ours.
    pub(crate) fn setup_commands(&self, point: &Point) -> Vec<Vec<String>> {
        let Subject::Contender(contender) = &point.subject else { return Vec::new() };
        self.in_shell(contender, point, &contender.setup)
    }

    fn in_shell(&self, contender: &Contender, point: &Point, texts: &[String]) -> Vec<Vec<String>> {
        let site = self.site(contender);
        let command = |text: &String| self.shell_command(point, &site.fill(text), COMMAND_S_MAX);
        texts.iter().map(command).collect()
    }

    fn prepare_contender(
        &self,
        contender: &Contender,
        point: &Point,
        events: &Events,
        prepared: &mut Prepared,
    ) -> Result<()> {
        let site = self.site(contender);
        prepared.undo.extend(self.in_shell(contender, point, &contender.teardown));
        let (_, port) = contender.authority(&site)?;
        let wait = until_free(port, LOOKS_MAX);
        prepared.undo.push(self.shell_command(point, &wait, COMMAND_S_MAX));
        prepared.folder = Some(site.dir.clone());
        make_empty(&site.dir)?;
        for (name, text) in &contender.files {
            let path = site.dir.join(name);
            fs::write(&path, site.fill(text))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        for command in self.setup_commands(point) {
            run(events, &format!("setup of {}", contender.name), command)?;
        }
        Ok(())
    }
}

fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} is in use", folder.display()))?;
    }
    // A contender that gives up root's rights has to get to its files.
    fs::DirBuilder::new()
        .mode(0o755)
        .create(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))
}

fn run(events: &Events, name: &str, command: Vec<String>) -> Result<()> {
    let process = Process::spawn(events, name, command)?;
    let deadline = Instant::now() + Duration::from_secs(u64::from(COMMAND_S_MAX) + 2);
    if !events.wait_until(deadline, || process.has_ended())? {
        return Err(process.failure("did not end in time"));
    }
    let ended = process.finish(events, deadline)?;
    let (status, stderr) = (ended.status, ended.stderr.trim());
    ensure!(status.success(), "{name} failed ({status}). It wrote to standard error:\n{stderr}");
    Ok(())
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for command in &self.undo {
            if let Err(error) = undo(command) {
                eprintln!("showdown: {error:#}");
            }
        }
        if let Some(folder) = &self.folder
            && let Err(error) = fs::remove_dir_all(folder)
        {
            eprintln!("showdown: {} cannot be removed: {error}", folder.display());
        }
    }
}

/// Runs a command to its end, out of reach of Ctrl-C; it has a limit of its own.
fn undo(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        command.join(" "),
        output.status,
        stderr.trim()
    );
    Ok(())
}

/// Waits until a contender takes requests; false where it has ended, or has not got ready by then.
///
/// # Errors
/// [`crate::process::Interrupted`], and where its address is none.
pub(crate) fn wait_for(
    contender: &Contender,
    server: &Process,
    programs: &Programs,
    events: &Events,
    deadline: Instant,
) -> Result<bool> {
    let (_, port) = contender.authority(&programs.site(contender))?;
    let is_ready = || match &contender.ready {
        Ready::Port => listens(server.id(), port),
        Ready::Line(text) => server.has_said(text),
    };
    while !is_ready() {
        let ended = events.wait_until(Instant::now() + LOOK, || server.has_ended())?;
        if ended || Instant::now() >= deadline {
            return Ok(false);
        }
    }
    Ok(true)
}

/// In the place of the ready line of our servers, what is known of a contender.
pub(crate) fn ready_line(contender: &Contender, programs: &Programs) -> serde_json::Value {
    let site = programs.site(contender);
    serde_json::json!({
        "event": "ready",
        "mode": CONTENDER,
        "name": contender.name,
        "address": site.fill(&contender.address),
        "version": contender.version_line(&site),
    })
}

/// Whether a socket listens on a port in the network namespace of a process.
fn listens(pid: u32, port: u16) -> bool {
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{pid}/net/{table}"));
    // A process that has just ended has no tables, and no socket either.
    let texts = tables.into_iter().filter_map(|table| fs::read_to_string(table).ok());
    texts.into_iter().any(|text| has_listener(&text, port))
}

/// Lines of a shell that wait until nobody listens on a port, and fail if that takes too long.
///
/// What a ring of io_uring holds is released some time after its process has been reaped: until
/// then the next server finds the port in use, or is taken for ready before it is.
fn until_free(port: u16, looks_max: u32) -> String {
    format!(
        "n=0; while cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | \
         grep -q ':{port:04X} 0*:0000 {LISTEN} '; do n=$((n+1)); \
         if [ $n -ge {looks_max} ]; then echo 'port {port} is still listened on' >&2; exit 1; fi; \
         sleep 0.01; done"
    )
}

/// Whether a table in the form of `/proc/net/tcp` has a listening socket of this port.
fn has_listener(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        let of_socket =
            local.and_then(|local| u16::from_str_radix(local.rsplit(':').next()?, 16).ok());
        of_socket == Some(port) && state == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_a_connection_on_its_port() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let line = |local: &str, state: &str| format!("   0: {local} 00000000:0000 {state} 0:0\n");
        let table = |lines: &[String]| format!("{head}{}", lines.concat());
        assert!(has_listener(&table(&[line("010012C6:1F90", "0A")]), 8080));
        assert!(!has_listener(&table(&[line("010012C6:1F90", "01")]), 8080), "established");
        assert!(!has_listener(&table(&[line("010012C6:1F91", "0A")]), 8080), "another port");
        let v6 = line("00000000000000000000000000000000:1F90", "0A");
        assert!(has_listener(&table(&[line("010012C6:1F91", "0A"), v6]), 8080));
        assert!(!has_listener(head, 8080));
    }

    #[test]
    fn a_port_is_waited_for_while_somebody_listens_on_it() {
        let wait = |listener: &str, looks_max| {
            let listener = std::net::TcpListener::bind(listener).expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            let wait = || {
                let script = until_free(port, looks_max);
                let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
                (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
            };
            let held = wait();
            drop(listener);
            assert_eq!(held, (Some(1), format!("port {port} is still listened on\n")));
            assert_eq!(wait(), (Some(0), String::new()));
        };
        wait("127.0.0.1:0", 1);
        wait("0.0.0.0:0", 2);
        if Path::new("/proc/net/tcp6").exists() {
            wait("[::]:0", 1);
        }
    }
}
