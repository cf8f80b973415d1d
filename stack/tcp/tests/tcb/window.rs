//! RECEIVE: the window that we offer (RFC 9293 §3.8.6.2.2, RFC 7323 §2.4).

use crate::scene::{MSS, Scene, Segment, data, plain, seg, syn};
use proptest::prelude::*;
use tcp::{Config, Options};

#[test]
fn it_closes_as_bytes_stay_unread_and_opens_by_segments() {
    let config = Config { receive_capacity_bytes: 10_000, ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.reads = false;
    for number in 0..10 {
        scene.hears(&data(1 + number * 1000, 1, MSS));
    }
    let last = scene.takes_all().pop().expect("an acknowledgement");
    assert_eq!((last.wnd, last.ack), (0, crate::scene::IRS + 10_001));
    // Less than two segments are not worth telling.
    scene.reads_bytes(2000);
    scene.is_silent();
    scene.reads_bytes(1000);
    assert_eq!(scene.says("A", 1, 10_001).wnd, 3000);
    scene.reads_bytes(7000);
    assert_eq!(scene.says("A", 1, 10_001).wnd, 10_000);
}

#[test]
fn what_is_not_worth_telling_is_not_told_on_the_way_either() {
    let config = Config { receive_capacity_bytes: 10_000, ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.reads = false;
    for number in 0..10 {
        scene.hears(&data(1 + number * 1000, 1, MSS));
    }
    scene.takes_all();
    scene.reads_bytes(1000);
    scene.puts(1);
    assert_eq!(scene.says_data("PA", 1, 10_001, 1).wnd, 0);
}

#[test]
fn with_a_closed_window_acknowledgements_are_still_heard() {
    let config = Config { receive_capacity_bytes: 1000, ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.puts(10);
    scene.takes_all();
    scene.reads = false;
    scene.hears(&data(1, 1, MSS));
    scene.takes_all();
    assert_eq!(scene.hears(&seg("A", 1001, 11)).acked, 10);
    // A probe is answered, and not taken.
    let verdict = scene.hears(&data(1001, 11, 1));
    assert_eq!(verdict.deliver.len, 0);
    assert_eq!(scene.says("A", 11, 1001).wnd, 0);
}

#[test]
fn a_window_whose_input_is_read_at_once_stays_the_same() {
    let mut scene = Scene::established();
    for number in 0..40 {
        scene.hears(&data(1 + number * 100, 1, 100));
        scene.puts(1);
        let said = scene.takes_all().pop().expect("an answer");
        assert_eq!(said.wnd, 64_000);
        scene.hears(&crate::scene::seg("A", 101 + number * 100, 2 + number));
        scene.output.0 = 0;
    }
}

#[test]
fn a_buffer_that_is_larger_than_the_window_keeps_it_open() {
    let config = Config { receive_capacity_bytes: 70_000, ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.reads = false;
    scene.hears(&data(1, 1, 400));
    scene.hears(&data(401, 1, 400));
    scene.takes_all();
    // 4465 bytes more than a header can say.
    for number in 0..4 {
        scene.hears(&data(801 + number * 1000, 1, MSS));
    }
    let last = scene.takes_all().pop().expect("an acknowledgement");
    assert_eq!((last.ack, last.wnd), (crate::scene::IRS + 4801, 65_200));
}

#[test]
fn the_buffer_may_grow_as_far_as_the_scale_reaches() {
    let config = Config {
        receive_capacity_bytes: 10_000,
        receive_capacity_max_bytes: 1 << 20,
        window_scaling: true,
        ..plain()
    };
    assert_eq!(config.wscale(), 5);
    let options = Options { wscale: Some(0), ..syn().options };
    let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
    scene.tcb.receive_capacity(1 << 20);
    scene.hears(&data(1, 1, MSS));
    assert_eq!(scene.says("A", 1, 1001).wnd, 0x8000);
    // SHLD-14: what was promised stays promised.
    scene.reads = false;
    scene.tcb.receive_capacity(0);
    scene.hears(&data(1001, 1, MSS));
    scene.hears(&data(2001, 1, MSS));
    assert_eq!(u32::from(scene.says("A", 1, 3001).wnd) << 5, ((1 << 20) - 2000) & !31);
}

#[test]
fn it_offers_no_more_than_there_is_room_for_and_takes_nothing_back() {
    let config = Config { receive_capacity_bytes: 10_000, ..plain() };
    let mut scene = Scene::established_by(&config, &syn());
    scene.tcb.offer_at_most(4000);
    scene.hears(&data(1, 1, MSS));
    scene.hears(&data(1001, 1, MSS));
    assert_eq!(scene.says("A", 1, 2001).wnd, 8000, "what was offered stays offered");
    for number in 2..8 {
        scene.hears(&data(1 + number * 1000, 1, MSS));
    }
    let last = scene.takes_all().pop().expect("an acknowledgement");
    assert_eq!(last.wnd, 4000);
    scene.tcb.offer_at_most(u32::MAX);
    scene.hears(&data(8001, 1, MSS));
    assert_eq!(scene.says("A", 1, 9001).wnd, 10_000, "there is room again");
}

proptest! {
    /// SHLD-14: whatever arrives and is read, the right edge that the peer has seen never goes
    /// back by more than its scale, and what lies before it is always taken.
    #[test]
    fn the_right_edge_never_shrinks(
        capacity in 1000_u32..300_000,
        steps in prop::collection::vec((0_u16..3000, 0_u32..4000), 1..200),
    ) {
        let options = Options { wscale: Some(2), ..syn().options };
        let config =
            Config { receive_capacity_bytes: capacity, window_scaling: true, ..plain() };
        let mut scene = Scene::established_by(&config, &Segment { options, ..syn() });
        scene.reads = false;
        let shift = config.wscale();
        let mut edge = scene.tcb.rcv().nxt;
        for (len, read) in steps {
            let nxt = scene.tcb.rcv().nxt;
            let len = u16::try_from(u32::from(len).min(scene.tcb.rcv().wnd)).expect("it was one");
            scene.hears(&Segment { seq: nxt, ..data(0, 1, len) });
            prop_assert_eq!(scene.tcb.rcv().nxt, nxt + u32::from(len));
            scene.reads_bytes(read.min(scene.tcb.unread_bytes()));
            for said in scene.takes_all() {
                let offered = said.ack + (u32::from(said.wnd) << shift);
                prop_assert!((offered + ((1 << shift) - 1)).ge(edge));
                edge = offered.last(edge);
            }
            let rcv = scene.tcb.rcv();
            prop_assert!(rcv.wnd + scene.tcb.unread_bytes() <= capacity);
            prop_assert!((rcv.nxt + rcv.wnd).ge(edge));
        }
    }
}
