//! `net_memif` against our own memif, in both roles: two implementations of one protocol.

use crate::{Lab, build, check, close, counter};
use queue::{Burst, Queue};
use queue_memif::{MemifQueue, Role};
use std::time::Duration;

/// Packets each way.
const PACKETS: u64 = 100_000;
/// Packets on their way at most: less than a ring of 1,024 holds.
const WINDOW: u64 = 512;
/// What a link may take to come up before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn we_serve_dpdk_as_client() {
    exchange("serve", Role::Server, "client");
}

#[test]
fn we_are_the_client_of_dpdk() {
    exchange("client", Role::Client, "server");
}

fn exchange(name: &str, ours: Role, theirs: &str) {
    let lab = Lab::new();
    let file = format!("queue-dpdk-{name}-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(file);
    let socket = path.to_str().expect("UTF-8");
    let config = queue_memif::Config::new(socket, ours);
    let mut memif_port = queue_memif::Port::open(&config).expect("a free path");
    let mut memif = memif_port.take_queues().remove(0);
    let device = format!("net_memif_{name},role={theirs},socket={socket},socket-abstract=no");
    let (port, mut dpdk) = lab.open(&device, |_| ());
    assert!(memif_port.wait_for_link(true, PATIENCE), "they do not connect");
    assert!(port.wait_for_link(true, PATIENCE), "DPDK does not see the link");
    let mut nothing = Burst::new();
    while !memif.is_up() {
        memif.rx_burst(&mut nothing);
    }
    transfer(&mut memif, &mut dpdk);
    transfer(&mut dpdk, &mut memif);
    for name in ["rx_frames", "tx_frames"] {
        assert_eq!(counter(&memif, name), PACKETS, "{name}");
        assert_eq!(counter(&dpdk, name), PACKETS, "{name}");
    }
    end(memif_port, memif);
    close(port, dpdk);
    drop(std::fs::remove_file(path));
}

/// Sends packets from one queue to the other, and checks each.
fn transfer(from: &mut impl Queue, to: &mut impl Queue) {
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let (mut built, mut seen) = (0, 0);
    while seen < PACKETS {
        built += build(from, &mut out, built, (PACKETS - built).min(seen + WINDOW - built));
        from.tx_burst(&mut out);
        to.rx_burst(&mut back);
        seen += check(to, &mut back, seen);
    }
    assert_eq!((from.outstanding(), to.outstanding()), (0, 0));
}

fn end(port: queue_memif::Port, queue: MemifQueue) {
    queue.audit();
    drop((port, queue));
}
