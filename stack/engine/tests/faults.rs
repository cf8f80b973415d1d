//! A bad network and too little memory: every byte arrives all the same, and no frame is lost.

mod common;

use common::client::Client;
use common::{Mode, SERVER_MAC, TestTcp, World, config, pattern};
use engine::{Closed, Config};
use sim::{Link, Pcg32, PortConfig};
use smoltcp::wire::TcpControl;
use std::time::Duration;

fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Pcg32::new(seed);
    (0..len).map(|_| random.next_u32().to_le_bytes()[0]).collect()
}

/// Sends a body over `link` in the direction that `mode` says, and checks every byte of it.
///
/// One direction at a time: two smoltcp ends that both retransmit can refuse each other's
/// acknowledgements for ever, because each sends them with a sequence number that it went back to.
fn check<T: TestTcp>(
    mode: Mode,
    seed: u64,
    link: Link,
    (port, config): (PortConfig, Config),
) -> World<T> {
    let mut world = World::<T>::with_port(mode, config, port, seed, link);
    let upload = if mode == Mode::Sink { body(seed, 200_000) } else { b"GET\n".to_vec() };
    let mut client = Client::new(&mut world, 40_000);
    // The longest pauses are retransmission time-outs of seconds, in steps of 50 µs.
    let received = client.exchange(&mut world, &upload, 4_000_000);
    match mode {
        Mode::Sink => assert!(world.engine.app().input == upload, "seed {seed}: wrong bytes"),
        Mode::Body(len) => {
            let expected: Vec<u8> = (0..len).map(pattern).collect();
            assert!(received == expected, "seed {seed}: {} bytes came", received.len());
        }
        Mode::Echo => assert_eq!(received, upload),
        other => panic!("{other:?} has no body to check"),
    }
    for _ in 0..2_500_000 {
        client.step(&mut world);
        if world.tables().0 == 0 {
            break;
        }
    }
    assert_eq!(world.tables().0, 0, "seed {seed}: the connection is over");
    assert_eq!(world.engine.app().closed, [Closed::Finished]);
    world.assert_at_rest();
    world
}

/// Sends a body each way over `link`, for several seeds.
fn check_both<T: TestTcp>(link: Link, and: impl Fn(&mut World<T>)) {
    for seed in 1..=4 {
        for mode in [Mode::Sink, Mode::Body(200_000)] {
            and(&mut check::<T>(mode, seed, link, (port(), config())));
        }
    }
}

fn port() -> PortConfig {
    PortConfig::new(SERVER_MAC)
}

const DELAY: Link = Link { delay: Duration::from_micros(100), ..Link::PERFECT };

fn bodies_arrive_exactly_over_a_link_that_loses_five_percent<T: TestTcp>() {
    check_both(Link { loss_ppm: 50_000, ..DELAY }, |world: &mut World<T>| {
        let lost = world.engine.queue().link_counters().lost + world.port.link_counters().lost;
        assert!(lost > 1, "{lost}");
    });
}

fn bodies_arrive_exactly_over_a_link_that_duplicates_and_reorders<T: TestTcp>() {
    let link = Link {
        duplicate_ppm: 100_000,
        reorder_ppm: 100_000,
        reorder_delay: Duration::from_micros(300),
        ..DELAY
    };
    check_both(link, |world: &mut World<T>| {
        let counters = world.port.link_counters();
        assert!(counters.duplicated > 0 && counters.reordered > 0);
    });
}

fn corrupted_segments_are_dropped_by_their_checksums<T: TestTcp>() {
    check_both(Link { corrupt_ppm: 50_000, ..DELAY }, |world: &mut World<T>| {
        let counters = world.counters();
        let dropped: u64 = counters
            .iter()
            .filter(|(name, _)| name.starts_with("rx_bad_"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(dropped, world.port.link_counters().corrupted);
        assert!(dropped > 0);
    });
}

fn with_hardly_any_frames_and_a_full_ring_output_waits_and_nothing_is_lost<T: TestTcp>() {
    // Eight frames for both directions, of which the ring takes one a poll.
    let port = PortConfig { frame_count: 8, tx_burst_frames: 1, ..port() };
    for mode in [Mode::Sink, Mode::Body(200_000)] {
        let world = check::<T>(mode, 1, DELAY, (port, config()));
        let counters = world.counters();
        if mode != Mode::Sink {
            assert!(counters["tx_no_frame_polls"] > 0, "{counters:?}");
            assert!(counters["tx_ring_full_polls"] > 0, "{counters:?}");
        }
    }
}

fn small_buffers_only_make_it_slower<T: TestTcp>() {
    let config = Config { rx_buffer_bytes: 2048, tx_buffer_bytes: 1000, ..config() };
    for mode in [Mode::Sink, Mode::Body(30_000), Mode::Echo] {
        check::<T>(mode, 1, DELAY, (port(), config.clone()));
    }
}

fn a_reader_that_stops_stops_the_sender_and_nobody_else<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(50_000), config());
    let mut stopped = world.open(40_000);
    let request = common::Segment { payload: b"\n", window: 1460, ..common::Segment::NONE };
    let answers = world.exchange(&stopped, &request);
    let sent: usize = answers.iter().map(|answer| answer.payload.len()).sum();
    assert_eq!(sent, 1460, "the window is one segment");
    stopped.seq = stopped.seq.wrapping_add(1);
    stopped.ack = answers.last().map(common::Heard::seq_end);
    world.exchange(&stopped, &common::Segment { window: 0, ..common::Segment::NONE });

    let mut other = world.open(40_001);
    let mut received = world.request(&mut other, b"\n").len();
    for _ in 0..100 {
        received += world.request(&mut other, b"").len();
    }
    assert_eq!(received, 50_000);

    // The closed window is probed, with one byte at a time (RFC 9293 §3.8.6.1).
    world.heard();
    world.pass(Duration::from_secs(10));
    let probes = world.heard();
    assert!((2..8).contains(&probes.len()), "{probes:?}");
    assert!(probes.iter().all(|probe| probe.port == 40_000 && probe.payload.len() <= 1));
    assert!(probes.iter().all(|probe| probe.control != TcpControl::Rst));
    world.assert_at_rest();
}

on_both! {
    bodies_arrive_exactly_over_a_link_that_loses_five_percent,
    bodies_arrive_exactly_over_a_link_that_duplicates_and_reorders,
    corrupted_segments_are_dropped_by_their_checksums,
    with_hardly_any_frames_and_a_full_ring_output_waits_and_nothing_is_lost,
    small_buffers_only_make_it_slower,
    a_reader_that_stops_stops_the_sender_and_nobody_else,
}
