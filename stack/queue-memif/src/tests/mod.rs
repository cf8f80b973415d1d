//! Two ends in one process, and ends that break the rules.

mod hostile;
mod pairs;
mod vpp;
mod vpp_reconnect;

use crate::{Config, MemifQueue, Port, Role};
use queue::{Burst, Frame, Queue};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than any machine needs: what waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket without a file, of this test alone.
fn socket() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("@queue-memif-test-{}-{number}", std::process::id())
}

/// One end of a link.
struct End {
    port: Port,
    queues: Vec<MemifQueue>,
}

impl End {
    fn open(config: &Config) -> Self {
        let mut port = Port::open(config).expect("a good configuration");
        let queues = port.take_queues();
        Self { port, queues }
    }

    /// Waits for a peer, and has every queue notice it.
    fn expect_up(&mut self) {
        assert!(self.port.wait_for_link(true, PATIENCE), "no peer");
        self.settle(true);
    }

    /// Waits until the peer is gone, and has every queue notice it.
    fn expect_down(&mut self) {
        assert!(self.port.wait_for_link(false, PATIENCE), "the peer stays");
        self.settle(false);
    }

    /// The control thread may hold the link's lock for a moment.
    fn settle(&mut self, is_up: bool) {
        for queue in &mut self.queues {
            let mut nothing = Burst::new();
            for _ in 0..1_000_000 {
                queue.rx_burst(&mut nothing);
                if queue.is_up() == is_up {
                    break;
                }
                std::thread::yield_now();
            }
            assert_eq!((queue.is_up(), nothing.len()), (is_up, 0));
        }
    }
}

/// Both ends of a link, which is up.
fn pair(change: impl Fn(&mut Config)) -> (End, End) {
    let socket = socket();
    let open = |role| {
        let mut config = Config::new(&socket, role);
        change(&mut config);
        End::open(&config)
    };
    let (mut server, mut client) = (open(Role::Server), open(Role::Client));
    server.expect_up();
    client.expect_up();
    (server, client)
}

/// A packet of `len` bytes that says which it is, in every byte.
fn packet(number: u64, len: u16) -> Vec<u8> {
    let number = number.to_be_bytes();
    let fill = number.iter().fold(len.to_be_bytes()[1], |sum, byte| sum.wrapping_mul(31) ^ byte);
    let mut bytes = vec![fill; usize::from(len)];
    bytes[..8].copy_from_slice(&number);
    bytes
}

fn frame_of(queue: &mut MemifQueue, bytes: &[u8]) -> Frame {
    let mut frame = queue.alloc().expect("a free frame");
    let len = u16::try_from(bytes.len()).expect("short");
    queue.bytes_mut(&mut frame, len).copy_from_slice(bytes);
    frame
}

/// Takes all that a burst has, as bytes.
fn contents(queue: &mut MemifQueue, burst: &mut Burst) -> Vec<Vec<u8>> {
    let count = burst.len();
    let frames: Vec<Frame> = burst.drain(count).collect();
    let bytes = frames.iter().map(|frame| queue.bytes(frame).to_vec()).collect();
    frames.into_iter().for_each(|frame| queue.free(frame));
    bytes
}

fn counter(queue: &MemifQueue, name: &str) -> u64 {
    let mut found = None;
    queue.counters(&mut |counter, value| {
        if counter.0 == name {
            assert_eq!(found.replace(value), None, "{name} twice");
        }
    });
    found.unwrap_or_else(|| panic!("there is no counter {name}"))
}
