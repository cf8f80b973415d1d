//! Fuzzes `server-http`, or the stack, with coverage, on the stable compiler.
//!
//! The instrumentation is LLVM's: `rustc` runs its `sancov-module` pass when told to, which puts
//! a counter on each edge of the program. The program that reads the counters is
//! `server-http-fuzz`, which see.

use crate::tree;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::Command;

/// A counter of one byte on each edge, critical edges split.
const INSTRUMENTATION: [&str; 3] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
];

/// The targets of `stack-fuzz`; all others are those of `server-http-fuzz`.
const STACK_TARGETS: [&str; 2] = ["engine_frames", "tcp_segments"];

/// The package whose program knows the target that `arguments` name.
fn package(arguments: &[OsString]) -> &'static str {
    let is_stack = |argument: &OsString| STACK_TARGETS.iter().any(|target| argument == target);
    if arguments.iter().any(is_stack) { "stack-fuzz" } else { "server-http-fuzz" }
}

/// Builds the fuzz targets with instrumentation, in a folder of their own, and runs them with
/// `arguments`; true where nothing was found.
///
/// # Errors
/// Where cargo or rustc cannot be started.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
    let root = tree::root();
    let mut command = tree::cargo();
    command.args(["run", "--quiet", "--locked", "--profile", "fuzz"]);
    command.args(["--package", package(arguments), "--target-dir"]).arg(root.join("target/fuzz"));
    // With a target named, build scripts and procedural macros are compiled without the flags.
    command.args(["--target", &host()?, "--"]).args(arguments);
    command.env("RUSTFLAGS", INSTRUMENTATION.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    Ok(status.success())
}

/// The triple that the compiler builds for by default.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc).arg("-vV").current_dir(tree::root()).output();
    let output = output.with_context(|| format!("cannot start {}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_run_by_the_package_that_has_it() {
        let package = |name: &str| package(&[name.into(), "--runs".into(), "5".into()]);
        assert_eq!(package("chunked"), "server-http-fuzz");
        assert_eq!(package("tcp_segments"), "stack-fuzz");
    }

    #[test]
    fn the_host_is_a_triple() -> Result<()> {
        let host = host()?;
        assert!(host.split('-').count() >= 3, "{host}");
        Ok(())
    }
}
