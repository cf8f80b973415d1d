//! Who has little to say does not wait for those that have much, and neither for ever.

mod common;

use common::{Heard, Mode, Peer, SERVER_MAC, Segment, TestTcp, World, config};
use engine::{Config, Native};
use sim::{Link, PortConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Segments that one connection sends before it is the next one's turn.
const TURN: usize = 16;
/// Frames that one poll sends, at most.
const BURST: usize = 64;
/// More than any connection here will ever have sent.
const ENDLESS: usize = 1 << 30;

const NEWCOMER: u16 = 10_000;
const GREEDY: u16 = 20_000;
const MODEST: u16 = 30_000;

fn request<'a>() -> Segment<'a> {
    Segment { payload: b"\n", ..Segment::NONE }
}

/// A world, and the peers that are connected to it, by port.
struct Scene<T: TestTcp> {
    world: World<T>,
    peers: BTreeMap<u16, Peer>,
    /// Segments with data that each peer has received.
    received: BTreeMap<u16, usize>,
}

impl<T: TestTcp> Scene<T> {
    fn new(ports: impl Iterator<Item = u16>) -> Self {
        Self::with(config().tx_pool_bytes, BURST, ports)
    }

    /// With a pool of output of that size, and a transmit ring that takes that many frames in one
    /// poll.
    fn with(
        tx_pool_bytes: usize,
        tx_burst_frames: usize,
        ports: impl Iterator<Item = u16>,
    ) -> Self {
        let (tx_buffer_bytes, connections) = (64 * 1024, 2048);
        let config = Config { tx_buffer_bytes, connections, tx_pool_bytes, ..config() };
        let port_config = PortConfig { tx_burst_frames, ..PortConfig::new(SERVER_MAC) };
        let mode = Mode::Lines(ENDLESS);
        let mut world = World::with_port(mode, config, port_config, 1, Link::PERFECT);
        let peers = ports.map(|port| (port, world.open(port))).collect();
        Self { world, peers, received: BTreeMap::new() }
    }

    /// Asks for an answer of `len` bytes.
    fn ask(&mut self, port: u16, len: usize) {
        self.world.engine.app().mode = Mode::Lines(len);
        let peer = self.peers.get_mut(&port).expect("it is open");
        self.world.port.send(&peer.frame(&request()));
        peer.seq = peer.seq.wrapping_add(1);
    }

    /// Polls once; returns what was sent, in order. Nothing is acknowledged yet.
    fn poll(&mut self) -> Vec<Heard> {
        self.world.engine.app().events.clear();
        self.world.poll();
        let heard = self.world.heard();
        assert!(heard.len() <= BURST, "{} frames in one poll", heard.len());
        for segment in heard.iter().filter(|segment| !segment.payload.is_empty()) {
            *self.received.entry(segment.port).or_default() += 1;
            let peer = self.peers.get_mut(&segment.port).expect("it is open");
            peer.ack = Some(segment.seq_end());
        }
        heard
    }

    /// Acknowledges `heard` for those ports, all segments of each at once.
    fn acknowledge(&mut self, heard: &[Heard], ports: &Range<u16>) {
        let sent_to: BTreeSet<u16> = heard.iter().map(|segment| segment.port).collect();
        for port in sent_to.iter().filter(|port| ports.contains(port)) {
            self.world.port.send(&self.peers[port].frame(&Segment::NONE));
        }
    }

    /// Lets everyone who is greedy ask for an endless answer, and have two turns of it.
    fn let_the_greedy_begin(&mut self) {
        let greedy: Vec<u16> = self.peers.range(GREEDY..MODEST).map(|(port, _)| *port).collect();
        for port in &greedy {
            self.ask(*port, ENDLESS);
        }
        let has_begun = |scene: &Self, port: &u16| scene.received.get(port) > Some(&(2 * TURN));
        let limit = greedy.len() * 100;
        for _ in 0..limit {
            let heard = self.poll();
            self.acknowledge(&heard, &(GREEDY..MODEST));
            if greedy.iter().all(|port| has_begun(self, port)) {
                return;
            }
        }
        panic!("after {limit} polls there is one who has not had two turns");
    }
}

/// Asks a hundred times as the newcomer: each answer leaves behind at most that many frames.
fn assert_a_newcomer_waits_for<T: TestTcp>(scene: &mut Scene<T>, frames: usize) {
    for _ in 0..100 {
        scene.ask(NEWCOMER, 10);
        let mut waited = 0;
        loop {
            let heard = scene.poll();
            scene.acknowledge(&heard, &(GREEDY..MODEST));
            let place = heard.iter().position(|segment| segment.port == NEWCOMER);
            waited += place.unwrap_or(heard.len());
            assert!(waited <= frames, "{waited} frames of others have left");
            if place.is_some() {
                break;
            }
        }
    }
}

fn a_newcomer_waits_for_one_turn_of_a_thousand_greedy_connections<T: TestTcp>() {
    let mut scene = Scene::<T>::new((GREEDY..GREEDY + 1000).chain([NEWCOMER]));
    scene.let_the_greedy_begin();
    assert_a_newcomer_waits_for(&mut scene, TURN);
}

/// With no more than a chunk each, the greedy have sent all they could put whenever it is
/// acknowledged. They are greedy all the same.
#[test]
fn nor_does_he_wait_much_longer_if_the_pool_of_output_is_empty() {
    let ports = (GREEDY..GREEDY + 1000).chain([NEWCOMER]);
    // The ring takes less than what the acknowledgements of a burst make ready.
    let mut scene = Scene::<Native>::with(0, TURN, ports);
    scene.let_the_greedy_begin();
    assert!(scene.world.counter("tx_pool_short_offers") > 1000);
    // A burst may wait for the ring already.
    assert_a_newcomer_waits_for(&mut scene, BURST + TURN);
}

/// An answer that needs several turns has the first of them at once, and its share of the others.
fn a_large_answer_waits_no_longer_than_any_other<T: TestTcp>() {
    let mut scene = Scene::<T>::new((GREEDY..GREEDY + 100).chain([NEWCOMER]));
    scene.let_the_greedy_begin();
    scene.ask(NEWCOMER, 40 * 1460);
    let mut frames = Vec::new();
    while scene.received.get(&NEWCOMER) < Some(&40) {
        let heard = scene.poll();
        assert!(frames.len() < 4 * 100 * TURN, "it has {:?}", scene.received.get(&NEWCOMER));
        frames.extend(heard.iter().map(|segment| segment.port));
        scene.acknowledge(&heard, &(NEWCOMER..MODEST));
    }
    let first = frames.iter().position(|port| *port == NEWCOMER).expect("it was answered");
    assert!(first <= TURN, "behind {first} frames");
    let greedy = scene.received.range(GREEDY..MODEST).map(|(_, count)| *count);
    assert!(greedy.min() > Some(2 * TURN), "and they have gone on meanwhile");
}

/// Two hundred that ask again as soon as they are answered, and twenty that want everything.
fn neither_kind_starves<T: TestTcp>() {
    const POLLS: usize = 2000;
    let modest = MODEST..MODEST + 200;
    let mut scene = Scene::<T>::new((GREEDY..GREEDY + 20).chain(modest.clone()));
    scene.let_the_greedy_begin();
    scene.received.clear();
    for port in modest.clone() {
        scene.ask(port, 10);
    }
    let mut frames = 0;
    for _ in 0..POLLS {
        let heard = scene.poll();
        frames += heard.len();
        scene.acknowledge(&heard, &(GREEDY..MODEST));
        for segment in heard.iter().filter(|segment| modest.contains(&segment.port)) {
            scene.ask(segment.port, 10);
        }
    }
    assert!(frames > POLLS * BURST * 9 / 10, "there was always something to send: {frames}");
    let least = |range: Range<u16>, share: usize| {
        let count = range.len();
        let fair = frames * share / 5 / count;
        for port in range {
            let received = scene.received.get(&port).copied().unwrap_or_default();
            assert!(received * 10 >= fair * 9, "{port} has {received} of {fair}");
        }
    };
    // Sixteen frames of one that is greedy follow 64 of the others.
    least(modest, 4);
    least(GREEDY..GREEDY + 20, 1);
}

on_both!(
    a_newcomer_waits_for_one_turn_of_a_thousand_greedy_connections,
    a_large_answer_waits_no_longer_than_any_other,
    neither_kind_starves,
);
