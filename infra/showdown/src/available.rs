//! What this machine lacks of an experiment: modes that are left out, with the cure.

use crate::commands::new_namespace;
use crate::experiment::{Experiment, Mode};
use crate::reach::Link;
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Takes out of an experiment the modes that cannot be measured here, and says of each why, and
/// what cures it.
///
/// Only what may be lacking by right is left out: `server-dpdk`, which is not built where DPDK is
/// not installed, and modes on shared memory where the conformance suite cannot be brought to
/// them. Anything else that is missing ends the run elsewhere.
///
/// # Errors
/// Where the baseline is among them.
pub(crate) fn retain(experiment: &mut Experiment, bin_dir: &Path) -> Result<Vec<String>> {
    let mut lacking = Vec::new();
    if experiment.axes.mode.contains(&Mode::Dpdk) && !bin_dir.join("server-dpdk").is_file() {
        lacking.push((Mode::Dpdk, NO_DPDK.to_owned()));
    }
    let is_lacking = |mode: &Mode| lacking.iter().any(|(lacks, _)| lacks == mode);
    let modes = experiment.axes.mode.iter().copied();
    let on_memif: Vec<Mode> =
        modes.filter(|mode| mode.links().contains(&Link::Memif) && !is_lacking(mode)).collect();
    if !on_memif.is_empty()
        && let Err(why) = tap_can_be_made()
    {
        lacking.extend(on_memif.into_iter().map(|mode| (mode, why.clone())));
    }
    experiment.axes.mode.retain(|mode| lacking.iter().all(|(lacks, _)| lacks != mode));
    let baseline = experiment.baseline;
    if let Some((_, why)) = lacking.iter().find(|(mode, _)| *mode == baseline) {
        ensure!(false, "the baseline {baseline} cannot be measured here: {why}");
    }
    Ok(lacking.into_iter().map(|(mode, why)| format!("{mode}: {why}")).collect())
}

const NO_DPDK: &str = "server-dpdk is not built; cure: apt-get install libdpdk-dev pkg-config, \
                       then cargo build --release --package server-dpdk";

/// Whether a TAP interface can be made in a namespace of our own, or why not, with the cure. No
/// figure is shown of a server that the suite has not examined.
fn tap_can_be_made() -> Result<(), String> {
    let mut command = new_namespace();
    // Opening it is what needs permission; an interface is made by what follows.
    command.extend(["sh", "-c", "exec 3<>/dev/net/tun"].map(str::to_owned));
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        format!("unshare cannot be started ({error}); cure: apt-get install util-linux")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(refusal(&String::from_utf8_lossy(&output.stderr)))
}

/// What the kernel refused, told from what was written to standard error.
fn refusal(stderr: &str) -> String {
    let said = stderr.trim();
    let why = "its server cannot be examined";
    if said.contains("/dev/net/tun") {
        return format!(
            "{why}, because /dev/net/tun cannot be opened ({said}); cure, as root: \
             modprobe tun && chmod 666 /dev/net/tun"
        );
    }
    format!(
        "{why}, because users may not make namespaces here ({said}); to allow it, as root: \
         sysctl user.max_user_namespaces=10000, and, where the kernel has them, \
         kernel.unprivileged_userns_clone=1 (Debian) and \
         kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        let mut experiment = Experiment::load("bypass-both-ends").unwrap();
        // Whether memif can be examined depends on the machine of the test.
        experiment.axes.mode.retain(|mode| *mode != Mode::Memif);
        experiment
    }

    #[test]
    fn a_server_of_dpdk_that_is_not_built_is_left_out_with_the_cure() {
        let mut experiment = experiment();
        let left_out = retain(&mut experiment, Path::new("/nonexistent")).unwrap();
        assert_eq!(left_out, [format!("dpdk: {NO_DPDK}")]);
        assert!(!experiment.axes.mode.contains(&Mode::Dpdk));
        assert!(experiment.axes.mode.contains(&Mode::Xdp), "the others stay");
    }

    #[test]
    fn a_baseline_that_is_lacking_ends_the_run() {
        let mut experiment = experiment();
        experiment.baseline = Mode::Dpdk;
        let error = retain(&mut experiment, Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("baseline dpdk cannot be measured here"), "{error}");
    }

    #[test]
    fn what_was_refused_is_told_with_its_own_cure() {
        let tun = refusal("sh: 1: cannot open /dev/net/tun: Permission denied\n");
        assert!(tun.contains("modprobe tun") && tun.contains("Permission denied"), "{tun}");
        let user = refusal("unshare: unshare failed: Operation not permitted\n");
        assert!(user.contains("kernel.unprivileged_userns_clone=1"), "{user}");
    }
}
