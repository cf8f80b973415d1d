//! Two ends that keep the rules: packets arrive whole and in order, and nothing is left behind.

use super::{End, PATIENCE, contents, counter, frame_of, packet, pair, socket};
use crate::{Config, MemifQueue, Role};
use queue::{BURST_MAX, Burst, Queue};
use std::time::Instant;

/// Every packet that one queue sends comes back from the other one, which reflects.
fn check_reflection(near: &mut MemifQueue, far: &mut MemifQueue, count: u64) {
    let (mut out, mut back, mut reflected) = (Burst::new(), Burst::new(), Burst::new());
    let (mut sent, mut seen) = (0, 0);
    let len = |number: u64| 14 + u16::try_from(number * 7 % 1501).expect("up to the MTU");
    while seen < count {
        while out.room() > 0 && sent < count {
            let frame = frame_of(near, &packet(sent, len(sent)));
            out.push(frame).expect("room");
            sent += 1;
        }
        near.tx_burst(&mut out);
        far.rx_burst(&mut reflected);
        far.tx_burst(&mut reflected);
        near.rx_burst(&mut back);
        for bytes in contents(near, &mut back) {
            assert!(bytes == packet(seen, len(seen)), "packet {seen} of {count}");
            seen += 1;
        }
    }
    for queue in [near, far] {
        assert_eq!((counter(queue, "rx_frames"), counter(queue, "tx_frames")), (count, count));
        assert_eq!(counter(queue, "rx_bytes"), counter(queue, "tx_bytes"));
        assert_eq!(queue.outstanding(), 0);
        queue.audit();
    }
}

#[test]
fn a_client_that_is_refused_learns_why() {
    let refused = |change: fn(&mut Config)| {
        let socket = socket();
        let mut config = Config::new(&socket, Role::Server);
        config.secret = "hush".to_owned();
        let _server = End::open(&config);
        let mut config = Config { secret: config.secret, ..Config::new(&socket, Role::Client) };
        change(&mut config);
        let client = End::open(&config);
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no word of the server");
            match client.port.farewell() {
                Some(words) => return words,
                None => std::thread::yield_now(),
            }
        }
    };
    assert_eq!(refused(|config| config.secret.clear()), "the secret is another one");
    assert_eq!(refused(|config| config.id = 1), "no interface of this id here");
}

#[test]
fn packets_come_back_unchanged_and_in_order() {
    let (mut server, mut client) = pair(|_| ());
    check_reflection(&mut client.queues[0], &mut server.queues[0], 10_000);
}

#[test]
fn both_ends_can_begin() {
    let (mut server, mut client) = pair(|_| ());
    check_reflection(&mut server.queues[0], &mut client.queues[0], 10_000);
}

#[test]
fn small_rings_and_buffers_chain_packets() {
    let change = |config: &mut Config| {
        config.ring_frames = 64;
        config.buffer_bytes = 64;
    };
    let (mut server, mut client) = pair(change);
    check_reflection(&mut client.queues[0], &mut server.queues[0], 3000);
    let (mut server, mut client) = pair(change);
    check_reflection(&mut server.queues[0], &mut client.queues[0], 3000);
}

#[test]
fn queues_do_not_mix() {
    let (mut server, mut client) = pair(|config| config.queue_count = 3);
    for (near, far) in client.queues.iter_mut().zip(&mut server.queues) {
        check_reflection(near, far, 500);
    }
}

#[test]
fn a_full_ring_refuses_and_goes_on() {
    for client_sends in [true, false] {
        let (mut server, mut client) = pair(|config| config.ring_frames = 64);
        let (server, client) = (&mut server.queues[0], &mut client.queues[0]);
        let (near, far) = if client_sends { (client, server) } else { (server, client) };
        let (mut out, mut back) = (Burst::new(), Burst::new());
        for number in 0..BURST_MAX as u64 {
            out.push(frame_of(near, &packet(number, 60))).expect("room");
        }
        assert_eq!(near.tx_burst(&mut out), 64);
        out.push(frame_of(near, &packet(64, 60))).expect("room");
        assert_eq!((near.tx_burst(&mut out), out.len()), (0, 1), "nobody has taken any");
        assert_eq!(counter(near, "tx_refused_frames"), 1);
        assert_eq!(far.rx_burst(&mut back), 64);
        assert_eq!(contents(far, &mut back)[63], packet(63, 60));
        // A client's buffers come back as the server takes them, a server's as the client does.
        assert_eq!(near.tx_burst(&mut out), 1);
        assert_eq!(far.rx_burst(&mut back), 1);
        assert_eq!(contents(far, &mut back), [packet(64, 60)]);
    }
}

#[test]
fn the_caller_may_hold_every_frame() {
    let (mut server, mut client) = pair(|config| config.frame_count = Config::FRAME_COUNT_MIN);
    let (near, far) = (&mut client.queues[0], &mut server.queues[0]);
    let mut held = Vec::new();
    while let Some(frame) = far.alloc() {
        held.push(frame);
    }
    assert_eq!((held.len(), counter(far, "alloc_refusals")), (256 - 64, 1));
    let (mut out, mut back) = (Burst::new(), Burst::new());
    for number in 0..64 {
        out.push(frame_of(near, &packet(number, 60))).expect("room");
    }
    assert_eq!(near.tx_burst(&mut out), 64);
    assert_eq!(far.rx_burst(&mut back), 64, "alloc has left as many");
    out.push(frame_of(near, &packet(64, 60))).expect("room");
    assert_eq!(near.tx_burst(&mut out), 1);
    let mut more = Burst::new();
    assert_eq!((far.rx_burst(&mut more), counter(far, "rx_starved_polls")), (0, 1));
    held.into_iter().for_each(|frame| far.free(frame));
    assert_eq!(far.rx_burst(&mut more), 1, "nothing was lost");
    assert_eq!(contents(far, &mut more), [packet(64, 60)]);
    assert_eq!(contents(far, &mut back).len(), 64);
    far.audit();
}

#[test]
fn packets_of_no_length_that_a_link_carries_are_dropped() {
    let (_server, mut client) = pair(|_| ());
    let near = &mut client.queues[0];
    let mut out = Burst::new();
    for len in [0, 13, 1515, 2048] {
        let frame = frame_of(near, &vec![0; len]);
        out.push(frame).expect("room");
    }
    assert_eq!((near.tx_burst(&mut out), near.outstanding()), (4, 0));
    assert_eq!((counter(near, "tx_bad_length_frames"), counter(near, "tx_frames")), (4, 0));
}

#[test]
fn without_a_peer_nothing_comes_and_what_is_sent_is_counted() {
    let mut alone = End::open(&Config::new(socket(), Role::Client));
    let queue = &mut alone.queues[0];
    let mut burst = Burst::new();
    assert_eq!(queue.rx_burst(&mut burst), 0);
    burst.push(frame_of(queue, &packet(0, 60))).expect("room");
    assert_eq!((queue.tx_burst(&mut burst), queue.outstanding()), (1, 0));
    assert_eq!(counter(queue, "tx_link_down_frames"), 1);
}

#[test]
fn a_client_finds_its_server_again() {
    let socket = socket();
    let mut client = End::open(&Config::new(&socket, Role::Client));
    for round in 1..=3 {
        let mut server = End::open(&Config::new(&socket, Role::Server));
        server.expect_up();
        client.expect_up();
        let mut out = Burst::new();
        out.push(frame_of(&mut server.queues[0], &packet(round, 60))).expect("room");
        assert_eq!(server.queues[0].tx_burst(&mut out), 1);
        let mut back = Burst::new();
        assert_eq!(client.queues[0].rx_burst(&mut back), 1);
        assert_eq!(contents(&mut client.queues[0], &mut back), [packet(round, 60)]);
        drop(server);
        client.expect_down();
    }
    assert_eq!(counter(&client.queues[0], "link_ups"), 3);
}
