//! SEND: which segments the output becomes (RFC 9293 §3.7.4, §3.8.6.2.1, §3.9.1.2).

use crate::scene::{Scene, Segment, data, ms, plain, secs, seg, syn};
use tcp::Config;

#[test]
fn segments_are_as_large_as_possible_and_the_last_is_pushed() {
    let mut scene = Scene::established();
    scene.puts(3500);
    for seq in [1, 1001, 2001] {
        scene.says_data("A", seq, 1, 1000);
    }
    let last = scene.says_data("PA", 3001, 1, 500);
    assert_eq!(last.payload_offset, 3000);
    scene.is_silent();
    scene.hears(&seg("A", 1, 3001));
    scene.puts(10);
    assert_eq!(scene.says_data("PA", 3501, 1, 10).payload_offset, 500);
}

fn with_nagle() -> Scene {
    Scene::established_by(&Config { nagle: true, ..plain() }, &syn())
}

#[test]
fn nagle_holds_a_short_segment_while_something_is_outstanding() {
    let mut scene = with_nagle();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    scene.puts(100);
    scene.is_silent();
    scene.puts(950);
    scene.says_data("A", 101, 1, 1000);
    scene.is_silent();
    scene.hears(&seg("A", 1, 1101));
    scene.says_data("PA", 1101, 1, 50);
}

#[test]
fn nagle_can_be_turned_off() {
    let mut scene = with_nagle();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    scene.puts(100);
    scene.is_silent();
    scene.tcb.nagle(false);
    scene.puts(100);
    scene.says_data("PA", 101, 1, 200);
}

#[test]
fn nagle_does_not_hold_a_fin() {
    let mut scene = with_nagle();
    scene.puts(100);
    scene.says_data("PA", 1, 1, 100);
    scene.puts(100);
    scene.shuts_down();
    scene.says_data("FPA", 101, 1, 100);
}

#[test]
fn the_window_bounds_what_is_outstanding() {
    let mut scene = Scene::established();
    scene.hears(&Segment { wnd: 2500, ..seg("A", 1, 1) });
    scene.puts(10_000);
    scene.says_data("A", 1, 1, 1000);
    scene.says_data("A", 1001, 1, 1000);
    // 500 bytes of room are less than a segment and less than half the largest window.
    scene.is_silent();
    scene.hears(&Segment { wnd: 2500, ..seg("A", 1, 1001) });
    scene.says_data("A", 2001, 1, 1000);
    scene.is_silent();
}

/// The peer opens its window byte by byte: nothing is sent until it is worth it, or for long.
#[test]
fn silly_windows_are_avoided() {
    let mut scene = Scene::established();
    scene.puts(1000);
    scene.says_data("PA", 1, 1, 1000);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 1001) });
    scene.puts(5000);
    for wnd in 1..1000 {
        scene.hears(&Segment { wnd, ..seg("A", 1, 1001) });
        scene.is_silent();
    }
    // The override time-out sends what fits.
    scene.passes(ms(200));
    scene.says_data("A", 1001, 1, 999);
    scene.hears(&Segment { wnd: 1000, ..seg("A", 1, 2000) });
    scene.says_data("A", 2000, 1, 1000);
}

/// MUST-1: 40,000 is not a negative number, for what is sent either.
#[test]
fn a_window_with_the_highest_bit_set_is_filled() {
    let mut scene = Scene::established();
    let mut acked = 1;
    while scene.tcb.cwnd_bytes() < 45_000 {
        let count = scene.tcb.cwnd_bytes();
        scene.puts(count);
        scene.takes_all();
        acked += count;
        scene.hears(&seg("A", 1, acked));
    }
    scene.hears(&Segment { wnd: 40_000, ..seg("A", 1, acked) });
    scene.takes_all();
    scene.puts(60_000);
    assert_eq!(scene.takes_all().len(), 40);
    assert_eq!(scene.tcb.snd().nxt, scene.tcb.snd().una + 40_000);
}

#[test]
fn half_of_a_small_window_is_worth_a_segment() {
    let mut scene = Scene::syn_received();
    scene.hears(&Segment { wnd: 600, ..seg("A", 1, 1) });
    scene.puts(5000);
    scene.says_data("A", 1, 1, 600);
    scene.hears(&Segment { wnd: 299, ..seg("A", 1, 601) });
    scene.is_silent();
    scene.hears(&Segment { wnd: 300, ..seg("A", 1, 601) });
    scene.says_data("A", 601, 1, 300);
}

#[test]
fn a_window_that_shrinks_below_what_is_outstanding() {
    let mut scene = Scene::established();
    scene.puts(20_000);
    assert_eq!(scene.takes_all().len(), 10);
    scene.hears(&Segment { wnd: 1500, ..seg("A", 1, 1001) });
    scene.is_silent();
    // What is sent again stays within it.
    scene.passes(ms(200));
    scene.says_data("A", 1001, 1, 1000);
    scene.hears(&Segment { wnd: 0, ..seg("A", 1, 1001) });
    scene.is_silent();
    scene.passes(secs(1));
    let said = scene.takes_all();
    assert!(!said.is_empty() && said.iter().all(|segment| segment.payload_len == 1));
    // Nothing is lost by it, and nobody gives up while the peer answers.
    for _ in 0..100 {
        scene.passes(secs(10));
        scene.hears(&Segment { wnd: 0, ..seg("A", 1, 1001) });
    }
    scene.is(tcp::State::Established);
    scene.takes_all();
    scene.hears(&seg("A", 1, 1001));
    scene.passes(secs(60));
    assert!(scene.takes_all().iter().any(|segment| segment.payload_len == 1000));
}

/// MSS 64 and selective acknowledgements: a descriptor for each segment is what others ran out of.
#[test]
fn a_tiny_mss_completes_a_large_response() {
    let options = tcp::Options { mss: Some(48), sack_permitted: true, ..syn().options };
    let config = Config { sack: true, ..plain() };
    let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
    scene.puts(100_000);
    let mut acked = 1;
    while scene.output.0 > 0 {
        let said = scene.takes_all();
        assert!(!said.is_empty());
        for segment in said {
            assert!(segment.payload_len <= 64);
            acked += u32::from(segment.payload_len);
            scene.hears(&seg("A", 1, acked));
        }
    }
    assert_eq!(acked, 100_001);
}

#[test]
fn the_acknowledgement_of_input_is_on_every_segment() {
    let mut scene = Scene::established();
    scene.hears(&data(1, 1, 10));
    scene.puts(2500);
    for segment in scene.takes_all() {
        assert_eq!(segment.ack, crate::scene::IRS + 11);
    }
    scene.passes(ms(100));
    scene.is_silent();
}
