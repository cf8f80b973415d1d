//! Segments between two connections, over a network that the input plays.

use crate::plain::{PlainConn, PlainTcp};
use crate::reader::Reader;
use engine::{Flow, Phase};
use server_http_fuzz::engine::{Failure, Random, Target, fnv};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::{Config, Instant};

/// The target.
pub(crate) struct TcpSegments;

/// Operations of one input, at most.
const OPERATIONS_MAX: usize = 400;
/// Segments that one side says at a time, at most.
const SEGMENTS_MAX: usize = 1000;
const MTU: u16 = 600;
const IPV4_LEN: usize = 20;
const ENDS: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 1000),
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 2000),
];

impl Target for TcpSegments {
    fn name(&self) -> &'static str {
        "tcp_segments"
    }

    fn input_bytes_max(&self) -> usize {
        1000
    }

    fn dictionary(&self) -> &'static [&'static [u8]] {
        &[&[0, 1, 0, 1], &[6, 0xff, 0xff], &[7, 0xff, 0xff]]
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let count = random.below(80);
        (0..count).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect()
    }

    fn check(&self, input: &[u8]) -> Result<u64, Failure> {
        let mut reader = Reader::new(input);
        let mut play = Play::new(reader.byte());
        for _ in 0..OPERATIONS_MAX {
            let Some(operation) = reader.operation() else { break };
            play.act(operation, &mut reader)?;
        }
        Ok(fnv(&play.story()))
    }
}

/// One end: a connection, what was put, what was read.
struct End {
    tcp: PlainTcp,
    conn: Option<PlainConn>,
    flow: Flow,
    put: usize,
    read: usize,
    has_closed: bool,
    said: usize,
}

/// Both ends, and what is on its way to each.
struct Play {
    now: Instant,
    ends: [End; 2],
    /// IPv4 packets on their way to each end.
    wires: [VecDeque<Vec<u8>>; 2],
    /// Whether segments were forged: then nothing is said of what is read.
    is_forged: bool,
}

/// The byte at `place` of what an end puts.
fn pattern(place: usize) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]
}

impl Play {
    fn new(shape: u8) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let end = |who: usize| {
            let bits = shape >> (4 * who);
            let config = Config {
                sack: bits & 1 != 0,
                timestamps: bits & 2 != 0,
                window_scaling: bits & 4 != 0,
                nagle: bits & 8 != 0,
                ..Config::new(if bits & 4 != 0 { 100_000 } else { 5000 }, MTU)
            };
            let secret = [u8::try_from(who).expect("small"); 16];
            let tcp = PlainTcp::new(*ENDS[who].ip(), config, secret, 20_000);
            let flow = Flow::new(ENDS[1 - who], ENDS[who].port());
            End { tcp, conn: None, flow, put: 0, read: 0, has_closed: false, said: 0 }
        };
        let mut play = Self {
            now,
            ends: [end(0), end(1)],
            wires: [VecDeque::new(), VecDeque::new()],
            is_forged: false,
        };
        let End { tcp, flow, conn, .. } = &mut play.ends[0];
        *conn = tcp.connect(now, *flow);
        play
    }

    fn act(&mut self, operation: u8, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let who = usize::from(operation >> 7);
        match operation % 12 {
            0..=3 => self.delivers(who)?,
            4 => drop(self.wires[who].pop_front()),
            5 => {
                if let Some(packet) = self.wires[who].front().cloned() {
                    self.wires[who].push_back(packet);
                }
            }
            6 => {
                if let Some(packet) = self.wires[who].pop_front() {
                    self.wires[who].push_back(packet);
                }
            }
            7 => self.now += Duration::from_micros(u64::from(reader.short()) * 1000),
            8 => self.puts(who, usize::from(reader.short() % 8192)),
            9 => self.reads(who, usize::from(reader.short()))?,
            10 => self.closes(who, reader.byte() == 0xff),
            _ => self.forges(who, reader)?,
        }
        self.speaks(0)?;
        self.speaks(1)
    }

    fn delivers(&mut self, who: usize) -> Result<(), Failure> {
        let Some(packet) = self.wires[who].pop_front() else { return Ok(()) };
        self.hears(who, &packet);
        self.speaks(who)
    }

    fn hears(&mut self, who: usize, packet: &[u8]) {
        let End { tcp, flow, conn, .. } = &mut self.ends[who];
        let Some(conn) = conn else {
            *conn = tcp.accept(self.now, *flow, packet);
            return;
        };
        let mut reply = [0; MTU as usize];
        if let Some(len) = tcp.segment_arrives(self.now, conn, packet, &mut reply) {
            self.wires[1 - who].push_back(reply[..len].to_vec());
        }
    }

    /// Lets an end say all that it has to say now.
    fn speaks(&mut self, who: usize) -> Result<(), Failure> {
        let End { tcp, conn: Some(conn), said, .. } = &mut self.ends[who] else { return Ok(()) };
        let mut buffer = [0; MTU as usize];
        for _ in 0..SEGMENTS_MAX {
            if tcp.poll_timeout(self.now, conn) > self.now {
                return Ok(());
            }
            if let Some(len) = tcp.poll_transmit(self.now, conn, &mut buffer) {
                *said += 1;
                self.wires[1 - who].push_back(buffer[..len].to_vec());
            }
        }
        Err(Failure::new("rest", format!("end {who} says more than {SEGMENTS_MAX} segments")))
    }

    fn puts(&mut self, who: usize, count: usize) {
        let End { tcp, conn: Some(conn), put, .. } = &mut self.ends[who] else { return };
        let (_, output) = tcp.split(conn);
        let count = count.min(output.space());
        let bytes: Vec<u8> = (*put..*put + count).map(pattern).collect();
        output.put(&bytes);
        *put += count;
    }

    fn reads(&mut self, who: usize, count: usize) -> Result<(), Failure> {
        let is_honest = !self.is_forged;
        let End { tcp, conn: Some(conn), read, .. } = &mut self.ends[who] else { return Ok(()) };
        let (unread, _) = tcp.split(conn);
        let count = count.min(unread.len());
        let expected = (*read..*read + count).map(pattern);
        if is_honest && !unread[..count].iter().copied().eq(expected) {
            return Err(Failure::new("prefix", format!("end {who} reads other bytes at {read}")));
        }
        tcp.consume(conn, count);
        *read += count;
        if is_honest && self.ends[who].read > self.ends[1 - who].put {
            return Err(Failure::new("prefix", format!("end {who} reads more than was put")));
        }
        Ok(())
    }

    fn closes(&mut self, who: usize, abruptly: bool) {
        let End { tcp, conn: Some(conn), has_closed, .. } = &mut self.ends[who] else { return };
        if abruptly {
            tcp.abort(conn);
        } else if !std::mem::replace(has_closed, true) {
            tcp.close(conn);
        }
    }

    /// Changes the header of a segment that is on its way, or of the last that was, and shows it.
    fn forges(&mut self, who: usize, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let Some(mut packet) = self.wires[who].back().cloned() else { return Ok(()) };
        self.is_forged = true;
        let mut shift = |at: usize, distance: u32| {
            let field: &mut [u8; 4] = packet[at..].first_chunk_mut().expect("a header");
            *field = u32::from_be_bytes(*field).wrapping_add(distance).to_be_bytes();
        };
        shift(IPV4_LEN + 4, reader.distance());
        shift(IPV4_LEN + 8, reader.distance());
        packet[IPV4_LEN + 13] ^= reader.byte();
        packet[IPV4_LEN + 14..IPV4_LEN + 16].copy_from_slice(&reader.short().to_be_bytes());
        // The options, or else the payload.
        for (place, byte) in packet[IPV4_LEN + 20..].iter_mut().zip(reader.bytes()) {
            *place ^= *byte;
        }
        self.hears(who, &packet);
        self.speaks(who)
    }

    /// What happened, roughly: where both ends stand and how much went between them.
    fn story(&self) -> Vec<u8> {
        let magnitude = |count: usize| count.checked_ilog2().map_or(0, |log| log + 1).to_le_bytes();
        let of_end = |end: &End| {
            let phase = end.conn.as_ref().map(|conn| end.tcp.phase(conn));
            let place = phase.map_or(9, |phase| match phase {
                Phase::Handshake => 0,
                Phase::Open => 1,
                Phase::TimeWait => 2,
                Phase::Closed => 3,
            });
            let counts = [end.put, end.read, end.said].map(|count| magnitude(count)[0]);
            let eof = end.conn.as_ref().is_some_and(|conn| end.tcp.is_eof(conn));
            [&[place, u8::from(eof), u8::from(end.has_closed)][..], &counts].concat()
        };
        self.ends.iter().flat_map(of_end).chain([u8::from(self.is_forged)]).collect()
    }
}
