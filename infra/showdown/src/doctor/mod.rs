//! `showdown doctor`: what this machine can do for every technology of the field, and how it is
//! set.
//!
//! ```text
//! machine ──► bypass, kernel, network, cpu, limits ──► rows ──► text, or JSON
//! ```
//!
//! What it deliberately does not do: change a setting, load anything that stays, or send a packet.

mod bypass;
mod cpu;
mod drivers;
mod kernel;
mod limits;
mod network;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use crate::machine::{Machine, network as interfaces};
use anyhow::Result;
use serde::Serialize;

/// Whether something can be used here, or is as measuring wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It cannot.
    No,
    /// It can with limits, or not by this user.
    Partly,
    /// This program cannot tell.
    Unknown,
    /// It can.
    Yes,
}

/// One technology, or one property of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What came out.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// Why the verdict is no better; absent where it is yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The command that would change that, or what else would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cure: Option<String>,
}

impl Row {
    /// All is well.
    fn yes(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::of(Verdict::Yes, name, found)
    }

    /// All is not: [`because`](Self::because) says why, [`cured_by`](Self::cured_by) what helps.
    fn of(verdict: Verdict, name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), verdict, found: found.into(), why: None, cure: None }
    }

    fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn cured_by(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

/// Rows that belong together, worst first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group {
    /// What they are about.
    pub(crate) name: &'static str,
    /// At least one.
    pub(crate) rows: Vec<Row>,
}

/// What [`examine`] found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// In the order of the text.
    pub(crate) groups: Vec<Group>,
}

/// Options of the command.
pub(crate) struct Options {
    /// Print JSON.
    pub(crate) json: bool,
    /// Only these interfaces; all that are devices where there is none.
    pub(crate) interfaces: Vec<String>,
}

/// Examines this machine and returns what is to be printed.
///
/// # Errors
/// Where an interface is asked for that is not there.
pub(crate) fn run(options: &Options) -> Result<String> {
    let machine = Machine::this();
    let report = examine(&machine, &options.interfaces)?;
    if options.json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    Ok(text::render(&report))
}

/// Examines a machine.
///
/// # Errors
/// Where an interface is asked for that is not there.
pub(crate) fn examine(machine: &Machine, asked: &[String]) -> Result<Report> {
    for name in asked {
        interfaces::check(machine, name)?;
    }
    let names = if asked.is_empty() { interfaces::devices(machine) } else { asked.to_vec() };
    let group = |name, mut rows: Vec<Row>| {
        // Stable: rows of one verdict keep their order.
        rows.sort_by_key(|row| row.verdict);
        Group { name, rows }
    };
    Ok(Report {
        groups: vec![
            group("kernel bypass", bypass::rows(machine, &names)),
            group("the kernel's own ways", kernel::rows(machine, &names)),
            group("network", network::rows(machine, &names)),
            group("processors", cpu::rows(machine)),
            group("limits and topology", limits::rows(machine)),
        ],
    })
}
