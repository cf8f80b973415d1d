//! Runs the seeded worlds of `stack/engine/tests/worlds`, optimised, with every assertion.

use crate::tree;
use anyhow::{Context, Result};
use clap::Args;

/// Which worlds to run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only worlds whose kind contains this, such as native_native; all kinds without it
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// How many seeds of each kind [default: 10000, or 1 with --seed]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Seeds that are run if nobody says how many.
const SEEDS: u64 = 10_000;

impl Arguments {
    /// The first seed, and how many.
    fn range(&self) -> (u64, u64) {
        let count = if self.seed.is_some() { 1 } else { SEEDS };
        (self.seed.unwrap_or(0), self.seeds.unwrap_or(count))
    }
}

/// Builds the worlds and runs them; true where all that is asked of them holds.
///
/// # Errors
/// Where cargo cannot be started.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let (first, count) = arguments.range();
    let mut command = tree::cargo();
    // As fast as what is released, with overflow checks and debug assertions.
    command.args(["test", "--quiet", "--locked", "--profile", "fuzz"]);
    command.args(["--package", "engine", "--test", "worlds", "--", "--nocapture"]);
    command.args(&arguments.kind);
    command.env("SIM_SEED", first.to_string()).env("SIM_SEEDS", count.to_string());
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_repeated_and_many_are_run_from_the_first() {
        let range = |seeds, seed| Arguments { kind: None, seeds, seed }.range();
        assert_eq!(range(None, None), (0, SEEDS));
        assert_eq!(range(None, Some(17)), (17, 1));
        assert_eq!(range(Some(5), None), (0, 5));
        assert_eq!(range(Some(5), Some(17)), (17, 5));
    }
}
