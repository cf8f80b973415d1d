//! Builds the servers and runs the end-to-end suite against them.

use crate::{ci, dpdk, tree};
use anyhow::{Context, Result};
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
    let probe = Command::new("unshare").args(["--net", "true"]).stdin(Stdio::null()).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "network namespaces cannot be made ({}): run it as root",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("cannot start unshare ({error}): apt-get install util-linux")),
    }
}

/// Builds what the suite starts, then runs it; true where every test passed.
///
/// The profile is the one of the tests: assertions are on, and nothing is built twice.
///
/// # Errors
/// Where it cannot run here, or cargo cannot be started.
pub(crate) fn run(filter: Option<&str>) -> Result<bool> {
    if let Some(reason) = cannot() {
        anyhow::bail!("{reason}");
    }
    let missing = dpdk::cannot();
    let others = dpdk::all_others();
    let which =
        if missing.is_none() { &["--workspace", "--features", dpdk::FEATURE][..] } else { &others };
    let build = [&["build", "--locked", "--bins"][..], which].concat();
    let test = ["test", "--locked", "--package", "e2e", "--no-fail-fast"];
    let skip: &[&str] = if missing.is_some() { &["--", "--skip", "dpdk"] } else { &[] };
    if let Some(reason) = missing {
        eprintln!("SKIPPED: server-dpdk, and loadgen over DPDK: {reason}");
    }
    Ok(cargo(&build)? && cargo(&[&test[..], filter.as_slice(), skip].concat())?)
}

fn cargo(arguments: &[&str]) -> Result<bool> {
    let mut command = tree::cargo();
    command.args(arguments).current_dir(tree::root()).stdin(Stdio::null());
    eprintln!("$ {command:?}");
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    Ok(status.success())
}
