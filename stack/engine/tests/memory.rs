//! What a connection at rest weighs, by what the kernel says that the process has.

mod common;
#[path = "common/shelf.rs"]
mod shelf;

use common::{SERVER, TestTcp, config};
use engine::{Config, Engine, Native};
use queue::Queue;
use shelf::{Answers, Peers, Shelf};
use std::time::Duration;
use tcp::Instant;

const CONNECTIONS: u32 = 100_000;
/// What each may weigh, in bytes: everything that the engine keeps for it.
const BOUND: usize = 2560;

/// Memory of this process that is not swapped out, in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    let kib = line.trim().strip_suffix(" kB").expect("in kilobytes");
    kib.parse::<usize>().expect("a number") * 1024
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is what a reader of this test wants to know")]
fn a_hundred_thousand_connections_at_rest_have_two_and_a_half_kilobytes_each() {
    let before = resident_bytes();
    let config = Config { connections: CONNECTIONS, ..config() };
    let shelf = Shelf::new();
    let tcp = <Native as TestTcp>::new(&config, shelf.caps().mtu);
    let mut engine = Engine::new(shelf, Answers, tcp, config);
    let mut peers = Peers::new(*SERVER.ip());
    let now = Instant::ZERO + Duration::from_secs(1000);
    for number in 0..CONNECTIONS {
        peers.open(&mut engine, now, number);
    }
    let opened = resident_bytes() - before;
    // Each has asked something, been answered, and acknowledged the answer with its next request.
    for _ in 0..2 {
        for _ in 0..CONNECTIONS / 32 {
            peers.ask(engine.queue(), 32);
            engine.poll(now);
            assert_eq!(peers.hear(engine.queue()), 32);
        }
    }
    let used = resident_bytes() - before;
    let each = |bytes: usize| bytes / CONNECTIONS as usize;
    println!("{} bytes each when open, {} after two requests each", each(opened), each(used));
    // At the worst moment all answers are unacknowledged at a time, and memory that was touched
    // once is kept for the next time.
    assert!(each(used) <= BOUND, "{} bytes each", each(used));
}
