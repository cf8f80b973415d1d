//! The worker over the stack in virtual time: a server of which the delay of every answer is known
//! gives exactly the latencies that it gives over any other transport.

use super::network::{Driver, Settings};
use super::{AliasedQueue, Bypass, Clock as Reading, Link, Stack};
use crate::outcome::Outcome;
use crate::plan::{Plan, Share, TransportKind, Window};
use crate::source::Fixed;
use crate::transport::{Failure, Handler, Next, Transport};
use crate::validity;
use crate::worker::{self, Worker};
use engine::{Advance, App, Closed, Config, ConnId, Engine, Event, Native, Outbox};
use queue::Queue;
use queue_memif::Role;
use sim::{Clock, Link as Wire, Port, PortConfig, pair};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tcp::Instant;

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
/// By how much the world moves on between two polls, unless a test says otherwise.
const STEP: Duration = Duration::from_micros(10);
const MS: Duration = Duration::from_millis(1);

impl Link for Port {
    fn is_up(&self) -> bool {
        true
    }
}

/// The world's time, and how long a reading of it takes.
struct Virtual(Clock, Duration);

impl Reading for Virtual {
    fn now_ns(&self) -> u64 {
        self.0.advance(self.1);
        self.0.now().as_nanos()
    }
}

/// Answers the n-th request after a time that is a function of n.
struct Delays {
    delay: fn(u64) -> Duration,
    requests: u64,
}

impl App for Delays {
    type Conn = Option<Instant>;

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<Self::Conn> {
        Some(None)
    }

    fn ready(
        &mut self,
        now: Instant,
        due: &mut Self::Conn,
        _event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        if input == REQUEST {
            *due = Some(now + (self.delay)(self.requests));
            self.requests += 1;
        }
        if due.take_if(|at| *at <= now).is_some() {
            output.put(OK);
        }
        Advance { consumed: input.len(), wake_at: due.unwrap_or(Instant::NEVER), ..Advance::IDLE }
    }

    fn closed(&mut self, _: Self::Conn, _: Closed) {}
}

/// A client and a server on a wire without delay, and the time that both live in.
struct World {
    clock: Clock,
    client: Bypass<AliasedQueue<Port>, Native, Virtual>,
    server: Engine<Port, Delays, Native>,
    /// By how much it moves on between two polls.
    step: Duration,
}

impl World {
    fn new(sources: &str, connections: usize, delay: fn(u64) -> Duration) -> Self {
        Self::paced(sources, connections, delay, [STEP, Duration::ZERO])
    }

    /// Of which each poll, and each reading of the clock, takes a time of its own.
    fn paced(
        sources: &str,
        connections: usize,
        delay: fn(u64) -> Duration,
        [step, reading]: [Duration; 2],
    ) -> Self {
        let clock = Clock::default();
        clock.advance(Duration::from_secs(1000));
        let ours = (PortConfig::new([2, 0, 0, 0, 0, 1]), Wire::PERFECT);
        let theirs = (PortConfig::new([2, 0, 0, 0, 0, 2]), Wire::PERFECT);
        let (ours, theirs) = pair(1, &clock, ours, theirs);
        let settings = Settings {
            driver: Driver::memif("@none", Role::Client),
            sources: sources.parse().unwrap(),
        };
        let stack = Stack::new(&settings, Share::WHOLE, &[SERVER], connections).unwrap();
        let tcp = Native::new(&stack.config, ours.caps().mtu);
        let client = Bypass::with_tcp(ours, tcp, stack, Virtual(clock.clone(), reading));
        let config = Config::new(SERVER, [7; 16]);
        let tcp = Native::new(&config, theirs.caps().mtu);
        let server = Engine::new(theirs, Delays { delay, requests: 0 }, tcp, config);
        Self { clock, client, server, step }
    }
}

impl Transport for World {
    fn sleeps(&self) -> bool {
        self.client.sleeps()
    }

    fn now_ns(&self) -> u64 {
        self.client.now_ns()
    }

    fn open(&mut self, slot: usize, handler: &mut impl Handler) {
        self.client.open(slot, handler);
    }

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        self.client.send(slot, handler);
    }

    /// The client's turn, then the server's; then the time goes on.
    fn poll(&mut self, _wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        self.client.poll(0, handler)?;
        self.server.poll(self.clock.now());
        self.clock.advance(self.step);
        assert_eq!(self.client.engine.queue().outstanding(), 0, "a frame has leaked");
        Ok(())
    }
}

fn run(world: &mut World, connections: usize) -> Outcome {
    run_plan(world, &plan(connections, Duration::from_secs(1)))
}

fn plan(connections: usize, length: Duration) -> Plan {
    Plan { transport: TransportKind::Memif, ..Plan::closed(connections, length) }
}

fn run_plan(world: &mut World, plan: &Plan) -> Outcome {
    let window = Window::new(world.now_ns(), plan);
    let source = Fixed::new(REQUEST.to_vec(), 1);
    let worker = Worker::new(plan, source, Share::WHOLE, &window);
    let (outcome, _) = worker::run(world, worker, window, &AtomicBool::new(false)).unwrap();
    assert!(outcome.counts.balance(), "{:?}", outcome.counts);
    assert_eq!(outcome.counts.errors(), 0, "{:?}", outcome.counts);
    outcome
}

/// A latency is the delay, and three steps of the world at most: the server's timer rings in the
/// step after it is due, and the client finds the answer in its turn after that. A histogram of
/// three digits adds a thousandth.
#[track_caller]
fn assert_is(latency_ns: u64, delay: Duration) {
    let delay_ns = u64::try_from(delay.as_nanos()).unwrap();
    let most_ns = delay_ns + u64::try_from(3 * STEP.as_nanos()).unwrap();
    let (low, high) = (delay_ns - delay_ns / 1000, most_ns + most_ns / 1000);
    assert!((low..=high).contains(&latency_ns), "{latency_ns} ns for {delay:?}");
}

#[test]
fn a_steady_server_has_the_latency_that_it_has() {
    let mut world = World::new("198.18.0.3", 3, |_| MS);
    let outcome = run(&mut world, 3);
    assert_is(outcome.latency.min(), MS);
    assert_is(outcome.latency.max(), MS);
    assert!((2880..3000).contains(&outcome.counts.requests), "{:?}", outcome.counts);
    assert_eq!(outcome.statuses[200], outcome.counts.requests);
}

/// Of each hundred answers 80 take 1 ms, 18 take 3 ms, and 2 take 20 ms, in an order without a
/// pattern: each share of the distribution comes out where it is.
#[test]
fn a_known_distribution_of_delays_is_the_one_that_is_reported() {
    let delay = |n: u64| match n * 37 % 100 {
        0..80 => MS,
        80..98 => 3 * MS,
        _ => 20 * MS,
    };
    let outcome = run(&mut World::new("198.18.0.3", 5, delay), 5);
    assert!(outcome.counts.requests > 2000, "{:?}", outcome.counts);
    for (percent, expect) in [(1.0, 1), (50.0, 1), (79.0, 1), (82.0, 3), (97.0, 3), (99.0, 20)] {
        assert_is(outcome.latency.percentile(percent), expect * MS);
    }
    assert_is(outcome.latency.max(), 20 * MS);
}

/// A turn lasts 1 µs whatever it finds, and so does the way to the next one.
#[test]
fn a_client_that_hardly_ever_polls_in_vain_was_the_limit() {
    const TURN: Duration = Duration::from_micros(1);
    let judged = |delay, connections| {
        let mut world = World::paced("198.18.0.3", connections, delay, [Duration::ZERO, TURN]);
        let plan = plan(connections, 10 * MS);
        let outcome = run_plan(&mut world, &plan);
        validity::judge(&plan, &outcome)
    };
    let waiting = judged(|_| MS, 1);
    let share = waiting.idle_poll_share.unwrap();
    assert!((0.45..0.55).contains(&share), "every other moment is a vain poll: {share}");
    assert_eq!(waiting.limit, None);
    // The server's answer is there before the client's next turn.
    let busy = judged(|_| Duration::ZERO, 64);
    let share = busy.idle_poll_share.unwrap();
    assert!(share < 0.02, "every turn finds an answer: {share}");
    assert!(busy.limit.unwrap().contains("in polls that found nothing for 0."));
}

#[test]
fn connections_of_several_sources_are_served_alike() {
    let mut world = World::new("198.18.0.3-198.18.0.7", 10, |_| MS);
    let outcome = run(&mut world, 10);
    assert_is(outcome.latency.max(), MS);
    assert!(outcome.counts.requests > 9000, "{:?}", outcome.counts);
}

/// What a transport tells of turns in which nothing happened.
#[derive(Default)]
struct Idle {
    opened: usize,
    looked: Vec<(u64, bool)>,
}

impl Handler for Idle {
    fn looked(&mut self, clock: &dyn Fn() -> u64, found: bool) {
        self.looked.push((clock(), found));
    }

    fn opened(&mut self, _now_ns: u64, _slot: usize) -> Next {
        self.opened += 1;
        Next::Wait
    }

    fn received(&mut self, _: u64, _: usize, _: &[u8], _: bool) -> Next {
        Next::Wait
    }

    fn closed(&mut self, _now_ns: u64, _slot: usize) -> Next {
        Next::Close
    }

    fn failed(&mut self, _: u64, _: usize, _: Failure, _: i32) -> Next {
        Next::Close
    }

    fn request(&self, _slot: usize) -> &[u8] {
        b""
    }
}

#[test]
fn turns_in_which_nothing_happened_are_told_with_their_end_and_no_others() {
    let mut world = World::new("198.18.0.3", 1, |_| MS);
    let mut idle = Idle::default();
    world.poll(0, &mut idle).unwrap();
    let turns = idle.looked.len();
    world.open(0, &mut idle);
    while idle.opened == 0 {
        let before = idle.looked.len();
        let now_ns = world.now_ns();
        world.poll(0, &mut idle).unwrap();
        assert!(idle.looked[before..].iter().all(|look| *look == (now_ns, false)));
    }
    // The turn that found the connection open is none of them.
    let looked = idle.looked.len();
    let now_ns = world.now_ns();
    world.poll(0, &mut idle).unwrap();
    assert_eq!(idle.looked[looked..], [(now_ns, false)]);
    assert!(looked > turns, "the handshake was waited for");
    assert!(!world.client.sleeps());
}

/// Some are open with a request under way, some have not answered our SYN yet.
#[test]
fn who_leaves_leaves_nothing_open_at_the_server() {
    let mut world = World::paced("198.18.0.3", 100, |_| MS, [STEP, Duration::from_micros(1)]);
    run(&mut world, 90);
    let mut idle = Idle::default();
    (90..100).for_each(|slot| world.open(slot, &mut idle));
    world.client.poll(0, &mut idle).unwrap();
    assert!(!world.client.is_drained());
    assert_eq!(connections(&world.server), 90);
    world.client.leave();
    assert!(world.client.is_drained());
    for _ in 0..100 {
        world.server.poll(world.clock.now());
    }
    assert_eq!(connections(&world.server), 0);
    assert_eq!(world.client.engine.queue().outstanding(), 0, "a frame has leaked");
}

/// Those that an engine has, half open or not.
fn connections(engine: &Engine<Port, Delays, Native>) -> u64 {
    let mut now = None;
    engine.counters(&mut |counter, value| {
        if counter.0 == "connections_now" {
            now = Some(value);
        }
    });
    now.expect("a counter of that name")
}
