//! One measurement: start a server, warm it up, load it, account for the CPU, stop it.

use crate::clock::Utc;
use crate::commands::{DRAIN_S, Load};
use crate::cost::{self, IdlePolls, MemoryWatch};
use crate::experiment::Effort;
use crate::hosts;
use crate::matrix::{Point, Subject};
use crate::pingpong;
use crate::process::{Ended, Events, Process};
use crate::programs::Programs;
use crate::rounds;
use crate::site;
use anyhow::{Context, Result, ensure};
use record::{ClientRecord, LoadReport, Measurement, ServerRecord};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time from the start of a server to its ready line. An AF_XDP server that finds its
/// queue just closed has to try again for some 300 ms.
pub(crate) const READY_MAX: Duration = Duration::from_secs(10);
/// Time that the generator gets beyond its warm-up and duration: opening 10,000 connections and
/// waiting for the last answers.
const CLIENT_GRACE: Duration = Duration::from_secs(20);
/// Time that a server gets to end beyond its drain time-out.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// What cures reports of another build.
const REBUILD: &str = "cure: cargo build --release";

/// What a measurement needs beside its cell.
pub(crate) struct Bench<'a> {
    /// Signals and children.
    pub(crate) events: &'a Events,
    /// The binaries.
    pub(crate) programs: &'a Programs,
    /// How often and how long.
    pub(crate) effort: Effort,
    /// A folder for the generator's report.
    pub(crate) scratch: PathBuf,
}

/// A measurement that gives no figure, for a reason that lies in its cell: other cells and other
/// rounds are none the worse.
#[derive(Debug)]
pub(crate) struct CellFailed {
    /// As in [`record::Failure::cause`].
    pub(crate) cause: &'static str,
    /// In words.
    pub(crate) evidence: String,
}

impl CellFailed {
    fn error(cause: &'static str, evidence: &anyhow::Error) -> anyhow::Error {
        anyhow::Error::new(Self { cause, evidence: format!("{evidence:#}") })
    }

    /// Where a client got not one response.
    pub(crate) fn no_response(evidence: String) -> anyhow::Error {
        anyhow::Error::new(Self { cause: "no-response", evidence })
    }

    /// Where a client ended otherwise than with success.
    pub(crate) fn client_failed(name: &str, client: &Ended) -> anyhow::Error {
        let (status, stderr) = (client.status, client.stderr.trim());
        let evidence = format!("{name} failed ({status}).\nIt wrote to standard error:\n{stderr}");
        anyhow::Error::new(Self { cause: "client-failed", evidence })
    }
}

impl fmt::Display for CellFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.evidence)
    }
}

impl std::error::Error for CellFailed {}

/// A generator that runs.
pub(crate) struct RunningLoad {
    /// The generator.
    pub(crate) client: Process,
    /// By when it must have ended.
    pub(crate) deadline: Instant,
    /// Where it writes its report.
    json: PathBuf,
}

/// What was seen of the server while it was loaded.
struct Seen {
    /// Seconds between the two readings of CPU time.
    window_s: f64,
    cpu: record::CpuAccount,
    idle_poll_share: Option<f64>,
}

impl Bench<'_> {
    /// Measures one cell.
    ///
    /// # Errors
    /// Where a program does not start, ends early, hangs or reports nonsense, with what it wrote
    /// to standard error; and [`crate::process::Interrupted`].
    pub(crate) fn measure(&self, point: &Point, round: u32, position: u32) -> Result<Measurement> {
        let started_utc = Utc::now().rfc3339();
        // Dropped after the server has ended, however it ends.
        let _site = self.programs.prepare(point, self.events)?;
        let (server, ready, start_ms) = start_server(point, self.programs, self.events)?;
        let memory = if server.is_remote() { None } else { MemoryWatch::begin(server.id())? };
        let running = self.start_load(point, self.effort.duration_s)?;
        let client_command = recorded(running.client.command());
        let seen = self.watch(point, &server, &ready, &running)?;
        let (server, client, mut load) = self.finish_load(point, server, running)?;
        if point.is_echo() {
            load.cpu_s = seen.cpu.client.total_s();
        }
        let memory = memory.map_or_else(|| hosts::memory(&server), |memory| memory.end())?;
        let server_command = recorded(server.command());
        let server = server.stop(self.events, stop_grace())?;
        Ok(Measurement {
            schema: Measurement::SCHEMA,
            round,
            position,
            attempt: 1,
            disturbed: Vec::new(),
            cell: point.cell.clone(),
            started_utc,
            load,
            server: server_record(point, server_command, ready, start_ms, server),
            client: ClientRecord { command: client_command, stderr: client.stderr },
            window_s: seen.window_s,
            cpu: seen.cpu,
            counts: None,
            memory,
            idle_poll_share: seen.idle_poll_share,
        })
    }

    /// Load before a measurement that does not count.
    pub(crate) fn warmup(&self, point: &Point) -> Duration {
        Duration::from_secs_f64(self.effort.warmup_s(point.cell.connections))
    }

    /// Starts the generator against a server that is ready.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(crate) fn start_load(&self, point: &Point, duration_s: u32) -> Result<RunningLoad> {
        let json = self.scratch.join("load.json");
        let command = self.client_command(point, duration_s, &json);
        let client = self.programs.spawn(self.events, client_name(point), command)?;
        let longest = self.warmup(point) + Duration::from_secs(duration_s.into()) + CLIENT_GRACE;
        Ok(RunningLoad { client, deadline: Instant::now() + longest, json })
    }

    /// Reads what the generator reports, when it has ended.
    ///
    /// # Errors
    /// Where it has not, or the server has.
    pub(crate) fn finish_load(
        &self,
        point: &Point,
        server: Process,
        running: RunningLoad,
    ) -> Result<(Process, Ended, LoadReport)> {
        let RunningLoad { client, json, .. } = running;
        if server.has_ended() {
            let why = server.failure("ended while it was loaded");
            return Err(CellFailed::error("server-ended", &why));
        }
        if !client.has_ended() {
            let why = client.failure("did not end in time");
            return Err(CellFailed::error("client-hung", &why));
        }
        let ended = client.finish(self.events, Instant::now())?;
        self.programs.deliver(&ended, &json)?;
        let report = if point.is_echo() {
            pingpong::read_report(&json, &ended, point)?
        } else {
            read_report(client_name(point), &json, &ended)?
        };
        Ok((server, ended, report))
    }

    /// Waits for the end of a load. CPU time is read at the end of the warm-up and at the end of
    /// the generator, before it is reaped; idle polls are read within, while the load is full.
    fn watch(
        &self,
        point: &Point,
        server: &Process,
        ready: &serde_json::Value,
        running: &RunningLoad,
    ) -> Result<Seen> {
        let RunningLoad { client, deadline, .. } = running;
        let either_ended = || client.has_ended() || server.has_ended();
        self.events.wait_until(Instant::now() + self.warmup(point), either_ended)?;
        // Open until the window ends; what they count is not asked for here.
        let _counting = point.counted.then(|| cost::count_both(server, client)).transpose()?;
        let before = hosts::snapshot(server, client, self.events)?;
        let full = (Instant::now(), Duration::from_secs(self.effort.duration_s.into()));
        // Only our servers print their counters when they are asked; others would end.
        let idle_poll_share = match point.subject {
            Subject::Server(_) => IdlePolls::share(server, ready, self.events, full)?,
            Subject::Floor | Subject::Contender(_) => None,
        };
        self.events.wait_until(*deadline, either_ended)?;
        let after = hosts::snapshot(server, client, self.events)?;
        let (window_s, cpu) = before.until(&after, &self.programs.recorded_cpus());
        Ok(Seen { window_s, cpu, idle_poll_share })
    }

    fn client_command(&self, point: &Point, duration_s: u32, json: &Path) -> Vec<String> {
        let warmup = self.warmup(point);
        self.programs.client_command(point, Load { duration_s, warmup, json })
    }
}

/// Time that a server gets to end after SIGTERM.
pub(crate) fn stop_grace() -> Duration {
    Duration::from_secs(DRAIN_S.into()) + STOP_GRACE
}

/// Starts the server of a cell and waits for its ready line, which is returned with the time that
/// it took, in milliseconds.
///
/// # Errors
/// Where it does not get ready, with what it wrote to standard error; and
/// [`crate::process::Interrupted`].
pub(crate) fn start_server(
    point: &Point,
    programs: &Programs,
    events: &Events,
) -> Result<(Process, serde_json::Value, f64)> {
    let started = Instant::now();
    let name = match &point.subject {
        Subject::Server(mode) => format!("server-{mode}"),
        Subject::Floor => "floor reflect".to_owned(),
        Subject::Contender(contender) => contender.name.clone(),
    };
    let server = programs.spawn(events, &name, programs.server_command(point))?;
    if let Subject::Contender(contender) = &point.subject {
        if !site::wait_for(contender, &server, programs, events, started + READY_MAX)? {
            return Err(not_ready(server, "did not get ready"));
        }
        let start_ms = started.elapsed().as_secs_f64() * 1e3;
        return Ok((server, site::ready_line(contender, programs), start_ms));
    }
    events.wait_until(started + READY_MAX, || {
        server.has_ended() || server.event_line("ready").is_some()
    })?;
    match server.event_line("ready") {
        Some(ready) => Ok((server, ready, started.elapsed().as_secs_f64() * 1e3)),
        None => Err(not_ready(server, "did not say that it is ready")),
    }
}

fn not_ready(server: Process, what: &str) -> anyhow::Error {
    CellFailed::error("server-not-ready", &server.failure(what))
}

/// A command line without the folders of this machine, which say nothing to others.
fn recorded(command: &[String]) -> Vec<String> {
    let file_name = |word: &String| match Path::new(word).file_name().and_then(|name| name.to_str())
    {
        Some(name) if Path::new(word).is_absolute() && word != hosts::REPORT => name.to_owned(),
        _ => word.clone(),
    };
    command.iter().map(file_name).collect()
}

/// What the program that loads a cell is called in messages.
fn client_name(point: &Point) -> &'static str {
    match point.subject {
        Subject::Server(_) if point.is_echo() => "loadgen pingpong",
        Subject::Server(_) | Subject::Contender(_) => "loadgen",
        Subject::Floor => "floor send",
    }
}

fn read_report(name: &str, json: &Path, client: &Ended) -> Result<LoadReport> {
    let stderr = client.stderr.trim();
    if !client.status.success() {
        return Err(CellFailed::client_failed(name, client));
    }
    let text = fs::read_to_string(json)
        .with_context(|| format!("{name} left no report. It wrote to standard error:\n{stderr}"))?;
    // Removed at once, so that a generator that writes nothing is never credited with an old one.
    fs::remove_file(json).with_context(|| format!("{name}'s report cannot be removed"))?;
    let report: LoadReport = serde_json::from_str(&text)
        .with_context(|| format!("{name}'s report is not of this build's schema; {REBUILD}"))?;
    ensure!(
        report.schema == LoadReport::SCHEMA,
        "{name}'s report has schema {}, not {}; {REBUILD}",
        report.schema,
        LoadReport::SCHEMA
    );
    if report.requests == 0 || report.duration_s <= 0.0 {
        let errors = match rounds::kinds(&report.errors) {
            none if none.is_empty() => "no error either".to_owned(),
            kinds => format!("errors: {kinds}"),
        };
        return Err(CellFailed::no_response(format!(
            "not one response arrived in {:.1} s ({errors}).\n{name} wrote to standard \
             error:\n{stderr}",
            report.duration_s
        )));
    }
    Ok(report)
}

fn server_record(
    point: &Point,
    command: Vec<String>,
    ready: serde_json::Value,
    start_ms: f64,
    ended: Ended,
) -> ServerRecord {
    let exit = ended.event_line("exit");
    // A server that is not ours has no exit line, and may die of the signal that asks it to end.
    let ends_silently = matches!(point.subject, Subject::Contender(_));
    let said = ends_silently || (exit.is_some() && ended.status.success());
    ServerRecord {
        command,
        ready,
        start_ms,
        ended_well: said && !ended.killed,
        ended: ended.words(),
        exit,
        stderr: ended.stderr,
    }
}
