//! Header prediction is a shortcut and nothing else: two worlds from one seed, of which one takes
//! the short way wherever it is open and the other never does, are the same world. Every frame,
//! everything that an application is told, and every connection's whole state are compared.

#[allow(dead_code, unreachable_pub, reason = "another test binary uses the rest")]
#[path = "worlds/app.rs"]
mod app;
mod common;

use common::{CLIENT, CLIENT_MAC, SERVER, SERVER_MAC};
use engine::{
    Advance, Answer, App, Arrival, Close, Closed, Config, ConnId, Counters, Engine, Event, Flow,
    Listened, Native, NativeConn, NativeOutput, Outbox, Phase, Stranger, Tcp,
};
use sim::{Capture, Clock, Link, Network, Pcg32, Port, PortConfig};
use std::cell::RefCell;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;
use tcp::{IcmpError, IcmpVerdict, Instant, Segment, TimeWait};

const SEEDS: u64 = 120;
const STEPS_MAX: usize = 20_000;

/// What is written down of one world.
#[derive(Debug, Default)]
struct Log {
    /// Every connection, at each of the calls that both ways make.
    states: Vec<String>,
    /// Segments and answers that took the short way.
    short_in: usize,
    short_out: usize,
}

/// The native TCP, watched, with the short way open or closed.
struct Watched {
    native: Native,
    log: Rc<RefCell<Log>>,
    is_open: bool,
}

impl Watched {
    fn note(&self, what: &str, conn: &NativeConn) {
        self.log.borrow_mut().states.push(format!("{what}: {conn:?}"));
    }
}

impl Tcp for Watched {
    type Conn = NativeConn;
    type Output<'a> = NativeOutput<'a>;

    fn predicted_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        segment: &Segment<'_>,
    ) -> Option<u32> {
        if !self.is_open {
            return None;
        }
        let acked = self.native.predicted_arrives(now, conn, segment)?;
        self.log.borrow_mut().short_in += 1;
        Some(acked)
    }

    fn poll_predicted(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        buffer: &mut [u8],
        sums: bool,
    ) -> Option<Answer> {
        if !self.is_open {
            return None;
        }
        let sent = self.native.poll_predicted(now, conn, buffer, sums)?;
        self.log.borrow_mut().short_out += 1;
        Some(sent)
    }

    fn split<'a>(&'a mut self, conn: &'a mut NativeConn) -> (&'a [u8], NativeOutput<'a>) {
        self.note("is told", conn);
        self.native.split(conn)
    }

    fn consume(&mut self, conn: &mut NativeConn, count: usize) {
        self.native.consume(conn, count);
        self.note("has consumed", conn);
    }

    fn close(&mut self, conn: &mut NativeConn) {
        self.note("closes", conn);
        self.native.close(conn);
    }

    fn release(&mut self, conn: NativeConn) {
        self.note("is over", &conn);
        self.native.release(conn);
    }

    // All else is passed on.

    fn listen(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        reply: &mut [u8],
        counters: &mut Counters,
    ) -> Listened<NativeConn> {
        self.native.listen(now, stranger, reply, counters)
    }

    fn connect(&mut self, now: Instant, flow: Flow) -> Option<NativeConn> {
        self.native.connect(now, flow)
    }

    fn half_open(&self) -> usize {
        self.native.half_open()
    }

    fn handshake_timeout(&self) -> Instant {
        self.native.handshake_timeout()
    }

    fn poll_handshake(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Option<(usize, [u8; 6])> {
        self.native.poll_handshake(now, buffer, counters)
    }

    fn drain(&mut self, limit: Instant) {
        self.native.drain(limit);
    }

    fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Arrival {
        self.native.segment_arrives(now, conn, packet, reply)
    }

    fn recognises(&self, conn: &NativeConn, packet: &[u8]) -> bool {
        self.native.recognises(conn, packet)
    }

    fn keep(&mut self, conn: &mut NativeConn, bytes: &[u8]) {
        self.native.keep(conn, bytes);
    }

    fn icmp_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        error: IcmpError,
    ) -> IcmpVerdict {
        self.native.icmp_arrives(now, conn, error)
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        buffer: &mut [u8],
    ) -> Option<usize> {
        self.native.poll_transmit(now, conn, buffer)
    }

    fn poll_timeout(&mut self, now: Instant, conn: &NativeConn) -> Instant {
        self.native.poll_timeout(now, conn)
    }

    fn phase(&self, conn: &NativeConn) -> Phase {
        self.native.phase(conn)
    }

    fn ended(&self, conn: &NativeConn) -> Option<Closed> {
        self.native.ended(conn)
    }

    fn time_wait(&self, conn: &NativeConn) -> Option<TimeWait> {
        self.native.time_wait(conn)
    }

    fn is_eof(&self, conn: &NativeConn) -> bool {
        self.native.is_eof(conn)
    }

    fn backlog(&self, conn: &NativeConn) -> usize {
        self.native.backlog(conn)
    }

    fn is_unacknowledged(&self, conn: &NativeConn) -> bool {
        self.native.is_unacknowledged(conn)
    }

    fn unread(&self, conn: &NativeConn) -> usize {
        self.native.unread(conn)
    }

    fn abort(&mut self, conn: &mut NativeConn) {
        self.native.abort(conn);
    }
}

/// An application that asks as a client and answers as a server, now and then in an odd way.
struct Talker {
    random: Pcg32,
    /// Longest question or answer, in bytes.
    len_max: u32,
    heard: Vec<Heard>,
}

/// All that a call tells: when, why, how much input, how much output waits and since when.
type Heard = (Instant, Event, usize, usize, Option<Instant>);

/// One side of a talk: what is left to be asked, on the side that asks.
struct Talk {
    questions: Option<u32>,
}

static WORDS: [u8; 8192] = [b'w'; 8192];

impl Talker {
    fn once_in(&mut self, count: u32) -> bool {
        self.random.below(count) == 0
    }

    fn says(&mut self, output: &mut Outbox<'_>) {
        let len = 1 + self.random.below(self.len_max) as usize;
        output.put(&WORDS[..len.min(output.space())]);
    }
}

impl App for Talker {
    type Conn = Talk;

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<Talk> {
        Some(Talk { questions: None })
    }

    fn connected(&mut self, _: Instant, _: ConnId, _: SocketAddrV4, _: u64) -> Option<Talk> {
        Some(Talk { questions: Some(1 + self.random.below(40)) })
    }

    fn ready(
        &mut self,
        now: Instant,
        conn: &mut Talk,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        let waiting_since = output.waiting_since();
        self.heard.push((now, event, input.len(), output.backlog(), waiting_since));
        let mut advance = Advance { consumed: input.len(), ..Advance::IDLE };
        match &mut conn.questions {
            None if input.is_empty() => {}
            None => self.says(output),
            Some(0) => advance.close = Some(Close::Both),
            Some(left) => {
                *left -= 1;
                self.says(output);
            }
        }
        if self.once_in(12) {
            advance.consumed =
                self.random.below(u32::try_from(input.len() + 1).expect("short")) as usize;
            advance.wake_at = now + Duration::from_micros(self.random.below(3000).into());
        }
        advance.wants_space = self.once_in(12);
        if event == Event::Eof {
            advance.close = Some(Close::Both);
        }
        advance
    }

    fn closed(&mut self, _: Talk, _: Closed) {}
}

/// Two hosts, some connections from one to the other, and the clock of both.
struct World {
    clock: Clock,
    network: Network,
    hosts: [Engine<Port, Talker, Watched>; 2],
    log: Rc<RefCell<Log>>,
    capture: Rc<RefCell<Capture>>,
}

fn link(random: &mut Pcg32) -> Link {
    let ppm = |random: &mut Pcg32| [0, 0, 0, 50_000][random.below(4) as usize];
    Link {
        delay: Duration::from_micros(20 + u64::from(random.below(3000))),
        jitter: Duration::from_micros(u64::from(random.below(2) * random.below(2000))),
        loss_ppm: ppm(random),
        duplicate_ppm: ppm(random),
        ..Link::PERFECT
    }
}

impl World {
    fn new(seed: u64, is_open: bool) -> Self {
        let mut random = Pcg32::new(seed);
        let clock = Clock::default();
        clock.advance(Duration::from_secs(1000));
        let mut network = Network::new(seed, &clock);
        let (log, capture) = (Rc::<RefCell<Log>>::default(), Rc::new(RefCell::new(Capture::new())));
        network.tap(Rc::clone(&capture));
        let len_max = 1 << (4 + random.below(10));
        let hosts = [(SERVER_MAC, SERVER), (CLIENT_MAC, SocketAddrV4::new(CLIENT, 9))];
        let hosts = hosts.map(|(mac, listen)| {
            let config = Config {
                connections: 16,
                half_open: 16,
                rx_buffer_bytes: [2000, 16_000, 65_535, 300_000][random.below(4) as usize],
                tx_buffer_bytes: [1000, 10_000, 100_000][random.below(3) as usize],
                tx_pool_bytes: 1024 << random.below(8),
                rx_pool_bytes: 4096 << random.below(6),
                time_wait_entries: 16,
                ..Config::new(listen, [7; 16])
            };
            let tcp_config = tcp::Config {
                timestamps: random.below(2) == 0,
                sack: random.below(3) > 0,
                nagle: random.below(3) == 0,
                ..tcp::Config::new(u32::try_from(config.rx_buffer_bytes).expect("small"), 1500)
            };
            let native = Native::with_tcp(&config, 1500, tcp_config);
            let tcp = Watched { native, log: Rc::clone(&log), is_open };
            let app =
                Talker { random: Pcg32::new(seed ^ u64::from(mac[5])), len_max, heard: Vec::new() };
            let port = network.attach(PortConfig::new(mac), link(&mut random));
            Engine::new(port, app, tcp, config)
        });
        let mut world = Self { clock, network, hosts, log, capture };
        let now = world.clock.now();
        for token in 0..1 + random.below(4) {
            world.hosts[1].connect(now, SERVER, token.into()).expect("there is room");
        }
        world
    }

    fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            let now = self.clock.now();
            for host in &mut self.hosts {
                host.poll(now);
            }
            let deadlines = self.hosts.iter().filter_map(Engine::next_deadline);
            let Some(at) = deadlines.chain(self.network.next_arrival()).min() else { return };
            // Whoever has more to do than a poll takes is polled again at once.
            self.clock.advance_to(at.max(now + Duration::from_nanos(500)));
        }
    }
}

#[test]
fn both_ways_lead_to_the_same_frames_and_the_same_states() {
    let (mut short_in, mut short_out, mut told) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut worlds = [true, false].map(|is_open| {
            let mut world = World::new(seed, is_open);
            world.run();
            world
        });
        let [short_world, long_world] = &mut worlds;
        for (short, long) in short_world.hosts.iter_mut().zip(&mut long_world.hosts) {
            assert_eq!(short.app().heard, long.app().heard, "seed {seed}");
        }
        let [short, long] = worlds.each_ref().map(|world| world.log.borrow());
        for (place, (short, long)) in short.states.iter().zip(&long.states).enumerate() {
            assert_eq!(short, long, "seed {seed}, call {place}");
        }
        assert_eq!(short.states.len(), long.states.len(), "seed {seed}");
        let [ours, theirs] = worlds.each_ref().map(|world| world.capture.borrow());
        assert!(ours.sent() == theirs.sent(), "seed {seed}: the frames differ");
        assert_eq!((long.short_in, long.short_out), (0, 0));
        short_in += short.short_in;
        short_out += short.short_out;
        told += short.states.len();
    }
    // Often enough to say something.
    assert!(short_in > 5000 && short_out > 5000, "{short_in} in, {short_out} out of {told}");
}
