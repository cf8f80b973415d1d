//! An acknowledgement arrives (RFC 9293 §3.10.7.4, fifth; RFC 5961 §5).

use crate::scene::{IRS, ISS, Scene, Segment, data, flags, seg, syn};
use tcp::{Config, Dropped, State};

#[test]
fn in_syn_received_it_opens_whatever_comes_with_it() {
    let mut scene = Scene::syn_received();
    // The bare ACK was lost: data complete the handshake.
    let verdict = scene.hears(&data(1, 1, 100));
    assert!(verdict.opened);
    assert_eq!(verdict.deliver.len, 100);
    scene.is(State::Established);
}

#[test]
fn in_syn_received_of_what_was_not_sent_it_is_reset() {
    for ack in [0, 2, 1 << 30] {
        let mut scene = Scene::syn_received();
        let verdict = scene.hears(&seg("A", 1, ack));
        assert_eq!(verdict.dropped, Some(Dropped::BadAck));
        scene.says("R", ack, 0);
        scene.is(State::SynReceived);
    }
}

#[test]
fn in_syn_sent_of_what_was_not_sent_it_is_reset() {
    let mut scene = Scene::syn_sent(&Config::new(64_000, 1500));
    for ack in [0, 2] {
        scene.hears(&seg("A", 5, ack));
        scene.says("R", ack, 0);
    }
    // One that acknowledges the SYN without a SYN of its own is dropped.
    let verdict = scene.hears(&seg("A", 5, 1));
    assert_eq!(verdict.dropped, Some(Dropped::Syn));
    scene.is_silent();
    scene.is(State::SynSent);
}

#[test]
fn it_frees_what_it_acknowledges() {
    let mut scene = Scene::established();
    scene.puts(2500);
    scene.says_data("A", 1, 1, 1000);
    scene.says_data("A", 1001, 1, 1000);
    scene.says_data("PA", 2001, 1, 500);
    assert_eq!(scene.hears(&seg("A", 1, 1501)).acked, 1500);
    assert_eq!(scene.output.0, 1000);
    assert_eq!(scene.hears(&seg("A", 1, 2501)).acked, 1000);
    assert_eq!(scene.tcb.snd().una, scene.tcb.snd().nxt);
    assert_eq!(scene.tcb.poll_timeout(), None);
}

#[test]
fn of_what_was_never_sent_it_is_dropped_and_answered() {
    let mut scene = Scene::established();
    scene.puts(500);
    scene.takes_all();
    let cwnd = scene.tcb.cwnd_bytes();
    let verdict = scene.hears(&data(1, 502, 10));
    assert_eq!(
        (verdict.dropped, verdict.acked, verdict.deliver.len),
        (Some(Dropped::BadAck), 0, 0)
    );
    scene.says("A", 501, 1);
    assert_eq!(scene.tcb.cwnd_bytes(), cwnd);
    assert_eq!(scene.output.0, 500);
}

/// Half of all numbers away, a number comes neither before nor behind.
#[test]
fn from_the_other_side_of_the_circle_it_is_dropped_and_answered() {
    let mut scene = Scene::established();
    let verdict = scene.hears(&data(1, 1 + (1 << 31), 10));
    assert_eq!((verdict.dropped, verdict.deliver.len), (Some(Dropped::BadAck), 0));
    scene.says("A", 1, 1);
}

#[test]
fn older_than_the_largest_window_it_is_dropped_and_answered() {
    let mut scene = Scene::established();
    let max_wnd = scene.tcb.snd().max_wnd;
    let old = Segment { ack: ISS + 1 - max_wnd, ..data(1, 0, 10) };
    assert_eq!(scene.hears(&old).deliver.len, 10);
    scene.is_silent();
    let verdict = scene.hears(&Segment { seq: IRS + 11, ack: old.ack - 1, ..old });
    assert_eq!((verdict.dropped, verdict.deliver.len), (Some(Dropped::BadAck), 0));
    scene.says("A", 1, 11);
}

#[test]
fn a_segment_without_one_is_dropped() {
    for state in [State::Established, State::CloseWait, State::FinWait2] {
        let (mut scene, seq, _) = Scene::in_state(state);
        for letters in ["", "F", "P", "U", "FPU"] {
            let verdict = scene.hears(&Segment { payload_len: 4, ..seg(letters, seq, 0) });
            assert_eq!(verdict.dropped, Some(Dropped::NoAck), "{letters}");
            assert_eq!(verdict.deliver.len, 0);
            scene.is_silent();
            scene.is(state);
        }
    }
}

#[test]
fn of_our_fin_it_moves_on() {
    for (state, next) in [
        (State::FinWait1, State::FinWait2),
        (State::Closing, State::TimeWait),
        (State::LastAck, State::Closed),
    ] {
        let (mut scene, seq, ack) = Scene::in_state(state);
        scene.hears(&seg("A", seq, ack - 1));
        scene.is(state);
        let verdict = scene.hears(&seg("A", seq, ack));
        scene.is(next);
        assert_eq!(verdict.acked, 0, "the FIN is no byte of the buffer");
        scene.is_silent();
    }
}

#[test]
fn only_a_newer_segment_sets_the_window() {
    let mut scene = Scene::established();
    scene.hears(&Segment { wnd: 5000, ..data(1, 1, 100) });
    assert_eq!(scene.tcb.snd().wnd, 5000);
    // One from before, that comes late.
    scene.hears(&Segment { wnd: 100, ..seg("A", 1, 1) });
    assert_eq!(scene.tcb.snd().wnd, 5000);
    scene.hears(&Segment { wnd: 65_535, ..seg("A", 101, 1) });
    assert_eq!(scene.tcb.snd().wnd, 65_535, "the window is unsigned");
}

#[test]
fn in_the_passive_handshake_the_syns_window_counts_only_until_then() {
    let mut scene = Scene::syn_received();
    assert_eq!(scene.tcb.snd().wnd, u32::from(syn().wnd));
    scene.hears(&Segment { wnd: 777, ..seg("A", 1, 1) });
    assert_eq!((scene.tcb.snd().wnd, scene.tcb.snd().max_wnd), (777, 777));
}

#[test]
fn ten_thousand_of_them_repeated_bring_one_retransmission() {
    let mut scene = Scene::established();
    scene.puts(100_000);
    assert_eq!(scene.takes_all().len(), 10);
    for _ in 0..10_000 {
        scene.hears(&seg("A", 1, 1));
    }
    let said = scene.takes_all();
    let again = said.iter().filter(|segment| segment.seq == ISS + 1).count();
    assert_eq!(again, 1);
    // Limited transmit sends two; for each segment that can have left the network, one more.
    assert!(said.len() <= 1 + 2 + 10, "{}", said.len());
    assert!(said.iter().all(|segment| segment.flags.contains(flags("A"))));
}

#[test]
fn in_time_wait_an_old_one_is_answered_if_the_ends_agree() {
    let (mut scene, seq, ack) = Scene::in_state(State::TimeWait);
    scene.hears(&seg("A", seq, ack));
    scene.is_silent();
    scene.hears(&seg("A", seq - 1, ack));
    scene.says("A", ack, seq);
    scene.hears(&seg("A", seq + 100_000, ack));
    scene.says("A", ack, seq);
    // The answer of an end that is in TIME-WAIT too, after a connection of which we know nothing.
    scene.hears(&seg("A", seq + 1, ack + 1));
    scene.is_silent();
}

#[test]
fn in_time_wait_nothing_counts_without_one() {
    let (mut scene, seq, _) = Scene::in_state(State::TimeWait);
    for letters in ["", "F", "P"] {
        for offset in [seq - 1, seq, seq + 1] {
            scene.hears(&seg(letters, offset, 0));
            scene.is_silent();
        }
    }
    scene.hears(&Segment { payload_len: 10, ..seg("F", seq, 0) });
    scene.is_silent();
    scene.is(State::TimeWait);
}
