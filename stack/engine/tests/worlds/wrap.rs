//! Streams in both directions whose sequence numbers pass 2^32 (T57).
//!
//! Both initial numbers lie less than 64 KiB below 2^32, so that even a short stream passes it.
//! `SIM_STREAM_MIB=4200 cargo xtask sim wrap` makes each stream longer than all sequence numbers.

use engine::{
    Advance, App, Close, Closed, Config, ConnId, ConnectError, Engine, Event, Native, Outbox,
};
use queue::Queue;
use sim::{Clock, Link, Network, Port, PortConfig, Tap};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;
use tcp::{FourTuple, Instant, Secret, Seq, isn};

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 10), 40_000);
/// When the connection opens.
const START: Duration = Duration::from_secs(1000);
/// From opening to the SYN-ACK, at most: ARP, and two ways.
const OPENING: Duration = Duration::from_millis(1);
/// How far below 2^32 the initial numbers lie, at most.
const BELOW: u32 = 64 * 1024;
const BUFFER_BYTES: usize = 1024 * 1024;
const MIB: u64 = 1024 * 1024;
const MTU: u16 = 1500;

/// The byte at `position` of a stream. Positions 2^32 apart differ as much as any others.
fn byte(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]
}

/// One end: sends a stream, and compares what it receives with what it sends.
#[derive(Debug)]
struct Pump {
    len: u64,
    put: u64,
    received: u64,
    saw_eof: bool,
    closed: Vec<Closed>,
}

impl Pump {
    fn new(len: u64) -> Self {
        Self { len, put: 0, received: 0, saw_eof: false, closed: Vec::new() }
    }

    fn puts(&mut self, output: &mut Outbox<'_>) {
        let mut piece = [0; 4096];
        while self.put < self.len && output.space() > 0 {
            let left = usize::try_from(self.len - self.put).unwrap_or(usize::MAX);
            let count = output.space().min(left).min(piece.len());
            for (position, place) in (self.put..).zip(&mut piece[..count]) {
                *place = byte(position);
            }
            output.put(&piece[..count]);
            self.put += count as u64;
        }
    }
}

impl App for Pump {
    type Conn = ();

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<()> {
        Some(())
    }

    fn connected(&mut self, _: Instant, _: ConnId, _: SocketAddrV4, _: u64) -> Option<()> {
        Some(())
    }

    fn connect_failed(&mut self, _: u64, why: ConnectError) {
        panic!("{why:?}");
    }

    fn ready(
        &mut self,
        _: Instant,
        (): &mut (),
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        self.saw_eof |= event == Event::Eof;
        for (position, given) in (self.received..).zip(input) {
            assert_eq!(*given, byte(position), "byte {position}");
        }
        self.received += input.len() as u64;
        self.puts(output);
        let is_put = self.put == self.len;
        let close = if self.saw_eof { Close::Both } else { Close::Write };
        Advance {
            consumed: input.len(),
            wants_space: !is_put,
            close: is_put.then_some(close),
            ..Advance::IDLE
        }
    }

    fn closed(&mut self, (): (), why: Closed) {
        self.closed.push(why);
    }
}

/// Follows the sequence numbers of both directions on the wire.
#[derive(Debug, Default)]
struct Wraps {
    /// The initial number and the latest one of each port.
    numbers: [Option<(Seq, Seq)>; 2],
    /// How often each has passed 2^32.
    count: [u32; 2],
}

impl Tap for Wraps {
    fn sent(&mut self, _: Instant, port: usize, packet: &[u8]) {
        const IPV4_TCP: ([u8; 2], u8) = ([0x08, 0x00], 6);
        if (&packet[12..14], packet[23]) != (&IPV4_TCP.0[..], IPV4_TCP.1) {
            return;
        }
        let seq = Seq(u32::from_be_bytes(packet[38..42].try_into().expect("four bytes")));
        let (_, latest) = self.numbers[port].get_or_insert((seq, seq));
        if latest.lt(seq) {
            self.count[port] += u32::from(seq.0 < latest.0);
            *latest = seq;
        }
    }

    fn delivered(&mut self, _: Instant, _: usize, _: &[u8]) {}
}

/// The first secret by which the numbers of `local` begin just below 2^32.
fn secret(local: SocketAddrV4, remote: SocketAddrV4) -> Secret {
    let tuple = FourTuple { local, remote };
    let is_close = |secret: &Secret| {
        // Soon after the clock of initial numbers has moved on a bit.
        [START, START + OPENING]
            .iter()
            .all(|at| isn(secret, &tuple, Instant::ZERO + *at).0 >= 0_u32.wrapping_sub(BELOW))
    };
    let secrets = (0_u128..).map(u128::to_be_bytes);
    secrets.into_iter().find(is_close).expect("one in 65,536 will do")
}

/// An engine that listens on `listen`, and whose connection from `local` to `remote` wraps.
fn host(
    port: Port,
    listen: SocketAddrV4,
    (local, remote): (SocketAddrV4, SocketAddrV4),
    len: u64,
) -> Engine<Port, Pump, Native> {
    let config = Config {
        connections: 1,
        rx_buffer_bytes: BUFFER_BYTES,
        tx_buffer_bytes: BUFFER_BYTES,
        ephemeral_ports: CLIENT.port()..=CLIENT.port(),
        ..Config::new(listen, secret(local, remote))
    };
    let tcp = Native::new(&config, MTU);
    Engine::new(port, Pump::new(len), tcp, config)
}

/// Sends so many bytes each way at a time, over links that lose, double and reorder.
fn streams_arrive(len: u64) -> [u32; 2] {
    let clock = Clock::default();
    clock.advance(START);
    let mut network = Network::new(57, &clock);
    let wraps = Rc::new(RefCell::new(Wraps::default()));
    network.tap(Rc::clone(&wraps));
    let link = Link {
        delay: Duration::from_micros(50),
        loss_ppm: 1000,
        duplicate_ppm: 1000,
        corrupt_ppm: 1000,
        reorder_ppm: 1000,
        reorder_delay: Duration::from_micros(100),
        ..Link::PERFECT
    };
    let mut attach = |number| network.attach(PortConfig::new([2, 0, 0, 0, 0, number]), link);
    let (client, server) = (attach(1), attach(2));
    let idle = SocketAddrV4::new(*CLIENT.ip(), 9);
    let mut hosts =
        [host(client, idle, (CLIENT, SERVER), len), host(server, SERVER, (SERVER, CLIENT), len)];
    hosts[0].connect(clock.now(), SERVER, 0).expect("there is room");
    loop {
        for host in &mut hosts {
            host.poll(clock.now());
        }
        let deadlines = hosts.iter().filter_map(Engine::next_deadline);
        let Some(next) = deadlines.chain(network.next_arrival()).min() else { break };
        clock.advance_to(next.max(clock.now() + Duration::from_micros(1)));
    }
    for host in &mut hosts {
        let Pump { put, received, closed, .. } = host.app();
        assert_eq!((*put, *received, &closed[..]), (len, len, &[Closed::Finished][..]));
        assert_eq!(host.queue().outstanding(), 0, "a frame has leaked");
    }
    let Wraps { numbers, count } = &*wraps.borrow();
    for (first, _) in numbers.iter().flatten() {
        assert!(first.0 >= 0_u32.wrapping_sub(BELOW), "{first:?} is not just below 2^32");
    }
    *count
}

#[test]
fn wrap_of_sequence_numbers_both_ways() {
    let mib = match std::env::var("SIM_STREAM_MIB") {
        Ok(text) => text.parse().expect("SIM_STREAM_MIB is a number of MiB"),
        Err(_) => 4,
    };
    let len = mib * MIB;
    let expected = u32::try_from(1 + (len >> 32)).expect("not so long");
    let count = streams_arrive(len);
    eprintln!("wrap: {mib} MiB each way, 2^32 passed {count:?} times");
    assert_eq!(count, [expected; 2]);
}
