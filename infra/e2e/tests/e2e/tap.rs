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
        lab.run(End::Client, "ip", &["link", "set", &interface, "up"]);
        let to = format!("{address}/32");
        let from = ["dev", &interface, "src", "198.18.0.10"];
        lab.run(End::Client, "ip", &[&["route", "add", to.as_str()][..], &from].concat());
        tap
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Both calls fail where it has ended already, which a test has then said in its own words.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
