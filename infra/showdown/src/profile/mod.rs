//! Where the time goes: each cell once more after the rounds, sampled by `perf`, as flame graphs.
//!
//! ```text
//!   perf record (server, client) ──► perf script ──► folded stacks ──► flame graph (SVG)
//! ```
//!
//! Stacks of user code are unwound from a copy of each stack, by the tables that every Rust binary
//! has, since release builds keep no frame pointers.

mod flame;
mod folded;

use crate::cost::process_tree;
use crate::matrix::{Point, Subject};
use crate::measure::{self, Bench, CellFailed};
use crate::process::{Events, Process};
use crate::programs::{Place, check_tools};
use anyhow::{Context, Result, ensure};
use folded::Stacks;
use signal_hook::consts::SIGTERM;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The folder of the graphs, in the results folder.
const FOLDER: &str = "profile";
/// Seconds of the load; `perf` begins to record a while after the warm-up.
const LOAD_S: u32 = 4;
/// Seconds that are recorded.
const RECORDED_S: u32 = 2;
/// Samples per second and thread; not a divisor of any timer's frequency.
const RATE_HZ: u32 = 499;
/// Bytes of each stack that are copied and unwound.
const STACK_BYTES: u32 = 16_384;
/// Time that `perf` gets beyond what it records.
const PERF_GRACE: Duration = Duration::from_secs(30);

/// One process that is sampled.
struct Recording {
    perf: Process,
    data: PathBuf,
    /// Whose it is: `server` or `client`.
    side: &'static str,
}

/// Profiles every server and its generator. What went wrong with `perf` is told in sentences, and
/// ends no run; `labels` has the name of each point.
///
/// # Errors
/// As [`Bench::measure`], and where the results folder cannot be written.
pub(crate) fn profile_all(
    bench: &Bench<'_>,
    points: &[Point],
    labels: &[String],
) -> Result<Vec<String>> {
    if matches!(bench.programs.network, Place::Hosts(_)) {
        return Ok(vec![
            "No profiles: perf samples on one machine only, not between hosts.".to_owned(),
        ]);
    }
    if let Err(missing) = check_tools(&[("perf", "linux-perf")]) {
        return Ok(vec![format!("No profiles: {missing}.")]);
    }
    let folder = bench.scratch.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut remarks = Vec::new();
    for (point, label) in points.iter().zip(labels) {
        if point.subject == Subject::Floor {
            continue;
        }
        eprintln!("profile of {label}");
        match profile(bench, point, label, &folder) {
            Ok(failures) => remarks.extend(failures),
            Err(error) if error.is::<CellFailed>() => {
                remarks.push(format!("No profile of {label}: {error:#}."));
            }
            Err(error) => return Err(error.context(format!("profile of {label}"))),
        }
    }
    Ok(remarks)
}

/// Profiles one cell; returns what failed.
fn profile(bench: &Bench<'_>, point: &Point, label: &str, folder: &Path) -> Result<Vec<String>> {
    // Dropped after the server has ended, however it ends.
    let _site = bench.programs.prepare(point, bench.events)?;
    let (server, _, _) = measure::start_server(point, bench.programs, bench.events)?;
    let load = bench.start_load(point, LOAD_S)?;
    let either_ended = || load.client.has_ended() || server.has_ended();
    bench.events.wait_until(Instant::now() + bench.warmup(point), either_ended)?;
    let stem = file_stem(label);
    let record = |side: &'static str, pid: u32| -> Result<Recording> {
        let data = folder.join(format!("{stem}-{side}.data"));
        let perf = Process::spawn(bench.events, "perf", perf_record(pid, &data)?)?;
        Ok(Recording { perf, data, side })
    };
    let recordings = [record("server", server.id())?, record("client", load.client.id())?];
    bench.events.wait_until(load.deadline, either_ended)?;
    let mut failures = Vec::new();
    for recording in recordings {
        let (side, data) = (recording.side, recording.data.clone());
        let graph = folder.join(format!("{stem}-{side}"));
        let written = write_graph(bench.events, recording, &format!("{label}, {side}"), &graph);
        if data.exists() {
            fs::remove_file(&data).with_context(|| format!("{} stays", data.display()))?;
        }
        match written {
            Err(error) if error.is::<crate::process::Interrupted>() => return Err(error),
            Err(error) => failures.push(format!("No profile of {label}, {side}: {error:#}.")),
            Ok(()) => {}
        }
    }
    let (server, _, _) = bench.finish_load(point, server, load)?;
    server.stop(bench.events, measure::stop_grace())?;
    Ok(failures)
}

/// Letters and digits of a label, all else as dashes.
fn file_stem(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    label.chars().map(plain).collect()
}

fn perf_record(pid: u32, data: &Path) -> Result<Vec<String>> {
    let members = process_tree::members(pid)?;
    let pids: Vec<String> = members.iter().map(|member| member.pid.to_string()).collect();
    // Without an event of its own perf takes cycles, or the clock where there is no counter.
    let mut command: Vec<String> =
        ["setpriv", "--pdeathsig", "KILL", "--", "perf", "record", "--quiet"]
            .map(str::to_owned)
            .to_vec();
    command.extend(["--freq".to_owned(), RATE_HZ.to_string()]);
    command.extend(["--call-graph".to_owned(), format!("dwarf,{STACK_BYTES}")]);
    command.extend(["--pid".to_owned(), pids.join(",")]);
    command.extend(["--output".to_owned(), data.display().to_string()]);
    command.extend(["--", "sleep"].map(str::to_owned));
    command.push(RECORDED_S.to_string());
    Ok(command)
}

/// Waits for the end of a recording and writes its stacks and their graph beside it.
fn write_graph(events: &Events, recording: Recording, title: &str, graph: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(RECORDED_S.into()) + PERF_GRACE;
    let ended = recording.perf.finish(events, deadline)?;
    // Where the process that it samples ends first, perf ends its own clock by this signal, says
    // that it has ended by it, and has written everything.
    let has_written = ended.status.success() || ended.status.signal() == Some(SIGTERM);
    ensure!(has_written, "perf record ended with {}: {}", ended.words(), last_line(&ended.stderr));
    let script = Command::new("perf")
        .args(["script", "--no-inline", "--fields", "comm,event,ip,sym", "--input"])
        .arg(&recording.data)
        .output()
        .context("perf cannot be started")?;
    let complaint = String::from_utf8_lossy(&script.stderr);
    ensure!(script.status.success(), "perf script failed: {}", last_line(&complaint));
    let stacks = Stacks::parse(&String::from_utf8_lossy(&script.stdout));
    ensure!(stacks.samples() > 0, "perf took no sample");
    let write = |extension: &str, text: String| {
        let path = graph.with_extension(extension);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    write("folded", stacks.folded())?;
    write("svg", flame::svg(&stacks, title, RATE_HZ))
}

fn last_line(text: &str) -> &str {
    text.trim().lines().next_back().unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_by_the_letters_and_digits_of_the_label() {
        assert_eq!(file_stem("xdp native, 256"), "xdp-native--256");
    }

    #[test]
    fn perf_is_told_the_process_and_the_file() {
        let command = perf_record(std::process::id(), Path::new("/tmp/x.data")).unwrap().join(" ");
        let pid = std::process::id();
        assert!(command.contains(&format!("--pid {pid}")), "{command}");
        assert!(command.ends_with("--output /tmp/x.data -- sleep 2"), "{command}");
        assert_eq!(last_line("a\nb\n"), "b");
        assert_eq!(last_line(" \n"), "it said nothing");
    }
}
