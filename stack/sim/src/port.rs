//! One end of the wire: a pool of frames behind the driver boundary.

use crate::Clock;
use crate::link::LinkCounters;
use crate::network::Wire;
use queue::{Attach, Burst, BusyPoll, Checksum, CopyMode, Counter, Frame, Meta, Queue, QueueCaps};
use std::cell::RefCell;
use std::rc::Rc;
use tcp::Instant;

/// Size of one frame's buffer, in bytes.
pub const FRAME_BYTES: u16 = 2048;

/// What a port is like.
#[derive(Clone, Copy, Debug)]
pub struct PortConfig {
    /// Its address.
    pub mac: [u8; 6],
    /// Frames in its pool, for both directions together.
    pub frame_count: u32,
    /// Largest IPv4 packet, in bytes.
    pub mtu: u16,
    /// Most frames one `tx_burst` takes, to imitate a transmit ring that is often full.
    pub tx_burst_frames: usize,
}

impl PortConfig {
    /// A port with room for every test that is not about running out of room.
    #[must_use]
    pub fn new(mac: [u8; 6]) -> Self {
        Self { mac, frame_count: 1024, mtu: 1500, tx_burst_frames: usize::MAX }
    }
}

#[derive(Debug, Default)]
struct PortCounters {
    rx_frames: u64,
    rx_no_frame_dropped: u64,
    rx_oversize_dropped: u64,
    tx_frames: u64,
}

/// One end of a simulated wire, a [`Queue`] for the code under test or for its peer.
#[derive(Debug)]
pub struct Port {
    caps: QueueCaps,
    clock: Clock,
    memory: Vec<u8>,
    free: Vec<u64>,
    held: Vec<bool>,
    outstanding: usize,
    tx_burst_frames: usize,
    wire: Rc<RefCell<Wire>>,
    /// Its number on the wire.
    number: usize,
    counters: PortCounters,
}

impl Port {
    pub(crate) fn new(
        config: PortConfig,
        clock: &Clock,
        wire: Rc<RefCell<Wire>>,
        number: usize,
    ) -> Self {
        let caps = QueueCaps {
            driver: "sim",
            mac: config.mac,
            mtu: config.mtu,
            frame_bytes: FRAME_BYTES,
            frame_count: config.frame_count,
            rx_checksum: Checksum::Software,
            tx_checksum: Checksum::Software,
            copy_mode: CopyMode::Copy,
            attach: Attach::None,
            busy_poll: BusyPoll::Off,
        };
        let frames = config.frame_count as usize;
        Self {
            caps,
            clock: clock.clone(),
            memory: vec![0; frames * FRAME_BYTES as usize],
            free: (0..u64::from(config.frame_count)).rev().collect(),
            held: vec![false; frames],
            outstanding: 0,
            tx_burst_frames: config.tx_burst_frames,
            wire,
            number,
            counters: PortCounters::default(),
        }
    }

    /// Sends one packet, for peers that have no frames of their own.
    pub fn send(&mut self, packet: &[u8]) {
        self.counters.tx_frames += 1;
        self.wire.borrow_mut().send(self.clock.now(), self.number, packet);
    }

    /// Takes the next packet that has arrived, past the frames, and shows it to `receive`.
    pub fn take(&mut self, receive: impl FnOnce(&[u8])) -> bool {
        self.wire.borrow_mut().deliver(self.clock.now(), self.number, receive)
    }

    /// When the next packet for this port arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.wire.borrow().next_arrival(self.number)
    }

    /// What its link did to the packets that this port sent.
    #[must_use]
    pub fn link_counters(&self) -> LinkCounters {
        self.wire.borrow().counters(self.number)
    }

    fn slot(&self, frame: &Frame) -> usize {
        let slot = usize::try_from(frame.addr()).expect("an index");
        assert!(self.held[slot], "frame {slot} is used after it was freed or sent");
        slot
    }

    fn give_back(&mut self, frame: &Frame) {
        let slot = self.slot(frame);
        self.held[slot] = false;
        self.outstanding -= 1;
        self.free.push(frame.addr());
    }
}

impl Queue for Port {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let (wire, number) = (Rc::clone(&self.wire), self.number);
        while burst.room() > 0 {
            let delivered = wire.borrow_mut().deliver(self.clock.now(), number, |packet| {
                let Ok(len) = u16::try_from(packet.len())
                    .map_err(|_| ())
                    .and_then(|len| if len <= FRAME_BYTES { Ok(len) } else { Err(()) })
                else {
                    self.counters.rx_oversize_dropped += 1;
                    return;
                };
                let Some(mut frame) = self.alloc() else {
                    self.counters.rx_no_frame_dropped += 1;
                    return;
                };
                self.bytes_mut(&mut frame, len).copy_from_slice(packet);
                self.counters.rx_frames += 1;
                burst.push(frame).expect("there is room");
            });
            if !delivered {
                break;
            }
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let count = burst.len().min(self.tx_burst_frames);
        let wire = Rc::clone(&self.wire);
        for frame in burst.drain(count) {
            wire.borrow_mut().send(self.clock.now(), self.number, self.bytes(&frame));
            self.counters.tx_frames += 1;
            self.give_back(&frame);
        }
        count
    }

    fn alloc(&mut self) -> Option<Frame> {
        let addr = self.free.pop()?;
        self.held[usize::try_from(addr).expect("an index")] = true;
        self.outstanding += 1;
        Some(Frame::from_parts(addr, 0, 0, Meta::default()))
    }

    fn free(&mut self, frame: Frame) {
        self.give_back(&frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        let start = self.slot(frame) * FRAME_BYTES as usize + frame.start() as usize;
        &self.memory[start..start + frame.len() as usize]
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        assert!(frame.start() + len <= FRAME_BYTES, "{len} bytes do not fit into a frame");
        frame.resize(len);
        let start = self.slot(frame) * FRAME_BYTES as usize + frame.start() as usize;
        &mut self.memory[start..start + len as usize]
    }

    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        visit(Counter("sim_rx_frames"), self.counters.rx_frames);
        visit(Counter("sim_rx_no_frame_dropped"), self.counters.rx_no_frame_dropped);
        visit(Counter("sim_rx_oversize_dropped"), self.counters.rx_oversize_dropped);
        visit(Counter("sim_tx_frames"), self.counters.tx_frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, pair};

    fn two(frame_count: u32, tx_burst_frames: usize) -> (Port, Port) {
        let config = |last| PortConfig {
            frame_count,
            tx_burst_frames,
            ..PortConfig::new([2, 0, 0, 0, 0, last])
        };
        pair(1, &Clock::default(), (config(1), Link::PERFECT), (config(2), Link::PERFECT))
    }

    fn write(port: &mut Port, text: &[u8]) -> Frame {
        let mut frame = port.alloc().expect("a frame");
        port.bytes_mut(&mut frame, u16::try_from(text.len()).expect("short")).copy_from_slice(text);
        frame
    }

    #[test]
    fn a_burst_crosses_the_wire_and_every_frame_comes_home() {
        let (mut a, mut b) = two(4, 2);
        let mut burst = Burst::new();
        for text in [b"one", b"two", b"six"] {
            let frame = write(&mut a, text);
            burst.push(frame).expect("room");
        }
        assert_eq!(a.outstanding(), 3);
        assert_eq!(a.tx_burst(&mut burst), 2);
        assert_eq!((a.outstanding(), burst.len()), (1, 1));
        assert_eq!(a.tx_burst(&mut burst), 1);
        assert_eq!(b.rx_burst(&mut burst), 3);
        assert_eq!(b.bytes(&burst.frames()[2]), b"six");
        for frame in burst.drain(3) {
            b.free(frame);
        }
        assert_eq!((a.outstanding(), b.outstanding()), (0, 0));
    }

    #[test]
    fn an_empty_pool_drops_and_counts() {
        let (mut a, mut b) = two(1, usize::MAX);
        a.send(b"one");
        a.send(b"two");
        let mut burst = Burst::new();
        assert_eq!(b.rx_burst(&mut burst), 1);
        assert_eq!(b.counters.rx_no_frame_dropped, 1);
        assert!(b.alloc().is_none());
        for frame in burst.drain(1) {
            b.free(frame);
        }
    }

    #[test]
    #[should_panic(expected = "used after it was freed")]
    fn a_second_free_of_the_same_frame_is_caught() {
        let (mut a, _b) = two(2, usize::MAX);
        let frame = write(&mut a, b"x");
        let copy = Frame::from_parts(frame.addr(), 0, 1, Meta::default());
        a.free(frame);
        a.free(copy);
    }
}
