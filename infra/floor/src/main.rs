//! Measures what a link carries with nothing on it: frames sent, reflected and taken back.
//!
//! ```text
//!   floor send ── frames of one size, so many in flight ──▶ floor reflect
//!              ◀───────────── as they came ────────────────
//! ```
//!
//! Both ends are queues of this project with no stack above: what a server reaches on the same
//! link, as a share of this, is how much of the link its TCP and its HTTP leave. `showdown run`
//! starts both, in turns with the servers.
//!
//! What it deliberately does not do: speak any protocol. Its frames look like TCP segments, so
//! that an XDP program lets them through, and nobody reads them but the other end.
#![forbid(unsafe_code)]

mod flight;
mod frame;
mod link;
mod reflect;
mod report;
mod send;
mod testpmd;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use link::{End, Link};
use send::Load;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures what a link carries with nothing on it
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send every frame back as it came, until SIGTERM; print a line when ready and one at the end
    Reflect {
        #[command(flatten)]
        link: Link,
        /// CPU to poll on [default: any]
        #[arg(long, value_name = "CPU")]
        cpu: Option<usize>,
        /// What reflects: our queue, or dpdk-testpmd on a memif
        #[arg(long, value_name = "WHO", value_enum, default_value_t = By::Queue)]
        by: By,
    },
    /// Send frames and take them back, and print how many came back in a second
    Send(Send),
}

/// What reflects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// A queue of this project.
    Queue,
    /// The program of DPDK that forwards frames between its ports.
    Testpmd,
}

#[derive(Args)]
struct Send {
    #[command(flatten)]
    link: Link,
    /// CPU to poll on [default: any]
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
    /// Frames on their way at a time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(flight::SLOTS_MAX))
    )]
    in_flight: u32,
    /// Length of a frame in bytes, headers included, without its checksum
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = frame::LEN_MIN,
        value_parser = clap::value_parser!(u16).range(
            i64::from(frame::LEN_MIN)..=i64::from(frame::LEN_MAX)
        )
    )]
    bytes: u16,
    /// Whole seconds of the measurement
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    duration: u32,
    /// Milliseconds of load before it that do not count
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(0..=60_000)
    )]
    warmup: u32,
    /// Write a report as the load generator's
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Reflect { link, cpu, by: By::Testpmd } => testpmd::run(&link, cpu),
        Command::Reflect { link, cpu, by: By::Queue } => {
            link.open(End::Far).and_then(|open| reflect::run(open, &link, cpu))
        }
        Command::Send(send) => run_send(&send),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_send(send: &Send) -> Result<()> {
    let load = Load {
        in_flight: send.in_flight,
        bytes: send.bytes,
        duration: Duration::from_secs(send.duration.into()),
        warmup: Duration::from_millis(send.warmup.into()),
    };
    let open = send.link.open(End::Near)?;
    let outcome = send::run(open, &send.link, &load, send.cpu)?;
    outcome.print(&load)?;
    let Some(path) = &send.json else { return Ok(()) };
    let report = report::of(&outcome, &load, &send.link, send.cpu)?;
    let text = serde_json::to_string(&report)?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Ties this thread to a CPU, where one was named.
fn pin(cpu: Option<usize>) -> Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    anyhow::ensure!(cpu < rustix::thread::CpuSet::MAX_CPU, "--cpu {cpu}: there is no such CPU");
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus)
        .with_context(|| format!("--cpu {cpu}: this process may not run there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(more: &[&str]) -> String {
        match Cli::try_parse_from(["floor", "send"].iter().chain(more)) {
            Ok(_) => panic!("{more:?} was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_link_is_named_and_bounds_are_held() {
        let socket = ["--socket", "/tmp/x"];
        assert!(Cli::try_parse_from(["floor", "send"].iter().chain(&socket)).is_ok());
        assert!(refusal(&[]).contains("--socket"));
        let both = [&socket[..], &["--interface", "sd-cli0"]].concat();
        assert!(refusal(&both).contains("cannot be used with"));
        for (flag, value, bound) in [
            ("--in-flight", "0", "1..=256"),
            ("--in-flight", "257", "1..=256"),
            ("--bytes", "61", "62..=1514"),
            ("--bytes", "1515", "62..=1514"),
            ("--duration", "0", "1..=3600"),
        ] {
            let message = refusal(&[&socket[..], &[flag, value]].concat());
            assert!(message.contains(bound), "{message}");
        }
    }
}
