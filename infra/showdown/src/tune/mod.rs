//! `showdown tune`: settings of the machine, applied as a profile and undone exactly.
//!
//! ```text
//! profile ──► steps ──► change ──► target (a file, ethtool)
//!  (file)                  └─────► journal: the old value, on the disk before each change
//! ```
//!
//! What it deliberately does not do: what outlives the next boot, what loads or removes modules,
//! and what ends programs; such things it tells.

mod change;
mod journal;
mod profile;
mod target;
#[cfg(test)]
mod tests;

use crate::doctor::text::hanging;
use crate::machine::{Machine, network};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use journal::Place;
use profile::{Profile, Step};
use std::path::PathBuf;

/// Where old values are kept: what does not outlive a boot lies where nothing does.
const DEFAULT_STATE: &str = "/run/showdown-tune/journal";

/// What to do with profiles.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the profiles that come with this program
    List,
    /// Show what a profile sets, beside what is set now; without one, what is applied
    Show {
        /// Name of a profile (see 'showdown tune list'), or path of a .toml file
        #[arg(value_name = "PROFILE|FILE")]
        profile: Option<String>,
        /// The interface that it would set
        #[arg(long, value_name = "IF")]
        interface: Option<String>,
        #[command(flatten)]
        state: State,
    },
    /// Set what a profile says, or nothing; every old value is on the disk before it is changed
    Apply {
        /// Name of a profile (see 'showdown tune list'), or path of a .toml file
        #[arg(value_name = "PROFILE|FILE")]
        profile: String,
        /// The interface to set; one that carries the default route must be named
        #[arg(long, value_name = "IF")]
        interface: Option<String>,
        /// Print the changes and make none
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        state: State,
    },
    /// Give everything its old value back, also after a crash in the middle of apply or revert
    Revert {
        /// Also what somebody else has changed since
        #[arg(long)]
        force: bool,
        /// Print what would be restored and restore nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        state: State,
    },
}

/// Where old values are kept.
#[derive(Args)]
pub(crate) struct State {
    /// Keep the old values in this file
    #[arg(long = "state", value_name = "FILE", default_value = DEFAULT_STATE)]
    file: PathBuf,
}

impl State {
    /// The command that undoes what is kept here.
    fn revert(&self) -> String {
        if self.file.as_os_str() == DEFAULT_STATE {
            return "showdown tune revert".to_owned();
        }
        format!("showdown tune revert --state {}", self.file.display())
    }
}

/// Runs the command and returns what is to be printed.
///
/// # Errors
/// A sentence with cause and cure.
pub(crate) fn run(command: Command) -> Result<String> {
    let machine = Machine::this();
    match command {
        Command::List => list(),
        Command::Show { profile: Some(name), interface, .. } => {
            let profile = Profile::load(&name)?;
            let interface = choose(&machine, &profile, interface, true)?;
            Ok(show(&machine, &profile, interface.as_deref()))
        }
        Command::Show { profile: None, state, .. } => applied(&state),
        Command::Apply { profile, interface, dry_run, state } => {
            let profile = Profile::load(&profile)?;
            let interface = choose(&machine, &profile, interface, false)?;
            if dry_run {
                return Ok(show(&machine, &profile, interface.as_deref()));
            }
            let place = Place::take(&state.file)?;
            let mut log = change::apply(&machine, &profile, interface.as_deref(), &place)?;
            log.push(if state.file.exists() {
                format!("applied: {}; to undo it: {}", profile.name, state.revert())
            } else {
                format!("{}: nothing to change here", profile.name)
            });
            log.extend(advice(&machine, &profile));
            Ok(lines(&log))
        }
        Command::Revert { dry_run: true, state, .. } => applied(&state),
        Command::Revert { force, state, .. } => {
            Ok(lines(&change::undo(&machine, &Place::take(&state.file)?, force)?))
        }
    }
}

fn lines(log: &[String]) -> String {
    log.iter().map(|line| format!("{line}\n")).collect()
}

fn list() -> Result<String> {
    let mut text = String::new();
    for name in Profile::shipped() {
        text.push_str(&format!("{name:<16} {}\n", Profile::load(name)?.summary));
    }
    Ok(text)
}

/// The interface that a profile is applied to: the one that was named, or the only device that
/// does not carry the default route. To look at, any only device will do.
///
/// # Errors
/// Where there is none, or more than one.
fn choose(
    machine: &Machine,
    profile: &Profile,
    named: Option<String>,
    only_to_look: bool,
) -> Result<Option<String>> {
    if let Some(name) = named {
        network::check(machine, &name)?;
        return Ok(Some(name));
    }
    if !profile.needs_interface() {
        return Ok(None);
    }
    let devices = network::devices(machine);
    let of_route = network::of_default_route(machine);
    let free: Vec<&String> = devices.iter().filter(|name| !of_route.contains(name)).collect();
    match (&free[..], &devices[..]) {
        ([one], _) => Ok(Some((*one).clone())),
        ([], [one]) if only_to_look => Ok(Some(one.clone())),
        ([], [one, ..]) => bail!(
            "profile '{}' sets an interface, and {one} carries the default route: a login over it \
             could be cut; if that is meant: --interface {one}",
            profile.name
        ),
        ([], []) => bail!(
            "profile '{}' sets an interface, and there is no device; name one with --interface: {}",
            profile.name,
            network::interfaces(machine).join(", ")
        ),
        _ => bail!(
            "profile '{}' sets an interface; name one with --interface: {}",
            profile.name,
            devices.join(", ")
        ),
    }
}

/// What a profile sets, beside what is set now.
fn show(machine: &Machine, profile: &Profile, interface: Option<&str>) -> String {
    let mut text = hanging(&format!("{:<11}", format!("{}: ", profile.name)), &profile.summary);
    text.push_str(&hanging("source:    ", &profile.source));
    if let Some(interface) = interface {
        text.push_str(&format!("interface: {interface}\n"));
    }
    for setting in &profile.settings {
        text.push('\n');
        if change::is_left_out(machine, setting, interface) {
            text.push_str(&format!("{}: left out: no device on a bus\n", setting.name()));
        } else {
            match setting.steps(machine, interface) {
                Ok(steps) => text.extend(steps.iter().map(|step| show_step(machine, step))),
                Err(error) => text.push_str(&format!("{}: {error:#}\n", setting.name())),
            }
        }
        let optional = if setting.optional { " (optional)" } else { "" };
        text.push_str(&hanging("    ", &format!("{}{optional}", setting.why)));
    }
    let advice = advice(machine, profile);
    if !advice.is_empty() {
        text.push_str(&format!("\n{}", lines(&advice)));
    }
    text
}

fn show_step(machine: &Machine, Step { target, wanted }: &Step) -> String {
    match target.read(machine) {
        None => format!("{target}: this machine has no such setting, wanted {wanted}\n"),
        Some(now) if target.is_in_force(&now, wanted) => format!("{target}: {now}, as wanted\n"),
        Some(now) => format!("{target}: {now}, wanted {wanted}\n"),
    }
}

fn advice(machine: &Machine, profile: &Profile) -> Vec<String> {
    let here = profile.advice_here(machine);
    here.map(|advice| {
        let why = hanging("    ", &advice.why);
        format!("to do yourself: {}\n{}", advice.command, why.trim_end())
    })
    .collect()
}

/// What is applied, from the journal.
fn applied(state: &State) -> Result<String> {
    if !state.file.exists() {
        return Ok("nothing is applied\n".to_owned());
    }
    let Some(record) = Place::take(&state.file)?.read()? else {
        return Ok("nothing is applied\n".to_owned());
    };
    let how = if record.is_complete { "is applied" } else { "was applied in part" };
    let on = record.header.interface.map_or_else(String::new, |name| format!(" to {name}"));
    let mut text = format!(
        "profile '{}' {how}{on}; showdown tune revert would restore:\n",
        record.header.profile
    );
    for entry in record.entries.iter().rev() {
        text.push_str(&format!("{}: {}\n", entry.target, entry.before));
    }
    Ok(text)
}
