//! A host under attack, and the means of the attacker: any frame at all.

use engine::{
    Advance, App, Close, Closed, Config, ConnId, Engine, Event, Native, Outbox, Smoltcp, Tcp,
};
use queue::Queue;
use sim::{Clock, Link, Port, PortConfig, pair};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::Instant;

pub const VICTIM_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const ATTACKER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
pub const VICTIM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);
pub const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 66);
pub const MTU: u16 = 1500;
/// Bounds that attacks run against.
pub const CONNECTIONS: u32 = 64;
pub const HALF_OPEN: u32 = 16;
const POOL_BYTES: usize = 8 * 1024 * 1024;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

/// Answers each line, which is a number, with as many bytes, and closes when the peer has.
#[derive(Debug, Default)]
pub struct Answers {
    /// All that was read, of all connections.
    pub input: Vec<u8>,
    pub closed: Vec<Closed>,
}

#[derive(Debug, Default)]
pub struct Owed {
    line: usize,
    bytes: usize,
    saw_eof: bool,
}

impl App for Answers {
    type Conn = Owed;

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<Owed> {
        Some(Owed::default())
    }

    fn ready(
        &mut self,
        _: Instant,
        owed: &mut Owed,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        owed.saw_eof |= event == Event::Eof;
        let mut consumed = 0;
        // Back-pressure: nothing is read while an answer is owed.
        loop {
            let put = owed.bytes.min(output.space());
            output.put(&vec![b'x'; put]);
            owed.bytes -= put;
            let Some(byte) = input.get(consumed).filter(|_| owed.bytes == 0) else { break };
            consumed += 1;
            match byte {
                b'0'..=b'9' => owed.line = (owed.line * 10 + usize::from(byte - b'0')) % 10_000_000,
                b'\n' => owed.bytes = std::mem::take(&mut owed.line),
                _ => {}
            }
        }
        self.input.extend_from_slice(&input[..consumed]);
        let is_done = owed.saw_eof && owed.bytes == 0;
        let close = is_done.then_some(Close::Both);
        Advance { consumed, wants_space: owed.bytes > 0, close, ..Advance::IDLE }
    }

    fn closed(&mut self, _: Owed, why: Closed) {
        self.closed.push(why);
    }
}

/// The engine with some TCP.
pub trait Host {
    fn poll(&mut self, now: Instant) -> usize;
    fn next_deadline(&self) -> Option<Instant>;
    fn app(&mut self) -> &mut Answers;
    fn drain(&mut self, now: Instant, deadline: Instant);
    fn outstanding(&mut self) -> usize;
    fn visit(&self, visit: &mut dyn FnMut(queue::Counter, u64));
}

impl<T: Tcp> Host for Engine<Port, Answers, T> {
    fn poll(&mut self, now: Instant) -> usize {
        Self::poll(self, now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Self::next_deadline(self)
    }

    fn app(&mut self) -> &mut Answers {
        Self::app(self)
    }

    fn drain(&mut self, now: Instant, deadline: Instant) {
        Self::drain(self, now, deadline);
    }

    fn outstanding(&mut self) -> usize {
        self.queue().outstanding()
    }

    fn visit(&self, visit: &mut dyn FnMut(queue::Counter, u64)) {
        self.counters(visit);
    }
}

/// The host under attack, and the wire to it.
pub struct Victim {
    pub clock: Clock,
    pub host: Box<dyn Host>,
    pub wire: Port,
    next_port: u16,
}

fn config() -> Config {
    Config {
        connections: CONNECTIONS,
        half_open: HALF_OPEN,
        time_wait_entries: 1024,
        control_replies_per_second: 100,
        resets_per_second: 100,
        tx_buffer_bytes: 64 * 1024,
        // Enough for all connections at a time; a campaign makes a victim for each input.
        tx_pool_bytes: POOL_BYTES,
        rx_pool_bytes: POOL_BYTES,
        ..Config::new(VICTIM, *b"attack the stack")
    }
}

/// Attacks the engine with each TCP in turn.
pub fn each(attack: fn(&mut Victim)) {
    for mut victim in [smoltcp_victim(), native_victim()] {
        attack(&mut victim);
        victim.recovers();
    }
}

/// Attacks the engine with our own TCP, of which more is asked.
pub fn native(attack: fn(&mut Victim)) {
    let mut victim = native_victim();
    attack(&mut victim);
    victim.recovers();
}

/// Attacks the engine with each TCP in turn, and leaves what is left of it.
pub fn without_recovery(attack: fn(&mut Victim)) {
    for mut victim in [smoltcp_victim(), native_victim()] {
        attack(&mut victim);
    }
}

fn smoltcp_victim() -> Victim {
    let config = config();
    let buffers = (config.rx_buffer_bytes, config.tx_buffer_bytes);
    let tcp = Smoltcp::new(*VICTIM.ip(), MTU, buffers, &config.key);
    Victim::new(config, tcp)
}

/// The engine with our own TCP.
pub fn native_victim() -> Victim {
    let config = config();
    let tcp = Native::new(&config, MTU);
    Victim::new(config, tcp)
}

impl Victim {
    fn new<T: Tcp + 'static>(config: Config, tcp: T) -> Self {
        let clock = Clock::default();
        clock.advance(Duration::from_secs(1000));
        let (port, wire) = pair(
            1,
            &clock,
            (PortConfig::new(VICTIM_MAC), Link::PERFECT),
            (PortConfig::new(ATTACKER_MAC), Link::PERFECT),
        );
        let host = Box::new(Engine::new(port, Answers::default(), tcp, config));
        Self { clock, host, wire, next_port: 50_000 }
    }

    /// Sends a frame and lets the victim act; returns what it says, as frames.
    pub fn hears_frame(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.wire.send(frame);
        self.acts();
        self.frames()
    }

    /// The same for a segment, and what it says as segments.
    pub fn hears(&mut self, segment: &Segment) -> Vec<Segment> {
        self.wire.send(&segment.frame());
        self.acts();
        self.says()
    }

    /// Lets the victim do all that it has to do now.
    pub fn acts(&mut self) {
        for _ in 0..100 {
            self.host.poll(self.clock.now());
        }
        assert_eq!(self.host.outstanding(), 0, "a frame has leaked");
    }

    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while self.wire.take(|frame| frames.push(frame.to_vec())) {}
        frames
    }

    pub fn says(&mut self) -> Vec<Segment> {
        self.frames().iter().filter_map(|frame| Segment::parse(frame)).collect()
    }

    /// Lets time pass, timer by timer; returns what was said.
    pub fn passes(&mut self, duration: Duration) -> Vec<Segment> {
        let end = self.clock.now() + duration;
        let mut said = Vec::new();
        while self.clock.now() < end {
            let next = self.host.next_deadline().unwrap_or(end).min(end);
            self.clock.advance_to(next.max(self.clock.now() + Duration::from_micros(100)));
            self.host.poll(self.clock.now());
            said.extend(self.says());
        }
        said
    }

    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut counters = BTreeMap::new();
        self.host.visit(&mut |counter, value| {
            counters.insert(counter.0, value);
        });
        counters
    }

    pub fn count(&self, name: &str) -> u64 {
        *self.counters().get(name).unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// Connections, half-open ones among them.
    pub fn tables(&self) -> (u64, u64) {
        (self.count("connections_now"), self.count("half_open_now"))
    }

    /// Opens a connection in good order.
    pub fn opens(&mut self) -> Peer {
        let mut peer = Peer::new(self.next_port);
        self.next_port += 1;
        let answers = self.hears(&peer.syn());
        let [syn_ack] = &answers[..] else { panic!("a SYN-ACK, not {answers:?}") };
        assert_eq!((syn_ack.flags, syn_ack.ack), (SYN | ACK, peer.seq.wrapping_add(1)));
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = syn_ack.seq.wrapping_add(1);
        let more = self.hears(&peer.ack());
        assert!(more.is_empty(), "{more:?}");
        peer
    }

    /// A request of this peer is answered with as many bytes as it asks for.
    pub fn serves(&mut self, peer: &mut Peer, count: usize) {
        let line = format!("{count}\n");
        let mut said = self.hears(&peer.data(line.as_bytes()));
        peer.seq = peer.seq.wrapping_add(u32::try_from(line.len()).expect("short"));
        let mut received = 0;
        for _ in 0..100_000 {
            if said.is_empty() {
                break;
            }
            received += peer.takes(&said);
            said = if received == count { Vec::new() } else { self.hears(&peer.ack()) };
            if said.is_empty() && received < count {
                said = self.passes(Duration::from_secs(1));
            }
        }
        assert_eq!(received, count, "the answer is whole");
        self.hears(&peer.ack());
    }

    /// The connection of this peer still lives.
    pub fn survives(&mut self, peer: &mut Peer) {
        self.serves(peer, 10);
    }

    /// Closes in good order: the peer first.
    pub fn closes(&mut self, peer: &mut Peer) {
        let fin = Segment { flags: FIN | ACK, ..peer.ack() };
        let said = self.hears(&fin);
        peer.seq = peer.seq.wrapping_add(1);
        let last = said.last().unwrap_or_else(|| panic!("a FIN, not nothing"));
        assert_eq!(last.flags & (FIN | RST), FIN, "{said:?}");
        peer.ack = last.seq_end();
        self.hears(&peer.ack());
    }

    /// What every attack ends with: everybody is served as before, and nothing is left.
    fn recovers(&mut self) {
        self.passes(Duration::from_secs(200));
        assert_eq!(self.tables(), (0, 0), "nothing is left of it: {:?}", self.counters());
        let before = self.host.app().closed.len();
        let mut peer = self.opens();
        self.serves(&mut peer, 5000);
        self.closes(&mut peer);
        assert_eq!(self.host.app().closed[before..], [Closed::Finished]);
        assert_eq!(self.tables(), (0, 0));
        assert_eq!(self.host.outstanding(), 0, "a frame has leaked");
    }
}

/// One end of a connection that is made by hand.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: Ipv4Addr,
    pub port: u16,
    pub seq: u32,
    pub ack: u32,
    pub options: Vec<u8>,
    pub wnd: u16,
}

impl Peer {
    pub fn new(port: u16) -> Self {
        let options = vec![2, 4, 0x05, 0xb4];
        Self { address: ATTACKER, port, seq: 0xffff_ff00, ack: 0, options, wnd: 65_535 }
    }

    pub fn syn(&self) -> Segment {
        let options = self.options.clone();
        Segment { flags: SYN, ack: 0, options, ..self.ack() }
    }

    pub fn ack(&self) -> Segment {
        Segment {
            source: self.address,
            ports: (self.port, VICTIM.port()),
            seq: self.seq,
            ack: self.ack,
            flags: ACK,
            wnd: self.wnd,
            up: 0,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    pub fn data(&self, payload: &[u8]) -> Segment {
        Segment { payload: payload.to_vec(), flags: ACK | PSH, ..self.ack() }
    }

    /// Takes what is in order; returns the number of bytes.
    pub fn takes(&mut self, said: &[Segment]) -> usize {
        let mut count = 0;
        for segment in said.iter().filter(|segment| segment.ports.1 == self.port) {
            assert_eq!(segment.flags & RST, 0, "a reset: {segment:?}");
            if segment.seq == self.ack {
                self.ack = segment.seq_end();
                count += segment.payload.len();
            }
        }
        count
    }
}

/// A TCP segment and who sends it, in all freedom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: Ipv4Addr,
    /// Source and destination.
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub wnd: u16,
    pub up: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

/// Offsets into a frame without IP options.
pub const IP: usize = 14;
pub const TCP: usize = 34;

impl Segment {
    pub fn seq_end(&self) -> u32 {
        let control = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.seq.wrapping_add(u32::try_from(self.payload.len()).expect("short") + control)
    }

    /// The segment in a frame, with good checksums.
    pub fn frame(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let tcp_len = 20 + options.len() + self.payload.len();
        let mut frame = [&VICTIM_MAC[..], &ATTACKER_MAC, &[0x08, 0x00]].concat();
        frame.extend([0x45, 0]);
        frame.extend(u16::try_from(20 + tcp_len).expect("a packet").to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(self.source.octets());
        frame.extend(VICTIM.ip().octets());
        frame.extend(self.ports.0.to_be_bytes());
        frame.extend(self.ports.1.to_be_bytes());
        frame.extend(self.seq.to_be_bytes());
        frame.extend(self.ack.to_be_bytes());
        frame.extend([u8::try_from((20 + options.len()) / 4).expect("short") << 4, self.flags]);
        frame.extend(self.wnd.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(self.up.to_be_bytes());
        frame.extend(options);
        frame.extend(&self.payload);
        mend(&mut frame);
        frame
    }

    /// Reads what the victim has sent, whose checksums must be good; `None` if it is no segment.
    fn parse(frame: &[u8]) -> Option<Self> {
        if frame[12..14] != [0x08, 0x00] || frame[23] != 6 {
            return None;
        }
        let mut mended = frame.to_vec();
        mend(&mut mended);
        assert_eq!(mended, frame, "a bad checksum is sent");
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four"));
        let short = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let data = TCP + usize::from(frame[TCP + 12] >> 4) * 4;
        assert!(frame.len() <= 14 + usize::from(MTU), "longer than the MTU");
        Some(Self {
            source: *VICTIM.ip(),
            ports: (short(TCP), short(TCP + 2)),
            seq: word(TCP + 4),
            ack: word(TCP + 8),
            flags: frame[TCP + 13],
            wnd: short(TCP + 14),
            up: short(TCP + 18),
            options: frame[TCP + 20..data].to_vec(),
            payload: frame[data..].to_vec(),
        })
    }
}

/// Makes the checksums of an IPv4 packet with TCP or ICMP good, as far as its lengths allow.
pub fn mend(frame: &mut [u8]) {
    let header_len = usize::from(frame[IP] & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]));
    let end = (IP + total_len).min(frame.len());
    if header_len < 20 || IP + header_len > end {
        return;
    }
    let (ip, payload) = frame[IP..end].split_at_mut(header_len);
    ip[10..12].fill(0);
    let checksum = !sum(0, ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let (place, pseudo) = match ip[9] {
        1 => (2, 0),
        6 => {
            let len = u32::try_from(payload.len()).expect("short");
            (16, u32::from(sum(6 + len, &ip[12..20])))
        }
        _ => return,
    };
    if payload.len() >= place + 2 {
        payload[place..place + 2].fill(0);
        let checksum = !sum(pseudo, payload);
        payload[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// RFC 1071, the plain way.
fn sum(start: u32, bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum = start + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).expect("folded")
}
