//! The command lines that run something at an end.

use super::{End, Host, Hosts};
use crate::commands::tied_to_parent;
use std::path::Path;

/// The program that is started at every end: this one.
const OURS: &str = "showdown";
/// Options of every call of ssh: ask nothing, give up in time, and find out in time that the other
/// machine is gone.
const SSH: [&str; 6] =
    ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5"];
/// What the first connection to a host prints when it stands.
const CONNECTED: &str = r#"LocalCommand=echo '{"event":"ready"}'"#;

impl Hosts {
    /// The command that runs a program at an end, from here. `folder` is where the connections to
    /// hosts are found.
    pub(crate) fn run_command(&self, end: End, command: Vec<String>, folder: &Path) -> Vec<String> {
        let mut words = self.at(end).via.clone();
        words.extend([self.at(end).showdown(), "remote".to_owned(), "run".to_owned()]);
        words.push("--".to_owned());
        words.extend(command);
        self.over_ssh(end, words, folder)
    }

    /// The command that says what is at an end, of which these programs and scripts must be there.
    pub(super) fn look_command(&self, end: End, files: &[String], folder: &Path) -> Vec<String> {
        let host = self.at(end);
        let mut words = host.via.clone();
        words.extend([host.showdown(), "remote".to_owned(), "look".to_owned()]);
        words.extend(["--interface".to_owned(), host.interface.clone()]);
        words.extend(["--cpu".to_owned(), host.cpu.to_string()]);
        words.extend(files.iter().flat_map(|file| ["--file".to_owned(), file.clone()]));
        let mut words = self.over_ssh(end, words, folder);
        // The login's own shell knows it, and what is in `via` may take it away.
        let login = match host.ssh {
            Some(_) => r#""$SSH_CONNECTION""#.to_owned(),
            None => std::env::var("SSH_CONNECTION").unwrap_or_default(),
        };
        words.extend(["--login".to_owned(), login]);
        words
    }

    /// The command that opens the connection to an end, which all others share; none for this
    /// machine.
    pub(crate) fn connect_command(&self, end: End, folder: &Path) -> Option<Vec<String>> {
        let target = self.at(end).ssh.clone()?;
        let mut words = tied_to_parent().to_vec();
        words.push("ssh".to_owned());
        words.extend(
            ["-M", "-N", "-o", "PermitLocalCommand=yes", "-o", CONNECTED].map(str::to_owned),
        );
        words.extend(SSH.map(str::to_owned));
        words.extend(socket(end, folder));
        words.push(target);
        Some(words)
    }

    fn over_ssh(&self, end: End, words: Vec<String>, folder: &Path) -> Vec<String> {
        let Some(target) = &self.at(end).ssh else { return words };
        let mut command = vec!["ssh".to_owned()];
        command.extend(SSH.map(str::to_owned));
        command.extend(socket(end, folder));
        command.push(target.clone());
        // ssh puts them together with spaces, for a shell there to take apart.
        command.extend(words.into_iter().map(|word| quoted(&word)));
        command
    }
}

impl Host {
    /// The path of this program there.
    fn showdown(&self) -> String {
        let own = || std::env::current_exe().unwrap_or_else(|_| OURS.into());
        // At an end on this machine it is the one that runs, wherever the servers lie.
        let path = if self.ssh.is_none() { own() } else { self.binaries(Path::new("")).join(OURS) };
        path.display().to_string()
    }
}

fn socket(end: End, folder: &Path) -> [String; 2] {
    let name = match end {
        End::Server => "ssh-server",
        End::Client => "ssh-client",
    };
    ["-S".to_owned(), folder.join(name).display().to_string()]
}

/// A word as a shell has to be given it.
fn quoted(word: &str) -> String {
    match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        // Only a NUL cannot be quoted, and no argument has one.
        Err(_) => word.to_owned(),
    }
}
