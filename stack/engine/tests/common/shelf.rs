//! A queue that is a shelf of frames, and peers that put requests on it: for measurements, where
//! the simulated wire would cost more than the engine.

#![allow(dead_code, unreachable_pub, reason = "each user of this module uses a part of it")]

use super::common::{CLIENT_MAC, SERVER_MAC, TestTcp};
use engine::{Advance, App, Closed, ConnId, Engine, Event, Outbox};
use queue::{
    Attach, BURST_MAX, Burst, BusyPoll, Checksum, CopyMode, Counter, Frame, Meta, Queue, QueueCaps,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::Instant;

const FRAME_BYTES: u16 = 2048;
const FRAMES: u64 = 4 * BURST_MAX as u64;
/// Length of the Ethernet, IPv4 and TCP headers of a segment without options.
const HEADERS_LEN: usize = 14 + 20 + 20;

/// Frames on their way in, and frames that were sent.
#[derive(Debug)]
pub struct Shelf {
    caps: QueueCaps,
    memory: Vec<u8>,
    free: Vec<Frame>,
    arriving: Vec<Frame>,
    sent: Vec<Frame>,
    outstanding: usize,
}

impl Shelf {
    pub fn new() -> Self {
        let caps = QueueCaps {
            driver: "shelf",
            mac: SERVER_MAC,
            mtu: 1500,
            frame_bytes: FRAME_BYTES,
            frame_count: u32::try_from(FRAMES).expect("a few"),
            rx_checksum: Checksum::Software,
            tx_checksum: Checksum::Software,
            copy_mode: CopyMode::ZeroCopy,
            attach: Attach::None,
            busy_poll: BusyPoll::Off,
        };
        let frame = |slot| Frame::from_parts(slot * u64::from(FRAME_BYTES), 0, 0, Meta::default());
        Self {
            caps,
            memory: vec![0; usize::from(FRAME_BYTES) * usize::try_from(FRAMES).expect("a few")],
            free: (0..FRAMES).map(frame).collect(),
            arriving: Vec::new(),
            sent: Vec::new(),
            outstanding: 0,
        }
    }

    /// Puts a packet of `len` bytes, which `write` writes, where the next burst finds it.
    fn arrive(&mut self, len: u16, write: impl FnOnce(&mut [u8])) {
        let mut frame = self.free.pop().expect("a frame is free");
        write(self.bytes_mut(&mut frame, len));
        self.arriving.push(frame);
    }
}

impl Queue for Shelf {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let count = self.arriving.len();
        for frame in self.arriving.drain(..) {
            burst.push(frame).expect("no more than a burst arrives at a time");
        }
        self.outstanding += count;
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let count = burst.len();
        self.sent.extend(burst.drain(count));
        self.outstanding -= count;
        count
    }

    fn alloc(&mut self) -> Option<Frame> {
        let frame = self.free.pop()?;
        self.outstanding += 1;
        Some(frame)
    }

    fn free(&mut self, frame: Frame) {
        self.outstanding -= 1;
        self.free.push(frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        let start = usize::try_from(frame.addr()).expect("an offset");
        &self.memory[start..start + usize::from(frame.len())]
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        frame.resize(len);
        let start = usize::try_from(frame.addr()).expect("an offset");
        &mut self.memory[start..start + usize::from(len)]
    }

    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn counters(&self, _: &mut dyn FnMut(Counter, u64)) {}
}

/// What a peer asks.
const REQUEST: &[u8; 52] = b"GET /plaintext HTTP/1.1\r\nhost: showdown.example\r\n\r\n_";
/// Length of what it is answered, in bytes: that of a plain-text response.
const RESPONSE_LEN: usize = 133;

/// An application that answers everything at once and keeps nothing.
pub struct Answers;

impl App for Answers {
    type Conn = ();

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<()> {
        Some(())
    }

    fn ready(
        &mut self,
        _: Instant,
        (): &mut (),
        _: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        if !input.is_empty() {
            output.put(&[b'x'; RESPONSE_LEN]);
        }
        Advance { consumed: input.len(), ..Advance::IDLE }
    }

    fn closed(&mut self, (): (), _: Closed) {}
}

/// Where one peer stands.
struct Peer {
    address: Ipv4Addr,
    port: u16,
    seq: u32,
    ack: u32,
}

/// Peers with one connection each, that ask in turns.
pub struct Peers {
    server: Ipv4Addr,
    peers: Vec<Peer>,
    next: usize,
}

/// Connections from one address: below the number of ports.
const PER_ADDRESS: u32 = 50_000;
const FIRST_PORT: u32 = 10_000;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH_ACK: u8 = 0x18;

impl Peers {
    pub fn new(server: Ipv4Addr) -> Self {
        Self { server, peers: Vec::new(), next: 0 }
    }

    /// Opens the connection with this number: numbers count from zero.
    pub fn open<T: TestTcp>(
        &mut self,
        engine: &mut Engine<Shelf, Answers, T>,
        now: Instant,
        number: u32,
    ) {
        let [.., last] = (10 + number / PER_ADDRESS).to_be_bytes();
        let port = u16::try_from(FIRST_PORT + number % PER_ADDRESS).expect("a port");
        let address = Ipv4Addr::new(198, 18, 0, last);
        let mut peer = Peer { address, port, seq: 1000, ack: 0 };
        peer.send(self.server, engine.queue(), SYN, &[]);
        engine.poll(now);
        let shelf = engine.queue();
        let syn_ack = shelf.sent.pop().expect("a SYN-ACK");
        let seq = shelf.bytes(&syn_ack)[38..42].try_into().expect("four bytes");
        shelf.free.push(syn_ack);
        peer.seq += 1;
        peer.ack = u32::from_be_bytes(seq).wrapping_add(1);
        peer.send(self.server, shelf, ACK, &[]);
        engine.poll(now);
        self.peers.push(peer);
    }

    /// Lets the next `count` peers ask.
    pub fn ask(&mut self, shelf: &mut Shelf, count: usize) {
        for _ in 0..count {
            let peer = &mut self.peers[self.next];
            peer.send(self.server, shelf, PUSH_ACK, REQUEST);
            peer.seq = peer.seq.wrapping_add(52);
            peer.ack = peer.ack.wrapping_add(133);
            self.next = (self.next + 1) % self.peers.len();
        }
    }

    /// Takes everything that was sent; returns how many responses there were.
    pub fn hear(&mut self, shelf: &mut Shelf) -> usize {
        let mut count = 0;
        while let Some(frame) = shelf.sent.pop() {
            count += usize::from(usize::from(frame.len()) == HEADERS_LEN + RESPONSE_LEN);
            shelf.free.push(frame);
        }
        count
    }
}

impl Peer {
    fn send(&self, server: Ipv4Addr, shelf: &mut Shelf, flags: u8, payload: &[u8]) {
        let len = u16::try_from(HEADERS_LEN + payload.len()).expect("short");
        shelf.arrive(len, |frame| {
            frame[..6].copy_from_slice(&SERVER_MAC);
            frame[6..12].copy_from_slice(&CLIENT_MAC);
            frame[12..14].copy_from_slice(&[0x08, 0]);
            let ip_len = (len - 14).to_be_bytes();
            frame[14..24].copy_from_slice(&[0x45, 0, ip_len[0], ip_len[1], 0, 0, 0x40, 0, 64, 6]);
            frame[24..26].fill(0);
            frame[26..30].copy_from_slice(&self.address.octets());
            frame[30..34].copy_from_slice(&server.octets());
            frame[34..36].copy_from_slice(&self.port.to_be_bytes());
            frame[36..38].copy_from_slice(&8080_u16.to_be_bytes());
            frame[38..42].copy_from_slice(&self.seq.to_be_bytes());
            frame[42..46].copy_from_slice(&self.ack.to_be_bytes());
            frame[46..54].copy_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            frame[HEADERS_LEN..].copy_from_slice(payload);
            super::common::fix_checksums(frame);
        });
    }
}
