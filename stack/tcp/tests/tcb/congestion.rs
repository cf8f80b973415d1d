//! Congestion control as the wire sees it (RFC 5681, RFC 3465, RFC 6928).

use crate::scene::{Scene, Segment, plain, secs, seg, syn};
use tcp::{Algorithm, Config, Options};

#[test]
fn the_initial_window_is_ten_segments() {
    for (mss, segments) in [(500, 10), (1000, 10), (1460, 10), (3000, 4), (8960, 2)] {
        let options = Options { mss: Some(mss), ..Options::default() };
        let config = Config { mtu: 9000, ..plain() };
        let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
        scene.puts(1_000_000);
        assert_eq!(scene.takes_all().len(), segments, "MSS {mss}");
    }
}

#[test]
fn slow_start_sends_two_for_each_that_is_acknowledged() {
    let mut scene = Scene::established();
    scene.puts(1_000_000);
    assert_eq!(scene.takes_all().len(), 10);
    for number in 1..=5 {
        scene.hears(&seg("A", 1, 1 + number * 1000));
        assert_eq!(scene.takes_all().len(), 2);
    }
    // One acknowledgement of five: L = 2 bounds the increase.
    scene.hears(&seg("A", 1, 10_001));
    assert_eq!(scene.takes_all().len(), 7);
}

#[test]
fn divided_acknowledgements_open_nothing_more() {
    let mut scene = Scene::established();
    scene.puts(1_000_000);
    scene.takes_all();
    for number in 1..=1000 {
        scene.hears(&seg("A", 1, 1 + number));
    }
    assert_eq!(scene.tcb.cwnd_bytes(), 11_000);
}

#[test]
fn acknowledgements_of_what_was_not_sent_open_nothing() {
    let mut scene = Scene::established();
    scene.puts(1_000_000);
    scene.takes_all();
    for number in 1..=100 {
        scene.hears(&seg("A", 1, 10_001 + number * 1000));
    }
    assert_eq!(scene.tcb.cwnd_bytes(), 10_000);
    assert_eq!(scene.tcb.snd().una, crate::scene::ISS + 1);
}

#[test]
fn after_idleness_the_window_is_the_initial_one_again() {
    let mut scene = Scene::established();
    scene.puts(40_000);
    let mut acked = 1;
    while scene.output.0 > 0 {
        acked += 1000;
        scene.hears(&seg("A", 1, acked));
        scene.takes_all();
    }
    assert!(scene.tcb.cwnd_bytes() > 30_000);
    scene.passes(secs(1));
    scene.puts(100_000);
    assert_eq!(scene.takes_all().len(), 10);
}

#[test]
fn a_window_that_is_used_to_the_full_opens_though_nothing_more_waits() {
    let mut scene = Scene::established();
    scene.puts(10_000);
    assert_eq!(scene.takes_all().len(), 10);
    for (ack, cwnd) in [(2001, 12_000), (4001, 14_000), (6001, 16_000), (10_001, 18_000)] {
        scene.hears(&seg("A", 1, ack));
        assert_eq!(scene.tcb.cwnd_bytes(), cwnd, "at {ack}");
    }
    // Half of it is not all: no more than that is known to be borne.
    scene.puts(8000);
    scene.takes_all();
    scene.hears(&seg("A", 1, 18_001));
    assert_eq!(scene.tcb.cwnd_bytes(), 18_000);
}

#[test]
fn requests_and_responses_do_not_open_a_window_that_they_do_not_use() {
    let mut scene = Scene::established();
    for number in 0..10_000 {
        scene.puts(100);
        scene.takes_all();
        scene.hears(&seg("A", 1, 101 + number * 100));
    }
    assert_eq!(scene.tcb.cwnd_bytes(), 10_000);
}

#[test]
fn after_a_loss_cubic_keeps_seven_tenths_and_reno_half() {
    for (congestion, window) in [(Algorithm::Cubic, 7000), (Algorithm::NewReno, 5000)] {
        let config = Config { congestion, ..plain() };
        let mut scene = Scene::established_by(&config, &syn());
        scene.puts(1_000_000);
        for _ in 0..3 {
            scene.hears(&seg("A", 1, 1));
        }
        assert_eq!(scene.tcb.ssthresh_bytes(), window);
    }
}
