//! The queue over virtual devices of DPDK: no NIC, no huge page, no privilege.
//!
//! EAL is set up once for all tests of this process, each of which brings a device of its own;
//! DPDK's functions that add and configure devices are not for several threads at a time, so that
//! the tests take turns.
#![forbid(unsafe_code)]

mod memif;
mod null;
mod ring;

use queue::{BURST_MAX, Burst, Queue};
use queue_dpdk::{Config, DpdkQueue, Eal, Port};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// EAL, and the right to use it.
struct Lab {
    eal: &'static Eal,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static EAL: OnceLock<Eal> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let eal = EAL.get_or_init(|| {
            let prefix = format!("queue-dpdk-{}", std::process::id());
            let words = "--no-huge -m 512 --no-pci --no-telemetry --no-shconf --file-prefix";
            let words = words.split(' ').chain([prefix.as_str()]);
            Eal::init(&words.map(str::to_owned).collect::<Vec<_>>()).expect("needs no huge pages")
        });
        Self { eal, _turn: turn }
    }

    /// Adds a device and opens it with a queue that this thread polls.
    fn open(&self, device: &str, change: impl FnOnce(&mut Config)) -> (Port, DpdkQueue) {
        self.eal.add_device(device).expect("a driver takes it");
        let name = device.split(',').next().expect("a name");
        let mut config = Config::new(Some(name.to_owned()));
        change(&mut config);
        let mut port = Port::open(self.eal, &config).expect("the device is there");
        let queue = port.take_queues().remove(0);
        queue.register_thread().expect("few threads");
        (port, queue)
    }
}

/// Ends a test: nothing may be missing.
fn close(port: Port, queue: DpdkQueue) {
    assert_eq!(queue.outstanding(), 0);
    queue.audit();
    drop(queue);
    assert_eq!(port.close(), Some(0), "frames that have not come back");
}

fn counter(queue: &impl Queue, name: &str) -> u64 {
    let mut found = None;
    queue.counters(&mut |counter, value| {
        if counter.0 == name {
            assert_eq!(found.replace(value), None, "two counters {name}");
        }
    });
    found.unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// Length of a packet: all from the shortest to the MTU occur.
fn len(number: u64) -> u16 {
    60 + u16::try_from(number % 1455).expect("up to the MTU")
}

/// The packet of this number: an Ethernet header of test equipment, then the number and filler.
fn fill(packet: &mut [u8], number: u64) {
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    packet[14..22].copy_from_slice(&number.to_be_bytes());
    for chunk in packet[22..].chunks_mut(8) {
        chunk.copy_from_slice(&filler[..chunk.len()]);
    }
}

/// Appends the packets from `number` on to the burst, as long as there is room, `most` at most.
fn build(queue: &mut impl Queue, burst: &mut Burst, number: u64, most: u64) -> u64 {
    let mut built = 0;
    while built < most && burst.len() < BURST_MAX {
        let Some(mut frame) = queue.alloc() else { break };
        let number = number + built;
        fill(queue.bytes_mut(&mut frame, len(number)), number);
        burst.push(frame).expect("the burst has room");
        built += 1;
    }
    built
}

/// Checks that what has come are the packets from `number` on, and frees them.
fn check(queue: &mut impl Queue, burst: &mut Burst, number: u64) -> u64 {
    let mut expected = [0; 2048];
    let came = burst.len();
    for (frame, number) in burst.drain(came).zip(number..) {
        let expected = &mut expected[..usize::from(len(number))];
        fill(expected, number);
        assert!(queue.bytes(&frame) == expected, "packet {number} is another one");
        queue.free(frame);
    }
    came as u64
}
