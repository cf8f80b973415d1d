//! What is sent again, and why, is counted: by losses made by hand, and by an observer who counts
//! for himself what is on the wire.

mod common;

use common::{CLIENT, CLIENT_MAC, Heard, Mode, Peer, SERVER, SERVER_MAC, Segment, TestApp, config};
use engine::{Closed, Config, Engine, Native};
use queue::Queue;
use sim::{Clock, Link, Network, Port, PortConfig, Tap, pair};
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;
use tcp::Instant;

type World = common::World<Native>;

/// Bytes in a segment.
const MSS: u32 = 1460;

/// What is counted of repairs, without those that are zero.
fn repairs(world: &World) -> BTreeMap<&'static str, u64> {
    const NAMES: [&str; 6] = [
        "tcp_retransmitted_segments",
        "tcp_retransmission_timeouts",
        "tcp_fast_retransmits",
        "tcp_rescue_retransmits",
        "tcp_limited_transmits",
        "tcp_window_probes",
    ];
    let counters = world.counters();
    NAMES.map(|name| (name, counters[name])).into_iter().filter(|(_, count)| *count > 0).collect()
}

fn check(world: &World, expected: &[(&'static str, u64)]) {
    assert_eq!(repairs(world), expected.iter().copied().collect());
}

/// A world without selective acknowledgements, so that a duplicate needs none.
fn world(mode: Mode) -> World {
    let clock = Clock::default();
    clock.advance(Duration::from_secs(1000));
    let port = |mac| (PortConfig::new(mac), Link::PERFECT);
    let (server, port) = pair(1, &clock, port(SERVER_MAC), port(CLIENT_MAC));
    let plain = tcp::Config { sack: false, nagle: false, ..tcp::Config::new(65_535, 1500) };
    let tcp = Native::with_tcp(&config(), server.caps().mtu, plain);
    let engine = Engine::new(server, TestApp::new(mode), tcp, config());
    World { clock, engine, port }
}

/// A peer that has asked for an answer of so many segments, and what has come of it: ten.
fn asked(segments: usize) -> (World, Peer, Vec<Heard>) {
    let mut world = world(Mode::Lines(segments * MSS as usize));
    let mut peer = world.open(40_000);
    let heard = world.exchange(&peer, &Segment { payload: b"\n", ..Segment::NONE });
    peer.seq = peer.seq.wrapping_add(1);
    assert_eq!(heard.len(), 10, "the initial window");
    check(&world, &[]);
    (world, peer, heard)
}

/// Acknowledges everything before `seq`; returns where the segments begin that follow.
fn acknowledge(world: &mut World, peer: &Peer, seq: u32) -> Vec<u32> {
    let peer = Peer { ack: Some(seq), ..peer.clone() };
    world.exchange(&peer, &Segment::NONE).iter().map(|segment| segment.seq).collect()
}

#[test]
fn one_lost_segment_is_one_fast_retransmit() {
    let (mut world, peer, heard) = asked(12);
    let [first, lost] = [heard[0].seq, heard[1].seq];
    // The first arrives, and has two more sent; the second is lost.
    assert_eq!(acknowledge(&mut world, &peer, lost).len(), 2);
    check(&world, &[]);
    assert_eq!(first.wrapping_add(MSS), lost);
    let again: Vec<u32> = (0..10).flat_map(|_| acknowledge(&mut world, &peer, lost)).collect();
    assert_eq!(again, [lost]);
    check(&world, &[("tcp_retransmitted_segments", 1), ("tcp_fast_retransmits", 1)]);
    acknowledge(&mut world, &peer, first.wrapping_add(12 * MSS));
    world.pass(Duration::from_secs(10));
    assert!(world.heard().is_empty(), "nothing is outstanding");
    check(&world, &[("tcp_retransmitted_segments", 1), ("tcp_fast_retransmits", 1)]);
}

#[test]
fn two_duplicates_are_two_limited_transmits() {
    let (mut world, peer, heard) = asked(20);
    for sent in 1..=2 {
        let next = heard[0].seq.wrapping_add((9 + sent) * MSS);
        assert_eq!(acknowledge(&mut world, &peer, heard[0].seq), [next]);
        check(&world, &[("tcp_limited_transmits", sent.into())]);
    }
}

#[test]
fn a_lost_tail_is_one_time_out_and_as_many_segments() {
    let (mut world, peer, heard) = asked(10);
    let tail = heard[8].seq;
    assert!(acknowledge(&mut world, &peer, tail).is_empty());
    world.pass(Duration::from_millis(1500));
    let again: Vec<u32> = world.heard().iter().map(|segment| segment.seq).collect();
    assert_eq!(again.first(), Some(&tail));
    let count = u64::try_from(again.len()).expect("few");
    let timeouts = repairs(&world)["tcp_retransmission_timeouts"];
    assert_eq!(timeouts, count, "nobody answers, so one segment for each");
    // The first of the two arrives: the second follows it, without another time-out.
    assert_eq!(acknowledge(&mut world, &peer, tail.wrapping_add(MSS)), [tail.wrapping_add(MSS)]);
    let expected =
        [("tcp_retransmitted_segments", count + 1), ("tcp_retransmission_timeouts", timeouts)];
    check(&world, &expected);
}

#[test]
fn a_closed_window_is_probed_and_nothing_is_sent_again() {
    let (mut world, peer, heard) = asked(12);
    let end = heard[9].seq_end();
    let closed = Segment { window: 0, ..Segment::NONE };
    assert!(world.exchange(&Peer { ack: Some(end), ..peer }, &closed).is_empty());
    world.pass(Duration::from_secs(5));
    let probes = world.heard();
    assert!(probes.len() > 1 && probes.iter().all(|probe| probe.payload.len() == 1));
    check(&world, &[("tcp_window_probes", u64::try_from(probes.len()).expect("few"))]);
}

#[test]
fn a_syn_that_nobody_answers_is_sent_again_at_each_time_out() {
    let mut world = world(Mode::Sink);
    let now = world.clock.now();
    let peer = SocketAddrV4::new(CLIENT, 7000);
    world.engine.connect(now, peer, 1).expect("there is room");
    world.poll();
    world.port.take(|_| {});
    world.port.send(&arp_reply());
    world.poll();
    assert_eq!(world.heard().len(), 1, "a SYN");
    check(&world, &[]);
    world.pass(Duration::from_secs(8));
    let again = u64::try_from(world.heard().len()).expect("few");
    assert!(again > 1);
    check(&world, &[("tcp_retransmitted_segments", again), ("tcp_retransmission_timeouts", again)]);
}

/// The answer of the client's host to the question for its address.
fn arp_reply() -> Vec<u8> {
    let mut frame = [&SERVER_MAC[..], &CLIENT_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    frame.extend([&CLIENT_MAC[..], &CLIENT.octets(), &SERVER_MAC, &SERVER.ip().octets()].concat());
    frame
}

/// Knows by their numbers which segments of the server have been on the wire before.
#[derive(Debug, Default)]
struct Observer {
    /// How far each client's port has been sent to, from its first segment on.
    sent: BTreeMap<u16, (u32, u32)>,
    /// All segments with data or a FIN, and those of them all of which had been sent.
    segments: u64,
    again: u64,
}

const SERVER_PORT: usize = 0;

impl Tap for Observer {
    fn sent(&mut self, _: Instant, port: usize, packet: &[u8]) {
        let ethernet = EthernetFrame::new_checked(packet).expect("a frame");
        let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else { return };
        let tcp = TcpPacket::new_checked(ip.payload()).expect("a segment");
        let len = u32::try_from(tcp.segment_len()).expect("short");
        if port != SERVER_PORT || len == 0 || tcp.rst() || tcp.syn() {
            return;
        }
        self.segments += 1;
        let seq = tcp.seq_number().0.cast_unsigned();
        let (first, end) = self.sent.entry(tcp.dst_port()).or_insert((seq, 0));
        let sent = seq.wrapping_sub(*first) + len;
        self.again += u64::from(sent <= *end);
        *end = sent.max(*end);
    }

    fn delivered(&mut self, _: Instant, _: usize, _: &[u8]) {}
}

/// A server that sends `len` bytes to each of ten clients over a link that loses some of them.
fn lossy_world(seed: u64, len: usize) -> (Engine<Port, TestApp, Native>, Rc<RefCell<Observer>>) {
    let clock = Clock::default();
    clock.advance(Duration::from_secs(1000));
    let mut network = Network::new(seed, &clock);
    let observer = Rc::<RefCell<Observer>>::default();
    network.tap(Rc::clone(&observer));
    let delay = Duration::from_millis(1);
    let links =
        [Link { delay, loss_ppm: 30_000, ..Link::PERFECT }, Link { delay, ..Link::PERFECT }];
    let hosts = [(SERVER_MAC, SERVER, Mode::Body(len)), {
        (CLIENT_MAC, SocketAddrV4::new(CLIENT, 9), Mode::Say(b"GET\n"))
    }];
    let mut number = 0;
    let [mut server, mut client] = hosts.map(|(mac, listen, mode)| {
        let port = network.attach(PortConfig::new(mac), links[number]);
        number += 1;
        let config = Config { listen, ..config() };
        let tcp = Native::new(&config, port.caps().mtu);
        Engine::new(port, TestApp::new(mode), tcp, config)
    });
    for token in 0..10 {
        client.connect(clock.now(), SERVER, token).expect("there is room");
    }
    while server.app().closed.len() + client.app().closed.len() < 20 {
        assert!(clock.now() < Instant::ZERO + Duration::from_secs(1100), "it has no end");
        let frames = server.poll(clock.now()) + client.poll(clock.now());
        let deadlines = [server.next_deadline(), client.next_deadline(), network.next_arrival()];
        let next = deadlines.into_iter().flatten().min().expect("there is always a timer");
        let soon = clock.now() + Duration::from_micros(10);
        clock.advance_to(if frames > 0 { soon } else { next.max(soon) });
    }
    assert!(server.app().closed.iter().all(|why| *why == Closed::Finished));
    assert_eq!(client.app().input.len(), 10 * len);
    (server, observer)
}

#[test]
fn what_is_counted_is_what_an_observer_counts_on_a_link_with_losses() {
    for seed in 0..20 {
        let (server, observer) = lossy_world(seed, 200_000);
        let mut counters = BTreeMap::new();
        server.counters(&mut |counter, value| {
            counters.insert(counter.0, value);
        });
        let again = counters["tcp_retransmitted_segments"];
        let observer = observer.borrow();
        assert_eq!(again, observer.again, "seed {seed}");
        // What is lost is sent again at least once.
        let percent = again * 100 / observer.segments;
        assert!((2..10).contains(&percent), "{percent} % for 3 % of losses, seed {seed}");
        let fast = counters["tcp_fast_retransmits"] + counters["tcp_rescue_retransmits"];
        assert!(fast <= again && counters["tcp_window_probes"] == 0);
        if seed == 0 {
            // So that a change of what is sent again does not go unseen.
            assert_eq!((again, fast, counters["tcp_retransmission_timeouts"]), (47, 45, 2));
        }
    }
}
