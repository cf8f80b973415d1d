//! The short way and the long way, side by side: the same state, the same segments.

use super::PlainOut;
use crate::config::{Config, KeepAlive};
use crate::congestion::Algorithm;
use crate::options::{Options, OptionsOut, Timestamps};
use crate::segment::{Cause, Flags, Segment, SegmentOut};
use crate::seq::Seq;
use crate::tcb::{SendBuffer, State, Tcb};
use crate::time::Instant;
use crate::verdict::{Span, Verdict};
use core::time::Duration;

const SEEDS: u64 = 4000;
const STEPS: usize = 60;
/// Impatient, so that probes fall into the time of a test.
const KEEP_ALIVE: KeepAlive = KeepAlive {
    idle: Duration::from_millis(100),
    interval: Duration::from_millis(100),
    probes: 200,
};
const ISS: Seq = Seq(u32::MAX - 3000);
const IRS: Seq = Seq(u32::MAX - 9000);

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> 32).expect("32 bits") % bound
    }

    /// True once in `count` times.
    fn once_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }
}

struct Output(u32);

impl SendBuffer for Output {
    fn backlog(&self) -> u32 {
        self.0
    }
}

/// How often the short way was open.
#[derive(Default)]
struct Census {
    heard: usize,
    acked: usize,
    said: usize,
    others: usize,
}

struct Pair {
    random: Random,
    now: Instant,
    /// The connection, which takes the short way where it is open.
    tcb: Tcb,
    put: u32,
    /// What its peer has sent, and up to where it has acknowledged.
    peer_nxt: Seq,
    peer_una: Seq,
    peer_wnd: u16,
    clock: Option<u32>,
    census: Census,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let capacity = [3000, 16_000, 65_535, 300_000][random.below(4) as usize];
        let clock = (!random.once_in(3)).then(|| random.below(u32::MAX));
        let config = Config {
            timestamps: clock.is_some(),
            sack: !random.once_in(3),
            nagle: random.once_in(4),
            ack_every_second: random.once_in(4),
            keep_alive: random.once_in(4).then_some(KEEP_ALIVE),
            window_scaling: !random.once_in(4),
            congestion: [Algorithm::Cubic, Algorithm::NewReno][random.below(2) as usize],
            ..Config::new(capacity, [576, 1500][random.below(2) as usize])
        };
        let options = Options {
            mss: Some([400, 1460][random.below(2) as usize]),
            wscale: Some([0, 3, 7][random.below(3) as usize]),
            sack_permitted: true,
            timestamps: clock.map(|val| Timestamps { val, ecr: 0 }),
            ..Options::default()
        };
        let now = Instant::ZERO + Duration::from_secs(1000);
        let peer_wnd = [2000, 20_000, 60_000][random.below(3) as usize];
        let (flags, wnd) = (Flags::SYN, peer_wnd);
        let syn = Segment { seq: IRS, wnd, flags, options, ..Segment::default() };
        let mut tcb = Tcb::accept(now, &config, ISS, 77, &syn);
        tcb.poll_transmit(now, &Output(0)).expect("the SYN-ACK");
        let (peer_nxt, peer_una) = (IRS + 1, ISS + 1);
        let (put, census) = (0, Census::default());
        let mut pair = Self { random, now, tcb, put, peer_nxt, peer_una, peer_wnd, clock, census };
        let ack = pair.segment(0);
        assert!(pair.tcb.handle_segment(now, &ack).opened);
        pair
    }

    /// The next segment of a peer that behaves.
    fn segment(&self, payload_len: u16) -> Segment<'static> {
        let timestamps =
            self.clock.map(|val| Timestamps { val, ecr: self.tcb.clock.now(self.now) });
        Segment {
            seq: self.peer_nxt,
            ack: self.peer_una,
            wnd: self.peer_wnd,
            flags: Flags::ACK,
            payload_len,
            options: Options { timestamps, ..Options::default() },
            ..Segment::default()
        }
    }

    /// A segment that is expected most of the time, and else differs in one thing.
    fn next_segment(&mut self) -> Segment<'static> {
        let len = [0, 52, 52, 400, 1460][self.random.below(5) as usize];
        if !self.random.once_in(4) {
            let flight = self.tcb.snd.nxt.since(self.peer_una);
            self.peer_una +=
                if self.random.once_in(3) { self.random.below(flight + 1) } else { flight };
        }
        if self.random.once_in(8) {
            self.peer_wnd = u16::try_from(self.random.below(65_536)).expect("16 bits");
        }
        let mut segment = self.segment(len);
        segment.flags = segment.flags.with(Flags::PSH.only_if(self.random.once_in(2)));
        match self.random.below(40) {
            0 => segment.seq += 1 + self.random.below(2000),
            1 => segment.seq = segment.seq - self.random.below(2000),
            2 => segment.ack += self.random.below(3),
            3 => segment.ack = segment.ack - self.random.below(3000),
            4 => segment.flags = segment.flags.with(Flags::URG),
            5 => segment.flags = segment.flags.without(Flags::ACK),
            6 => segment.options.timestamps = None,
            7 => {
                let old = segment.options.timestamps.map(|clock| clock.val.wrapping_sub(5));
                segment.options.timestamps = old.map(|val| Timestamps { val, ecr: 1 });
            }
            8 => segment.wnd = 0,
            9 if self.random.once_in(4) => segment.flags = segment.flags.with(Flags::FIN),
            _ => self.peer_nxt += u32::from(len),
        }
        segment
    }

    fn hears(&mut self) {
        let segment = self.next_segment();
        let mut long = self.tcb.clone();
        let before = self.tcb.clone();
        let expected = long.unpredicted_arrives(self.now, &segment);
        let verdict = match self.tcb.handle_predicted(self.now, &segment) {
            Some(acked) => {
                self.census.heard += 1;
                self.census.acked += usize::from(acked > 0);
                let deliver = Span { from: 0, len: segment.payload_len };
                Verdict { acked, deliver, ..Verdict::default() }
            }
            None => {
                assert_eq!(self.tcb, before, "nothing has changed");
                self.census.others += 1;
                self.tcb.handle_segment(self.now, &segment)
            }
        };
        assert_eq!(verdict, expected, "{segment:?} to {before:?}");
        assert_eq!(self.tcb, long, "{segment:?} to {before:?}");
        self.put -= verdict.acked;
    }

    fn says(&mut self) {
        loop {
            let mut long = self.tcb.clone();
            let before = self.tcb.clone();
            let expected = long.poll_transmit(self.now, &Output(self.put));
            if let Some(plain) = self.tcb.poll_predicted(self.now, self.put) {
                self.census.said += 1;
                assert_eq!(Some(in_full(&plain)), expected, "{before:?}");
                assert_eq!(emitted(&plain), emitted_in_full(&in_full(&plain)));
                assert_eq!(self.tcb, long, "{before:?}");
                assert_eq!(long.poll_transmit(self.now, &Output(self.put)), None, "no more");
                assert_eq!(self.tcb, long, "and asking has changed nothing");
                break;
            }
            assert_eq!(self.tcb, before, "nothing has changed");
            self.tcb = long;
            if expected.is_none() {
                break;
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..6 => self.hears(),
            6..10 => {
                let most = [133, 133, 3000, 20_000][self.random.below(4) as usize];
                let mut count = 1 + self.random.below(most);
                if self.random.once_in(4) {
                    // About as much as leaves one segment's room in the congestion window.
                    let outstanding = self.put.max(self.tcb.snd.flight());
                    let window = self.tcb.congestion.cwnd.saturating_sub(outstanding);
                    count = (window + self.random.below(3)).saturating_sub(self.tcb.smss() + 1);
                }
                if self.tcb.state() == State::Established {
                    self.put += count;
                }
                self.says();
            }
            10..12 => {
                let unread = self.tcb.unread_bytes();
                let some =
                    if self.random.once_in(4) { self.random.below(unread + 1) } else { unread };
                self.tcb.consume(some);
                self.says();
            }
            12 => self.tcb.offer_at_most([1000, u32::MAX][self.random.below(2) as usize]),
            13 if self.random.once_in(20) => self.tcb.shutdown(),
            _ => {
                let most_us = [50, 3000, 300_000][self.random.below(3) as usize];
                self.now += Duration::from_micros(self.random.below(most_us).into());
                self.clock = self.clock.map(|clock| clock.wrapping_add(self.random.below(3)));
                if self.tcb.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.tcb.handle_timeout(self.now);
                }
                self.says();
            }
        }
    }
}

fn in_full(plain: &PlainOut) -> SegmentOut {
    SegmentOut {
        seq: plain.seq,
        ack: plain.ack,
        flags: PlainOut::FLAGS,
        wnd: plain.wnd,
        options: OptionsOut { timestamps: plain.timestamps, ..OptionsOut::default() },
        payload_offset: plain.payload_offset,
        payload_len: plain.payload_len,
        cause: Cause::Regular,
    }
}

fn emitted(plain: &PlainOut) -> Vec<u8> {
    let mut bytes = vec![0xaa; 60];
    let sum = plain.emit(8080, 40_000, &mut bytes);
    bytes.truncate(plain.header_len());
    let words = bytes.as_chunks().0.iter().map(|word| u64::from(u32::from_be_bytes(*word)));
    assert_eq!(sum, words.sum(), "the sum is that of the words written");
    bytes
}

fn emitted_in_full(segment: &SegmentOut) -> Vec<u8> {
    let mut bytes = vec![0xaa; 60];
    let len = segment.emit(8080, 40_000, &mut bytes);
    bytes.truncate(len);
    bytes
}

#[test]
fn the_short_way_leads_where_the_long_way_does() {
    let mut all = Census::default();
    for seed in 0..SEEDS {
        let mut pair = Pair::new(seed);
        for _ in 0..STEPS {
            pair.step();
        }
        all.heard += pair.census.heard;
        all.acked += pair.census.acked;
        all.said += pair.census.said;
        all.others += pair.census.others;
    }
    // Both ways are walked often enough to say something.
    let Census { heard, acked, said, others } = all;
    let walked = (heard > 20_000, acked > 5000, said > 5000, others > 5000);
    assert_eq!(walked, (true, true, true, true), "{heard} {acked} {said} {others}");
}
