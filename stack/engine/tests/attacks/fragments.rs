//! Fragments: none is ever put together.

use crate::victim::{IP, Peer, Victim, each, mend};

/// A fragment of a SYN: `offset` in units of eight bytes, `flags` as the three bits before it.
fn fragment(flags: u16, offset: u16, id: u16, len: usize) -> Vec<u8> {
    let mut frame = Peer::new(1).syn().frame();
    frame.resize(IP + 20 + len, 0);
    let total_len = u16::try_from(20 + len).expect("a packet");
    frame[IP + 2..IP + 4].copy_from_slice(&total_len.to_be_bytes());
    frame[IP + 4..IP + 6].copy_from_slice(&id.to_be_bytes());
    frame[IP + 6..IP + 8].copy_from_slice(&(flags << 13 | offset).to_be_bytes());
    mend(&mut frame);
    frame
}

const MORE: u16 = 1;
const DONT: u16 = 2;

fn all_are_dropped(victim: &mut Victim, frames: &[Vec<u8>]) {
    let before = victim.count("rx_ipv4_fragment_frames");
    for frame in frames {
        assert!(victim.hears_frame(frame).is_empty());
    }
    let dropped = victim.count("rx_ipv4_fragment_frames") - before;
    assert_eq!(dropped, frames.len() as u64);
    assert_eq!(victim.tables(), (0, 0));
}

#[test]
fn those_that_overlap_or_reach_beyond_a_packet_are_dropped() {
    each(|victim| {
        let teardrop = [fragment(MORE, 0, 7, 36), fragment(0, 3, 7, 4)];
        let bonk = [fragment(MORE, 0, 8, 32), fragment(0, 4, 8, 32), fragment(0, 2, 8, 48)];
        let death = [fragment(MORE, 0, 9, 1480), fragment(0, 0x1fff, 9, 1480)];
        all_are_dropped(victim, &[&teardrop[..], &bonk, &death].concat());
    });
}

#[test]
fn tiny_ones_and_those_that_must_not_be_are_dropped() {
    each(|victim| {
        let tiny = [fragment(MORE, 0, 7, 8), fragment(0, 1, 7, 16)];
        let forbidden = [fragment(MORE | DONT, 0, 8, 24), fragment(DONT, 3, 8, 24)];
        let doubled = [fragment(0, 3, 9, 24), fragment(MORE, 0, 9, 24), fragment(MORE, 0, 9, 24)];
        all_are_dropped(victim, &[&tiny[..], &forbidden, &doubled].concat());
    });
}

#[test]
fn a_flood_of_first_ones_takes_no_memory() {
    each(|victim| {
        let frame = fragment(MORE, 0, 7, 1480);
        for _ in 0..1000 {
            for _ in 0..64 {
                victim.wire.send(&frame);
            }
            victim.host.poll(victim.clock.now());
        }
        assert_eq!(victim.count("rx_ipv4_fragment_frames"), 64_000);
        assert_eq!(victim.host.outstanding(), 0);
    });
}
