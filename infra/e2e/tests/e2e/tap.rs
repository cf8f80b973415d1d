//! The way of the kernel's clients to a server on a memif.

use crate::lab::{End, Lab, PREFIX, binary};
use crate::mode::MEMIF_SOCKET;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Stdio};

/// The name of its interface, in the client's namespace.
pub(crate) fn interface() -> String {
    format!("{PREFIX}-tap0")
}

/// A running `memif-tap`; killed when dropped, and its interface with it.
#[derive(Debug)]
pub(crate) struct Tap {
    child: Child,
}

impl Tap {
    /// Starts it in the client's namespace, where `address` is then behind its interface.
    ///
    /// The interface needs no address of its own: the kernel sends from those of the veth pair,
    /// and answers ARP for any of its addresses on every interface.
    pub(crate) fn start(lab: &Lab, address: IpAddr) -> Self {
        let interface = interface();
        let words = [MEMIF_SOCKET, "client", &interface];
        let mut command = lab.command(End::Client, &binary("memif-tap"), &words);
        let child = command.stdout(Stdio::piped()).spawn().expect("ip is there");
        let mut tap = Self { child };
        let mut line = String::new();
        let output = tap.child.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("it prints");
        assert!(line.starts_with("ready: "), "memif-tap says why, see above: {line}");
        route(lab, &interface, address);
        tap
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The name of the interface that DPDK's `net_tap` makes.
pub(crate) const DPDK_INTERFACE: &str = "e2e-tap1";

/// Moves the interface that a server has made for itself to the client's namespace, and gives the
/// kernel's end of it a MAC address of its own: the driver shares one between both.
pub(crate) fn adopt(lab: &Lab, address: IpAddr) {
    let client = End::Client.namespace();
    lab.run(End::Server, "ip", &["link", "set", DPDK_INTERFACE, "netns", &client]);
    let mac = ["link", "set", DPDK_INTERFACE, "address", "02:00:00:00:00:0a"];
    lab.run(End::Client, "ip", &mac);
    route(lab, DPDK_INTERFACE, address);
}

/// Brings an interface of the client's namespace up, with `address` behind it.
fn route(lab: &Lab, interface: &str, address: IpAddr) {
    lab.run(End::Client, "ip", &["link", "set", interface, "up"]);
    let to = format!("{address}/32");
    let from = ["dev", interface, "src", "198.18.0.10"];
    lab.run(End::Client, "ip", &[&["route", "add", to.as_str()][..], &from].concat());
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Both calls fail where it has ended already, which a test has then said in its own words.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
