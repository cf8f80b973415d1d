//! Data arrive (RFC 9293 §3.10.7.4, seventh; RFC 2018; RFC 2883; RFC 5681 §4.2).

use crate::scene::{MSS, Scene, Segment, data, ms, plain, reported, seg, syn};
use tcp::{Dropped, Piece, Span, State};

#[test]
fn in_order_they_are_delivered_from_where_they_lie() {
    for state in [State::Established, State::FinWait1, State::FinWait2] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        let verdict = scene.hears(&data(seq, ack - u32::from(state == State::FinWait1), 300));
        assert_eq!(verdict.deliver, Span { from: 0, len: 300 });
        assert_eq!((verdict.released, verdict.store.as_slice()), (0, &[][..]));
        scene.is(state);
    }
}

#[test]
fn every_second_one_is_acknowledged_at_once_if_that_is_asked_for() {
    for (asked, said) in [(false, 0), (true, 1)] {
        let config = tcp::Config { ack_every_second: asked, ..plain() };
        let mut scene = Scene::established_by(&config, &syn());
        for number in 0..3 {
            scene.hears(&data(1 + number * 10, 1, 10));
        }
        // The third waits for a fourth.
        assert_eq!(scene.takes_all().len(), said, "asked: {asked}");
        scene.passes(ms(40));
        scene.says("A", 1, 31);
    }
}

#[test]
fn behind_the_peers_fin_they_are_dropped() {
    for state in [State::CloseWait, State::Closing, State::LastAck] {
        let (mut scene, seq, _) = Scene::in_state(state);
        let verdict = scene.hears(&data(seq, 1, 300));
        assert_eq!(verdict.dropped, Some(Dropped::Unwanted));
        assert_eq!((verdict.deliver.len, verdict.store.as_slice().len()), (0, 0));
    }
}

#[test]
fn one_segment_is_acknowledged_late_two_at_once() {
    let mut scene = Scene::established();
    scene.hears(&data(1, 1, MSS));
    scene.is_silent();
    scene.passes(ms(39));
    scene.is_silent();
    scene.passes(ms(1));
    scene.says("A", 1, 1001);
    scene.hears(&data(1001, 1, MSS));
    scene.is_silent();
    scene.hears(&data(2001, 1, MSS));
    scene.says("A", 1, 3001);
    scene.passes(ms(1000));
    scene.is_silent();
}

#[test]
fn the_acknowledgement_rides_on_data() {
    let mut scene = Scene::established();
    scene.hears(&data(1, 1, 100));
    scene.puts(133);
    scene.says_data("PA", 1, 101, 133);
    scene.hears(&seg("A", 101, 134));
    scene.passes(ms(1000));
    scene.is_silent();
}

#[test]
fn a_burst_is_acknowledged_once() {
    let mut scene = Scene::established();
    for number in 0..10 {
        // All of a burst are processed before anything is sent (MUST-58, MUST-59).
        let verdict = scene.tcb.handle_segment(scene.now, &data(1 + number * 1000, 1, MSS));
        scene.tcb.consume(u32::from(verdict.deliver.len));
        assert_eq!(verdict.answer, None);
    }
    scene.puts(0);
    scene.says("A", 1, 10_001);
    scene.is_silent();
}

#[test]
fn behind_a_hole_they_are_stored_and_acknowledged_at_once() {
    let mut scene = Scene::established();
    let verdict = scene.hears(&data(1001, 1, MSS));
    assert_eq!(verdict.store.as_slice(), [Piece { offset: 1000, from: 0, len: 1000 }]);
    assert_eq!(verdict.deliver.len, 0);
    scene.says("A", 1, 1);
    scene.hears(&data(2001, 1, MSS));
    scene.says("A", 1, 1);
    let verdict = scene.hears(&data(1, 1, MSS));
    assert_eq!(verdict.store.as_slice(), [Piece { offset: 0, from: 0, len: 1000 }]);
    assert_eq!(verdict.released, 3000);
    scene.says("A", 1, 3001);
    scene.is_silent();
    assert_eq!(scene.hears(&data(3001, 1, 10)).deliver.len, 10);
}

#[test]
fn each_out_of_order_segment_is_acknowledged_even_in_a_burst() {
    let mut scene = Scene::established();
    for number in 1..4 {
        let verdict = scene.tcb.handle_segment(scene.now, &data(1 + number * 1000, 1, MSS));
        assert!(verdict.answer.is_some());
    }
    scene.is_silent();
}

#[test]
fn filling_a_hole_in_part_is_acknowledged_at_once() {
    let mut scene = Scene::established();
    scene.hears(&data(2001, 1, MSS));
    scene.says("A", 1, 1);
    assert_eq!(scene.hears(&data(1, 1, 500)).released, 500);
    scene.says("A", 1, 501);
}

#[test]
fn what_has_arrived_is_not_taken_again() {
    let mut scene = Scene::established();
    scene.hears(&data(1, 1, MSS));
    let verdict = scene.hears(&data(1, 1, MSS));
    assert_eq!(verdict.dropped, Some(Dropped::OutOfWindow));
    scene.says("A", 1, 1001);
    let verdict = scene.hears(&data(501, 1, MSS));
    assert_eq!(verdict.deliver, Span { from: 500, len: 500 });
}

/// The bytes that arrived first win: a retransmission that overlaps them adds only what is new.
#[test]
fn overlaps_store_only_what_is_missing() {
    let mut scene = Scene::established();
    scene.hears(&data(2001, 1, 500));
    scene.hears(&data(3001, 1, 500));
    let verdict = scene.hears(&data(1501, 1, 3000));
    assert_eq!(
        verdict.store.as_slice(),
        [
            Piece { offset: 1500, from: 0, len: 500 },
            Piece { offset: 2500, from: 1000, len: 500 },
            Piece { offset: 3500, from: 2000, len: 1000 },
        ],
    );
    let verdict = scene.hears(&data(1, 1, 4000));
    assert_eq!(verdict.store.as_slice(), [Piece { offset: 0, from: 0, len: 1500 }]);
    assert_eq!(verdict.released, 4500);
}

#[test]
fn beyond_the_window_they_are_cut_off() {
    let mut scene = Scene::established();
    let wnd = scene.tcb.rcv().wnd;
    let verdict = scene.hears(&data(1 + wnd - 10, 1, 100));
    assert_eq!(verdict.store.as_slice(), [Piece { offset: wnd - 10, from: 0, len: 10 }]);
    scene.takes_all();
    let verdict = scene.hears(&data(1 + wnd, 1, 100));
    assert_eq!(verdict.dropped, Some(Dropped::OutOfWindow));
    scene.says("A", 1, 1);
}

#[test]
fn holes_are_bounded_but_the_next_byte_is_always_taken() {
    let mut scene = Scene::established();
    let refused = (1..1000)
        .filter(|number| {
            scene.hears(&data(1 + number * 20, 1, 1)).dropped == Some(Dropped::TooManyHoles)
        })
        .count();
    assert_eq!(refused, 999 - tcp::HELD_MAX);
    assert_eq!(scene.hears(&data(1, 1, 5)).released, 5);
    assert_eq!(scene.hears(&data(6, 1, 15)).released, 16);
}

/// A segment that covers more pieces than a verdict has room for is taken as far as it goes.
#[test]
fn too_many_pieces_leave_the_rest_to_be_sent_again() {
    let mut scene = Scene::established();
    for number in 1..=tcp::HELD_MAX {
        scene.hears(&data(1 + u32::try_from(number).expect("few") * 20, 1, 10));
    }
    let verdict = scene.hears(&data(1, 1, 1000));
    assert_eq!(verdict.store.as_slice().len(), tcp::Store::MAX);
    assert_eq!(verdict.released, 90, "four pieces, and the blocks between and behind them");
    assert_eq!(scene.tcb.rcv().nxt, crate::scene::IRS + 91);
    let verdict = scene.hears(&data(91, 1, 910));
    assert_eq!(verdict.released, 910);
}

#[test]
fn a_reversed_stream_of_single_bytes_is_one_block() {
    let mut scene = Scene::established();
    let len = 60_000;
    for number in (1..len).rev() {
        let verdict = scene.hears(&data(1 + number, 1, 1));
        assert_eq!(verdict.store.as_slice().len(), 1);
        assert_eq!(scene.takes_all().len(), 1);
    }
    assert_eq!(scene.hears(&data(1, 1, 1)).released, len);
}

#[test]
fn selective_acknowledgements_begin_with_the_latest_block() {
    let mut scene = Scene::with_sack();
    let mut last = Vec::new();
    for start in [1001, 3001, 5001, 7001, 9001] {
        scene.hears(&data(start, 1, 1000));
        last = reported(&scene.says("A", 1, 1));
    }
    assert_eq!(last, [(9001, 10_001), (7001, 8001), (5001, 6001), (3001, 4001)]);
    scene.hears(&data(4001, 1, 1000));
    let blocks = reported(&scene.says("A", 1, 1));
    assert_eq!(blocks, [(3001, 6001), (9001, 10_001), (7001, 8001), (1001, 2001)]);
    scene.hears(&data(1, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 2001)), [(3001, 6001), (9001, 10_001), (7001, 8001)]);
}

#[test]
fn duplicates_are_reported_once_and_first() {
    let mut scene = Scene::with_sack();
    scene.hears(&data(1, 1, 1000));
    scene.hears(&data(1, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 1001)), [(1, 1001)]);
    scene.hears(&data(2001, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 1001)), [(2001, 3001)]);
    scene.hears(&data(2501, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 1001)), [(2501, 3001), (2001, 3501)]);
    scene.hears(&data(501, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 1501)), [(501, 1001), (2001, 3501)]);
    // In the middle of a segment, and at its end: the first of them counts.
    scene.hears(&data(4001, 1, 200));
    scene.takes_all();
    scene.hears(&data(3501, 1, 800));
    assert_eq!(reported(&scene.says("A", 1, 1501)), [(4001, 4201), (2001, 4301)]);
    scene.hears(&data(1501, 1, 700));
    assert_eq!(reported(&scene.says("A", 1, 4301)), [(2001, 2201)]);
}

#[test]
fn without_sack_nothing_is_reported() {
    let mut scene = Scene::established();
    scene.hears(&data(1001, 1, 1000));
    assert_eq!(reported(&scene.says("A", 1, 1)), []);
}

/// An urgent pointer never changes the stream, whatever it says.
#[test]
fn urgent_data_stay_in_line() {
    for (up, flag) in [(0, "AU"), (1, "AU"), (50, "AU"), (u16::MAX, "AU"), (9, "A")] {
        let mut scene = Scene::established();
        let verdict = scene.hears(&Segment { up, payload_len: 100, ..seg(flag, 1, 1) });
        assert_eq!(verdict.deliver, Span { from: 0, len: 100 });
        assert_eq!(scene.hears(&data(101, 1, 10)).deliver.len, 10);
    }
}

/// The pointer is to the byte behind the urgent ones; they may be announced before they come.
#[test]
fn the_urgent_mark_is_told() {
    let mut scene = Scene::established();
    scene.reads = false;
    scene.hears(&Segment { up: 30, payload_len: 100, ..seg("AU", 1, 1) });
    assert_eq!(scene.tcb.urgent_bytes(), Some(30));
    scene.reads_bytes(29);
    assert_eq!(scene.tcb.urgent_bytes(), Some(1));
    scene.reads_bytes(1);
    assert_eq!(scene.tcb.urgent_bytes(), None);
    scene.hears(&Segment { up: 20_000, payload_len: 100, ..seg("AU", 101, 1) });
    assert_eq!(scene.tcb.urgent_bytes(), Some(20_070));
}

#[test]
fn urg_is_heard_with_a_zero_window() {
    let mut scene = Scene::established();
    scene.reads = false;
    while scene.tcb.rcv().wnd > 0 {
        let len = u16::try_from(scene.tcb.rcv().wnd).expect("a window").min(MSS);
        let seq = scene.tcb.rcv().nxt;
        scene.hears(&Segment { seq, ..data(0, 1, len) });
    }
    let seq = scene.tcb.rcv().nxt;
    scene.hears(&Segment { seq, up: 5, ..seg("AU", 0, 1) });
    assert_eq!(scene.tcb.urgent_bytes(), Some(64_005));
}
