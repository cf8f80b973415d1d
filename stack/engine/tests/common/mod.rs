//! What the engine's tests share: an application, a scripted peer that writes each segment by
//! hand, and smoltcp as a peer that behaves.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this module")]

use engine::{
    Advance, App, Close, Closed, Config, ConnId, ConnectError, Engine, Event, Native, Outbox,
    Smoltcp, Tcp,
};
use queue::Queue;
use sim::{Clock, Link, Port, PortConfig, pair};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::Instant;

pub mod client;

pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 10);

/// What the application does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends every byte back, as there is room, and closes behind the last one.
    Echo,
    /// Answers each line with that many bytes `x`.
    Lines(usize),
    /// Answers the first input with that many bytes of [`pattern`], and closes behind them.
    Body(usize),
    /// Takes the input, keeps it and says nothing.
    Sink,
    /// Sends that, closes its side, and takes what comes back until the peer closes.
    Say(&'static [u8]),
    /// Says nothing, takes a byte each millisecond, and closes its side when something comes, or
    /// behind the peer.
    Slow { closes_last: bool },
    /// Looks at the input, and takes it when there are that many bytes.
    Patient(usize),
}

/// An application that does as it is told and remembers what it was told.
#[derive(Debug)]
pub struct TestApp {
    pub mode: Mode,
    pub refuse: bool,
    /// Answer the next event of any connection with this close, or this time to wake.
    pub close_next: Option<Close>,
    pub wake_next: Option<Instant>,
    pub opened: Vec<ConnId>,
    pub events: Vec<Event>,
    pub closed: Vec<Closed>,
    /// Tokens of active opens.
    pub connected: Vec<u64>,
    pub failed: Vec<(u64, ConnectError)>,
    pub input: Vec<u8>,
}

impl TestApp {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            refuse: false,
            close_next: None,
            wake_next: None,
            opened: Vec::with_capacity(16_384),
            events: Vec::new(),
            closed: Vec::with_capacity(16_384),
            connected: Vec::new(),
            failed: Vec::new(),
            input: Vec::new(),
        }
    }
}

/// What the application keeps for a connection: bytes of an answer it could not put yet.
#[derive(Debug, Default)]
pub struct TestConn {
    owed: usize,
    put: usize,
    eof: bool,
}

/// Bytes that differ wherever two of them could be mistaken for each other.
pub fn pattern(place: usize) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]
}

static X: [u8; 4096] = [b'x'; 4096];

impl App for TestApp {
    type Conn = TestConn;

    fn opened(&mut self, _: Instant, id: ConnId, _: SocketAddrV4) -> Option<TestConn> {
        self.opened.push(id);
        (!self.refuse).then(TestConn::default)
    }

    fn connected(
        &mut self,
        now: Instant,
        id: ConnId,
        peer: SocketAddrV4,
        token: u64,
    ) -> Option<TestConn> {
        self.connected.push(token);
        self.opened(now, id, peer)
    }

    fn connect_failed(&mut self, token: u64, why: ConnectError) {
        self.failed.push((token, why));
    }

    fn ready(
        &mut self,
        now: Instant,
        conn: &mut TestConn,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        if self.events.len() < 1000 {
            self.events.push(event);
        }
        conn.eof |= matches!(event, Event::Eof | Event::Drain);
        let mut advance = Advance::IDLE;
        match self.mode {
            Mode::Echo => {
                advance.consumed = input.len().min(output.space());
                output.put(&input[..advance.consumed]);
                advance.wants_space = advance.consumed < input.len();
            }
            Mode::Lines(answer) => {
                conn.owed += answer * input.iter().filter(|byte| **byte == b'\n').count();
                advance.consumed = input.len();
                while conn.owed > 0 && output.space() > 0 {
                    let put = conn.owed.min(output.space()).min(X.len());
                    output.put(&X[..put]);
                    conn.owed -= put;
                }
                advance.wants_space = conn.owed > 0;
            }
            Mode::Body(len) => {
                advance.consumed = input.len();
                let begun = conn.put > 0 || !input.is_empty();
                while begun && conn.put < len && output.space() > 0 {
                    output.put(&[pattern(conn.put)]);
                    conn.put += 1;
                }
                advance.wants_space = begun && conn.put < len;
                conn.eof |= begun;
            }
            Mode::Say(text) => {
                if conn.put == 0 {
                    output.put(text);
                    conn.put = text.len();
                    advance.close = Some(Close::Write);
                }
                advance.consumed = input.len();
                self.input.extend_from_slice(input);
            }
            Mode::Slow { closes_last } => {
                advance.consumed = input.len().min(1);
                self.input.extend_from_slice(&input[..advance.consumed]);
                advance.close = {
                    let may_close = conn.eof || !closes_last && !input.is_empty();
                    may_close.then_some(Close::Write)
                };
                if input.len() > 1 {
                    return Advance { wake_at: now + Duration::from_millis(1), ..advance };
                }
            }
            Mode::Patient(least) => {
                advance.consumed = if input.len() >= least { input.len() } else { 0 };
                self.input.extend_from_slice(&input[..advance.consumed]);
            }
            Mode::Sink => {
                advance.consumed = input.len();
                self.input.extend_from_slice(input);
            }
        }
        if conn.eof && !advance.wants_space {
            advance.close = Some(Close::Both);
        }
        advance.close = self.close_next.take().or(advance.close);
        advance.wake_at = self.wake_next.take().unwrap_or(Instant::NEVER);
        advance
    }

    fn closed(&mut self, _: TestConn, why: Closed) {
        self.closed.push(why);
    }
}

pub fn config() -> Config {
    Config::new(SERVER, *b"0123456789abcdef")
}

/// A TCP that the tests run on.
pub trait TestTcp: Tcp + Sized {
    /// Whether it answers SYNs beyond its bounds with cookies and not at all.
    const HAS_COOKIES: bool;

    fn new(config: &Config, mtu: u16) -> Self;
}

impl TestTcp for Smoltcp {
    const HAS_COOKIES: bool = false;

    fn new(config: &Config, mtu: u16) -> Self {
        let buffers = (config.rx_buffer_bytes, config.tx_buffer_bytes);
        Self::new(*config.listen.ip(), mtu, buffers, &config.key)
    }
}

impl TestTcp for Native {
    const HAS_COOKIES: bool = true;

    fn new(config: &Config, mtu: u16) -> Self {
        Self::new(config, mtu)
    }
}

/// Makes two tests of each function that is generic over [`TestTcp`], one for each TCP. One that
/// is not listed is dead code, and the compiler says so.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod smoltcp_runs {
            $(#[test] fn $name() { super::$name::<engine::Smoltcp>(); })+
        }
        mod native_runs {
            $(#[test] fn $name() { super::$name::<engine::Native>(); })+
        }
    };
}

/// An engine and, at the other end of the wire, a port to talk to it by hand.
pub struct World<T: Tcp = Smoltcp> {
    pub clock: Clock,
    pub engine: Engine<Port, TestApp, T>,
    pub port: Port,
}

impl<T: TestTcp> World<T> {
    pub fn new(mode: Mode, config: Config) -> Self {
        Self::with_port(mode, config, PortConfig::new(SERVER_MAC), 1, Link::PERFECT)
    }

    pub fn with_port(
        mode: Mode,
        config: Config,
        port_config: PortConfig,
        seed: u64,
        link: Link,
    ) -> Self {
        let clock = Clock::default();
        // Nothing in the engine may depend on time beginning at zero.
        clock.advance(Duration::from_secs(1000));
        let (server, port) =
            pair(seed, &clock, (port_config, link), (PortConfig::new(CLIENT_MAC), link));
        let tcp = T::new(&config, server.caps().mtu);
        let engine = Engine::new(server, TestApp::new(mode), tcp, config);
        Self { clock, engine, port }
    }

    pub fn poll(&mut self) {
        self.engine.poll(self.clock.now());
    }

    /// Lets time pass in small steps, polling at each.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        while self.clock.now() < end {
            let next = self.engine.next_deadline().unwrap_or(end).min(end);
            self.clock.advance_to(next.max(self.clock.now() + Duration::from_micros(100)));
            self.poll();
        }
    }

    /// Every counter of engine and queue by name.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut counters = BTreeMap::new();
        self.engine.counters(&mut |counter, value| {
            assert_eq!(counters.insert(counter.0, value), None, "{} is there twice", counter.0);
        });
        counters
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.counters()[name]
    }

    /// Connections, half-open ones among them, and in TIME-WAIT.
    pub fn tables(&self) -> (u64, u64, u64) {
        let counters = self.counters();
        (counters["connections_now"], counters["half_open_now"], counters["time_wait_now"])
    }

    /// What must hold whenever nothing is under way.
    pub fn assert_at_rest(&mut self) {
        assert_eq!(self.engine.queue().outstanding(), 0, "a frame has leaked");
    }

    /// Sends one segment from `peer`, polls, and returns what comes back for anyone.
    pub fn exchange(&mut self, peer: &Peer, segment: &Segment<'_>) -> Vec<Heard> {
        self.port.send(&peer.frame(segment));
        self.poll();
        self.heard()
    }

    /// Takes every segment that the engine has sent. Checksums are verified.
    pub fn heard(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        while self.port.take(|frame| heard.push(Heard::parse(frame))) {}
        heard
    }

    /// Opens a connection by hand.
    pub fn open(&mut self, port: u16) -> Peer {
        let mut peer = Peer::new(port);
        let answers = self.exchange(&peer, &Segment { control: TcpControl::Syn, ..Segment::NONE });
        let [syn_ack] = &answers[..] else { panic!("expected a SYN-ACK: {answers:?}") };
        assert_eq!(syn_ack.control, TcpControl::Syn);
        assert_eq!(syn_ack.ack, Some(peer.seq.wrapping_add(1)));
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = Some(syn_ack.seq.wrapping_add(1));
        let answers = self.exchange(&peer, &Segment::NONE);
        assert!(answers.is_empty(), "{answers:?}");
        peer
    }

    /// Sends a request by hand and takes the answer, acknowledging it with what is sent next.
    pub fn request(&mut self, peer: &mut Peer, request: &[u8]) -> Vec<u8> {
        let answers = self.exchange(peer, &Segment { payload: request, ..Segment::NONE });
        peer.seq = peer.seq.wrapping_add(u32::try_from(request.len()).expect("short"));
        let mut body = Vec::new();
        for answer in answers {
            assert_eq!(Some(answer.seq), peer.ack, "answers come in order");
            peer.ack = Some(answer.seq_end());
            body.extend_from_slice(&answer.payload);
        }
        body
    }
}

/// A peer whose segments are written by hand: a port, and where it stands.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: Ipv4Addr,
    pub port: u16,
    pub seq: u32,
    pub ack: Option<u32>,
}

/// A segment to send, as far as it differs from an empty ACK.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    pub control: TcpControl,
    pub payload: &'a [u8],
    pub window: u16,
}

impl Segment<'_> {
    pub const NONE: Self = Self { control: TcpControl::None, payload: &[], window: 65_535 };
}

pub const FIN: Segment<'static> = Segment { control: TcpControl::Fin, ..Segment::NONE };
pub const RST: Segment<'static> = Segment { control: TcpControl::Rst, ..Segment::NONE };
pub const SYN: Segment<'static> = Segment { control: TcpControl::Syn, ..Segment::NONE };

impl Peer {
    pub fn new(port: u16) -> Self {
        Self { address: CLIENT, port, seq: 0xffff_fff0, ack: None }
    }

    pub fn frame(&self, segment: &Segment<'_>) -> Vec<u8> {
        let is_syn = segment.control == TcpControl::Syn;
        let tcp = TcpRepr {
            src_port: self.port,
            dst_port: SERVER.port(),
            control: segment.control,
            seq_number: TcpSeqNumber(self.seq.cast_signed()),
            ack_number: self.ack.map(|ack| TcpSeqNumber(ack.cast_signed())),
            window_len: segment.window,
            window_scale: is_syn.then_some(0),
            max_seg_size: is_syn.then_some(1460),
            sack_permitted: is_syn,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: segment.payload,
        };
        let ip = Ipv4Repr {
            src_addr: self.address,
            dst_addr: *SERVER.ip(),
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; 14 + ip.buffer_len() + tcp.buffer_len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
        ethernet.set_src_addr(EthernetAddress(CLIENT_MAC));
        ethernet.set_dst_addr(EthernetAddress(SERVER_MAC));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let checksums = ChecksumCapabilities::default();
        ip.emit(&mut Ipv4Packet::new_unchecked(ethernet.payload_mut()), &checksums);
        tcp.emit(
            &mut TcpPacket::new_unchecked(&mut ethernet.payload_mut()[20..]),
            &IpAddress::Ipv4(ip.src_addr),
            &IpAddress::Ipv4(ip.dst_addr),
            &checksums,
        );
        frame
    }
}

/// A segment that the engine sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub mac: [u8; 6],
    pub port: u16,
    pub control: TcpControl,
    pub seq: u32,
    pub ack: Option<u32>,
    pub window: u16,
    pub mss: Option<u16>,
    pub payload: Vec<u8>,
}

impl Heard {
    fn parse(frame: &[u8]) -> Self {
        let ethernet = EthernetFrame::new_checked(frame).expect("a frame");
        assert_eq!(ethernet.src_addr().0, SERVER_MAC);
        let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("IPv4");
        let checksums = ChecksumCapabilities::default();
        let ip_repr = Ipv4Repr::parse(&ip, &checksums).expect("a good IPv4 header");
        assert_eq!(ip_repr.src_addr, *SERVER.ip());
        assert_eq!(14 + usize::from(ip.total_len()), frame.len(), "nothing behind the packet");
        let tcp = TcpPacket::new_checked(ip.payload()).expect("TCP");
        let (source, target) = (ip_repr.src_addr.into(), ip_repr.dst_addr.into());
        let repr = TcpRepr::parse(&tcp, &source, &target, &checksums).expect("a good segment");
        Self {
            mac: ethernet.dst_addr().0,
            port: repr.dst_port,
            control: repr.control,
            seq: repr.seq_number.0.cast_unsigned(),
            ack: repr.ack_number.map(|ack| ack.0.cast_unsigned()),
            window: repr.window_len,
            mss: repr.max_seg_size,
            payload: repr.payload.to_vec(),
        }
    }

    pub fn seq_end(&self) -> u32 {
        let control = u32::from(matches!(self.control, TcpControl::Syn | TcpControl::Fin));
        self.seq.wrapping_add(u32::try_from(self.payload.len()).expect("short") + control)
    }
}

/// Makes the checksums of an IPv4 packet with TCP or ICMP good again, as far as its headers allow,
/// and the length in the IPv4 header what the frame has if the two contradict each other.
pub fn fix_checksums(frame: &mut [u8]) {
    let header_len = usize::from(frame[14] & 0xf) * 4;
    if frame[23] == 1 {
        let len = u16::try_from(frame.len() - 14).expect("short");
        frame[16..18].copy_from_slice(&len.to_be_bytes());
    }
    let total_len = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let (ip, payload) = frame[14..14 + total_len].split_at_mut(header_len);
    ip[10..12].fill(0);
    let checksum = !sum(ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let (place, pseudo) = match ip[9] {
        1 => (2, 0),
        _ => {
            let mut header = ip[12..20].to_vec();
            header.extend_from_slice(&[0, ip[9]]);
            header.extend_from_slice(&u16::try_from(payload.len()).expect("short").to_be_bytes());
            (16, u32::from(sum(&header)))
        }
    };
    if payload.len() < place + 2 {
        return;
    }
    payload[place..place + 2].fill(0);
    let total = pseudo + u32::from(sum(payload));
    let checksum = !u16::try_from((total >> 16) + (total & 0xffff)).expect("folded");
    payload[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// RFC 1071, the plain way.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).expect("folded")
}
