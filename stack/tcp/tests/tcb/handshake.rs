//! Opening a connection, and what both sides agree upon (RFC 9293 §3.5, §3.7.1; RFC 7323 §2).

use crate::scene::{IRS, ISS, MSS, Scene, Segment, flags, plain, seg, syn, timestamps};
use tcp::{Config, Instant, Options, Seq, State, Tcb, Timestamps};

/// All options that a SYN may have.
fn full() -> Options<'static> {
    Options { mss: Some(MSS), wscale: Some(3), sack_permitted: true, ..timestamps(77, 0) }
}

fn config() -> Config {
    Config::new(256 * 1024, 1500)
}

#[test]
fn a_syn_offers_everything() {
    let mut tcb = Tcb::connect(Instant::ZERO, &config(), ISS, 5);
    let output = crate::scene::Output(0);
    let said = tcb.poll_transmit(Instant::from_nanos(3_000_000), &output).expect("a SYN");
    assert_eq!(said.flags, flags("S"));
    assert_eq!((said.seq, said.ack, said.wnd), (ISS, Seq(0), u16::MAX));
    assert_eq!((said.options.mss, said.options.wscale), (Some(1460), Some(3)));
    assert!(said.options.sack_permitted);
    assert_eq!(said.options.timestamps, Some(Timestamps { val: 8, ecr: 0 }));
}

#[test]
fn a_syn_ack_repeats_only_what_was_offered() {
    let config = config();
    let answer = |options| {
        let mut tcb = Tcb::accept(Instant::ZERO, &config, ISS, 0, &Segment { options, ..syn() });
        tcb.poll_transmit(Instant::ZERO, &crate::scene::Output(0)).expect("a SYN-ACK").options
    };
    let all = answer(full());
    assert_eq!((all.mss, all.wscale, all.sack_permitted), (Some(1460), Some(3), true));
    assert_eq!(all.timestamps, Some(Timestamps { val: 0, ecr: 77 }));
    let none = answer(Options::default());
    assert_eq!((none.mss, none.wscale, none.sack_permitted), (Some(1460), None, false));
    assert_eq!(none.timestamps, None);
    let config = Config { mtu: 1280, ..config };
    let half_open = tcp::HalfOpen::new(Instant::ZERO, &config, ISS, 0, &syn());
    assert_eq!(half_open.syn_ack(Instant::ZERO, &config).options.mss, Some(1240));
}

#[test]
fn options_that_are_switched_off_are_not_used() {
    let config = Config {
        timestamps: false,
        window_scaling: false,
        sack: false,
        ..Config::new(64_000, 1500)
    };
    let half_open =
        tcp::HalfOpen::new(Instant::ZERO, &config, ISS, 0, &Segment { options: full(), ..syn() });
    let options = half_open.syn_ack(Instant::ZERO, &config).options;
    assert_eq!((options.wscale, options.sack_permitted, options.timestamps), (None, false, None));
}

#[test]
fn the_mss_is_the_smaller_of_the_peers_and_the_paths() {
    for (announced, timestamps_on, mss) in [
        (None, false, 536),
        (None, true, 524),
        (Some(1000), false, 1000),
        (Some(1000), true, 988),
        (Some(9000), false, 1460),
        (Some(u16::MAX), true, 1448),
        // CVE-2019-11479: far below anything sensible.
        (Some(0), false, 64),
        (Some(1), false, 64),
        (Some(8), true, 52),
        (Some(47), false, 64),
    ] {
        let clock = timestamps_on.then_some(Timestamps { val: 9, ecr: 0 });
        let options = Options { mss: announced, timestamps: clock, ..Options::default() };
        let config = Config { timestamps: true, ..plain() };
        let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
        assert_eq!(scene.tcb.eff_snd_mss(), mss);
        scene.puts(100_000);
        assert_eq!(scene.takes_all()[0].payload_len, mss);
        // The same of an active open.
        let mut scene = Scene::syn_sent(&config);
        scene.hears(&Segment { flags: flags("SA"), ack: ISS + 1, options, ..syn() });
        assert_eq!(scene.tcb.eff_snd_mss(), mss);
    }
}

#[test]
fn options_take_room_from_the_payload() {
    let options = Options { sack_permitted: true, mss: Some(MSS), ..timestamps(5, 0) };
    let config = Config { timestamps: true, sack: true, ..plain() };
    let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
    let held = Segment { payload_len: 10, ..seg("A", 101, 1) };
    scene.hears(&Segment { options: timestamps(6, 0), ..held });
    scene.takes_all();
    scene.puts(5000);
    let said = scene.takes_all();
    assert!(said.iter().take(5).all(|segment| {
        usize::from(segment.payload_len) + segment.header_len() == 20 + usize::from(MSS)
    }));
}

#[test]
fn windows_are_scaled_if_both_say_so_and_never_in_a_syn() {
    let options = Options { wscale: Some(3), mss: Some(MSS), ..Options::default() };
    let config =
        Config { window_scaling: true, ..Config { receive_capacity_bytes: 256 * 1024, ..plain() } };
    let mut scene = Scene::syn_received_by(&config, &Segment { options, wnd: 1000, ..syn() });
    assert_eq!(scene.tcb.snd().wnd, 1000);
    assert_eq!(scene.tcb.rcv().wnd, 65_535);
    scene.hears(&Segment { wnd: 1000, ..seg("A", 1, 1) });
    assert_eq!(scene.tcb.snd().wnd, 8000);
    // 262,144 bytes do not fit 16 bits: shifted by 3 they are 32,768.
    scene.puts(10);
    assert_eq!(scene.says_data("PA", 1, 1, 10).wnd, 32_768);
    assert_eq!(scene.tcb.rcv().wnd, 256 * 1024);

    let mut scene = Scene::syn_sent(&config);
    scene.hears(&Segment { flags: flags("SA"), ack: ISS + 1, wnd: 1000, options, ..syn() });
    assert_eq!(scene.tcb.snd().wnd, 1000);
    assert_eq!(scene.says("A", 1, 1).wnd, 32_768);
    scene.hears(&Segment { wnd: 1000, ..seg("A", 1, 1) });
    assert_eq!(scene.tcb.snd().wnd, 8000);
}

#[test]
fn without_the_peers_option_nothing_is_scaled() {
    let config =
        Config { window_scaling: true, ..Config { receive_capacity_bytes: 256 * 1024, ..plain() } };
    let mut scene = Scene::established_by(&config, &syn());
    assert_eq!(scene.tcb.snd().wnd, 60_000);
    scene.puts(10);
    assert_eq!(scene.says_data("PA", 1, 1, 10).wnd, 65_535);
    let mut scene = Scene::syn_sent(&config);
    scene.hears(&Segment { flags: flags("SA"), ack: ISS + 1, ..syn() });
    assert_eq!(scene.says("A", 1, 1).wnd, 65_535);
}

#[test]
fn an_open_passive_or_active_of_every_kind_of_number() {
    for iss in [0, 1, u32::MAX, 1 << 31] {
        let now = Instant::ZERO;
        let mut tcb = Tcb::accept(now, &plain(), Seq(iss), 0, &syn());
        let said = tcb.poll_transmit(now, &crate::scene::Output(0)).expect("a SYN-ACK");
        assert_eq!((said.seq, said.ack), (Seq(iss), IRS + 1));
        let ack = Segment { seq: IRS + 1, ack: Seq(iss) + 1, ..seg("A", 0, 0) };
        assert!(tcb.handle_segment(now, &ack).opened);
        assert_eq!(tcb.state(), State::Established);
    }
}

/// A hundred thousand connections are kept at once.
#[test]
fn a_connection_is_small() {
    assert!(size_of::<Tcb>() <= 488, "{} bytes", size_of::<Tcb>());
    assert!(size_of::<tcp::TimeWait>() <= 24, "{} bytes", size_of::<tcp::TimeWait>());
}
