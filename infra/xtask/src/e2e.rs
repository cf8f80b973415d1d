//! Builds the servers and runs the end-to-end suite against them.

mod workers;

pub(crate) use workers::Outcome;

use crate::{ci, dpdk, tree};
use anyhow::{Context, Result};
use cargo_metadata::Message;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Programs that the suite starts, and the Debian package of each.
const PROGRAMS: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("ping", "iputils-ping"),
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("slowhttptest", "slowhttptest"),
];

/// Why the suite cannot run here, with the cure; None where it can.
pub(crate) fn cannot() -> Option<String> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !ci::is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        return Some(format!("programs are missing: apt-get install {}", missing.join(" ")));
    }
    // Namespaces, veth and AF_XDP need root, or more capabilities than most containers have.
    let probe =
        Command::new("unshare").args(["--net", "--mount", "true"]).stdin(Stdio::null()).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "network namespaces cannot be made ({}): run it as root",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("cannot start unshare ({error}): apt-get install util-linux")),
    }
}

/// Builds what the suite starts, then runs it.
///
/// The profile is the one of the tests: assertions are on, and nothing is built twice.
///
/// # Errors
/// Where it cannot run here, or cargo cannot be started.
pub(crate) fn run(filter: Option<&str>) -> Result<Outcome> {
    if let Some(reason) = cannot() {
        anyhow::bail!("{reason}");
    }
    let missing = dpdk::cannot();
    let which = if missing.is_some() { dpdk::all_others() } else { dpdk::everything() };
    let suite = build(&which)?;
    let is_wanted = |name: &str| {
        filter.is_none_or(|part| name.contains(part))
            && (missing.is_none() || !name.contains("dpdk"))
    };
    let tests = workers::tests(&suite, is_wanted)?;
    anyhow::ensure!(!tests.is_empty(), "no test's name contains {:?}", filter.unwrap_or_default());
    let mut outcome = workers::run(&suite, tests)?;
    if let Some(reason) = missing {
        outcome.skipped.push(format!("server-dpdk, and loadgen over DPDK: {reason}"));
    }
    Ok(outcome)
}

/// Builds the programs and the suite, and says where the suite lies. One command for both: cargo
/// then gives the programs the features that they have in `cargo test`, and builds nothing twice.
fn build(which: &[&str]) -> Result<PathBuf> {
    let mut command = tree::cargo();
    command.args(["build", "--locked", "--bins", "--test", "e2e"]).args(which);
    command.arg("--message-format=json-render-diagnostics");
    command.current_dir(tree::root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    eprintln!("$ {command:?}");
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    anyhow::ensure!(output.status.success(), "what the suite starts, or itself, does not build");
    for message in Message::parse_stream(&output.stdout[..]) {
        if let Message::CompilerArtifact(artifact) = message.context("what cargo says is JSON")?
            && artifact.target.name == "e2e"
            && let Some(suite) = artifact.executable
        {
            return Ok(suite.into());
        }
    }
    anyhow::bail!("cargo built no test of the name e2e")
}
