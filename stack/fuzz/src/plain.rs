//! A `Tcb` with the simplest buffers there are: the state machine under test, and nothing clever
//! beside it, so that a failure is the state machine's.

use engine::{Flow, Phase, SendBuffer};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::{
    Config, FourTuple, HEADER_MAX, Instant, Secret, Segment, SegmentOut, State, Tcb, clock_offset,
    isn,
};

const IPV4_LEN: usize = 20;

/// The state machine as the engine's TCP.
#[derive(Debug)]
pub(crate) struct PlainTcp {
    address: Ipv4Addr,
    config: Config,
    secret: Secret,
    send_capacity_bytes: usize,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct PlainConn {
    tcb: Tcb,
    flow: Flow,
    /// From the oldest byte that is not acknowledged to the last that was put.
    output: Output,
    /// Bytes in order that are not consumed.
    unread: Vec<u8>,
    /// Bytes behind holes, from RCV.NXT on.
    held: VecDeque<u8>,
    /// Something happened since `poll_transmit` had nothing to send.
    is_dirty: bool,
}

#[derive(Debug)]
struct Output {
    bytes: VecDeque<u8>,
    capacity: usize,
    is_closed: bool,
}

impl SendBuffer for Output {
    fn space(&self) -> usize {
        if self.is_closed { 0 } else { self.capacity - self.bytes.len() }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    fn backlog(&self) -> usize {
        self.bytes.len()
    }
}

impl tcp::SendBuffer for Output {
    fn backlog(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a small buffer")
    }
}

impl PlainTcp {
    pub(crate) fn new(
        address: Ipv4Addr,
        config: Config,
        secret: Secret,
        send_capacity_bytes: usize,
    ) -> Self {
        Self { address, config, secret, send_capacity_bytes }
    }

    fn tuple(&self, flow: Flow) -> FourTuple {
        FourTuple { local: SocketAddrV4::new(self.address, flow.local_port()), remote: flow.peer() }
    }

    fn conn(&self, tcb: Tcb, flow: Flow) -> PlainConn {
        let output =
            Output { bytes: VecDeque::new(), capacity: self.send_capacity_bytes, is_closed: false };
        PlainConn { tcb, flow, output, unread: Vec::new(), held: VecDeque::new(), is_dirty: true }
    }

    /// Writes `segment` as an IPv4 packet and returns its length.
    fn emit(&self, conn: &PlainConn, segment: &SegmentOut, buffer: &mut [u8]) -> usize {
        let payload_len = usize::from(segment.payload_len);
        let ip = Ipv4Repr {
            src_addr: self.address,
            dst_addr: *conn.flow.peer().ip(),
            next_header: IpProtocol::Tcp,
            payload_len: segment.header_len() + payload_len,
            hop_limit: 64,
        };
        let len = IPV4_LEN + ip.payload_len;
        let mut packet = Ipv4Packet::new_unchecked(&mut buffer[..len]);
        ip.emit(&mut packet, &ChecksumCapabilities::ignored());
        let (header, payload) = buffer[IPV4_LEN..len].split_at_mut(segment.header_len());
        segment.emit(conn.flow.local_port(), conn.flow.peer().port(), header);
        let start = usize::try_from(segment.payload_offset).expect("an offset");
        let bytes = conn.output.bytes.range(start..start + payload_len);
        payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        len
    }
}

impl PlainConn {
    /// What must hold after everything that happens to a connection.
    fn check(&self, config: &Config) {
        let (snd, rcv) = (self.tcb.snd(), self.tcb.rcv());
        assert!(snd.una.le(snd.nxt), "SND.UNA {:?} is above SND.NXT {:?}", snd.una, snd.nxt);
        assert_eq!(self.tcb.unread_bytes() as usize, self.unread.len(), "what is unread is here");
        if self.tcb.state() != State::Closed {
            let promised = rcv.wnd + self.tcb.unread_bytes();
            assert!(promised <= config.receive_capacity_bytes, "the buffer is promised twice");
            assert!(self.tcb.cwnd_bytes() > 0, "the congestion window is never closed");
        }
    }

    /// Stores bytes behind a hole.
    fn hold(&mut self, offset: usize, bytes: &[u8]) {
        if self.held.len() < offset + bytes.len() {
            self.held.resize(offset + bytes.len(), 0);
        }
        self.held.range_mut(offset..).zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

impl PlainTcp {
    pub(crate) fn accept(&mut self, now: Instant, flow: Flow, packet: &[u8]) -> Option<PlainConn> {
        let syn = Segment::parse(tcp_of(packet)).ok()?;
        if tcp::listen(&syn) != tcp::Listen::Open {
            return None;
        }
        let tuple = self.tuple(flow);
        let iss = isn(&self.secret, &tuple, now);
        let offset = clock_offset(&self.secret, &tuple);
        Some(self.conn(Tcb::accept(now, &self.config, iss, offset, &syn), flow))
    }

    pub(crate) fn connect(&mut self, now: Instant, flow: Flow) -> Option<PlainConn> {
        let tuple = self.tuple(flow);
        let iss = isn(&self.secret, &tuple, now);
        let offset = clock_offset(&self.secret, &tuple);
        Some(self.conn(Tcb::connect(now, &self.config, iss, offset), flow))
    }

    pub(crate) fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut PlainConn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Option<usize> {
        let bytes = tcp_of(packet);
        let segment = Segment::parse(bytes).expect("the engine has checked it");
        let payload = &bytes[bytes.len() - usize::from(segment.payload_len)..];
        let verdict = conn.tcb.handle_segment(now, &segment);
        conn.is_dirty = true;
        conn.output.bytes.drain(..usize::try_from(verdict.acked).expect("a small buffer"));
        let (from, len) = (usize::from(verdict.deliver.from), usize::from(verdict.deliver.len));
        conn.unread.extend_from_slice(&payload[from..from + len]);
        for piece in verdict.store.as_slice() {
            let (from, len) = (usize::from(piece.from), usize::from(piece.len));
            let offset = usize::try_from(piece.offset).expect("a small buffer");
            conn.hold(offset, &payload[from..from + len]);
        }
        let released = usize::try_from(verdict.released).expect("a small buffer");
        conn.unread.extend(conn.held.drain(..released));
        assert!(conn.held.is_empty() || len == 0, "delivered past what is held");
        conn.check(&self.config);
        verdict.answer.map(|answer| self.emit(conn, &answer, reply))
    }

    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut PlainConn,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if conn.tcb.poll_timeout().is_some_and(|at| at <= now) {
            conn.tcb.handle_timeout(now);
            let next = conn.tcb.poll_timeout();
            assert!(next.is_none_or(|next| next > now), "a timer that took effect moves");
        }
        let segment = conn.tcb.poll_transmit(now, &conn.output);
        conn.is_dirty = segment.is_some();
        conn.check(&self.config);
        segment.map(|segment| self.emit(conn, &segment, buffer))
    }

    pub(crate) fn poll_timeout(&mut self, now: Instant, conn: &PlainConn) -> Instant {
        if conn.is_dirty { now } else { conn.tcb.poll_timeout().unwrap_or(Instant::NEVER) }
    }

    pub(crate) fn phase(&self, conn: &PlainConn) -> Phase {
        match conn.tcb.state() {
            State::SynSent | State::SynReceived => Phase::Handshake,
            // The engine's table answers without timestamps, which a peer that uses them drops.
            State::TimeWait if !self.config.timestamps => Phase::TimeWait,
            State::Closed => Phase::Closed,
            _ => Phase::Open,
        }
    }

    pub(crate) fn is_eof(&self, conn: &PlainConn) -> bool {
        conn.tcb.is_eof()
    }

    pub(crate) fn split<'a>(
        &'a mut self,
        conn: &'a mut PlainConn,
    ) -> (&'a [u8], &'a mut dyn SendBuffer) {
        conn.is_dirty = true;
        (&conn.unread, &mut conn.output)
    }

    pub(crate) fn consume(&mut self, conn: &mut PlainConn, count: usize) {
        conn.is_dirty = true;
        conn.unread.drain(..count);
        conn.tcb.consume(u32::try_from(count).expect("a small buffer"));
    }

    pub(crate) fn close(&mut self, conn: &mut PlainConn) {
        conn.is_dirty = true;
        conn.output.is_closed = true;
        conn.tcb.shutdown();
    }

    pub(crate) fn abort(&mut self, conn: &mut PlainConn) {
        conn.is_dirty = true;
        conn.output.is_closed = true;
        conn.tcb.abort();
    }
}

/// The TCP segment in an IPv4 packet.
fn tcp_of(packet: &[u8]) -> &[u8] {
    &packet[usize::from(packet[0] & 0xf) * 4..]
}

const _: () = assert!(HEADER_MAX + IPV4_LEN <= 128, "any header fits into the smallest MTU");
