//! A hundred links, one after another, in both roles, whoever of the two leaves.

use crate::exchange::exchange;
use crate::process::Testpmd;
use crate::{PATIENCE, config, counter, open, settle, socket, wait_for_turn};
use queue::{Burst, Queue};
use queue_memif::{MemifQueue, Port, Role};
use std::fs;
use std::time::Instant;

/// Links of a test.
const ROUNDS: u64 = 100;
/// Packets there and back on each of them.
const PACKETS: u64 = 2_000;
/// How often testpmd is killed.
const KILLS: u64 = 3;
/// What the process may have grown by after all rounds, in pages of 4 KiB: one link's memory in
/// each would be sixty times as much, one frame in each a tenth.
const GROWTH_PAGES_MAX: u64 = 2_000;

/// Open descriptors, and mapped regions.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    regions: usize,
}

impl Holdings {
    fn now() -> Self {
        let descriptors = fs::read_dir("/proc/self/fd").expect("procfs").count();
        let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
        // DPDK calls its memory `memif region 0`, we ours `memif-region`.
        let regions = maps.lines().filter(|line| line.contains("memfd:memif")).count();
        Self { descriptors, regions }
    }
}

/// Pages of the process that are in memory: the second number of proc_pid_statm(5).
fn resident_pages() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("procfs");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number")
}

/// What the process held when all was well first; later it must hold the same.
#[derive(Default)]
struct Ledger {
    first: Option<(Holdings, u64)>,
}

impl Ledger {
    fn check(&mut self, round: u64) {
        let now = Holdings::now();
        let (first, pages) = self.first.get_or_insert_with(|| (Holdings::now(), resident_pages()));
        assert_eq!(*first, now, "round {round}");
        let growth = resident_pages().saturating_sub(*pages);
        assert!(growth <= GROWTH_PAGES_MAX, "{growth} more pages after round {round}");
    }
}

/// Packets on a new link.
fn meet(port: &Port, queue: &mut MemifQueue, round: u64) {
    settle(port, queue, true);
    exchange(queue, round * PACKETS..(round + 1) * PACKETS);
}

/// It leaves and comes again, and we stay.
fn it_leaves(role: Role, theirs: &str) {
    let _turn = wait_for_turn();
    let socket = socket(&format!("leaves-{theirs}"));
    let (port, mut queue) = open(&config(&socket, role));
    let Some(mut testpmd) = Testpmd::start(&socket, theirs, "") else { return };
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        meet(&port, &mut queue, round);
        testpmd.stop_forwarding();
        ledger.check(round);
        testpmd.say("port stop 0");
        // A client of ours may have come back before it is looked at: the count of links tells.
        wait_for_downs(&mut queue, round + 1);
        testpmd.say("port start 0\nstart");
    }
    settle(&port, &mut queue, true);
    assert_eq!(counter(&queue, "link_ups"), ROUNDS + 1);
    testpmd.quit();
    settle(&port, &mut queue, false);
    check_counts(&queue, ROUNDS * PACKETS);
    assert_eq!(counter(&queue, "link_downs"), ROUNDS + 1);
}

fn wait_for_downs(queue: &mut MemifQueue, downs: u64) {
    let (mut nothing, start) = (Burst::new(), Instant::now());
    while counter(queue, "link_downs") < downs {
        assert!(start.elapsed() < PATIENCE, "the queue does not lose link {downs}");
        queue.rx_burst(&mut nothing);
        std::thread::yield_now();
    }
    assert!(nothing.is_empty());
}

/// No packet lost, no frame either, and nothing that should not have happened.
fn check_counts(queue: &MemifQueue, packets: u64) {
    for name in ["rx_frames", "tx_frames"] {
        assert_eq!(counter(queue, name), packets, "{name}");
    }
    for name in [
        "control_errors",
        "control_malformed_refusals",
        "control_ring_faults",
        "control_slow_refusals",
        "control_stranger_refusals",
        "control_surplus_refusals",
        "tx_link_down_frames",
    ] {
        assert_eq!(counter(queue, name), 0, "{name}");
    }
    assert_eq!(queue.outstanding(), 0);
    queue.audit();
}

#[test]
fn a_client_that_leaves_a_hundred_times_leaves_nothing_behind() {
    it_leaves(Role::Server, "client");
}

#[test]
fn a_server_that_leaves_a_hundred_times_leaves_nothing_behind() {
    it_leaves(Role::Client, "server");
}

#[test]
fn a_server_that_we_leave_a_hundred_times_takes_us_back_and_nothing_stays_here() {
    let _turn = wait_for_turn();
    let socket = socket("left");
    let Some(mut testpmd) = Testpmd::start(&socket, "server", "") else { return };
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        let (port, mut queue) = open(&config(&socket, Role::Client));
        meet(&port, &mut queue, round);
        testpmd.stop_forwarding();
        check_counts(&queue, PACKETS);
        drop((port, queue));
        ledger.check(round);
        testpmd.say("start");
    }
    testpmd.quit();
}

/// It is killed with packets on their way, and another one comes.
fn it_dies(role: Role, theirs: &str) {
    let _turn = wait_for_turn();
    let socket = socket(&format!("dies-{theirs}"));
    let (port, mut queue) = open(&config(&socket, role));
    let mut ledger = Ledger::default();
    for round in 0..KILLS {
        let Some(testpmd) = Testpmd::start(&socket, theirs, "") else { return };
        meet(&port, &mut queue, round);
        let mut burst = Burst::new();
        while burst.room() > 0 {
            let mut frame = queue.alloc().expect("a free frame");
            queue.bytes_mut(&mut frame, 60).fill(0);
            burst.push(frame).expect("room");
        }
        queue.tx_burst(&mut burst);
        drop(testpmd);
        assert!(port.wait_for_link(false, PATIENCE), "its death is noticed");
        while queue.is_up() {
            queue.rx_burst(&mut burst);
            burst.drain(burst.len()).for_each(|frame| queue.free(frame));
        }
        ledger.check(round);
        assert_eq!(queue.outstanding(), 0, "round {round}");
    }
    assert_eq!((counter(&queue, "link_ups"), counter(&queue, "link_downs")), (KILLS, KILLS));
    queue.audit();
}

#[test]
fn clients_that_are_killed_leave_nothing_behind() {
    it_dies(Role::Server, "client");
}

#[test]
fn servers_that_are_killed_leave_nothing_behind() {
    it_dies(Role::Client, "server");
}
