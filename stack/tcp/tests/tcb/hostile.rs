//! Any segment at any time: nothing panics, nothing goes beyond its bounds.

use crate::scene::{IRS, ISS, MSS, Scene, Segment, ms, plain, sack, syn, timestamps};
use proptest::prelude::*;
use tcp::{Config, Flags, IcmpError, IcmpKind, Options};

#[derive(Clone, Debug)]
enum Event {
    Hears { bits: u8, seq: i32, ack: i32, wnd: u16, len: u16, blocks: Vec<(u32, u32)>, clock: u32 },
    Passes(u64),
    Puts(u32),
    Reads(u32),
    ShutsDown,
    Icmp(u32, u16),
}

fn event() -> impl Strategy<Value = Event> {
    let near = prop_oneof![-3000..3000_i32, -3..3_i32, any::<i32>()];
    let blocks = prop::collection::vec((0_u32..30_000, 0_u32..30_000), 0..4);
    let heard = (0_u8..64, near.clone(), near, any::<u16>(), 0_u16..3000, blocks, 0_u32..9)
        .prop_map(|(bits, seq, ack, wnd, len, blocks, clock)| {
            // Most have an ACK and neither SYN nor RST, or little would happen.
            let bits = if bits < 48 { 0x10 | (bits & 0x29) } else { bits };
            Event::Hears { bits, seq, ack, wnd, len, blocks, clock }
        });
    prop_oneof![
        8 => heard,
        2 => (0_u64..3000).prop_map(Event::Passes),
        2 => (0_u32..20_000).prop_map(Event::Puts),
        2 => (0_u32..20_000).prop_map(Event::Reads),
        1 => Just(Event::ShutsDown),
        1 => (0_u32..30_000, any::<u16>()).prop_map(|(seq, mtu)| Event::Icmp(seq, mtu)),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_every_bound_holds(
        events in prop::collection::vec(event(), 1..150),
        with_sack: bool,
        with_clock: bool,
        capacity in 1000_u32..70_000,
    ) {
        let config = Config {
            sack: with_sack,
            timestamps: with_clock,
            ..Config { receive_capacity_bytes: capacity, ..plain() }
        };
        let clock = if with_clock { timestamps(1, 0) } else { Options::default() };
        let options = Options { mss: Some(MSS), sack_permitted: true, ..clock };
        let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
        scene.reads = false;
        let mut shut_down = false;
        for event in events {
            match event {
                Event::Hears { bits, seq, ack, wnd, len, blocks, clock } => {
                    let clock = with_clock.then(|| timestamps(clock, clock).timestamps).flatten();
                    let rcv_nxt = scene.tcb.rcv().nxt;
                    let verdict = scene.hears(&Segment {
                        seq: rcv_nxt + seq.cast_unsigned(),
                        ack: scene.tcb.snd().una + ack.cast_unsigned(),
                        wnd,
                        up: wnd,
                        flags: Flags::from_bits(bits),
                        payload_len: len,
                        options: Options { timestamps: clock, ..sack(&blocks) },
                    });
                    let pieces = verdict.store.as_slice();
                    prop_assert!(pieces.iter().all(|piece| piece.from + piece.len <= len));
                    prop_assert!(pieces.iter().all(|p| p.offset + u32::from(p.len) <= capacity));
                    prop_assert!(verdict.deliver.from + verdict.deliver.len <= len);
                }
                Event::Passes(count) => scene.passes(ms(count)),
                Event::Puts(count) if !shut_down => scene.puts(count),
                Event::Puts(_) => {}
                Event::Reads(count) => {
                    let unread = scene.tcb.unread_bytes();
                    scene.reads_bytes(count.min(unread));
                }
                Event::ShutsDown => {
                    shut_down = true;
                    scene.shuts_down();
                }
                Event::Icmp(seq, mtu) => {
                    let kind = IcmpKind::FragmentationNeeded(mtu);
                    let error = IcmpError { kind, seq: ISS + seq };
                    let _ = scene.tcb.handle_icmp(scene.now, error);
                }
            }
            let (snd, rcv) = (scene.tcb.snd(), scene.tcb.rcv());
            prop_assert!(snd.una.le(snd.nxt));
            prop_assert!(rcv.wnd + scene.tcb.unread_bytes() <= capacity);
            prop_assert!(rcv.nxt.ge(IRS + 1));
            for said in scene.takes_all() {
                prop_assert!(usize::from(said.payload_len) + said.header_len() <= 1480);
            }
        }
    }
}
