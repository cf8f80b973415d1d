//! Loss recovery (RFC 5681 §3.2, RFC 6582, RFC 6675, RFC 3042).

use crate::scene::{ISS, Scene, Segment, ms, sack, seg};
use proptest::prelude::*;
use tcp::SegmentOut;

/// Selective acknowledgements of the peer's.
fn sacks(scene: &mut Scene, ack: u32, blocks: &[(u32, u32)]) {
    scene.hears(&Segment { options: sack(blocks), ..seg("A", 1, ack) });
}

fn offsets(said: &[SegmentOut]) -> Vec<u32> {
    said.iter().map(|segment| segment.seq.0.wrapping_sub(ISS.0)).collect()
}

#[test]
fn limited_transmit_then_fast_retransmit_then_fast_recovery() {
    let mut scene = Scene::established();
    scene.puts(1_000_000);
    assert_eq!(scene.takes_all().len(), 10);
    scene.hears(&seg("A", 1, 1));
    scene.says_data("A", 10_001, 1, 1000);
    scene.hears(&seg("A", 1, 1));
    scene.says_data("A", 11_001, 1, 1000);
    scene.hears(&seg("A", 1, 1));
    scene.says_data("A", 1, 1, 1000);
    assert_eq!((scene.tcb.ssthresh_bytes(), scene.tcb.cwnd_bytes()), (5000, 8000));
    scene.is_silent();
    // Each further one is a segment that has left: 12 are outstanding, the window opens at last.
    for _ in 0..4 {
        scene.hears(&seg("A", 1, 1));
        scene.is_silent();
    }
    scene.hears(&seg("A", 1, 1));
    scene.says_data("A", 12_001, 1, 1000);
    scene.hears(&seg("A", 1, 12_001));
    // A full acknowledgement: min(ssthresh, FlightSize + SMSS).
    assert_eq!(scene.tcb.cwnd_bytes(), 2000);
}

#[test]
fn a_partial_acknowledgement_brings_the_next_hole() {
    let mut scene = Scene::established();
    scene.puts(10_000);
    scene.takes_all();
    for _ in 0..3 {
        scene.hears(&seg("A", 1, 1));
    }
    scene.says_data("A", 1, 1, 1000);
    scene.hears(&seg("A", 1, 3001));
    scene.says_data("A", 3001, 1, 1000);
    scene.hears(&seg("A", 1, 7001));
    scene.says_data("A", 7001, 1, 1000);
    scene.hears(&seg("A", 1, 10_001));
    scene.is_silent();
    assert_eq!(scene.tcb.poll_timeout(), None);
}

#[test]
fn window_updates_and_data_are_no_duplicates() {
    let mut scene = Scene::established();
    scene.puts(10_000);
    scene.takes_all();
    for number in 0..20 {
        scene.hears(&Segment { wnd: 50_000 + number, ..seg("A", 1, 1) });
        scene.hears(&Segment { payload_len: 1, ..seg("A", 1 + u32::from(number), 1) });
    }
    assert!(scene.takes_all().iter().all(|segment| segment.payload_len == 0));
}

#[test]
fn with_sack_only_what_is_missing_is_sent_again() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    // Lost are the first, the third and the fourth of ten.
    sacks(&mut scene, 1, &[(1001, 2001)]);
    sacks(&mut scene, 1, &[(4001, 5001), (1001, 2001)]);
    assert_eq!(scene.takes_all(), []);
    sacks(&mut scene, 1, &[(4001, 6001), (1001, 2001)]);
    assert_eq!(offsets(&scene.takes_all()), [1]);
    sacks(&mut scene, 1, &[(4001, 7001), (1001, 2001)]);
    sacks(&mut scene, 1, &[(4001, 8001), (1001, 2001)]);
    sacks(&mut scene, 1, &[(4001, 9001), (1001, 2001)]);
    sacks(&mut scene, 1, &[(4001, 10_001), (1001, 2001)]);
    // Both holes; and while the tenth is not heard of, the rescue retransmission of the tail.
    assert_eq!(offsets(&scene.takes_all()), [2001, 3001, 9001]);
    assert_eq!(scene.tcb.cwnd_bytes(), 5000);
    sacks(&mut scene, 2001, &[(4001, 10_001)]);
    scene.is_silent();
    assert_eq!(scene.hears(&seg("A", 1, 10_001)).acked, 8000);
    assert_eq!(scene.tcb.cwnd_bytes(), 5000);
}

#[test]
fn what_is_acknowledged_selectively_is_kept_until_it_is_acknowledged() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    sacks(&mut scene, 1, &[(1001, 10_001)]);
    assert_eq!(scene.output.0, 10_000);
}

/// The peer takes back what it had acknowledged: everything is sent again.
#[test]
fn reneging_is_survived() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    for end in [3001, 4001, 5001, 6001] {
        sacks(&mut scene, 1, &[(2001, end)]);
    }
    assert_eq!(offsets(&scene.takes_all()), [1]);
    scene.hears(&seg("A", 1, 2001));
    let mut acked = 2001;
    for _ in 0..100 {
        scene.passes(ms(200));
        for segment in scene.takes_all() {
            if segment.seq == ISS + acked {
                acked += u32::from(segment.payload_len);
                scene.hears(&seg("A", 1, acked));
            }
        }
    }
    assert_eq!(scene.output.0, 0);
}

/// RFC 6675, NextSeg() rule 4: the tail of a window is lost together with its front.
#[test]
fn one_rescue_retransmission_brings_the_tail() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    for end in [2001, 3001, 4001, 5001] {
        sacks(&mut scene, 1, &[(1001, end)]);
    }
    assert_eq!(offsets(&scene.takes_all()), [1]);
    // 5 segments are missing at the end; nothing above them tells so.
    sacks(&mut scene, 5001, &[]);
    scene.takes_all();
    for _ in 0..10 {
        scene.passes(ms(400));
        let said = scene.takes_all();
        if said.iter().any(|segment| segment.seq == ISS + 5001) {
            return;
        }
    }
    panic!("the tail is never sent again");
}

#[test]
fn blocks_that_make_no_sense_are_ignored() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    for (start, end) in [
        (0, 1),
        (0, 5000),
        (1, 1001),
        (1001, 1001),
        (2001, 1001),
        (9001, 10_002),
        (10_001, 11_001),
        (1 << 31, 5),
        (5000, 1 << 31),
    ] {
        for _ in 0..100 {
            sacks(&mut scene, 1, &[(start, end)]);
        }
        scene.is_silent();
    }
    assert_eq!(scene.tcb.cwnd_bytes(), 10_000);
}

#[test]
fn the_same_block_again_is_no_news() {
    let mut scene = Scene::with_sack();
    scene.puts(10_000);
    scene.takes_all();
    for _ in 0..10_000 {
        sacks(&mut scene, 1, &[(5001, 6001)]);
    }
    assert!(scene.takes_all().len() <= 2);
    assert_eq!(scene.tcb.ssthresh_bytes(), u32::MAX);
}

proptest! {
    /// Blocks of every size in every place, four at a time: nothing grows, nothing overflows, and
    /// in the end everything is acknowledged all the same.
    #[test]
    fn crafted_blocks_are_bounded(
        blocks in prop::collection::vec((0_u32..20_000, 0_u32..20_000), 0..200),
    ) {
        let mut scene = Scene::with_sack();
        scene.puts(10_000);
        let mut sent = scene.takes_all().len();
        for four in blocks.chunks(4) {
            sacks(&mut scene, 1, four);
            sent += scene.takes_all().len();
            prop_assert!(scene.tcb.snd().una.le(scene.tcb.snd().nxt));
        }
        prop_assert!(sent <= 10 + 3 * 10, "{} segments", sent);
        let mut acked = 1;
        for _ in 0..200 {
            scene.passes(ms(200));
            for segment in scene.takes_all() {
                let start = segment.seq.0.wrapping_sub(ISS.0);
                if start <= acked {
                    acked = acked.max(start + u32::from(segment.payload_len));
                    scene.hears(&seg("A", 1, acked));
                }
            }
        }
        prop_assert_eq!(scene.output.0, 0);
    }
}
