//! ICMP errors (RFC 9293 §3.9.2.2, RFC 5927).

use crate::scene::{ISS, Scene, ms, plain, seg};
use tcp::{Closed, IcmpError, IcmpKind, IcmpVerdict, State};

fn error(kind: IcmpKind, seq: u32) -> IcmpError {
    IcmpError { kind, seq: ISS + seq }
}

/// A connection with 3,000 bytes outstanding.
fn outstanding() -> Scene {
    let mut scene = Scene::established();
    scene.puts(3000);
    assert_eq!(scene.takes_all().len(), 3);
    scene
}

#[test]
fn only_what_is_outstanding_is_believed() {
    let mut scene = outstanding();
    for seq in [0, 3001, 1 << 31] {
        let verdict =
            scene.tcb.handle_icmp(scene.now, error(IcmpKind::FragmentationNeeded(600), seq));
        assert_eq!(verdict, IcmpVerdict::OutOfWindow);
    }
    assert_eq!(scene.tcb.eff_snd_mss(), 1000);
    let (mut idle, _, _) = Scene::in_state(State::Established);
    let verdict = idle.tcb.handle_icmp(idle.now, error(IcmpKind::Unreachable(3), 1));
    assert_eq!(verdict, IcmpVerdict::OutOfWindow);
}

#[test]
fn no_error_ends_a_synchronised_connection() {
    for code in 0..16 {
        for kind in
            [IcmpKind::Unreachable(code), IcmpKind::TimeExceeded, IcmpKind::ParameterProblem]
        {
            let mut scene = outstanding();
            let verdict = scene.tcb.handle_icmp(scene.now, error(kind, 1));
            assert_eq!(verdict, IcmpVerdict::Soft);
            scene.is(State::Established);
            scene.is_silent();
        }
    }
}

#[test]
fn a_hard_error_ends_an_active_open_a_soft_one_does_not() {
    for (code, is_hard) in [(0, false), (1, false), (2, true), (3, true), (5, false)] {
        let mut scene = Scene::syn_sent(&plain());
        let verdict = scene.tcb.handle_icmp(scene.now, error(IcmpKind::Unreachable(code), 0));
        assert_eq!(verdict == IcmpVerdict::Closed, is_hard, "code {code}");
        assert_eq!(scene.tcb.closed(), is_hard.then_some(Closed::Refused));
    }
}

#[test]
fn source_quench_is_ignored() {
    let mut scene = outstanding();
    let cwnd = scene.tcb.cwnd_bytes();
    let verdict = scene.tcb.handle_icmp(scene.now, error(IcmpKind::SourceQuench, 1));
    assert_eq!((verdict, scene.tcb.cwnd_bytes()), (IcmpVerdict::Ignored, cwnd));
}

#[test]
fn the_path_mtu_has_a_floor() {
    for (mtu, verdict, mss) in [
        (0, IcmpVerdict::Ignored, 1000),
        (1, IcmpVerdict::Ignored, 1000),
        (67, IcmpVerdict::Ignored, 1000),
        (68, IcmpVerdict::PathMtu, 512),
        (551, IcmpVerdict::PathMtu, 512),
        (840, IcmpVerdict::PathMtu, 800),
        (1040, IcmpVerdict::Ignored, 1000),
        (1499, IcmpVerdict::Ignored, 1000),
    ] {
        let mut scene = outstanding();
        let kind = IcmpKind::FragmentationNeeded(mtu);
        assert_eq!(scene.tcb.handle_icmp(scene.now, error(kind, 1)), verdict, "MTU {mtu}");
        assert_eq!(scene.tcb.eff_snd_mss(), mss, "MTU {mtu}");
    }
}

#[test]
fn what_was_too_large_is_sent_again_at_once_in_smaller_pieces() {
    let mut scene = outstanding();
    let cwnd = scene.tcb.cwnd_bytes();
    let _ = scene.tcb.handle_icmp(scene.now, error(IcmpKind::FragmentationNeeded(840), 1));
    scene.puts(0);
    for seq in [1, 801, 1601] {
        scene.says_data("A", seq, 1, 800);
    }
    scene.says_data("PA", 2401, 1, 600);
    assert_eq!(scene.tcb.cwnd_bytes(), cwnd, "it is no sign of congestion");
    assert_eq!(scene.hears(&seg("A", 1, 3001)).acked, 3000);
    scene.is_silent();
}

#[test]
fn a_claim_against_experience_is_believed_only_after_a_loss() {
    let mut scene = outstanding();
    scene.hears(&seg("A", 1, 1001));
    let kind = IcmpKind::FragmentationNeeded(600);
    let verdict = scene.tcb.handle_icmp(scene.now, error(kind, 1001));
    assert_eq!(verdict, IcmpVerdict::PathMtuDoubted);
    // Progress refutes it ...
    scene.hears(&seg("A", 1, 2001));
    scene.passes(ms(200));
    assert_eq!(scene.tcb.eff_snd_mss(), 1000);
    scene.says_data("PA", 2001, 1, 1000);
    // ... and a time-out confirms it.
    let verdict = scene.tcb.handle_icmp(scene.now, error(kind, 2001));
    assert_eq!(verdict, IcmpVerdict::PathMtuDoubted);
    scene.passes(ms(400));
    assert_eq!(scene.tcb.eff_snd_mss(), 560);
    scene.says_data("A", 2001, 1, 560);
}
