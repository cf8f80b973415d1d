//! The TCP header and its options.

use crate::victim::{ACK, FIN, PSH, Peer, RST, SYN, Segment, TCP, URG, each, mend};

#[test]
fn data_offsets_that_lie_are_dropped() {
    each(|victim| {
        for (offset, options) in [(0, 0), (4, 0), (6, 0), (15, 0), (15, 36)] {
            let mut frame = Segment { options: vec![1; options], ..Peer::new(1).syn() }.frame();
            frame[TCP + 12] = offset << 4;
            mend(&mut frame);
            assert!(victim.hears_frame(&frame).is_empty());
        }
        assert_eq!(victim.count("rx_bad_tcp_header_segments"), 5);
        assert_eq!(victim.tables(), (0, 0));
    });
}

#[test]
fn options_of_impossible_lengths_end_the_reading() {
    each(|victim| {
        let mut peer = victim.opens();
        for kind in [2, 3, 4, 5, 8, 14, 19, 28, 29, 34, 69, 253, 254, 255] {
            for len in [0, 1, 2, 3, 5, 9, 11, 40, 41, 255] {
                let options = vec![kind, len, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
                victim.hears(&Segment { options, ..peer.ack() });
            }
        }
        victim.survives(&mut peer);
        victim.closes(&mut peer);
        // On a SYN: answered or dropped, with as much as could be read.
        for options in [[2, 0, 5, 0xb4], [2, 1, 5, 0xb4], [2, 255, 5, 0xb4], [3, 0, 7, 0]] {
            let syn = Segment { options: options.to_vec(), ..Peer::new(2).syn() };
            assert!(victim.hears(&syn).len() <= 1);
            victim.hears(&Segment { flags: RST, seq: syn.seq.wrapping_add(1), ..syn });
        }
    });
}

#[test]
fn a_large_answer_arrives_whatever_mss_is_announced() {
    each(|victim| {
        for mss in [0, 1, 8, 47, 48, 63, 65_535_u16] {
            let [high, low] = mss.to_be_bytes();
            // SACK-permitted as well: what the SACK panic of 2019 needed.
            let options = vec![2, 4, high, low, 1, 1, 4, 2];
            let mut peer = Peer { options, ..Peer::new(1000 + mss % 1000) };
            let said = victim.hears(&peer.syn());
            let [syn_ack] = &said[..] else {
                // smoltcp refuses an MSS of zero.
                assert_eq!((said.len(), mss), (0, 0));
                continue;
            };
            peer.seq = peer.seq.wrapping_add(1);
            peer.ack = syn_ack.seq.wrapping_add(1);
            victim.hears(&peer.ack());
            victim.serves(&mut peer, 20_000);
            victim.closes(&mut peer);
        }
    });
}

#[test]
fn a_window_scale_above_14_is_14() {
    each(|victim| {
        for (number, scale) in [(1, 14), (2, 15), (3, 255)] {
            let options = vec![2, 4, 5, 0xb4, 1, 3, 3, scale];
            let mut peer = Peer { options, wnd: 1, ..Peer::new(number) };
            let syn_ack = victim.hears(&Segment { wnd: 65_535, ..peer.syn() });
            assert_eq!(syn_ack.len(), 1, "{syn_ack:?}");
            peer.seq = peer.seq.wrapping_add(1);
            peer.ack = syn_ack[0].seq.wrapping_add(1);
            victim.hears(&peer.ack());
            // A window of one stands for 16,384 bytes: the first turn is no longer.
            let said = victim.hears(&peer.data(b"60000\n"));
            peer.seq = peer.seq.wrapping_add(6);
            let mut received = peer.takes(&said);
            assert!((1..=16_384).contains(&received), "{received} with a scale of {scale}");
            while received < 60_000 {
                let said = victim.hears(&peer.ack());
                received += peer.takes(&said);
            }
            victim.hears(&peer.ack());
            victim.closes(&mut peer);
        }
    });
}

#[test]
fn what_is_unknown_among_the_options_is_passed_over() {
    each(|victim| {
        let md5 = [&[19, 18][..], &[0xab; 16]].concat();
        let authentication = [&[29, 16][..], &[0xab; 14]].concat();
        let behind_the_end = vec![2, 4, 5, 0xb4, 0, 3, 3, 14, 2, 0, 0, 0];
        let experiments = vec![253, 6, 0, 0, 0, 0, 254, 6, 0, 0, 0, 0];
        for (number, options) in
            (1..).zip([vec![1; 40], behind_the_end, experiments, md5, authentication])
        {
            let mut peer = Peer { options: options.clone(), ..Peer::new(number) };
            let syn_ack = victim.hears(&peer.syn());
            assert_eq!(syn_ack.len(), 1, "{options:?}");
            peer.seq = peer.seq.wrapping_add(1);
            peer.ack = syn_ack[0].seq.wrapping_add(1);
            victim.hears(&Segment { options, ..peer.ack() });
            victim.survives(&mut peer);
            victim.closes(&mut peer);
        }
    });
}

#[test]
fn urgent_pointers_of_every_kind_change_nothing_in_the_stream() {
    each(|victim| {
        let mut peer = victim.opens();
        let mut expected = Vec::new();
        for up in [0, 1, 3, 4, 5, 100, 0x7fff, 0xffff] {
            for flags in [ACK | URG, ACK | URG | PSH, ACK] {
                let segment = Segment { flags, up, ..peer.data(b"7\n") };
                let said = victim.hears(&segment);
                assert_eq!(peer.takes(&said), 7, "an answer, whatever is urgent");
                peer.seq = peer.seq.wrapping_add(2);
                victim.hears(&peer.ack());
                expected.extend_from_slice(b"7\n");
            }
            // Without data, and beyond all data.
            victim.hears(&Segment { flags: ACK | URG, up, ..peer.ack() });
        }
        assert_eq!(victim.host.app().input, expected);
        let syn = Segment { flags: SYN | URG, up: 0xffff, ..Peer::new(9).syn() };
        victim.hears(&syn);
        victim.hears(&Segment { flags: RST, seq: syn.seq.wrapping_add(1), ..syn });
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn segments_whose_checksum_is_wrong_are_dropped() {
    each(|victim| {
        let mut peer = victim.opens();
        let good = peer.data(b"10\n").frame();
        for (at, bit) in [(TCP + 4, 1), (TCP + 13, 0x10), (TCP + 16, 0x80), (good.len() - 1, 1)] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            assert!(victim.hears_frame(&bad).is_empty());
        }
        let mut none = good.clone();
        none[TCP + 16..TCP + 18].fill(0);
        assert!(victim.hears_frame(&none).is_empty());
        // As it would be with another source address in the pseudo-header.
        let mut other = good;
        let checksum = u16::from_be_bytes([other[TCP + 16], other[TCP + 17]]).wrapping_sub(1);
        other[TCP + 16..TCP + 18].copy_from_slice(&checksum.to_be_bytes());
        assert!(victim.hears_frame(&other).is_empty());
        assert_eq!(victim.count("rx_bad_tcp_checksum_segments"), 6);
        assert_eq!(victim.host.app().input, b"");
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn of_all_combinations_of_flags_only_a_plain_syn_begins_anything() {
    each(|victim| {
        for flags in 0..=255_u8 {
            let segment = Segment { flags, ..Peer::new(1).syn() };
            let said = victim.hears(&segment);
            let is_plain = flags & (SYN | FIN | RST | ACK) == SYN;
            let is_begun = said.iter().any(|answer| answer.flags & (SYN | ACK) == SYN | ACK);
            assert_eq!(is_begun, is_plain, "{flags:#x}: {said:?}");
            if is_begun {
                victim.hears(&Segment { flags: RST, seq: segment.seq.wrapping_add(1), ..segment });
            }
            assert_eq!(victim.tables(), (0, 0), "{flags:#x}");
            victim.clock.advance(std::time::Duration::from_millis(20));
        }
    });
}

#[test]
fn scans_with_odd_flags_do_not_disturb_a_connection() {
    each(|victim| {
        let mut peer = victim.opens();
        // Beside its window, with every combination of flags that an outsider may try.
        for flags in 0..=255_u8 {
            let seq = peer.seq.wrapping_add(0x4000_0000);
            victim.hears(&Segment { flags, seq, ..peer.ack() });
        }
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn port_zero_is_nobody() {
    each(|victim| {
        for ports in [(0, 8080), (1, 0), (0, 0)] {
            assert!(victim.hears(&Segment { ports, ..Peer::new(1).syn() }).is_empty());
        }
        assert_eq!(victim.count("rx_bad_tcp_header_segments"), 3);
    });
}
