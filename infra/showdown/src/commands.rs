//! How each binary is called.

use crate::contender::{Contender, Site};
use crate::experiment::Mode;
use crate::hosts::{self, End};
use crate::matrix::{FLOOR, GRO, Point, Subject};
use crate::programs::{Place, Programs};
use crate::reach::{Link, Transport};
use record::Cell;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel's address at the server's end of the veth pair.
const KERNEL_HOST: &str = "198.18.0.1";
/// The port of every server there.
const PORT: u16 = 8080;
/// The address that only a userspace stack answers for.
const BYPASS_ADDRESS: &str = "198.18.0.2:8080";
/// The first of the addresses that only a generator with a stack of its own answers for.
const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 20);
/// Connections from one of them: an address has 64,512 ports above the well-known ones, some of
/// them in TIME-WAIT.
const CONNECTIONS_OF_SOURCE: u64 = 30_000;

/// Bytes around a request on the wire: Ethernet, IPv4, and TCP with the time stamps of RFC 7323.
const HEADERS_BYTES: usize = 14 + 20 + 32;
/// Lengths that a frame can have: that of our floor's tag, and that of an MTU of 1,500 bytes.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 62..=1514;

/// Seconds that a server gets to drain; the generator has closed its connections by then.
pub(crate) const DRAIN_S: u32 = 1;

/// Joins a new network namespace, where nothing else is, to a memif by a TAP interface, and runs a
/// program there: arguments are memif-tap, the socket, and the program with its own. All of it
/// ends together.
const BEHIND_A_TAP: &str = r#"
set -euo pipefail
coproc tap { exec setpriv --pdeathsig KILL -- "$1" "$2" client tap0; }
read -r line <&"${tap[0]}"
[[ $line == ready:* ]]
# A request for the server's MAC that is lost before the two ends have met is soon repeated.
echo 50 >/proc/sys/net/ipv4/neigh/tap0/retrans_time_ms
ip link set dev lo up
ip link set dev tap0 up
ip address add 198.18.0.10/16 dev tap0
"${@:3}"
"#;

/// The script by which loadgen sends several requests at once, part of the program so that the
/// binary stands alone.
const PIPELINE: &str = include_str!("../../../loadgen/scripts/pipeline.lua");
/// Where it lies in a checkout.
pub(crate) const PIPELINE_SCRIPT: &str = "loadgen/scripts/pipeline.lua";
/// Most iterations of a ping-pong, whose samples are kept in memory until its end: as many as fit
/// in a second where one takes a microsecond, and in longer measurements where it takes more.
const PINGPONG_ITERATIONS_MAX: u32 = 1_000_000;

/// How long and how a cell is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// Seconds of the measurement.
    pub(crate) duration_s: u32,
    /// Load before it that does not count.
    pub(crate) warmup: Duration,
    /// Where the report goes.
    pub(crate) json: &'a Path,
}

impl Programs {
    /// The command that starts what is at the server's end of a cell.
    pub(crate) fn server_command(&self, point: &Point) -> Vec<String> {
        let mut command = self.tied(point.link, End::Server);
        let cpu = self.server_cpu.to_string();
        match &point.subject {
            Subject::Floor => {
                command.extend([self.binary(End::Server, FLOOR), "reflect".to_owned()]);
                command.extend(self.end_of_link(point.link, End::Server));
                command.extend(flag("--cpu", cpu));
                let by = point.cell.name.iter();
                command.extend(by.flat_map(|by| flag("--by", by.clone())));
            }
            Subject::Contender(contender) => command.extend(contender.words(&self.site(contender))),
            Subject::Server(mode) => {
                let mode = *mode;
                command.push(self.binary(End::Server, &format!("server-{mode}")));
                command.extend(self.port(mode, point.link));
                command.extend(flag("--listen", self.address(point)));
                command.extend(flag("--cpus", cpu));
                command.extend(flag("--drain-timeout", DRAIN_S.to_string()));
                let own = [
                    ("--tcp", &point.cell.tcp),
                    ("--wait", &point.cell.wait),
                    ("--service", &point.cell.service),
                ];
                for (name, value) in own {
                    command.extend(value.iter().flat_map(|value| flag(name, value.clone())));
                }
                command.extend(point.server_args.iter().cloned());
                command.extend(self.last(mode, point.link));
            }
        }
        self.entered(End::Server, command)
    }

    /// What stands for a contender's placeholders.
    pub(crate) fn site(&self, contender: &Contender) -> Site {
        let (host, port) = match self.network {
            Place::Veth(_) => (KERNEL_HOST.to_owned(), PORT),
            Place::Loopback(port) => ("127.0.0.1".to_owned(), port),
            Place::Hosts(ref hosts) => (hosts.server.address.to_string(), hosts.port),
        };
        Site {
            host,
            port,
            cpu: self.server_cpu,
            dir: self.rendezvous.folder().join(&contender.name),
            bin: self.folder.clone(),
        }
    }

    /// The command that runs a shell's command in the namespace of a cell's server, for so long at
    /// most.
    pub(crate) fn shell_command(&self, point: &Point, text: &str, max_s: u32) -> Vec<String> {
        let mut command = self.tied(point.link, End::Server);
        command.extend(["timeout", "-k", "1"].map(str::to_owned));
        command.extend([max_s.to_string(), "sh".to_owned(), "-c".to_owned(), text.to_owned()]);
        command
    }

    /// The commands that turn offloads of the veth pair on for a cell, or off again; none where it
    /// has none on.
    pub(crate) fn offload_commands(&self, point: &Point, on: bool) -> Vec<Vec<String>> {
        let Place::Veth(names) = &self.network else { return Vec::new() };
        let server = (&names.server_namespace, &names.server_interface);
        let client = (&names.client_namespace, &names.client_interface);
        let state = if on { "on" } else { "off" };
        let (ends, features): (Vec<_>, &[&str]) = match point.cell.offloads.as_deref() {
            None => return Vec::new(),
            Some(GRO) => (vec![server], &["gro"]),
            // Scatter-gather goes with the checksums by itself, and does not come back with them.
            Some(_) if on => (vec![server, client], &["tx", "sg", "tso", "gso", "gro"]),
            Some(_) => (vec![server, client], &["tx", "tso", "gso", "gro"]),
        };
        let command = |(namespace, interface): (&String, &String)| {
            let mut words = ["ip", "netns", "exec", namespace, "ethtool", "-K", interface].to_vec();
            words.extend(features.iter().flat_map(|feature| [*feature, state]));
            words.into_iter().map(str::to_owned).collect()
        };
        ends.into_iter().map(command).collect()
    }

    /// The flags of a server that say which port of which driver to open.
    fn port(&self, mode: Mode, link: Link) -> Vec<String> {
        match mode {
            Mode::Xdp | Mode::Memif => self.end_of_link(link, End::Server),
            Mode::Epoll | Mode::Hyper | Mode::Uring | Mode::Dpdk => Vec::new(),
        }
    }

    /// What ends a server's command line: the arguments of DPDK's EAL.
    fn last(&self, mode: Mode, link: Link) -> Vec<String> {
        if mode != Mode::Dpdk {
            return Vec::new();
        }
        let mut words = vec!["--".to_owned()];
        words.extend(self.eal(link, "server", End::Server));
        words
    }

    /// The arguments of DPDK's EAL for one end of a link.
    fn eal(&self, link: Link, role: &str, end: End) -> Vec<String> {
        let device = match (link, &self.network) {
            (Link::Veth, Place::Veth(names)) => {
                format!("net_af_xdp0,iface={}", names.interface(end))
            }
            _ => format!("net_memif0,role={role},socket={},socket-abstract=no", self.socket()),
        };
        let prefix = format!("showdown-{}-{role}", std::process::id());
        let words = ["--no-huge", "-m", "256", "--no-pci", "--no-telemetry"];
        let words = words.map(str::to_owned).into_iter();
        words.chain(flag("--file-prefix", prefix)).chain(flag("--vdev", device)).collect()
    }

    /// The command that loads a cell and writes its report.
    pub(crate) fn client_command(&self, point: &Point, load: Load<'_>) -> Vec<String> {
        let mut command = self.tied(point.link, End::Client);
        match point.transport {
            Some(_) if point.is_echo() => command.extend(self.pingpong(point, load)),
            Some(transport) => command.extend(self.loadgen(point, transport, load)),
            None => command.extend(self.floor_send(point, load)),
        }
        self.entered(End::Client, command)
    }

    /// One message at a time on one connection: whole round trips, by a client that never sleeps.
    fn pingpong(&self, point: &Point, load: Load<'_>) -> Vec<String> {
        let duration_ms = (u64::from(load.duration_s) * 1000).to_string();
        let bytes = point.cell.payload_bytes.unwrap_or_default();
        let mut command = vec![self.binary(End::Client, "loadgen"), "pingpong".to_owned()];
        command.extend(["--rtt", "--spin", "--nodelay"].map(str::to_owned));
        command.extend(flag("--sizes", bytes.to_string()));
        command.extend(flag("--minms", duration_ms.clone()));
        command.extend(flag("--maxms", duration_ms));
        command.extend(flag("--maxiter", PINGPONG_ITERATIONS_MAX.to_string()));
        command.extend(flag("--warmupms", load.warmup.as_millis().to_string()));
        command.extend(flag("--warmupiter", "1".to_owned()));
        command.extend(flag("--affinity", self.client_cpu.to_string()));
        command.extend(flag("--json", self.report(load.json)));
        command.extend(["tcp".to_owned(), self.address(point)]);
        command
    }

    fn loadgen(&self, point: &Point, transport: Transport, load: Load<'_>) -> Vec<String> {
        let Cell { connections, path, .. } = &point.cell;
        let mut command = vec![
            self.binary(End::Client, "loadgen"),
            "-t1".to_owned(),
            format!("-c{connections}"),
            format!("-d{}", load.duration_s),
            "--latency".to_owned(),
        ];
        command.extend(point.cell.rate_rps.map(|rate| format!("-R{rate}")));
        // What every generator does unless told otherwise is not told.
        if transport != Transport::Epoll {
            command.extend(flag("--transport", transport.name().to_owned()));
        }
        if transport == Transport::Dpdk {
            let eal = self.eal(point.link, "client", End::Client);
            command.extend(flag("--eal", eal.join(" ")));
        } else if transport.is_bypass() {
            command.extend(self.end_of_link(point.link, End::Client));
        }
        if transport.is_bypass() {
            let first = match &self.network {
                Place::Hosts(hosts) => hosts.client.bypass_address,
                Place::Veth(_) | Place::Loopback(_) => SOURCE,
            };
            command.extend(flag("--source", sources(first, *connections)));
        }
        if !load.warmup.is_zero() {
            command.extend(flag("--warmup", format!("{}ms", load.warmup.as_millis())));
        }
        command.extend(flag("--pin", self.client_cpu.to_string()));
        command.extend(flag("--json", self.report(load.json)));
        if point.cell.pipeline.is_some() {
            command.extend(flag("-s", self.pipeline_script().display().to_string()));
        }
        command.push(format!("http://{}{path}", self.address(point)));
        if let Some(depth) = point.cell.pipeline {
            command.extend(["--".to_owned(), depth.to_string(), path.clone()]);
        }
        command
    }

    /// Writes the script that cells with a pipeline are loaded by.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write_scripts(&self) -> io::Result<()> {
        fs::write(self.rendezvous.folder().join("pipeline.lua"), PIPELINE)
    }

    fn pipeline_script(&self) -> PathBuf {
        let of_checkout = match &self.network {
            Place::Hosts(hosts) => hosts.client.script(PIPELINE_SCRIPT),
            Place::Veth(_) | Place::Loopback(_) => None,
        };
        of_checkout.unwrap_or_else(|| self.rendezvous.folder().join("pipeline.lua"))
    }

    fn floor_send(&self, point: &Point, load: Load<'_>) -> Vec<String> {
        let address = self.address(point);
        let mut command = vec![self.binary(End::Client, FLOOR), "send".to_owned()];
        command.extend(self.end_of_link(point.link, End::Client));
        command.extend(flag("--cpu", self.client_cpu.to_string()));
        command.extend(flag("--in-flight", point.cell.connections.to_string()));
        command.extend(flag("--bytes", frame_bytes(&point.cell.path, &address).to_string()));
        command.extend(flag("--duration", load.duration_s.to_string()));
        command.extend(flag("--warmup", load.warmup.as_millis().to_string()));
        command.extend(flag("--json", self.report(load.json)));
        command
    }

    /// The commands that open connections to other machines; none where there are no others.
    pub(crate) fn connect_commands(&self) -> Vec<Vec<String>> {
        let Place::Hosts(hosts) = &self.network else { return Vec::new() };
        let command = |end| hosts.connect_command(end, self.rendezvous.folder());
        [End::Server, End::Client].into_iter().filter_map(command).collect()
    }

    /// The command that runs the short conformance pass and writes its report to `json`. The suite
    /// is a client of the kernel: to a memif it gets by a TAP interface, in a network namespace of
    /// its own, for which an ordinary user needs a user namespace as well.
    pub(crate) fn conformance_command(&self, point: &Point, json: &Path) -> Vec<String> {
        let mut suite = vec![self.binary(End::Client, "conformance"), "--quick".to_owned()];
        suite.extend(flag("--target", self.address(point)));
        let name = match &point.subject {
            Subject::Contender(contender) => contender.name.clone(),
            Subject::Server(_) | Subject::Floor => point.cell.mode.clone(),
        };
        suite.extend(flag("--server", name));
        suite.extend(flag("--json", self.report(json)));
        let mut command = match point.link {
            Link::Loopback | Link::Veth | Link::Wire => self.tied(point.link, End::Client),
            Link::Memif => {
                let mut command = new_namespace();
                command.extend(tied_to_parent());
                command.extend(["bash", "-c", BEHIND_A_TAP, "behind-a-tap"].map(str::to_owned));
                command.extend([self.binary(End::Client, "memif-tap"), self.socket()]);
                command
            }
        };
        command.extend(suite);
        self.entered(End::Client, command)
    }

    /// What goes before a program: its namespace, on a link that has some, and the tie to this
    /// process.
    fn tied(&self, link: Link, end: End) -> Vec<String> {
        let mut command = match (&self.network, link) {
            (Place::Veth(names), Link::Veth) => {
                ["ip", "netns", "exec", names.namespace(end)].map(str::to_owned).to_vec()
            }
            _ => Vec::new(),
        };
        command.extend(tied_to_parent());
        command
    }

    /// A command as it is given at one end, from here: what enters a host stands before it.
    fn entered(&self, end: End, command: Vec<String>) -> Vec<String> {
        match &self.network {
            Place::Hosts(hosts) => hosts.run_command(end, command, self.rendezvous.folder()),
            Place::Veth(_) | Place::Loopback(_) => command,
        }
    }

    /// Where a program at the client's end writes its report.
    fn report(&self, json: &Path) -> String {
        match self.network {
            Place::Hosts(_) => hosts::REPORT.to_owned(),
            Place::Veth(_) | Place::Loopback(_) => json.display().to_string(),
        }
    }

    /// The flag that names one end of a link, for programs with a queue on it.
    fn end_of_link(&self, link: Link, end: End) -> Vec<String> {
        match (link, &self.network) {
            (Link::Memif, _) => flag("--socket", self.socket()).to_vec(),
            (Link::Veth, Place::Veth(names)) => {
                flag("--interface", names.interface(end).to_owned()).to_vec()
            }
            (Link::Wire, Place::Hosts(hosts)) => {
                flag("--interface", hosts.at(end).interface.clone()).to_vec()
            }
            // Loopback has none: the table of who reaches whom puts no queue there.
            _ => Vec::new(),
        }
    }

    fn socket(&self) -> String {
        self.rendezvous.socket()
    }

    fn binary(&self, end: End, name: &str) -> String {
        let folder = match &self.network {
            Place::Hosts(hosts) => hosts.at(end).binaries(&self.folder),
            Place::Veth(_) | Place::Loopback(_) => self.folder.clone(),
        };
        folder.join(name).display().to_string()
    }

    fn address(&self, point: &Point) -> String {
        if let Place::Hosts(hosts) = &self.network {
            return hosts.listens(point.is_bypass());
        }
        if point.is_bypass() {
            return BYPASS_ADDRESS.to_owned();
        }
        if let Subject::Contender(contender) = &point.subject
            && let Ok((host, port)) = contender.authority(&self.site(contender))
        {
            return format!("{host}:{port}");
        }
        match self.network {
            Place::Loopback(port) => format!("127.0.0.1:{port}"),
            Place::Veth(_) | Place::Hosts(_) => format!("{KERNEL_HOST}:{PORT}"),
        }
    }
}

fn flag(name: &str, value: String) -> [String; 2] {
    [name.to_owned(), value]
}

/// The kernel kills what runs behind this when the thread that started it is gone.
pub(crate) fn tied_to_parent() -> [String; 4] {
    ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned)
}

/// A network namespace that nobody else has, in which the program may make interfaces.
pub(crate) fn new_namespace() -> Vec<String> {
    let words: &[&str] = if rustix::process::geteuid().is_root() {
        &["unshare", "--net", "--"]
    } else {
        &["unshare", "--user", "--map-root-user", "--net", "--"]
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How many addresses so many connections of a bypass client come from.
pub(crate) fn sources_count(connections: u64) -> u64 {
    connections.div_ceil(CONNECTIONS_OF_SOURCE).max(1)
}

/// The addresses that so many connections come from.
fn sources(first: Ipv4Addr, connections: u64) -> String {
    match u32::try_from(sources_count(connections)) {
        Ok(count @ 2..) => {
            let last = Ipv4Addr::from_bits(first.to_bits().saturating_add(count - 1));
            format!("{first}-{last}")
        }
        _ => first.to_string(),
    }
}

/// Length of the frame that carries a request for a path.
fn frame_bytes(path: &str, address: &str) -> usize {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    (HEADERS_BYTES + request.len()).clamp(*FRAME_BYTES.start(), *FRAME_BYTES.end())
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
