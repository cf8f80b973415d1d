//! Fuzzes the stack for longer than a test does: `cargo xtask fuzz TARGET` builds and runs this.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use server_http_fuzz::engine::{Campaign, Progress, Target, attempt};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Inputs between two looks at the clock.
const BATCH_RUNS: u64 = 200;

/// Fuzz targets of the stack
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", bin_name = "cargo xtask fuzz")]
struct Command {
    /// What to fuzz: engine_frames or tcp_segments
    #[arg(value_name = "TARGET", value_parser = target)]
    target: &'static dyn Target,
    /// Stop after so many inputs
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    runs: u64,
    /// Stop after so long
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Where the random choices begin; the same seed gives the same inputs
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Check the input in this file, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "seconds"])]
    replay: Option<PathBuf>,
}

fn target(name: &str) -> Result<&'static dyn Target, String> {
    let found = stack_fuzz::ALL.into_iter().find(|target| target.name() == name);
    found.ok_or_else(|| "no such target; there are engine_frames and tcp_segments".to_owned())
}

fn main() -> Result<ExitCode> {
    let command = Command::parse();
    let failure = match &command.replay {
        Some(file) => {
            let input = std::fs::read(file);
            let input = input.with_context(|| format!("cannot read {}", file.display()))?;
            attempt(command.target, &input).err()
        }
        None => fuzz(&command)?,
    };
    let Some(failure) = failure else { return Ok(ExitCode::SUCCESS) };
    eprintln!("{}: FAILED {}: {}", command.target.name(), failure.oracle, failure.what);
    Ok(ExitCode::FAILURE)
}

/// Runs a campaign; what failed, if anything did, is written to a file.
fn fuzz(command: &Command) -> Result<Option<server_http_fuzz::engine::Failure>> {
    let target = command.target;
    let (start, time) = (Instant::now(), Duration::from_secs(command.seconds));
    let mut campaign = Campaign::new(target, command.seed);
    let mut result = campaign.begin(&[]);
    while result.is_ok() && start.elapsed() < time && campaign.progress().runs < command.runs {
        result = campaign.run((command.runs - campaign.progress().runs).min(BATCH_RUNS));
    }
    let Progress { runs, pool, behaviours, edges, edges_total } = campaign.progress();
    eprintln!(
        "{}: {runs} runs in {:.0} s, {edges} of {edges_total} edges, {behaviours} behaviours, \
         {pool} inputs kept",
        target.name(),
        start.elapsed().as_secs_f64(),
    );
    let Err(find) = result else { return Ok(None) };
    let file = std::env::temp_dir().join(format!("{}-{}", target.name(), find.name));
    std::fs::write(&file, &find.input)
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("replay: cargo xtask fuzz {} --replay {}", target.name(), file.display());
    Ok(Some(find.failure))
}
