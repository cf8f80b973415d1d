//! What one segment costs in the state machine alone: a request in and its response out, an
//! acknowledgement in.
//!
//! The header is parsed from bytes and emitted to bytes as the engine would do it; frames,
//! checksums, copies and the application are not in it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tcp::{
    Config, Flags, HEADER_MAX, Instant, Options, OptionsOut, Segment, SegmentOut, SendBuffer, Seq,
    Tcb, Timestamps,
};

/// Bytes of a request and of a response.
const REQUEST: u16 = 52;
const RESPONSE: u32 = 133;

struct Output(u32);

impl SendBuffer for Output {
    fn backlog(&self) -> u32 {
        self.0
    }
}

/// A connection, and where its peer stands.
struct Bench {
    tcb: Tcb,
    now: Instant,
    peer: SegmentOut,
    output: Output,
}

impl Bench {
    fn new(timestamps: bool) -> Self {
        let config = Config { timestamps, nagle: false, ..Config::new(65_536, 1500) };
        let now = Instant::ZERO + Duration::from_secs(1);
        let clock = timestamps.then_some(Timestamps { val: 1000, ecr: 0 });
        let options = Options {
            mss: Some(1460),
            wscale: Some(7),
            sack_permitted: true,
            timestamps: clock,
            ..Options::default()
        };
        let syn = Segment { wnd: 64_000, flags: Flags::SYN, options, ..Segment::default() };
        let mut tcb = Tcb::accept(now, &config, Seq(u32::MAX), 0, &syn);
        let output = Output(0);
        tcb.poll_transmit(now, &output).expect("the SYN-ACK");
        let peer = SegmentOut {
            seq: Seq(1),
            ack: Seq(0),
            flags: Flags::ACK,
            wnd: 500,
            options: OptionsOut { timestamps: clock, ..OptionsOut::default() },
            ..SegmentOut::default()
        };
        let mut bench = Self { tcb, now, peer, output };
        bench.hear(0);
        bench
    }

    fn tick(&mut self) {
        self.now += Duration::from_micros(100);
        if let Some(clock) = &mut self.peer.options.timestamps {
            clock.val = u32::try_from(self.now.as_nanos() / 1_000_000).expect("a short bench");
        }
    }

    /// A segment with `len` bytes arrives as bytes.
    fn hear(&mut self, len: u16) {
        let mut bytes = [0; HEADER_MAX + REQUEST as usize];
        let header = self.peer.emit(40_000, 8080, &mut bytes);
        let bytes = black_box(&bytes[..header + usize::from(len)]);
        let segment = Segment::parse(bytes).expect("a segment");
        let verdict = self.tcb.handle_segment(self.now, &segment);
        assert_eq!(verdict.deliver.len, len);
        self.output.0 -= verdict.acked;
        self.tcb.consume(u32::from(len));
        self.peer.seq += u32::from(len);
    }

    /// What is to be sent is written as bytes; returns its length.
    fn say(&mut self) -> u32 {
        let mut bytes = [0; HEADER_MAX];
        let mut sent = 0;
        while let Some(segment) = self.tcb.poll_transmit(self.now, &self.output) {
            black_box(segment.emit(8080, 40_000, &mut bytes));
            sent += u32::from(segment.payload_len);
        }
        black_box(&bytes);
        sent
    }

    /// A request arrives, which acknowledges the response before it, and is answered.
    fn request(&mut self) {
        self.tick();
        self.hear(REQUEST);
        self.output.0 += RESPONSE;
        assert_eq!(self.say(), RESPONSE);
        self.peer.ack += RESPONSE;
    }

    /// A response is sent unasked, and acknowledged by a bare ACK.
    fn acknowledgement(&mut self) {
        self.tick();
        self.output.0 += RESPONSE;
        assert_eq!(self.say(), RESPONSE);
        self.peer.ack += RESPONSE;
        self.hear(0);
        assert_eq!(self.output.0, 0);
    }
}

fn tcb(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tcb");
    group.throughput(Throughput::Elements(1));
    for (name, timestamps) in [("plain", false), ("timestamps", true)] {
        group.bench_function(format!("request-response/{name}"), |bencher| {
            let mut bench = Bench::new(timestamps);
            bencher.iter(|| bench.request());
        });
        group.bench_function(format!("response-ack/{name}"), |bencher| {
            let mut bench = Bench::new(timestamps);
            bencher.iter(|| bench.acknowledgement());
        });
    }
    group.bench_function("emit-parse/timestamps", |bencher| {
        // The peer's side, which is in both figures above.
        let bench = Bench::new(true);
        bencher.iter(|| {
            let mut bytes = [0; HEADER_MAX + REQUEST as usize];
            let header = black_box(&bench.peer).emit(40_000, 8080, &mut bytes);
            black_box(Segment::parse(black_box(&bytes[..header])).expect("a segment"));
        });
    });
    group.finish();
}

criterion_group!(benches, tcb);
criterion_main!(benches);
