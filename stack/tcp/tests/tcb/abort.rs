//! ABORT (RFC 9293 §3.10.5).

use crate::scene::{Scene, plain};
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
