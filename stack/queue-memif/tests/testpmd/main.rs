//! Against DPDK's own memif, in both roles: a million packets there and back, none lost, none
//! changed, none out of order; and a hundred links, one after another, that leave nothing behind.
//! Needs `dpdk-testpmd`; without it every test says `SKIPPED` and why.
//!
//! testpmd sends every packet back where it came from. No huge page, no NIC, no privilege.

mod exchange;
mod million;
mod process;
mod reconnect;

use queue::{Burst, Queue};
use queue_memif::{Config, MemifQueue, Port, Role};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What anything may take, the start of testpmd included, before the test has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until no other test runs: each testpmd keeps a CPU busy, and what a process holds is all
/// tests' together.
fn wait_for_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn socket(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("memif-testpmd-{test}-{}.sock", std::process::id()))
}

fn config(socket: &Path, role: Role) -> Config {
    Config::new(socket.to_str().expect("UTF-8"), role)
}

fn open(config: &Config) -> (Port, MemifQueue) {
    let mut port = Port::open(config).expect("a free path");
    let queue = port.take_queues().remove(0);
    (port, queue)
}

/// Waits until there is a link, or none, and the queue has noticed.
fn settle(port: &Port, queue: &mut MemifQueue, is_up: bool) {
    let state = if is_up { "up" } else { "down" };
    assert!(port.wait_for_link(is_up, PATIENCE), "the link is not {state}");
    let (mut nothing, start) = (Burst::new(), Instant::now());
    while queue.is_up() != is_up {
        assert!(start.elapsed() < PATIENCE, "the queue does not notice that the link is {state}");
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
