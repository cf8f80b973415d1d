//! ABORT (RFC 9293 §3.10.5).

use crate::scene::{Scene, Segment, ms, plain, seg, timestamps};
use tcp::{Closed, State};

#[test]
fn the_peer_is_told_where_it_believes_in_the_connection() {
    for state in [State::Established, State::FinWait1, State::FinWait2, State::CloseWait] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        scene.aborts();
        scene.says("RA", ack, seq);
        scene.is_silent();
        assert_eq!(scene.tcb.closed(), Some(Closed::Aborted));
        assert_eq!(scene.tcb.poll_timeout(), None);
    }
    let mut scene = Scene::syn_received();
    scene.aborts();
    scene.says("RA", 1, 1);
}

#[test]
fn where_both_have_closed_it_is_only_forgotten() {
    for state in [State::Closing, State::LastAck, State::TimeWait] {
        let (mut scene, _, _) = Scene::in_state(state);
        scene.aborts();
        scene.is_silent();
        scene.is(State::Closed);
    }
    let mut scene = Scene::syn_sent(&plain());
    scene.aborts();
    scene.is_silent();
    scene.is(State::Closed);
}

#[test]
fn output_is_forgotten_and_the_reset_is_at_snd_nxt() {
    let mut scene = Scene::established();
    scene.puts(20_000);
    assert_eq!(scene.takes_all().len(), 10);
    scene.aborts();
    scene.says("RA", 10_001, 1);
    scene.is_silent();
}

#[test]
fn twice_is_once() {
    let mut scene = Scene::established();
    scene.aborts();
    scene.says("RA", 1, 1);
    scene.aborts();
    scene.closes();
    scene.shuts_down();
    scene.is_silent();
}

#[test]
fn the_reset_carries_timestamps_where_they_are_in_use() {
    let mut scene = Scene::with_timestamps(70);
    scene.passes(ms(1000));
    scene.aborts();
    let clock = scene.says("RA", 1, 1).options.timestamps.expect("they are in use");
    assert_eq!(clock, tcp::Timestamps { val: 1_001_000, ecr: 70 });

    let mut scene = Scene::with_timestamps(70);
    scene.closes();
    let options = timestamps(80, 0);
    scene.hears(&Segment { options, ..seg("A", 1, 2) });
    scene.hears(&Segment { options, payload_len: 1, ..seg("A", 1, 2) });
    let last = scene.takes_all().pop().expect("a reset");
    assert!(last.flags.contains(tcp::Flags::RST) && last.options.timestamps.is_some());
}
