//! An experiment is a file: what is asked, the axes of the matrix, how often and how long.

pub(crate) mod axes;
mod steps;

use crate::contender::{CONTENDERS_MAX, Contender};
use crate::reach::{self, Transport};
use crate::rounds::{Bounds, StopRule};
use anyhow::{Context, Result, bail, ensure};
pub(crate) use axes::{Axes, Mode, Network, Offloads, Service, Softirq, Tcp, Wait};
use axes::{check_connections, distinct};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
pub(crate) use steps::Step;

/// Experiments that come with the program, by name; the default is the first.
const SHIPPED: [(&str, &str); 14] = [
    ("quick", include_str!("../../experiments/quick.toml")),
    ("kernel-vs-bypass", include_str!("../../experiments/kernel-vs-bypass.toml")),
    ("waterfall", include_str!("../../experiments/waterfall.toml")),
    ("latency", include_str!("../../experiments/latency.toml")),
    ("connections", include_str!("../../experiments/connections.toml")),
    ("payload", include_str!("../../experiments/payload.toml")),
    ("pipelining", include_str!("../../experiments/pipelining.toml")),
    ("rate-sweep", include_str!("../../experiments/rate-sweep.toml")),
    ("unprivileged", include_str!("../../experiments/unprivileged.toml")),
    ("loopback", include_str!("../../experiments/loopback.toml")),
    ("bypass-both-ends", include_str!("../../experiments/bypass-both-ends.toml")),
    ("peers", include_str!("../../experiments/peers.toml")),
    ("counting", include_str!("../../experiments/counting.toml")),
    ("aa", include_str!("../../experiments/aa.toml")),
];

/// A file larger than this is not an experiment.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ROUNDS_MAX: u32 = 1000;
/// Most often that a cell is measured again in a round.
const CELL_REPEATS_MAX: u32 = 100;
const DURATION_S_MAX: u32 = 3600;
const WARMUP_S_MAX: f64 = 60.0;
/// Connections that are opened in a second, at the least: measured were 60,000 over memif.
const OPENED_PER_S: f64 = 40_000.0;
const BUDGET_S_MAX: u32 = 86_400;
/// Most connections of a cell.
pub(crate) const CONNECTIONS_MAX: u64 = 1_000_000;

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
    /// How often a cell that something from outside disturbed is measured again within its round,
    /// at most.
    pub(crate) cell_repeats: u32,
    /// No round, and no measurement that is taken again, begins that would end later than this many
    /// seconds after the first round began.
    pub(crate) budget_s: u32,
}

impl Effort {
    /// Seconds of load before a measurement of so many connections: beyond 10,000, those that it
    /// takes to open them as well, or the measurement would be one of handshakes.
    pub(crate) fn warmup_s(&self, connections: u64) -> f64 {
        let many = u32::try_from(connections.saturating_sub(10_000)).unwrap_or(u32::MAX);
        self.warmup_s + f64::from(many) / OPENED_PER_S
    }
}

/// What `--quick` changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Quick {
    /// How often and how long.
    #[serde(flatten)]
    pub(crate) effort: Effort,
    /// Axes with fewer values, where the experiment has more cells than fit in the time.
    #[serde(flatten)]
    pub(crate) axes: FewerValues,
}

/// Values in the place of those of an axis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FewerValues {
    /// Servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<Vec<Mode>>,
    /// TCP of the bypass servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<Vec<Tcp>>,
    /// How the servers wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<Vec<Wait>>,
    /// What the servers do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<Vec<Service>>,
    /// How the generator reaches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<Vec<Transport>>,
    /// Offloads of the veth pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offloads: Option<Vec<Offloads>>,
    /// Connections of the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<Vec<u64>>,
    /// Bytes of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Vec<u64>>,
    /// Requests sent at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline: Option<Vec<u64>>,
    /// Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Vec<u64>>,
}

impl FewerValues {
    /// Puts the values in the place of those of the axes.
    fn replace(self, axes: &mut Axes) {
        fn put<T>(values: Option<Vec<T>>, axis: &mut Vec<T>) {
            if let Some(values) = values {
                *axis = values;
            }
        }
        put(self.mode, &mut axes.mode);
        put(self.tcp, &mut axes.tcp);
        put(self.wait, &mut axes.wait);
        put(self.service, &mut axes.service);
        put(self.transport, &mut axes.transport);
        put(self.offloads, &mut axes.offloads);
        put(self.connections, &mut axes.connections);
        put(self.payload, &mut axes.payload);
        put(self.pipeline, &mut axes.pipeline);
        put(self.rate, &mut axes.rate);
    }
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
    /// The file that describes the two ends, where they are not made by the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hosts: Option<PathBuf>,
    /// The mode that ratios are taken against.
    pub(crate) baseline: Mode,
    /// How often and how long.
    #[serde(flatten)]
    pub(crate) effort: Effort,
    /// Largest share of the server's or the client's CPU that the hypervisor may take away
    /// before a round counts as disturbed, 0 to 1.
    pub(crate) steal_share_max: f64,
    /// Seed of the order; drawn and recorded where the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Whether each round also measures what the links carry with no stack on them.
    pub(crate) floor: bool,
    /// Whether system calls and the like are counted in each cell, once, before the rounds.
    pub(crate) counts: bool,
    /// Which CPU does the soft interrupts of frames that arrive.
    pub(crate) softirq: Softirq,
    /// When the run has enough rounds before it has all; absent where their number is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<StopRule>,
    /// What else disturbs a round.
    pub(crate) disturbed: Bounds,
    /// The axes of the matrix.
    pub(crate) axes: Axes,
    /// Cells named one by one, in their order, each a change to the one before it.
    #[serde(rename = "step", skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
    /// Servers that are not ours.
    #[serde(rename = "contender", skip_serializing_if = "Vec::is_empty")]
    pub(crate) contenders: Vec<Contender>,
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
    hosts: Option<PathBuf>,
    baseline: Option<Mode>,
    rounds: u32,
    duration_s: u32,
    warmup_s: f64,
    repeats: u32,
    #[serde(default = "default_cell_repeats")]
    cell_repeats: u32,
    budget_s: u32,
    steal_share_max: f64,
    stop: Option<StopRule>,
    seed: Option<u64>,
    #[serde(default)]
    disturbed: Bounds,
    #[serde(default)]
    floor: bool,
    #[serde(default = "default_counts")]
    counts: bool,
    #[serde(default)]
    softirq: Softirq,
    axes: Axes,
    #[serde(default)]
    step: Vec<Step>,
    #[serde(default)]
    contenders: Vec<String>,
    #[serde(default)]
    contender: Vec<Contender>,
    #[serde(default)]
    connections_max: BTreeMap<Mode, u64>,
    quick: Option<QuickTable>,
}

/// A second for each cell is little beside the rounds; `--quick` has no time for it.
fn default_counts() -> bool {
    true
}

/// Where every fifth measurement is disturbed, one of 600 is after three more, and so is one round
/// of ten with 63 cells.
fn default_cell_repeats() -> u32 {
    3
}

/// The table `[quick]` as it is written; see [`File`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuickTable {
    rounds: u32,
    duration_s: u32,
    warmup_s: f64,
    repeats: u32,
    #[serde(default = "default_cell_repeats")]
    cell_repeats: u32,
    budget_s: u32,
    mode: Option<Vec<Mode>>,
    tcp: Option<Vec<Tcp>>,
    wait: Option<Vec<Wait>>,
    service: Option<Vec<Service>>,
    transport: Option<Vec<Transport>>,
    offloads: Option<Vec<Offloads>>,
    connections: Option<Vec<u64>>,
    payload: Option<Vec<u64>>,
    pipeline: Option<Vec<u64>>,
    rate: Option<Vec<u64>>,
}

impl From<QuickTable> for Quick {
    fn from(table: QuickTable) -> Self {
        let QuickTable { rounds, duration_s, warmup_s, repeats, cell_repeats, budget_s, .. } =
            table;
        let effort = Effort { rounds, duration_s, warmup_s, repeats, cell_repeats, budget_s };
        let axes = FewerValues {
            mode: table.mode,
            tcp: table.tcp,
            wait: table.wait,
            service: table.service,
            transport: table.transport,
            offloads: table.offloads,
            connections: table.connections,
            payload: table.payload,
            pipeline: table.pipeline,
            rate: table.rate,
        };
        Self { effort, axes }
    }
}

/// What the command line changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Take the experiment's `[quick]` table.
    pub(crate) quick: bool,
    /// Other values of the axes.
    pub(crate) axes: FewerValues,
    /// More contenders: names, files, or `NAME=COMMAND`.
    pub(crate) contenders: Vec<String>,
    /// Seed of the order.
    pub(crate) seed: Option<u64>,
    /// Rounds.
    pub(crate) rounds: Option<u32>,
    /// Seconds of each measurement.
    pub(crate) duration_s: Option<u32>,
    /// The file that describes the two ends.
    pub(crate) hosts: Option<PathBuf>,
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
        ensure!(
            is_plain_name(name, ""),
            "'{name}' cannot name a results folder: call the experiment's file by up to 64 \
             letters, digits, '-' and '_'"
        );
        let file: File = toml::from_str(text).map_err(|error| {
            anyhow::anyhow!("experiment {name} is not understood: {}", error.to_string().trim())
        })?;
        let baseline = file.baseline.or_else(|| file.step.first().map(|step| step.mode));
        let baseline = baseline.with_context(|| {
            format!("experiment {name} is not understood: missing field `baseline`")
        })?;
        let mut contenders = file.contender;
        for entry in &file.contenders {
            contenders.extend(Contender::named(entry)?);
        }
        let experiment = Self {
            name: name.to_owned(),
            question: file.question,
            hypothesis: file.hypothesis,
            topology: file.topology,
            hosts: file.hosts,
            baseline,
            effort: Effort {
                rounds: file.rounds,
                duration_s: file.duration_s,
                warmup_s: file.warmup_s,
                repeats: file.repeats,
                cell_repeats: file.cell_repeats,
                budget_s: file.budget_s,
            },
            steal_share_max: file.steal_share_max,
            stop: file.stop,
            disturbed: file.disturbed,
            seed: file.seed,
            floor: file.floor,
            counts: file.counts,
            softirq: file.softirq,
            axes: file.axes,
            steps: file.step,
            contenders,
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
            self.counts = false;
            quick.axes.replace(&mut self.axes);
        }
        ensure!(
            overrides.axes.mode.is_none() || !self.axes.mode.is_empty(),
            "experiment {} has steps in the place of modes: leave out --modes",
            self.name
        );
        overrides.axes.clone().replace(&mut self.axes);
        for entry in &overrides.contenders {
            self.contenders.extend(Contender::named(entry)?);
        }
        self.seed = overrides.seed.or(self.seed);
        self.hosts = overrides.hosts.clone().or(self.hosts);
        self.effort.rounds = overrides.rounds.unwrap_or(self.effort.rounds);
        self.effort.duration_s = overrides.duration_s.unwrap_or(self.effort.duration_s);
        self.check().with_context(|| format!("experiment {} cannot be run so", self.name))?;
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        self.effort.check()?;
        ensure!(
            (0.0..=1.0).contains(&self.steal_share_max),
            "steal_share_max = {} is a share: 0 to 1",
            self.steal_share_max
        );
        ensure!(
            self.softirq == Softirq::Sender || self.topology == Network::Veth,
            "softirq says which CPU receives over veth, and loopback has none: set topology = \
             \"veth\", or leave softirq out"
        );
        self.disturbed.check().context("in its [disturbed] table")?;
        self.stop.as_ref().map_or(Ok(()), StopRule::check)?;
        self.axes.check()?;
        self.check_steps()?;
        self.check_contenders()?;
        self.check_baseline()?;
        for most in self.connections_max.values() {
            check_connections(&[*most]).context("in its [connections_max] table")?;
        }
        self.axes.mode.iter().try_for_each(|mode| self.check_reach(*mode))?;
        if let Some(Quick { effort, axes }) = &self.quick {
            effort.check().context("in its [quick] table")?;
            // What is left when it is taken has to be an experiment, too.
            let mut short = Self { quick: None, ..self.clone() };
            axes.clone().replace(&mut short.axes);
            short.check().context("with its [quick] table")?;
        }
        Ok(())
    }

    fn check_baseline(&self) -> Result<()> {
        let Self { axes, baseline, .. } = self;
        if axes.mode.is_empty() {
            let first = self.steps.first().map(|step| step.mode);
            ensure!(
                first.is_some(),
                "the axis mode is empty: give it at least one value, or add a [[step]]"
            );
            ensure!(
                first == Some(*baseline),
                "without an axis mode the first step is the baseline: leave out baseline"
            );
            return Ok(());
        }
        distinct("mode", &axes.mode)?;
        ensure!(
            axes.mode.contains(baseline),
            "the baseline {baseline} is not among the modes, and ratios need it: add it to the \
             modes, or choose another baseline"
        );
        Ok(())
    }

    fn check_contenders(&self) -> Result<()> {
        ensure!(
            self.contenders.len() <= CONTENDERS_MAX,
            "{} contenders are more than {CONTENDERS_MAX}",
            self.contenders.len()
        );
        let mut names: BTreeSet<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        for contender in &self.contenders {
            contender.check()?;
            let is_mode = Mode::value_variants().iter().any(|mode| mode.name() == contender.name);
            ensure!(!is_mode, "'{}' is a mode's name: give the contender another", contender.name);
            ensure!(
                names.insert(&contender.name),
                "two contenders, or a contender and a step, are called '{}': give one of them \
                 another name",
                contender.name
            );
        }
        Ok(())
    }

    /// A mode that cannot be reached at all is a mistake, not a combination to leave out.
    fn check_reach(&self, mode: Mode) -> Result<()> {
        // Between hosts it is left out: the experiment was made for one machine.
        if self.topology == Network::Hosts {
            return Ok(());
        }
        let reaches =
            |transport: &Transport| reach::links(mode, *transport, self.topology).next().is_some();
        if self.axes.transport.iter().any(reaches) {
            return Ok(());
        }
        let able = Transport::ALL.iter().filter(|one| reaches(one));
        let able: Vec<&str> = able.map(|one| one.name()).collect();
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
            self.cell_repeats <= CELL_REPEATS_MAX,
            "cell_repeats = {} is more than {CELL_REPEATS_MAX}",
            self.cell_repeats
        );
        ensure!(
            (1..=BUDGET_S_MAX).contains(&self.budget_s),
            "budget_s = {} is not 1 to {BUDGET_S_MAX} seconds",
            self.budget_s
        );
        Ok(())
    }
}

/// Whether a name is 1 to 64 letters, digits, `-`, `_`, and characters of `more`.
pub(crate) fn is_plain_name(name: &str, more: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || more.contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
