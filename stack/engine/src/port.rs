//! The queue with its transmit burst: frames go out through here, and nowhere else.

use crate::answer::{Answer, Way, write_headers};
use crate::checksum::Sum;
use crate::counters::{Count, Counters};
use crate::flow::Flow;
use crate::packet::{ETHERNET_LEN, IPV4_LEN, Identity, Mac, PROTOCOL_TCP};
use queue::{Burst, Checksum, Frame, Meta, Queue};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};
use std::net::Ipv4Addr;

/// Where the checksum lies in an IPv4 header, and in a TCP header.
const IPV4_CHECKSUM: std::ops::Range<usize> = 10..12;
const TCP_CHECKSUM: std::ops::Range<usize> = 16..18;
/// Where the data offset lies in a TCP header.
const TCP_OFFSET: usize = 12;
/// Where source and destination lie in an IPv4 header.
const IPV4_ADDRESSES: std::ops::Range<usize> = 12..20;
/// Where the time to live lies in an IPv4 header.
const IPV4_HOP_LIMIT: usize = 8;

/// A queue, and what is on its way into it.
#[derive(Debug)]
pub(crate) struct Port<Q> {
    pub(crate) queue: Q,
    pub(crate) identity: Identity,
    fill_tcp: bool,
    /// Time to live of segments.
    hop_limit: u8,
    outgoing: Burst,
}

impl<Q: Queue> Port<Q> {
    pub(crate) fn new(queue: Q, address: Ipv4Addr, hop_limit: u8) -> Self {
        let caps = queue.caps();
        let verify_tcp = caps.rx_checksum == Checksum::Software;
        let identity = Identity { mac: caps.mac, address, mtu: caps.mtu, verify_tcp };
        let fill_tcp = caps.tx_checksum == Checksum::Software;
        Self { queue, identity, fill_tcp, hop_limit, outgoing: Burst::new() }
    }

    /// Whether one more frame can be sent before the next [`flush`](Self::flush).
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.room() > 0
    }

    /// Hands what is waiting to the queue, and kicks it; true if the queue took all of it.
    pub(crate) fn flush(&mut self) -> bool {
        self.queue.tx_burst(&mut self.outgoing);
        self.outgoing.is_empty()
    }

    /// Sends `frame`, which is complete.
    #[inline]
    pub(crate) fn send(&mut self, frame: Frame, counters: &mut Counters) {
        if !self.has_room() {
            self.flush();
        }
        if let Err(frame) = self.outgoing.push(frame) {
            counters.add(Count::ReplyDropped);
            self.queue.free(frame);
        }
    }

    /// Room for an IPv4 packet of at most `mtu` bytes in `frame`.
    pub(crate) fn packet_mut(&mut self, frame: &mut Frame, mtu: usize) -> &mut [u8] {
        let room = u16::try_from(ETHERNET_LEN + mtu).expect("a frame holds a packet of the MTU");
        &mut self.queue.bytes_mut(frame, room)[ETHERNET_LEN..]
    }

    /// Puts the Ethernet header and the checksums on the IPv4 packet of `ip_len` bytes that lies
    /// behind the room for them in `frame`, and sends it to `mac`.
    pub(crate) fn send_tcp(
        &mut self,
        mut frame: Frame,
        ip_len: usize,
        mac: Mac,
        counters: &mut Counters,
    ) {
        let source = self.identity.mac;
        let len = u16::try_from(ETHERNET_LEN + ip_len).expect("a packet is at most the MTU");
        let bytes = self.queue.bytes_mut(&mut frame, len);
        write_ethernet(bytes, source, mac, EthernetProtocol::Ipv4);
        bytes[ETHERNET_LEN + IPV4_HOP_LIMIT] = self.hop_limit;
        let meta = seal(&mut bytes[ETHERNET_LEN..], self.fill_tcp);
        frame.mark(meta);
        counters.add(Count::TxSegments);
        self.send(frame, counters);
    }

    /// Whether the checksums of segments are computed here, not by the port.
    pub(crate) fn fills_checksums(&self) -> bool {
        self.fill_tcp
    }

    /// Puts all headers before the payload of `answer` in `frame`, and sends it to `target`.
    #[inline]
    pub(crate) fn send_answer(
        &mut self,
        mut frame: Frame,
        (target, flow): (Mac, Flow),
        answer: &Answer,
        counters: &mut Counters,
    ) {
        let Identity { mac: source, address, .. } = self.identity;
        let way = Way { address, source, target, flow, hop_limit: self.hop_limit };
        let Answer { segment, payload_sum, .. } = answer;
        let headers_len = ETHERNET_LEN + Answer::payload_start(segment);
        let len = headers_len + usize::from(segment.payload_len);
        let len = u16::try_from(len).expect("at most the MTU");
        let bytes = self.queue.bytes_mut(&mut frame, len);
        let payload_sum = self.fill_tcp.then_some(*payload_sum);
        write_headers(bytes, &way, segment, payload_sum);
        frame.mark(if self.fill_tcp { Meta::default() } else { Meta::CHECKSUM_FILL });
        counters.add(Count::TxSegments);
        self.send(frame, counters);
    }

    /// Sends the IPv4 packet `packet`, in the frame that brought the segment it answers.
    ///
    /// So a reply never fails for want of a frame, however many connections wait for one.
    pub(crate) fn reply_tcp(
        &mut self,
        mut frame: Frame,
        packet: &[u8],
        mac: Mac,
        counters: &mut Counters,
    ) {
        let len = u16::try_from(ETHERNET_LEN + packet.len()).expect("at most the MTU");
        self.queue.bytes_mut(&mut frame, len)[ETHERNET_LEN..].copy_from_slice(packet);
        self.send_tcp(frame, packet.len(), mac, counters);
    }

    /// Frees what the queue never took. The queue gets every frame back that it lent.
    pub(crate) fn close(&mut self) {
        self.flush();
        for frame in self.outgoing.drain(self.outgoing.len()) {
            self.queue.free(frame);
        }
    }
}

/// Writes an Ethernet header to the front of `frame`.
pub(crate) fn write_ethernet(frame: &mut [u8], source: Mac, target: Mac, kind: EthernetProtocol) {
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    ethernet.set_dst_addr(EthernetAddress(target));
    ethernet.set_src_addr(EthernetAddress(source));
    ethernet.set_ethertype(kind);
}

/// Completes the checksums of a TCP segment in an IPv4 packet without options.
///
/// Where the port completes TCP checksums itself, it finds the sum of the pseudo-header in the
/// checksum's place, as hardware wants it, and the returned marks ask for it.
#[inline]
fn seal(packet: &mut [u8], fill_tcp: bool) -> Meta {
    let (ip, tcp) = packet.split_first_chunk_mut::<IPV4_LEN>().expect("an IPv4 header");
    fill_ipv4_checksum(ip);
    let len = u16::try_from(tcp.len()).expect("at most the MTU");
    let pseudo = Sum::default().add_pseudo_header(&ip[IPV4_ADDRESSES], PROTOCOL_TCP, len);
    if fill_tcp {
        // The payload was written by itself, and is read so.
        let header_len = usize::from(tcp[TCP_OFFSET] >> 4) * 4;
        let (header, payload) = tcp.split_at(header_len);
        let before = [header[TCP_CHECKSUM.start], header[TCP_CHECKSUM.start + 1]];
        let sum = pseudo.add_short(header).add(payload).without(before);
        tcp[TCP_CHECKSUM].copy_from_slice(&sum.complement());
        Meta::default()
    } else {
        tcp[TCP_CHECKSUM].copy_from_slice(&pseudo.partial());
        Meta::CHECKSUM_FILL
    }
}

/// Computes the checksum of an IPv4 header and writes it.
#[inline]
pub(crate) fn fill_ipv4_checksum(header: &mut [u8]) {
    let before = [header[IPV4_CHECKSUM.start], header[IPV4_CHECKSUM.start + 1]];
    let sum = Sum::default().add_short(header).without(before);
    header[IPV4_CHECKSUM].copy_from_slice(&sum.complement());
}
