//! A timer expires: retransmission (RFC 6298), R1 and R2 (RFC 9293 §3.8.3), persist (§3.8.6.1),
//! keep-alive (§3.8.4).

use crate::scene::{ISS, Scene, Segment, data, ms, plain, secs, seg, syn, timestamps};
use tcp::{Closed, Config, KeepAlive, State};

/// When what is said is said, in milliseconds from now, as long as the connection lives.
fn moments(scene: &mut Scene) -> Vec<u128> {
    let start = scene.now;
    let mut moments = Vec::new();
    while let Some(at) = scene.tcb.poll_timeout() {
        scene.passes(at - scene.now);
        let count = scene.takes_all().len();
        moments.extend((0..count).map(|_| (at - start).as_millis()));
        assert!(moments.len() < 1000);
    }
    moments
}

#[test]
fn a_syn_is_sent_again_for_three_minutes() {
    let mut scene = Scene::syn_sent(&plain());
    assert_eq!(moments(&mut scene), [1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000]);
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
    assert_eq!(scene.now, tcp::Instant::ZERO + secs(1000 + 180));
}

#[test]
fn a_syn_ack_is_sent_again_five_times_in_63_seconds() {
    let mut scene = Scene::syn_received();
    assert_eq!(moments(&mut scene), [1000, 3000, 7000, 15_000, 31_000]);
    assert_eq!(scene.tcb.closed(), Some(Closed::BackToListen));
    assert_eq!(scene.now, tcp::Instant::ZERO + secs(1000 + 63));
}

#[test]
fn after_a_lost_syn_ack_data_begin_with_three_seconds() {
    let mut scene = Scene::syn_received();
    scene.passes(secs(1));
    scene.says("SA", 0, 1);
    scene.hears(&seg("A", 1, 1));
    assert_eq!(scene.tcb.rto(), secs(3));
}

#[test]
fn the_handshake_is_the_first_measurement() {
    let mut scene = Scene::syn_received();
    scene.passes(ms(100));
    scene.hears(&seg("A", 1, 1));
    assert_eq!(scene.tcb.rto(), ms(300));
}

#[test]
fn data_are_sent_again_at_doubled_intervals_until_r2() {
    let mut scene = Scene::established();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    assert!(!scene.tcb.is_suspicious());
    let start = scene.now;
    let mut said = Vec::new();
    while let Some(at) = scene.tcb.poll_timeout() {
        scene.passes(at - scene.now);
        let after = (at - start).as_millis();
        said.extend(scene.takes_all().iter().map(|it| (after, it.seq, it.flags)));
    }
    // 0.2 s doubled, then R2 with a reset.
    let at = [200, 600, 1400, 3000, 6200, 12_600, 25_400, 51_000];
    let mut expected = at.map(|at| (at, ISS + 1, crate::scene::flags("PA"))).to_vec();
    expected.push((100_000, ISS + 101, crate::scene::flags("RA")));
    assert_eq!(said, expected);
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
    assert_eq!(scene.now, tcp::Instant::ZERO + secs(1100));
}

#[test]
fn r1_is_three_retransmissions() {
    let mut scene = Scene::established();
    scene.puts(100);
    scene.passes(ms(600));
    assert_eq!(scene.takes_all().len(), 3);
    assert!(!scene.tcb.is_suspicious());
    scene.passes(ms(800));
    assert!(scene.tcb.is_suspicious());
    scene.hears(&seg("A", 1, 101));
    assert!(!scene.tcb.is_suspicious());
}

#[test]
fn the_application_sets_r2() {
    let mut scene = Scene::established();
    scene.tcb.user_timeout(secs(5));
    scene.puts(100);
    scene.passes(ms(4999));
    scene.is(State::Established);
    scene.passes(ms(1));
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
}

#[test]
fn an_acknowledgement_of_new_data_starts_the_timer_anew() {
    let mut scene = Scene::established();
    scene.puts(2000);
    scene.takes_all();
    scene.passes(ms(150));
    scene.hears(&seg("A", 1, 1001));
    let rto = scene.tcb.rto();
    assert_eq!(scene.tcb.poll_timeout(), Some(scene.now + rto));
    scene.passes(rto);
    scene.says_data("PA", 1001, 1, 1000);
}

#[test]
fn karn_takes_no_measurement_of_what_was_sent_twice() {
    let mut scene = Scene::established();
    let rto = scene.tcb.rto();
    scene.puts(100);
    scene.passes(secs(1));
    scene.hears(&seg("A", 1, 101));
    assert_eq!(scene.tcb.rto(), rto, "neither measured nor still doubled");
}

#[test]
fn an_echoed_timestamp_measures_what_was_sent_twice() {
    let mut scene = Scene::with_timestamps(1);
    let rto = scene.tcb.rto();
    scene.puts(100);
    scene.passes(rto);
    let said = scene.takes_all();
    assert_eq!(said.len(), 2);
    let again = said[1].options.timestamps.expect("timestamps").val;
    scene.passes(secs(2));
    scene.hears(&Segment { options: timestamps(2, again), ..seg("A", 1, 101) });
    assert_ne!(scene.tcb.rto(), rto);
}

#[test]
fn after_a_time_out_one_segment_begins_slow_start() {
    let mut scene = Scene::established();
    scene.puts(20_000);
    assert_eq!(scene.takes_all().len(), 10);
    scene.passes(ms(200));
    scene.says_data("A", 1, 1, 1000);
    scene.is_silent();
    assert_eq!((scene.tcb.cwnd_bytes(), scene.tcb.ssthresh_bytes()), (1000, 5000));
    scene.hears(&seg("A", 1, 1001));
    scene.says_data("A", 1001, 1, 1000);
    scene.says_data("A", 2001, 1, 1000);
    // The segment that was lost was the only one: all of it is acknowledged, and new data follow.
    scene.hears(&seg("A", 1, 10_001));
    assert_eq!(scene.tcb.cwnd_bytes(), 3000);
    for seq in [10_001, 11_001, 12_001] {
        scene.says_data("A", seq, 1, 1000);
    }
    scene.is_silent();
}

#[test]
fn the_same_loss_twice_reduces_the_threshold_once() {
    let mut scene = Scene::established();
    scene.puts(20_000);
    scene.passes(ms(200));
    assert_eq!(scene.tcb.ssthresh_bytes(), 5000);
    scene.passes(ms(400));
    assert_eq!(scene.tcb.ssthresh_bytes(), 5000);
    assert_eq!(scene.takes_all().len(), 12);
}

#[test]
fn a_time_out_that_was_too_early_is_taken_back() {
    let mut scene = Scene::with_timestamps(1);
    scene.puts(10_000);
    let first = scene.takes_all();
    let cwnd = scene.tcb.cwnd_bytes();
    let rto = scene.tcb.rto();
    scene.passes(rto);
    assert_eq!(scene.takes_all().len(), 1);
    assert!(scene.tcb.cwnd_bytes() < 1001);
    // The acknowledgement is of what was sent first: it echoes the earlier clock.
    let clock = first[0].options.timestamps.expect("timestamps").val;
    scene.hears(&Segment { options: timestamps(2, clock), ..seg("A", 1, 1977) });
    assert!(scene.tcb.cwnd_bytes() >= cwnd);
    assert_eq!(scene.tcb.ssthresh_bytes(), u32::MAX);
    let again = scene.takes_all();
    assert!(again.iter().all(|segment| segment.seq.ge(ISS + 9881)), "nothing is sent again");
}

#[test]
fn a_zero_window_is_probed_at_doubled_intervals_for_ever() {
    let mut scene = Scene::established();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 101) });
    scene.puts(5000);
    scene.is_silent();
    let start = scene.now;
    let mut probes = Vec::new();
    for _ in 0..20 {
        let at = scene.tcb.poll_timeout().expect("the persist timer");
        scene.passes(at - scene.now);
        scene.says_data("A", 101, 1, 1);
        probes.push((at - start).as_millis());
        scene.hears(&Segment { wnd: 0, ..seg("A", 1, 101) });
    }
    assert_eq!(probes[..6], [200, 600, 1400, 3000, 6200, 12_600]);
    assert_eq!(probes[19] - probes[18], 60_000);
    scene.is(State::Established);
    // The window opens, and the byte is part of the first segment.
    scene.hears(&seg("A", 1, 101));
    scene.says_data("A", 101, 1, 1000);
}

#[test]
fn a_probe_that_is_taken_counts() {
    let mut scene = Scene::established();
    scene.hears(&Segment { wnd: 0, ..data(1, 1, 1) });
    scene.takes_all();
    scene.puts(5000);
    scene.passes(ms(200));
    scene.takes_all();
    assert_eq!(scene.hears(&Segment { wnd: 4000, ..seg("A", 2, 2) }).acked, 1);
    scene.says_data("A", 2, 2, 1000);
    assert_eq!(scene.takes_all().len(), 3);
}

#[test]
fn probes_that_nothing_answers_end_at_r2() {
    let mut scene = Scene::established();
    scene.hears(&Segment { wnd: 0, ..data(1, 1, 1) });
    scene.puts(5000);
    moments(&mut scene);
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
}

#[test]
fn a_write_time_out_bounds_what_a_zero_window_may_hold() {
    let config = Config { write_timeout: Some(secs(30)), ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.hears(&Segment { wnd: 0, ..data(1, 1, 1) });
    scene.puts(5000);
    let start = scene.now;
    while scene.tcb.state() == State::Established {
        let at = scene.tcb.poll_timeout().expect("a timer");
        scene.passes(at - scene.now);
        scene.hears(&Segment { wnd: 0, ..seg("A", 2, 1) });
    }
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
    assert_eq!(scene.now - start, secs(30));
}

#[test]
fn keep_alive_is_off_by_default() {
    let mut scene = Scene::established();
    scene.passes(secs(1_000_000));
    scene.is_silent();
    assert_eq!(plain().keep_alive, None);
}

fn kept_alive() -> Scene {
    let keep_alive = KeepAlive { idle: secs(100), interval: secs(10), probes: 3 };
    Scene::established_by(&Config { keep_alive: Some(keep_alive), ..plain() }, &syn())
}

#[test]
fn keep_alive_probes_have_no_data_and_several_must_fail() {
    let mut scene = kept_alive();
    scene.passes(ms(99_999));
    scene.is_silent();
    for _ in 0..3 {
        scene.passes(ms(1));
        scene.says("A", 0, 1);
        scene.passes(ms(9999));
        scene.is(State::Established);
    }
    scene.passes(ms(1));
    assert_eq!(scene.tcb.closed(), Some(Closed::TimedOut));
}

#[test]
fn keep_alive_waits_while_something_is_heard() {
    let mut scene = kept_alive();
    scene.passes(secs(60));
    scene.hears(&data(1, 1, 10));
    scene.passes(secs(99));
    scene.says("A", 1, 11);
    scene.is_silent();
    scene.passes(secs(1));
    scene.says("A", 0, 11);
    // An answer begins a new interval.
    scene.hears(&seg("A", 11, 1));
    scene.passes(secs(99));
    scene.is_silent();
    scene.passes(secs(1));
    scene.says("A", 0, 11);
}
