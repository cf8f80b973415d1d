//! A SYN arrives (RFC 9293 §3.10.7; RFC 5961 §4; RFC 6191).

use crate::scene::{IRS, ISS, Scene, Segment, flags, ms, plain, secs, seg, syn, timestamps};
use tcp::{
    Config, Dropped, HalfOpen, Instant, Listen, Options, Seq, State, TimeWait, TimeWaitVerdict,
};

#[test]
fn in_every_synchronised_state_it_is_challenged_wherever_it_is() {
    for state in [
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
    ] {
        let (scene, seq, ack) = Scene::in_state(state);
        let wnd = scene.tcb.rcv().wnd;
        for offset in [seq - 1, seq, seq + 1, seq + wnd, seq + 1_000_000] {
            for letters in ["S", "SA", "SF"] {
                let (mut scene, _, _) = Scene::in_state(state);
                let verdict = scene.hears(&seg(letters, offset, ack));
                assert_eq!(verdict.dropped, Some(Dropped::Syn));
                scene.says("A", ack, seq);
                scene.is_silent();
                scene.is(state);
            }
        }
    }
}

#[test]
fn the_same_one_in_syn_received_brings_the_syn_ack_again() {
    let mut scene = Scene::syn_received();
    scene.hears(&syn());
    scene.says("SA", 0, 1);
    scene.is(State::SynReceived);
    scene.hears(&seg("A", 1, 1));
    scene.is(State::Established);
}

#[test]
fn the_same_one_and_the_ack_in_one_burst_open() {
    let mut scene = Scene::syn_received();
    // Both arrive before anything is sent: the answer to the first is not needed any more.
    let first = scene.tcb.handle_segment(scene.now, &syn());
    assert_eq!((first.answer, first.dropped), (None, None));
    assert!(scene.hears(&seg("A", 1, 1)).opened);
    scene.is_silent();
}

#[test]
fn another_one_in_syn_received_is_challenged() {
    let mut scene = Scene::syn_received();
    scene.hears(&Segment { seq: IRS + 12_345, ..syn() });
    scene.says("A", 1, 1);
    scene.is(State::SynReceived);
    // A peer that has started anew resets the old connection with the number it was told.
    scene.hears(&seg("R", 1, 0));
    scene.is(State::Closed);
}

#[test]
fn in_syn_sent_the_peers_syn_ack_opens() {
    let mut scene = Scene::syn_sent(&plain());
    let verdict = scene.hears(&Segment { flags: flags("SA"), ack: ISS + 1, ..syn() });
    assert!(verdict.opened);
    scene.says("A", 1, 1);
    scene.is(State::Established);
}

#[test]
fn simultaneous_open_by_the_figure_of_the_rfc() {
    let mut scene = Scene::syn_sent(&plain());
    scene.hears(&syn());
    scene.says("SA", 0, 1);
    scene.is(State::SynReceived);
    let verdict = scene.hears(&Segment { flags: flags("SA"), ack: ISS + 1, ..syn() });
    assert!(verdict.opened);
    scene.is(State::Established);
    scene.is_silent();
}

#[test]
fn with_a_fin_or_a_reset_it_opens_nothing() {
    assert_eq!(tcp::listen(&seg("SF", 0, 0)), Listen::Ignore);
    assert_eq!(tcp::listen(&seg("SR", 0, 0)), Listen::Ignore);
    let mut scene = Scene::syn_sent(&plain());
    let verdict = scene.hears(&Segment { ack: ISS + 1, ..seg("SAF", 0, 1) });
    assert_eq!(verdict.dropped, Some(Dropped::Syn));
    scene.is(State::SynSent);
}

#[test]
fn a_listener_takes_a_bare_one_and_answers_an_ack() {
    assert_eq!(tcp::listen(&syn()), Listen::Open);
    for letters in ["A", "SA", "FA"] {
        let Listen::Answer(reset) = tcp::listen(&seg(letters, 5, 77)) else {
            panic!("{letters} is answered");
        };
        assert_eq!((reset.flags, reset.seq), (flags("R"), ISS + 77));
    }
    for letters in ["", "F", "P", "FPU", "U"] {
        assert_eq!(tcp::listen(&seg(letters, 5, 0)), Listen::Ignore, "{letters}");
    }
}

#[test]
fn what_no_connection_wants_is_reset() {
    let reset = tcp::closed(&seg("A", 5, 77)).expect("an answer");
    assert_eq!((reset.flags, reset.seq), (flags("R"), ISS + 77));
    let segment = Segment { payload_len: 10, ..seg("SF", 5, 0) };
    let reset = tcp::closed(&segment).expect("an answer");
    assert_eq!((reset.flags, reset.seq.0, reset.ack), (flags("RA"), 0, IRS + 5 + 12));
}

#[test]
fn data_with_it_are_left_to_be_sent_again() {
    let mut scene = Scene::syn_received_by(&plain(), &Segment { payload_len: 10, ..syn() });
    let verdict = scene.hears(&Segment { payload_len: 10, ..seg("A", 1, 1) });
    assert_eq!((verdict.opened, verdict.deliver.len), (true, 10));
}

#[test]
fn in_time_wait_a_higher_number_reopens() {
    let (mut scene, seq, ack) = Scene::in_state(State::TimeWait);
    let verdict = scene.hears(&seg("S", seq - 1, 0));
    assert!(!verdict.reopen);
    scene.says("A", ack, seq);
    for letters in ["SA", "SF"] {
        assert!(!scene.hears(&seg(letters, seq + 10, ack)).reopen, "{letters}");
        scene.says("A", ack, seq);
    }
    assert!(scene.hears(&seg("S", seq + 10, 0)).reopen);
    scene.is_silent();
}

#[test]
fn in_time_wait_without_timestamps_the_number_decides_and_the_window_is_closed() {
    let entry = TimeWait::without_timestamps(Seq(500), Seq(900));
    let heard = |letters: &str, seq: u32| {
        let segment = Segment { seq: Seq(seq), options: timestamps(7, 0), ..seg(letters, 0, 0) };
        entry.segment_arrives(Instant::ZERO, &segment)
    };
    assert_eq!(heard("S", 900), TimeWaitVerdict::Reopen);
    let TimeWaitVerdict::Answer(answer) = heard("S", 899) else { panic!("an old SYN") };
    assert_eq!((answer.seq, answer.ack, answer.wnd), (Seq(500), Seq(900), 0));
    assert_eq!(answer.options, tcp::OptionsOut::default());
}

#[test]
fn in_time_wait_a_later_timestamp_reopens_whatever_the_number() {
    let mut scene = Scene::with_timestamps(500);
    scene.shuts_down();
    scene.hears(&Segment { options: timestamps(501, 0), ..seg("A", 1, 2) });
    scene.hears(&Segment { options: timestamps(502, 0), ..seg("FA", 1, 2) });
    let entry = scene.tcb.time_wait().expect("TIME-WAIT");
    let verdict = |val: Option<u32>, seq: u32| {
        let options = val.map_or_else(Options::default, |val| timestamps(val, 0));
        entry.segment_arrives(scene.now, &Segment { options, ..seg("S", seq, 0) })
    };
    let reopens = |val, seq| verdict(val, seq) == TimeWaitVerdict::Reopen;
    assert!(reopens(Some(503), 0), "later, below");
    assert!(reopens(Some(502), 2), "equal, above");
    assert!(!reopens(Some(502), 1), "equal, below");
    assert!(!reopens(Some(501), 100), "earlier, above");
    assert!(reopens(None, 100), "none, above");
    assert!(!reopens(None, 1), "none, below");
}

#[test]
fn the_round_trip_of_a_syn_ack_that_was_sent_once_is_measured() {
    let (start, config) = (Instant::ZERO + secs(1000), plain());
    for (lost, rto) in [(false, ms(900)), (true, secs(3))] {
        let mut entry = HalfOpen::new(start, &config, ISS, 0, &syn());
        let mut now = start;
        if lost {
            now = entry.poll_timeout();
            assert!(entry.handle_timeout(now, &config).is_some());
        }
        now += ms(300);
        let mut tcb = tcp::Tcb::from_half_open(now, &config, &entry);
        assert!(tcb.handle_segment(now, &seg("A", 1, 1)).opened);
        // RFC 6298 §2.2: R + 4 * R/2.
        assert_eq!(tcb.rto(), rto, "lost: {lost}");
    }
}

#[test]
fn a_syn_cache_entry_answers_and_gives_up() {
    let config = Config { syn_ack_retransmits: 2, ..plain() };
    let start = Instant::ZERO + secs(10);
    let mut entry = HalfOpen::new(start, &config, ISS, 0, &syn());
    let syn_ack = entry.syn_ack(start, &config);
    assert_eq!((syn_ack.seq, syn_ack.ack, syn_ack.flags), (ISS, IRS + 1, flags("SA")));
    let mut elapsed = Vec::new();
    loop {
        let at = entry.poll_timeout();
        elapsed.push((at - start).as_secs());
        match entry.handle_timeout(at, &config) {
            Some(again) => assert_eq!(again, syn_ack),
            None => break,
        }
    }
    assert_eq!(elapsed, [1, 3, 7]);
    assert_eq!(HalfOpen::lifetime(&config), secs(7));
    assert_eq!(HalfOpen::lifetime(&plain()), secs(63));
    assert!(size_of::<HalfOpen>() <= 48, "{}", size_of::<HalfOpen>());
}

#[test]
fn a_syn_cache_entry_does_what_syn_received_does() {
    use tcp::HalfOpenVerdict::{Answer, Establish, Ignore, Remove};
    let (config, now) = (plain(), Instant::ZERO + secs(10));
    let entry = HalfOpen::new(now, &config, ISS, 0, &syn());
    let arrives = |segment: &Segment<'_>| entry.segment_arrives(now, &config, segment);
    assert_eq!(arrives(&syn()), Answer(entry.syn_ack(now, &config)));
    assert_eq!(arrives(&seg("A", 1, 1)), Establish);
    assert_eq!(arrives(&Segment { payload_len: 5, ..seg("FA", 1, 1) }), Establish);
    assert_eq!(arrives(&seg("R", 1, 0)), Remove(tcp::Closed::BackToListen));
    assert_eq!(arrives(&seg("R", 70_000, 0)), Ignore);
    assert_eq!(arrives(&seg("", 1, 0)), Ignore);
    let Answer(reset) = arrives(&seg("A", 1, 2)) else { panic!("it acknowledges nothing sent") };
    assert_eq!((reset.flags, reset.seq), (flags("R"), ISS + 2));
    let Answer(challenge) = arrives(&seg("S", 999, 0)) else { panic!("another SYN") };
    assert_eq!((challenge.flags, challenge.ack), (flags("A"), IRS + 1));
}
