//! A FIN arrives (RFC 9293 §3.10.7.4, eighth).

use crate::scene::{MSS, Scene, Segment, data, seg};
use tcp::{Closed, State};

#[test]
fn it_moves_each_state_on() {
    for (state, next) in [
        (State::Established, State::CloseWait),
        (State::FinWait1, State::Closing),
        (State::FinWait2, State::TimeWait),
    ] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        let acked = ack - u32::from(state == State::FinWait1);
        let verdict = scene.hears(&seg("FA", seq, acked));
        assert!(verdict.eof);
        scene.is(next);
        assert!(scene.tcb.is_eof());
        scene.says("A", ack, seq + 1);
        scene.is_silent();
    }
}

#[test]
fn in_fin_wait_1_with_the_ack_of_ours_it_leads_to_time_wait() {
    let (mut scene, seq, ack) = Scene::in_state(State::FinWait1);
    assert!(scene.hears(&seg("FA", seq, ack)).eof);
    scene.is(State::TimeWait);
    scene.says("A", ack, seq + 1);
}

#[test]
fn in_syn_received_it_leads_to_close_wait() {
    let mut scene = Scene::syn_received();
    let verdict = scene.hears(&Segment { payload_len: 5, ..seg("FA", 1, 1) });
    assert!(verdict.opened && verdict.eof);
    assert_eq!(verdict.deliver.len, 5);
    scene.is(State::CloseWait);
    scene.says("A", 1, 7);
}

#[test]
fn in_syn_sent_it_is_ignored() {
    let mut scene = Scene::syn_sent(&crate::scene::plain());
    scene.hears(&seg("F", 1, 0));
    scene.is(State::SynSent);
    scene.is_silent();
}

#[test]
fn once_more_it_is_acknowledged_once_more() {
    for state in [State::CloseWait, State::Closing, State::LastAck, State::TimeWait] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        let verdict = scene.hears(&seg("FA", seq - 1, 1));
        assert!(!verdict.eof);
        scene.is(state);
        scene.says("A", ack, seq);
    }
}

#[test]
fn with_data_it_comes_behind_them() {
    let mut scene = Scene::established();
    let verdict = scene.hears(&Segment { payload_len: 100, ..seg("FA", 1, 1) });
    assert_eq!((verdict.deliver.len, verdict.eof), (100, true));
    scene.says("A", 1, 102);
}

#[test]
fn behind_a_hole_it_waits() {
    for state in [State::Established, State::FinWait1, State::FinWait2] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        let acked = ack - u32::from(state == State::FinWait1);
        let verdict = scene.hears(&Segment { payload_len: 100, ..seg("FA", seq + 200, acked) });
        assert!(!verdict.eof);
        scene.is(state);
        scene.says("A", ack, seq);
        assert!(!scene.hears(&data(seq, acked, 100)).eof);
        let verdict = scene.hears(&data(seq + 100, acked, 100));
        assert_eq!((verdict.released, verdict.eof), (200, true));
    }
}

#[test]
fn alone_behind_a_hole_it_waits_too() {
    let mut scene = Scene::established();
    assert!(!scene.hears(&seg("FA", 101, 1)).eof);
    scene.is(State::Established);
    assert!(scene.hears(&data(1, 1, 100)).eof);
    scene.is(State::CloseWait);
}

#[test]
fn what_lies_behind_it_is_dropped() {
    let mut scene = Scene::established();
    scene.hears(&seg("FA", 101, 1));
    let verdict = scene.hears(&data(51, 1, 100));
    assert_eq!(verdict.store.as_slice()[0].len, 50);
    // Another FIN elsewhere does not count.
    scene.hears(&seg("FA", 61, 1));
    let verdict = scene.hears(&data(1, 1, 50));
    assert_eq!((verdict.released, verdict.eof), (100, true));
}

#[test]
fn before_data_that_have_arrived_it_is_a_lie() {
    let mut scene = Scene::established();
    scene.hears(&data(101, 1, 100));
    scene.hears(&seg("FA", 51, 1));
    let verdict = scene.hears(&data(1, 1, 100));
    assert_eq!((verdict.released, verdict.eof), (200, false));
    scene.is(State::Established);
}

#[test]
fn cut_off_at_the_window_it_comes_again() {
    let mut scene = Scene::established();
    let wnd = scene.tcb.rcv().wnd;
    scene.hears(&Segment { payload_len: 100, ..seg("FA", wnd - 49, 1) });
    scene.is(State::Established);
    assert_eq!(scene.tcb.rcv().wnd, wnd);
}

#[test]
fn alone_it_is_taken_with_a_zero_window() {
    let mut scene = Scene::established();
    scene.reads = false;
    while scene.tcb.rcv().wnd > 0 {
        let len = u16::try_from(scene.tcb.rcv().wnd).expect("a window").min(MSS);
        let seq = scene.tcb.rcv().nxt;
        scene.hears(&Segment { seq, ..data(0, 1, len) });
    }
    scene.takes_all();
    let seq = scene.tcb.rcv().nxt;
    let verdict = scene.hears(&Segment { seq, ..seg("FA", 0, 1) });
    assert!(verdict.eof);
    scene.is(State::CloseWait);
    assert_eq!(scene.says("A", 1, 64_002).wnd, 0);
    assert_eq!(scene.tcb.unread_bytes(), 64_000);
}

#[test]
fn simultaneous_close_ends_in_time_wait_on_both_sides() {
    let (mut scene, seq, ack) = Scene::in_state(State::Closing);
    scene.hears(&seg("A", seq, ack));
    scene.is(State::TimeWait);
    scene.passes(crate::scene::secs(60));
    scene.is(State::Closed);
    assert_eq!(scene.tcb.closed(), Some(Closed::Finished));
}
