//! Two connections over a channel that loses, reorders and duplicates, from a seed, with what must
//! hold checked at every step.
//!
//! `TCP_SEEDS=10000 cargo test -p tcp two_ends` runs more seeds, `TCP_SEED=17` one of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;
use tcp::{
    Algorithm, Closed, Config, Flags, HEADER_MAX, Instant, Segment, SegmentOut, SendBuffer, Seq,
    State, Tcb,
};

const SEEDS: u64 = 200;
const STEPS_MAX: usize = 400_000;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn below_u32(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("below a u32")
    }
}

struct Output(u32);

impl SendBuffer for Output {
    fn backlog(&self) -> u32 {
        self.0
    }
}

/// The byte at `position` of the stream that end `who` sends.
fn byte(who: usize, position: u64) -> u8 {
    let mixed = (position + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (40 + who);
    u8::try_from(mixed & 0xff).expect("a byte")
}

/// One end: a connection, the bytes it sends, the bytes it has received.
struct End {
    who: usize,
    tcb: Option<Tcb>,
    config: Config,
    iss: Seq,
    /// What the application will have put in all, and has put, and what of it is acknowledged.
    total: u64,
    put: u64,
    acked: u64,
    /// What was received in order, and what lies behind holes.
    received: u64,
    held: BTreeMap<u64, u8>,
    /// The furthest right edge that the peer has announced, once it has.
    edge: Option<Seq>,
    peer_scale: u8,
    shut_down: bool,
    saw_eof: bool,
    closes_first: bool,
}

impl End {
    fn output(&self) -> Output {
        Output(u32::try_from(self.put - self.acked).expect("a small stream"))
    }

    fn why(&self) -> Option<Closed> {
        self.tcb.as_ref()?.closed()
    }

    fn is_over(&self) -> bool {
        self.tcb.as_ref().is_some_and(|tcb| tcb.state() == State::Closed)
    }

    /// A segment arrives as bytes; what is answered at once is returned.
    fn hears(&mut self, now: Instant, bytes: &[u8]) -> Option<SegmentOut> {
        let segment = Segment::parse(bytes).expect("a segment");
        let payload = &bytes[bytes.len() - usize::from(segment.payload_len)..];
        let Some(tcb) = &mut self.tcb else {
            if tcp::listen(&segment) == tcp::Listen::Open {
                self.tcb = Some(Tcb::accept(now, &self.config, self.iss, 3, &segment));
                self.note_edge(&segment);
            }
            return None;
        };
        let verdict = tcb.handle_segment(now, &segment);
        self.note_edge(&segment);
        self.acked += u64::from(verdict.acked);
        assert!(self.acked <= self.put, "more is acknowledged than was put");
        let base = self.received;
        let span = usize::from(verdict.deliver.from)..;
        for given in &payload[span][..usize::from(verdict.deliver.len)] {
            assert_eq!(*given, byte(1 - self.who, self.received), "delivered bytes are a prefix");
            self.received += 1;
        }
        for piece in verdict.store.as_slice() {
            for offset in 0..piece.len {
                let position = base + u64::from(piece.offset) + u64::from(offset);
                let before = self.held.insert(position, payload[usize::from(piece.from + offset)]);
                assert_eq!(before, None, "nothing is stored twice");
            }
        }
        for _ in 0..verdict.released {
            let given = self.held.remove(&self.received);
            assert_eq!(given, Some(byte(1 - self.who, self.received)), "released bytes are held");
            self.received += 1;
        }
        assert!(!(verdict.eof && self.saw_eof), "one end of the stream");
        self.saw_eof |= verdict.eof;
        if verdict.eof {
            assert!(self.held.is_empty());
        }
        verdict.answer
    }

    fn note_edge(&mut self, segment: &Segment<'_>) {
        if segment.flags.contains(Flags::SYN) {
            let both = segment.options.wscale.filter(|_| self.config.window_scaling);
            self.peer_scale = both.unwrap_or(0);
        }
        let scale = if segment.flags.contains(Flags::SYN) { 0 } else { self.peer_scale };
        if segment.flags.contains(Flags::ACK) {
            let edge = segment.ack + (u32::from(segment.wnd) << scale);
            self.edge = Some(self.edge.map_or(edge, |before| before.last(edge)));
        }
    }

    /// A segment as bytes, after a look at whether it may be sent.
    fn emit(&self, segment: &SegmentOut) -> Vec<u8> {
        let len = u32::from(segment.payload_len);
        assert!(segment.payload_offset + len <= self.output().0, "payload beyond the buffer");
        if len > 0 {
            // One byte more may probe a closed window.
            let edge = self.edge.expect("a window") + 1;
            assert!((segment.seq + len).le(edge), "the receive window is respected");
            assert!(usize::from(segment.payload_len) + segment.header_len() + 20 <= 1500);
        }
        let mut bytes = vec![0; HEADER_MAX];
        let header = segment.emit(1, 2, &mut bytes);
        bytes.truncate(header);
        let start = self.acked + u64::from(segment.payload_offset);
        bytes.extend((start..start + u64::from(len)).map(|position| byte(self.who, position)));
        bytes
    }

    /// The application reads some, puts some, and closes when it has put everything.
    fn acts(&mut self, now: Instant, random: &mut Random) {
        let Some(tcb) = &mut self.tcb else { return };
        if tcb.state() == State::SynSent {
            return;
        }
        if random.percent(60) {
            let unread = tcb.unread_bytes();
            let count = if random.percent(70) { unread } else { random.below_u32(unread + 1) };
            tcb.consume(count);
        }
        if random.percent(60) {
            let room = self.total - self.put;
            self.put += random.below(room.min(20_000) + 1);
            if random.percent(30) {
                self.put = self.total;
            }
        }
        let may_close = self.closes_first || self.saw_eof;
        if self.put == self.total && may_close && !self.shut_down && random.percent(50) {
            // Half the time both directions at once, if nothing more will come.
            if self.saw_eof && tcb.unread_bytes() == 0 {
                tcb.close(now);
            } else {
                tcb.shutdown();
            }
            self.shut_down = true;
        }
    }
}

/// When it arrives, its number, at which end, its bytes.
type Flying = (Instant, u64, usize, Vec<u8>);

/// The channel: what is on its way, by arrival.
struct World {
    random: Random,
    now: Instant,
    ends: [End; 2],
    flying: BinaryHeap<Reverse<Flying>>,
    count: u64,
    loss_percent: u64,
    duplicate_percent: u64,
    delay: Duration,
    jitter: Duration,
    acts_at: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let simultaneous = random.percent(10);
        let mut end = |who: usize| {
            let config = config(&mut random);
            let iss = Seq(random.below_u32(u32::MAX));
            let active = who == 0 || simultaneous;
            End {
                who,
                tcb: active.then(|| Tcb::connect(Instant::ZERO, &config, iss, 7)),
                config,
                iss,
                total: random.below(120_000) * u64::from(!random.percent(15)),
                put: 0,
                acked: 0,
                received: 0,
                held: BTreeMap::new(),
                edge: None,
                peer_scale: 0,
                shut_down: false,
                saw_eof: false,
                closes_first: who == 0 || random.percent(40),
            }
        };
        let ends = [end(0), end(1)];
        Self {
            now: Instant::ZERO,
            ends,
            flying: BinaryHeap::new(),
            count: 0,
            loss_percent: [0, 1, 5, 15, 30][usize::try_from(random.below(5)).expect("small")],
            duplicate_percent: random.below(2) * 10,
            delay: Duration::from_micros(20 + random.below(50_000)),
            jitter: Duration::from_micros(random.below(2) * random.below(30_000)),
            acts_at: Instant::ZERO,
            random,
        }
    }

    fn send(&mut self, who: usize, segment: &SegmentOut) {
        let bytes = self.ends[who].emit(segment);
        let copies = 1 + u64::from(self.random.percent(self.duplicate_percent));
        for _ in 0..copies {
            if self.random.percent(self.loss_percent) {
                continue;
            }
            let jitter_ns = u64::try_from(self.jitter.as_nanos()).expect("short");
            let jitter = Duration::from_nanos(self.random.below(jitter_ns + 1));
            self.count += 1;
            let arrival = self.now + self.delay + jitter;
            self.flying.push(Reverse((arrival, self.count, 1 - who, bytes.clone())));
        }
    }

    fn transmit(&mut self, who: usize) {
        loop {
            let (now, output) = (self.now, self.ends[who].output());
            let Some(tcb) = &mut self.ends[who].tcb else { return };
            let Some(segment) = tcb.poll_transmit(now, &output) else { break };
            self.send(who, &segment);
        }
        let Some(tcb) = &self.ends[who].tcb else { return };
        let (snd, rcv) = (tcb.snd(), tcb.rcv());
        assert!(snd.una.le(snd.nxt), "una <= nxt");
        if tcb.state() != State::Closed {
            let capacity = self.ends[who].config.receive_capacity_bytes;
            assert!(rcv.wnd + tcb.unread_bytes() <= capacity, "the buffer is not promised twice");
        }
        assert!(tcb.cwnd_bytes() > 0);
    }

    /// When the next thing happens.
    fn next_event(&self) -> Option<Instant> {
        let arrival = self.flying.peek().map(|Reverse((at, ..))| *at);
        let timers = self.ends.iter().filter_map(|end| end.tcb.as_ref()?.poll_timeout());
        let is_acting = !self.ends.iter().all(|end| end.is_over() || end.shut_down && end.saw_eof);
        arrival.into_iter().chain(timers).chain(is_acting.then_some(self.acts_at)).min()
    }

    fn step(&mut self) -> bool {
        let Some(at) = self.next_event() else { return false };
        assert!(at >= self.now, "no timer lies in the past");
        self.now = at;
        while self.flying.peek().is_some_and(|Reverse((arrival, ..))| *arrival <= at) {
            let Reverse((_, _, who, bytes)) = self.flying.pop().expect("peeked");
            if let Some(answer) = self.ends[who].hears(at, &bytes) {
                self.send(who, &answer);
            }
            // A burst is processed before anything is sent, now and then.
            if self.random.percent(50) {
                self.transmit(who);
            }
        }
        for who in 0..2 {
            if let Some(tcb) = &mut self.ends[who].tcb
                && tcb.poll_timeout().is_some_and(|timeout| timeout <= at)
            {
                tcb.handle_timeout(at);
                let next = tcb.poll_timeout();
                assert!(next.is_none_or(|next| next > at), "a timer that took effect moves");
            }
        }
        if self.acts_at <= at {
            for end in &mut self.ends {
                end.acts(at, &mut self.random);
            }
            self.acts_at = at + Duration::from_micros(1 + self.random.below(40_000));
        }
        self.transmit(0);
        self.transmit(1);
        true
    }
}

fn config(random: &mut Random) -> Config {
    Config {
        window_scaling: random.percent(70),
        timestamps: random.percent(60),
        sack: random.percent(70),
        nagle: random.percent(50),
        congestion: if random.percent(50) { Algorithm::Cubic } else { Algorithm::NewReno },
        // Patience, since the channel is what is tested.
        user_timeout: Duration::from_secs(100_000),
        syn_timeout: Duration::from_secs(100_000),
        syn_ack_retransmits: 50,
        ..Config::new(
            [2000, 16_000, 65_535, 300_000][usize::try_from(random.below(4)).expect("small")],
            [128, 576, 1500][usize::try_from(random.below(3)).expect("small")],
        )
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.transmit(0);
    world.transmit(1);
    let mut steps = 0;
    while world.step() {
        steps += 1;
        assert!(steps < STEPS_MAX, "no end after {steps} steps, at {:?}", world.now);
    }
    for end in &world.ends {
        let tcb = end.tcb.as_ref().expect("a connection");
        assert_eq!(tcb.state(), State::Closed, "all are closed in the end");
        let other = &world.ends[1 - end.who];
        let done = (end.received, end.acked);
        assert_eq!(done, (other.total, end.total), "{:?}", world.ends.each_ref().map(End::why));
        assert!(end.saw_eof);
        // The last ACK may be lost for longer than TIME-WAIT lasts at the other end.
        let why = end.why().expect("a reason");
        assert!(matches!(why, Closed::Finished | Closed::Reset), "{why:?}");
    }
}

#[test]
fn whatever_the_channel_does_the_streams_arrive() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("TCP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TCP_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("it failed with TCP_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
