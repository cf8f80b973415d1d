//! Steps: cells that are named one by one, each a change to the one before it.

use super::axes::{Mode, Network, Tcp, Wait};
use super::{Experiment, is_plain_name};
use crate::reach::{self, Transport};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most flags of its own that a step may give its server.
const SERVER_ARGS_MAX: usize = 64;

/// A step: one server, and what is different from the step before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What it is called in tables.
    pub(crate) name: String,
    /// What is different from the step before, a sentence; of the first, what it starts from.
    pub(crate) change: String,
    /// The server.
    pub(crate) mode: Mode,
    /// Its TCP, where it can choose; without it the first of the axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<Tcp>,
    /// How it waits, where it can choose; without it the first of the axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<Wait>,
    /// How the generator reaches it; without it the first of the axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<Transport>,
    /// Flags of the server beside those that every run gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) server_args: Vec<String>,
    /// Whether system calls and the like are counted while it is measured, which shows what the
    /// counting costs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) counted: bool,
    /// Whether client or link are others than those of the step before, so that its ratio is not
    /// of the server alone.
    #[serde(default)]
    pub(crate) changes_client: bool,
}

impl Step {
    /// The flags among its `server_args`, without their values.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &str> {
        let flags = self.server_args.iter().filter(|word| word.starts_with('-'));
        flags.map(|flag| flag.split('=').next().unwrap_or(flag))
    }

    fn check(&self, experiment: &Experiment) -> Result<()> {
        ensure!(
            is_plain_name(&self.name, " _.+:"),
            "its name is not 1 to 64 letters, digits, spaces and '-', '_', '.', '+', ':'"
        );
        ensure!(!self.change.trim().is_empty(), "change is empty: say what is different");
        ensure!(
            self.tcp.is_none() || self.mode.is_bypass(),
            "mode {} has the kernel's TCP: leave out tcp",
            self.mode
        );
        ensure!(
            self.wait.is_none() || self.mode.has_wait(),
            "mode {} has no choice how to wait: leave out wait",
            self.mode
        );
        ensure!(
            self.server_args.len() <= SERVER_ARGS_MAX,
            "server_args has more than {SERVER_ARGS_MAX} words"
        );
        let transport = self.transport.unwrap_or(experiment.axes.transport[0]);
        // Between hosts a step that cannot be is left out: the experiment was made for one machine.
        ensure!(
            experiment.topology == Network::Hosts
                || reach::links(self.mode, transport, experiment.topology).next().is_some(),
            "mode {} is not reached by the {transport} client over {}",
            self.mode,
            experiment.topology.name()
        );
        // What a run gives every server itself decides where it listens and how it is measured.
        const OURS: [&str; 9] = [
            "--listen",
            "--cpus",
            "--drain-timeout",
            "--service",
            "--tcp",
            "--wait",
            "--interface",
            "--socket",
            "--",
        ];
        for flag in self.flags() {
            ensure!(!OURS.contains(&flag), "{flag} in server_args is the run's to say");
        }
        Ok(())
    }
}

impl Experiment {
    /// Checks the steps, and that the load has one value on each axis: a step is one cell.
    ///
    /// # Errors
    /// A sentence that names the step and what it may have.
    pub(super) fn check_steps(&self) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let axes = &self.axes;
        let lengths = [
            ("connections", axes.connections.len()),
            ("path", axes.path.len()),
            ("payload", axes.payload.len()),
            ("pipeline", axes.pipeline.len()),
            ("rate", axes.rate.len()),
            ("service", axes.service.len()),
            ("offloads", axes.offloads.len()),
        ];
        for (axis, length) in lengths {
            ensure!(
                length <= 1,
                "steps are measured under one load: give the axis {axis} one value, not {length}"
            );
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            step.check(self).with_context(|| format!("in the step '{}'", step.name))?;
            ensure!(names.insert(&step.name), "two steps are called '{}'", step.name);
        }
        Ok(())
    }
}
