//! The life of connections: open, talk, close in every order, and tables back to zero.

mod common;

use common::{FIN, Heard, Mode, Peer, RST, SYN, Segment, TestTcp, World, config};
use engine::{Close, Closed, Config, Event};
use smoltcp::wire::TcpControl;
use std::time::Duration;
use tcp::Instant;

fn data(payload: &[u8]) -> Segment<'_> {
    Segment { payload, ..Segment::NONE }
}

fn a_handshake_offers_the_mss_of_the_link_and_opens_when_it_is_acknowledged<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    let mut peer = Peer::new(40_000);
    let answers = world.exchange(&peer, &SYN);
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].control, answers[0].mss), (TcpControl::Syn, Some(1460)));
    assert_eq!((answers[0].mac, answers[0].port), (common::CLIENT_MAC, 40_000));
    assert_eq!(world.tables(), (1, 1, 0));
    assert!(world.engine.app().opened.is_empty());
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = Some(answers[0].seq_end());
    assert!(world.exchange(&peer, &Segment::NONE).is_empty());
    assert_eq!(world.engine.app().opened.len(), 1);
    assert_eq!(world.tables(), (1, 0, 0));
    world.assert_at_rest();
}

fn initial_sequence_numbers_of_consecutive_connections_are_unrelated<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    let mut numbers: Vec<u32> =
        (0..64).map(|port| world.exchange(&Peer::new(40_000 + port), &SYN)[0].seq).collect();
    numbers.sort_unstable();
    let gaps: Vec<u32> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().any(|gap| *gap > 1 << 24), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap > 0), "{gaps:?}");
}

fn requests_are_answered_and_the_ack_rides_on_the_answer<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(100), config());
    let mut peer = world.open(40_000);
    for _ in 0..3 {
        let answers = world.exchange(&peer, &data(b"GET\n"));
        assert_eq!(answers.len(), 1, "{answers:?}");
        peer.seq = peer.seq.wrapping_add(4);
        assert_eq!(answers[0].ack, Some(peer.seq));
        assert_eq!(answers[0].payload, [b'x'; 100]);
        peer.ack = Some(answers[0].seq_end());
    }
    // Half a request waits; its other half completes it.
    assert_eq!(world.request(&mut peer, b"GE"), b"");
    assert_eq!(world.request(&mut peer, b"T\nGET\n").len(), 200);
    world.assert_at_rest();
}

fn input_that_is_not_consumed_is_offered_again_with_more_and_not_before<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Patient(6), config());
    let mut peer = world.open(40_000);
    world.request(&mut peer, b"abc");
    for _ in 0..10 {
        world.poll();
    }
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data]);
    world.request(&mut peer, b"def");
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data, Event::Data]);
    assert_eq!(world.engine.app().input, b"abcdef");
}

fn a_long_answer_goes_out_in_turns_that_wait_for_no_acknowledgement<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(40_000), config());
    let mut peer = world.open(40_000);
    // Opens the congestion window, by one or two segments with each acknowledgement, as far as it
    // is used.
    for _ in 0..10 {
        let mut received = world.request(&mut peer, b"GET\n").len();
        while received < 40_000 {
            received += world.request(&mut peer, b"").len();
        }
    }
    let first_turn = world.request(&mut peer, b"GET\n").len();
    assert_eq!(first_turn, 16 * 1460);
    world.poll();
    world.poll();
    let others: usize = world.heard().iter().map(|answer| answer.payload.len()).sum();
    assert_eq!(first_turn + others, 40_000);
}

fn a_connection_that_ends_before_its_turn_to_be_told_something_ends_after_it<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), Config { connections: 600, ..config() });
    let peers: Vec<Peer> = (0..600).map(|port| world.open(20_000 + port)).collect();
    let now = world.clock.now();
    // 600 applications are told of it, in several polls; the last peer does not wait for that.
    world.engine.drain(now, now + Duration::from_secs(5));
    world.exchange(peers.last().expect("600 of them"), &RST);
    assert!(world.engine.app().closed.is_empty());
    for _ in 0..10 {
        world.poll();
    }
    assert_eq!(world.engine.app().closed, [Closed::ResetByPeer]);
    assert_eq!(world.tables(), (599, 0, 0));
}

fn an_answer_longer_than_the_send_buffer_is_sent_as_the_peer_takes_it<T: TestTcp>() {
    let config = Config { tx_buffer_bytes: 8192, ..config() };
    let mut world = World::<T>::new(Mode::Lines(100_000), config);
    let mut peer = world.open(40_000);
    let mut received = world.request(&mut peer, b"GET\n").len();
    for _ in 0..200 {
        received += world.request(&mut peer, b"").len();
    }
    assert_eq!(received, 100_000);
    assert!(world.engine.app().events.contains(&Event::Space));
    world.assert_at_rest();
}

fn a_peer_that_closes_first_leaves_nothing_behind<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    let mut peer = world.open(40_000);
    let answers = world.exchange(&peer, &Segment { payload: b"bye", ..FIN });
    let answer = answers.last().expect("an answer");
    assert_eq!((answer.control, &answer.payload[..]), (TcpControl::Fin, &b"bye"[..]));
    assert_eq!(answer.ack, Some(peer.seq.wrapping_add(4)));
    peer.seq = peer.seq.wrapping_add(4);
    peer.ack = Some(answer.seq_end());
    assert!(world.exchange(&peer, &Segment::NONE).is_empty());
    assert_eq!(world.engine.app().closed, [Closed::Finished]);
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

/// Opens a connection that the application closes at the first request, up to FIN-WAIT-2.
fn closed_by_app<T: TestTcp>(world: &mut World<T>) -> Peer {
    let mut peer = world.open(40_000);
    world.engine.app().close_next = Some(Close::Both);
    let answers = world.exchange(&peer, &data(b"GET\n"));
    assert_eq!(answers.last().map(|answer| answer.control), Some(TcpControl::Fin));
    peer.seq = peer.seq.wrapping_add(4);
    peer.ack = answers.last().map(Heard::seq_end);
    assert!(world.exchange(&peer, &Segment::NONE).is_empty());
    assert_eq!(world.tables(), (1, 0, 0));
    peer
}

fn the_side_that_closes_first_passes_time_wait_in_a_table_of_its_own<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let peer = closed_by_app(&mut world);
    let expected = (peer.ack, Some(peer.seq.wrapping_add(1)));
    let acks = |answers: &[Heard]| {
        let [answer] = answers else { panic!("expected one ACK: {answers:?}") };
        assert_eq!((answer.control, answer.payload.len()), (TcpControl::None, 0));
        assert_eq!((Some(answer.seq), answer.ack), expected);
    };
    acks(&world.exchange(&peer, &FIN));
    assert_eq!(world.engine.app().closed, [Closed::Finished]);
    assert_eq!(world.tables(), (0, 0, 1));

    // The peer did not get that ACK and repeats its FIN, 59 s later: it starts the time anew.
    world.pass(Duration::from_secs(59));
    acks(&world.exchange(&peer, &FIN));
    world.pass(Duration::from_secs(59));
    assert_eq!(world.tables(), (0, 0, 1));
    // RFC 1337: a reset does not end it.
    assert!(world.exchange(&peer, &RST).is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

fn input_that_is_read_slowly_is_read_to_its_end_though_both_sides_have_closed<T: TestTcp>() {
    let check = |closes_last, entered_time_wait| {
        let mut world = World::<T>::new(Mode::Slow { closes_last }, config());
        let mut peer = world.open(40_000);
        world.exchange(&peer, &data(b"slowly"));
        peer.seq = peer.seq.wrapping_add(6);
        // The other side's FIN is acknowledged by the second of these, whichever it was.
        world.exchange(&peer, &FIN);
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = peer.ack.map(|ack| ack.wrapping_add(1));
        world.exchange(&peer, &Segment::NONE);
        assert!(world.engine.app().input.len() < 6 && world.engine.app().closed.is_empty());
        world.pass(Duration::from_millis(20));
        assert_eq!(world.engine.app().input, b"slowly");
        assert_eq!(world.engine.app().closed, [Closed::Finished]);
        assert_eq!(world.counter("rx_after_close_bytes"), 0);
        assert_eq!(world.tables(), (0, 0, entered_time_wait));
        world.assert_at_rest();
    };
    check(false, 1);
    check(true, 0);
}

fn a_syn_above_the_old_sequence_numbers_reopens_a_connection_in_time_wait<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let peer = closed_by_app(&mut world);
    world.exchange(&peer, &FIN);
    // Below: the old ACK. Above: a new handshake.
    let below = Peer { ack: None, ..peer.clone() };
    assert_eq!(world.exchange(&below, &SYN)[0].control, TcpControl::None);
    let above = Peer { ack: None, seq: peer.seq.wrapping_add(1000), ..peer };
    assert_eq!(world.exchange(&above, &SYN)[0].control, TcpControl::Syn);
    assert_eq!(world.tables(), (1, 1, 0));
}

fn data_after_close_is_dropped_and_a_peer_that_never_closes_is_reset<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let peer = closed_by_app(&mut world);
    world.exchange(&peer, &data(b"more"));
    assert_eq!(world.counter("rx_after_close_bytes"), 4);
    world.pass(Duration::from_secs(59));
    world.heard();
    assert_eq!(world.tables(), (1, 0, 0));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.heard().last().map(|last| last.control), Some(TcpControl::Rst));
    assert_eq!(world.engine.app().closed, [Closed::TimedOut]);
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

fn after_a_half_close_input_is_still_delivered<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Sink, config());
    let mut peer = world.open(40_000);
    world.engine.app().close_next = Some(Close::Write);
    let answers = world.exchange(&peer, &data(b"one"));
    assert_eq!(answers.last().map(|answer| answer.control), Some(TcpControl::Fin));
    peer.seq = peer.seq.wrapping_add(3);
    peer.ack = answers.last().map(Heard::seq_end);
    world.request(&mut peer, b"two");
    assert_eq!(world.engine.app().input, b"onetwo");
    world.exchange(&peer, &FIN);
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data, Event::Data, Event::Eof]);
    assert_eq!(world.tables(), (0, 0, 1));
}

fn resets_end_a_connection_from_either_side<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let peer = world.open(40_000);
    // Only a reset in the window counts.
    let outside = Peer { seq: peer.seq.wrapping_add(1 << 20), ..peer.clone() };
    world.exchange(&outside, &RST);
    assert_eq!(world.tables(), (1, 0, 0));
    assert!(world.exchange(&peer, &RST).is_empty());
    assert_eq!(world.engine.app().closed, [Closed::ResetByPeer]);

    let peer = world.open(40_001);
    world.engine.app().close_next = Some(Close::Reset);
    let answers = world.exchange(&peer, &data(b"GET\n"));
    assert_eq!(answers.last().map(|answer| answer.control), Some(TcpControl::Rst));
    assert_eq!(world.engine.app().closed, [Closed::ResetByPeer, Closed::ResetByApp]);

    world.engine.app().refuse = true;
    let mut peer = Peer::new(40_002);
    let syn_ack = &world.exchange(&peer, &SYN)[0];
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = Some(syn_ack.seq_end());
    assert_eq!(world.exchange(&peer, &Segment::NONE)[0].control, TcpControl::Rst);
    assert_eq!(world.counter("tcp_open_refused"), 1);
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

fn a_thousand_connections_open_talk_and_close_and_the_tables_are_back_to_zero<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), Config { connections: 1000, ..config() });
    let mut peers: Vec<Peer> = (0..1000).map(|port| world.open(20_000 + port)).collect();
    assert_eq!(world.tables(), (1000, 0, 0));
    // The table is full: one more is dropped, and counted.
    assert!(world.exchange(&Peer::new(1999), &SYN).is_empty());
    assert_eq!(world.counter("syn_table_full_segments"), 1);
    for peer in &mut peers {
        assert_eq!(world.request(peer, b"GET\n").len(), 10);
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        // Half of them are closed by the application, half by the peer.
        if number % 2 == 0 {
            world.engine.app().close_next = Some(Close::Both);
            assert_eq!(world.request(peer, b"GET\n").len(), 10);
        }
        let answers = world.exchange(peer, &FIN);
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = answers.last().map(Heard::seq_end);
        world.exchange(peer, &Segment::NONE);
    }
    assert_eq!(world.engine.app().closed, vec![Closed::Finished; 1000]);
    assert_eq!(world.tables(), (0, 0, 500));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.tables(), (0, 0, 0));
    assert_eq!(world.counter("time_wait_expired"), 500);
    assert_eq!(world.engine.next_deadline(), None, "no timer is left");
    world.assert_at_rest();
}

fn half_open_connections_are_bounded_and_expire<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, Config { half_open: 10, ..config() });
    let answered =
        (0..100).filter(|port| !world.exchange(&Peer::new(20_000 + port), &SYN).is_empty()).count();
    if T::HAS_COOKIES {
        assert_eq!((answered, world.counter("syn_cookies_sent")), (100, 90));
    } else {
        assert_eq!((answered, world.counter("syn_backlog_full_segments")), (10, 90));
    }
    assert_eq!(world.tables(), (10, 10, 0));
    // A handshake that completes makes room for one more.
    let mut peer = Peer::new(20_000);
    world.pass(Duration::from_secs(1));
    let again = world.heard();
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = again.iter().find(|syn| syn.port == 20_000).map(Heard::seq_end);
    world.exchange(&peer, &Segment::NONE);
    assert_eq!(world.tables(), (10, 9, 0));
    assert_eq!(world.exchange(&Peer::new(30_000), &SYN).len(), 1);
    // A reset ends one of them at once, the rest when their time is over, without a word.
    let reset = Peer { seq: Peer::new(20_001).seq.wrapping_add(1), ..Peer::new(20_001) };
    world.exchange(&reset, &RST);
    assert_eq!(world.tables(), (10, 9, 0));
    world.pass(Duration::from_secs(15));
    assert_eq!(world.tables(), (1, 0, 0));
    assert_eq!(world.counter("half_open_expired") + world.counter("half_open_aborted"), 10);
    assert!(world.heard().iter().all(|answer| answer.control != TcpControl::Rst));
    world.assert_at_rest();
}

fn a_peer_that_falls_silent_while_output_waits_is_given_up<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let mut peer = world.open(40_000);
    // Idle, it may be silent for as long as it likes.
    world.pass(Duration::from_secs(1000));
    assert_eq!(world.tables(), (1, 0, 0));
    world.request(&mut peer, b"GET\n");
    world.pass(Duration::from_secs(99));
    assert_eq!(world.tables(), (1, 0, 0));
    let retransmissions = world.heard();
    assert!((5..10).contains(&retransmissions.len()), "{retransmissions:?}");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.engine.app().closed, [Closed::TimedOut]);
    assert_eq!(world.heard().last().map(|last| last.control), Some(TcpControl::Rst));
    assert_eq!(world.tables(), (0, 0, 0));
    world.assert_at_rest();
}

fn an_application_is_woken_when_it_asked_to_be_and_not_before<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let mut peer = world.open(40_000);
    let wake_at = world.clock.now() + Duration::from_millis(1500);
    world.engine.app().wake_next = Some(wake_at);
    world.request(&mut peer, b"GET\n");
    world.request(&mut peer, b"");
    world.clock.advance_to(Instant::from_nanos(wake_at.as_nanos() - 1));
    world.poll();
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data]);
    world.clock.advance(Duration::from_micros(2));
    world.poll();
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data, Event::Timer]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.engine.app().events, [Event::Space, Event::Data, Event::Timer]);
}

fn output_can_be_put_outside_of_any_event_while_the_connection_is_there<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    let peer = world.open(40_000);
    let id = world.engine.app().opened[0];
    let now = world.clock.now();
    assert_eq!(world.engine.with(now, id, |_, output| output.put(b"hello")), Some(()));
    world.poll();
    assert_eq!(world.heard()[0].payload, b"hello");
    world.exchange(&peer, &RST);
    assert_eq!(world.engine.with(now, id, |_, output| output.put(b"hello")), None);
    // Another connection in the same place does not answer to the old name.
    world.open(40_001);
    assert_eq!(world.engine.with(now, id, |_, _| ()), None);
}

fn a_handshake_that_completes_while_draining_opens_a_connection_that_is_told_so<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let mut peer = Peer::new(40_000);
    let syn_ack = world.exchange(&peer, &SYN).remove(0);
    let now = world.clock.now();
    world.engine.drain(now, now + Duration::from_secs(5));
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = Some(syn_ack.seq_end());
    let answers = world.exchange(&peer, &data(b"GET\n"));
    assert_eq!(world.engine.app().events, [Event::Drain]);
    let answer = answers.last().expect("an answer");
    assert_eq!((answer.control, answer.payload.len()), (TcpControl::Fin, 10));
    world.assert_at_rest();
}

fn draining_refuses_newcomers_closes_the_idle_and_cuts_off_the_rest_at_the_deadline<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let idle = world.open(40_000);
    world.open(40_001);
    let half_open = Peer::new(40_002);
    world.exchange(&half_open, &SYN);
    let now = world.clock.now();
    world.engine.drain(now, now + Duration::from_secs(5));
    world.poll();
    let told = world.heard();
    let controls: Vec<(u16, TcpControl)> =
        told.iter().map(|answer| (answer.port, answer.control)).collect();
    assert!(controls.contains(&(40_000, TcpControl::Fin)), "{controls:?}");
    assert_eq!(world.tables(), (3, 1, 0));
    let refused = world.exchange(&Peer::new(40_003), &SYN);
    assert_eq!(refused[0].control, TcpControl::Rst);
    assert_eq!(world.counter("syn_draining_refusals"), 1);

    // One peer closes its side, the other does not even acknowledge that we have closed ours.
    let fin = told.iter().find(|answer| answer.port == 40_000).map(Heard::seq_end);
    world.exchange(&Peer { ack: fin, ..idle }, &FIN);
    assert!(!world.engine.is_drained());
    // A handshake that is not completed soon is forgotten.
    world.pass(Duration::from_millis(1100));
    assert_eq!(world.tables(), (1, 0, 1));
    world.pass(Duration::from_secs(5));
    assert!(world.engine.is_drained());
    assert_eq!(world.engine.app().closed, [Closed::Finished, Closed::DrainDeadline]);
    assert_eq!(world.heard().last().map(|last| last.control), Some(TcpControl::Rst));
    world.assert_at_rest();
}

fn a_drain_does_not_wait_for_peers_that_have_everything_and_keep_their_side_open<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    // The first has been closed before the drain, the second will be by it, and the third too, but
    // it will not have acknowledged everything for a while.
    let mut first = world.open(40_000);
    world.engine.app().close_next = Some(Close::Both);
    let answer = world.exchange(&first, &data(b"GET\n")).remove(0);
    first.seq = first.seq.wrapping_add(4);
    first.ack = Some(answer.seq_end());
    world.exchange(&first, &Segment::NONE);
    let mut others = [world.open(40_001), world.open(40_002)];
    let now = world.clock.now();
    world.engine.drain(now, now + Duration::from_secs(100));
    world.poll();
    for fin in world.heard() {
        let place = usize::from(fin.port - 40_001);
        others[place].ack = Some(fin.seq_end());
    }
    world.exchange(&others[0], &Segment::NONE);
    world.pass(Duration::from_millis(900));
    assert_eq!(world.tables(), (3, 0, 0), "each has its moment");
    world.pass(Duration::from_millis(200));
    assert_eq!(world.engine.app().closed, [Closed::TimedOut; 2]);
    let resets = world.heard().iter().filter(|told| told.control == TcpControl::Rst).count();
    assert_eq!(resets, 2, "they learn that nobody will listen");
    // What is not acknowledged yet is still sent again.
    world.pass(Duration::from_secs(20));
    assert!(!world.engine.is_drained());
    assert!(world.heard().iter().any(|told| told.control == TcpControl::Fin));
    world.exchange(&others[1], &Segment::NONE);
    world.pass(Duration::from_millis(1100));
    assert!(world.engine.is_drained());
    assert_eq!(world.counter("tcp_drain_deadline"), 0);
    world.assert_at_rest();
}

on_both! {
    a_handshake_offers_the_mss_of_the_link_and_opens_when_it_is_acknowledged,
    initial_sequence_numbers_of_consecutive_connections_are_unrelated,
    requests_are_answered_and_the_ack_rides_on_the_answer,
    input_that_is_not_consumed_is_offered_again_with_more_and_not_before,
    a_long_answer_goes_out_in_turns_that_wait_for_no_acknowledgement,
    a_connection_that_ends_before_its_turn_to_be_told_something_ends_after_it,
    an_answer_longer_than_the_send_buffer_is_sent_as_the_peer_takes_it,
    a_peer_that_closes_first_leaves_nothing_behind,
    the_side_that_closes_first_passes_time_wait_in_a_table_of_its_own,
    input_that_is_read_slowly_is_read_to_its_end_though_both_sides_have_closed,
    a_syn_above_the_old_sequence_numbers_reopens_a_connection_in_time_wait,
    data_after_close_is_dropped_and_a_peer_that_never_closes_is_reset,
    after_a_half_close_input_is_still_delivered,
    resets_end_a_connection_from_either_side,
    a_thousand_connections_open_talk_and_close_and_the_tables_are_back_to_zero,
    half_open_connections_are_bounded_and_expire,
    a_peer_that_falls_silent_while_output_waits_is_given_up,
    an_application_is_woken_when_it_asked_to_be_and_not_before,
    output_can_be_put_outside_of_any_event_while_the_connection_is_there,
    a_handshake_that_completes_while_draining_opens_a_connection_that_is_told_so,
    draining_refuses_newcomers_closes_the_idle_and_cuts_off_the_rest_at_the_deadline,
    a_drain_does_not_wait_for_peers_that_have_everything_and_keep_their_side_open,
}
