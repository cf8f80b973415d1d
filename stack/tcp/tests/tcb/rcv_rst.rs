//! A reset arrives (RFC 9293 §3.10.7.4, second; RFC 5961 §3).

use crate::scene::{MSS, Scene, Segment, plain, seg, syn};
use tcp::{Closed, Config, Dropped, State};

const SYNCHRONISED: [State; 6] = [
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
];

#[test]
fn at_rcv_nxt_it_closes_every_synchronised_state() {
    for state in SYNCHRONISED {
        let (mut scene, seq, ack) = Scene::in_state(state);
        scene.hears(&seg("RA", seq, ack));
        scene.is(State::Closed);
        assert_eq!(scene.tcb.closed(), Some(Closed::Reset));
        scene.is_silent();
    }
}

#[test]
fn without_an_ack_it_closes_as_well() {
    let mut scene = Scene::established();
    scene.hears(&seg("R", 1, 0));
    scene.is(State::Closed);
}

#[test]
fn it_may_carry_data() {
    let mut scene = Scene::established();
    let verdict = scene.hears(&Segment { payload_len: 30, ..seg("R", 1, 0) });
    scene.is(State::Closed);
    assert_eq!(verdict.deliver.len, 0);
}

/// At RCV.NXT - 1, + 1, at the right edge, behind it.
#[test]
fn elsewhere_in_the_window_it_is_challenged_and_outside_dropped() {
    for state in SYNCHRONISED {
        let (scene, seq, ack) = Scene::in_state(state);
        let wnd = scene.tcb.rcv().wnd;
        for (offset, is_challenged) in
            [(seq - 1, false), (seq + 1, true), (seq + wnd, true), (seq + wnd + 1, false)]
        {
            let (mut scene, _, _) = Scene::in_state(state);
            let verdict = scene.hears(&seg("R", offset, 0));
            scene.is(state);
            assert_eq!(verdict.dropped, Some(Dropped::Reset));
            if is_challenged {
                scene.says("A", ack, seq);
            }
            scene.is_silent();
        }
    }
}

#[test]
fn with_a_zero_window_it_counts_at_rcv_nxt() {
    let mut scene = Scene::established();
    scene.reads = false;
    while scene.tcb.rcv().wnd > 0 {
        let len = u16::try_from(scene.tcb.rcv().wnd).expect("a window").min(MSS);
        let seq = scene.tcb.rcv().nxt;
        scene.hears(&Segment { seq, payload_len: len, ..seg("A", 0, 1) });
    }
    scene.takes_all();
    let seq = scene.tcb.rcv().nxt;
    scene.hears(&Segment { seq: seq + 1, ..seg("R", 0, 0) });
    scene.is(State::Established);
    scene.hears(&Segment { seq, ..seg("R", 0, 0) });
    scene.is(State::Closed);
}

#[test]
fn a_storm_is_challenged_ten_times_a_second() {
    let mut scene = Scene::established();
    for number in 0..1000 {
        scene.hears(&seg("R", 2 + number, 0));
    }
    assert_eq!(scene.takes_all().len(), 10);
    scene.is(State::Established);
    scene.passes(std::time::Duration::from_secs(1));
    scene.hears(&seg("R", 2, 0));
    scene.says("A", 1, 1);
}

#[test]
fn in_syn_received_by_a_passive_open_the_listener_goes_on() {
    let mut scene = Scene::syn_received();
    scene.hears(&seg("R", 1, 0));
    scene.is(State::Closed);
    assert_eq!(scene.tcb.closed(), Some(Closed::BackToListen));
    scene.is_silent();
}

#[test]
fn in_syn_received_by_an_active_open_it_refuses() {
    let mut scene = Scene::syn_sent(&plain());
    scene.hears(&syn());
    scene.says("SA", 0, 1);
    scene.hears(&seg("R", 1, 0));
    assert_eq!(scene.tcb.closed(), Some(Closed::Refused));
}

#[test]
fn in_syn_sent_it_counts_if_it_acknowledges_the_syn() {
    let mut scene = Scene::syn_sent(&Config::new(64_000, 1500));
    let verdict = scene.hears(&seg("R", 0, 0));
    assert_eq!(verdict.dropped, Some(Dropped::Reset));
    scene.is(State::SynSent);
    let verdict = scene.hears(&seg("RA", 0, 2));
    assert_eq!(verdict.dropped, Some(Dropped::BadAck));
    scene.is(State::SynSent);
    scene.is_silent();
    scene.hears(&seg("RA", 0, 1));
    assert_eq!(scene.tcb.closed(), Some(Closed::Refused));
}

#[test]
fn in_time_wait_it_is_ignored() {
    let (mut scene, seq, ack) = Scene::in_state(State::TimeWait);
    for offset in [seq - 1, seq, seq + 1] {
        scene.hears(&seg("RA", offset, ack));
        scene.is(State::TimeWait);
        scene.is_silent();
    }
}

#[test]
fn when_closed_it_is_not_answered() {
    let mut scene = Scene::established();
    scene.aborts();
    scene.says("RA", 1, 1);
    scene.hears(&seg("R", 1, 0));
    scene.is_silent();
}

#[test]
fn a_listener_ignores_it() {
    assert_eq!(tcp::listen(&seg("R", 0, 0)), tcp::Listen::Ignore);
    assert_eq!(tcp::listen(&seg("RA", 0, 0)), tcp::Listen::Ignore);
    assert_eq!(tcp::listen(&seg("RS", 0, 0)), tcp::Listen::Ignore);
    assert_eq!(tcp::closed(&seg("R", 0, 0)), None);
}
