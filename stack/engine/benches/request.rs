//! One request in, one response out, by each TCP: what it costs with few connections open, and
//! with so many that none is in a cache when its turn comes.
//!
//! What is timed is [`Engine::poll`] alone: a burst of requests lies ready in frames, and what is
//! sent stays in frames. Every checksum is computed and verified in software. The peers' side,
//! which writes the next requests and looks at the responses, is not timed. Connections take
//! turns, so that each is as cold as it can be. Of the bursts in a sample, the median counts: one
//! during which the machine did something else says nothing about the engine.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/shelf.rs"]
mod shelf;

use common::{SERVER, TestTcp, config};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{Config, Engine, Native, Smoltcp};
use queue::Queue;
use shelf::{Answers, Peers, Shelf};
use std::time::{Duration, Instant};

/// Requests in a burst.
const BURST: usize = 32;
/// Time from one burst to the next, as the engine sees it.
const STEP: Duration = Duration::from_micros(10);

/// An engine with connections open, and their peers.
struct Load<T: TestTcp> {
    engine: Engine<Shelf, Answers, T>,
    peers: Peers,
    now: tcp::Instant,
}

impl<T: TestTcp> Load<T> {
    fn new(connections: u32) -> Self {
        // smoltcp takes buffers of this size for each connection, and keeps them.
        let buffers = 2048;
        let config = Config {
            connections,
            half_open: 64,
            rx_buffer_bytes: buffers,
            tx_buffer_bytes: buffers,
            ..config()
        };
        let shelf = Shelf::new();
        let tcp = T::new(&config, shelf.caps().mtu);
        let engine = Engine::new(shelf, Answers, tcp, config);
        let now = tcp::Instant::ZERO + Duration::from_secs(1000);
        let mut load = Self { engine, peers: Peers::new(*SERVER.ip()), now };
        for number in 0..connections {
            load.peers.open(&mut load.engine, load.now, number);
        }
        load
    }

    /// A burst of requests, answered: how long the engine took.
    fn round(&mut self) -> Duration {
        self.now += STEP;
        self.peers.ask(self.engine.queue(), BURST);
        let start = Instant::now();
        self.engine.poll(self.now);
        let taken = start.elapsed();
        assert_eq!(self.peers.hear(self.engine.queue()), BURST, "each request has one response");
        taken
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
fn requests_by<T: TestTcp>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group("request");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1));
    for connections in [256, 100_000] {
        // Made when it is first needed, so that a filter spares the memory of the others.
        let mut load = None;
        group.bench_function(format!("{name}/{connections} connections"), |bencher| {
            let load = load.get_or_insert_with(|| Load::<T>::new(connections));
            bencher.iter_custom(|requests| {
                let bursts = requests.div_ceil(BURST as u64);
                let mut taken: Vec<Duration> = (0..bursts).map(|_| load.round()).collect();
                let middle = taken.len() / 2;
                let (_, median, _) = taken.select_nth_unstable(middle);
                median.mul_f64(requests as f64 / BURST as f64)
            });
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    requests_by::<Native>(criterion, "native");
    requests_by::<Smoltcp>(criterion, "smoltcp");
}

criterion_group!(benches, requests);
criterion_main!(benches);
