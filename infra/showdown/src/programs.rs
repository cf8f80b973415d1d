//! The binaries that take part, and where they meet.

use crate::experiment::Network;
use crate::hosts::Hosts;
use crate::matrix::{FLOOR, Point, Subject};
use crate::reach::Link;
use crate::topology::Names;
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the binaries lie, which CPUs they get and what joins them.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The folder of the binaries.
    pub(crate) folder: PathBuf,
    /// CPU of the servers.
    pub(crate) server_cpu: usize,
    /// CPU of the generator.
    pub(crate) client_cpu: usize,
    /// What joins them.
    pub(crate) network: Place,
    /// Where the two ends of a memif meet.
    pub(crate) rendezvous: Rendezvous,
}

/// A folder of our own with the socket of the memif; removed when dropped, with what is in it.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    path: PathBuf,
    /// The folder where it was made, locked while it is in use.
    made: Option<File>,
}

impl Rendezvous {
    /// Makes the folder, where temporary files are: paths of sockets are short. Before that, those
    /// that runs which were killed have left are removed.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn new() -> Result<Self> {
        let path = Self::planned().path.clone();
        sweep(&std::env::temp_dir());
        fs::DirBuilder::new()
            // A contender that gives up root's rights has to get through to its own folder.
            .mode(0o711)
            .create(&path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        let made = hold(&path).with_context(|| format!("{} cannot be locked", path.display()))?;
        Ok(Self { path, made: Some(made) })
    }

    /// The folder that would be made; nothing is.
    pub(crate) fn planned() -> Self {
        let name = format!("{PREFIX}{}", std::process::id());
        Self { path: std::env::temp_dir().join(name), made: None }
    }

    /// A folder of this name, which need not be there.
    #[cfg(test)]
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, made: None }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// The path of the socket.
    pub(crate) fn socket(&self) -> String {
        self.path.join("memif.sock").display().to_string()
    }
}

/// What the name of such a folder begins with; the number of its process follows.
const PREFIX: &str = "showdown-";

/// Opens and locks a folder: nobody else gets the lock before the process that has it is gone.
///
/// # Errors
/// Where somebody has it.
fn hold(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    folder.try_lock()?;
    Ok(folder)
}

/// Removes of `folder` what is named as a folder of ours and was left by a process that is gone.
///
/// One that is not seen here may still run, in a container with the same temporary folder: so the
/// lock must be free, too. Nothing is said of what cannot be removed: it is another user's, and in
/// nobody's way.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(process) = process.filter(|text| !text.is_empty() && is_number(text)) else {
            continue;
        };
        let is_ours = entry
            .metadata()
            .is_ok_and(|it| it.is_dir() && it.uid() == rustix::process::geteuid().as_raw());
        let is_gone = !Path::new("/proc").join(process).exists();
        if is_ours && is_gone && hold(&entry.path()).is_ok() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // A cleaner of temporary files may have been here before.
        if self.made.is_some()
            && let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("showdown: {} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Where servers listen and in which namespaces both sides run.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In two namespaces.
    Veth(Names),
    /// On 127.0.0.1 and this port.
    Loopback(u16),
    /// At two ends that a file describes.
    Hosts(Box<Hosts>),
}

impl Programs {
    /// Checks that the generator and the servers of these modes are there.
    ///
    /// # Errors
    /// A sentence that names those missing and the command that builds them.
    pub(crate) fn check(&self, points: &[Point]) -> Result<()> {
        if matches!(self.network, Place::Hosts(_)) {
            // Hosts are asked for theirs.
            return Ok(());
        }
        let names = names(points).into_iter();
        let missing: Vec<String> = names.filter(|name| !self.path(name).is_file()).collect();
        ensure!(
            missing.is_empty(),
            "missing in {}: {}; cure: cargo build --release",
            self.folder.display(),
            missing.join(", ")
        );
        Ok(())
    }

    /// SHA-256 of each binary that takes part, by name; of a contender, of the program that its
    /// command starts.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub(crate) fn sha256(&self, points: &[Point]) -> io::Result<BTreeMap<String, String>> {
        let ours = names(points).into_iter().map(|name| (name.clone(), self.path(&name)));
        let theirs = points.iter().filter_map(|point| match &point.subject {
            Subject::Contender(contender) => {
                let program = contender.program(&self.site(contender))?;
                Some((contender.name.clone(), program))
            }
            Subject::Server(_) | Subject::Floor => None,
        });
        let programs: BTreeMap<String, PathBuf> = ours.chain(theirs).collect();
        programs.into_iter().map(|(name, path)| Ok((name, sha256_hex(&path)?))).collect()
    }

    /// The CPUs of server and generator, as records number them.
    pub(crate) fn recorded_cpus(&self) -> [usize; 2] {
        let client_cpu = match &self.network {
            Place::Hosts(hosts) => hosts.recorded_client_cpu(),
            Place::Veth(_) | Place::Loopback(_) => self.client_cpu,
        };
        [self.server_cpu, client_cpu]
    }

    /// Where a binary lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Place {
    /// The kind of network.
    pub(crate) fn network(&self) -> Network {
        match self {
            Self::Veth(_) => Network::Veth,
            Self::Loopback(_) => Network::Loopback,
            Self::Hosts(_) => Network::Hosts,
        }
    }
}

/// The binaries that these points need.
fn names(points: &[Point]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["loadgen", "conformance"].map(str::to_owned).into();
    for point in points {
        names.extend(match &point.subject {
            Subject::Server(mode) => Some(format!("server-{mode}")),
            Subject::Floor => Some(FLOOR.to_owned()),
            Subject::Contender(_) => None,
        });
        if point.link == Link::Memif {
            names.insert("memif-tap".to_owned());
        }
    }
    names
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn sha256_hex(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(fs::read(path)?);
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Checks that these tools are installed; each comes with the Debian package that has it.
///
/// # Errors
/// A sentence that names the missing packages and the command that installs them.
pub(crate) fn check_tools(tools: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&(&str, &str)> =
        tools.iter().filter(|(tool, _)| !is_installed(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tools: Vec<&str> = missing.iter().map(|(tool, _)| *tool).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    bail!("missing: {}; cure: apt-get install {}", tools.join(", "), packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::matrix;

    #[test]
    fn missing_binaries_and_tools_are_named_with_the_cure() {
        let folder = PathBuf::from("/nonexistent");
        let network = Place::Loopback(1);
        let rendezvous = Rendezvous::at(PathBuf::from("/nonexistent"));
        let programs = Programs { folder, server_cpu: 1, client_cpu: 0, network, rendezvous };
        let experiment = Experiment::load("unprivileged").unwrap();
        let points = matrix::expand(&experiment, 1 << 20).unwrap().points;
        let message = programs.check(&points).unwrap_err().to_string();
        for part in ["floor", "loadgen", "memif-tap", "server-memif", "cargo build --release"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(check_tools(&[("sh", "dash")]).is_ok());
        let tools = [("sh", "dash"), ("no-such-tool", "no-such-package")];
        let message = check_tools(&tools).unwrap_err().to_string();
        assert_eq!(message, "missing: no-such-tool; cure: apt-get install no-such-package");
    }

    #[test]
    fn what_killed_runs_have_left_is_removed_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("showdown-sweep-{}", std::process::id()));
        let own = format!("showdown-{}", std::process::id());
        // No process has a number beyond this one (proc(5), pid_max).
        let gone = "showdown-4194305";
        let locked = "showdown-4194307";
        let others = [own.as_str(), locked, "showdown-", "showdown-4194305x", "4194305"];
        for name in others.iter().chain([&gone]) {
            fs::create_dir_all(folder.join(name).join("theirs")).unwrap();
        }
        fs::write(folder.join("showdown-4194306"), "a file").unwrap();
        let lock = hold(&folder.join(locked)).unwrap();
        sweep(&folder);
        assert!(!folder.join(gone).exists());
        for name in others.iter().chain([&"showdown-4194306"]) {
            assert!(folder.join(name).exists(), "{name}");
        }
        drop(lock);
        sweep(&folder);
        assert!(!folder.join(locked).exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
