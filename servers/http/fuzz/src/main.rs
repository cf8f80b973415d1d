//! Fuzzes for longer than a test does: `cargo xtask fuzz` builds this with coverage and runs it.
#![deny(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use server_http_fuzz::engine::{Campaign, Find, Progress, Target, attempt, read_corpus};
use server_http_fuzz::targets;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Inputs between two looks at the clock.
const BATCH_RUNS: u64 = 500;
/// Time between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Fuzz targets of server-http
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", bin_name = "cargo xtask fuzz")]
struct Command {
    /// What to fuzz: http_request or chunked [default: both, one after the other]
    #[arg(value_name = "TARGET", value_parser = target)]
    target: Option<&'static dyn Target>,
    /// Stop after so many inputs of each target
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Stop after so long with each target [default: 60, where --runs is not given either]
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Where the random choices begin; the same seed gives the same inputs
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Check the input in this file, and nothing else
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["runs", "seconds"])]
    replay: Option<PathBuf>,
}

fn target(name: &str) -> Result<&'static dyn Target, String> {
    targets::named(name).ok_or_else(|| {
        let names: Vec<&str> = targets::ALL.iter().map(|target| target.name()).collect();
        format!("no such target; there are {}", names.join(" and "))
    })
}

fn main() -> Result<ExitCode> {
    let command = Command::parse();
    let chosen: Vec<&dyn Target> = match command.target {
        Some(target) => vec![target],
        None => targets::ALL.to_vec(),
    };
    let mut ok = true;
    for target in chosen {
        ok &= match &command.replay {
            Some(file) => replay(target, file)?,
            None => fuzz(target, &command)?,
        };
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks one input; true where every oracle holds.
fn replay(target: &dyn Target, file: &Path) -> Result<bool> {
    let input = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match attempt(target, &input) {
        Ok(_) => eprintln!("{}: every oracle holds for {}", target.name(), file.display()),
        Err(failure) => {
            eprintln!("{}: FAILED {}: {}", target.name(), failure.oracle, failure.what);
            eprintln!("input: b\"{}\"", input.escape_ascii());
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fuzzes one target; true where nothing was found.
fn fuzz(target: &dyn Target, command: &Command) -> Result<bool> {
    let default_seconds = if command.runs.is_none() { 60 } else { u64::MAX };
    let time = Duration::from_secs(command.seconds.unwrap_or(default_seconds));
    let runs_max = command.runs.unwrap_or(u64::MAX);
    let mut campaign = Campaign::new(target, command.seed);
    let start = Instant::now();
    let mut reported = start;
    let mut result = campaign.begin(&read_corpus(&targets::corpus_folder(target))?);
    while result.is_ok() && start.elapsed() < time && campaign.progress().runs < runs_max {
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            report(target, campaign.progress(), start.elapsed());
        }
        let left = runs_max - campaign.progress().runs;
        result = campaign.run(left.min(BATCH_RUNS));
    }
    report(target, campaign.progress(), start.elapsed());
    match result {
        Ok(()) => Ok(true),
        Err(find) => {
            save(target, &find)?;
            Ok(false)
        }
    }
}

fn report(target: &dyn Target, progress: Progress, elapsed: Duration) {
    let Progress { runs, pool, behaviours, edges, edges_total } = progress;
    let rate = runs as f64 / elapsed.as_secs_f64();
    let coverage = match edges_total {
        0 => "no coverage: built without instrumentation".to_owned(),
        total => format!("{edges} of {total} edges"),
    };
    eprintln!(
        "{}: {runs} runs, {rate:.0} per second, {coverage}, {behaviours} behaviours, \
         {pool} inputs kept",
        target.name()
    );
}

/// Puts what was found into the corpus, where every later run begins with it.
fn save(target: &dyn Target, find: &Find) -> Result<()> {
    let file = targets::corpus_folder(target).join(&find.name);
    std::fs::write(&file, &find.input)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let file = file.display();
    eprintln!("{}: FAILED {}: {}", target.name(), find.failure.oracle, find.failure.what);
    eprintln!("input: b\"{}\"", find.input.escape_ascii());
    eprintln!("saved as {file}: give it a name that says what it is, and commit it with the cure");
    eprintln!("replay: cargo xtask fuzz {} --replay {file}", target.name());
    Ok(())
}
