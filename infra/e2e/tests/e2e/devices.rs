//! What single devices have: checksum offload, several queues.

use crate::lab::{End, Lab, PREFIX, cpus};
use crate::mode::Mode;
use server_testing::Server;
use std::io::{Write, stderr};

mod dpdk {
    /// The checksums of every other device are the stack's.
    #[test]
    fn checksums_are_the_ports_or_the_stacks() {
        super::checksums(&[], "offload");
        super::checksums(&["--checksum", "software"], "software");
    }

    #[test]
    fn two_queues_share_the_connections() {
        super::two_queues();
    }
}

/// The peer of a veth sends by as many queues as the receiver takes from; the kernel chooses one by
/// a hash of the flow, and the XDP program gives each to the socket of that queue.
#[test]
fn two_queues_of_a_veth_share_the_connections() {
    const CONNECTIONS: usize = 64;
    if cpus() < 2 {
        writeln!(stderr(), "SKIPPED: two queues need two CPUs").expect("standard error");
        return;
    }
    let lab = Lab::new();
    let interface = format!("{PREFIX}-srv0");
    let peer = format!("{PREFIX}-cli0");
    lab.run(End::Server, "ethtool", &["-L", &interface, "rx", "2", "tx", "2"]);
    lab.run(End::Client, "ethtool", &["-L", &peer, "rx", "2", "tx", "2"]);
    let mode = Mode::of("xdp_native");
    let (namespace, binary) = (End::Server.namespace(), mode.binary());
    let start = ["netns", "exec", &namespace, &binary, "--listen", mode.listen, "--cpus", "0-1"];
    let server = Server::start("ip", &[&start[..], mode.flags].concat());
    assert_eq!((&server.ready["queues"], &server.ready["threads"]), (&2.into(), &2.into()));
    let before = redirected(&lab, &interface);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    drop(clients);
    let after = redirected(&lab, &interface);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CONNECTIONS, "{counters}");
    assert_eq!(counters["responses"], CONNECTIONS, "{counters}");
    // A handshake and a request are three frames of a flow at least; a fair hash sends none of
    // them to one queue for one in 2^63 sets of ports.
    for (queue, (before, after)) in before.into_iter().zip(after).enumerate() {
        assert!(after >= before + 3, "queue {queue}: {before} frames before, {after} after");
    }
}

/// Frames that the program has given to the sockets of queues 0 and 1.
fn redirected(lab: &Lab, interface: &str) -> [u64; 2] {
    let statistics = lab.run(End::Server, "ethtool", &["-S", interface]);
    [0, 1].map(|queue| {
        let name = format!("rx_queue_{queue}_xdp_redirect:");
        let line = statistics.lines().find_map(|line| line.trim().strip_prefix(&name));
        line.and_then(|count| count.trim().parse().ok()).expect("veth counts them")
    })
}

/// `net_tap` fills in and verifies checksums; the kernel at its other end takes no wrong one.
fn checksums(flags: &[&str], by: &str) {
    let lab = Lab::new();
    let server = lab.start(Mode::of("dpdk_tap"), flags);
    assert_eq!(server.ready["rx_checksum"], by, "{}", server.ready);
    assert_eq!(server.ready["tx_checksum"], by, "{}", server.ready);
    let mut client = server.connect();
    assert_eq!(client.get("/bytes/100001").body.len(), 100_001);
    drop(client);
    let counters = server.stop();
    for none in ["rx_bad_checksum_frames", "rx_bad_tcp_checksum_segments"] {
        assert_eq!(counters[none], 0, "{none}: {counters}");
    }
}

/// `net_af_packet` has the kernel choose a queue by a hash of the flow.
fn two_queues() {
    const CONNECTIONS: usize = 64;
    if cpus() < 2 {
        writeln!(stderr(), "SKIPPED: two queues need two CPUs").expect("standard error");
        return;
    }
    let _lab = Lab::new();
    let mode = Mode::of("dpdk_af_packet");
    let (namespace, binary) = (End::Server.namespace(), mode.binary());
    let start = ["netns", "exec", &namespace, &binary, "--listen", mode.listen, "--cpus", "0-1"];
    let (device, eal) = mode.last.split_last().expect("the device is the last");
    let device = format!("{device},qpairs=2");
    let server = Server::start("ip", &[&start[..], mode.flags, eal, &[&device]].concat());
    assert_eq!((&server.ready["queues"], &server.ready["rss"]), (&2.into(), &"none".into()));
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    drop(clients);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CONNECTIONS, "{counters}");
    assert_eq!(counters["responses"], CONNECTIONS, "{counters}");
    assert_eq!(counters["frames_outstanding"], 0, "{counters}");
}
