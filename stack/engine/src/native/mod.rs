//! TCP by the state machine of `stack/tcp`.
//!
//! A connection is its numbers and two empty queues. What it has sent and not yet seen
//! acknowledged lies in chunks of a pool ([`output`]); what it has received lies in the frame that
//! brought it, until the application has seen it. Only what the application leaves, and what comes
//! behind a hole, is stored in chunks of another pool ([`input`]). So a connection at rest holds no
//! buffer at all, and a handshake not even a connection ([`handshakes`]).

mod chunks;
mod handshakes;
mod input;
mod output;
mod repairs;

use crate::answer::Answer;
use crate::app::Closed;
use crate::checksum::Sum;
use crate::config::Config;
use crate::counters::{Count, Counters};
use crate::emit::emit;
use crate::flow::Flow;
use crate::packet::Mac;
use crate::transport::{Arrival, Listened, Phase, SendBuffer, Stranger, Tcp};
use chunks::Chunks;
use handshakes::{Handshakes, Host};
use input::Input;
use output::Output;
use queue::Counter;
use repairs::Repairs;
use std::cell::Cell;
use std::ops::Range;
use tcp::{
    Dropped, Flags, IcmpError, IcmpVerdict, Instant, Segment, SegmentOut, State, Tcb, TimeWait,
    Verdict, clock_offset, isn,
};

/// Size of a chunk of output, in bytes: a few small responses.
const TX_CHUNK_BYTES: usize = 1024;
/// Size of a chunk of input in bytes, unless a packet of the link is larger: any segment, so that
/// one that is in order can always be kept.
const RX_CHUNK_BYTES: usize = 2048;

/// The state machine of `stack/tcp` as the engine's TCP.
#[derive(Debug)]
pub struct Native {
    host: Host,
    handshakes: Handshakes,
    /// Most output of a connection, in bytes.
    tx_buffer_bytes: usize,
    outputs: Chunks,
    inputs: Chunks,
    /// Where unread input is laid out if it lies in several chunks.
    scratch: Box<[u8]>,
    /// How often an application was offered less space because the pool was empty.
    short_offers: Cell<u64>,
    repairs: Repairs,
}

/// One connection.
#[derive(Debug)]
pub struct NativeConn {
    tcb: Tcb,
    flow: Flow,
    output: Output,
    input: Input,
    /// Something has happened since TCP said that it had nothing to send.
    is_dirty: bool,
}

impl Native {
    /// For a host with this configuration on a link of `mtu` bytes. Takes the memory of its pools
    /// and of its SYN cache, which is touched only as it is used.
    #[must_use]
    pub fn new(config: &Config, mtu: u16) -> Self {
        let window = u32::try_from(config.rx_buffer_bytes).unwrap_or(u32::MAX);
        let tcp = tcp::Config {
            // A server has said all that it has to say for now, or it would say more.
            nagle: false,
            user_timeout: config.user_timeout,
            fin_wait2_timeout: config.fin_wait_timeout,
            time_wait: config.time_wait,
            ..tcp::Config::new(window, mtu)
        };
        Self::with_tcp(config, mtu, tcp)
    }

    /// As [`new`](Self::new), but each connection has the settings of `tcp`, whatever `config`
    /// says of them.
    #[must_use]
    pub fn with_tcp(config: &Config, mtu: u16, tcp: tcp::Config) -> Self {
        let rx_chunk_bytes = RX_CHUNK_BYTES.max(usize::from(mtu).next_power_of_two());
        let chunks = |bytes, shared| Chunks::new(bytes, config.connections, shared);
        Self {
            host: Host {
                address: *config.listen.ip(),
                secret: config.key,
                config: tcp,
                timeout: config.handshake_timeout,
            },
            handshakes: Handshakes::new(config.half_open, &config.key),
            tx_buffer_bytes: config.tx_buffer_bytes,
            outputs: chunks(TX_CHUNK_BYTES, config.tx_pool_bytes),
            inputs: chunks(rx_chunk_bytes, config.rx_pool_bytes),
            scratch: vec![0; config.rx_buffer_bytes].into_boxed_slice(),
            short_offers: Cell::new(0),
            repairs: Repairs::default(),
        }
    }

    /// Bytes that may be offered to the peer of a connection: no more than could be stored.
    #[inline(always)]
    fn room(&self, conn: &NativeConn) -> u32 {
        let chunks = conn.input.available(&self.inputs) as usize;
        u32::try_from(chunks * self.inputs.chunk_bytes()).unwrap_or(u32::MAX)
    }

    /// Whether the payload of `segment` could be stored, wherever it belongs.
    fn can_store(&self, conn: &NativeConn, segment: &Segment<'_>) -> bool {
        let len = usize::from(segment.payload_len);
        let is_next = segment.seq == conn.tcb.rcv().nxt;
        len == 0
            || (is_next && conn.input.has_room_in_front(&self.inputs, len))
            || conn.input.has_room(&self.inputs, len)
    }

    /// Puts payload where `verdict` says, which came when `unread` bytes were unread; returns
    /// which part of it may stay in the packet.
    fn payload_arrives(
        &mut self,
        conn: &mut NativeConn,
        verdict: &Verdict,
        payload: &[u8],
        unread: u32,
    ) -> Range<usize> {
        let part = |from: u16, len: u16| usize::from(from)..usize::from(from) + usize::from(len);
        for piece in verdict.store.as_slice() {
            let bytes = &payload[part(piece.from, piece.len)];
            conn.input.store(&mut self.inputs, unread + piece.offset, bytes);
        }
        let deliver = part(verdict.deliver.from, verdict.deliver.len);
        if conn.input.is_empty() {
            return deliver;
        }
        conn.input.store(&mut self.inputs, unread, &payload[deliver]);
        0..0
    }

    /// Consumes `count` unread bytes of a connection of which some are stored.
    fn consume_stored(&mut self, conn: &mut NativeConn, count: u32) {
        conn.input.consume(&mut self.inputs, count);
        conn.tcb.offer_at_most(self.room(conn));
        conn.tcb.consume(count);
        // Nothing unread, and nothing behind a hole: then the chunks have nothing in them.
        if !conn.input.is_empty() && conn.tcb.unread_bytes() == 0 && conn.tcb.is_whole() {
            conn.input.clear(&mut self.inputs);
        }
    }

    /// Writes `segment` with its payload as a packet; returns its length in bytes.
    fn emit(&self, conn: &mut NativeConn, segment: &SegmentOut, buffer: &mut [u8]) -> usize {
        let start = emit(self.host.address, conn.flow, segment, buffer);
        let end = start + usize::from(segment.payload_len);
        if end > start {
            let payload = &mut buffer[start..end];
            conn.output.copy_to(&self.outputs, segment.payload_offset, payload);
        }
        end
    }
}

impl NativeConn {
    fn new(tcb: Tcb, flow: Flow) -> Self {
        Self { tcb, flow, output: Output::EMPTY, input: Input::EMPTY, is_dirty: true }
    }
}

impl tcp::SendBuffer for Output {
    fn backlog(&self) -> u32 {
        self.len()
    }
}

/// The segment in an IPv4 packet that was found good.
fn parse(packet: &[u8]) -> Option<Segment<'_>> {
    let header_len = usize::from(packet[0] & 0xf) * 4;
    Segment::parse(&packet[header_len..]).ok()
}

impl Tcp for Native {
    type Conn = NativeConn;
    type Output<'a> = NativeOutput<'a>;

    fn listen(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        reply: &mut [u8],
        counters: &mut Counters,
    ) -> Listened<NativeConn> {
        let Some(segment) = parse(stranger.packet) else {
            return Listened::Drop(Count::RxBadTcpHeader);
        };
        let Self { host, handshakes, .. } = self;
        match handshakes.segment_arrives(now, host, stranger, (&segment, reply), counters) {
            Listened::Complete(half_open) | Listened::Begin(half_open) => {
                let tcb = Tcb::from_half_open(now, &host.config, &half_open);
                Listened::Complete(NativeConn::new(tcb, stranger.flow))
            }
            Listened::Refuse => Listened::Refuse,
            Listened::Drop(count) => Listened::Drop(count),
            Listened::Reply(len) => Listened::Reply(len),
        }
    }

    fn connect(&mut self, now: Instant, flow: Flow) -> Option<NativeConn> {
        let (host, tuple) = (&self.host, self.host.tuple(flow));
        let offset = clock_offset(&host.secret, &tuple);
        let tcb = Tcb::connect(now, &host.config, isn(&host.secret, &tuple, now), offset);
        Some(NativeConn::new(tcb, flow))
    }

    fn half_open(&self) -> usize {
        self.handshakes.len()
    }

    fn handshake_timeout(&self) -> Instant {
        self.handshakes.next_timeout()
    }

    fn poll_handshake(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Option<(usize, Mac)> {
        self.handshakes.poll(now, &self.host, buffer, counters)
    }

    fn drain(&mut self, limit: Instant) {
        self.handshakes.expire_at(limit);
    }

    fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Arrival {
        let Some(mut segment) = parse(packet) else {
            return Arrival { dropped: Some(Count::RxBadTcpHeader), ..Arrival::default() };
        };
        let payload_start = packet.len() - usize::from(segment.payload_len);
        let has_room = self.can_store(conn, &segment);
        if !has_room {
            // What it acknowledges counts; its text is as good as lost, and will be sent again.
            segment.payload_len = 0;
            segment.flags = segment.flags.without(Flags::FIN);
        }
        conn.tcb.offer_at_most(self.room(conn));
        conn.is_dirty = true;
        let unread = conn.tcb.unread_bytes();
        let verdict = conn.tcb.handle_segment(now, &segment);
        conn.output.release(&mut self.outputs, verdict.acked);
        let payload = &packet[payload_start..];
        let part = self.payload_arrives(conn, &verdict, payload, unread);
        let dropped = verdict.dropped.map(count_of);
        Arrival {
            reply: verdict.answer.map(|answer| self.emit(conn, &answer, reply)),
            in_packet: payload_start + part.start..payload_start + part.end,
            dropped: if has_room { dropped } else { Some(Count::RxStoreFull) },
        }
    }

    fn recognises(&self, conn: &NativeConn, packet: &[u8]) -> bool {
        parse(packet).is_some_and(|segment| conn.tcb.recognises(&segment))
    }

    #[inline(always)]
    fn predicted_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        segment: &Segment<'_>,
    ) -> Option<u32> {
        // With nothing stored, there must be room to keep what the application may leave.
        let len = usize::from(segment.payload_len);
        if !conn.input.has_room_in_front(&self.inputs, len) {
            return None;
        }
        let acked = conn.tcb.handle_predicted(now, segment)?;
        conn.tcb.offer_at_most(self.room(conn));
        conn.is_dirty = true;
        conn.output.release(&mut self.outputs, acked);
        Some(acked)
    }

    fn keep(&mut self, conn: &mut NativeConn, bytes: &[u8]) {
        conn.input.store(&mut self.inputs, 0, bytes);
    }

    fn icmp_arrives(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        error: IcmpError,
    ) -> IcmpVerdict {
        conn.is_dirty = true;
        conn.tcb.handle_icmp(now, error)
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if conn.tcb.poll_timeout().is_some_and(|at| at <= now) {
            if conn.tcb.handle_timeout(now) {
                self.repairs.timed_out();
            }
            conn.is_dirty = true;
        }
        conn.tcb.offer_at_most(self.room(conn));
        let Some(segment) = conn.tcb.poll_transmit(now, &conn.output) else {
            conn.is_dirty = false;
            return None;
        };
        self.repairs.sends(segment.cause);
        Some(self.emit(conn, &segment, buffer))
    }

    #[inline(always)]
    fn poll_predicted(
        &mut self,
        now: Instant,
        conn: &mut NativeConn,
        buffer: &mut [u8],
        sums: bool,
    ) -> Option<Answer> {
        if conn.tcb.poll_timeout().is_some_and(|at| at <= now) {
            return None;
        }
        conn.tcb.offer_at_most(self.room(conn));
        let segment = conn.tcb.poll_predicted(now, conn.output.len())?;
        // Asked for before the payload is written, while the timers are at hand.
        let next = conn.tcb.poll_timeout().unwrap_or(Instant::NEVER);
        let start = Answer::payload_start(&segment);
        let payload = &mut buffer[start..start + usize::from(segment.payload_len)];
        let offset = segment.payload_offset;
        let payload_sum = if sums {
            conn.output.copy_summed(&self.outputs, offset, payload)
        } else {
            conn.output.copy_to(&self.outputs, offset, payload);
            Sum::default()
        };
        Some(Answer { segment, payload_sum, next })
    }

    #[inline(always)]
    fn poll_timeout(&mut self, now: Instant, conn: &NativeConn) -> Instant {
        if conn.is_dirty && conn.tcb.has_output(&conn.output) {
            return now;
        }
        conn.tcb.poll_timeout().unwrap_or(Instant::NEVER)
    }

    #[inline]
    fn touch(&self, conn: &NativeConn) -> u64 {
        conn.tcb.touch() ^ u64::from(conn.output.len())
    }

    #[inline]
    fn touch_buffers(&self, conn: &NativeConn) -> u64 {
        conn.output.touch(&self.outputs)
    }

    #[inline]
    fn phase(&self, conn: &NativeConn) -> Phase {
        match conn.tcb.state() {
            State::SynSent | State::SynReceived => Phase::Handshake,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Closed,
            _ => Phase::Open,
        }
    }

    fn ended(&self, conn: &NativeConn) -> Option<Closed> {
        Some(match conn.tcb.closed()? {
            tcp::Closed::Finished => Closed::Finished,
            tcp::Closed::Reset | tcp::Closed::Refused | tcp::Closed::BackToListen => {
                Closed::ResetByPeer
            }
            tcp::Closed::Aborted => Closed::ResetByApp,
            tcp::Closed::TimedOut => Closed::TimedOut,
        })
    }

    fn time_wait(&self, conn: &NativeConn) -> Option<TimeWait> {
        conn.tcb.time_wait()
    }

    #[inline]
    fn is_eof(&self, conn: &NativeConn) -> bool {
        conn.tcb.is_eof()
    }

    #[inline]
    fn backlog(&self, conn: &NativeConn) -> usize {
        conn.output.len() as usize
    }

    fn is_unacknowledged(&self, conn: &NativeConn) -> bool {
        let has_fin = matches!(conn.tcb.state(), State::FinWait1 | State::Closing | State::LastAck);
        has_fin || conn.output.len() > 0
    }

    #[inline]
    fn unread(&self, conn: &NativeConn) -> usize {
        conn.tcb.unread_bytes() as usize
    }

    #[inline(always)]
    fn split<'a>(&'a mut self, conn: &'a mut NativeConn) -> (&'a [u8], NativeOutput<'a>) {
        let input = if conn.input.is_empty() {
            &[]
        } else {
            let stored = conn.tcb.unread_bytes() as usize;
            conn.input.front(&self.inputs, stored, &mut self.scratch)
        };
        conn.is_dirty = true;
        let may_send = matches!(conn.tcb.state(), State::Established | State::CloseWait);
        let limit = if may_send { self.tx_buffer_bytes } else { 0 };
        let short_offers = &self.short_offers;
        let (output, chunks) = (&mut conn.output, &mut self.outputs);
        (input, NativeOutput { output, chunks, limit, short_offers })
    }

    #[inline(always)]
    fn consume(&mut self, conn: &mut NativeConn, count: usize) {
        let count = u32::try_from(count).expect("no more than a window");
        conn.is_dirty = true;
        if !conn.input.is_empty() {
            return self.consume_stored(conn, count);
        }
        conn.tcb.offer_at_most(self.room(conn));
        conn.tcb.consume(count);
    }

    fn close(&mut self, conn: &mut NativeConn) {
        conn.tcb.shutdown();
        conn.is_dirty = true;
    }

    fn abort(&mut self, conn: &mut NativeConn) {
        conn.output.clear(&mut self.outputs);
        conn.tcb.abort();
        conn.is_dirty = true;
    }

    fn release(&mut self, mut conn: NativeConn) {
        conn.output.clear(&mut self.outputs);
        conn.input.clear(&mut self.inputs);
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        visit(Counter("tx_pool_chunks_now"), self.outputs.taken().into());
        visit(Counter("rx_pool_chunks_now"), self.inputs.taken().into());
        visit(Counter("tx_pool_short_offers"), self.short_offers.get());
        self.repairs.visit(visit);
    }
}

/// The send buffer of a connection, while the application may put into it.
#[derive(Debug)]
pub struct NativeOutput<'a> {
    output: &'a mut Output,
    chunks: &'a mut Chunks,
    /// Most bytes in it: none once the connection is closing.
    limit: usize,
    short_offers: &'a Cell<u64>,
}

impl SendBuffer for NativeOutput<'_> {
    /// What the pool has not got comes back with acknowledgements: whoever holds no chunk may take
    /// one, so whoever is offered nothing has output that waits for them.
    fn space(&self) -> usize {
        let wanted = self.limit.saturating_sub(self.output.len() as usize);
        let there = self.output.space(self.chunks);
        if there < wanted {
            self.short_offers.set(self.short_offers.get() + 1);
        }
        there.min(wanted)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.output.len() as usize);
        let fits = bytes.len() <= room && self.output.has_space(self.chunks, bytes.len());
        assert!(fits, "put() of more bytes than space()");
        self.output.put(self.chunks, bytes);
    }

    fn backlog(&self) -> usize {
        self.output.len() as usize
    }
}

/// Under which name a segment that TCP drops is counted.
fn count_of(dropped: Dropped) -> Count {
    match dropped {
        Dropped::NoConnection => Count::RxAfterEnd,
        Dropped::OutOfWindow => Count::RxOutOfWindow,
        Dropped::Paws => Count::RxPaws,
        Dropped::NoTimestamp => Count::RxNoTimestamp,
        Dropped::Reset => Count::RxUnprovenReset,
        Dropped::Syn => Count::RxUnexpectedSyn,
        Dropped::NoAck => Count::RxNoAck,
        Dropped::BadAck => Count::RxBadAck,
        Dropped::TooManyHoles => Count::RxTooManyHoles,
        Dropped::Unwanted => Count::RxUnwanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 20), 40_000);
    const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);

    fn stranger(flow: Flow, packet: &[u8]) -> Stranger<'_> {
        Stranger { flow, mac: [0; 6], packet, begins: true, is_full: false }
    }

    /// Carries a packet from one end to a connection of the other; returns the answer.
    fn carry(tcp: &mut Native, conn: &mut NativeConn, packet: &[u8]) -> Option<Vec<u8>> {
        let mut reply = [0; 1500];
        let arrival = tcp.segment_arrives(Instant::ZERO, conn, packet, &mut reply);
        arrival.reply.map(|len| reply[..len].to_vec())
    }

    #[test]
    fn an_active_open_meets_a_passive_one() {
        let (now, mut buffer, mut reply) = (Instant::ZERO, [0; 1500], [0; 1500]);
        let mut client = Native::new(&Config::new(CLIENT, [1; 16]), 1500);
        let mut server = Native::new(&Config::new(SERVER, [2; 16]), 1500);
        let outgoing = Flow::new(SERVER, CLIENT.port());
        let mut conn = client.connect(now, outgoing).expect("there is room");
        assert_eq!(client.phase(&conn), Phase::Handshake);
        let len = client.poll_transmit(now, &mut conn, &mut buffer).expect("a SYN");
        let flow = Flow::new(CLIENT, SERVER.port());
        let mut counters = Counters::new();
        let listened =
            server.listen(now, &stranger(flow, &buffer[..len]), &mut reply, &mut counters);
        let Listened::Reply(len) = listened else { panic!("{listened:?}") };
        assert_eq!(carry(&mut client, &mut conn, &reply[..len]), None);
        assert_eq!(client.phase(&conn), Phase::Open);
        let len = client.poll_transmit(now, &mut conn, &mut buffer).expect("an ACK");
        let listened =
            server.listen(now, &stranger(flow, &buffer[..len]), &mut reply, &mut counters);
        let Listened::Complete(mut other) = listened else { panic!("{listened:?}") };
        assert_eq!(carry(&mut server, &mut other, &buffer[..len]), None);
        assert_eq!(server.phase(&other), Phase::Open);
        assert_eq!(client.poll_transmit(now, &mut conn, &mut buffer), None);
    }
}
