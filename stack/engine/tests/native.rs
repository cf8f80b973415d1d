//! What only the native TCP does: handshakes without a connection, input in the frame, pools.

mod common;

use common::{FIN, Heard, Mode, Peer, RST, SYN, Segment, config, fix_checksums};
use engine::{Close, Closed, Config, Event, Native};
use smoltcp::wire::TcpControl;
use std::time::Duration;

type World = common::World<Native>;

fn data(payload: &[u8]) -> Segment<'_> {
    Segment { payload, ..Segment::NONE }
}

/// The peer behind the handshake that `syn_ack` answers.
fn behind(peer: &Peer, syn_ack: &Heard) -> Peer {
    Peer { seq: peer.seq.wrapping_add(1), ack: Some(syn_ack.seq_end()), ..peer.clone() }
}

/// A world whose SYN cache has room for one handshake, and has one.
fn flooded() -> World {
    let mut world = World::new(Mode::Lines(10), Config { half_open: 1, ..config() });
    world.exchange(&Peer::new(1), &SYN);
    world
}

#[test]
fn a_cookie_completes_a_handshake_that_nobody_remembers() {
    let mut world = flooded();
    let peer = Peer::new(40_000);
    let syn_ack = &world.exchange(&peer, &SYN)[0];
    assert_eq!((syn_ack.control, syn_ack.mss), (TcpControl::Syn, Some(1460)));
    assert_eq!(world.tables(), (1, 1, 0), "the SYN has left nothing");
    let mut peer = behind(&peer, syn_ack);
    // The first request completes it as well as the ACK, which may be lost.
    assert_eq!(world.request(&mut peer, b"GET\n").len(), 10);
    assert_eq!(world.tables(), (2, 1, 0));
    assert_eq!((world.counter("syn_cookies_sent"), world.counter("syn_cookies_accepted")), (1, 1));
    world.assert_at_rest();
}

#[test]
fn what_is_no_cookie_is_answered_with_a_reset() {
    let mut world = flooded();
    let peer = Peer::new(40_000);
    let syn_ack = world.exchange(&peer, &SYN).remove(0);
    let good = behind(&peer, &syn_ack);
    let forged = Peer { ack: good.ack.map(|ack| ack ^ 1), ..good.clone() };
    let elsewhere = Peer { port: 40_001, ..good.clone() };
    for bad in [forged, elsewhere] {
        assert_eq!(world.exchange(&bad, &Segment::NONE)[0].control, TcpControl::Rst);
    }
    assert_eq!(world.counter("syn_cookies_rejected"), 2);
    // It is too late for the good one, and not even looked at when none is expected.
    world.pass(Duration::from_secs(129));
    world.heard();
    assert_eq!(world.exchange(&good, &Segment::NONE)[0].control, TcpControl::Rst);
    assert_eq!(world.counter("syn_cookies_rejected"), 2);
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

#[test]
fn under_a_flood_of_syns_every_other_handshake_succeeds() {
    let mut world = World::new(Mode::Lines(10), Config { half_open: 64, ..config() });
    for number in 0..10_000_u16 {
        let address = std::net::Ipv4Addr::from(0xc612_8000 + u32::from(number));
        world.exchange(&Peer { address, ..Peer::new(5000) }, &SYN);
        if number % 100 == 0 {
            let mut peer = world.open(20_000 + number / 100);
            assert_eq!(world.request(&mut peer, b"GET\n").len(), 10);
        }
    }
    assert_eq!(world.tables(), (164, 64, 0), "{:?}", world.counters());
    assert_eq!(world.counter("tcp_opened"), 100);
    world.pass(Duration::from_secs(16));
    assert_eq!(world.tables(), (100, 0, 0));
    world.assert_at_rest();
}

#[test]
fn a_syn_ack_is_sent_again_until_the_handshake_has_taken_too_long() {
    let mut world = World::new(Mode::Echo, config());
    let first = world.exchange(&Peer::new(40_000), &SYN);
    let mut sent_after = Vec::new();
    for second in 1..=20 {
        world.pass(Duration::from_secs(1));
        for again in world.heard() {
            assert_eq!(again, first[0]);
            sent_after.push(second);
        }
    }
    assert_eq!(sent_after, [1, 3, 7]);
    assert_eq!((world.counter("half_open_expired"), world.tables()), (1, (0, 0, 0)));
    assert_eq!(world.engine.next_deadline(), None);
    world.assert_at_rest();
}

#[test]
fn a_syn_again_gets_the_same_answer_and_a_different_one_does_not_begin_a_second() {
    let mut world = World::new(Mode::Echo, config());
    let peer = Peer::new(40_000);
    let first = world.exchange(&peer, &SYN);
    assert_eq!(world.exchange(&peer, &SYN), first);
    let other = Peer { seq: peer.seq.wrapping_add(7), ..peer.clone() };
    let challenge = world.exchange(&other, &SYN);
    assert!(challenge.iter().all(|answer| answer.control == TcpControl::None), "{challenge:?}");
    assert_eq!(world.tables(), (1, 1, 0));
    // A reset must be exact (RFC 5961): beside it, the handshake goes on.
    world.exchange(&Peer { seq: peer.seq.wrapping_add(9), ..peer.clone() }, &RST);
    assert_eq!(world.tables(), (1, 1, 0));
    world.exchange(&Peer { seq: peer.seq.wrapping_add(1), ..peer }, &RST);
    assert_eq!((world.tables(), world.counter("half_open_aborted")), ((0, 0, 0), 1));
    world.assert_at_rest();
}

#[test]
fn a_handshake_for_which_there_is_no_place_waits_until_there_is() {
    let mut world = World::new(Mode::Lines(10), Config { connections: 1, ..config() });
    let late = Peer::new(40_001);
    let syn_ack = world.exchange(&late, &SYN).remove(0);
    let first = world.open(40_000);
    let mut late = behind(&late, &syn_ack);
    assert!(world.exchange(&late, &Segment::NONE).is_empty());
    assert_eq!(world.counter("accept_table_full_segments"), 1);
    world.exchange(&first, &RST);
    assert_eq!(world.request(&mut late, b"GET\n").len(), 10);
    world.assert_at_rest();
}

#[test]
fn what_the_application_takes_is_never_stored_and_what_it_leaves_is() {
    let mut world = World::new(Mode::Patient(6), config());
    let mut peer = world.open(40_000);
    world.request(&mut peer, b"abc");
    assert_eq!(world.counter("rx_pool_chunks_now"), 1);
    world.request(&mut peer, b"def");
    assert_eq!(world.counter("rx_pool_chunks_now"), 0);
    world.request(&mut peer, b"ghijklm");
    assert_eq!(world.counter("rx_pool_chunks_now"), 0);
    assert_eq!(world.engine.app().input, b"abcdefghijklm");
    let events = [Event::Space, Event::Data, Event::Data, Event::Data];
    assert_eq!(world.engine.app().events, events);
}

#[test]
fn what_one_poll_receives_is_acknowledged_once() {
    let mut world = World::new(Mode::Sink, config());
    let peer = world.open(40_000);
    for place in 0..20 {
        let at = Peer { seq: peer.seq.wrapping_add(place * 1000), ..peer.clone() };
        world.port.send(&at.frame(&data(&[7; 1000])));
    }
    world.poll();
    let acks: Vec<_> = world.heard().iter().map(|heard| heard.ack).collect();
    assert_eq!(acks, [Some(peer.seq.wrapping_add(20_000))]);
}

#[test]
fn input_in_several_chunks_is_offered_in_one_piece() {
    let mut world = World::new(Mode::Patient(20_000), config());
    let mut peer = world.open(40_000);
    let body: Vec<u8> = (0..20_000).map(common::pattern).collect();
    for part in body.chunks(1460) {
        world.request(&mut peer, part);
    }
    assert!(world.engine.app().input == body);
    assert_eq!(world.counter("rx_pool_chunks_now"), 0);
}

#[test]
fn segments_in_any_order_become_the_stream_and_what_came_first_wins() {
    let body: Vec<u8> = (0..9000).map(common::pattern).collect();
    let mut world = World::new(Mode::Sink, config());
    let peer = world.open(40_000);
    let at = |offset: usize| {
        let offset = u32::try_from(offset).expect("short");
        Peer { seq: peer.seq.wrapping_add(offset), ..peer.clone() }
    };
    // The second and the fourth thousand, what lies around them with other content there, and
    // then from the back to the front.
    world.exchange(&at(1000), &data(&body[1000..2000]));
    world.exchange(&at(3000), &data(&body[3000..4000]));
    let mut other = body[500..1900].to_vec();
    other[500..].fill(b'!');
    world.exchange(&at(500), &data(&other));
    for start in (0..9).rev() {
        let part = start * 1000;
        let answers = world.exchange(&at(part), &data(&body[part..part + 1000]));
        assert_eq!(answers.len(), 1, "out of order, each is acknowledged at once");
    }
    assert!(world.engine.app().input == body);
    assert_eq!(world.counter("rx_pool_chunks_now"), 0);
    world.assert_at_rest();
}

#[test]
fn what_finds_no_chunk_counts_as_lost_and_the_window_says_so() {
    // One chunk for each connection, and none beside them.
    let config = Config { rx_pool_bytes: 0, ..config() };
    let mut world = World::new(Mode::Patient(3000), config);
    let peer = world.open(40_000);
    let body: Vec<u8> = (0..3000).map(common::pattern).collect();
    let at = |offset: u32| Peer { seq: peer.seq.wrapping_add(offset), ..peer.clone() };
    world.exchange(&at(0), &data(&body[..1460]));
    world.exchange(&at(1460), &data(&body[1460..2920]));
    world.exchange(&at(1460), &Segment { payload: &body[1460..2920], ..FIN });
    assert_eq!(world.counter("rx_store_full_segments"), 2);
    world.pass(Duration::from_secs(1));
    let acks = world.heard();
    let last = acks.last().expect("the first is acknowledged late");
    assert_eq!(last.ack, Some(peer.seq.wrapping_add(1460)), "and the second is not");
    // Somebody else is heard all the same.
    let mut other = world.open(40_001);
    world.engine.app().mode = Mode::Lines(10);
    assert_eq!(world.request(&mut other, b"GET\n").len(), 10);
    world.exchange(&at(1460), &RST);
    assert_eq!(world.counter("rx_pool_chunks_now"), 0);
}

#[test]
fn an_empty_pool_of_output_makes_answers_slower_and_starves_nobody() {
    let config = Config { tx_pool_bytes: 16 * 1024, ..config() };
    let mut world = World::new(Mode::Lines(20_000), config);
    let mut peers: Vec<Peer> = (0..20).map(|port| world.open(40_000 + port)).collect();
    for peer in &peers {
        world.port.send(&peer.frame(&data(b"GET\n")));
    }
    for peer in &mut peers {
        peer.seq = peer.seq.wrapping_add(4);
    }
    let mut received = vec![0; peers.len()];
    for _ in 0..2000 {
        world.poll();
        for answer in world.heard() {
            let place = usize::from(answer.port - 40_000);
            received[place] += answer.payload.len();
            peers[place].ack = Some(answer.seq_end());
            world.port.send(&peers[place].frame(&Segment::NONE));
        }
        world.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(received, vec![20_000; peers.len()]);
    assert!(world.counter("tx_pool_short_offers") > 0);
    world.poll();
    assert_eq!(world.counter("tx_pool_chunks_now"), 0, "at rest, nobody holds a chunk");
    world.assert_at_rest();
}

/// Polls until a peer has an answer of `len` bytes to its line, each acknowledged at once.
fn polls_until_answered(world: &mut World, peer: &mut Peer, len: usize) -> usize {
    let mut received = 0;
    let mut answers = world.exchange(peer, &data(b"\n"));
    peer.seq = peer.seq.wrapping_add(1);
    for polls in 1..1000 {
        for answer in answers.iter().filter(|answer| answer.port == peer.port) {
            received += answer.payload.len();
            peer.ack = Some(answer.seq_end());
        }
        if received == len {
            world.exchange(peer, &Segment::NONE);
            return polls;
        }
        answers = world.exchange(peer, &Segment::NONE);
    }
    panic!("{received} of {len} bytes arrive");
}

#[test]
fn who_takes_no_answer_leaves_most_of_the_pool_to_the_others() {
    // One connection could fill the pool four times.
    let config = Config { tx_pool_bytes: 256 * 1024, tx_buffer_bytes: 1024 * 1024, ..config() };
    let mut world = World::new(Mode::Lines(20_000), config);
    let mut first = world.open(39_999);
    let alone = polls_until_answered(&mut world, &mut first, 20_000);
    let greedy = world.open(40_000);
    world.exchange(&greedy, &data(&[b'\n'; 50]));
    assert_eq!(world.counter("tx_pool_chunks_now"), 1 + 29, "a ninth of it");
    assert!(world.counter("tx_pool_short_offers") > 0);
    for port in 1..=100 {
        let mut good = world.open(40_000 + port);
        assert_eq!(polls_until_answered(&mut world, &mut good, 20_000), alone, "{port}");
    }
}

#[test]
fn who_fills_no_hole_leaves_a_share_of_the_pool_to_the_others() {
    // Ten windows are more than the pool, of 256 chunks.
    let config = Config { rx_pool_bytes: 512 * 1024, rx_buffer_bytes: 65_535, ..config() };
    let mut world = World::new(Mode::Patient(6000), config);
    let body: Vec<u8> = (0..6000).map(common::pattern).collect();
    for port in 0..10 {
        let greedy = world.open(30_000 + port);
        for place in 1..44 {
            let seq = greedy.seq.wrapping_add(place * 1460);
            world.exchange(&Peer { seq, ..greedy.clone() }, &data(&body[..1460]));
        }
    }
    assert!(world.counter("rx_store_full_segments") > 0);
    let held = world.counter("rx_pool_chunks_now");
    assert!((100..200).contains(&held), "{held}");
    for port in 1..=100 {
        let mut good = world.open(40_000 + port);
        for part in body.chunks(1460) {
            world.request(&mut good, part);
        }
        assert_eq!(world.engine.app().input.len(), usize::from(port) * 6000, "{port}");
    }
    assert_eq!(world.counter("rx_pool_chunks_now"), held, "the others hold nothing");
}

#[test]
fn every_way_to_end_gives_the_chunks_back() {
    let check = |end: &dyn Fn(&mut World, &Peer)| {
        let mut world = World::new(Mode::Patient(100_000), config());
        let mut peer = world.open(40_000);
        world.request(&mut peer, b"left unread");
        let (now, id) = (world.clock.now(), world.engine.app().opened[0]);
        world.engine.with(now, id, |_, output| output.put(&[7; 5000]));
        world.poll();
        let hole = Peer { seq: peer.seq.wrapping_add(9000), ..peer.clone() };
        world.exchange(&hole, &data(b"behind a hole"));
        assert!(
            world.counter("rx_pool_chunks_now") == 2 && world.counter("tx_pool_chunks_now") > 1
        );
        end(&mut world, &peer);
        world.pass(Duration::from_secs(200));
        let left = (world.counter("rx_pool_chunks_now"), world.counter("tx_pool_chunks_now"));
        assert_eq!((left, world.tables()), ((0, 0), (0, 0, 0)));
        assert_eq!(world.engine.app().closed.len(), 1);
        world.assert_at_rest();
    };
    check(&|world, peer| drop(world.exchange(peer, &RST)));
    check(&|world, peer| {
        world.engine.app().close_next = Some(Close::Reset);
        world.exchange(peer, &data(b"x"));
    });
    // Silence, while output waits.
    check(&|_, _| {});
    check(&|world, _| {
        let now = world.clock.now();
        world.engine.drain(now, now + Duration::from_secs(1));
    });
}

#[test]
fn resets_and_syns_at_wrong_numbers_end_nothing_and_are_challenged_a_few_times() {
    let mut world = World::new(Mode::Lines(10), config());
    let mut peer = world.open(40_000);
    let at = |offset: u32| Peer { seq: peer.seq.wrapping_add(offset), ..peer.clone() };
    let answered = |world: &mut World, peer: &Peer, segment: &Segment<'_>| {
        world.exchange(peer, segment).iter().map(|answer| answer.control).collect::<Vec<_>>()
    };
    // RFC 5961 §3.2: before the window or behind it nothing, in it a challenge.
    for offset in [u32::MAX, 1 << 20] {
        assert_eq!(answered(&mut world, &at(offset), &RST), []);
    }
    assert_eq!(answered(&mut world, &at(1), &RST), [TcpControl::None]);
    // §4.2: wherever it is.
    for offset in [u32::MAX, 0, 1, 1 << 20] {
        assert_eq!(answered(&mut world, &at(offset), &SYN), [TcpControl::None]);
    }
    // §7: no more than ten in a second.
    let storm = (0..1000).map(|_| answered(&mut world, &at(1), &RST).len()).sum::<usize>();
    assert_eq!(storm, 5);
    assert_eq!(world.tables(), (1, 0, 0));
    assert_eq!(world.counter("rx_unproven_reset_segments"), 1003);
    assert_eq!(world.counter("rx_unexpected_syn_segments"), 4);
    assert_eq!(world.request(&mut peer, b"GET\n").len(), 10);
    world.assert_at_rest();
}

#[test]
fn single_bytes_in_reverse_order_are_bounded_and_arrive() {
    let mut world = World::new(Mode::Sink, config());
    let peer = world.open(40_000);
    let body: Vec<u8> = (0..5000).map(common::pattern).collect();
    for place in (0..body.len()).rev() {
        let offset = u32::try_from(place).expect("short");
        let here = Peer { seq: peer.seq.wrapping_add(offset), ..peer.clone() };
        world.exchange(&here, &data(&body[place..=place]));
        assert!(world.counter("rx_pool_chunks_now") <= 3);
    }
    assert!(world.engine.app().input == body);
    world.assert_at_rest();
}

#[test]
fn a_tiny_mss_completes_a_large_response() {
    let mut world = World::new(Mode::Lines(20_000), config());
    let mut syn = Peer::new(40_000).frame(&SYN);
    // Behind the header, the first option is the MSS.
    assert_eq!(syn[54..56], [2, 4]);
    syn[56..58].copy_from_slice(&1_u16.to_be_bytes());
    fix_checksums(&mut syn);
    world.port.send(&syn);
    world.poll();
    let mut peer = behind(&Peer::new(40_000), &world.heard()[0]);
    world.exchange(&peer, &Segment::NONE);
    let mut received = world.request(&mut peer, b"GET\n").len();
    for _ in 0..400 {
        received += world.request(&mut peer, b"").len();
    }
    assert_eq!(received, 20_000);
    world.assert_at_rest();
}

#[test]
fn a_peer_that_never_closes_its_side_is_given_up() {
    let mut world = World::new(Mode::Lines(10), config());
    let mut peer = world.open(40_000);
    world.engine.app().close_next = Some(Close::Both);
    assert_eq!(world.request(&mut peer, b"GET\n").len(), 10);
    world.exchange(&peer, &Segment::NONE);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.engine.app().closed, [Closed::TimedOut]);
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}
