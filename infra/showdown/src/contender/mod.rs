//! Servers that are not ours: what a contender's file says, and how it becomes a command.
//!
//! The format is described in `infra/contenders/README.md`; the files there are part of the
//! program.
//!
//! What it deliberately does not do: start anything but the commands that build a program and tell
//! its version.

mod build;
mod words;

use crate::experiment::is_plain_name;
use anyhow::{Context, Result, ensure};
pub(crate) use build::build_missing;
use record::{Summary, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
pub(crate) use words::Words;

/// The files in `infra/contenders`, by name, collected by the build script.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/contenders.rs"));

/// A file larger than this describes no contender.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most contenders of an experiment.
pub(crate) const CONTENDERS_MAX: usize = 64;
/// Seconds that the command gets that tells a version.
const VERSION_S_MAX: u32 = 10;
/// Where Debian keeps servers, and where the PATH of ordinary users does not lead.
const SBIN: [&str; 2] = ["/usr/sbin", "/sbin"];
/// The mode of a contender in records.
pub(crate) const CONTENDER: &str = "contender";
/// All that come with the program, in a list of names.
const ALL: &str = "all";

/// A server that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contender {
    /// What it is called in tables.
    pub(crate) name: String,
    /// Its command line.
    pub(crate) command: Words,
    /// The URL that is requested.
    #[serde(default = "default_address")]
    pub(crate) address: String,
    /// When it takes requests.
    #[serde(default)]
    pub(crate) ready: Ready,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    /// Files in its folder, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, String>,
    /// Shell commands before each start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) setup: Vec<String>,
    /// Shell commands after each end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) teardown: Vec<String>,
    /// A command whose first line tells the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Words>,
    /// The Debian package that has the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<String>,
    /// The command that builds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) build: Option<Words>,
}

/// When a contender takes requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Ready {
    /// As soon as a socket listens on its port.
    #[default]
    Port,
    /// As soon as a line on standard output or standard error contains this.
    Line(String),
}

fn default_address() -> String {
    "http://{address}/plaintext".to_owned()
}

/// A file of contenders.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    contender: Vec<Contender>,
}

/// What stands for a contender's placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The address that it listens on.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// The CPU that it is pinned to.
    pub(crate) cpu: usize,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// The folder of our own servers.
    pub(crate) bin: PathBuf,
}

impl Site {
    /// Replaces the placeholders; any other brace stands for itself.
    pub(crate) fn fill(&self, text: &str) -> String {
        let (host, port) = (&self.host, self.port);
        let values = [
            ("{address}", format!("{host}:{port}")),
            ("{host}", host.clone()),
            ("{port}", port.to_string()),
            ("{cpu}", self.cpu.to_string()),
            ("{dir}", self.dir.display().to_string()),
            ("{bin}", self.bin.display().to_string()),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

impl Contender {
    /// The contenders that an entry of a list means: one that comes with the program by its name,
    /// `all` of them, those of a file by its path, or `NAME=COMMAND`.
    ///
    /// # Errors
    /// A sentence where there is none, or where the file is wrong.
    pub(crate) fn named(entry: &str) -> Result<Vec<Self>> {
        if let Some((name, command)) = entry.split_once('=') {
            let command = command.parse().map_err(anyhow::Error::msg);
            let command = command.with_context(|| format!("contender '{name}'"))?;
            return Ok(vec![Self::of_command(name, command)?]);
        }
        if entry.contains('/') || entry.ends_with(".toml") {
            return Self::read(Path::new(entry));
        }
        let mut shipped = Self::shipped()?;
        if entry != ALL {
            let names: Vec<String> = shipped.iter().map(|one| one.name.clone()).collect();
            shipped.retain(|one| one.name == entry);
            ensure!(
                !shipped.is_empty(),
                "no contender is called '{entry}': the names are {}; a file is given as a path \
                 ending in .toml, a command as NAME=COMMAND",
                names.join(", ")
            );
        }
        Ok(shipped)
    }

    /// Every contender that comes with the program.
    fn shipped() -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (name, text) in SHIPPED {
            all.extend(Self::parse(name, text)?);
        }
        Ok(all)
    }

    fn read(path: &Path) -> Result<Vec<Self>> {
        let cannot = || format!("the contender {} cannot be read", path.display());
        let size = std::fs::metadata(path).with_context(cannot)?.len();
        ensure!(
            size <= FILE_BYTES_MAX,
            "{} has {size} bytes: not a contender's file",
            path.display()
        );
        let text = std::fs::read_to_string(path).with_context(cannot)?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(file: &str, text: &str) -> Result<Vec<Self>> {
        let parsed: File = toml::from_str(text).map_err(|error| {
            anyhow::anyhow!("the contender {file} is not understood: {}", error.to_string().trim())
        })?;
        for contender in &parsed.contender {
            contender.check().with_context(|| format!("in {file}"))?;
        }
        Ok(parsed.contender)
    }

    fn of_command(name: &str, command: Words) -> Result<Self> {
        let contender = Self {
            name: name.to_owned(),
            command,
            address: default_address(),
            ready: Ready::Port,
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            setup: Vec::new(),
            teardown: Vec::new(),
            version: None,
            package: None,
            build: None,
        };
        contender.check()?;
        Ok(contender)
    }

    /// Checks what a file or a command line says.
    ///
    /// # Errors
    /// A sentence that names the key and what it may be.
    pub(crate) fn check(&self) -> Result<()> {
        let name = &self.name;
        ensure!(
            is_plain_name(name, "."),
            "'{name}' cannot name a contender: up to 64 letters, digits, '-', '_' and '.'"
        );
        self.check_values().with_context(|| format!("contender {name}"))
    }

    fn check_values(&self) -> Result<()> {
        let site = Site {
            host: "192.0.2.1".to_owned(),
            port: 8080,
            cpu: 0,
            dir: PathBuf::from("/dir"),
            bin: PathBuf::from("/bin"),
        };
        self.authority(&site)?;
        for file in self.files.keys() {
            let is_plain = !file.is_empty() && !file.contains('/') && file != "." && file != "..";
            ensure!(is_plain, "files: '{file}' is no name of a file in its folder");
        }
        for name in self.env.keys() {
            ensure!(!name.is_empty() && !name.contains('='), "env: '{name}' is no variable");
        }
        if let Ready::Line(text) = &self.ready {
            ensure!(!text.is_empty(), "ready: every line contains nothing: give it a text");
        }
        ensure!(
            self.package.is_none() || self.build.is_none(),
            "it is installed (package) or built (build), not both"
        );
        Ok(())
    }

    /// Where it is reached: the URL's address and port.
    ///
    /// # Errors
    /// A sentence where `address` is no such URL.
    pub(crate) fn authority(&self, site: &Site) -> Result<(String, u16)> {
        let filled = site.fill(&self.address);
        let parts = filled.strip_prefix("http://").and_then(|rest| {
            let authority = rest.split('/').next()?;
            let (host, port) = authority.rsplit_once(':')?;
            let is_plain = self.path().bytes().all(|byte| byte.is_ascii_graphic());
            Some((host.to_owned(), port.parse().ok()?)).filter(|_| is_plain)
        });
        parts.with_context(|| format!("address = '{}' is not http://HOST:PORT/PATH", self.address))
    }

    /// The path of its URL.
    pub(crate) fn path(&self) -> &str {
        let authority = self.address.find("://").map_or(0, |place| place + 3);
        self.address[authority..].find('/').map_or("/", |place| &self.address[authority + place..])
    }

    /// The words that start it, its environment in front.
    pub(crate) fn words(&self, site: &Site) -> Vec<String> {
        let mut words = Vec::new();
        if !self.env.is_empty() {
            words.push("env".to_owned());
            let pairs = self.env.iter();
            words.extend(pairs.map(|(name, value)| format!("{name}={}", site.fill(value))));
        }
        words.extend(["taskset", "-c"].map(str::to_owned));
        words.push(site.cpu.to_string());
        words.extend(self.command.iter().map(|word| site.fill(word)));
        words
    }

    /// Where its program lies; none where it is not there.
    pub(crate) fn program(&self, site: &Site) -> Option<PathBuf> {
        find(&site.fill(self.command.program()))
    }

    /// Why it cannot be started on this machine, with the cure; none where its program is there.
    pub(crate) fn lacks(&self, site: &Site) -> Option<String> {
        if self.program(site).is_some() {
            return None;
        }
        let program = site.fill(self.command.program());
        Some(match (&self.package, self.build_words(site)) {
            (Some(package), _) => {
                let cure = format!("apt-get install --no-install-recommends {package}");
                format!("{program} is not installed; cure: {cure}")
            }
            (None, Some(build)) => format!("not built; cure: {}", build.join(" ")),
            (None, None) => format!("{program} is not there: install it, or write its path"),
        })
    }

    /// The first line that its version command prints; why there is none, where there is none.
    pub(crate) fn version_line(&self, site: &Site) -> Option<String> {
        let words: Vec<String> =
            self.version.as_ref()?.iter().map(|word| site.fill(word)).collect();
        let (program, arguments) = words.split_first()?;
        let program = find(program).unwrap_or_else(|| PathBuf::from(program));
        let output = Command::new("timeout")
            .arg(VERSION_S_MAX.to_string())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        Some(match output {
            Ok(output) => {
                let texts =
                    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
                let mut lines = texts.iter().flat_map(|text| text.lines());
                let line = lines.find(|line| !line.trim().is_empty()).map(str::trim);
                line.map_or_else(|| format!("unknown ({})", output.status), str::to_owned)
            }
            Err(error) => format!("unknown ({error})"),
        })
    }
}

/// What a reader has to know about the contenders of a run, a sentence each.
pub(crate) fn notes(summary: &Summary) -> Vec<String> {
    let verdicts = summary.conformance.iter();
    let note = |verdict: &Verdict| {
        let name = verdict.name.as_ref()?;
        let cell = summary.cells.iter().find(|of| of.cell.name.as_ref() == Some(name));
        let version = cell.and_then(|of| of.obtained["version"].as_str());
        let version = version.map_or_else(String::new, |version| format!(" ({version})"));
        let all = verdict.passed + verdict.failed + verdict.excepted;
        Some(format!(
            "{name}{version} is not ours: it answers {} of {all} inputs of the conformance suite \
             as our servers do, which is for information.",
            verdict.passed
        ))
    };
    verdicts.filter_map(note).collect()
}

/// Where a program lies: at its path, or in one of the folders of PATH or those of servers.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
