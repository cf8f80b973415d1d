//! Developer chores: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask e2e`.
//!
//! `ci` is the one place where the project's checks are listed; `infra/test.sh` installs what
//! they need and calls it. `tidy` holds the rules that no compiler checks: the direction of
//! dependencies, where `unsafe` may be, budgets, licences. `e2e` builds every server and drives
//! it over a veth pair.
//!
//! What it deliberately does not do: install anything, or run experiments (`showdown` does).
#![forbid(unsafe_code)]

mod ci;
mod e2e;
mod tidy;
mod tree;

use anyhow::Result;
use clap::{Parser, Subcommand};
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
}

fn main() -> Result<ExitCode> {
    let ok = match Cli::parse().chore {
        Chore::Ci { only } => ci::run(&only)?,
        Chore::Tidy => tidy::run()?,
        Chore::E2e { filter } => e2e::run(filter.as_deref())?,
    };
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
