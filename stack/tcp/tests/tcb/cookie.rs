//! SYN cookies: encoded, returned, decoded (RFC 4987 §3.6).

use crate::scene::{IRS, Segment, ms, plain, secs, seg, syn, timestamps};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::{Config, FourTuple, Instant, Options, SegmentOut, Seq, State, Tcb, cookie};

const SECRET: tcp::Secret = [9; 16];

fn tuple(port: u16) -> FourTuple {
    FourTuple {
        local: SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080),
        remote: SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 10), port),
    }
}

fn config() -> Config {
    Config::new(256 * 1024, 1500)
}

fn full() -> Segment<'static> {
    let options =
        Options { mss: Some(1460), wscale: Some(9), sack_permitted: true, ..timestamps(77, 0) };
    Segment { options, ..syn() }
}

/// The ACK that a peer answers `syn_ack` with.
fn answer(syn_ack: &SegmentOut) -> Segment<'static> {
    let options =
        syn_ack.options.timestamps.map_or_else(Options::default, |clock| timestamps(78, clock.val));
    Segment { ack: syn_ack.seq + 1, options, ..seg("A", 1, 0) }
}

#[test]
fn a_handshake_without_memory_keeps_its_options() {
    let now = Instant::ZERO + secs(1_000_003);
    let syn_ack = cookie::encode(&SECRET, &tuple(1), now, &config(), &full());
    assert_eq!((syn_ack.ack, syn_ack.options.wscale), (IRS + 1, Some(3)));
    let later = now + ms(150);
    let ack = answer(&syn_ack);
    let half_open = cookie::decode(&SECRET, &tuple(1), later, &config(), &ack).expect("ours");
    let mut tcb = Tcb::from_half_open(later, &config(), &half_open);
    assert!(tcb.handle_segment(later, &Segment { wnd: 100, ..ack }).opened);
    assert_eq!(tcb.state(), State::Established);
    assert_eq!(tcb.eff_snd_mss(), 1448);
    assert_eq!(tcb.snd().wnd, 100 << 9);
    // Its clock goes on from where the cookie's stood.
    let said = tcb.poll_transmit(later, &crate::scene::Output(10)).expect("data");
    let val = |segment: &SegmentOut| segment.options.timestamps.expect("timestamps").val;
    assert!(val(&said).wrapping_sub(val(&syn_ack)) < 200);
}

#[test]
fn without_timestamps_scale_and_sack_are_not_offered() {
    let now = Instant::ZERO + secs(5000);
    let options = Options { timestamps: None, ..full().options };
    let syn = Segment { options, ..full() };
    let syn_ack = cookie::encode(&SECRET, &tuple(1), now, &config(), &syn);
    assert_eq!((syn_ack.options.wscale, syn_ack.options.sack_permitted), (None, false));
    let ack = answer(&syn_ack);
    let half_open = cookie::decode(&SECRET, &tuple(1), now, &config(), &ack).expect("ours");
    let tcb = Tcb::from_half_open(now, &config(), &half_open);
    assert_eq!(tcb.eff_snd_mss(), 1460);
}

#[test]
fn it_is_good_for_a_minute_or_two_and_for_one_peer() {
    let now = Instant::ZERO + secs(64_000);
    let syn_ack = cookie::encode(&SECRET, &tuple(1), now, &config(), &full());
    let ack = answer(&syn_ack);
    let good = |secret: &tcp::Secret, port, now, ack: &Segment<'_>| {
        cookie::decode(secret, &tuple(port), now, &config(), ack).is_some()
    };
    assert!(good(&SECRET, 1, now, &ack));
    assert!(good(&SECRET, 1, now + secs(64), &ack));
    assert!(!good(&SECRET, 1, now + secs(129), &ack));
    assert!(!good(&SECRET, 1, now + secs(32 * 64), &ack), "its period comes round");
    assert!(!good(&SECRET, 2, now, &ack));
    assert!(!good(&[8; 16], 1, now, &ack));
    assert!(!good(&SECRET, 1, now, &Segment { seq: ack.seq + 1, ..ack }));
    for letters in ["S", "SA", "R", "RA", "F", ""] {
        let other = Segment { flags: crate::scene::flags(letters), ..ack };
        assert!(!good(&SECRET, 1, now, &other), "{letters}");
    }
}

#[test]
fn guesses_fail() {
    let now = Instant::ZERO + secs(64_000);
    let hits = (0..200_000_u32)
        .filter(|guess| {
            let ack = Segment { ack: Seq(guess.wrapping_mul(0x9e37_79b1)), ..seg("A", 1, 0) };
            cookie::decode(&SECRET, &tuple(1), now, &config(), &ack).is_some()
        })
        .count();
    // One in 2^20 is right: 24 bits of hash, two periods of 32, eight sizes.
    assert!(hits <= 4, "{hits}");
}

proptest! {
    #[test]
    fn every_combination_comes_back(
        mss: Option<u16>,
        wscale in prop::option::of(0_u8..15),
        sack_permitted: bool,
        now in 0_u64..1 << 60,
        irs: u32,
    ) {
        let now = Instant::from_nanos(now);
        let options = Options { mss, wscale, sack_permitted, ..timestamps(77, 0) };
        let syn = Segment { seq: Seq(irs), options, ..syn() };
        let syn_ack = cookie::encode(&SECRET, &tuple(3), now, &config(), &syn);
        let ack = Segment { seq: Seq(irs) + 1, wnd: 2, ..answer(&syn_ack) };
        let half_open = cookie::decode(&SECRET, &tuple(3), now, &config(), &ack).expect("ours");
        prop_assert_eq!((half_open.iss, half_open.irs), (syn_ack.seq, syn.seq));
        let mut tcb = Tcb::from_half_open(now, &config(), &half_open);
        prop_assert!(tcb.handle_segment(now, &ack).opened);
        prop_assert_eq!(tcb.snd().wnd, 2 << wscale.unwrap_or(0));
        let wanted = mss.unwrap_or(536).clamp(64, 1460) - 12;
        prop_assert!(tcb.eff_snd_mss() <= wanted);
    }
}

#[test]
fn an_icmp_error_finds_nothing_before_the_handshake_completes() {
    // There is no connection that it could be shown to; the first one is established.
    let now = Instant::ZERO + secs(64_000);
    let syn_ack = cookie::encode(&SECRET, &tuple(1), now, &plain(), &syn());
    let ack = answer(&syn_ack);
    let half_open = cookie::decode(&SECRET, &tuple(1), now, &plain(), &ack).expect("ours");
    let mut tcb = Tcb::from_half_open(now, &plain(), &half_open);
    assert!(tcb.handle_segment(now, &ack).opened);
    let error = tcp::IcmpError { kind: tcp::IcmpKind::Unreachable(3), seq: half_open.iss };
    assert_eq!(tcb.handle_icmp(now, error), tcp::IcmpVerdict::OutOfWindow);
}
