//! The binaries that take part, and how each is called.

use crate::experiment::{Mode, Network};
use crate::matrix::Point;
use crate::topology::Names;
use anyhow::{Result, bail, ensure};
use record::Cell;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel's address at the server's end of the veth pair.
const KERNEL_ADDRESS: &str = "198.18.0.1:8080";
/// The address that only a userspace stack answers for.
const BYPASS_ADDRESS: &str = "198.18.0.2:8080";

/// Seconds that a server gets to drain; the generator has closed its connections by then.
pub(crate) const DRAIN_S: u32 = 1;

/// Where the binaries lie, which CPUs they get and what joins them.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The folder of the binaries.
    pub(crate) folder: PathBuf,
    /// CPU of the servers.
    pub(crate) server_cpu: usize,
    /// CPU of the generator.
    pub(crate) client_cpu: usize,
    /// What joins them.
    pub(crate) network: Place,
}

/// Where servers listen and in which namespaces both sides run.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In two namespaces.
    Veth(Names),
    /// On 127.0.0.1 and this port.
    Loopback(u16),
}

impl Programs {
    /// Checks that the generator and the servers of these modes are there.
    ///
    /// # Errors
    /// A sentence that names those missing and the command that builds them.
    pub(crate) fn check(&self, points: &[Point]) -> Result<()> {
        let mut missing: Vec<String> =
            self.names(points).filter(|name| !self.path(name).is_file()).collect();
        missing.dedup();
        ensure!(
            missing.is_empty(),
            "missing in {}: {}; cure: cargo build --release",
            self.folder.display(),
            missing.join(", ")
        );
        Ok(())
    }

    /// SHA-256 of each binary that takes part, by name.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub(crate) fn sha256(&self, points: &[Point]) -> io::Result<BTreeMap<String, String>> {
        self.names(points).map(|name| Ok((name.clone(), sha256_hex(&self.path(&name))?))).collect()
    }

    fn names(&self, points: &[Point]) -> impl Iterator<Item = String> {
        let servers = points.iter().map(|point| server_name(point.mode));
        ["loadgen", "conformance"].map(str::to_owned).into_iter().chain(servers)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The command that starts the server of a cell.
    pub(crate) fn server_command(&self, point: &Point) -> Vec<String> {
        let mut command = match &self.network {
            Place::Veth(names) => enter(&names.server_namespace),
            Place::Loopback(_) => Vec::new(),
        };
        command.extend(tied_to_parent());
        command.push(self.path(&server_name(point.mode)).display().to_string());
        let mut flag = |name: &str, value: String| command.extend([name.to_owned(), value]);
        if let Place::Veth(names) = &self.network
            && point.mode.is_bypass()
        {
            flag("--interface", names.server_interface.clone());
        }
        flag("--listen", self.address(point.mode));
        flag("--cpus", self.server_cpu.to_string());
        flag("--drain-timeout", DRAIN_S.to_string());
        if let Some(tcp) = &point.cell.tcp {
            flag("--tcp", tcp.clone());
        }
        if let Some(wait) = &point.cell.wait {
            flag("--wait", wait.clone());
        }
        command
    }

    /// The command that loads the server of a cell and writes its report to `json`.
    pub(crate) fn client_command(
        &self,
        point: &Point,
        duration_s: u32,
        warmup: Duration,
        json: &Path,
    ) -> Vec<String> {
        let Cell { connections, path, .. } = &point.cell;
        let mut command = match &self.network {
            Place::Veth(names) => enter(&names.client_namespace),
            Place::Loopback(_) => Vec::new(),
        };
        command.extend(tied_to_parent());
        command.extend([
            self.path("loadgen").display().to_string(),
            "-t1".to_owned(),
            format!("-c{connections}"),
            format!("-d{duration_s}"),
            "--latency".to_owned(),
        ]);
        if !warmup.is_zero() {
            command.extend(["--warmup".to_owned(), format!("{}ms", warmup.as_millis())]);
        }
        command.extend(["--pin".to_owned(), self.client_cpu.to_string()]);
        command.extend(["--json".to_owned(), json.display().to_string()]);
        command.push(format!("http://{}{path}", self.address(point.mode)));
        command
    }

    /// The command that runs the short conformance pass and writes its report to `json`.
    pub(crate) fn conformance_command(&self, point: &Point, json: &Path) -> Vec<String> {
        let mut command = match &self.network {
            Place::Veth(names) => enter(&names.client_namespace),
            Place::Loopback(_) => Vec::new(),
        };
        command.extend(tied_to_parent());
        command.extend([self.path("conformance").display().to_string(), "--quick".to_owned()]);
        let mut flag = |name: &str, value: String| command.extend([name.to_owned(), value]);
        flag("--target", self.address(point.mode));
        flag("--server", point.mode.name().to_owned());
        flag("--json", json.display().to_string());
        command
    }

    fn address(&self, mode: Mode) -> String {
        match self.network {
            Place::Veth(_) if mode.is_bypass() => BYPASS_ADDRESS.to_owned(),
            Place::Veth(_) => KERNEL_ADDRESS.to_owned(),
            Place::Loopback(port) => format!("127.0.0.1:{port}"),
        }
    }
}

impl Place {
    /// The kind of network.
    pub(crate) fn network(&self) -> Network {
        match self {
            Self::Veth(_) => Network::Veth,
            Self::Loopback(_) => Network::Loopback,
        }
    }
}

fn server_name(mode: Mode) -> String {
    format!("server-{mode}")
}

fn enter(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
}

/// The kernel kills what runs behind this when the thread that started it is gone.
fn tied_to_parent() -> [String; 4] {
    ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned)
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

/// Checks that these tools are installed; each comes with the Debian package that has it.
///
/// # Errors
/// A sentence that names the missing packages and the command that installs them.
pub(crate) fn check_tools(tools: &[(&str, &str)]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing: Vec<&(&str, &str)> = tools.iter().filter(|(tool, _)| !is_there(tool)).collect();
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

    fn commands(network: Place, topology: Network) -> Vec<(String, String)> {
        let mut experiment = Experiment::load("quick").unwrap();
        experiment.topology = topology;
        let folder = PathBuf::from("/bin");
        let programs = Programs { folder, server_cpu: 3, client_cpu: 0, network };
        let points = matrix::expand(&experiment).unwrap();
        let both = points.iter().map(|point| {
            let client = programs.client_command(
                point,
                1,
                Duration::from_millis(300),
                Path::new("/tmp/x.json"),
            );
            (programs.server_command(point).join(" "), client.join(" "))
        });
        both.collect()
    }

    #[test]
    fn on_veth_both_sides_enter_their_namespace_and_bypass_gets_the_interface() {
        let all = commands(Place::Veth(Names::new("sd")), Network::Veth);
        assert_eq!(
            all[0].0,
            "ip netns exec sd-server setpriv --pdeathsig KILL -- /bin/server-epoll \
             --listen 198.18.0.1:8080 --cpus 3 --drain-timeout 1 --wait block"
        );
        assert_eq!(
            all[3].0,
            "ip netns exec sd-server setpriv --pdeathsig KILL -- /bin/server-xdp \
             --interface sd-srv0 --listen 198.18.0.2:8080 --cpus 3 --drain-timeout 1 \
             --tcp smoltcp"
        );
        assert_eq!(
            all[3].1,
            "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/loadgen -t1 -c32 -d1 \
             --latency --warmup 300ms --pin 0 --json /tmp/x.json \
             http://198.18.0.2:8080/plaintext"
        );
    }

    #[test]
    fn on_loopback_nothing_needs_root() {
        let all = commands(Place::Loopback(4711), Network::Loopback);
        assert_eq!(
            all[1].0,
            "setpriv --pdeathsig KILL -- /bin/server-hyper --listen 127.0.0.1:4711 --cpus 3 \
             --drain-timeout 1"
        );
        assert!(all[1].1.ends_with("http://127.0.0.1:4711/plaintext"), "{}", all[1].1);
    }

    #[test]
    fn missing_binaries_and_tools_are_named_with_the_cure() {
        let folder = PathBuf::from("/nonexistent");
        let network = Place::Loopback(1);
        let programs = Programs { folder, server_cpu: 1, client_cpu: 0, network };
        let points = matrix::expand(&Experiment::load("quick").unwrap()).unwrap();
        let message = programs.check(&points).unwrap_err().to_string();
        for part in ["loadgen", "server-xdp", "cargo build --release"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(check_tools(&[("sh", "dash")]).is_ok());
        let tools = [("sh", "dash"), ("no-such-tool", "no-such-package")];
        let message = check_tools(&tools).unwrap_err().to_string();
        assert_eq!(message, "missing: no-such-tool; cure: apt-get install no-such-package");
    }
}
