//! An experiment is a file: what is asked, the axes of the matrix, how often and how long.

use crate::reach::{self, Transport};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// Experiments that come with the program, by name; the default is the first.
const SHIPPED: [(&str, &str); 4] = [
    ("quick", include_str!("../../experiments/quick.toml")),
    ("unprivileged", include_str!("../../experiments/unprivileged.toml")),
    ("bypass-both-ends", include_str!("../../experiments/bypass-both-ends.toml")),
    ("loopback", include_str!("../../experiments/loopback.toml")),
];

/// A file larger than this is not an experiment.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ROUNDS_MAX: u32 = 1000;
const DURATION_S_MAX: u32 = 3600;
const WARMUP_S_MAX: f64 = 60.0;
const BUDGET_S_MAX: u32 = 86_400;
/// Most connections of a cell.
pub(crate) const CONNECTIONS_MAX: u64 = 1_000_000;

/// A server binary, `server-<mode>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Raw epoll on the kernel's TCP.
    Epoll,
    /// hyper on tokio.
    Hyper,
    /// Raw io_uring.
    Uring,
    /// Userspace TCP over AF_XDP.
    Xdp,
    /// Userspace TCP over shared memory.
    Memif,
    /// Userspace TCP over a port of DPDK.
    Dpdk,
}

impl Mode {
    /// The name used everywhere: flags, files, folders.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Hyper => "hyper",
            Self::Uring => "uring",
            Self::Xdp => "xdp",
            Self::Memif => "memif",
            Self::Dpdk => "dpdk",
        }
    }

    /// Whether the server has `--wait`.
    pub(crate) const fn has_wait(self) -> bool {
        matches!(self, Self::Epoll | Self::Uring)
    }

    /// Whether the server bypasses the kernel's TCP, and so has `--tcp`.
    pub(crate) const fn is_bypass(self) -> bool {
        matches!(self, Self::Xdp | Self::Memif | Self::Dpdk)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The TCP of a bypass server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tcp {
    /// The smoltcp crate's.
    Smoltcp,
    /// This project's own.
    Native,
}

impl Tcp {
    /// The flag's spelling.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smoltcp => "smoltcp",
            Self::Native => "native",
        }
    }
}

/// How an idle server waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wait {
    /// Asleep in the kernel.
    Block,
    /// Never asleep.
    Spin,
}

impl Wait {
    /// The flag's spelling.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Spin => "spin",
        }
    }
}

/// What joins client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// Two namespaces joined by a veth pair; needs root.
    Veth,
    /// 127.0.0.1 for kernel servers; needs nothing.
    Loopback,
}

impl Network {
    /// The name used in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Loopback => "loopback",
        }
    }
}

/// The axes of the matrix. An axis that a mode does not have is left out of its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Axes {
    /// Servers.
    pub(crate) mode: Vec<Mode>,
    /// TCP of the bypass servers.
    #[serde(default = "default_tcp")]
    pub(crate) tcp: Vec<Tcp>,
    /// How the servers wait that can choose.
    #[serde(default = "default_wait")]
    pub(crate) wait: Vec<Wait>,
    /// How the generator reaches them.
    #[serde(default = "default_transport")]
    pub(crate) transport: Vec<Transport>,
    /// Connections of the load.
    pub(crate) connections: Vec<u64>,
    /// Paths requested.
    #[serde(default = "default_path")]
    pub(crate) path: Vec<String>,
}

fn default_tcp() -> Vec<Tcp> {
    vec![Tcp::Smoltcp]
}

fn default_wait() -> Vec<Wait> {
    vec![Wait::Block]
}

fn default_transport() -> Vec<Transport> {
    vec![Transport::Epoll]
}

fn default_path() -> Vec<String> {
    vec!["/plaintext".to_owned()]
}

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effort {
    /// Rounds; each measures every cell once.
    pub(crate) rounds: u32,
    /// Seconds of each measurement.
    pub(crate) duration_s: u32,
    /// Seconds of load before each measurement that do not count.
    pub(crate) warmup_s: f64,
    /// Disturbed rounds that are repeated at most.
    pub(crate) repeats: u32,
    /// No round begins that would end later than this many seconds after the first began.
    pub(crate) budget_s: u32,
}

/// What `--quick` changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Quick {
    /// How often and how long.
    #[serde(flatten)]
    pub(crate) effort: Effort,
    /// Connections of the load, where the experiment has more than fit in the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<Vec<u64>>,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Experiment {
    /// Its name: that of the file.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it asks, in a sentence.
    pub(crate) question: String,
    /// What is expected, and why.
    pub(crate) hypothesis: String,
    /// What joins client and server.
    pub(crate) topology: Network,
    /// The mode that ratios are taken against.
    pub(crate) baseline: Mode,
    /// How often and how long.
    #[serde(flatten)]
    pub(crate) effort: Effort,
    /// Largest share of the server's or the client's CPU that the hypervisor may take away
    /// before a round counts as disturbed, 0 to 1.
    pub(crate) steal_share_max: f64,
    /// Seed of the order and of the bootstrap; drawn and recorded where the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Whether each round also measures what the links carry with no stack on them.
    pub(crate) floor: bool,
    /// The axes of the matrix.
    pub(crate) axes: Axes,
    /// Most connections of a mode, where it shall not have all of the axis.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) connections_max: BTreeMap<Mode, u64>,
    /// What `--quick` changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quick: Option<Quick>,
}

/// The file as it is written. It spells [`Effort`] out, because serde cannot refuse unknown keys
/// beside a flattened struct, and a misspelt key must not be ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    question: String,
    hypothesis: String,
    topology: Network,
    baseline: Mode,
    rounds: u32,
    duration_s: u32,
    warmup_s: f64,
    repeats: u32,
    budget_s: u32,
    steal_share_max: f64,
    seed: Option<u64>,
    #[serde(default)]
    floor: bool,
    axes: Axes,
    #[serde(default)]
    connections_max: BTreeMap<Mode, u64>,
    quick: Option<QuickTable>,
}

/// The table `[quick]` as it is written; see [`File`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuickTable {
    rounds: u32,
    duration_s: u32,
    warmup_s: f64,
    repeats: u32,
    budget_s: u32,
    connections: Option<Vec<u64>>,
}

impl From<QuickTable> for Quick {
    fn from(table: QuickTable) -> Self {
        let QuickTable { rounds, duration_s, warmup_s, repeats, budget_s, connections } = table;
        Self { effort: Effort { rounds, duration_s, warmup_s, repeats, budget_s }, connections }
    }
}

/// What the command line changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Take the experiment's `[quick]` table.
    pub(crate) quick: bool,
    /// Only these modes.
    pub(crate) modes: Option<Vec<Mode>>,
    /// Rounds.
    pub(crate) rounds: Option<u32>,
    /// Seconds of each measurement.
    pub(crate) duration_s: Option<u32>,
}

impl Experiment {
    /// The names of the experiments that come with the program.
    pub(crate) fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// Loads an experiment by its name, or from a file where the name looks like a path.
    ///
    /// # Errors
    /// A sentence where there is none of that name, or where the file is wrong.
    pub(crate) fn load(name_or_file: &str) -> Result<Self> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name, text);
        }
        let path = Path::new(name_or_file);
        let looks_like_path =
            name_or_file.contains('/') || path.extension().is_some_and(|ext| ext == "toml");
        if !looks_like_path {
            let names: Vec<&str> = Self::shipped().collect();
            bail!(
                "no experiment is called '{name_or_file}': the names are {}, and a file is given \
                 as a path ending in .toml",
                names.join(", ")
            );
        }
        let size = std::fs::metadata(path)
            .with_context(|| format!("the experiment {name_or_file} cannot be read"))?
            .len();
        ensure!(size <= FILE_BYTES_MAX, "{name_or_file} has {size} bytes: not an experiment");
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the experiment {name_or_file} cannot be read"))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Self::parse(stem, &text)
    }

    /// Reads an experiment from TOML and checks every bound.
    ///
    /// # Errors
    /// A sentence that names the key and what it may be.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
            "'{name}' cannot name a results folder: call the experiment's file by up to 64 \
             letters, digits, '-' and '_'"
        );
        let file: File = toml::from_str(text).map_err(|error| {
            anyhow::anyhow!("experiment {name} is not understood: {}", error.to_string().trim())
        })?;
        let experiment = Self {
            name: name.to_owned(),
            question: file.question,
            hypothesis: file.hypothesis,
            topology: file.topology,
            baseline: file.baseline,
            effort: Effort {
                rounds: file.rounds,
                duration_s: file.duration_s,
                warmup_s: file.warmup_s,
                repeats: file.repeats,
                budget_s: file.budget_s,
            },
            steal_share_max: file.steal_share_max,
            seed: file.seed,
            floor: file.floor,
            axes: file.axes,
            connections_max: file.connections_max,
            quick: file.quick.map(Quick::from),
        };
        experiment.check().with_context(|| format!("experiment {name} cannot be run"))?;
        Ok(experiment)
    }

    /// The experiment with the changes of the command line, checked again.
    ///
    /// # Errors
    /// A sentence where a change contradicts the experiment.
    pub(crate) fn with(mut self, overrides: &Overrides) -> Result<Self> {
        let quick = self.quick.take();
        if overrides.quick {
            let quick = quick.with_context(|| {
                format!(
                    "experiment {} has no [quick] table, which says what --quick means: leave \
                     --quick out, or give the table rounds, duration_s, warmup_s, repeats, \
                     budget_s",
                    self.name
                )
            })?;
            self.effort = quick.effort;
            self.axes.connections = quick.connections.unwrap_or(self.axes.connections);
        }
        if let Some(modes) = &overrides.modes {
            self.axes.mode.clone_from(modes);
        }
        self.effort.rounds = overrides.rounds.unwrap_or(self.effort.rounds);
        self.effort.duration_s = overrides.duration_s.unwrap_or(self.effort.duration_s);
        self.check().with_context(|| format!("experiment {} cannot be run so", self.name))?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        self.effort.check()?;
        if let Some(quick) = &self.quick {
            quick.effort.check().context("in its [quick] table")?;
            if let Some(connections) = &quick.connections {
                check_connections(connections).context("in its [quick] table")?;
            }
        }
        ensure!(
            (0.0..=1.0).contains(&self.steal_share_max),
            "steal_share_max = {} is a share: 0 to 1",
            self.steal_share_max
        );
        self.axes.check()?;
        ensure!(
            self.axes.mode.contains(&self.baseline),
            "the baseline {} is not among the modes, and ratios need it: add it to the modes, or \
             choose another baseline",
            self.baseline
        );
        for most in self.connections_max.values() {
            check_connections(&[*most]).context("in its [connections_max] table")?;
        }
        self.axes.mode.iter().try_for_each(|mode| self.check_reach(*mode))
    }

    /// A mode that cannot be reached at all is a mistake, not a combination to leave out.
    fn check_reach(&self, mode: Mode) -> Result<()> {
        let reaches =
            |transport: &Transport| reach::links(mode, *transport, self.topology).next().is_some();
        if self.axes.transport.iter().any(reaches) {
            return Ok(());
        }
        let all = [Transport::Epoll, Transport::Uring, Transport::Xdp, Transport::Memif];
        let able: Vec<&str> = all.iter().filter(|one| reaches(one)).map(|one| one.name()).collect();
        ensure!(
            !able.is_empty(),
            "mode {mode} needs an interface of its own: set topology = \"veth\""
        );
        bail!(
            "mode {mode} is reached by none of the transports: add {} to the axis transport",
            able.join(" or ")
        )
    }
}

impl Effort {
    fn check(&self) -> Result<()> {
        ensure!(
            (1..=ROUNDS_MAX).contains(&self.rounds),
            "rounds = {} is not 1 to {ROUNDS_MAX}",
            self.rounds
        );
        ensure!(
            (1..=DURATION_S_MAX).contains(&self.duration_s),
            "duration_s = {} is not 1 to {DURATION_S_MAX} whole seconds",
            self.duration_s
        );
        ensure!(
            (0.0..=WARMUP_S_MAX).contains(&self.warmup_s),
            "warmup_s = {} is not 0 to {WARMUP_S_MAX} seconds",
            self.warmup_s
        );
        ensure!(self.repeats <= ROUNDS_MAX, "repeats = {} is more than {ROUNDS_MAX}", self.repeats);
        ensure!(
            (1..=BUDGET_S_MAX).contains(&self.budget_s),
            "budget_s = {} is not 1 to {BUDGET_S_MAX} seconds",
            self.budget_s
        );
        Ok(())
    }
}

impl Axes {
    fn check(&self) -> Result<()> {
        distinct("mode", &self.mode)?;
        distinct("tcp", &self.tcp)?;
        distinct("wait", &self.wait)?;
        distinct("transport", &self.transport)?;
        check_connections(&self.connections)?;
        distinct("path", &self.path)?;
        for path in &self.path {
            ensure!(
                path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()),
                "path '{path}' does not begin with '/' or has characters that a request line \
                 cannot carry"
            );
        }
        Ok(())
    }
}

fn check_connections(connections: &[u64]) -> Result<()> {
    distinct("connections", connections)?;
    for connections in connections {
        ensure!(
            (1..=CONNECTIONS_MAX).contains(connections),
            "connections = {connections} is not 1 to {CONNECTIONS_MAX}"
        );
    }
    Ok(())
}

fn distinct<T: Ord>(axis: &str, values: &[T]) -> Result<()> {
    ensure!(!values.is_empty(), "the axis {axis} is empty: give it at least one value");
    let set: BTreeSet<&T> = values.iter().collect();
    ensure!(set.len() == values.len(), "the axis {axis} names a value twice");
    Ok(())
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
