//! A peer while it runs: its private directory, its process, and that neither outlives us.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// User and group that peers run as where we are root: `nobody` and `nogroup` of Debian.
const UNPRIVILEGED: u32 = 65_534;
/// Longest start of a peer.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether a starting peer answers.
const START_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of a peer's own words that an error shows.
const WORDS_BYTES_MAX: usize = 2000;

/// A directory of ours alone, deleted with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Whether we are root, and peers are to be somebody else.
    privileged: bool,
}

impl Directory {
    /// Makes a directory for the peer `name`.
    ///
    /// # Errors
    /// Whatever the file system says, among them that the directory is there already.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("conformance-{}-{name}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let privileged = fs::metadata(&path)?.uid() == 0;
        let directory = Self { path, privileged };
        directory.hand_over(&directory.path)?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it, readable by the peer.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        self.hand_over(&path)
    }

    /// Makes a folder in it.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn folder(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        self.hand_over(&path)
    }

    fn hand_over(&self, path: &Path) -> io::Result<()> {
        if self.privileged {
            std::os::unix::fs::chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED))?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be deleted lies in the system's directory for what is temporary.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// A running peer, ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    words: PathBuf,
}

impl Process {
    /// Starts `program` in `directory` and waits until something listens on `address`.
    ///
    /// `setpriv` gives up privileges where there are any, and has the kernel end the peer should
    /// this program be killed before it can.
    ///
    /// # Errors
    /// A sentence with what the peer itself said.
    pub(super) fn start(
        directory: &Directory,
        program: &Path,
        arguments: &[String],
        address: SocketAddr,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot start {}: {error}", program.display());
        let words = directory.path().join("words");
        let output = File::create(&words).map_err(failed)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if directory.privileged {
            let id = UNPRIVILEGED.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"]);
        }
        command.arg("--").arg(program).args(arguments).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        let child = command.spawn().map_err(failed)?;
        let mut process = Self { child, words };
        process.wait_for(address).map_err(|why| format!("{}: {why}", program.display()))?;
        Ok(process)
    }

    #[expect(clippy::disallowed_methods, reason = "no event tells when a stranger listens")]
    fn wait_for(&mut self, address: SocketAddr) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect_timeout(&address, START_TIMEOUT).is_err() {
            self.check()?;
            if Instant::now() >= deadline {
                let seconds = START_TIMEOUT.as_secs();
                return Err(format!("does not listen after {seconds} s; {}", self.words()));
            }
            std::thread::sleep(START_INTERVAL);
        }
        self.check()
    }

    /// Tells whether the peer still runs.
    ///
    /// # Errors
    /// A sentence with how it ended and what it said.
    pub(super) fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("ended by itself ({status}); {}", self.words())),
            Err(error) => Err(format!("cannot be waited for: {error}")),
        }
    }

    fn words(&self) -> String {
        let text = fs::read(&self.words).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(WORDS_BYTES_MAX)..]);
        if text.trim().is_empty() { "it said nothing".into() } else { format!("it said: {text}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Each peer is configured to be a single process, so that this ends all of it. Both fail
        // only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Free ports of the loopback interface, `count` different ones.
///
/// # Errors
/// Whatever binding returns.
pub(super) fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
