//! ARP, ICMP, UDP: what travels beside TCP. Poisoning the cache of active opens is tried in
//! `tests/connect.rs`.

use crate::victim::{
    ACK, ATTACKER, ATTACKER_MAC, FIN, IP, Peer, RST, SYN, Segment, TCP, VICTIM, VICTIM_MAC, Victim,
    each, mend,
};
use sim::Pcg32;
use std::net::Ipv4Addr;
use std::time::Duration;

const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// An ARP packet to everybody or to the victim.
fn arp(
    destination: [u8; 6],
    operation: u8,
    sender: ([u8; 6], Ipv4Addr),
    target: ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    let mut frame = [destination, sender.0].concat();
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation]);
    for (mac, address) in [sender, target] {
        frame.extend(mac);
        frame.extend(address.octets());
    }
    frame
}

/// Where frames of a connection go.
fn answers_to(victim: &mut Victim, peer: &mut Peer) -> Vec<u8> {
    let frames = victim.hears_frame(&peer.data(b"3\n").frame());
    peer.seq = peer.seq.wrapping_add(2);
    peer.ack = peer.ack.wrapping_add(3);
    victim.hears(&peer.ack());
    frames[0][..6].to_vec()
}

#[test]
fn gratuitous_arp_moves_no_connection() {
    each(|victim| {
        let mut peer = victim.opens();
        for operation in [1, 2] {
            for destination in [[0xff; 6], VICTIM_MAC] {
                let claim = (OTHER_MAC, ATTACKER);
                for target in [ATTACKER, *VICTIM.ip()] {
                    victim.hears_frame(&arp(destination, operation, claim, ([0; 6], target)));
                }
            }
        }
        assert_eq!(answers_to(victim, &mut peer), ATTACKER_MAC);
        victim.closes(&mut peer);
    });
}

#[test]
fn who_claims_our_address_is_not_believed_and_told_off_every_ten_seconds() {
    each(|victim| {
        let mut peer = victim.opens();
        let ours = (OTHER_MAC, *VICTIM.ip());
        let mut claims = Vec::new();
        for operation in [1, 2] {
            for destination in [[0xff; 6], VICTIM_MAC] {
                for target in [*VICTIM.ip(), ATTACKER] {
                    claims.push(arp(destination, operation, ours, ([0xff; 6], target)));
                }
            }
        }
        let us = (VICTIM_MAC, *VICTIM.ip());
        let announcement = arp([0xff; 6], 1, us, ([0; 6], *VICTIM.ip()));
        // 60 s of claims, ten a second: at 0, 10, 20, 30, 40 and 50 s they are contradicted.
        let mut said = Vec::new();
        for claim in claims.iter().cycle().take(600) {
            said.extend(victim.hears_frame(claim));
            victim.clock.advance(Duration::from_millis(100));
        }
        assert_eq!(said, vec![announcement; 6]);
        assert_eq!((victim.count("arp_conflicts"), victim.count("arp_defences")), (600, 6));
        // Who asks for our address is told it, even with none of his own: RFC 5227 §2.1.1, a probe.
        for asker in [ATTACKER, Ipv4Addr::UNSPECIFIED] {
            let asks = (ATTACKER_MAC, asker);
            let answers = victim.hears_frame(&arp([0xff; 6], 1, asks, ([0; 6], *VICTIM.ip())));
            assert_eq!(answers, [arp(ATTACKER_MAC, 2, us, asks)]);
        }
        // And what we say still comes from our address.
        let frames = victim.hears_frame(&peer.data(b"3\n").frame());
        assert_eq!(frames[0][..12], [ATTACKER_MAC, VICTIM_MAC].concat());
        peer.seq = peer.seq.wrapping_add(2);
        peer.ack = peer.ack.wrapping_add(3);
        victim.hears(&peer.ack());
        victim.closes(&mut peer);
    });
}

#[test]
fn a_flood_of_arp_fills_nothing_and_is_answered_at_a_limited_rate() {
    each(|victim| {
        let mut peer = victim.opens();
        let mut random = Pcg32::new(1);
        let mut answers = 0;
        for round in 0..65_536_u32 {
            let sender = (OTHER_MAC, Ipv4Addr::from_bits(0xc612_0000 | round));
            let operation = [0, 1, 2, 3, 9][random.below(5) as usize];
            let mut frame = arp([0xff; 6], operation, sender, ([0; 6], *VICTIM.ip()));
            match random.below(8) {
                0 => frame.truncate(14 + random.below(28) as usize),
                1 => frame[18] = 5,
                2 => frame[19] = 16,
                _ => {}
            }
            victim.wire.send(&frame);
            if round % 64 == 0 {
                victim.host.poll(victim.clock.now());
                victim.clock.advance(Duration::from_micros(64));
                answers += victim.frames().len();
            }
        }
        assert!((1..=200).contains(&answers), "{answers}");
        assert_eq!(victim.count("neighbours_now"), 0);
        victim.acts();
        victim.frames();
        assert_eq!(answers_to(victim, &mut peer), ATTACKER_MAC);
        victim.closes(&mut peer);
    });
}

#[test]
fn a_peer_whose_mac_address_changes_is_followed_at_once() {
    each(|victim| {
        let mut peer = victim.opens();
        assert_eq!(answers_to(victim, &mut peer), ATTACKER_MAC);
        let frames = victim.hears_frame(&from(OTHER_MAC, &peer.data(b"3\n")));
        assert_eq!(frames[0][..6], OTHER_MAC);
        assert_eq!(victim.count("peer_mac_changes"), 1);
        peer.seq = peer.seq.wrapping_add(2);
        peer.ack = peer.ack.wrapping_add(3);
        victim.hears(&peer.ack());
        victim.closes(&mut peer);
    });
}

#[test]
fn who_repeats_himself_from_another_mac_address_is_followed_too() {
    each(|victim| {
        let mut peer = victim.opens();
        // The answer goes to the old address, where nobody is any more.
        let request = peer.data(b"3\n");
        assert_eq!(victim.hears_frame(&request.frame())[0][..6], ATTACKER_MAC);
        let frames = victim.hears_frame(&from(OTHER_MAC, &request));
        assert!(frames.iter().all(|frame| frame[..6] == OTHER_MAC), "{frames:02x?}");
        assert_eq!(victim.count("peer_mac_changes"), 1);
        victim.clock.advance(Duration::from_secs(2));
        victim.acts();
        let again = victim.frames();
        assert_eq!((again[0][..6].to_vec(), again[0].ends_with(b"xxx")), (OTHER_MAC.into(), true));
        peer.seq = peer.seq.wrapping_add(2);
        peer.ack = peer.ack.wrapping_add(3);
        victim.hears_frame(&from(OTHER_MAC, &peer.ack()));
        victim.closes(&mut peer);
    });
}

/// What can be sent by somebody on the link who knows the ports of a connection and no more.
fn guesses(peer: &Peer) -> Vec<Segment> {
    let far = [0x1000_0000, 0x4000_0000, 0x8000_0000, 0xc000_0000];
    let shifts = far.into_iter().flat_map(|shift| [(shift, 0), (0, shift), (shift, shift)]);
    shifts
        .flat_map(|(seq, ack)| {
            let data = peer.data(b"9\n");
            let guess = Segment {
                seq: data.seq.wrapping_add(seq),
                ack: data.ack.wrapping_add(ack),
                ..data
            };
            let with = |flags| Segment { flags, payload: Vec::new(), ..guess.clone() };
            [with(ACK), with(SYN), with(SYN | ACK), with(RST), with(FIN | ACK), guess.clone()]
        })
        // A reset at the next number counts, whoever sends it.
        .filter(|guess| guess.flags & RST == 0 || guess.seq != peer.seq)
        .collect()
}

#[test]
fn whoever_does_not_know_the_numbers_draws_no_answer_of_a_connection_to_himself() {
    each(|victim| {
        let mut peer = victim.opens();
        // An answer is outstanding, which will be sent again.
        victim.hears(&peer.data(b"3\n"));
        let guesses = guesses(&peer);
        assert!(guesses.len() > 50);
        for guess in &guesses {
            // Time for challenges, which are few in a second, and for retransmissions.
            victim.clock.advance(Duration::from_millis(300));
            for frame in victim.hears_frame(&from(OTHER_MAC, guess)) {
                assert_ne!(frame[..6], OTHER_MAC, "{guess:?} draws {frame:02x?}");
            }
        }
        let unproven = victim.count("rx_unproven_mac_segments");
        assert_eq!((unproven, victim.count("peer_mac_changes")), (guesses.len() as u64, 0));
        peer.seq = peer.seq.wrapping_add(2);
        peer.ack = peer.ack.wrapping_add(3);
        victim.hears(&peer.ack());
        assert_eq!(answers_to(victim, &mut peer), ATTACKER_MAC);
        victim.closes(&mut peer);
    });
}

/// A segment in a frame from another source.
fn from(mac: [u8; 6], segment: &Segment) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[6..12].copy_from_slice(&mac);
    frame
}

/// An ICMP message from the attacker.
fn icmp(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = Peer::new(1).ack().frame()[..IP + 20].to_vec();
    frame[IP + 9] = 1;
    frame.extend([kind, code, 0, 0]);
    frame.extend(rest);
    frame.extend(payload);
    let total_len = u16::try_from(frame.len() - IP).expect("a packet");
    frame[IP + 2..IP + 4].copy_from_slice(&total_len.to_be_bytes());
    mend(&mut frame);
    frame
}

#[test]
fn a_flood_of_echo_requests_is_answered_at_a_limited_rate_and_never_to_all() {
    each(|victim| {
        let request = icmp(8, 0, [0x12, 0x34, 0, 1], &[7; 1400]);
        let answered: usize = (0..5000).map(|_| victim.hears_frame(&request).len()).sum();
        assert_eq!(answered, 100);
        for (mac, address) in [([0xff; 6], [255; 4]), (VICTIM_MAC, [198, 18, 255, 255])] {
            let mut smurf = request.clone();
            smurf[..6].copy_from_slice(&mac);
            smurf[IP + 16..IP + 20].copy_from_slice(&address);
            mend(&mut smurf);
            victim.clock.advance(Duration::from_secs(2));
            assert!(victim.hears_frame(&smurf).is_empty());
        }
    });
}

/// The first bytes of a segment that the victim may have sent, as an ICMP error quotes them.
fn quoted(peer: &Peer, seq: u32) -> Vec<u8> {
    let mut sent = Segment { ports: (VICTIM.port(), peer.port), seq, ..peer.ack() }.frame();
    sent[IP + 12..IP + 16].copy_from_slice(&VICTIM.ip().octets());
    sent[IP + 16..IP + 20].copy_from_slice(&ATTACKER.octets());
    mend(&mut sent);
    sent[IP..TCP + 8].to_vec()
}

#[test]
fn forged_icmp_errors_end_no_connection_and_stall_none() {
    each(|victim| {
        let mut peer = victim.opens();
        // An answer is outstanding, so that numbers in range exist.
        victim.hears(&peer.data(b"20000\n"));
        peer.seq = peer.seq.wrapping_add(6);
        let una = peer.ack;
        for seq in [una, una.wrapping_add(500), una.wrapping_sub(1), una.wrapping_add(0x4000_0000)]
        {
            let quote = quoted(&peer, seq);
            for code in 0..16 {
                let [high, low] =
                    [0, 1, 67, 68, 551, 552, 1499, 0xffff_u16][code as usize % 8].to_be_bytes();
                victim.hears_frame(&icmp(3, code, [0, 0, high, low], &quote));
                victim.hears_frame(&icmp(3, 4, [0, 0, high, low], &quote));
            }
            for (kind, code) in [(4, 0), (5, 0), (5, 1), (11, 0), (11, 1), (12, 0)] {
                victim.hears_frame(&icmp(kind, code, [0; 4], &quote));
            }
            // Cut off, and of nothing at all.
            victim.hears_frame(&icmp(3, 4, [0, 0, 0, 68], &quote[..20]));
            victim.hears_frame(&icmp(3, 1, [0; 4], &[]));
        }
        assert_eq!(victim.tables(), (1, 0));
        let mut said = victim.passes(Duration::from_secs(3));
        let mut received = 0;
        for _ in 0..1000 {
            // The floor of the path's MTU is 552 bytes, of which the headers take 40.
            let is_small = |it: &Segment| (1..400).contains(&it.payload.len());
            assert!(said.iter().filter(|it| is_small(it)).count() <= 1, "{said:?}");
            received += peer.takes(&said);
            if received == 20_000 {
                break;
            }
            said = victim.hears(&peer.ack());
            if said.is_empty() {
                said = victim.passes(Duration::from_secs(1));
            }
        }
        assert_eq!(received, 20_000);
        victim.hears(&peer.ack());
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn udp_is_dropped_even_from_ourselves() {
    each(|victim| {
        for (source, port) in [(ATTACKER, 53), (*VICTIM.ip(), 7)] {
            let mut frame = Peer { address: source, ..Peer::new(port) }.ack().frame();
            frame[IP + 9] = 17;
            mend(&mut frame);
            assert!(victim.hears_frame(&frame).is_empty());
        }
    });
}

#[test]
fn initial_numbers_and_identifications_tell_nothing_of_the_next() {
    each(|victim| {
        let mut numbers = Vec::new();
        for port in 0..200 {
            let syn = Peer::new(2000 + port).syn();
            numbers.push(victim.hears(&syn)[0].seq);
            victim.hears(&Segment { flags: RST, seq: syn.seq.wrapping_add(1), ..syn });
            victim.clock.advance(Duration::from_millis(100));
        }
        let mut steps: Vec<u32> =
            numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), 199, "no step occurs twice");
        assert!(steps.iter().any(|step| *step > 1 << 30), "they spread over all numbers");
        // RFC 6864: with DF set the identification says nothing, and so it is always the same.
        let frames = victim.hears_frame(&Peer::new(1).syn().frame());
        assert_eq!(frames[0][TCP + 13], SYN | ACK);
        assert_eq!((&frames[0][IP + 4..IP + 6], frames[0][IP + 6] & 0x40), (&[0, 0][..], 0x40));
    });
}
