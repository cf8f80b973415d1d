//! Developer chores: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask e2e`, `cargo xtask sim`,
//! `cargo xtask fuzz`.
//!
//! `ci` is the one place where the project's checks are listed; `infra/test.sh` installs what
//! they need and calls it. `tidy` holds the rules that no compiler checks: the direction of
//! dependencies, where `unsafe` may be, budgets, licences. `e2e` builds every server and drives
//! it over a veth pair. `sim` runs seeded worlds of hosts on a simulated network. `fuzz` builds
//! the fuzz targets with coverage and runs them.
//!
//! What it deliberately does not do: install anything, or run experiments (`showdown` does).
#![forbid(unsafe_code)]

mod ci;
mod dpdk;
mod e2e;
mod fuzz;
mod sim;
mod tidy;
mod tree;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Developer chores of Showdown
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check, or only those named; the last line counts them
    Ci {
        /// Names of checks to run
        #[arg(value_name = "CHECK", value_enum)]
        only: Vec<ci::Check>,
    },
    /// Check the rules that no compiler checks: dependency edges, unsafe, budgets, licences
    Tidy,
    /// Build the servers and drive each over veth (needs root, ip, ethtool, curl, wrk, h2load)
    E2e {
        /// Run only the tests whose name contains this
        #[arg(value_name = "FILTER")]
        filter: Option<String>,
    },
    /// Run seeded worlds of simulated hosts, more of them than the tests do
    Sim(sim::Arguments),
    /// Fuzz server-http or the stack, guided by coverage; see `cargo xtask fuzz --help`
    #[command(disable_help_flag = true)]
    Fuzz {
        /// Passed on to the program that fuzzes
        #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> Result<ExitCode> {
    let ok = match Cli::parse().chore {
        Chore::Ci { only } => ci::run(&only)?,
        Chore::Tidy => tidy::run()?,
        Chore::E2e { filter } => e2e::run(filter.as_deref())?.ok,
        Chore::Sim(arguments) => sim::run(&arguments)?,
        Chore::Fuzz { arguments } => fuzz::run(&arguments)?,
    };
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
