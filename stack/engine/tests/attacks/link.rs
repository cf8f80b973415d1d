//! Ethernet and IP.

use crate::victim::{IP, MTU, Peer, VICTIM_MAC, Victim, each, mend};

/// Nothing is said, and exactly one counter of drops says why.
fn is_dropped(victim: &mut Victim, frame: &[u8]) {
    let drops = |victim: &Victim| -> u64 {
        let counters = victim.counters();
        let is_drop = |name: &str| {
            (name.starts_with("rx_") && name != "rx_segments") || name.ends_with("_dropped")
        };
        counters.iter().filter(|(name, _)| is_drop(name)).map(|(_, count)| count).sum()
    };
    let before = drops(victim);
    assert!(victim.hears_frame(frame).is_empty(), "an answer to {frame:02x?}");
    assert_eq!(drops(victim), before + 1, "{frame:02x?}");
}

#[test]
fn frames_that_are_cut_off_anywhere_are_dropped() {
    each(|victim| {
        let frame = Peer::new(1).syn().frame();
        for len in 0..frame.len() {
            is_dropped(victim, &frame[..len]);
        }
        assert_eq!(victim.tables(), (0, 0));
    });
}

#[test]
fn padding_of_any_length_is_no_data() {
    each(|victim| {
        let mut peer = victim.opens();
        for padding in [1, 6, 100, 1000] {
            let mut frame = peer.ack().frame();
            frame.resize(frame.len() + padding, b'7');
            assert!(victim.hears_frame(&frame).is_empty());
        }
        assert_eq!(victim.host.app().input, b"");
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn packets_longer_than_the_mtu_or_the_frame_are_dropped() {
    each(|victim| {
        let mut peer = victim.opens();
        for len in [usize::from(MTU) - 39, 2000, 2048, 9000, 65_000] {
            is_dropped(victim, &peer.data(&vec![b'1'; len]).frame());
        }
        let mut echo = peer.data(&[0; 1600]).frame();
        echo[IP + 9] = 1;
        echo[IP + 20..IP + 22].copy_from_slice(&[8, 0]);
        mend(&mut echo);
        is_dropped(victim, &echo);
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn addresses_that_no_sender_has_are_dropped() {
    each(|victim| {
        for mac in [[0; 6], VICTIM_MAC, [0x01, 0, 0x5e, 0, 0, 1], [0xff; 6]] {
            let mut frame = Peer::new(1).syn().frame();
            frame[6..12].copy_from_slice(&mac);
            is_dropped(victim, &frame);
        }
        for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [198, 18, 0, 2]] {
            let mut frame = Peer::new(8080).syn().frame();
            frame[IP + 12..IP + 16].copy_from_slice(&source);
            mend(&mut frame);
            is_dropped(victim, &frame);
        }
        assert_eq!(victim.tables(), (0, 0));
    });
}

#[test]
fn frames_for_others_and_of_other_protocols_are_dropped() {
    each(|victim| {
        for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [2, 0, 0, 0, 0, 9]] {
            let mut frame = Peer::new(1).syn().frame();
            frame[..6].copy_from_slice(&mac);
            is_dropped(victim, &frame);
        }
        for address in [[255; 4], [198, 18, 255, 255], [224, 0, 0, 1], [198, 18, 0, 3]] {
            let mut frame = Peer::new(1).syn().frame();
            frame[IP + 16..IP + 20].copy_from_slice(&address);
            mend(&mut frame);
            is_dropped(victim, &frame);
        }
        // 802.3 lengths, VLAN tags, IPv6, PPPoE, LLDP, loopback.
        for kind in [0x0000, 0x002e, 0x05dc, 0x8100, 0x88a8, 0x86dd, 0x8863, 0x88cc, 0x9000_u16] {
            let mut frame = Peer::new(1).syn().frame();
            frame[12..14].copy_from_slice(&kind.to_be_bytes());
            is_dropped(victim, &frame);
        }
        for protocol in (0..=255).filter(|protocol| ![1, 6].contains(protocol)) {
            let mut frame = Peer::new(1).syn().frame();
            frame[IP + 9] = protocol;
            mend(&mut frame);
            is_dropped(victim, &frame);
        }
        assert_eq!(victim.tables(), (0, 0));
    });
}

#[test]
fn ip_headers_that_contradict_themselves_are_dropped() {
    each(|victim| {
        let spoil = |victim: &mut Victim, spoil: &dyn Fn(&mut [u8])| {
            let mut frame = Peer::new(1).syn().frame();
            spoil(&mut frame);
            is_dropped(victim, &frame);
        };
        for ihl in 0..5 {
            spoil(victim, &|frame| frame[IP] = 0x40 | ihl);
        }
        for version in (0..16).filter(|version| *version != 4) {
            spoil(victim, &|frame| {
                frame[IP] = version << 4 | 5;
                mend(frame);
            });
        }
        for total_len in [0, 19, 39, 45, 1000, 65_535_u16] {
            spoil(victim, &|frame| {
                frame[IP + 2..IP + 4].copy_from_slice(&total_len.to_be_bytes());
                mend(frame);
            });
        }
        spoil(victim, &|frame| frame[IP] = 0x4f);
        spoil(victim, &|frame| frame[IP + 10] ^= 0x40);
        spoil(victim, &|frame| {
            frame[IP + 8] = 0;
            mend(frame);
        });
        assert_eq!(victim.tables(), (0, 0));
    });
}

#[test]
fn ip_options_of_every_kind_and_length_are_passed_over() {
    each(|victim| {
        let mut peer = victim.opens();
        for kind in [0, 1, 7, 68, 82, 130, 131, 136, 137, 148, 255] {
            for len in [0, 1, 2, 3, 7, 8, 40, 255] {
                let mut frame = peer.ack().frame();
                frame.splice(IP + 20..IP + 20, [kind, len, 4, 0, 0, 0, 0, 1]);
                frame[IP] = 0x47;
                frame[IP + 3] += 8;
                mend(&mut frame);
                assert!(victim.hears_frame(&frame).is_empty(), "option {kind} of length {len}");
            }
        }
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}
