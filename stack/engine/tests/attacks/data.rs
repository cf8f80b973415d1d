//! The data path: overlaps, crafted acknowledgements, windows that close.

use crate::victim::{ACK, Peer, RST, Segment, Victim, each, native};
use engine::Closed;
use std::time::Duration;

/// Data so many bytes behind the peer's next one.
fn ahead(peer: &Peer, offset: u32, bytes: &[u8]) -> Segment {
    Segment { seq: peer.seq.wrapping_add(offset), ..peer.data(bytes) }
}

#[test]
fn of_overlaps_with_other_content_the_bytes_that_came_first_win() {
    native(|victim| {
        let mut peer = victim.opens();
        // Behind a hole, each overlapping those before.
        victim.hears(&ahead(&peer, 4, b"eeff"));
        victim.hears(&ahead(&peer, 2, b"ccXX"));
        victim.hears(&ahead(&peer, 6, b"XXgg"));
        victim.hears(&ahead(&peer, 2, b"YYYYYYYY"));
        assert_eq!(victim.host.app().input, b"");
        victim.hears(&ahead(&peer, 0, b"aaZZZZZZZZ"));
        assert_eq!(victim.host.app().input, b"aacceeffgg");
        // What has been delivered does not change any more.
        victim.hears(&ahead(&peer, 0, b"QQQQQQQQQQ"));
        assert_eq!(victim.host.app().input, b"aacceeffgg");
        peer.seq = peer.seq.wrapping_add(10);
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn single_bytes_in_reverse_are_put_in_order() {
    each(|victim| {
        let mut peer = victim.opens();
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(4096).collect();
        for (place, byte) in (0..4096).zip(&text).rev() {
            victim.hears(&ahead(&peer, place, &[*byte]));
        }
        // Whatever was not kept comes again, in order.
        for (place, bytes) in (0..).step_by(1024).zip(text.chunks(1024)) {
            victim.hears(&ahead(&peer, place, bytes));
        }
        assert_eq!(victim.host.app().input, text);
        peer.seq = peer.seq.wrapping_add(4096);
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

/// A peer that has asked for an answer, of which nothing is acknowledged yet.
fn with_answer_outstanding(victim: &mut Victim, options: &[u8], count: usize) -> Peer {
    let mut peer = Peer { options: options.to_vec(), ..Peer::new(1000) };
    let said = victim.hears(&peer.syn());
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = said[0].seq.wrapping_add(1);
    victim.hears(&peer.ack());
    let line = format!("{count}\n");
    let said = victim.hears(&peer.data(line.as_bytes()));
    assert!(said.iter().any(|it| !it.payload.is_empty()), "{said:?}");
    peer.seq = peer.seq.wrapping_add(u32::try_from(line.len()).expect("short"));
    peer
}

/// Takes the rest of an answer.
fn takes_all(victim: &mut Victim, peer: &mut Peer, count: usize) {
    let mut received = 0;
    let mut said = victim.passes(Duration::from_secs(3));
    for _ in 0..10_000 {
        received += peer.takes(&said);
        if received == count {
            break;
        }
        said = victim.hears(&peer.ack());
        if said.is_empty() {
            said = victim.passes(Duration::from_secs(1));
        }
    }
    assert_eq!(received, count);
    victim.hears(&peer.ack());
}

const MSS_AND_SACK: [u8; 8] = [2, 4, 5, 0xb4, 1, 1, 4, 2];

#[test]
fn crafted_selective_acknowledgements_are_survived() {
    each(|victim| {
        let mut peer = with_answer_outstanding(victim, &MSS_AND_SACK, 60_000);
        let una = peer.ack;
        let blocks: [&[(u32, u32)]; 7] = [
            &[(1000, 1001), (1002, 1003), (1004, 1005), (1006, 1007)],
            &[(0_u32.wrapping_sub(500), 0), (0_u32.wrapping_sub(500), 700)],
            &[(0x4000_0000, 0x4000_1000), (1000, 0x7fff_ffff)],
            &[(3000, 1000), (1000, 1000)],
            &[(0, 60_000), (0, 1)],
            &[(0x8000_0000, 0x8000_0001)],
            &[(1460, 2920), (1461, 2919), (1460, 2920), (1459, 2921)],
        ];
        for round in 0..2000_u32 {
            let mut options = vec![1, 1, 5, 0];
            for (start, end) in blocks[(round % 7) as usize] {
                let shift = round / 7;
                options.extend(una.wrapping_add(start.wrapping_add(shift)).to_be_bytes());
                options.extend(una.wrapping_add(end.wrapping_add(shift)).to_be_bytes());
            }
            options[3] = u8::try_from(options.len() - 2).expect("short");
            victim.hears(&Segment { options, ..peer.ack() });
        }
        takes_all(victim, &mut peer, 60_000);
        victim.survives(&mut peer);
        victim.closes(&mut peer);
    });
}

#[test]
fn ten_thousand_duplicate_acknowledgements_bring_no_storm() {
    native(|victim| {
        let mut peer = with_answer_outstanding(victim, &[2, 4, 5, 0xb4], 60_000);
        let said: usize = (0..10_000).map(|_| victim.hears(&peer.ack()).len()).sum();
        // One retransmission, and at most what the window has room for.
        assert!(said <= 60_000 / 1460 + 2, "{said} segments");
        takes_all(victim, &mut peer, 60_000);
        victim.closes(&mut peer);
    });
}

#[test]
fn a_window_that_never_opens_is_probed_ever_more_rarely() {
    native(|victim| {
        let mut peer = victim.opens();
        peer.wnd = 0;
        victim.hears(&peer.ack());
        victim.hears(&peer.data(b"5000\n"));
        peer.seq = peer.seq.wrapping_add(5);
        let mut count = 0;
        for _ in 0..600 {
            // Each probe is answered, and none is taken.
            let said = victim.passes(Duration::from_secs(1));
            assert!(said.iter().all(|it| it.payload.len() <= 1 && it.flags & RST == 0));
            count += said.len();
            if !said.is_empty() {
                victim.hears(&peer.ack());
            }
        }
        // 0.2, 0.4, 0.8, ... seconds, then once a minute.
        assert!((10..=25).contains(&count), "{count} probes in ten minutes");
        peer.wnd = 65_535;
        takes_all(victim, &mut peer, 5000);
        victim.closes(&mut peer);
    });
}

#[test]
fn windows_held_at_zero_by_the_silent_cost_only_time() {
    each(|victim| {
        for port in 0..60 {
            let mut peer = Peer { wnd: 0, ..Peer::new(1000 + port) };
            let said = victim.hears(&peer.syn());
            peer.seq = peer.seq.wrapping_add(1);
            peer.ack = said[0].seq.wrapping_add(1);
            victim.hears(&peer.ack());
            victim.hears(&peer.data(b"1000000\n"));
        }
        assert_eq!(victim.tables(), (60, 0));
        let mut other = victim.opens();
        victim.survives(&mut other);
        victim.closes(&mut other);
        victim.passes(Duration::from_secs(101));
        assert_eq!(victim.tables(), (0, 0), "nobody answers for longer than R2");
        let given_up = victim.host.app().closed.iter().filter(|why| **why == Closed::TimedOut);
        assert_eq!(given_up.count(), 60);
    });
}

#[test]
fn a_window_that_shrinks_below_what_is_outstanding_stops_new_data() {
    each(|victim| {
        let mut peer = with_answer_outstanding(victim, &[2, 4, 5, 0xb4], 60_000);
        peer.wnd = 100;
        let said = victim.hears(&peer.ack());
        assert!(said.iter().all(|it| it.payload.is_empty()), "{said:?}");
        peer.wnd = 65_535;
        takes_all(victim, &mut peer, 60_000);
        victim.closes(&mut peer);
    });
}

#[test]
fn a_window_that_opens_byte_by_byte_is_not_filled_so() {
    native(|victim| {
        let mut peer = victim.opens();
        peer.wnd = 1;
        victim.hears(&peer.ack());
        let mut said = victim.hears(&peer.data(b"60000\n"));
        peer.seq = peer.seq.wrapping_add(6);
        let (mut received, mut segments) = (0, 0);
        for _ in 0..1000 {
            segments += said.len();
            received += peer.takes(&said);
            victim.clock.advance(Duration::from_millis(1));
            said = victim.hears(&peer.ack());
        }
        received += peer.takes(&said);
        // A second has passed: no more than what a timer has forced out.
        assert!(segments < 10, "{segments} segments of a byte each");
        peer.wnd = 65_535;
        takes_all(victim, &mut peer, 60_000 - received);
        victim.closes(&mut peer);
    });
}

#[test]
fn who_asks_and_never_reads_is_not_read_from() {
    each(|victim| {
        let peer = victim.opens();
        // More answers than the send buffer holds, more requests than the receive buffer holds.
        let requests = b"50000\n".repeat(240);
        let mut sent = 0_u32;
        for _ in 0..100 {
            victim.hears(&ahead(&peer, sent, &requests));
            sent += 1440;
        }
        let read = victim.host.app().input.len();
        assert!(read <= 6 * 10, "{read} bytes of requests read without a place for answers");
        assert_eq!(victim.tables(), (1, 0));
        peer.flags_reset(victim);
    });
}

impl Peer {
    /// Ends it from the peer's side, wherever it stands.
    fn flags_reset(&self, victim: &mut Victim) {
        for offset in 0..=100 {
            let seq = self.seq.wrapping_add(1440 * offset);
            victim.hears(&Segment { flags: RST | ACK, seq, ..self.ack() });
        }
        // At RCV.NXT, which the answers tell, it counts in any case.
        let probe = Segment { seq: self.seq.wrapping_sub(1), ..self.ack() };
        for said in victim.hears(&probe) {
            victim.hears(&Segment { flags: RST | ACK, seq: said.ack, ..self.ack() });
        }
    }
}
