//! The local topology, through the same script that is run by hand.

use crate::hosts::End;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The script, part of the program so that the binary stands alone.
const SCRIPT: &str = include_str!("../../scripts/topology.sh");

/// Where the script notes what it made.
const STATE_FOLDER: &str = "/run/showdown";

/// Exit statuses of `topology.sh status`.
const STATUS_UP: i32 = 0;
const STATUS_DOWN: i32 = 3;
const STATUS_PARTIAL: i32 = 4;

/// Names of namespaces and interfaces, which begin with a common prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: String,
    /// Namespace of the servers.
    pub(crate) server_namespace: String,
    /// Namespace of the generator.
    pub(crate) client_namespace: String,
    /// The servers' end of the veth pair.
    pub(crate) server_interface: String,
    /// The generator's end.
    pub(crate) client_interface: String,
}

impl Names {
    /// The names that begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            server_namespace: format!("{prefix}-server"),
            client_namespace: format!("{prefix}-client"),
            server_interface: format!("{prefix}-srv0"),
            client_interface: format!("{prefix}-cli0"),
        }
    }

    /// The namespace of an end.
    pub(crate) fn namespace(&self, end: End) -> &str {
        match end {
            End::Server => &self.server_namespace,
            End::Client => &self.client_namespace,
        }
    }

    /// The interface of an end.
    pub(crate) fn interface(&self, end: End) -> &str {
        match end {
            End::Server => &self.server_interface,
            End::Client => &self.client_interface,
        }
    }

    /// The names that `SHOWDOWN_PREFIX` asks for, as the script reads it.
    pub(crate) fn from_environment() -> Self {
        Self::new(&std::env::var("SHOWDOWN_PREFIX").unwrap_or_else(|_| "sd".to_owned()))
    }
}

/// A topology that is up. Dropping it takes it down, unless it was up before.
pub(crate) struct Topology {
    names: Names,
    ours: bool,
    log: String,
    /// Held so that two runs do not share one topology; a run that is gone holds it no longer.
    _lock: File,
}

impl Topology {
    /// Brings it up, or checks and completes the one that is there.
    ///
    /// # Errors
    /// A sentence where another run holds it, and what the script says where it fails.
    pub(crate) fn bring_up(names: &Names) -> Result<Self> {
        let lock = lock(names)?;
        let state = run(names, "status")?;
        // One that a run brought up while nobody holds the lock was left by a run that was killed.
        let ours = match state.status.code() {
            Some(STATUS_UP) => is_left_by_a_run(names)?,
            Some(STATUS_DOWN | STATUS_PARTIAL) => true,
            _ => bail!("the topology's state is unknown:\n{}", state.text.trim()),
        };
        // Built before the script runs, so that a failure or a signal takes down what it made.
        let mut topology = Self { names: names.clone(), ours, log: String::new(), _lock: lock };
        let up = run(names, "up")?;
        ensure!(up.status.success(), "the topology cannot be brought up:\n{}", up.text.trim());
        topology.log = up.text;
        Ok(topology)
    }

    /// The commands that brought it up.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Takes it down now, unless it was up before, and says what went wrong where dropping could
    /// only print it.
    ///
    /// # Errors
    /// What the script says where it fails.
    pub(crate) fn take_down(mut self) -> Result<()> {
        self.down()
    }

    fn down(&mut self) -> Result<()> {
        if std::mem::take(&mut self.ours) {
            let down = run(&self.names, "down")?;
            let text = down.text.trim();
            ensure!(
                down.status.success(),
                "the topology cannot be taken down; cure: showdown topology down\n{text}"
            );
        }
        Ok(())
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            eprintln!("showdown: {error:#}");
        }
    }
}

/// Runs the script for the user: on this terminal, with these arguments.
///
/// # Errors
/// Where bash cannot be started.
pub(crate) fn run_for_user(arguments: &[&str]) -> Result<ExitStatus> {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "topology.sh"]).args(arguments).stdin(Stdio::null());
    command.status().context("bash cannot be started")
}

struct Output {
    status: ExitStatus,
    text: String,
}

/// Runs it to its end, out of reach of Ctrl-C: half a topology would be worse than a late answer.
fn run(names: &Names, verb: &str) -> Result<Output> {
    let output = Command::new("bash")
        .args(["-c", SCRIPT, "topology.sh", verb])
        .env("SHOWDOWN_PREFIX", &names.prefix)
        .env("SHOWDOWN_OWNER", "run")
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .context("bash cannot be started")?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Output { status: output.status, text })
}

fn is_left_by_a_run(names: &Names) -> Result<bool> {
    let path = state_path(names, "topology");
    let state =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(state.lines().any(|line| line == "owner run"))
}

fn state_path(names: &Names, extension: &str) -> PathBuf {
    PathBuf::from(STATE_FOLDER).join(format!("{}.{extension}", names.prefix))
}

fn lock(names: &Names) -> Result<File> {
    let path = state_path(names, "lock");
    let open = || -> io::Result<File> {
        fs::create_dir_all(STATE_FOLDER)?;
        File::options().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another run uses the topology '{}': wait for its end, or set SHOWDOWN_PREFIX to \
             another name",
            names.prefix
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_the_names_that_this_program_uses() {
        let output = Command::new("bash")
            .args(["-c", SCRIPT, "topology.sh", "up", "--dry-run"])
            .env("SHOWDOWN_PREFIX", "abc")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        let names = Names::new("abc");
        for name in [
            &names.server_namespace,
            &names.client_namespace,
            &names.server_interface,
            &names.client_interface,
        ] {
            assert!(text.contains(name.as_str()), "{name} is not in:\n{text}");
        }
    }

    #[test]
    fn wrong_use_of_the_script_is_refused() {
        let check = |prefix: &str, arguments: &[&str], code: i32| {
            let output = Command::new("bash")
                .args(["-c", SCRIPT, "topology.sh"])
                .args(arguments)
                .env("SHOWDOWN_PREFIX", prefix)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(code), "{prefix} {arguments:?}: {output:?}");
        };
        check("sd", &[], 2);
        check("sd", &["up", "down"], 2);
        check("sd", &["sideways"], 2);
        check("Upper", &["up", "--dry-run"], 1);
        check("elevenchars", &["up", "--dry-run"], 1);
    }
}
