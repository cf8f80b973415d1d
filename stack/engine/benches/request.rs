//! One request in, one response out, through frames of the simulator, with 1, 256 and 10,000
//! connections open: what a request costs must not depend on how many there are.
//!
//! The time includes the peer's side: a segment patched, two copies through the simulated wire,
//! and a look at the answer's header.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Mode, Peer, Segment, World, config, fix_checksums};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{Config, Smoltcp};
use std::time::Duration;

/// Connections that have a request waiting for them, each as a frame that is patched and sent.
struct Load {
    world: World<Smoltcp>,
    frames: Vec<Vec<u8>>,
    next: usize,
}

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nhost: showdown.example\r\n\r\n_";

impl Load {
    fn new(connections: u32) -> Self {
        let config = Config { connections, half_open: connections, ..config() };
        let mut world = World::<Smoltcp>::new(Mode::Lines(66), config);
        let request = Segment { payload: REQUEST, ..Segment::NONE };
        let frames = (0..connections)
            .map(|number| {
                let port = u16::try_from(20_000 + number).expect("a port");
                let peer: Peer = world.open(port);
                peer.frame(&request)
            })
            .collect();
        Self { world, frames, next: 0 }
    }

    /// Sends a request on the next `count` connections, polls once, and takes the answers.
    fn round(&mut self, count: usize) -> usize {
        let first = self.next;
        for number in first..first + count {
            let place = number % self.frames.len();
            self.world.port.send(&self.frames[place]);
        }
        self.next = (first + count) % self.frames.len();
        self.world.clock.advance(Duration::from_micros(10));
        self.world.poll();
        let mut answers = 0;
        while self.world.port.take(|answer| {
            let port = u16::from_be_bytes([answer[36], answer[37]]);
            let frame = &mut self.frames[usize::from(port) - 20_000];
            let add = |field: &mut [u8], more: usize| {
                let old = u32::from_be_bytes(field.try_into().expect("four bytes"));
                let new = old.wrapping_add(u32::try_from(more).expect("short"));
                field.copy_from_slice(&new.to_be_bytes());
            };
            add(&mut frame[38..42], REQUEST.len());
            add(&mut frame[42..46], answer.len() - 54);
            fix_checksums(frame);
            answers += 1;
        }) {}
        answers
    }
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for connections in [1, 256, 10_000] {
        let mut load = Load::new(connections);
        let count = (connections as usize).min(32);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{connections} connections, {count} a poll"), |bencher| {
            bencher.iter_batched(
                || (),
                |()| assert_eq!(load.round(count), count),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
