//! Clients behind a wire that loses, doubles and corrupts, in both directions.
//!
//! ```text
//!   e2e-far           e2e-client                     e2e-server
//!   kernel's TCP ── far0 ══ near0 ─▶ faults ─▶ cli0 ══ srv0 ── the stack under test
//!                             ◀───── faults ◀───
//! ```
//!
//! A namespace of their own, because a packet that leaves a socket gets its checksum behind the
//! last hook of nftables: what would be corrupted there would be sealed afterwards. Here both
//! directions meet their faults on the way in, with the checksum that the sender has made.

use crate::lab::{End, Lab, PREFIX, in_namespace, succeeded};
use crate::mode::Mode;
use serde_json::Value;
use server_testing::{Client, Server};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

const MEBIBYTE: usize = 1024 * 1024;
/// Connections at a time, and what each of them does one after the other.
const CLIENTS: usize = 6;
const ROUNDS: usize = 2;
/// Bytes that each round sends and gets back; a response of [`MEBIBYTE`] comes before.
const ECHOED: usize = 512 * 1024;
/// An address of clients behind the wire.
const FAR: &str = "198.18.0.100";

/// What the wire does to so many of a hundred segments.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    lost: u8,
    doubled: u8,
    /// One byte of the payload, or of a short segment's header, is inverted in part.
    spoilt: u8,
}

/// The wire, as long as this lives.
struct Wire<'a> {
    lab: &'a Lab,
}

impl<'a> Wire<'a> {
    /// Lays the wire; the calling thread stays where it is.
    fn new(lab: &'a Lab) -> Self {
        let wire = Self { lab };
        // What a suite that was killed has left.
        if std::fs::exists(format!("/run/netns/{}", far())).expect("root may look") {
            wire.remove().expect("it can be removed");
        }
        let [near, far_end] = ["near0", "far0"].map(interface);
        ip(&["netns", "add", &far()]);
        let client = End::Client.namespace();
        let pair = ["link", "add", &near, "netns", &client, "type", "veth", "peer", "name"];
        ip(&[&pair[..], &[&far_end, "netns", &far()]].concat());
        for (namespace, end) in
            [(&client, &near), (&far(), &far_end), (&client, &interface("cli0"))]
        {
            let exec = ["netns", "exec", namespace, "ethtool", "-K", end];
            // Without it the kernel seals and believes checksums where nobody can corrupt them.
            let off = ["tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off"];
            ip(&[&exec[..], &off].concat());
            ip(&["-n", namespace, "link", "set", "dev", end, "up"]);
        }
        ip(&["-n", &far(), "address", "add", &format!("{FAR}/16"), "dev", &far_end]);
        wire
    }

    /// Carries everything, and does this to some of it.
    fn set(&self, faults: Faults) {
        let [near, cli] = ["near0", "cli0"].map(interface);
        let chains = [("server", &near, &cli), ("client", &cli, &near)].map(|(to, from, out)| {
            let Faults { lost, doubled, spoilt } = faults;
            let some = |percent| format!("ip protocol tcp numgen random mod 100 < {percent}");
            // The chain of what comes from the server sees what is for the kernel beside it, too.
            let bound = if to == "client" { format!("ip daddr {FAR}") } else { String::new() };
            let arp = if to == "client" { format!("arp daddr ip {FAR}") } else { String::new() };
            format!(
                "counter lost_to_{to} {{ }}
                counter doubled_to_{to} {{ }}
                counter spoilt_to_{to} {{ }}
                chain to_{to} {{
                    type filter hook ingress device \"{from}\" priority 0; policy accept;
                    {bound} {lost_some} counter name lost_to_{to} drop
                    {bound} ip length > 200 {spoilt_some} counter name spoilt_to_{to} {DATA}
                    {bound} ip length <= 200 {spoilt_some} counter name spoilt_to_{to} {HEADER}
                    {bound} {doubled_some} counter name doubled_to_{to} dup to \"{out}\"
                    ether type ip {bound} fwd to \"{out}\"
                    ether type arp {arp} fwd to \"{out}\"
                }}\n",
                lost_some = some(lost),
                spoilt_some = some(spoilt),
                doubled_some = some(doubled),
            )
        });
        let rules = format!("flush ruleset\ntable netdev wire {{\n{}}}\n", chains.concat());
        let mut nft = self.lab.command(End::Client, "nft", &["-f", "-"]);
        let mut child = nft.stdin(Stdio::piped()).spawn().expect("ip is there");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(rules.as_bytes()).expect("nft reads");
        drop(stdin);
        assert!(child.wait().expect("our child").success(), "nft refuses: {rules}");
    }

    /// How many segments were lost, doubled or spoilt on their way to `to`.
    fn count(&self, what: &str, to: &str) -> u64 {
        let json = self.lab.run(End::Client, "nft", &["-j", "list", "counters"]);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let counters = json["nftables"].as_array().expect("a list").iter();
        let name = format!("{what}_to_{to}");
        let found = counters.map(|object| &object["counter"]).find(|it| it["name"] == name);
        found.and_then(|counter| counter["packets"].as_u64()).expect("a counter of ours")
    }

    fn remove(&self) -> Result<(), String> {
        // A process that is still inside would keep the namespace, but not the interface.
        let near = interface("near0");
        let of_client = ["-n", &End::Client.namespace(), "link", "del", "dev", &near];
        let gone = Command::new("ip").args(of_client).stdin(Stdio::null()).output();
        drop(gone);
        let output = Command::new("ip").args(["netns", "del", &far()]).output();
        let output = output.map_err(|error| error.to_string())?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(error) }
    }
}

/// Byte 70 of a frame lies in the payload, byte 48 in the TCP header: the window.
const DATA: &str = "@ll,560,8 set @ll,560,8 ^ 0x55";
const HEADER: &str = "@ll,384,8 set @ll,384,8 ^ 0x55";

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        match self.remove() {
            Err(error) if std::thread::panicking() => eprintln!("{error}"),
            result => result.expect("the wire can be removed"),
        }
    }
}

fn far() -> String {
    format!("{PREFIX}-far")
}

fn interface(end: &str) -> String {
    format!("{PREFIX}-{end}")
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    succeeded(&format!("ip {}", arguments.join(" ")), &output.expect("ip is there"));
}

/// Bytes that differ from client to client and from place to place.
fn body(client: usize) -> Vec<u8> {
    let mix = |place: usize| (place ^ client << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    (0..ECHOED).map(|place| mix(place).to_le_bytes()[0]).collect()
}

/// One client: long responses and long requests in turns, every byte compared.
fn talks(address: SocketAddr, number: usize, expected: &[u8]) {
    let mut client = Client::connect(address);
    let own = body(number);
    for _ in 0..ROUNDS {
        let response = client.get("/bytes/1048576");
        assert!(response.status == 200 && response.body == expected, "wrong bytes");
        client.send(format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {ECHOED}\r\n\r\n"));
        client.send(&own);
        let response = client.response();
        assert!(response.status == 200 && response.body == own, "wrong bytes come back");
    }
}

/// Lets clients talk to a server over a wire with faults; returns the server, whose connections
/// are closed, and checksums that the clients' kernel has found wrong.
fn talk(lab: &Lab, wire: &Wire<'_>, mode: Mode, faults: Faults) -> (Server, u64) {
    let mut server = lab.start(mode, &[]);
    let expected = server.connect().get("/bytes/1048576").body;
    assert_eq!(expected.len(), MEBIBYTE);
    wire.set(faults);
    let address = server.address;
    in_namespace(&far(), || {
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let expected = &expected;
                scope.spawn(move || talks(address, number, expected));
            }
        });
    });
    server.wait_for("connections_closed", 1 + CLIENTS as u64);
    let snmp = Command::new("ip").args(["netns", "exec", &far(), "cat", "/proc/net/snmp"]).output();
    let snmp = succeeded("cat /proc/net/snmp", &snmp.expect("ip is there"));
    let tcp: Vec<&str> = snmp.lines().filter(|line| line.starts_with("Tcp:")).collect();
    let [names, values] = tcp[..] else { panic!("two lines of TCP: {snmp}") };
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, wrong) = pairs.find(|(name, _)| *name == "InCsumErrors").expect("it is counted");
    (server, wrong.parse().expect("a number"))
}

/// Nothing is left of the connections, and every request was answered once.
fn assert_all_is_well(server: Server) -> Value {
    let counters = server.stop();
    assert_eq!(counters["responses"], 1 + 2 * ROUNDS * CLIENTS, "{counters}");
    assert_eq!(counters["connections_accepted"], 1 + CLIENTS, "{counters}");
    assert_eq!(counters["closed_peer"], 1 + CLIENTS, "{counters}");
    for back in ["connections_now", "half_open_now", "frames_outstanding"] {
        assert_eq!(counters[back], 0, "{back}: {counters}");
    }
    counters
}

pub(crate) fn every_byte_arrives_over_a_wire_that_loses(mode: Mode) {
    let lab = Lab::new();
    let wire = Wire::new(&lab);
    let (server, wrong) = talk(&lab, &wire, mode, Faults { lost: 3, ..Faults::default() });
    assert!(wire.count("lost", "server") > 0 && wire.count("lost", "client") > 0);
    let counters = assert_all_is_well(server);
    assert_eq!((wrong, &counters["rx_bad_tcp_checksum_segments"]), (0, &0.into()), "{counters}");
}

pub(crate) fn every_byte_arrives_once_over_a_wire_that_doubles(mode: Mode) {
    let lab = Lab::new();
    let wire = Wire::new(&lab);
    let (server, _) = talk(&lab, &wire, mode, Faults { doubled: 20, ..Faults::default() });
    let doubled = wire.count("doubled", "server");
    assert!(doubled > 100 && wire.count("doubled", "client") > 100, "{doubled}");
    let counters = assert_all_is_well(server);
    if mode.module == "xdp_native" {
        // smoltcp does not tell what it drops. A doubled ACK is no old segment.
        let old = counters["rx_out_of_window_segments"].as_u64().expect("a count");
        assert!((1..=doubled).contains(&old), "{doubled} doubled: {counters}");
    }
}

pub(crate) fn what_a_wire_corrupts_is_dropped_by_its_checksum(mode: Mode) {
    let lab = Lab::new();
    let wire = Wire::new(&lab);
    let (server, wrong) = talk(&lab, &wire, mode, Faults { spoilt: 3, ..Faults::default() });
    let spoilt = (wire.count("spoilt", "server"), wire.count("spoilt", "client"));
    assert!(wrong > 0 && wrong <= spoilt.1, "{wrong} of {spoilt:?}");
    let counters = assert_all_is_well(server);
    let dropped = counters["rx_bad_tcp_checksum_segments"].as_u64().expect("a count");
    // The rest were lost for want of a frame, or came to a socket that was closed.
    assert!(dropped > 0 && dropped <= spoilt.0, "{spoilt:?} spoilt: {counters}");
}

pub(crate) fn every_byte_arrives_over_a_wire_that_does_all_of_it(mode: Mode) {
    let lab = Lab::new();
    let wire = Wire::new(&lab);
    let (server, _) = talk(&lab, &wire, mode, Faults { lost: 2, doubled: 5, spoilt: 2 });
    for to in ["server", "client"] {
        for what in ["lost", "doubled", "spoilt"] {
            assert!(wire.count(what, to) > 0, "{what} to {to}");
        }
    }
    assert_all_is_well(server);
}
