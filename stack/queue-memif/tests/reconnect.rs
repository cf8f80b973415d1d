//! A hundred peers, one after another, leave nothing behind. Alone in its process, so that no other
//! test changes what is counted.

use queue::{Burst, Queue};
use queue_memif::{Config, MemifQueue, Port, Role};
use std::fs;
use std::time::Duration;

/// Longer than any machine needs: what waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Open descriptors, and mapped regions.
fn holdings() -> (usize, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").expect("procfs").count();
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    (descriptors, maps.lines().filter(|line| line.contains("memif-region")).count())
}

fn poll_until(queue: &mut MemifQueue, is_up: bool) {
    let mut nothing = Burst::new();
    while queue.is_up() != is_up {
        queue.rx_burst(&mut nothing);
        std::thread::yield_now();
    }
    assert!(nothing.is_empty());
}

fn counter(queue: &MemifQueue, name: &str) -> u64 {
    let mut found = None;
    queue.counters(&mut |counter, value| {
        if counter.0 == name {
            found = Some(value);
        }
    });
    found.unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// Sends one packet across.
fn cross(near: &mut MemifQueue, far: &mut MemifQueue, fill: u8) {
    let mut burst = Burst::new();
    let mut frame = near.alloc().expect("a free frame");
    near.bytes_mut(&mut frame, 60).fill(fill);
    burst.push(frame).expect("room");
    assert_eq!(near.tx_burst(&mut burst), 1);
    assert_eq!(far.rx_burst(&mut burst), 1);
    for frame in burst.drain(1) {
        assert_eq!(far.bytes(&frame), [fill; 60]);
        far.free(frame);
    }
}

#[test]
fn a_hundred_reconnects_leave_nothing_behind() {
    let path = std::env::temp_dir().join(format!("memif-reconnect-{}.sock", std::process::id()));
    let socket = path.to_str().expect("UTF-8");
    let mut port = Port::open(&Config::new(socket, Role::Server)).expect("a free path");
    let mut server = port.take_queues().remove(0);
    let mut before = None;
    for round in 1..=100 {
        let mut peer = Port::open(&Config::new(socket, Role::Client)).expect("a client");
        let mut client = peer.take_queues().remove(0);
        assert!(peer.wait_for_link(true, PATIENCE) && port.wait_for_link(true, PATIENCE));
        poll_until(&mut client, true);
        poll_until(&mut server, true);
        cross(&mut client, &mut server, round);
        cross(&mut server, &mut client, round);
        drop(peer);
        drop(client);
        assert!(port.wait_for_link(false, PATIENCE));
        poll_until(&mut server, false);
        let now = holdings();
        assert_eq!(*before.get_or_insert(now), now, "round {round}: descriptors, regions");
    }
    assert_eq!((counter(&server, "link_ups"), counter(&server, "link_downs")), (100, 100));
    assert_eq!(counter(&server, "control_handshakes"), 100);
    assert_eq!(counter(&server, "control_peer_ends"), 100);
    assert_eq!(counter(&server, "control_errors"), 0);
    assert_eq!(server.outstanding(), 0);
    server.audit();
    drop(port);
    assert!(!path.exists(), "the socket's file goes with the port");
}
