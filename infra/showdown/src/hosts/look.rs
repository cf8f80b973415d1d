//! What is at an end, told by this program there.

use super::account::boot_id;
use crate::environment;
use crate::programs::{is_installed, sha256_hex};
use crate::reach::open_files;
use anyhow::{Context, Result, ensure};
use clap::Args;
use record::{Environment, Git};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tools that an end must have, with their Debian packages.
const TOOLS: [(&str, &str); 3] =
    [("setpriv", "util-linux"), ("ip", "iproute2"), ("ethtool", "ethtool")];

/// What is looked at.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Interface that leads to the other end
    #[arg(long)]
    interface: String,
    /// CPU of the program that will run here
    #[arg(long)]
    cpu: usize,
    /// Programs and scripts that must be here
    #[arg(long)]
    file: Vec<PathBuf>,
    /// What ssh says of the login: its address is the third word
    #[arg(long, default_value = "")]
    login: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) event: String,
    /// Version of the program that looked.
    pub(super) version: String,
    /// The checkout that the programs lie in.
    pub(super) git: Option<Git>,
    /// Of this boot of this machine, and of no other.
    pub(super) boot_id: String,
    /// CPUs that programs may use.
    pub(super) cpus: Vec<usize>,
    /// Files that must be here and are not.
    pub(super) missing: Vec<String>,
    /// Packages of tools that are not here.
    pub(super) packages: Vec<String>,
    /// Every IPv4 address of the kernel's.
    pub(super) addresses: Vec<Address>,
    /// Interfaces that lead to everywhere else.
    pub(super) default_routes: Vec<String>,
    /// Interfaces by name.
    pub(super) interfaces: Vec<String>,
    /// Whether the interface has a carrier.
    pub(super) is_up: bool,
    /// The interface's driver.
    pub(super) driver: Option<String>,
    /// The address by which the login came.
    pub(super) login: Option<Ipv4Addr>,
    /// How many files a process may open at most.
    pub(super) open_files: u64,
    /// The machine; none where the interface or a tool is not here.
    pub(super) environment: Option<Environment>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) interface: String,
    pub(super) address: Ipv4Addr,
    /// Bits of its network's prefix.
    pub(super) prefix_len: u32,
}

impl Address {
    /// Whether another address is in its network.
    pub(super) fn is_neighbour(&self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - self.prefix_len.min(32)).unwrap_or(0);
        self.address.to_bits() & mask == other.to_bits() & mask
    }
}

/// Looks.
///
/// # Errors
/// Where the kernel does not say what it is asked.
pub(super) fn look(arguments: &Arguments) -> Result<Look> {
    let Arguments { interface, cpu, file, login } = arguments;
    let (there, missing): (Vec<&PathBuf>, Vec<&PathBuf>) = file.iter().partition(|f| f.is_file());
    let lacking: Vec<_> = TOOLS.iter().filter(|(tool, _)| !is_installed(tool)).collect();
    let (mut addresses, mut interfaces, mut routes) = (Vec::new(), Vec::new(), Vec::new());
    if is_installed("ip") {
        addresses = parse_addresses(&ip(&["-4", "-o", "address", "show"])?);
        interfaces = parse_links(&ip(&["-o", "link", "show"])?);
        routes = devices(&ip(&["-4", "route", "show", "default"])?);
        // A kernel without IPv6 has no such route.
        routes.extend(
            ip(&["-6", "route", "show", "default"])
                .map_or_else(|_| Vec::new(), |text| devices(&text)),
        );
    }
    let own = interfaces.iter().find(|(name, _)| name == interface);
    let mut environment = None;
    let folder = file.first().and_then(|file| file.parent()).unwrap_or_else(|| Path::new("."));
    if own.is_some() && lacking.is_empty() {
        environment = Some(environment::of_end(folder, *cpu, interface, sha256(&there)?)?);
    }
    Ok(Look {
        event: "look".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: environment::git(folder),
        boot_id: boot_id()?,
        cpus: environment::allowed_cpus()?,
        missing: missing.into_iter().map(|file| file.display().to_string()).collect(),
        packages: lacking.into_iter().map(|(_, package)| (*package).to_owned()).collect(),
        addresses,
        default_routes: routes,
        is_up: own.is_some_and(|(_, has_carrier)| *has_carrier),
        interfaces: interfaces.into_iter().map(|(name, _)| name).collect(),
        driver: driver(interface),
        login: login.split_whitespace().nth(2).and_then(|address| address.parse().ok()),
        open_files: open_files(),
        environment,
    })
}

fn sha256(files: &[&PathBuf]) -> Result<BTreeMap<String, String>> {
    let programs = files.iter().filter(|file| file.extension().is_none());
    let hash = |file: &&PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let cannot = || format!("{} cannot be read", file.display());
        Ok((name.to_owned(), sha256_hex(file).with_context(cannot)?))
    };
    programs.map(hash).collect()
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("ip cannot be started")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `driver: veth` of `ethtool -i`; none where that does not say.
fn driver(interface: &str) -> Option<String> {
    let output = Command::new("ethtool").args(["-i", interface]).stdin(Stdio::null()).output();
    let text = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("driver: ")).map(str::to_owned)
}

/// `2: eth0    inet 192.0.2.1/24 brd ...` on each line.
fn parse_addresses(text: &str) -> Vec<Address> {
    let address = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, interface, "inet", address, ..] = words[..] else { return None };
        // Of a point-to-point link the address has no length.
        let (address, prefix_len) = address.split_once('/').unwrap_or((address, "32"));
        Some(Address {
            interface: interface.to_owned(),
            address: address.parse().ok()?,
            prefix_len: prefix_len.parse().ok()?,
        })
    };
    text.lines().filter_map(address).collect()
}

/// `2: eth0@if3: <BROADCAST,UP,LOWER_UP> mtu ...` on each line: names, and who has a carrier.
fn parse_links(text: &str) -> Vec<(String, bool)> {
    let link = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let name = words.next()?.trim_end_matches(':');
        let name = name.split('@').next().unwrap_or(name).to_owned();
        let flags = words.next()?.trim_matches(['<', '>']);
        Some((name, flags.split(',').any(|flag| flag == "LOWER_UP")))
    };
    text.lines().filter_map(link).collect()
}

/// The word after `dev` on each line.
fn devices(text: &str) -> Vec<String> {
    let device = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "dev");
        words.nth(1).map(str::to_owned)
    };
    text.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ip_prints_is_read() {
        let text = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n\
                    4: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0\n\
                    3: eth1    inet 192.0.2.1/24 brd 192.0.2.255 scope global eth1\n";
        let addresses = parse_addresses(text);
        let plain: Vec<String> = addresses
            .iter()
            .map(|of| format!("{} {}/{}", of.interface, of.address, of.prefix_len))
            .collect();
        assert_eq!(plain, ["lo 127.0.0.1/8", "tun0 10.8.0.2/32", "eth1 192.0.2.1/24"]);
        let links = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n\
                     3: eth1@if4: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500\n";
        assert_eq!(parse_links(links), [("lo".to_owned(), true), ("eth1".to_owned(), false)]);
        let routes = "default via 10.0.0.1 dev eth0 proto dhcp\ndefault dev tun0\n";
        assert_eq!(devices(routes), ["eth0", "tun0"]);
    }

    #[test]
    fn neighbours_have_the_same_prefix() {
        let of = |prefix_len| Address {
            interface: "eth1".to_owned(),
            address: Ipv4Addr::new(192, 0, 2, 1),
            prefix_len,
        };
        assert!(of(24).is_neighbour(Ipv4Addr::new(192, 0, 2, 200)));
        assert!(!of(25).is_neighbour(Ipv4Addr::new(192, 0, 2, 200)));
        assert!(of(0).is_neighbour(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!of(32).is_neighbour(Ipv4Addr::new(192, 0, 2, 2)));
    }
}
