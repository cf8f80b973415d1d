//! What was there before: a file with a line for everything that is about to be changed.
//!
//! ```text
//! {"profile":"offloads",…}                                       header
//! {"entry":{"target":{…},"before":"on","wanted":"off"}}          on the disk before the change
//! {"obtained":"off"}                                             and after it
//! "complete"
//! ```
//!
//! A line that is not whole was being written when the machine or the program ended; what it
//! announces has not happened. An entry without `obtained` may or may not have happened, and is
//! ours either way.

use super::target::Target;
use crate::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Version of the file.
const VERSION: u32 = 1;

/// Whose changes these are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    /// Name of the profile.
    pub(super) profile: String,
    /// The interface it was applied to, if it needs one.
    pub(super) interface: Option<String>,
    /// Which boot: nothing that is set here outlives it.
    boot_id: String,
    /// Which network namespace the values are of.
    network_namespace: String,
}

impl Header {
    /// Of this machine, now.
    pub(super) fn new(machine: &Machine, profile: &str, interface: Option<&str>) -> Self {
        Self {
            version: VERSION,
            profile: profile.to_owned(),
            interface: interface.map(str::to_owned),
            boot_id: machine.read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            network_namespace: machine.link_name("/proc/self/ns/net").unwrap_or_default(),
        }
    }

    /// Whether the machine was started anew since.
    pub(super) fn is_of_another_boot(&self, machine: &Machine) -> bool {
        self.boot_id != Self::new(machine, "", None).boot_id
    }

    /// Checks that it is of this network namespace.
    ///
    /// # Errors
    /// A sentence with the cure.
    pub(super) fn check_namespace(&self, machine: &Machine) -> Result<()> {
        let here = Self::new(machine, "", None).network_namespace;
        ensure!(
            self.network_namespace == here,
            "profile '{}' was applied in another network namespace ({}; this one is {here}): \
             revert it there, for example with ip netns exec",
            self.profile,
            self.network_namespace
        );
        Ok(())
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Of what.
    pub(super) target: Target,
    /// The value before.
    pub(super) before: String,
    /// The value that the profile wants.
    pub(super) wanted: String,
    /// The value afterwards: drivers round, the kernel has its own way to write masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) obtained: Option<String>,
}

/// A line after the header.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Entry(Entry),
    Obtained(String),
    Complete,
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whose.
    pub(super) header: Header,
    /// In the order in which they were made.
    pub(super) entries: Vec<Entry>,
    /// Whether the profile was applied to its end.
    pub(super) is_complete: bool,
}

/// The place of a journal, held against others that would use it.
pub(super) struct Place {
    path: PathBuf,
    /// Locked: the folder, so that no file is left over.
    folder: File,
}

impl Place {
    /// Takes it, making its folder.
    ///
    /// # Errors
    /// Where another holds it, or the folder cannot be made.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or_else(|| Path::new("."));
        let open = || -> io::Result<File> {
            fs::create_dir_all(folder)?;
            File::open(folder)
        };
        let file = open().with_context(|| {
            format!("{} cannot be made: run it with sudo, or give --state", folder.display())
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), folder: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("another 'showdown tune' works in {}: wait for its end", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", folder.display()))
            }
        }
    }

    /// What lies there; `None` where nothing does, or no more than a header that was being
    /// written: nothing was changed then.
    ///
    /// # Errors
    /// Where it cannot be read, or is no journal.
    pub(super) fn read(&self) -> Result<Option<Record>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => parse(&text).with_context(|| format!("{} is damaged", self.path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("{} cannot be read", self.path.display()))
            }
        }
    }

    /// Begins a journal.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn begin<'a>(&self, machine: &'a Machine, header: &Header) -> Result<Journal<'a>> {
        let open = || File::options().create(true).write(true).truncate(true).open(&self.path);
        let file = open().with_context(|| {
            format!("{} cannot be written: run it with sudo, or give --state", self.path.display())
        })?;
        let mut journal = Journal { machine, file };
        journal.append(&serde_json::to_string(header)?)?;
        self.folder.sync_all()?;
        Ok(journal)
    }

    /// Leaves these entries of a journal, and removes it where there are none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn keep(&self, header: &Header, entries: &[Entry]) -> Result<()> {
        let beside = self.path.with_extension("new");
        let keep = || -> Result<()> {
            if entries.is_empty() {
                // What was left by a crash on the way to a shorter journal.
                if beside.exists() {
                    fs::remove_file(&beside)?;
                }
                fs::remove_file(&self.path)?;
            } else {
                let mut lines = vec![serde_json::to_string(header)?];
                for entry in entries {
                    lines.push(serde_json::to_string(&Line::Entry(entry.clone()))?);
                }
                lines.push(String::new());
                fs::write(&beside, lines.join("\n"))?;
                File::open(&beside)?.sync_all()?;
                fs::rename(&beside, &self.path)?;
            }
            Ok(self.folder.sync_all()?)
        };
        keep().with_context(|| format!("{} cannot be changed", self.path.display()))
    }
}

/// A journal that is being written.
pub(super) struct Journal<'a> {
    machine: &'a Machine,
    file: File,
}

impl Journal<'_> {
    /// Notes what is about to be changed, and returns when that is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written: then nothing may be changed.
    pub(super) fn note(&mut self, target: &Target, before: &str, wanted: &str) -> Result<()> {
        let (before, wanted) = (before.to_owned(), wanted.to_owned());
        let entry = Entry { target: target.clone(), before, wanted, obtained: None };
        self.append(&serde_json::to_string(&Line::Entry(entry))?)
    }

    /// Notes what became of the last entry.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn obtained(&mut self, value: &str) -> Result<()> {
        self.append(&serde_json::to_string(&Line::Obtained(value.to_owned()))?)
    }

    /// Notes that nothing more will be changed.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn complete(&mut self) -> Result<()> {
        self.append(&serde_json::to_string(&Line::Complete)?)
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let written = self.machine.probe().append(&mut self.file, line);
        written.context("the journal cannot be written")
    }
}

fn parse(text: &str) -> Result<Option<Record>> {
    // What comes after the last line end is not whole.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    let Some(first) = lines.next() else { return Ok(None) };
    let header: Header = serde_json::from_str(first)?;
    ensure!(header.version == VERSION, "it has version {}", header.version);
    let mut record = Record { header, entries: Vec::new(), is_complete: false };
    for line in lines {
        match serde_json::from_str(line)? {
            Line::Entry(entry) => record.entries.push(entry),
            Line::Obtained(value) => {
                let last = record.entries.last_mut().context("a value of no entry")?;
                last.obtained = Some(value);
            }
            Line::Complete => record.is_complete = true,
        }
    }
    Ok(Some(record))
}
