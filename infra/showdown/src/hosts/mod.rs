//! Two ends that a file describes, in the place of namespaces that the run makes: two machines.
//!
//! ```text
//!   showdown run ── ssh, or any other prefix ──► showdown remote run ──► server, or loadgen
//!        │                                            │
//!        └──────── standard input: signals ──────────►┤
//!        ◄──────── standard output: JSON lines ───────┘  ready and exit lines, CPU time, report
//! ```
//!
//! Every program at an end is the child of a [`remote`] there, which ends it when the connection
//! ends, says what CPU time it took, and hands back the report that it wrote. Before anything is
//! started both ends are [looked at](look) and what cannot be is [refused](check).
//!
//! What it deliberately does not do: copy or build anything at the ends, give an interface an
//! address, or set anything there.

mod account;
mod check;
mod connect;
mod enter;
mod look;
mod remote;

pub(crate) use account::{memory, snapshot};
pub(crate) use connect::connect;
pub(crate) use remote::{REPORT, Remote, command as remote_command};

use crate::experiment::{Experiment, Network, Softirq};
use crate::programs::{Place, Programs};
use crate::results::Folder;
use anyhow::{Context, Result, ensure};
use record::CLIENT_MACHINE_CPUS;
use serde::Deserialize;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Where the programs lie in a checkout, unless the file says otherwise.
const BIN: &str = "target/release";
/// The port of every server, unless the file says otherwise.
const PORT: u16 = 8080;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The servers'.
    Server,
    /// The generator's.
    Client,
}

/// The two ends, as the file has them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hosts {
    /// Where servers listen.
    #[serde(default = "default_port")]
    pub(crate) port: u16,
    /// The servers' end.
    pub(crate) server: Host,
    /// The generator's end.
    pub(crate) client: Host,
    /// The file, word for word.
    #[serde(skip)]
    text: String,
    /// Whether the ends were found to be two machines.
    #[serde(skip)]
    are_two_machines: bool,
}

/// One end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    /// Whom ssh is told to reach: `user@host`; none where it is the machine of this program.
    pub(crate) ssh: Option<String>,
    /// What stands before every command there: `["sudo", "-n"]`, `["ip", "netns", "exec", "x"]`.
    #[serde(default)]
    via: Vec<String>,
    /// A checkout of this project there, built; where it is this machine it may be left out.
    dir: Option<PathBuf>,
    /// The folder of the programs, in `dir` unless it is absolute.
    bin: Option<PathBuf>,
    /// The interface that leads to the other end.
    pub(crate) interface: String,
    /// The address that the kernel has on it.
    pub(crate) address: Ipv4Addr,
    /// An address that only a userspace stack there answers for; of the generator's end, the
    /// first of them.
    pub(crate) bypass_address: Ipv4Addr,
    /// The CPU of the server, or of the generator.
    pub(crate) cpu: usize,
}

fn default_port() -> u16 {
    PORT
}

impl Hosts {
    /// Reads the file that an experiment names, if any, and takes out of the experiment what
    /// cannot be between two hosts, a sentence each in `left_out`.
    ///
    /// # Errors
    /// A sentence where the file or the experiment is not as it must be.
    pub(crate) fn take(
        experiment: &mut Experiment,
        left_out: &mut Vec<String>,
    ) -> Result<Option<Self>> {
        let Some(file) = &experiment.hosts else {
            ensure!(
                experiment.topology != Network::Hosts,
                "experiment {} has topology = \"hosts\" and names none: add --hosts FILE; \
                 infra/hosts has examples",
                experiment.name
            );
            return Ok(None);
        };
        let text = fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        let hosts = Self::parse(text)
            .with_context(|| format!("{} does not describe two hosts", file.display()))?;
        left_out.extend(restrict(experiment)?);
        Ok(Some(hosts))
    }

    fn parse(text: String) -> Result<Self> {
        let hosts: Self = toml::from_str(&text)?;
        for (name, host) in [("server", &hosts.server), ("client", &hosts.client)] {
            host.check().with_context(|| format!("[{name}]"))?;
        }
        let addresses = [&hosts.server, &hosts.client];
        let addresses: Vec<Ipv4Addr> =
            addresses.iter().flat_map(|host| [host.address, host.bypass_address]).collect();
        for (place, address) in addresses.iter().enumerate() {
            ensure!(
                !addresses[..place].contains(address),
                "{address} is there twice: both ends have an address of the kernel's and another \
                 of the userspace stack's"
            );
        }
        ensure!(hosts.port != 0, "port = 0 is none");
        Ok(Self { text, ..hosts })
    }

    /// One of them.
    pub(crate) fn at(&self, end: End) -> &Host {
        match end {
            End::Server => &self.server,
            End::Client => &self.client,
        }
    }

    /// Address and port of a server on the kernel's TCP, or on a userspace stack.
    pub(crate) fn listens(&self, is_bypass: bool) -> String {
        let Host { address, bypass_address, .. } = &self.server;
        format!("{}:{}", if is_bypass { bypass_address } else { address }, self.port)
    }

    /// The client's CPU, as records number it.
    pub(crate) fn recorded_client_cpu(&self) -> usize {
        let first = if self.are_two_machines { CLIENT_MACHINE_CPUS } else { 0 };
        first + self.client.cpu
    }
}

impl Host {
    fn check(&self) -> Result<()> {
        if let Some(target) = &self.ssh {
            let is_plain = !target.starts_with('-') && !target.contains(char::is_whitespace);
            ensure!(!target.is_empty() && is_plain, "ssh = \"{target}\" is not user@host");
            ensure!(
                self.dir.as_ref().is_some_and(|dir| dir.is_absolute()),
                "dir is missing, or is not absolute: say where the checkout lies there"
            );
        }
        let is_name = !self.interface.is_empty() && !self.interface.starts_with('-');
        ensure!(is_name, "interface = \"{}\" is none", self.interface);
        ensure!(
            self.via.first().is_none_or(|word| !word.is_empty() && !word.starts_with('-')),
            "via begins with no program"
        );
        Ok(())
    }

    /// The folder of the programs there; `own` is where they lie on this machine.
    pub(crate) fn binaries(&self, own: &Path) -> PathBuf {
        let bin = || self.bin.clone().unwrap_or_else(|| PathBuf::from(BIN));
        match &self.dir {
            Some(dir) => dir.join(bin()),
            None => self.bin.clone().unwrap_or_else(|| own.to_owned()),
        }
    }

    /// Where a script lies there; none where that is for this program to say.
    pub(crate) fn script(&self, path: &str) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(path))
    }

    /// How it is entered, in words.
    pub(crate) fn label(&self) -> String {
        let ssh = self.ssh.as_ref().map(|target| format!("ssh {target}"));
        let via = (!self.via.is_empty()).then(|| self.via.join(" "));
        let parts: Vec<String> = [ssh, via].into_iter().flatten().collect();
        if parts.is_empty() { "this machine".to_owned() } else { parts.join(" ") }
    }
}

/// Puts the file into the results folder of a run between hosts.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write(programs: &Programs, folder: &Folder) -> Result<()> {
    match &programs.network {
        Place::Hosts(hosts) => folder.write("hosts.toml", &hosts.text),
        Place::Veth(_) | Place::Loopback(_) => Ok(()),
    }
}

/// Makes an experiment one between hosts, and says what of it is left out.
fn restrict(experiment: &mut Experiment) -> Result<Vec<String>> {
    ensure!(
        experiment.softirq == Softirq::Sender,
        "experiment {} places the soft interrupts of a veth pair, and between hosts the \
         interfaces' own interrupts do that work: leave out softirq, or --hosts",
        experiment.name
    );
    experiment.topology = Network::Hosts;
    let mut left_out = Vec::new();
    if std::mem::take(&mut experiment.floor) {
        left_out.push("floors: between hosts no frame without a stack is sent".to_owned());
    }
    if !experiment.contenders.is_empty() {
        let names: Vec<&str> = experiment.contenders.iter().map(|one| one.name.as_str()).collect();
        let why = "contenders are started on the machine of this program only";
        left_out.push(format!("{}: {why}", names.join(", ")));
        experiment.contenders.clear();
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests;
