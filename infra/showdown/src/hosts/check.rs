//! What cannot be between two hosts, told before anything is started there, with the cure.

use super::look::Look;
use super::{Host, Hosts};
use crate::commands::sources_count;
use crate::matrix::Point;
use crate::reach::{Bound, Transport};
use anyhow::{Result, bail};
use record::Git;
use std::net::Ipv4Addr;

/// The build that drives the run.
pub(super) struct Own {
    pub(super) version: String,
    pub(super) git: Option<Git>,
}

/// An end, its name in the file, what was found there, and whether a queue of ours will be there.
struct Found<'a> {
    name: &'static str,
    host: &'a Host,
    look: &'a Look,
    has_queue: bool,
}

/// Compares the file and the experiment with what was found.
///
/// # Errors
/// Every reason why it cannot be, a line each, with the cure.
pub(super) fn check(
    hosts: &Hosts,
    [of_server, of_client]: [&Look; 2],
    points: &[Point],
    own: &Own,
) -> Result<()> {
    let server = Found {
        name: "server",
        host: &hosts.server,
        look: of_server,
        has_queue: points.iter().any(Point::is_bypass),
    };
    let client = Found {
        name: "client",
        host: &hosts.client,
        look: of_client,
        has_queue: points.iter().any(|point| point.transport.is_some_and(Transport::is_bypass)),
    };
    let mut wrong = Vec::new();
    for end in [&server, &client] {
        wrong.extend(end.build(own));
        wrong.extend(end.place());
        if end.has_queue {
            wrong.extend(end.queue());
        }
    }
    if of_server.boot_id == of_client.boot_id && hosts.server.cpu == hosts.client.cpu {
        wrong.push(format!(
            "both ends are on one machine and on its CPU {}, and would measure each other: give \
             them two",
            hosts.server.cpu
        ));
    }
    if client.has_queue || server.has_queue {
        wrong.extend(neighbours(&server, &client, points));
    }
    wrong.extend(files(points, of_server.open_files.min(of_client.open_files)));
    if !wrong.is_empty() {
        bail!("the two hosts cannot be used so:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

impl Found<'_> {
    fn say(&self, what: &str) -> String {
        format!("[{}] ({}): {what}", self.name, self.host.label())
    }

    /// What is built there.
    fn build(&self, own: &Own) -> Vec<String> {
        let mut wrong = Vec::new();
        let look = self.look;
        let commit = own.git.as_ref().map(|git| git.commit.as_str());
        let theirs = look.git.as_ref().map(|git| git.commit.as_str());
        let checkout =
            commit.map_or_else(String::new, |commit| format!("git checkout {commit} && "));
        if look.version != own.version {
            wrong.push(self.say(&format!(
                "showdown {} is built there, and {} here; cure, there: {checkout}cargo build \
                 --release",
                look.version, own.version
            )));
        } else if let (Some(ours), Some(theirs)) = (commit, theirs)
            && ours != theirs
        {
            wrong.push(self.say(&format!(
                "commit {theirs} is checked out there, and {ours} here; cure, there: \
                 {checkout}cargo build --release"
            )));
        }
        if !look.missing.is_empty() {
            wrong.push(self.say(&format!(
                "missing there: {}; cure, there: cargo build --release, or another dir or bin",
                look.missing.join(", ")
            )));
        }
        if !look.packages.is_empty() {
            let packages = look.packages.join(" ");
            wrong.push(
                self.say(&format!("tools are missing; cure, there: apt-get install {packages}")),
            );
        }
        wrong
    }

    /// Interface, address and CPU.
    fn place(&self) -> Vec<String> {
        let Host { interface, address, bypass_address, cpu, .. } = self.host;
        let look = self.look;
        let mut wrong = Vec::new();
        if !look.interfaces.contains(interface) {
            let there = look.interfaces.join(", ");
            wrong.push(self.say(&format!("there is no interface {interface}, only {there}")));
            return wrong;
        }
        if !look.is_up {
            wrong.push(self.say(&format!(
                "{interface} is down, or has no carrier; cure, there: ip link set {interface} up, \
                 and look at the cable and the other end"
            )));
        }
        if !look.addresses.iter().any(|of| of.address == *address && of.interface == *interface) {
            wrong.push(self.say(&format!(
                "{interface} does not have the address {address}; cure, there: ip address add \
                 {address}/24 dev {interface}, with the length of your network's prefix"
            )));
        }
        if let Some(of) = look.addresses.iter().find(|of| of.address == *bypass_address) {
            wrong.push(self.say(&format!(
                "the kernel has {bypass_address} on {}, and would answer in the place of the \
                 userspace stack: choose another bypass_address",
                of.interface
            )));
        }
        if !look.cpus.contains(cpu) {
            wrong.push(self.say(&format!("CPU {cpu} may not be used there, only {:?}", look.cpus)));
        }
        wrong
    }

    /// What a queue of ours on the interface must not meet.
    fn queue(&self) -> Vec<String> {
        let Host { interface, .. } = self.host;
        let look = self.look;
        let mut wrong = Vec::new();
        let login = look.addresses.iter().find(|of| Some(of.address) == look.login);
        let carries = if look.default_routes.contains(interface) {
            Some("the default route")
        } else {
            login.filter(|of| of.interface == *interface).map(|_| "your login")
        };
        if let Some(carries) = carries {
            wrong.push(self.say(&format!(
                "{interface} carries {carries}, which a queue on it could cut off: name an \
                 interface that leads to the other end only, or leave the bypass out: --modes \
                 epoll,hyper,uring --transport epoll"
            )));
        }
        let end = look.environment.as_ref().and_then(|of| of.network.ends.first());
        let queues = end.and_then(|end| end.knobs.get("rx_queues")?.parse::<u32>().ok());
        if let Some(queues @ 2..) = queues {
            wrong.push(self.say(&format!(
                "{interface} spreads flows over {queues} queues, of which one thread binds the \
                 first; cure, there: ethtool -L {interface} combined 1"
            )));
        }
        let sums = end.and_then(|end| end.offloads.get("tx-checksumming"));
        if look.driver.as_deref() == Some("veth") && sums.is_some_and(|sums| sums.starts_with("on"))
        {
            wrong.push(self.say(&format!(
                "{interface} is a veth that leaves checksums to its other end, where a userspace \
                 stack drops such frames; cure, at both ends: ethtool -K {interface} tx off tso \
                 off gso off gro off"
            )));
        }
        wrong
    }
}

/// A userspace stack knows no router: all that it talks to is on its own network.
fn neighbours(server: &Found<'_>, client: &Found<'_>, points: &[Point]) -> Vec<String> {
    let mut wrong = Vec::new();
    let sources = points.iter().filter(|point| point.transport.is_some_and(Transport::is_bypass));
    let count = sources.map(|point| sources_count(point.cell.connections)).max();
    let first = client.host.bypass_address;
    let last = u32::try_from(count.unwrap_or(1).saturating_sub(1)).unwrap_or(u32::MAX);
    let last = Ipv4Addr::from_bits(first.to_bits().saturating_add(last));
    let mut check = |end: &Found<'_>, address: Ipv4Addr| {
        let own = end.look.addresses.iter().filter(|of| of.interface == end.host.interface);
        // Of one without any address that is said already.
        if own.clone().next().is_some() && !own.clone().any(|of| of.is_neighbour(address)) {
            let what = format!(
                "{address} is not on the network of {}, and without a router is not reached: \
                 choose another address, or a shorter prefix",
                end.host.interface
            );
            wrong.push(end.say(&what));
        }
    };
    for end in [server, client] {
        if server.has_queue {
            check(end, server.host.bypass_address);
        }
        if client.has_queue {
            check(end, first);
            if last != first {
                check(end, last);
            }
        }
    }
    wrong
}

/// Connections that are open files at an end that allows fewer than this machine.
fn files(points: &[Point], open_files: u64) -> Option<String> {
    let too_many = points.iter().find_map(|point| {
        let (mode, transport) = (point.mode()?, point.transport?);
        let (most, bound) = crate::reach::connections_max(mode, transport, open_files);
        let connections = point.cell.connections;
        (connections > most && bound == Bound::OpenFiles).then_some((connections, most))
    });
    too_many.map(|(connections, most)| {
        format!(
            "{connections} connections are more than the {most} that open files allow at an end; \
             cure, there: raise ulimit -Hn, or leave them out: --connections"
        )
    })
}
