//! A server thread that reflects frames, and a client thread that sends them and compares.

use crate::net::{CLIENT, Net, within};
use crate::sys;
use queue::{Burst, Queue, QueueCaps};
use queue_xdp::{Config, Port};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

/// The address of the queues.
pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Their TCP port.
pub(crate) const PORT: u16 = 8080;

const FRAME_LEN_MIN: usize = 60;
const FRAME_LEN_MAX: usize = 1514;

/// How many frames are sent, and how many of them may be under way.
pub(crate) struct Traffic {
    pub(crate) frame_count: u32,
    pub(crate) window: u32,
}

/// What the server's queues say afterwards.
pub(crate) struct Outcome {
    pub(crate) caps: QueueCaps,
    pub(crate) rx_frames: Vec<u64>,
    sums: BTreeMap<&'static str, u64>,
}

impl Outcome {
    /// A counter, all queues together.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        *self.sums.get(name).unwrap_or_else(|| panic!("there is no counter {name}"))
    }
}

/// Sends frames from the client to the given queues of the server, and compares what comes back.
///
/// The server's thread gives up its capabilities once its queues are bound.
pub(crate) fn exchange(
    net: &Net,
    config: &Config,
    queue_ids: &[u32],
    traffic: &Traffic,
) -> Outcome {
    let is_done = AtomicBool::new(false);
    let (ready, is_ready) = mpsc::channel();
    thread::scope(|scope| {
        let is_done = &is_done;
        let server = scope.spawn(move || {
            within(&net.server, || {
                let port = Port::open(config).expect("a port");
                let bind = |&queue_id| port.bind(queue_id).expect("a queue");
                let queues = queue_ids.iter().map(bind).collect();
                sys::drop_capabilities();
                ready.send(()).expect("the test waits");
                serve(queues, is_done)
            })
        });
        // Without a message the server has panicked, and says why when it is joined.
        let reflected = is_ready.recv().map(|()| {
            let stop = StopOnDrop(is_done);
            let reflected = within(&net.client, || round_trip(traffic));
            drop(stop);
            reflected
        });
        let outcome = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert_eq!(reflected, Ok(traffic.frame_count));
        outcome
    })
}

/// Stops the server also when the client panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reflects until told to stop.
fn serve(mut queues: Vec<queue_xdp::XdpQueue>, is_done: &AtomicBool) -> Outcome {
    let mut burst = Burst::new();
    while !is_done.load(Ordering::Relaxed) {
        for queue in &mut queues {
            queue.rx_burst(&mut burst);
            while !burst.is_empty() && !is_done.load(Ordering::Relaxed) {
                queue.tx_burst(&mut burst);
            }
            let refused = burst.len();
            burst.drain(refused).for_each(|frame| queue.free(frame));
            // Reception may be idle now: what the kernel left in TX is offered to it again.
            queue.tx_burst(&mut burst);
            assert_eq!(queue.outstanding(), 0);
        }
        thread::yield_now();
    }
    let mut outcome =
        Outcome { caps: queues[0].caps().clone(), rx_frames: Vec::new(), sums: BTreeMap::new() };
    for queue in queues {
        queue.audit();
        queue.counters(&mut |counter, count| {
            *outcome.sums.entry(counter.0).or_default() += count;
            if counter.0 == "rx_frames" {
                outcome.rx_frames.push(count);
            }
        });
    }
    outcome
}

/// Sends every frame and takes each back once, unchanged; returns how many came back.
///
/// # Panics
/// If one does not come back, comes back twice or changed.
pub(crate) fn round_trip(traffic: &Traffic) -> u32 {
    let mut socket = sys::packet_socket(CLIENT);
    let mut under_way = BTreeSet::new();
    let (mut sent, mut reflected) = (0, 0);
    let mut packet = [0; FRAME_LEN_MAX + 1];
    while reflected < traffic.frame_count {
        while sent < traffic.frame_count && sent - reflected < traffic.window {
            let frame = frame(sent);
            assert_eq!(socket.write(&frame).expect("sent"), frame.len());
            under_way.insert(frame);
            sent += 1;
        }
        let len = socket.read(&mut packet).unwrap_or_else(|error| {
            panic!("{} of {sent} frames did not come back: {error}", under_way.len())
        });
        if packet[..6] == SERVER_MAC {
            assert!(under_way.remove(&packet[..len]), "a frame came back changed or twice");
            reflected += 1;
        }
    }
    assert!(under_way.is_empty());
    reflected
}

/// A MAC that nobody has: the server's program does not look at it, and the client's kernel
/// ignores what comes back.
const SERVER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// Frame `number`: Ethernet, IPv4, a TCP segment to our port, and bytes that differ from those of
/// every other frame. Lengths go from the shortest to the longest.
fn frame(number: u32) -> Vec<u8> {
    let span = FRAME_LEN_MAX - FRAME_LEN_MIN + 1;
    let len = FRAME_LEN_MIN + (number as usize * 787) % span;
    let ip_len = u16::try_from(len - 14).expect("at most an MTU");
    let source_port = 1024 + (number % 50_000) as u16;
    let mut frame = Vec::with_capacity(len);
    frame.extend(SERVER_MAC);
    frame.extend(CLIENT_MAC);
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(ip_len.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(Ipv4Addr::new(198, 18, 0, 10).octets());
    frame.extend(OURS.octets());
    frame.extend(source_port.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    // The sequence number is the frame's; then a header without options.
    frame.extend(number.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    let mut byte = number;
    frame.resize_with(len, || {
        // A linear congruential generator (Numerical Recipes' constants).
        byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        byte.to_be_bytes()[0]
    });
    frame
}
