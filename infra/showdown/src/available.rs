//! What this machine lacks of an experiment: modes that are left out, with the cure.

use crate::commands::new_namespace;
use crate::contender::{self, Site};
use crate::experiment::{Experiment, Mode, Step};
use crate::process::Events;
use crate::reach::{Link, Transport};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Takes out of an experiment the modes that cannot be measured here, and says of each why, and
/// what cures it.
///
/// Only what may be lacking by right is left out: `server-dpdk` and the generator's transport
/// `dpdk`, which are not built where DPDK is not installed, and modes on shared memory where the
/// conformance suite cannot be brought to them. Anything else that is missing ends the run
/// elsewhere.
///
/// # Errors
/// Where the baseline is among them, or the only transport.
pub(crate) fn retain(experiment: &mut Experiment, bin_dir: &Path) -> Result<Vec<String>> {
    let mut lacking = Vec::new();
    let has_memif = experiment.topology.links().contains(&Link::Memif);
    if has_memif
        && experiment.axes.mode.contains(&Mode::Dpdk)
        && !bin_dir.join("server-dpdk").is_file()
    {
        lacking.push((Mode::Dpdk, NO_DPDK.to_owned()));
    }
    let is_lacking = |mode: &Mode| lacking.iter().any(|(lacks, _)| lacks == mode);
    let in_axes = experiment.axes.mode.iter().copied();
    let modes: BTreeSet<Mode> =
        in_axes.chain(experiment.steps.iter().map(|step| step.mode)).collect();
    let on_memif: Vec<Mode> = modes
        .into_iter()
        .filter(|mode| has_memif && mode.links().contains(&Link::Memif) && !is_lacking(mode))
        .collect();
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
    let mut left_out: Vec<String> =
        lacking.iter().map(|(mode, why)| format!("{mode}: {why}")).collect();
    let loadgen = bin_dir.join("loadgen");
    // A generator that is not there is missed elsewhere.
    let asks = experiment.axes.transport.contains(&Transport::Dpdk) && loadgen.is_file();
    if asks && !has_dpdk(&loadgen)? {
        left_out.push(retain_transports(experiment)?);
    }
    left_out.extend(retain_contenders(experiment, bin_dir));
    check_server_args(experiment, bin_dir)?;
    left_out.extend(retain_steps(experiment, &lacking)?);
    Ok(left_out)
}

/// Builds the programs of contenders that are not there and say how they are built, and takes out
/// those for which that fails, with a sentence for each.
///
/// # Errors
/// [`crate::process::Interrupted`].
pub(crate) fn build_contenders(
    experiment: &mut Experiment,
    bin_dir: &Path,
    events: &Events,
) -> Result<Vec<String>> {
    contender::build_missing(&mut experiment.contenders, &site(bin_dir), events)
}

/// What whether a contender's program is there depends on: nothing of where it shall run.
fn site(bin_dir: &Path) -> Site {
    // From where we are, if possible: sentences with the path are kept, and copied into shells.
    let here = std::env::current_dir().unwrap_or_default();
    let bin = bin_dir.strip_prefix(here).unwrap_or(bin_dir).to_owned();
    Site { host: String::new(), port: 0, cpu: 0, dir: PathBuf::new(), bin }
}

/// Takes out the contenders whose programs are not there.
fn retain_contenders(experiment: &mut Experiment, bin_dir: &Path) -> Vec<String> {
    let site = site(bin_dir);
    // Several are often cured by one command.
    let mut lacking: Vec<(String, Vec<String>)> = Vec::new();
    experiment.contenders.retain(|contender| {
        let Some(why) = contender.lacks(&site) else { return true };
        match lacking.iter_mut().find(|(other, _)| *other == why) {
            Some((_, names)) => names.push(contender.name.clone()),
            None => lacking.push((why, vec![contender.name.clone()])),
        }
        false
    });
    let sentence = |(why, names): (String, Vec<String>)| format!("{}: {why}", names.join(", "));
    lacking.into_iter().map(sentence).collect()
}

/// Takes out the transport `dpdk`, which the load generator was built without.
fn retain_transports(experiment: &mut Experiment) -> Result<String> {
    let transports = &mut experiment.axes.transport;
    transports.retain(|transport| *transport != Transport::Dpdk);
    let left_out = format!("transport dpdk: {NO_DPDK_TRANSPORT}");
    ensure!(!transports.is_empty(), "nothing can be measured here: {left_out}");
    Ok(left_out)
}

/// Whether the generator was built with DPDK. One that was not says so before it looks at what
/// else is missing on its command line, where `--eal` is; neither sends anything.
fn has_dpdk(loadgen: &Path) -> Result<bool> {
    let mut command = Command::new(loadgen);
    command.args(["--transport", "dpdk", "http://198.18.0.1/"]).stdin(Stdio::null());
    let output = command.output();
    let output = output.with_context(|| format!("{} cannot be started", loadgen.display()))?;
    Ok(!String::from_utf8_lossy(&output.stderr).contains("built without DPDK"))
}

/// Takes out the steps whose modes are lacking.
fn retain_steps(experiment: &mut Experiment, lacking: &[(Mode, String)]) -> Result<Vec<String>> {
    let why = |step: &Step| lacking.iter().find(|(mode, _)| *mode == step.mode);
    if let Some((first, (_, why))) =
        experiment.steps.first().and_then(|step| Some((step, why(step)?)))
    {
        ensure!(false, "the first step '{}' cannot be measured here: {why}", first.name);
    }
    let mut left_out = Vec::new();
    experiment.steps.retain(|step| {
        let lacks = why(step);
        left_out.extend(lacks.map(|(_, why)| format!("{}: {why}", step.name)));
        lacks.is_none()
    });
    Ok(left_out)
}

/// Checks that the servers have the flags that steps give them. A server that is not there is
/// missed elsewhere.
fn check_server_args(experiment: &Experiment, bin_dir: &Path) -> Result<()> {
    for step in experiment.steps.iter().filter(|step| !step.server_args.is_empty()) {
        let server = bin_dir.join(format!("server-{}", step.mode));
        if !server.is_file() {
            continue;
        }
        let output = Command::new(&server).arg("--help").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{} cannot be started", server.display()))?;
        let help = String::from_utf8_lossy(&output.stdout);
        for flag in step.flags() {
            ensure!(
                has_flag(&help, flag),
                "the step '{}' gives server-{} the flag {flag}, which it does not have: \
                 'server-{} --help' lists those that it has",
                step.name,
                step.mode,
                step.mode
            );
        }
    }
    Ok(())
}

/// Whether a text of help names a flag, and not only a longer one that begins like it.
fn has_flag(help: &str, flag: &str) -> bool {
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let words = help.split(|c: char| is_end(c));
    words.into_iter().any(|word| word == flag)
}

const NO_DPDK: &str = "server-dpdk is not built; cure: apt-get install libdpdk-dev pkg-config, \
                       then cargo build --release --package server-dpdk";

const NO_DPDK_TRANSPORT: &str = "this loadgen is built without DPDK; cure: apt-get install \
                                 libdpdk-dev pkg-config, then cargo build --release --package \
                                 loadgen --features dpdk";

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
    use crate::contender::Contender;

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
    fn contenders_that_are_not_there_are_left_out_together_where_one_command_cures_it() {
        let mut experiment = Experiment::load("loopback").unwrap();
        let mut add = |entry: &str, build: Option<&str>| {
            let mut contender = Contender::named(entry).unwrap().remove(0);
            contender.build = build.map(|build| build.parse().unwrap());
            experiment.contenders.push(contender);
        };
        add("one={bin}/one", Some("make"));
        add("shell=sh -c x", None);
        add("two={bin}/two", Some("make"));
        let left_out = retain(&mut experiment, Path::new("/nonexistent")).unwrap();
        assert_eq!(left_out, ["one, two: not built; cure: make"]);
        let names: Vec<&str> = experiment.contenders.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["shell"]);
    }

    #[test]
    fn a_step_whose_mode_is_lacking_is_left_out_unless_it_is_the_first() {
        let lacking = [(Mode::Uring, "why".to_owned())];
        let mut experiment = Experiment::load("waterfall").unwrap();
        let before = experiment.steps.len();
        let left_out = retain_steps(&mut experiment, &lacking).unwrap();
        assert_eq!(left_out, ["io_uring: why"]);
        assert_eq!(experiment.steps.len(), before - 1);
        experiment.steps[0].mode = Mode::Uring;
        let error = retain_steps(&mut experiment, &lacking).unwrap_err().to_string();
        assert!(error.contains("the first step 'blocking epoll' cannot be measured"), "{error}");
    }

    #[test]
    fn a_flag_is_told_from_a_longer_one() {
        let help = "      --steer <HOW>  which thread\n  -q, --quick-ack\n";
        assert!(has_flag(help, "--steer") && has_flag(help, "--quick-ack") && has_flag(help, "-q"));
        assert!(!has_flag(help, "--quick") && !has_flag(help, "--steering"));
    }

    #[test]
    fn a_baseline_that_is_lacking_ends_the_run() {
        let mut experiment = experiment();
        experiment.baseline = Mode::Dpdk;
        let error = retain(&mut experiment, Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("baseline dpdk cannot be measured here"), "{error}");
    }

    #[test]
    fn a_transport_that_the_generator_is_built_without_is_left_out_unless_it_is_the_only_one() {
        let with = |transports: &[Transport]| {
            let mut experiment = experiment();
            experiment.axes.transport = transports.to_vec();
            experiment
        };
        let mut experiment = with(&[Transport::Epoll, Transport::Dpdk]);
        let left_out = retain_transports(&mut experiment).unwrap();
        assert_eq!(left_out, format!("transport dpdk: {NO_DPDK_TRANSPORT}"));
        assert_eq!(experiment.axes.transport, [Transport::Epoll]);
        let error = retain_transports(&mut with(&[Transport::Dpdk])).unwrap_err().to_string();
        assert!(error.contains("nothing can be measured here: transport dpdk"), "{error}");
    }

    #[test]
    fn what_was_refused_is_told_with_its_own_cure() {
        let tun = refusal("sh: 1: cannot open /dev/net/tun: Permission denied\n");
        assert!(tun.contains("modprobe tun") && tun.contains("Permission denied"), "{tun}");
        let user = refusal("unshare: unshare failed: Operation not permitted\n");
        assert!(user.contains("kernel.unprivileged_userns_clone=1"), "{user}");
    }
}
