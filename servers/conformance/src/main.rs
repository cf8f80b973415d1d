//! `conformance --target ADDR:PORT`: the suite as a command.
#![forbid(unsafe_code)]

mod compare;

use clap::Parser;
use conformance::case::Case;
use conformance::differential::peers::Peer;
use conformance::exceptions::Exception;
use conformance::run::Target;
use conformance::vitals::Process;
use conformance::{case, exceptions, suite};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Flags that shorten a server's time-outs, so that the whole suite takes less than two minutes.
const SERVER_FLAGS: &str =
    "--head-timeout 1500 --body-grace 1500 --idle-timeout 2500 --send-timeout 5000";

/// Runs the HTTP/1.1 cases against a server and tells where it differs from the contract.
///
/// Start the server with the flags that `--print-server-flags` prints: cases about time-outs wait
/// for them, and a server with its defaults would make them wait for a minute.
#[derive(Parser, Debug)]
#[command(version)]
struct Options {
    /// Server under test
    #[arg(
        long,
        value_name = "ADDR:PORT",
        required_unless_present_any = ["print_server_flags", "list"]
    )]
    target: Option<SocketAddr>,
    /// Name of the server: its lines in the list of exceptions apply
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Markdown file with the list of exceptions [default: the one this program was built with]
    #[arg(long, value_name = "FILE", requires = "server")]
    exceptions: Option<PathBuf>,
    /// Only what neither waits for a time-out nor moves megabytes, each input in one write
    #[arg(long)]
    quick: bool,
    /// Only this row (H06) or input (H06.1); may be given several times
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Writes every verdict and transcript to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Report of another server (from --json): every response must be the same, dates aside
    #[arg(long, value_name = "FILE")]
    same_as: Option<PathBuf>,
    /// Process of the server, on this machine: what cases cost it in memory and CPU time is bounded
    #[arg(long, value_name = "PID", requires = "target")]
    pid: Option<u32>,
    /// Compares with nginx, haproxy, apache2, lighttpd and node, as far as they are installed
    ///
    /// Starts each on the loopback interface, sends it every case in one write, and prints the
    /// cases in which two or more of them answer otherwise than the target. Fails where the table
    /// in servers/README.md does not say why, or says so in vain.
    #[arg(long, requires = "target", conflicts_with_all = ["server", "same_as"])]
    differential: bool,
    /// Only compare with this one; may be given several times
    #[arg(long, value_name = "NAME", requires = "differential", value_parser = peer)]
    peer: Vec<Peer>,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 48)]
    jobs: usize,
    /// Longest wait for one response or close, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 8000)]
    patience: u64,
    /// Prints the flags to start a server with, and ends
    #[arg(long)]
    print_server_flags: bool,
    /// Lists the cases, and ends
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("conformance: {why}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command prints its report")]
fn run(options: &Options) -> Result<bool, String> {
    if options.print_server_flags {
        println!("{SERVER_FLAGS}");
        return Ok(true);
    }
    let mut cases = case::all().map_err(|error| error.to_string())?;
    if !options.only.is_empty() {
        let chosen =
            |name: &str, id: &str| options.only.iter().any(|only| only == name || only == id);
        cases.retain(|case| chosen(&case.name(), &case.id));
    }
    if options.quick {
        cases.retain(|case| !case.slow);
        cases.iter_mut().for_each(|case| case.once = true);
    }
    if cases.is_empty() {
        return Err(format!("no case is called {}: see --list", options.only.join(", ")));
    }
    let Some(address) = options.target.filter(|_| !options.list) else {
        for case in &cases {
            println!("{:<7} {} ({})", case.name(), case.title, case.source);
        }
        return Ok(true);
    };
    if options.differential {
        return compare::run(address, &options.peer, &cases, options.jobs, options.json.as_deref());
    }
    let listed = exceptions(options, &cases)?;
    let target = Target::new(address, Duration::from_millis(options.patience));
    let server = options.server.as_deref();
    let process = options.pid.map(Process::new).transpose()?;
    let report = suite::run_all(&target, &cases, &listed, server, options.jobs, process.as_ref());
    for failure in report.rows.iter().filter(|row| row.verdict == "failed") {
        println!("{}", failure.failure.as_deref().unwrap_or_default());
    }
    for case in &report.stale_exceptions {
        println!("FAILED {case}: listed as an exception and passes: take it off the list");
    }
    if let Some(file) = &options.json {
        write_json(file, &report)?;
    }
    let strangers = match &options.same_as {
        Some(file) => differences(file, &report)?,
        None => Vec::new(),
    };
    for difference in &strangers {
        println!("DIFFERS {difference}");
    }
    for failure in &report.repeated {
        println!("AGAIN {failure}: failed after a time-out of the server, and was run again");
    }
    if report.excepted > 0 {
        println!("{} as the list of exceptions says", report.excepted);
    }
    if report.unmeasured > 0 {
        println!(
            "{} ran without their bounds on memory and CPU time: give the server's --pid",
            report.unmeasured
        );
    }
    let failed = report.failed + strangers.len();
    println!("{} passed, {failed} failed", report.passed);
    Ok(failed == 0)
}

fn write_json(file: &Path, report: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn peer(name: &str) -> Result<Peer, String> {
    let names = Peer::ALL.map(Peer::name).join(", ");
    Peer::called(name).ok_or_else(|| format!("peers are {names}"))
}

/// What this run sent otherwise than the server whose report lies in `file`.
fn differences(file: &Path, report: &suite::Report) -> Result<Vec<String>, String> {
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("cannot read the report {}: {error}; write it with --json", file.display())
    };
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let other: suite::Report = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    Ok(suite::differences(&other, report))
}

/// The document with the lists of differences, as it was when this program was built.
const SERVERS_README: &str = include_str!("../../README.md");

fn exceptions(options: &Options, cases: &[Case]) -> Result<Vec<Exception>, String> {
    let Some(server) = &options.server else { return Ok(Vec::new()) };
    let mut listed = match &options.exceptions {
        None => exceptions::parse(SERVERS_README, server)?,
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                format!("cannot read the list of exceptions {}: {error}", file.display())
            })?;
            exceptions::parse(&text, server)?
        }
    };
    // A line about a case that is not run is neither right nor stale.
    listed.retain(|exception| cases.iter().any(|case| exception.covers(&case.name())));
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_timeout_is_the_one_that_servers_are_started_with() {
        let shortest = SERVER_FLAGS.split(' ').filter_map(|word| word.parse::<u64>().ok()).min();
        assert_eq!(shortest.map(Duration::from_millis), Some(suite::SHORTEST_TIMEOUT));
    }
}
