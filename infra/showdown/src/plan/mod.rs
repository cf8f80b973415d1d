//! What an experiment would run: `showdown list` and `showdown plan`.
//!
//! What it deliberately does not do: start anything but the commands that tell whether this machine
//! can run it.

use crate::available;
use crate::commands::Load;
use crate::experiment::{Experiment, Network, Overrides};
use crate::hosts::Hosts;
use crate::matrix::{self, Plan, Point};
use crate::probe;
use crate::programs::{Place, Programs, Rendezvous};
use crate::reach;
use crate::run;
use crate::statistics;
use crate::summarise::count_of;
use crate::topology::Names;
use anyhow::Result;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rounds whose order is shown.
const ROUNDS_SHOWN: u32 = 3;
/// In the place of the port of loopback, which is one that is free when the run begins.
const LOOPBACK_PORT: u16 = 8080;

/// A line for each experiment that comes with the program.
///
/// # Errors
/// Where one of them is wrong.
pub(crate) fn list() -> Result<String> {
    let mut text = format!(
        "{:<17} {:>5} {:>8} {:>8}  {}\n",
        "experiment", "cells", "time", "--quick", "question"
    );
    for name in Experiment::shipped() {
        let experiment = Experiment::load(name)?;
        let quick = Overrides { quick: true, ..Overrides::default() };
        let cells = matrix::expand(&experiment, reach::open_files())?.points.len();
        let time = minutes(run::estimate_s(&experiment)?);
        let quick = minutes(run::estimate_s(&Experiment::load(name)?.with(&quick)?)?);
        // Writing to a String cannot fail.
        let question = &experiment.question;
        let _ = writeln!(text, "{name:<17} {cells:>5} {time:>8} {quick:>8}  {question}");
    }
    text.push_str("\nshowdown plan NAME says what one would run.\n");
    Ok(text)
}

/// `12 min`, or `48 s` where it is less than two minutes.
fn minutes(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Everything that a run would do, in words and command lines.
///
/// # Errors
/// As a run: where the baseline cannot be measured here, or nothing is left.
pub(crate) fn describe(mut experiment: Experiment, bin_dir: PathBuf) -> Result<String> {
    let mut left_out = Vec::new();
    let hosts = Hosts::take(&mut experiment, &mut left_out)?;
    left_out.extend(available::retain(&mut experiment, &bin_dir)?);
    let Plan { points, left_out: impossible } = matrix::expand(&experiment, reach::open_files())?;
    left_out.extend(impossible);
    let (client_cpu, server_cpu) = run::cpus(hosts.as_ref())?;
    let network = match (hosts, experiment.topology) {
        (Some(hosts), _) => Place::Hosts(Box::new(hosts)),
        (None, Network::Veth) => Place::Veth(Names::from_environment()),
        // Without hosts there is no topology of hosts.
        (None, Network::Loopback | Network::Hosts) => Place::Loopback(LOOPBACK_PORT),
    };
    let rendezvous = Rendezvous::planned();
    let programs = Programs { folder: bin_dir, server_cpu, client_cpu, network, rendezvous };
    let mut text = String::new();
    let labels: Vec<String> =
        points.iter().map(|point| matrix::label(&point.cell, &experiment)).collect();
    head(&mut text, &experiment, points.len())?;
    for command in programs.connect_commands() {
        let _ = writeln!(text, "  first:    {}", in_words(&command));
    }
    let steps = matrix::steps(&experiment, &points);
    if !steps.is_empty() {
        let names: Vec<&str> = steps.iter().map(|(step, _)| step.name.as_str()).collect();
        let _ = writeln!(text, "Steps: {}.", names.join(" → "));
    }
    for (point, label) in points.iter().zip(&labels) {
        cell(&mut text, point, label, &labels[point.baseline], &experiment, &programs);
    }
    order(&mut text, &experiment, &labels);
    if !left_out.is_empty() {
        text.push_str("\nLeft out:\n");
        for sentence in &left_out {
            let _ = writeln!(text, "  {sentence}");
        }
    }
    if points.iter().any(probe::may_be_refused) {
        text.push_str(
            "\nWhether the kernel polls the interface is asked when the run begins; cells whose \
             server refuses are left out by name.\n",
        );
    }
    Ok(text)
}

fn head(text: &mut String, experiment: &Experiment, cells: usize) -> Result<()> {
    let Experiment { name, question, hypothesis, effort, .. } = experiment;
    let _ = writeln!(text, "{name}: {question}\nExpected: {hypothesis}\n");
    let _ = writeln!(
        text,
        "{}, {} of {} s after {} s of warm-up; about {} in all, no round begun after {}.",
        count_of(cells, "cell"),
        count_of(effort.rounds as usize, "round"),
        effort.duration_s,
        effort.warmup_s,
        minutes(run::estimate_s(experiment)?),
        minutes(f64::from(effort.budget_s)),
    );
    let needs = match experiment.topology {
        Network::Veth => "Needs root: two network namespaces joined by a veth pair.",
        Network::Loopback => "Needs no privilege: loopback.",
        Network::Hosts => "Needs the two hosts; all commands are given on this machine.",
    };
    let _ = writeln!(text, "{needs}");
    Ok(())
}

/// What a cell is, and the commands of both sides.
fn cell(
    text: &mut String,
    point: &Point,
    label: &str,
    baseline: &str,
    experiment: &Experiment,
    programs: &Programs,
) {
    let _ = writeln!(text, "\n{label}");
    if let Some(step) = point.step {
        let step = &experiment.steps[step];
        let client = if step.changes_client { " (another client or link)" } else { "" };
        let _ = writeln!(text, "  step:     {}{client}", step.change);
    }
    if label != baseline {
        let _ = writeln!(text, "  against:  {baseline}");
    }
    let effort = &experiment.effort;
    let load = Load {
        duration_s: effort.duration_s,
        warmup: Duration::from_secs_f64(effort.warmup_s(point.cell.connections)),
        json: Path::new("load.json"),
    };
    let before = programs.offload_commands(point, true).into_iter();
    let setup = programs.setup_commands(point).into_iter();
    for command in before.chain(setup) {
        let _ = writeln!(text, "  before:   {}", in_words(&command));
    }
    let _ = writeln!(text, "  server:   {}", in_words(&programs.server_command(point)));
    let _ = writeln!(text, "  client:   {}", in_words(&programs.client_command(point, load)));
}

/// A command line that a shell would take.
fn in_words(command: &[String]) -> String {
    let quoted = command.iter().map(|word| match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        // Only a NUL cannot be quoted, and no argument has one.
        Err(_) => word.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The order of the first rounds, where it is known.
fn order(text: &mut String, experiment: &Experiment, labels: &[String]) {
    let Some(seed) = experiment.seed else {
        text.push_str(
            "\nOrder: drawn anew for each round, from a seed that the run draws and records; \
             --seed N fixes it.\n",
        );
        return;
    };
    let _ = writeln!(text, "\nOrder with seed {seed}:");
    for round in 1..=experiment.effort.rounds.min(ROUNDS_SHOWN) {
        let order = statistics::order(seed, round, labels.len());
        let order: Vec<&str> = order.into_iter().map(|index| labels[index].as_str()).collect();
        let _ = writeln!(text, "  round {round}: {}", order.join(" | "));
    }
}

#[cfg(test)]
mod tests;
