//! One `Tcb` on a stage: what it hears, what it says, where it is. Time is virtual.
//!
//! Sequence numbers are written as offsets from the two initial ones, which lie just below 2^32:
//! every test that sends data crosses the wrap.

use std::collections::VecDeque;
use std::time::Duration;
use tcp::{
    Block, Config, Flags, Instant, Options, SegmentOut, SendBuffer, Seq, State, Tcb, Timestamps,
    Verdict,
};

pub(crate) use tcp::Segment;

/// Our initial sequence number.
pub(crate) const ISS: Seq = Seq(u32::MAX - 700);
/// The peer's.
pub(crate) const IRS: Seq = Seq(u32::MAX - 2100);

/// The peer's MSS, in bytes.
pub(crate) const MSS: u16 = 1000;

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Control bits by their first letters, in any order.
pub(crate) fn flags(letters: &str) -> Flags {
    letters.chars().fold(Flags::default(), |flags, letter| {
        flags
            | match letter {
                'S' => Flags::SYN,
                'A' => Flags::ACK,
                'F' => Flags::FIN,
                'R' => Flags::RST,
                'P' => Flags::PSH,
                'U' => Flags::URG,
                _ => panic!("no control bit begins with {letter}"),
            }
    })
}

/// A segment of the peer's: `seq` counts from its initial number, `ack` from ours.
pub(crate) fn seg(letters: &str, seq: u32, ack: u32) -> Segment<'static> {
    Segment {
        seq: IRS + seq,
        ack: ISS + ack,
        wnd: 60_000,
        flags: flags(letters),
        ..Segment::default()
    }
}

/// The same with `len` bytes of payload.
pub(crate) fn data(seq: u32, ack: u32, len: u16) -> Segment<'static> {
    Segment { payload_len: len, ..seg("A", seq, ack) }
}

/// A SYN of the peer's with its MSS.
pub(crate) fn syn() -> Segment<'static> {
    let options = Options { mss: Some(MSS), ..Options::default() };
    Segment { ack: Seq(0), options, ..seg("S", 0, 0) }
}

/// Options with selective acknowledgements, which count from our initial number.
pub(crate) fn sack(blocks: &[(u32, u32)]) -> Options<'static> {
    let mut bytes = vec![5, u8::try_from(2 + 8 * blocks.len()).expect("few blocks")];
    for (start, end) in blocks {
        bytes.extend((ISS + *start).0.to_be_bytes());
        bytes.extend((ISS + *end).0.to_be_bytes());
    }
    Options::parse(bytes.leak())
}

pub(crate) fn timestamps(val: u32, ecr: u32) -> Options<'static> {
    Options { timestamps: Some(Timestamps { val, ecr }), ..Options::default() }
}

/// Blocks that we report, which count from the peer's initial number.
pub(crate) fn reported(segment: &SegmentOut) -> Vec<(u32, u32)> {
    let offset = |seq: Seq| seq.0.wrapping_sub(IRS.0);
    let blocks = segment.options.sack.as_slice().iter();
    blocks.map(|Block { start, end }| (offset(*start), offset(*end))).collect()
}

/// The send buffer: nothing but its length.
pub(crate) struct Output(pub(crate) u32);

impl SendBuffer for Output {
    fn backlog(&self) -> u32 {
        self.0
    }
}

/// Without timestamps, window scaling and SACK, so that what is said is easily written down.
pub(crate) fn plain() -> Config {
    Config {
        timestamps: false,
        window_scaling: false,
        sack: false,
        nagle: false,
        congestion: tcp::Algorithm::NewReno,
        ..Config::new(64_000, 1500)
    }
}

pub(crate) struct Scene {
    pub(crate) tcb: Tcb,
    pub(crate) now: Instant,
    pub(crate) output: Output,
    said: VecDeque<SegmentOut>,
    /// Whether the application consumes what it is offered.
    pub(crate) reads: bool,
}

impl Scene {
    fn new(tcb: Tcb) -> Self {
        let now = Instant::ZERO + secs(1000);
        let mut scene = Self { tcb, now, output: Output(0), said: VecDeque::new(), reads: true };
        scene.listen_to_it();
        scene
    }

    /// An active open.
    pub(crate) fn syn_sent(config: &Config) -> Self {
        let mut scene = Self::new(Tcb::connect(Instant::ZERO + secs(1000), config, ISS, 0));
        scene.says("S", 0, 0);
        scene
    }

    /// A passive open, answered.
    pub(crate) fn syn_received_by(config: &Config, syn: &Segment<'_>) -> Self {
        let now = Instant::ZERO + secs(1000);
        let mut scene = Self::new(Tcb::accept(now, config, ISS, 0, syn));
        scene.says("SA", 0, 1);
        scene
    }

    pub(crate) fn syn_received() -> Self {
        Self::syn_received_by(&plain(), &syn())
    }

    /// Established by a passive open.
    pub(crate) fn established_by(config: &Config, syn: &Segment<'_>) -> Self {
        let mut scene = Self::syn_received_by(config, syn);
        let options =
            syn.options.timestamps.map_or_else(Options::default, |clock| timestamps(clock.val, 0));
        let verdict = scene.hears(&Segment { options, wnd: syn.wnd, ..seg("A", 1, 1) });
        assert!(verdict.opened);
        scene.is(State::Established);
        scene.is_silent();
        scene
    }

    pub(crate) fn established() -> Self {
        Self::established_by(&plain(), &syn())
    }

    /// Established with SACK.
    pub(crate) fn with_sack() -> Self {
        let options = Options { sack_permitted: true, ..syn().options };
        let config = Config { sack: true, ..plain() };
        Self::established_by(&config, &Segment { options, ..syn() })
    }

    /// Established with timestamps; the peer's clock stands at `val`.
    pub(crate) fn with_timestamps(val: u32) -> Self {
        let options = Options { mss: Some(MSS), ..timestamps(val, 0) };
        let config = Config { timestamps: true, ..plain() };
        Self::established_by(&config, &Segment { options, ..syn() })
    }

    /// In any synchronised state, with nothing outstanding but what the state means. The next
    /// number of the peer and the next of ours come with it.
    pub(crate) fn in_state(state: State) -> (Self, u32, u32) {
        let mut scene = Self::established();
        match state {
            State::Established => return (scene, 1, 1),
            State::CloseWait | State::LastAck => {
                scene.hears(&seg("FA", 1, 1));
                scene.says("A", 1, 2);
                if state == State::LastAck {
                    scene.shuts_down();
                    scene.says("FA", 1, 2);
                }
            }
            _ => {
                scene.shuts_down();
                scene.says("FA", 1, 1);
            }
        }
        match state {
            State::FinWait2 | State::TimeWait => {
                scene.hears(&seg("A", 1, 2));
                if state == State::TimeWait {
                    scene.hears(&seg("FA", 1, 2));
                    scene.says("A", 2, 2);
                }
            }
            State::Closing => {
                scene.hears(&seg("FA", 1, 1));
                scene.says("A", 2, 2);
            }
            _ => {}
        }
        scene.is(state);
        scene.is_silent();
        let heard_fin = !matches!(state, State::FinWait1 | State::FinWait2);
        let said_fin = state != State::CloseWait;
        (scene, 1 + u32::from(heard_fin), 1 + u32::from(said_fin))
    }

    fn listen_to_it(&mut self) {
        loop {
            let may_say = self.tcb.has_output(&self.output);
            let Some(segment) = self.tcb.poll_transmit(self.now, &self.output) else { break };
            assert!(may_say, "it says {segment:?}, having had nothing to say");
            self.said.push_back(segment);
            assert!(self.said.len() < 10_000, "it does not stop talking");
        }
    }

    /// A segment arrives, the verdict is carried out, and all that follows is said.
    pub(crate) fn hears(&mut self, segment: &Segment<'_>) -> Verdict {
        let verdict = self.tcb.handle_segment(self.now, segment);
        self.output.0 -= verdict.acked;
        self.said.extend(verdict.answer);
        let delivered = u32::from(verdict.deliver.len) + verdict.released;
        if self.reads && delivered > 0 {
            self.tcb.consume(delivered);
        }
        self.listen_to_it();
        verdict
    }

    /// The next thing it says is this, numbers counting from the initial ones.
    #[track_caller]
    pub(crate) fn says(&mut self, letters: &str, seq: u32, ack: u32) -> SegmentOut {
        self.says_data(letters, seq, ack, 0)
    }

    /// The same with payload.
    #[track_caller]
    pub(crate) fn says_data(&mut self, letters: &str, seq: u32, ack: u32, len: u16) -> SegmentOut {
        let said = self.said.pop_front().expect("it says nothing");
        let offset = |seq: Seq, base: Seq| seq.0.wrapping_sub(base.0);
        let has_ack = said.flags.contains(Flags::ACK);
        let said_ack = if has_ack { offset(said.ack, IRS) } else { ack };
        assert_eq!(
            (said.flags, offset(said.seq, ISS), said_ack, said.payload_len),
            (flags(letters), seq, ack, len),
            "{said:?}",
        );
        said
    }

    /// Everything that it has said, forgotten.
    pub(crate) fn takes_all(&mut self) -> Vec<SegmentOut> {
        self.said.drain(..).collect()
    }

    #[track_caller]
    pub(crate) fn is_silent(&mut self) {
        self.listen_to_it();
        assert_eq!(self.said, [], "it says something");
    }

    #[track_caller]
    pub(crate) fn is(&self, state: State) {
        assert_eq!(self.tcb.state(), state);
    }

    /// Time passes, and each timer takes effect at its moment.
    pub(crate) fn passes(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.tcb.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a timer lies in the past");
            self.now = at;
            self.tcb.handle_timeout(at);
            self.listen_to_it();
            assert!(self.tcb.poll_timeout().is_none_or(|next| next > at), "a timer stands still");
        }
        self.now = end;
    }

    /// The application puts `count` bytes.
    pub(crate) fn puts(&mut self, count: u32) {
        self.output.0 += count;
        self.listen_to_it();
    }

    pub(crate) fn reads_bytes(&mut self, count: u32) {
        self.tcb.consume(count);
        self.listen_to_it();
    }

    pub(crate) fn shuts_down(&mut self) {
        self.tcb.shutdown();
        self.listen_to_it();
    }

    pub(crate) fn closes(&mut self) {
        self.tcb.close(self.now);
        self.listen_to_it();
    }

    pub(crate) fn aborts(&mut self) {
        self.tcb.abort();
        self.listen_to_it();
    }
}
