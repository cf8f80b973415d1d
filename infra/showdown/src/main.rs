//! Runs experiments: topology, servers, interleaved rounds, results folders.
//!
//! `showdown run` brings two namespaces up, starts one server after the other, loads each with
//! `loadgen`, accounts for every CPU, repeats that in rounds of shuffled order, and leaves a
//! folder that says what came out and on what.
//!
//! ```text
//! experiment ──► matrix ──► run ──► measure ──► process, procfs
//!   (file)       (cells)     │      (one cell)
//!                 │          └──► summarise ──► table, results
//!                 └──► plan
//! ```
//!
//! `showdown compare` reads two such folders.
//!
//! What it deliberately does not do: answer or send requests; the servers and the generator are
//! programs of their own, and only their output is known here.
#![forbid(unsafe_code)]

mod available;
mod client_limit;
mod clock;
mod commands;
mod compare;
mod contender;
mod cost;
mod diagnose;
mod doctor;
mod environment;
mod experiment;
mod gate;
mod hosts;
mod machine;
mod matrix;
mod measure;
mod pingpong;
mod plan;
mod probe;
mod process;
mod procfs;
mod profile;
mod programs;
mod progress;
mod reach;
mod report;
mod results;
mod rounds;
mod run;
mod selection;
mod site;
mod softirq;
mod statistics;
mod steps;
mod stored;
mod summarise;
mod table;
mod testpmd;
mod topology;
mod tune;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use compare::Comparison;
use process::{Events, Interrupted};
use run::Options;
use selection::Selection;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures what kernel bypass buys an HTTP server
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an experiment, print its table and leave a results folder
    Run(Run),
    /// List the experiments that come with this program
    List,
    /// Say what an experiment would run, and run nothing
    Plan(Plan),
    /// Make the page, the text and the CSV files of a results folder again, or check them
    Report(report::Arguments),
    /// Compare two runs: B over A, with intervals, and what differs around them
    Compare(Compare),
    /// Bring the local topology up or down, or show it
    Topology {
        /// What to do
        #[arg(value_enum)]
        verb: Verb,
        /// Print the commands and run none
        #[arg(long)]
        dry_run: bool,
    },
    /// Name what held bypass back in a run, with the evidence and what cures it
    Diagnose {
        /// Results folder [default: the newest in results/]
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Say what this machine can do for every technology, why not, and what cures it
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Look at this interface; may be given again [default: every device]
        #[arg(long, value_name = "IF")]
        interface: Vec<String>,
    },
    /// Apply settings of the machine as a profile, and undo them exactly
    #[command(subcommand)]
    Tune(tune::Command),
    /// Be one end of a run that is driven from elsewhere
    #[command(subcommand, hide = true)]
    Remote(hosts::Remote),
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    selection: Selection,
    /// Make the results folder in this one
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// After the rounds, sample each server and its client with perf, and draw flame graphs
    #[arg(long)]
    profile: bool,
    /// Folder of the servers and of loadgen [default: where this program lies]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

#[derive(Args)]
struct Plan {
    #[command(flatten)]
    selection: Selection,
    /// Folder of the servers and of loadgen [default: where this program lies]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

#[derive(Args)]
struct Compare {
    /// Results folder of the run to compare with
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Results folder of the run that is compared
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Exit with 99 if a cell's throughput is lower by more than this, and its whole 95 % interval
    /// says so; needs six rounds on either side
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_if_slower: Option<f64>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// `5%` or `5` as 0.05.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim().trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("it is not 0% to less than 100%, for example 5%".to_owned()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Verb {
    /// Make the namespaces and the veth pair
    Up,
    /// Remove them
    Down,
    /// Show them; exit status 0 up, 3 down, 4 partly there
    Status,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::List => list(),
        Command::Plan(arguments) => plan(arguments),
        Command::Report(arguments) => make_report(&arguments),
        Command::Compare(arguments) => compare(&arguments),
        Command::Topology { verb, dry_run } => topology(verb, dry_run),
        Command::Diagnose { folder } => diagnose(folder),
        Command::Doctor { json, interface } => doctor(json, interface),
        Command::Tune(command) => tune::run(command).and_then(|text| print(&text)),
        Command::Remote(remote) => hosts::remote_command(remote),
    };
    done.unwrap_or_else(|error| {
        eprintln!("showdown: {error:#}");
        match error.downcast_ref::<Interrupted>() {
            // As a shell reports a process that a signal ended.
            Some(Interrupted { signal }) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
            None => ExitCode::FAILURE,
        }
    })
}

fn run(arguments: Run) -> Result<ExitCode> {
    // A run that shall take a minute has no time to build anything.
    let builds = !arguments.selection.is_quick();
    let experiment = arguments.selection.experiment()?;
    let bin_dir = arguments.bin_dir.map_or_else(run::own_folder, Ok)?;
    // From here on a signal ends the run in order.
    let events = Events::new()?;
    let options = Options { out: arguments.out, bin_dir, profile: arguments.profile, builds };
    let outcome = run::run(experiment, &options, &events)?;
    print(&format!("{}\n", outcome.table))?;
    // The figures are safe in their folder, whatever becomes of the page.
    let page = report::write_into(&outcome.folder);
    if let Ok(page) = &page {
        print(&format!("page:    {}\n", page.display()))?;
    }
    print(&format!("results: {}\n", outcome.folder.display()))?;
    page?;
    // The folder is whole; that the run was not is for whoever started it to know.
    outcome.interrupted.map_or(Ok(ExitCode::SUCCESS), |by| Err(by.into()))
}

fn make_report(arguments: &report::Arguments) -> Result<ExitCode> {
    let (said, code) = report::run(arguments)?;
    print(&said)?;
    Ok(code)
}

fn diagnose(folder: Option<PathBuf>) -> Result<ExitCode> {
    let folder = folder.map_or_else(|| stored::newest(Path::new("results")), Ok)?;
    let run = stored::Run::read(&folder)?;
    let diagnosis = diagnose::diagnose(&run.summary, &run.measurements);
    print(&format!("{}: {}\n\n{diagnosis}", folder.display(), run.summary.question))
}

fn list() -> Result<ExitCode> {
    print(&plan::list()?)
}

fn plan(arguments: Plan) -> Result<ExitCode> {
    let experiment = arguments.selection.experiment()?;
    let bin_dir = arguments.bin_dir.map_or_else(run::own_folder, Ok)?;
    print(&plan::describe(experiment, bin_dir)?)
}

fn compare(Compare { before, after, fail_if_slower, json }: &Compare) -> Result<ExitCode> {
    let comparison = Comparison::of(before, after, *fail_if_slower)?;
    let text =
        if *json { serde_json::to_string_pretty(&comparison)? + "\n" } else { comparison.render() };
    let printed = print(&text)?;
    Ok(if comparison.is_slower() { ExitCode::from(compare::SLOWER) } else { printed })
}

fn topology(verb: Verb, dry_run: bool) -> Result<ExitCode> {
    let verb = match verb {
        Verb::Up => "up",
        Verb::Down => "down",
        Verb::Status => "status",
    };
    let arguments = if dry_run { vec![verb, "--dry-run"] } else { vec![verb] };
    let code = topology::run_for_user(&arguments)?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn doctor(json: bool, interfaces: Vec<String>) -> Result<ExitCode> {
    print(&doctor::run(&doctor::Options { json, interfaces })?)
}

/// Prints to standard output, and reports where that is closed or full.
fn print(text: &str) -> Result<ExitCode> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
