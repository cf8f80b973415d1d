//! A world: hosts on a segment, their streams, and what must hold at every step.

use crate::app::{ACCEPTED, Conn, StreamApp, StreamId, Streams};
use crate::watch::Watch;
use engine::{Closed, Config, Engine, Native, Smoltcp, Tcp};
use queue::Queue;
use sim::{Burst, Capture, Clock, Link, Network, Pcg32, Port, PortConfig, Rate};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;
use tcp::{Algorithm, Instant, KeepAlive};

/// Steps of a world, at most: more than any of them needs by far.
const STEPS_MAX: usize = 200_000;
/// Polls of one host at one moment, at most.
const POLLS_MAX: usize = 2000;
/// Attempts to open one connection, at most.
const ATTEMPTS_MAX: u32 = 200;
/// Patience, since the network is what is tested.
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// When a silent peer is asked whether it is still there: once it would have been given up.
const KEEP_ALIVE: KeepAlive = KeepAlive {
    idle: Duration::from_secs(5 * 3600),
    interval: Duration::from_secs(75),
    probes: u8::MAX,
};

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);

/// A TCP that the engine can be given here.
pub trait Stack: Tcp + Sized {
    /// Whether it is ours, and more is asked of it.
    const IS_OURS: bool;
    /// Longest stream that makes sense with it, in bytes.
    const LEN_MAX: u32;
    /// How long it may take for the next bit of a stream to be acknowledged.
    const PATIENCE: Duration;

    /// `peers_give_up`: whether the other hosts may be gone without a word.
    fn make(random: &mut Pcg32, config: &Config, mtu: u16, peers_give_up: bool) -> Self;
}

impl Stack for Native {
    const IS_OURS: bool = true;
    const LEN_MAX: u32 = 100_000;
    const PATIENCE: Duration = FOR_EVER;

    fn make(random: &mut Pcg32, config: &Config, mtu: u16, peers_give_up: bool) -> Self {
        let capacity = u32::try_from(config.rx_buffer_bytes).expect("small");
        let tcp_config = tcp::Config {
            window_scaling: random.below(10) < 7,
            timestamps: random.below(10) < 6,
            sack: random.below(10) < 7,
            nagle: random.below(2) == 0,
            congestion: [Algorithm::Cubic, Algorithm::NewReno][random.below(2) as usize],
            user_timeout: FOR_EVER,
            syn_timeout: FOR_EVER,
            syn_ack_retransmits: u8::MAX,
            // A reset that is lost leaves us with a connection that nobody else knows of.
            keep_alive: peers_give_up.then_some(KEEP_ALIVE),
            ..tcp::Config::new(capacity, mtu)
        };
        Self::with_tcp(config, mtu, tcp_config)
    }
}

impl Stack for Smoltcp {
    const IS_OURS: bool = false;
    // Its memory is never given back: little of it is touched.
    const LEN_MAX: u32 = 20_000;
    // It can lose its retransmission timer, and never send again what was lost last.
    const PATIENCE: Duration = Duration::from_secs(4 * 3600);

    fn make(_: &mut Pcg32, config: &Config, mtu: u16, _: bool) -> Self {
        let buffers = (config.rx_buffer_bytes, config.tx_buffer_bytes);
        Self::new(*config.listen.ip(), mtu, buffers, &config.key)
    }
}

/// One host. Which TCP it runs is not the world's affair.
trait Host {
    fn connect(&mut self, now: Instant, id: StreamId) -> bool;
    fn poll(&mut self, now: Instant) -> usize;
    fn next_deadline(&self) -> Option<Instant>;
    fn app(&mut self) -> &mut StreamApp;
    fn port(&mut self) -> &mut Port;
    /// A count of what there is now, by name.
    fn gauges(&self) -> Vec<(&'static str, u64)>;
}

impl<T: Tcp> Host for Engine<Port, StreamApp, T> {
    fn connect(&mut self, now: Instant, id: StreamId) -> bool {
        Self::connect(self, now, SERVER, id.into()).is_ok()
    }

    fn poll(&mut self, now: Instant) -> usize {
        Self::poll(self, now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Self::next_deadline(self)
    }

    fn app(&mut self) -> &mut StreamApp {
        Self::app(self)
    }

    fn port(&mut self) -> &mut Port {
        self.queue()
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        let mut gauges = Vec::new();
        self.counters(&mut |counter, value| {
            if counter.0.ends_with("_now") || counter.0 == "frames_outstanding" {
                gauges.push((counter.0, value));
            }
        });
        gauges
    }
}

/// What the links of a world may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything at once.
    Any,
    /// Delay and bottlenecks: everything arrives, once and in order.
    Calm,
}

fn link(random: &mut Pcg32, weather: Weather) -> Link {
    let percent =
        |random: &mut Pcg32, choices: [u32; 4]| choices[random.below(4) as usize] * 10_000;
    let burst = Burst {
        enter_ppm: percent(random, [1, 2, 5, 10]),
        leave_ppm: percent(random, [10, 20, 30, 50]),
        loss_ppm: percent(random, [50, 80, 100, 100]),
    };
    let rate = Rate {
        bits_per_second: [1_000_000, 10_000_000, 100_000_000][random.below(3) as usize],
        queue_bytes: [5_000, 20_000, 200_000][random.below(3) as usize],
    };
    let any = Link {
        delay: Duration::from_micros(20 + u64::from(random.below(50_000))),
        jitter: Duration::from_micros(u64::from(random.below(2) * random.below(30_000))),
        loss_ppm: percent(random, [0, 1, 5, 25]),
        burst: (random.below(4) == 0).then_some(burst),
        duplicate_ppm: percent(random, [0, 0, 2, 20]),
        corrupt_ppm: percent(random, [0, 0, 1, 10]),
        reorder_ppm: percent(random, [0, 0, 5, 30]),
        reorder_delay: Duration::from_micros(u64::from(random.below(20_000))),
        rate: (random.below(3) == 0).then_some(rate),
    };
    match weather {
        Weather::Any => any,
        Weather::Calm => Link {
            delay: any.delay,
            rate: any.rate.map(|rate| Rate { queue_bytes: u32::MAX, ..rate }),
            ..Link::PERFECT
        },
    }
}

/// A world, from a seed.
pub struct World {
    clock: Clock,
    network: Network,
    watch: Rc<RefCell<Watch>>,
    hosts: Vec<Box<dyn Host>>,
    streams: Streams,
    /// Active opens that are due: when, which host, which stream.
    openings: Vec<(Instant, usize, StreamId)>,
    attempts: u32,
    /// Streams of active opens, all of them.
    clients: Vec<StreamId>,
    random: Pcg32,
    steps: usize,
    /// Whether a connection may be given up, since the TCP at one end can come to a standstill.
    may_give_up: bool,
    /// What was seen.
    pub census: Census,
}

/// What happened in worlds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Census {
    pub segments: u64,
    pub streams: u64,
    /// Connections that were given up, which only smoltcp brings about.
    pub given_up: u64,
}

impl World {
    /// A world whose clients run `C` and whose server runs `S`.
    pub fn new<C: Stack + 'static, S: Stack + 'static>(seed: u64, weather: Weather) -> Self {
        let mut random = Pcg32::new(seed);
        let clock = Clock::default();
        clock.advance(Duration::from_nanos(u64::from(random.next_u32()) << random.below(16)));
        let network = Network::new(seed, &clock);
        let len_max = C::LEN_MAX.min(S::LEN_MAX) >> random.below(8);
        let watch = Rc::new(RefCell::new(Watch::new(C::IS_OURS && S::IS_OURS)));
        let mut world = Self {
            clock,
            network,
            watch,
            hosts: Vec::new(),
            streams: Streams { seed, len_max },
            openings: Vec::new(),
            attempts: 0,
            clients: Vec::new(),
            random,
            steps: 0,
            may_give_up: weather == Weather::Any && !(C::IS_OURS && S::IS_OURS),
            census: Census::default(),
        };
        world.network.tap(Rc::clone(&world.watch));
        world.add_host::<S>(SERVER, weather);
        for number in 0..1 + world.random.below(2) {
            let address = Ipv4Addr::from_bits(SERVER.ip().to_bits() + 10 + number);
            let host = world.add_host::<C>(SocketAddrV4::new(address, 9), weather);
            for _ in 0..1 + world.random.below(3) {
                let id = StreamId::try_from(world.clients.len()).expect("few");
                let wait = Duration::from_micros(world.random.below(100_000).into());
                world.openings.push((world.clock.now() + wait, host, id));
                world.clients.push(id);
            }
        }
        world
    }

    fn add_host<T: Stack + 'static>(&mut self, listen: SocketAddrV4, weather: Weather) -> usize {
        if T::IS_OURS {
            self.watch.borrow_mut().is_ours(*listen.ip());
        }
        let random = &mut self.random;
        let number = self.hosts.len();
        let mtu = [576, 1280, 1500][random.below(3) as usize];
        let port_config = PortConfig {
            mtu,
            // Few enough that they run out now and then, which is a loss.
            frame_count: if weather == Weather::Calm { 1024 } else { 8 << random.below(6) },
            tx_burst_frames: [1, 3, usize::MAX, usize::MAX][random.below(4) as usize],
            ..PortConfig::new([2, 0, 0, 0, 0, u8::try_from(number).expect("few")])
        };
        let link = link(random, weather);
        let rx_buffer_bytes = [2000, 16_000, 65_535, 300_000][random.below(4) as usize];
        let tx_buffer_bytes = [1000, 10_000, 100_000][random.below(3) as usize];
        let config = Config {
            connections: 16,
            half_open: 16,
            // More than smoltcp's can be, so that no more of its memory is taken than needed.
            rx_buffer_bytes: if T::IS_OURS { rx_buffer_bytes } else { rx_buffer_bytes.min(16_000) },
            tx_buffer_bytes: if T::IS_OURS { tx_buffer_bytes } else { tx_buffer_bytes.min(10_000) },
            handshake_timeout: FOR_EVER,
            user_timeout: T::PATIENCE,
            fin_wait_timeout: FOR_EVER,
            connect_timeout: FOR_EVER,
            time_wait_entries: 16,
            connecting: 8,
            neighbours: 4,
            ..Config::new(listen, random_key(random))
        };
        let tcp = T::make(random, &config, mtu, self.may_give_up);
        let seed = u64::from(random.next_u32());
        let app =
            StreamApp::new(seed, self.streams, 100 * StreamId::try_from(number).expect("few"));
        let port = self.network.attach(port_config, link);
        self.hosts.push(Box::new(Engine::new(port, app, tcp, config)));
        number
    }

    /// Captures all that follows.
    pub fn capture(&mut self) -> Rc<RefCell<Capture>> {
        let capture = Rc::new(RefCell::new(Capture::new()));
        self.network.tap(Rc::clone(&capture));
        capture
    }

    /// Lets everything happen that will ever happen.
    pub fn run(&mut self) {
        while let Some(at) = self.next_event() {
            self.clock.advance_to(at);
            self.open();
            for host in 0..self.hosts.len() {
                self.poll(host);
            }
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "no end after {STEPS_MAX} steps: {:?}", self.gauges());
        }
        self.check_end();
        self.census.segments = self.watch.borrow().segments;
    }

    fn next_event(&self) -> Option<Instant> {
        let openings = self.openings.iter().map(|(at, ..)| *at);
        let deadlines = self.hosts.iter().filter_map(|host| host.next_deadline());
        openings.chain(deadlines).chain(self.network.next_arrival()).min()
    }

    /// Begins the connections that are due.
    fn open(&mut self) {
        let now = self.clock.now();
        let due = self.openings.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>();
        for (_, host, id) in due {
            self.attempts += 1;
            assert!(self.attempts < ATTEMPTS_MAX, "a connection does not open");
            assert!(self.hosts[host].connect(now, id), "there is room for a connection");
        }
    }

    /// Lets one host do all that it has to do now.
    fn poll(&mut self, number: usize) {
        let now = self.clock.now();
        let host = &mut self.hosts[number];
        let mut quiet = 0;
        let mut polls = 0;
        while quiet < 2 {
            let before = (host.port().link_counters().sent, host.app().calls);
            let received = host.poll(now);
            let after = (host.port().link_counters().sent, host.app().calls);
            quiet = if received == 0 && before == after { quiet + 1 } else { 0 };
            polls += 1;
            assert!(polls < POLLS_MAX, "host {number} does not come to rest at {now:?}");
        }
        let next = host.next_deadline();
        assert!(next.is_none_or(|next| next > now), "a timer lies in the past: {next:?}");
        assert_eq!(host.port().outstanding(), 0, "host {number} has leaked a frame");
        for (token, why) in std::mem::take(&mut host.app().failed) {
            assert_eq!(why, engine::ConnectError::Unreachable, "only ARP may fail");
            let id = StreamId::try_from(token).expect("a stream's name");
            self.openings.push((now, number, id));
        }
    }

    fn gauges(&self) -> Vec<Vec<(&'static str, u64)>> {
        self.hosts.iter().map(|host| host.gauges()).collect()
    }

    /// Nothing will ever happen again: every stream has arrived, and nothing is left.
    fn check_end(&mut self) {
        for (number, gauges) in self.gauges().iter().enumerate() {
            assert!(gauges.iter().all(|(_, value)| *value == 0), "host {number}: {gauges:?}");
        }
        let mut over: Vec<(Conn, Closed)> = Vec::new();
        for host in &mut self.hosts {
            over.append(&mut host.app().over);
        }
        let is_given_up = |(_, why): &(Conn, Closed)| *why == Closed::TimedOut;
        let given_up = over.iter().filter(|side| is_given_up(side)).count();
        assert!(given_up == 0 || self.may_give_up, "{over:?}");
        self.census.given_up = given_up as u64;
        self.census.streams = over.len() as u64;
        for id in &self.clients {
            let sides = over.iter().filter(|(conn, _)| conn.id == *id).count();
            assert_eq!(sides, 1, "stream {id} has ended once");
        }
        if given_up == 0 {
            over.iter().for_each(|(conn, why)| self.check_conn(conn, *why, &over));
        }
    }

    fn check_conn(&self, conn: &Conn, why: Closed, over: &[(Conn, Closed)]) {
        // The last ACK may be lost for longer than TIME-WAIT lasts at the other end.
        assert!(matches!(why, Closed::Finished | Closed::ResetByPeer), "{conn:?}: {why:?}");
        let len = self.streams.len(conn.id);
        assert_eq!(conn.put, len, "{conn:?} has put everything");
        assert!(conn.saw_eof, "{conn:?} has heard the end");
        if let Some(peer) = conn.peer() {
            assert_eq!(
                conn.received,
                self.streams.len(peer),
                "{conn:?} has received everything: {why:?}"
            );
            assert_ne!(conn.id < ACCEPTED, peer < ACCEPTED, "one side accepts");
        }
        if len > 0 {
            let receivers = over.iter().filter(|(other, _)| other.peer() == Some(conn.id)).count();
            assert_eq!(receivers, 1, "{conn:?} has one receiver");
        }
    }
}

fn random_key(random: &mut Pcg32) -> [u8; 16] {
    let mut key = [0; 16];
    key.as_chunks_mut().0.iter_mut().for_each(|word| *word = random.next_u32().to_ne_bytes());
    key
}
