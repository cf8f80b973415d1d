//! TCP by smoltcp, the off-the-shelf stack, used so that its cost does not depend on how many
//! connections are open.
//!
//! smoltcp walks its socket set for every packet, every transmission and every deadline. But it
//! takes the set as an argument: here each connection has a set of its own, with one socket, and
//! exactly the one packet that belongs to it is presented to it through a device with one slot.
//!
//! What stays smoltcp's: a send and a receive ring of fixed size per connection, a copy into each
//! and one out of each, a retransmission time-out of at least one second, no selective
//! retransmission, window updates and delayed ACKs by its own rules. Congestion control is Reno.
//! The receive ring is never rewound while a connection lives, so a connection that receives
//! enough has touched all of it. After a retransmission time-out, smoltcp acknowledges with a
//! sequence number that it went back to; a peer that does the same (another smoltcp, not Linux)
//! and retransmits at the same time takes none of these, and both stand still until the
//! application gives up.

use crate::counters::{Count, Counters};
use crate::flow::Flow;
use crate::packet::sequence_numbers;
use crate::transport::{Arrival, Listened, Phase, SendBuffer, Stranger, Tcp};
use siphasher::sip::SipHasher13;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Cidr};
use std::net::Ipv4Addr;
use tcp::{Instant, Seq};

/// Buffers are taken from the system in pieces of this size, in bytes, or of one connection's
/// buffers if those are larger.
///
/// Pieces so large come from the kernel as they are, zeroed when they are first touched. Single
/// buffers would come from the heap, and be zeroed at once: then a SYN flood, whose connections
/// never have data, would write all of a connection's buffers for each SYN.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// How long an ACK may wait for output that it can ride on: smoltcp's own default.
const ACK_DELAY: SmolDuration = SmolDuration::from_millis(10);

/// smoltcp as the engine's TCP.
pub struct Smoltcp {
    interface: Interface,
    address: Ipv4Addr,
    mtu: usize,
    rx_buffer_bytes: usize,
    tx_buffer_bytes: usize,
    isn_hasher: SipHasher13,
    /// Sockets whose connection is over.
    spare: Vec<SmolConn>,
    /// Memory for buffers that no socket has had yet.
    fresh: &'static mut [u8],
    /// Where unread input is laid out in one piece.
    input: Vec<u8>,
}

impl std::fmt::Debug for Smoltcp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Smoltcp").field("spare", &self.spare.len()).finish_non_exhaustive()
    }
}

/// One connection: a socket set with one socket.
#[derive(Debug)]
pub struct SmolConn {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// SND.NXT and RCV.NXT by the segments that it has sent: smoltcp does not tell them.
    said: Option<(Seq, Seq)>,
}

impl SmolConn {
    /// Takes note of the segment in `packet`, which is being sent.
    fn note_sent(&mut self, packet: &[u8]) {
        let Some((seq_end, ack)) = sequence_numbers(packet) else { return };
        let (nxt, rcv_nxt) = self.said.unwrap_or((Seq(seq_end), Seq(ack)));
        self.said = Some((nxt.last(Seq(seq_end)), rcv_nxt.last(Seq(ack))));
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

impl Smoltcp {
    /// For a host at `address` on a link of `mtu` bytes. `key` makes initial sequence numbers
    /// unpredictable; buffer sizes are per connection.
    #[must_use]
    pub fn new(
        address: Ipv4Addr,
        mtu: u16,
        (rx_buffer_bytes, tx_buffer_bytes): (usize, usize),
        key: &[u8; 16],
    ) -> Self {
        let mtu = usize::from(mtu);
        Self {
            // Its own sequence numbers are never used: connections open in `accept` and `connect`.
            interface: interface(address, mtu, 0),
            address,
            mtu,
            rx_buffer_bytes,
            tx_buffer_bytes,
            isn_hasher: SipHasher13::new_with_key(key),
            spare: Vec::new(),
            fresh: &mut [],
            input: vec![0; rx_buffer_bytes],
        }
    }

    fn take_socket(&mut self) -> SmolConn {
        let mut conn = match self.spare.pop() {
            Some(conn) => conn,
            None => self.make_socket(),
        };
        conn.said = None;
        let socket = conn.socket_mut();
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(ACK_DELAY));
        socket.set_congestion_control(CongestionControl::Reno);
        conn
    }

    /// Makes a socket. It is used again and again, its memory is never returned: so what is taken
    /// is bounded by the most connections that were ever open at a time.
    fn make_socket(&mut self) -> SmolConn {
        let wanted = self.rx_buffer_bytes + self.tx_buffer_bytes;
        if self.fresh.len() < wanted {
            let piece = vec![0; wanted.max(PIECE_BYTES / wanted * wanted)];
            // smoltcp never gives a buffer back, and a borrowed one must outlive its socket.
            self.fresh = Box::leak(piece.into_boxed_slice());
        }
        let (buffers, fresh) = std::mem::take(&mut self.fresh).split_at_mut(wanted);
        self.fresh = fresh;
        let (rx, tx) = buffers.split_at_mut(self.rx_buffer_bytes);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(Socket::new(SocketBuffer::new(rx), SocketBuffer::new(tx)));
        SmolConn { sockets, handle, said: None }
    }

    /// Makes a connection of the SYN in `packet`, `None` if it is not acceptable.
    fn accept(&mut self, now: Instant, flow: Flow, packet: &[u8]) -> Option<SmolConn> {
        let mut conn = self.take_socket();
        if conn.socket_mut().listen(flow.local_port()).is_err() {
            return None;
        }
        let mut first = interface(self.address, self.mtu, self.isn_seed(now, flow));
        // A SYN that is accepted is answered by `poll_transmit`, one that is not by the engine:
        // what smoltcp may say to it at once, a reset, has no room here and is not sent.
        let mut device = OneSlot::new(self.mtu, Some(packet), &mut []);
        first.poll_ingress_single(to_smol(now), &mut device, &mut conn.sockets);
        if conn.socket().state() == State::SynReceived {
            return Some(conn);
        }
        self.release(conn);
        None
    }

    /// A seed for the initial sequence number of `flow`.
    ///
    /// DEVIATION: RFC 9293 §3.4.1 wants ISN = M + F(4-tuple, secret). smoltcp draws it from a
    /// generator that an observer of a few numbers can predict, and offers no other way to set
    /// it. Seeding a generator for each SYN from a keyed hash of the 4-tuple and the time makes it
    /// unpredictable (MUST-9); it does not make it grow from one incarnation to the next (SHLD-1).
    fn isn_seed(&self, now: Instant, flow: Flow) -> u64 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&flow.to_bytes());
        bytes[8..].copy_from_slice(&now.as_nanos().to_be_bytes());
        self.isn_hasher.hash(&bytes)
    }
}

fn interface(address: Ipv4Addr, mtu: usize, random_seed: u64) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    let mut device = OneSlot::new(mtu, None, &mut []);
    let mut interface = Interface::new(config, &mut device, SmolInstant::ZERO);
    interface.update_ip_addrs(|addresses| {
        let host = IpCidr::Ipv4(Ipv4Cidr::new(address, 32));
        addresses.push(host).expect("smoltcp has room for two addresses");
    });
    interface
}

impl Tcp for Smoltcp {
    type Conn = SmolConn;

    type Output<'a> = &'a mut Socket<'static>;

    fn listen(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        _: &mut [u8],
        _: &mut Counters,
    ) -> Listened<SmolConn> {
        if !stranger.begins {
            return Listened::Refuse;
        }
        if stranger.is_full {
            return Listened::Drop(Count::SynTableFull);
        }
        match self.accept(now, stranger.flow, stranger.packet) {
            Some(conn) => Listened::Begin(conn),
            None => Listened::Drop(Count::SynUnacceptable),
        }
    }

    fn connect(&mut self, now: Instant, flow: Flow) -> Option<SmolConn> {
        let mut conn = self.take_socket();
        // As in `accept`: an interface of a moment, whose generator has a seed of this connection.
        let mut first = interface(self.address, self.mtu, self.isn_seed(now, flow));
        let (peer, local) = (flow.peer(), (self.address, flow.local_port()));
        if conn.socket_mut().connect(first.context(), (*peer.ip(), peer.port()), local).is_ok() {
            return Some(conn);
        }
        self.release(conn);
        None
    }

    fn segment_arrives(
        &mut self,
        now: Instant,
        conn: &mut SmolConn,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Arrival {
        let mut device = OneSlot::new(self.mtu, Some(packet), reply);
        self.interface.poll_ingress_single(to_smol(now), &mut device, &mut conn.sockets);
        let written = device.written;
        if let Some(len) = written {
            conn.note_sent(&reply[..len]);
        }
        Arrival { reply: written, ..Arrival::default() }
    }

    fn recognises(&self, conn: &SmolConn, packet: &[u8]) -> bool {
        let header_len = usize::from(packet[0] & 0xf) * 4;
        let (Ok(segment), Some((snd_nxt, rcv_nxt))) =
            (tcp::Segment::parse(&packet[header_len..]), conn.said)
        else {
            return false;
        };
        let bytes = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // A FIN is outstanding beside what is in the buffer.
        let outstanding = bytes(conn.socket().send_queue()) + 1;
        let buffer = bytes(self.rx_buffer_bytes);
        segment.flags.contains(tcp::Flags::ACK)
            && segment.ack.in_window(snd_nxt - outstanding, outstanding + 1)
            && segment.seq.in_window(rcv_nxt - buffer, 2 * buffer + 1)
    }

    fn keep(&mut self, _: &mut SmolConn, bytes: &[u8]) {
        unreachable!("{} bytes in a packet: smoltcp has stored all it took", bytes.len());
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        conn: &mut SmolConn,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let mut device = OneSlot::new(self.mtu, None, buffer);
        self.interface.poll_egress(to_smol(now), &mut device, &mut conn.sockets);
        let len = device.written?;
        conn.note_sent(&buffer[..len]);
        Some(len)
    }

    fn poll_timeout(&mut self, now: Instant, conn: &SmolConn) -> Instant {
        match self.interface.poll_at(to_smol(now), &conn.sockets) {
            None => Instant::NEVER,
            Some(at) => Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0) * 1000),
        }
    }

    fn phase(&self, conn: &SmolConn) -> Phase {
        match conn.socket().state() {
            State::SynSent | State::SynReceived => Phase::Handshake,
            State::TimeWait => Phase::TimeWait,
            // A reset in SYN-RECEIVED makes smoltcp listen again; here that connection is over.
            State::Closed | State::Listen => Phase::Closed,
            _ => Phase::Open,
        }
    }

    fn is_eof(&self, conn: &SmolConn) -> bool {
        matches!(
            conn.socket().state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        )
    }

    fn backlog(&self, conn: &SmolConn) -> usize {
        conn.socket().send_queue()
    }

    fn is_unacknowledged(&self, conn: &SmolConn) -> bool {
        let socket = conn.socket();
        socket.send_queue() > 0
            || matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck)
    }

    fn unread(&self, conn: &SmolConn) -> usize {
        conn.socket().recv_queue()
    }

    /// smoltcp lends either its receive ring or its send ring, never both at once, and the unread
    /// bytes may lie around the ring's end: so they are copied out, into one piece.
    fn split<'a>(&'a mut self, conn: &'a mut SmolConn) -> (&'a [u8], &'a mut Socket<'static>) {
        let socket = conn.socket_mut();
        let len = socket.peek_slice(&mut self.input).unwrap_or(0);
        (&self.input[..len], socket)
    }

    fn consume(&mut self, conn: &mut SmolConn, mut count: usize) {
        let socket = conn.socket_mut();
        // Twice around at most: the ring lends what lies before its end, then the rest.
        while count > 0 {
            let taken = socket.recv(|bytes| {
                let taken = count.min(bytes.len());
                (taken, taken)
            });
            match taken {
                Ok(taken) if taken > 0 => count -= taken,
                _ => panic!("{count} bytes consumed that were not offered"),
            }
        }
    }

    /// Behind a FIN there is no output that an ACK could wait for. And if the peer's FIN comes with
    /// data, the engine takes the connection out of smoltcp's hands, with the ACK that waits.
    fn close(&mut self, conn: &mut SmolConn) {
        let socket = conn.socket_mut();
        socket.set_ack_delay(None);
        socket.close();
    }

    fn abort(&mut self, conn: &mut SmolConn) {
        conn.socket_mut().abort();
    }

    /// NB: `listen` clears everything but a fast retransmission that is due. A socket that was
    /// reset just then begins its next connection with one segment that no window holds back.
    fn release(&mut self, mut conn: SmolConn) {
        // `listen` wants a closed socket; TIME-WAIT and LISTEN are not.
        conn.socket_mut().abort();
        self.spare.push(conn);
    }
}

impl SendBuffer for &mut Socket<'static> {
    fn space(&self) -> usize {
        if self.may_send() { self.send_capacity() - self.send_queue() } else { 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let put = self.send_slice(bytes);
        assert_eq!(put, Ok(bytes.len()), "bytes were put into a buffer without space");
    }

    fn backlog(&self) -> usize {
        self.send_queue()
    }
}

/// smoltcp counts microseconds. Rounded down, so that no deadline of its seems to have passed.
fn to_smol(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}

/// Longest segment without data: both headers with all their options, in bytes.
const CONTROL_MAX: usize = 20 + 60;

/// A device that holds one packet to receive, and has room for one to send.
struct OneSlot<'a> {
    mtu: usize,
    packet: Option<&'a [u8]>,
    buffer: &'a mut [u8],
    written: Option<usize>,
}

impl<'a> OneSlot<'a> {
    fn new(mtu: usize, packet: Option<&'a [u8]>, buffer: &'a mut [u8]) -> Self {
        Self { mtu, packet, buffer, written: None }
    }
}

struct Received<'a>(&'a [u8]);

struct Room<'a> {
    buffer: &'a mut [u8],
    written: &'a mut Option<usize>,
}

impl Device for OneSlot<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: SmolInstant) -> Option<(Received<'_>, Room<'_>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), Room { buffer: self.buffer, written: &mut self.written }))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Room<'_>> {
        self.written.is_none().then_some(Room { buffer: self.buffer, written: &mut self.written })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // The engine verifies and fills in checksums, or its port does: see `packet` and `port`.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, receive: F) -> R {
        receive(self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, emit: F) -> R {
        match self.buffer.get_mut(..len) {
            Some(room) => {
                *self.written = Some(len);
                emit(room)
            }
            // Only `accept` offers no room, and only a reset is lost there.
            None => emit(&mut [0; CONTROL_MAX][..len]),
        }
    }
}
