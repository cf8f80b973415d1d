//! Options and headers as bytes (RFC 9293 §3.1, RFC 7323 §3 to §5, RFC 2018 §3).

use crate::scene::{IRS, ISS, Scene, Segment, data, ms, secs, seg, timestamps};
use proptest::prelude::*;
use tcp::{
    Block, Cause, Dropped, Flags, HEADER_MAX, Malformed, Options, OptionsOut, SegmentOut, Seq,
    State, Timestamps,
};

fn check(bytes: &[u8], expected: Options<'_>) {
    assert_eq!(Options::parse(bytes), expected, "{bytes:02x?}");
}

#[test]
fn every_known_option_is_read_in_any_place() {
    check(&[2, 4, 5, 0xb4], Options { mss: Some(1460), ..Options::default() });
    check(&[1, 3, 3, 7], Options { wscale: Some(7), ..Options::default() });
    check(&[4, 2, 1, 1], Options { sack_permitted: true, ..Options::default() });
    let clock = Some(Timestamps { val: 0x0102_0304, ecr: 0x0506_0708 });
    let options = Options { timestamps: clock, ..Options::default() };
    check(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], options);
    // Not on a word: MUST-64.
    check(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1], options);
    check(&[1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0], options);
    let bytes = [1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
    let blocks: Vec<Block> = Options::parse(&bytes).sack_blocks().collect();
    let block = |start, end| Block { start: Seq(start), end: Seq(end) };
    assert_eq!(blocks, [block(1, 2), block(3, 4)]);
}

#[test]
fn what_is_unknown_is_skipped() {
    let mss = Options { mss: Some(536), ..Options::default() };
    for kind in (6..=253).filter(|kind| *kind != 8) {
        check(&[kind, 5, 0xaa, 0xbb, 0xcc, 2, 4, 2, 24, 1, 1, 1], mss);
    }
    // MD5 and authentication, which nobody has asked for.
    check(&[&[19, 18][..], &[7; 16], &[2, 4, 2, 24]].concat(), mss);
    check(&[&[29, 4, 1, 1][..], &[2, 4, 2, 24]].concat(), mss);
    check(&[1; 40], Options::default());
    check(&[0, 2, 4, 2, 24], Options::default());
}

#[test]
fn impossible_lengths_end_the_reading() {
    let mss = Options { mss: Some(536), ..Options::default() };
    for kind in 2..=255 {
        for len in [0, 1, 37, 255] {
            check(&[2, 4, 2, 24, kind, len, 3, 3, 7, 1, 1, 1], mss);
        }
        // Cut off before its length.
        check(&[2, 4, 2, 24, 1, 1, 1, kind], mss);
    }
}

#[test]
fn known_kinds_with_lengths_not_their_own_are_ignored() {
    for bytes in [
        &[2, 3, 9, 1][..],
        &[2, 2, 1, 1],
        &[3, 2, 1, 1],
        &[3, 4, 9, 9],
        &[4, 3, 9, 1],
        &[8, 2, 1, 1],
        &[5, 2, 1, 1],
        &[5, 9, 1, 2, 3, 4, 5, 6, 7, 1, 1, 1],
    ] {
        check(bytes, Options::default());
    }
}

#[test]
fn a_scale_above_14_is_14() {
    for shift in [14, 15, 255] {
        check(&[3, 3, shift, 1], Options { wscale: Some(14), ..Options::default() });
    }
}

#[test]
fn headers_that_are_cut_off_or_too_short_are_refused() {
    let mut bytes = [0; 64];
    for offset in 0..=15_u8 {
        for len in 0..bytes.len() {
            bytes[12] = offset << 4;
            let header = usize::from(offset) * 4;
            let is_good = header >= 20 && header <= len;
            assert_eq!(Segment::parse(&bytes[..len]).is_ok(), is_good, "{offset} {len}");
        }
    }
    assert!(!format!("{Malformed}").is_empty());
}

#[test]
fn reserved_bits_and_those_of_ecn_change_nothing() {
    let mut bytes = [0; 20];
    bytes[12] = 0x5f;
    bytes[13] = 0xd0;
    assert_eq!(Segment::parse(&bytes).expect("a segment").flags, Flags::ACK);
}

/// What others would find behind an end of options, or where one should begin: MUST-69 wants
/// zeros there, and nothing else.
fn after_the_end(mut options: &[u8]) -> Option<u8> {
    while let [kind, rest @ ..] = options {
        options = match kind {
            0 => return rest.iter().copied().find(|byte| *byte != 0),
            1 => rest,
            2 | 3 | 4 | 5 | 8 => options.get(usize::from(rest[0])..)?,
            _ => return Some(*kind),
        };
    }
    None
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(segment) = Segment::parse(&bytes) {
            prop_assert!(segment.options.sack_blocks().count() <= 4);
            prop_assert!(segment.options.wscale.is_none_or(|shift| shift <= 14));
        }
    }

    #[test]
    fn what_is_written_is_read(
        seq: u32,
        ack: u32,
        wnd: u16,
        bits in 0_u8..64,
        mss: Option<u16>,
        wscale in prop::option::of(0_u8..15),
        sack_permitted: bool,
        clock: Option<(u32, u32)>,
        payload_len in 0_u16..100,
    ) {
        let timestamps = clock.map(|(val, ecr)| Timestamps { val, ecr });
        let out = SegmentOut {
            seq: Seq(seq),
            ack: Seq(ack),
            flags: Flags::from_bits(bits),
            wnd,
            options: OptionsOut {
                mss, wscale, sack_permitted, timestamps, ..OptionsOut::default()
            },
            payload_offset: 0,
            payload_len,
            cause: Cause::Regular,
        };
        let mut bytes = [0xee; HEADER_MAX + 100];
        let header = out.emit(80, 4096, &mut bytes);
        prop_assert_eq!(header, out.header_len());
        prop_assert_eq!(header % 4, 0);
        prop_assert_eq!(after_the_end(&bytes[20..header]), None, "MUST-69");
        let read = Segment::parse(&bytes[..header + usize::from(payload_len)]).expect("a segment");
        let options = Options { mss, wscale, sack_permitted, timestamps, ..Options::default() };
        let segment = Segment {
            seq: out.seq, ack: out.ack, wnd, up: 0, flags: out.flags, payload_len, options,
        };
        prop_assert_eq!(read, segment);
    }
}

/// Everything that we write: the longest of each kind fits a header, and is what others read.
#[test]
fn a_syn_is_written_as_others_write_it() {
    let options = OptionsOut {
        mss: Some(1460),
        wscale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { val: 1, ecr: 2 }),
        ..OptionsOut::default()
    };
    let out = SegmentOut { flags: Flags::SYN, options, ..SegmentOut::default() };
    let mut bytes = [0; HEADER_MAX];
    assert_eq!(out.emit(1, 2, &mut bytes), 40);
    let expected = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
    assert_eq!(bytes[20..40], expected);
}

#[test]
fn sack_blocks_fit_beside_timestamps() {
    let config = tcp::Config { timestamps: true, sack: true, ..crate::scene::plain() };
    let options = Options { sack_permitted: true, ..timestamps(1, 0) };
    let syn = Segment { options, ..crate::scene::syn() };
    let mut scene = Scene::established_by(&config, &syn);
    let mut longest = 0;
    for number in 1..=5 {
        scene.hears(&Segment { options: timestamps(2, 0), ..data(number * 100, 1, 10) });
        let said = scene.says("A", 1, 1);
        let mut bytes = [0; HEADER_MAX];
        let header = said.emit(1, 2, &mut bytes);
        let read = Segment::parse(&bytes[..header]).expect("a segment");
        let blocks: Vec<Block> = read.options.sack_blocks().collect();
        assert_eq!(blocks, said.options.sack.as_slice());
        longest = longest.max(header);
    }
    assert_eq!(longest, HEADER_MAX);
}

#[test]
fn options_only_a_syn_has_are_never_elsewhere() {
    let mut scene = Scene::with_timestamps(1);
    scene.puts(5000);
    scene.shuts_down();
    scene.passes(secs(5));
    scene.hears(&Segment { options: timestamps(2, 0), ..data(101, 1, 10) });
    let said = scene.takes_all();
    assert!(said.len() > 6);
    for segment in said {
        let OptionsOut { mss, wscale, sack_permitted, .. } = segment.options;
        assert_eq!((mss, wscale, sack_permitted), (None, None, false));
        assert!(segment.options.timestamps.is_some());
    }
}

#[test]
fn options_are_taken_on_any_segment_and_the_syns_count_only_there() {
    let mut scene = Scene::established();
    let options =
        Options { mss: Some(100), wscale: Some(9), sack_permitted: true, ..timestamps(1, 2) };
    assert_eq!(scene.hears(&Segment { options, ..data(1, 1, 50) }).deliver.len, 50);
    assert_eq!(scene.tcb.eff_snd_mss(), 1000);
    assert_eq!(scene.tcb.snd().wnd, 60_000);
    assert!(scene.hears(&Segment { options, ..seg("FA", 51, 1) }).eof);
}

#[test]
fn an_older_timestamp_is_dropped_and_answered() {
    let mut scene = Scene::with_timestamps(500);
    scene.hears(&Segment { options: timestamps(600, 0), ..data(1, 1, 10) });
    let old = Segment { options: timestamps(599, 0), ..data(11, 1, 10) };
    let verdict = scene.hears(&old);
    assert_eq!((verdict.dropped, verdict.deliver.len), (Some(Dropped::Paws), 0));
    let said = scene.says("A", 1, 11);
    assert_eq!(said.options.timestamps.map(|clock| clock.ecr), Some(600));
    // After 24 days it says nothing any more.
    scene.passes(secs(24 * 24 * 3600));
    scene.takes_all();
    assert_eq!(scene.hears(&old).deliver.len, 10);
}

#[test]
fn the_timestamp_clock_wraps() {
    let mut scene = Scene::with_timestamps(u32::MAX - 1);
    scene.hears(&Segment { options: timestamps(3, 0), ..data(1, 1, 10) });
    let verdict = scene.hears(&Segment { options: timestamps(u32::MAX, 0), ..data(11, 1, 10) });
    assert_eq!(verdict.dropped, Some(Dropped::Paws));
}

#[test]
fn without_a_timestamp_only_a_reset_counts() {
    let mut scene = Scene::with_timestamps(500);
    assert_eq!(scene.hears(&data(1, 1, 10)).dropped, Some(Dropped::NoTimestamp));
    scene.is_silent();
    // A reset with an old one counts too.
    scene.hears(&Segment { options: timestamps(1, 0), ..seg("R", 1, 0) });
    scene.is(State::Closed);
}

/// RFC 7323 §4.3: the echo is of the first segment that is not acknowledged yet.
#[test]
fn a_forged_segment_leaves_no_timestamp_behind() {
    let far = 1_000_000_000;
    // In place, and behind: each with an acknowledgement of what was never sent, or none at all.
    for (letters, seq, ack) in
        [("A", 101, 5000), ("FA", 101, 5000), ("", 101, 0), ("A", 1, 5000), ("", 1, 0)]
    {
        let mut scene = Scene::with_timestamps(500);
        scene.hears(&Segment { options: timestamps(510, 0), ..data(1, 1, 100) });
        let forged = Segment { payload_len: 50, ..seg(letters, seq, ack) };
        scene.hears(&Segment { options: timestamps(far, 0), ..forged });
        let verdict = scene.hears(&Segment { options: timestamps(520, 0), ..data(101, 1, 100) });
        assert_eq!(verdict.deliver.len, 100, "{letters} {seq} {ack}");
    }
}

#[test]
fn the_echo_is_of_the_earliest_unacknowledged_segment() {
    let ecr = |said: SegmentOut| said.options.timestamps.expect("timestamps").ecr;
    let mut scene = Scene::with_timestamps(500);
    scene.hears(&Segment { options: timestamps(510, 0), ..data(1, 1, 100) });
    scene.hears(&Segment { options: timestamps(520, 0), ..data(101, 1, 900) });
    assert_eq!(ecr(scene.says("A", 1, 1001)), 510);
    // A hole: the echo is of the segment that last advanced the window.
    scene.hears(&Segment { options: timestamps(530, 0), ..data(2001, 1, 100) });
    assert_eq!(ecr(scene.says("A", 1, 1001)), 510);
    scene.hears(&Segment { options: timestamps(540, 0), ..data(1001, 1, 1000) });
    assert_eq!(ecr(scene.says("A", 1, 2101)), 540);
}

#[test]
fn our_clock_counts_milliseconds_from_its_offset() {
    let mut scene = Scene::with_timestamps(500);
    let val = |said: SegmentOut| said.options.timestamps.expect("timestamps").val;
    scene.puts(1);
    let first = val(scene.says_data("PA", 1, 1, 1));
    scene.passes(ms(7));
    scene.hears(&Segment { options: timestamps(501, first), ..seg("A", 1, 2) });
    scene.puts(1);
    assert_eq!(val(scene.says_data("PA", 2, 1, 1)).wrapping_sub(first), 7);
    assert_eq!((scene.tcb.snd().iss, scene.tcb.rcv().irs), (ISS, IRS));
}
