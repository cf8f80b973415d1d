//! Receive: what a frame is, whom it concerns, and what it is answered with at once.

use crate::app::{App, Closed};
use crate::core::Core;
use crate::counters::Count;
use crate::emit::emit;
use crate::flow::Flow;
use crate::icmp::{count_of, parse_error};
use crate::neighbours::{ARP_REQUEST_LEN, read_arp_reply, write_arp_request};
use crate::packet::{ETHERNET_LEN, Packet, Segment, classify, peek_flow};
use crate::port::Port;
use crate::reply::{
    ARP_REPLY_LEN, ControlPacket, answer_arp, answer_echo, claims_our_address, reset_for,
};
use crate::table::{Connection, NOWHERE};
use crate::time_wait::Verdict;
use crate::transport::{Arrival, Listened, Phase, Stranger, Tcp};
use queue::{BURST_MAX, Frame, Queue};
use std::net::Ipv4Addr;
use std::time::Duration;
use tcp::{Flags, IcmpError, Instant};

/// What connections and their buffers take, in bytes, from which on it is worth looking ahead:
/// below it, they lie in the second-level cache of all machines that we know.
const LOOK_AHEAD_BYTES: usize = 1 << 20;
/// Of that, a connection's share beside itself: a chunk of output.
const BUFFER_BYTES: usize = 1 << 10;

/// From one defence of our address to the next, at least (RFC 5227 §1.1, DEFEND_INTERVAL).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl<A: App, T: Tcp> Core<A, T> {
    const CONNECTION_BYTES: usize = size_of::<Connection<A::Conn, T::Conn>>();

    /// Finds the connections that a burst of frames is about, and brings them into the cache.
    ///
    /// With many connections open, none is in a cache when its turn comes. Nothing else is done
    /// between these loads, so that the memory answers many of them at a time; one after the
    /// other, with a segment's work between them, each would be waited for in full. What is found
    /// goes to `ahead`, and is no more than a hint: nothing was checked. With few connections
    /// nothing is looked for.
    pub(crate) fn look_ahead<Q: Queue>(
        &self,
        queue: &Q,
        frames: &[Frame],
        ahead: &mut [u32; BURST_MAX],
    ) {
        if self.table.len() * (Self::CONNECTION_BYTES + BUFFER_BYTES) < LOOK_AHEAD_BYTES {
            return;
        }
        let flows = || frames.iter().map(|frame| peek_flow(queue.bytes(frame)));
        let mut sum = 0;
        // Whether a search goes on depends on what it finds, so that one which is guessed wrong
        // would keep the next ones waiting for the memory: first there is no search, only loads.
        for flow in flows().flatten() {
            sum ^= self.table.touch_flow(flow);
        }
        for (place, flow) in ahead.iter_mut().zip(flows()) {
            *place = flow.and_then(|flow| self.table.find(flow)).unwrap_or(NOWHERE);
        }
        if frames.len() < 2 {
            return;
        }
        let connections = || ahead.iter().filter_map(|place| self.table.look_at(*place));
        for connection in connections() {
            sum ^= connection.touch() ^ self.tcp.touch(&connection.tcp);
        }
        for connection in connections() {
            sum ^= self.tcp.touch_buffers(&connection.tcp);
        }
        // The sum is nothing; but without a use of it nothing would be loaded.
        std::hint::black_box(sum);
    }

    /// A frame arrives; if it is a segment, its connection was at `place` a moment ago.
    pub(crate) fn frame_arrives<Q: Queue>(
        &mut self,
        now: Instant,
        port: &mut Port<Q>,
        frame: Frame,
        place: u32,
    ) {
        match classify(&port.identity, port.queue.bytes(&frame)) {
            Ok(Packet::Tcp(segment)) => {
                self.segment_arrives(now, port, frame, (segment, place));
            }
            Ok(Packet::Arp) => self.arp_arrives(now, port, frame),
            Ok(Packet::Icmp { ip_header_len, ip_len }) => {
                self.icmp_arrives(now, port, frame, (ip_header_len, ip_len));
            }
            Err(reason) => {
                self.counters.add(reason);
                port.queue.free(frame);
            }
        }
    }

    fn arp_arrives<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>, mut frame: Frame) {
        let identity = port.identity;
        let len = frame.len();
        if claims_our_address(&identity, port.queue.bytes(&frame)) {
            return self.conflict_arrives(now, port, frame);
        }
        if let Some((address, mac)) = read_arp_reply(&identity, port.queue.bytes(&frame)) {
            port.queue.free(frame);
            return self.neighbour_answers(now, address, mac);
        }
        let outcome = match answer_arp(&identity, port.queue.bytes_mut(&mut frame, len)) {
            Ok(()) if self.arp_limit.allow(now) => Count::ArpReplies,
            Ok(()) => Count::ArpSuppressed,
            Err(reason) => reason,
        };
        self.counters.add(outcome);
        if outcome == Count::ArpReplies {
            // Cuts off the padding behind the request, which is none of our bytes.
            port.queue.bytes_mut(&mut frame, ARP_REPLY_LEN);
            port.send(frame, &mut self.counters);
        } else {
            port.queue.free(frame);
        }
    }

    /// RFC 5227 §2.4 (c): a host that must keep its address defends it, but not all the time.
    fn conflict_arrives<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>, mut frame: Frame) {
        self.counters.add(Count::ArpConflicts);
        if now < self.may_defend_at {
            return port.queue.free(frame);
        }
        self.may_defend_at = now + DEFEND_INTERVAL;
        self.counters.add(Count::ArpDefences);
        let identity = port.identity;
        write_arp_request(
            &identity,
            identity.address,
            port.queue.bytes_mut(&mut frame, ARP_REQUEST_LEN),
        );
        port.send(frame, &mut self.counters);
    }

    fn icmp_arrives<Q: Queue>(
        &mut self,
        now: Instant,
        port: &mut Port<Q>,
        mut frame: Frame,
        (ip_header_len, ip_len): (usize, usize),
    ) {
        let identity = port.identity;
        // Cuts off the padding behind the packet, as above.
        let len = u16::try_from(ETHERNET_LEN + ip_len).expect("not longer than the frame");
        let bytes = port.queue.bytes_mut(&mut frame, len);
        let outcome = match answer_echo(&identity, bytes, ip_header_len, ip_len) {
            Ok(()) if self.echo_limit.allow(now) => Count::EchoReplies,
            Ok(()) => Count::EchoSuppressed,
            Err(Count::RxOtherIcmp) => {
                let icmp = &bytes[ETHERNET_LEN + ip_header_len..];
                parse_error(identity.address, icmp).map_or(Count::RxOtherIcmp, |(flow, error)| {
                    self.error_arrives(now, flow, error)
                })
            }
            Err(reason) => reason,
        };
        self.counters.add(outcome);
        if outcome == Count::EchoReplies {
            port.send(frame, &mut self.counters);
        } else {
            port.queue.free(frame);
        }
    }

    /// MUST-54: an ICMP error reaches the connection whose segment it quotes.
    fn error_arrives(&mut self, now: Instant, flow: Flow, error: IcmpError) -> Count {
        let Some(index) = self.table.find(flow) else { return Count::IcmpNoConnection };
        let verdict = self.tcp.icmp_arrives(now, &mut self.table.at(index).tcp, error);
        self.table.push_output(index);
        count_of(verdict)
    }

    #[inline(always)]
    fn segment_arrives<Q: Queue>(
        &mut self,
        now: Instant,
        port: &mut Port<Q>,
        frame: Frame,
        (segment, place): (Segment, u32),
    ) {
        self.counters.add(Count::RxSegments);
        let packet = &port.queue.bytes(&frame)[ETHERNET_LEN..ETHERNET_LEN + segment.ip_len];
        let index = self.table.find_at(segment.flow, place);
        if index.is_some_and(|index| self.connection_expects(now, index, &segment, packet)) {
            return port.queue.free(frame);
        }
        self.segment_is_heard(now, port, frame, (segment, index));
    }

    /// A segment that was not predicted, of the connection at `index` or of none.
    ///
    /// It comes by value, so that one that was predicted need never lie in memory.
    #[inline(never)]
    fn segment_is_heard<Q: Queue>(
        &mut self,
        now: Instant,
        port: &mut Port<Q>,
        frame: Frame,
        (segment, index): (Segment, Option<u32>),
    ) {
        let segment = &segment;
        let packet = &port.queue.bytes(&frame)[ETHERNET_LEN..ETHERNET_LEN + segment.ip_len];
        let (reply_len, mac) = match index {
            Some(index) => {
                let reply_len = self.connection_hears(now, index, segment, packet);
                (reply_len, self.table.at(index).mac.unwrap_or(segment.mac))
            }
            None => {
                let address = port.identity.address;
                (self.stranger_arrives(now, address, segment, packet), segment.mac)
            }
        };
        match reply_len {
            Some(len) => port.reply_tcp(frame, &self.reply[..len], mac, &mut self.counters),
            None => port.queue.free(frame),
        }
    }

    /// Header prediction: whether a connection that has nothing else on its mind was waiting for
    /// just this segment. If so it is dealt with as
    /// [`connection_hears`](Self::connection_hears) would have dealt with it.
    #[inline(always)]
    fn connection_expects(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment,
        packet: &[u8],
    ) -> bool {
        let connection = self.table.at(index);
        let is_same_way = connection.mac == Some(segment.mac);
        if !is_same_way || !segment.is_plain || !connection.is_at_ease() {
            return false;
        }
        let acked = self.tcp.predicted_arrives(now, &mut connection.tcp, &segment.tcp());
        let Some(acked) = acked else { return false };
        connection.heard_at = now;
        if acked > 0 {
            connection.waiting_since = now;
        }
        let payload = &packet[packet.len() - usize::from(segment.payload_len)..];
        if payload.is_empty() {
            self.push_output_after_ack(index);
        } else {
            self.tell_predicted(now, index, payload);
        }
        true
    }

    /// A segment of a connection in the table; returns the length of the reply.
    fn connection_hears(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment,
        packet: &[u8],
    ) -> Option<usize> {
        let connection = self.table.at(index);
        connection.heard_at = now;
        if connection.mac != Some(segment.mac) {
            // Whoever knows no more than the ports must not draw answers, which tell the sequence
            // numbers, to himself. Asked before TCP moves on, while the numbers are still expected.
            let is_peer = self.tcp.recognises(&connection.tcp, packet);
            if is_peer {
                connection.mac = Some(segment.mac);
            }
            self.counters.add(if is_peer { Count::PeerMoved } else { Count::RxUnprovenMac });
        }
        let phase_before = self.tcp.phase(&connection.tcp);
        let backlog_before = self.tcp.backlog(&connection.tcp);
        let Arrival { reply, in_packet, dropped } =
            self.tcp.segment_arrives(now, &mut connection.tcp, packet, &mut self.reply);
        if let Some(dropped) = dropped {
            self.counters.add(dropped);
        }
        if self.tcp.backlog(&connection.tcp) < backlog_before {
            connection.waiting_since = now;
        }
        if let Some(len) = reply {
            connection.note_sent(&self.reply[..len]);
        }
        let phase = self.tcp.phase(&connection.tcp);
        if phase != phase_before {
            self.phase_changes(now, index, segment, (phase_before, phase));
        }
        self.discard_after_close(index);
        let fresh = &packet[in_packet];
        if !fresh.is_empty() && self.tcp.unread(&self.table.at(index).tcp) > 0 {
            self.tell(now, index, fresh);
        } else if self.has_event(index) {
            self.table.push_input(index);
        }
        self.push_output_after_ack(index);
        reply
    }

    fn phase_changes(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment,
        (before, phase): (Phase, Phase),
    ) {
        let connection = self.table.at(index);
        if phase == Phase::Closed {
            // RFC 1337: a reset in TIME-WAIT, which both sides reached in good order, is none.
            let is_reset = segment.flags.contains(Flags::RST) && before != Phase::TimeWait;
            let seen = if is_reset { Closed::ResetByPeer } else { Closed::Finished };
            let why = self.tcp.ended(&connection.tcp).unwrap_or(seen);
            // What has ended in good order is still read to its end.
            if why != Closed::Finished {
                connection.ended.get_or_insert(why);
            }
        }
        if before == Phase::Handshake && phase == Phase::Open {
            self.handshake_completes(now, index);
        }
    }

    fn handshake_completes(&mut self, now: Instant, index: u32) {
        self.counters.add(Count::Opened);
        self.table.opened(index);
        let id = self.table.id(index);
        let connection = self.table.at(index);
        connection.limit_timer = Instant::NEVER;
        connection.must_drain = self.is_draining;
        let peer = connection.flow.peer();
        connection.app = match connection.token {
            None => self.app.opened(now, id, peer),
            Some(token) => self.app.connected(now, id, peer, token),
        };
        if connection.app.is_none() {
            self.counters.add(Count::OpenRefused);
            self.abort(index, Closed::ResetByApp);
        }
    }

    /// A segment of no connection in the table; returns the length of the reply.
    fn stranger_arrives(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        segment: &Segment,
        packet: &[u8],
    ) -> Option<usize> {
        match self.time_wait_hears(now, segment, packet) {
            Some(Verdict::Ignore) => return None,
            Some(Verdict::Answer(answer)) => {
                self.counters.add(Count::TimeWaitAcks);
                return Some(emit(address, segment.flow, &answer, &mut self.reply));
            }
            Some(Verdict::Reopen) => self.counters.add(Count::TimeWaitReused),
            None => {}
        }
        if segment.flow.local_port() != self.config.listen.port() {
            return self.refuse(now, address, segment);
        }
        let begins = segment.begins();
        if begins && self.is_draining {
            self.counters.add(Count::SynDraining);
            return self.refuse(now, address, segment);
        }
        self.listener_hears(now, address, segment, packet)
    }

    fn time_wait_hears(
        &mut self,
        now: Instant,
        segment: &Segment,
        packet: &[u8],
    ) -> Option<Verdict> {
        if self.time_wait.len() == 0 {
            return None;
        }
        let parsed = tcp::Segment::parse(&packet[segment.ip_header_len..]);
        self.time_wait.segment_arrives(now, segment.flow, &parsed.ok()?)
    }

    /// RFC 9293 §3.10.7.2, "LISTEN": returns the length of the reply.
    fn listener_hears(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        segment: &Segment,
        packet: &[u8],
    ) -> Option<usize> {
        let begins = segment.begins();
        if begins && self.table.half_open() >= self.config.half_open as usize {
            self.counters.add(Count::SynBacklogFull);
            return None;
        }
        let Segment { flow, mac, .. } = *segment;
        let stranger = Stranger { flow, mac, packet, begins, is_full: self.table.is_full() };
        let Self { tcp, reply, counters, .. } = self;
        match tcp.listen(now, &stranger, reply, counters) {
            Listened::Refuse => self.refuse(now, address, segment),
            Listened::Drop(reason) => {
                self.counters.add(reason);
                None
            }
            Listened::Reply(len) => Some(len),
            Listened::Begin(tcp) => {
                self.counters.add(Count::HalfOpened);
                let index = self.enter(now, segment, tcp);
                self.table.push_output(index);
                None
            }
            Listened::Complete(tcp) => {
                let index = self.enter(now, segment, tcp);
                self.connection_hears(now, index, segment, packet)
            }
        }
    }

    /// Enters a connection whose handshake is not complete; the table must not be full.
    fn enter(&mut self, now: Instant, segment: &Segment, tcp: T::Conn) -> u32 {
        let limit = now + self.config.handshake_timeout;
        let connection = Connection::new(now, tcp, segment.flow, Some(segment.mac), limit);
        let index = self.table.insert(connection);
        self.table.reschedule(index);
        index
    }

    /// RFC 9293 §3.10.7.1, "CLOSED": a reset answers, as often as the rate limit allows.
    fn refuse(&mut self, now: Instant, address: Ipv4Addr, segment: &Segment) -> Option<usize> {
        let reset = reset_for(address, segment)?;
        if self.reset_limit.allow(now) {
            self.counters.add(Count::UnknownReset);
            Some(self.reply_with(reset))
        } else {
            self.counters.add(Count::UnknownSuppressed);
            None
        }
    }

    fn reply_with(&mut self, packet: ControlPacket) -> usize {
        self.reply[..packet.len()].copy_from_slice(&packet);
        packet.len()
    }
}
