//! CLOSE (RFC 9293 §3.10.4), of our direction or of both.

use crate::scene::{Scene, Segment, data, ms, plain, secs, seg, syn};
use tcp::{Closed, Config, Dropped, State};

#[test]
fn in_each_state() {
    let mut scene = Scene::syn_sent(&plain());
    scene.shuts_down();
    assert_eq!(scene.tcb.closed(), Some(Closed::Aborted));
    scene.is_silent();

    let mut scene = Scene::syn_received();
    scene.shuts_down();
    scene.is(State::SynReceived);
    scene.is_silent();
    scene.hears(&seg("A", 1, 1));
    scene.is(State::FinWait1);
    scene.says("FA", 1, 1);

    for (state, next) in [
        (State::Established, State::FinWait1),
        (State::CloseWait, State::LastAck),
        (State::FinWait1, State::FinWait1),
        (State::FinWait2, State::FinWait2),
        (State::Closing, State::Closing),
        (State::LastAck, State::LastAck),
        (State::TimeWait, State::TimeWait),
    ] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        scene.shuts_down();
        scene.is(next);
        if state != next {
            scene.says("FA", ack, seq);
        }
        scene.is_silent();
    }
}

#[test]
fn the_fin_goes_behind_the_output() {
    let mut scene = Scene::established();
    scene.output.0 = 1500;
    scene.shuts_down();
    scene.says_data("A", 1, 1, 1000);
    scene.says_data("FPA", 1001, 1, 500);
    assert_eq!(scene.hears(&seg("A", 1, 1502)).acked, 1500);
    scene.is(State::FinWait2);
}

#[test]
fn the_fin_is_sent_again_until_it_is_acknowledged() {
    let mut scene = Scene::established();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    scene.shuts_down();
    scene.says("FA", 101, 1);
    scene.hears(&seg("A", 1, 101));
    scene.passes(ms(200));
    scene.says("FA", 101, 1);
    scene.passes(ms(400));
    scene.says("FA", 101, 1);
    scene.hears(&seg("A", 1, 102));
    scene.is(State::FinWait2);
    scene.is_silent();
}

#[test]
fn data_and_fin_are_sent_again_together() {
    let mut scene = Scene::established();
    scene.output.0 = 100;
    scene.shuts_down();
    scene.says_data("FPA", 1, 1, 100);
    scene.passes(secs(1));
    scene.says_data("FPA", 1, 1, 100);
}

#[test]
fn the_last_ack_may_be_lost() {
    let (mut scene, seq, ack) = Scene::in_state(State::LastAck);
    scene.passes(secs(1));
    scene.says("FA", ack - 1, seq);
    scene.hears(&seg("A", seq, ack));
    scene.is(State::Closed);
    assert_eq!(scene.tcb.closed(), Some(Closed::Finished));
    assert_eq!(scene.tcb.poll_timeout(), None);
}

#[test]
fn time_wait_lasts_and_each_fin_prolongs_it() {
    let (mut scene, seq, ack) = Scene::in_state(State::TimeWait);
    scene.passes(secs(59));
    scene.hears(&seg("FA", seq - 1, ack));
    scene.says("A", ack, seq);
    scene.passes(secs(59));
    scene.is(State::TimeWait);
    scene.passes(secs(1));
    scene.is(State::Closed);
    assert_eq!(scene.tcb.closed(), Some(Closed::Finished));
}

#[test]
fn after_shutting_down_input_is_still_read() {
    let (mut scene, seq, ack) = Scene::in_state(State::FinWait2);
    assert_eq!(scene.hears(&data(seq, ack, 100)).deliver.len, 100);
    scene.passes(secs(10_000));
    scene.is(State::FinWait2);
}

#[test]
fn after_closing_both_ways_input_is_refused() {
    let mut scene = Scene::established();
    scene.closes();
    scene.says("FA", 1, 1);
    scene.hears(&seg("A", 1, 2));
    scene.is(State::FinWait2);
    let verdict = scene.hears(&data(1, 2, 10));
    assert_eq!(verdict.dropped, Some(Dropped::Unwanted));
    scene.says("RA", 2, 1);
    assert_eq!(scene.tcb.closed(), Some(Closed::Aborted));
}

#[test]
fn after_closing_both_ways_a_silent_peer_is_forgotten() {
    let mut scene = Scene::established();
    scene.closes();
    scene.says("FA", 1, 1);
    scene.hears(&seg("A", 1, 2));
    scene.passes(secs(59));
    scene.is(State::FinWait2);
    scene.passes(secs(1));
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));

    let (mut scene, _, _) = Scene::in_state(State::FinWait2);
    scene.closes();
    scene.passes(secs(60));
    scene.is(State::Closed);
}

#[test]
fn with_unread_input_it_resets() {
    let mut scene = Scene::established();
    scene.reads = false;
    scene.hears(&data(1, 1, 10));
    scene.closes();
    scene.says("RA", 1, 11);
    assert_eq!(scene.tcb.closed(), Some(Closed::Aborted));
    scene.is_silent();

    // Even behind a hole: the peer would take its FIN's acknowledgement for theirs.
    let mut scene = Scene::established();
    scene.hears(&data(101, 1, 10));
    scene.takes_all();
    scene.closes();
    scene.says("RA", 1, 1);
    assert_eq!(scene.tcb.closed(), Some(Closed::Aborted));
    scene.is_silent();
}

#[test]
fn a_fin_waits_for_the_window() {
    let mut scene = Scene::established();
    scene.hears(&Segment { wnd: 100, ..seg("A", 1, 1) });
    scene.output.0 = 100;
    scene.shuts_down();
    scene.says_data("PA", 1, 1, 100);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 101) });
    scene.is_silent();
    // It serves as the probe, and counts once it is acknowledged.
    scene.passes(secs(1));
    scene.says("FA", 101, 1);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 101) });
    scene.is(State::FinWait1);
    scene.passes(secs(2));
    scene.says("FA", 101, 1);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 102) });
    scene.is(State::FinWait2);
}

#[test]
fn a_listener_that_closes_resets_what_completes_later() {
    // The engine forgets the half-open connection: its ACK comes to a closed port.
    let config = Config { syn_ack_retransmits: 0, ..plain() };
    let mut scene = Scene::syn_received_by(&config, &syn());
    scene.passes(secs(1));
    assert_eq!(scene.tcb.closed(), Some(Closed::BackToListen));
    scene.is_silent();
    scene.hears(&seg("A", 1, 1));
    scene.says("R", 1, 0);
}
