//! The servers of Debian that ours are compared with, and the configuration each is given.
//!
//! The configurations lie in `peers/`; words in capitals there are filled in. All are told the
//! same: one process, the routes that the cases ask for, time-outs of seconds, and otherwise their
//! own defaults, for these are what is compared. Bodies of requests are read whole before the
//! answer, since a server that never looks at a body has no opinion about it.

use super::process::{Directory, Process, free_addresses};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A server that can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// nginx in front of itself: a proxy reads the body.
    Nginx,
    /// HAProxy answering by itself, once the body is buffered.
    Haproxy,
    /// Apache's httpd with files.
    Apache2,
    /// lighttpd with files, and CGI for POST, so that bodies are read.
    Lighttpd,
    /// Node's `http` module with a handler that reads the body.
    Node,
}

impl Peer {
    /// All of them, in the order of the report's columns.
    pub const ALL: [Self; 5] =
        [Self::Nginx, Self::Haproxy, Self::Apache2, Self::Lighttpd, Self::Node];

    /// As its program is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Apache2 => "apache2",
            Self::Lighttpd => "lighttpd",
            Self::Node => "node",
        }
    }

    /// The peer called `name`.
    #[must_use]
    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// Debian's package with the program.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Nginx => "nginx-light",
            Self::Node => "nodejs",
            _ => self.name(),
        }
    }

    /// The installed program, where there is one.
    #[must_use]
    pub fn program(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A user's PATH does not name the directory in which Debian puts servers.
        let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        directories.map(|directory| directory.join(self.name())).find(|program| program.is_file())
    }

    /// Name of the file that the configuration is written to, and the configuration.
    fn configuration(self, directory: &str, ports: [u16; 2]) -> (&'static str, String) {
        let [port, behind] = ports.map(|port| port.to_string());
        let fill = |text: &str| {
            let text = text.replace("DIRECTORY", directory);
            text.replace("PORT", &port).replace("BEHIND", &behind)
        };
        match self {
            Self::Nginx => ("nginx.conf", fill(include_str!("../../peers/nginx.conf"))),
            Self::Haproxy => ("haproxy.cfg", fill(include_str!("../../peers/haproxy.cfg"))),
            Self::Apache2 => ("apache2.conf", fill(include_str!("../../peers/apache2.conf"))),
            Self::Lighttpd => ("lighttpd.conf", fill(include_str!("../../peers/lighttpd.conf"))),
            Self::Node => ("server.js", fill(include_str!("../../peers/server.js"))),
        }
    }

    /// Arguments of the program, its configuration in `file`.
    fn arguments(self, file: String, directory: String) -> Vec<String> {
        let own = |word: &str| word.to_owned();
        match self {
            Self::Nginx => vec![own("-p"), directory, own("-c"), file, own("-e"), own("stderr")],
            Self::Haproxy => vec![own("-db"), own("-f"), file],
            Self::Apache2 => vec![own("-X"), own("-f"), file],
            Self::Lighttpd => vec![own("-D"), own("-f"), file],
            Self::Node => vec![file],
        }
    }
}

/// What every file holds that is served: a body, and a CGI script that reads a POST's.
const FILE: &str = r#"cat > /dev/null
printf 'Status: 200\nContent-Type: text/plain\nContent-Length: 0\n\n'
"#;
/// The files, by the paths of the routes.
const FILES: [&str; 3] = ["plaintext", "json", "echo"];

/// A peer that answers. It ends, and what it wrote is deleted, when dropped.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub peer: Peer,
    /// Where it answers.
    pub address: SocketAddr,
    // In this order: the process ends before its directory goes.
    process: Process,
    _directory: Directory,
}

impl Running {
    /// Starts a peer on a free port of the loopback interface.
    ///
    /// # Errors
    /// A sentence with what the peer itself said.
    pub fn start(peer: Peer, program: &std::path::Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("preparing {}: {error}", peer.name());
        let addresses = free_addresses(2).map_err(failed)?;
        let directory = Directory::new(peer.name()).map_err(failed)?;
        let ports = [addresses[0].port(), addresses[1].port()];
        let (file, text) = peer.configuration(&directory.path().display().to_string(), ports);
        directory.write(file, &text).map_err(failed)?;
        directory.folder("files").map_err(failed)?;
        for name in FILES {
            directory.write(&format!("files/{name}"), FILE).map_err(failed)?;
        }
        let file = directory.path().join(file).display().to_string();
        let arguments = peer.arguments(file, directory.path().display().to_string());
        let process = Process::start(&directory, program, &arguments, addresses[0])?;
        Ok(Self { peer, address: addresses[0], process, _directory: directory })
    }

    /// Tells whether the peer still runs.
    ///
    /// # Errors
    /// A sentence with how it ended and what it said.
    pub fn check(&mut self) -> Result<(), String> {
        self.process.check().map_err(|why| format!("{}: {why}", self.peer.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_is_filled_in_and_stays_on_the_loopback() {
        for peer in Peer::ALL {
            let (file, text) = peer.configuration("/tmp/peer", [4711, 4712]);
            assert!(text.contains("4711") && text.contains("127.0.0.1"), "{file}");
            for blank in ["DIRECTORY", "PORT", "BEHIND"] {
                assert!(!text.contains(blank), "{file} holds {blank}");
            }
            assert_eq!(Peer::called(peer.name()), Some(peer));
        }
        assert_eq!(Peer::called("iis"), None);
    }
}
