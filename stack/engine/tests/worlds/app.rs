//! What the hosts of a world run: each connection sends a stream of its own, reads as it likes,
//! and compares every byte that it is given with what the other side must have sent.

use engine::{Advance, App, Close, Closed, ConnId, ConnectError, Event, Outbox};
use sim::Pcg32;
use std::net::SocketAddrV4;
use std::time::Duration;
use tcp::Instant;

/// Names a stream in its world: in its first bytes stands which it is.
pub type StreamId = u32;
const HEADER_LEN: u64 = 4;
/// Streams of the side that accepts are numbered from here on.
pub const ACCEPTED: StreamId = 1 << 16;

/// What all streams of a world are like: their lengths follow from it.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    pub seed: u64,
    /// Longest stream, in bytes.
    pub len_max: u32,
}

impl Streams {
    /// Bytes that stream `id` has in all: none for some, else its name and what follows.
    pub fn len(self, id: StreamId) -> u64 {
        let mut random = Pcg32::new(self.seed ^ u64::from(id) << 20);
        match random.below(8) {
            0 => 0,
            1 => HEADER_LEN + u64::from(random.below(10)),
            _ => HEADER_LEN + u64::from(random.below(self.len_max)),
        }
    }
}

/// The byte at `position` of stream `id`.
fn byte(id: StreamId, position: u64) -> u8 {
    if position < HEADER_LEN {
        return id.to_be_bytes()[usize::try_from(position).expect("small")];
    }
    let mixed = (position ^ u64::from(id) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56).to_le_bytes()[0]
}

/// How a connection behaves.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Closes its side when it has put everything, without waiting for the other side's end.
    closes_first: bool,
    /// Takes all it is offered, at once.
    reads_greedily: bool,
    /// Puts all there is room for, at once.
    writes_greedily: bool,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Conn {
    pub id: StreamId,
    manner: Manner,
    pub put: u64,
    pub received: u64,
    peer_name: [u8; 4],
    pub saw_eof: bool,
}

impl Conn {
    /// The stream that comes from the other side, once its name has come.
    pub fn peer(&self) -> Option<StreamId> {
        (self.received >= HEADER_LEN).then(|| u32::from_be_bytes(self.peer_name))
    }

    /// Compares bytes with what they must be.
    fn hears(&mut self, bytes: &[u8]) {
        for given in bytes {
            if let Some(place) = usize::try_from(self.received).ok().filter(|place| *place < 4) {
                self.peer_name[place] = *given;
            } else {
                let expected = byte(u32::from_be_bytes(self.peer_name), self.received);
                assert!(
                    *given == expected,
                    "stream {:?} at {}: delivered bytes are not a prefix of those sent",
                    self.peer_name,
                    self.received,
                );
            }
            self.received += 1;
        }
    }
}

/// The application of one host.
#[derive(Debug)]
pub struct StreamApp {
    random: Pcg32,
    streams: Streams,
    accepted: StreamId,
    /// Calls so far: while it grows, something happens.
    pub calls: u64,
    /// Active opens that came to nothing and are to be tried again.
    pub failed: Vec<(u64, ConnectError)>,
    /// Connections that are over.
    pub over: Vec<(Conn, Closed)>,
}

impl StreamApp {
    pub fn new(seed: u64, streams: Streams, first: StreamId) -> Self {
        Self {
            random: Pcg32::new(seed),
            streams,
            accepted: ACCEPTED + first,
            calls: 0,
            failed: Vec::new(),
            over: Vec::new(),
        }
    }

    fn open(&mut self, id: StreamId) -> Conn {
        let manner = Manner {
            closes_first: id < ACCEPTED || self.percent(40),
            reads_greedily: self.percent(70),
            writes_greedily: self.percent(70),
        };
        Conn { id, manner, put: 0, received: 0, peer_name: [0; 4], saw_eof: false }
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.below(100) < percent
    }

    /// All of `count`, or some of it.
    fn share(&mut self, count: usize, all: bool) -> usize {
        if all || count == 0 || self.percent(30) {
            return count;
        }
        self.random.below(u32::try_from(count + 1).expect("a buffer")) as usize
    }

    fn puts(&mut self, conn: &mut Conn, output: &mut Outbox<'_>) -> bool {
        let left = self.streams.len(conn.id) - conn.put;
        let room = output.space().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.share(room, conn.manner.writes_greedily) as u64;
        let bytes: Vec<u8> =
            (conn.put..conn.put + count).map(|position| byte(conn.id, position)).collect();
        output.put(&bytes);
        conn.put += count;
        left == count
    }
}

impl App for StreamApp {
    type Conn = Conn;

    fn opened(&mut self, _: Instant, _: ConnId, _: SocketAddrV4) -> Option<Conn> {
        self.calls += 1;
        self.accepted += 1;
        Some(self.open(self.accepted))
    }

    fn connected(&mut self, _: Instant, _: ConnId, _: SocketAddrV4, token: u64) -> Option<Conn> {
        self.calls += 1;
        Some(self.open(StreamId::try_from(token).expect("a stream's name")))
    }

    fn connect_failed(&mut self, token: u64, why: ConnectError) {
        self.calls += 1;
        self.failed.push((token, why));
    }

    fn ready(
        &mut self,
        now: Instant,
        conn: &mut Conn,
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        self.calls += 1;
        assert!(!(conn.saw_eof && event == Event::Eof), "the end is told once");
        conn.saw_eof |= event == Event::Eof;
        let mut advance = Advance::IDLE;
        advance.consumed = self.share(input.len(), conn.manner.reads_greedily);
        conn.hears(&input[..advance.consumed]);
        let has_put_all = self.puts(conn, output);
        let has_read_all = conn.saw_eof && advance.consumed == input.len();
        if has_put_all && has_read_all {
            advance.close = Some(Close::Both);
        } else if has_put_all && conn.manner.closes_first {
            advance.close = Some(Close::Write);
        }
        advance.wants_space = !has_put_all && output.space() == 0;
        if advance.consumed < input.len() || !(has_put_all || advance.wants_space) {
            advance.wake_at = now + Duration::from_micros(1 + self.random.below(40_000) as u64);
        }
        advance
    }

    fn closed(&mut self, conn: Conn, why: Closed) {
        self.calls += 1;
        self.over.push((conn, why));
    }
}
