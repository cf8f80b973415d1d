//! The state of connections: floods, half-open connections, resets and SYNs out of place.

use crate::victim::{ACK, FIN, HALF_OPEN, Peer, RST, SYN, Segment, VICTIM, Victim, each, native};
use engine::Closed;
use sim::Pcg32;
use std::net::Ipv4Addr;
use std::time::Duration;

#[test]
fn a_flood_of_syns_is_bounded_and_over_when_it_is_over() {
    each(|victim| {
        let mut other = victim.opens();
        let mut random = Pcg32::new(1);
        for round in 0..10_000_u32 {
            let source = Ipv4Addr::from_bits(0x0a00_0000 | random.below(1 << 24));
            let port = 1 + u16::try_from(random.below(65_000)).expect("a port");
            let seq = random.next_u32();
            victim.wire.send(&Segment { source, seq, ..Peer::new(port).syn() }.frame());
            if round % 16 == 0 {
                victim.host.poll(victim.clock.now());
                victim.clock.advance(Duration::from_micros(160));
                victim.frames();
            }
        }
        victim.acts();
        let (connections, half_open) = victim.tables();
        assert!(half_open <= HALF_OPEN.into() && connections <= half_open + 1);
        victim.survives(&mut other);
        victim.closes(&mut other);
    });
}

#[test]
fn half_open_connections_expire_and_their_syn_acks_are_few() {
    each(|victim| {
        let mut syn_acks = Vec::new();
        for port in 0..u16::try_from(HALF_OPEN).expect("few") + 1 {
            syn_acks.extend(victim.hears(&Peer::new(1000 + port).syn()));
        }
        syn_acks.extend(victim.passes(Duration::from_secs(64)));
        assert_eq!(victim.tables(), (0, 0), "within 63 seconds");
        for port in 0..u16::try_from(HALF_OPEN).expect("few") {
            let count = syn_acks.iter().filter(|it| it.ports.1 == 1000 + port).count();
            assert!((2..=6).contains(&count), "{count} SYN-ACKs for one SYN");
        }
    });
}

#[test]
fn a_second_syn_of_one_tuple_makes_no_second_connection() {
    each(|victim| {
        let mut peer = Peer::new(1000);
        let first = victim.hears(&peer.syn());
        let other = Segment { seq: 77_777, ..peer.syn() };
        for syn in [&peer.syn(), &other] {
            let said = victim.hears(syn);
            assert!(said.iter().all(|it| it.flags & SYN == 0 || it.seq == first[0].seq));
            assert_eq!(victim.tables(), (1, 1));
        }
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = first[0].seq.wrapping_add(1);
        victim.hears(&peer.ack());
        assert_eq!(victim.tables(), (1, 0));
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

/// Sequence numbers about the window of a connection: before, at both edges, inside, far beyond.
fn positions(peer: &Peer) -> Vec<u32> {
    [-70_000, -1, 0, 1, 1000, 30_000, 65_535, 65_536, 200_000]
        .iter()
        .map(|offset: &i32| peer.seq.wrapping_add(offset.cast_unsigned()))
        .collect()
}

#[test]
fn a_syn_into_a_connection_is_challenged_wherever_it_is() {
    native(|victim| {
        let mut peer = victim.opens();
        for seq in positions(&peer) {
            for flags in [SYN, SYN | ACK] {
                victim.clock.advance(Duration::from_secs(2));
                let said = victim.hears(&Segment { flags, seq, ..peer.ack() });
                let [challenge] = &said[..] else { panic!("a challenge, not {said:?}") };
                let expected = (ACK, peer.ack, peer.seq);
                assert_eq!((challenge.flags, challenge.seq, challenge.ack), expected);
            }
        }
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn a_reset_counts_at_one_number_alone() {
    native(|victim| {
        let mut peer = victim.opens();
        for seq in positions(&peer).into_iter().filter(|seq| *seq != peer.seq) {
            victim.clock.advance(Duration::from_secs(2));
            let offset = seq.wrapping_sub(peer.seq);
            let said = victim.hears(&Segment { flags: RST, seq, ..peer.ack() });
            // In the window it is challenged, outside dropped.
            assert_eq!(said.len(), usize::from(offset < 65_536), "{offset}: {said:?}");
            assert_eq!(victim.tables(), (1, 0));
        }
        victim.survives(&mut peer);
        victim.hears(&Segment { flags: RST, ..peer.ack() });
        assert_eq!(victim.host.app().closed, [Closed::ResetByPeer]);
    });
}

#[test]
fn a_storm_of_resets_loses_nobody_and_is_challenged_a_little() {
    native(|victim| {
        let mut peers: Vec<Peer> = (0..32).map(|_| victim.opens()).collect();
        let mut random = Pcg32::new(1);
        let mut challenges = 0;
        for round in 0..50_000_u32 {
            let peer = &peers[random.below(32) as usize];
            let seq = peer.seq.wrapping_add(1 + random.below(100_000));
            victim.wire.send(&Segment { flags: RST, seq, ..peer.ack() }.frame());
            if round % 32 == 0 {
                victim.host.poll(victim.clock.now());
                victim.clock.advance(Duration::from_micros(320));
                challenges += victim.says().len();
            }
        }
        // Ten a second for each connection, in half a second.
        assert!((1..=32 * 10).contains(&challenges), "{challenges}");
        for peer in &mut peers {
            victim.survives(peer);
            victim.closes(peer);
        }
    });
}

#[test]
fn acknowledgements_of_what_was_not_sent_are_dropped() {
    each(|victim| {
        let mut peer = victim.opens();
        for offset in [1, 1000, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xc000_0000_u32] {
            let ack = peer.ack.wrapping_add(offset);
            victim.hears(&Segment { ack, ..peer.data(b"99\n") });
            assert_eq!(victim.tables(), (1, 0));
        }
        assert_eq!(victim.host.app().input, b"", "nothing of it is believed");
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn data_on_the_syn_or_before_the_last_ack_are_delivered_once_and_in_order() {
    each(|victim| {
        let mut peer = Peer::new(1000);
        let said = victim.hears(&Segment { payload: b"5\n".to_vec(), ..peer.syn() });
        let syn_ack = said.first().expect("a SYN-ACK");
        // Whether they were taken, the acknowledgement says.
        let taken = syn_ack.ack.wrapping_sub(peer.seq).wrapping_sub(1);
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = syn_ack.seq.wrapping_add(1);
        let left = &b"5\n"[usize::try_from(taken).expect("two at most")..];
        // The last ACK of the handshake is lost: these data complete it.
        let said = victim.hears(&Segment { seq: peer.seq.wrapping_add(taken), ..peer.data(left) });
        peer.seq = peer.seq.wrapping_add(2);
        assert_eq!(peer.takes(&said), 5);
        victim.hears(&peer.ack());
        assert_eq!(victim.host.app().input, b"5\n");
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn a_fin_completes_the_handshake_too() {
    each(|victim| {
        let mut peer = Peer::new(1000);
        let syn_ack = victim.hears(&peer.syn());
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = syn_ack[0].seq.wrapping_add(1);
        victim.closes(&mut peer);
        assert_eq!(victim.host.app().closed, [Closed::Finished]);
    });
}

#[test]
fn a_fin_behind_a_hole_waits_for_what_is_missing() {
    each(|victim| {
        let mut peer = victim.opens();
        let behind = Segment { seq: peer.seq.wrapping_add(2), ..peer.data(b"4\n") };
        victim.hears(&Segment { flags: FIN | ACK, ..behind });
        assert_eq!(victim.host.app().input, b"");
        let mut said = victim.hears(&peer.data(b"3\n"));
        // Who has not kept the FIN, as smoltcp, hears it again.
        peer.seq = peer.seq.wrapping_add(4);
        let received = peer.takes(&said);
        said = victim.hears(&Segment { flags: FIN | ACK, ..peer.ack() });
        assert_eq!(
            (received + peer.takes(&said), &victim.host.app().input[..]),
            (7, &b"3\n4\n"[..])
        );
        peer.seq = peer.seq.wrapping_add(1);
        victim.hears(&peer.ack());
        assert_eq!(victim.host.app().closed, [Closed::Finished]);
    });
}

#[test]
fn a_lost_last_ack_is_sent_again() {
    each(|victim| {
        let mut peer = victim.opens();
        let fin = Segment { flags: FIN | ACK, ..peer.ack() };
        let said = victim.hears(&fin);
        assert_eq!(said.last().map(|it| it.flags & FIN), Some(FIN));
        // Both the FIN and its acknowledgement are lost: both come again.
        let again = victim.passes(Duration::from_secs(4));
        assert!(again.iter().any(|it| it.flags & FIN != 0), "{again:?}");
        let said = victim.hears(&fin);
        assert!(said.iter().any(|it| it.ack == peer.seq.wrapping_add(1)), "{said:?}");
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = peer.ack.wrapping_add(1);
        victim.hears(&peer.ack());
        assert_eq!(victim.host.app().closed, [Closed::Finished]);
    });
}

#[test]
fn a_listener_that_goes_away_resets_what_completes_later() {
    fn attack(victim: &mut Victim) {
        let mut peer = Peer::new(1000);
        let syn_ack = victim.hears(&peer.syn());
        let now = victim.clock.now();
        victim.host.drain(now, now + Duration::from_secs(5));
        victim.passes(Duration::from_secs(6));
        assert_eq!(victim.tables(), (0, 0));
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = syn_ack[0].seq.wrapping_add(1);
        let said = victim.hears(&peer.ack());
        assert_eq!(said.iter().map(|it| it.flags).collect::<Vec<u8>>(), [RST]);
        let said = victim.hears(&Peer::new(1001).syn());
        assert_eq!(said.iter().map(|it| it.flags).collect::<Vec<u8>>(), [RST | ACK]);
    }
    // It is gone for good, so there is nothing to recover.
    crate::victim::without_recovery(attack);
}

#[test]
fn simultaneous_close_ends() {
    each(|victim| {
        // Asks for 3,000 bytes and closes at once; the answer's end and the FIN cross.
        let mut peer = victim.opens();
        let mut said = victim.hears(&Segment { flags: FIN | ACK, ..peer.data(b"3000\n") });
        peer.seq = peer.seq.wrapping_add(6);
        let mut received = 0;
        while !said.is_empty() {
            received += peer.takes(&said);
            let is_last = said.last().is_some_and(|it| it.flags & FIN != 0);
            assert_eq!(is_last, received == 3000);
            said = victim.hears(&peer.ack());
        }
        assert_eq!(victim.host.app().closed, [Closed::Finished]);
        assert_eq!(victim.says(), []);
    });
}

#[test]
fn what_no_connection_wants_is_reset_at_a_limited_rate() {
    each(|victim| {
        let segment = Segment { ports: (1, VICTIM.port()), ..Peer::new(1).data(b"x") };
        let resets: usize = (0..1000).map(|_| victim.hears(&segment).len()).sum();
        assert_eq!(resets, 100);
        assert_eq!(victim.count("unknown_flow_suppressed_resets"), 900);
    });
}
