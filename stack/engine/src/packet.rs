//! From a received frame to what it is: every check of the Ethernet, IPv4 and TCP headers.
//!
//! Each header is read once, at fixed places: most frames have no options but timestamps, and
//! those lie where everyone puts them (RFC 7323 appendix A).

use crate::checksum::Sum;
use crate::counters::Count;
use crate::flow::Flow;
use smoltcp::wire::{EthernetFrame, TcpOption, TcpPacket};
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::{Flags, HEADER_MIN, Options, Seq, Timestamps};

/// Length of an Ethernet header, in bytes.
pub(crate) const ETHERNET_LEN: usize = EthernetFrame::<&[u8]>::header_len();
/// Length of an IPv4 header without options, in bytes.
pub(crate) const IPV4_LEN: usize = 20;
/// Length of a TCP header without options, in bytes.
pub(crate) const TCP_LEN: usize = HEADER_MIN;

/// Types of Ethernet frames (IANA's "Ether Types").
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
/// IANA's "Protocol Numbers".
const PROTOCOL_ICMP: u8 = 1;
pub(crate) const PROTOCOL_TCP: u8 = 6;
/// What is not zero in flags and fragment offset of a fragment: "more fragments", or an offset.
const FRAGMENT: u16 = 0x3fff;

/// A MAC address.
pub(crate) type Mac = [u8; 6];

/// Who we are on the link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    /// Largest IPv4 packet, in bytes: an answer to a larger one could not be sent.
    pub(crate) mtu: u16,
    /// Whether TCP checksums of received segments are verified here.
    pub(crate) verify_tcp: bool,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packet {
    /// An ARP packet whose payload begins behind the Ethernet header.
    Arp,
    /// An ICMP packet for us. Lengths in bytes.
    Icmp { ip_header_len: usize, ip_len: usize },
    /// A TCP segment for us.
    Tcp(Segment),
}

/// The header of a received TCP segment, with what the engine needs of the headers before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) flow: Flow,
    /// The MAC address it came from.
    pub(crate) mac: Mac,
    /// Length of its IPv4 header and of its IPv4 packet, in bytes.
    pub(crate) ip_header_len: usize,
    pub(crate) ip_len: usize,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) wnd: u16,
    pub(crate) up: u16,
    pub(crate) flags: Flags,
    pub(crate) payload_len: u16,
    /// Whether it has no options but padded timestamps, and those. Others are not read here.
    pub(crate) is_plain: bool,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Segment {
    /// The TCP header. Of its options there are those of a plain one.
    #[inline]
    pub(crate) fn tcp(&self) -> tcp::Segment<'static> {
        tcp::Segment {
            seq: self.seq,
            ack: self.ack,
            wnd: self.wnd,
            up: self.up,
            flags: self.flags,
            payload_len: self.payload_len,
            options: Options { timestamps: self.timestamps, ..Options::default() },
        }
    }

    /// Whether it is to open a connection: it has a SYN and no ACK.
    pub(crate) fn begins(&self) -> bool {
        self.flags.contains(Flags::SYN) && !self.flags.contains(Flags::ACK)
    }
}

/// The 16 bits at `at`; the place is a constant, and so is the outcome of the bounds check.
fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Says what `frame` is, or under which name it is to be dropped.
#[inline(always)]
pub(crate) fn classify(identity: &Identity, frame: &[u8]) -> Result<Packet, Count> {
    let (ethernet, payload) = frame.split_first_chunk::<ETHERNET_LEN>().ok_or(Count::RxRunt)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, type_high, type_low] = *ethernet;
    let (destination, source) = ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]);
    // The lowest bit of the first byte marks multicast and broadcast.
    if s0 & 1 != 0 || source == [0; 6] || source == identity.mac {
        return Err(Count::RxBadSourceMac);
    }
    let to_us = destination == identity.mac;
    match u16::from_be_bytes([type_high, type_low]) {
        ETHERTYPE_IPV4 if to_us => classify_ipv4(identity, source, payload),
        ETHERTYPE_ARP if to_us || destination == [0xff; 6] => Ok(Packet::Arp),
        ETHERTYPE_ARP | ETHERTYPE_IPV4 => Err(Count::RxOtherMac),
        _ => Err(Count::RxUnknownEthertype),
    }
}

#[inline(always)]
fn classify_ipv4(identity: &Identity, mac: Mac, bytes: &[u8]) -> Result<Packet, Count> {
    let ip = bytes.first_chunk::<IPV4_LEN>().ok_or(Count::RxBadIpv4Header)?;
    let ip_header_len = usize::from(ip[0] & 0xf) * 4;
    let total_len = be16(ip, 2);
    let ip_len = usize::from(total_len);
    let is_sound = ip[0] >> 4 == 4 && (IPV4_LEN..=ip_len).contains(&ip_header_len);
    let hop_limit = ip[8];
    if !is_sound || ip_len > bytes.len() || hop_limit == 0 {
        return Err(Count::RxBadIpv4Header);
    }
    let options = &bytes[IPV4_LEN..ip_header_len];
    if !Sum::default().add_short(ip).add_short(options).is_good() {
        return Err(Count::RxBadIpv4Checksum);
    }
    if be32(ip, 16) != identity.address.to_bits() {
        return Err(Count::RxOtherIpv4);
    }
    if be16(ip, 6) & FRAGMENT != 0 {
        return Err(Count::RxFragment);
    }
    let source = Ipv4Addr::from_bits(be32(ip, 12));
    if source == identity.address || !may_be_a_peer(source) {
        return Err(Count::RxBadIpv4Source);
    }
    if total_len > identity.mtu {
        return Err(Count::RxOversize);
    }
    match ip[9] {
        PROTOCOL_TCP => read_tcp(identity, mac, &bytes[..ip_len], ip_header_len),
        PROTOCOL_ICMP => Ok(Packet::Icmp { ip_header_len, ip_len }),
        _ => Err(Count::RxUnknownProtocol),
    }
}

/// RFC 1122 §3.2.1.3: addresses that never are a source. Also refuses the reserved block 240/4.
pub(crate) fn may_be_a_peer(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Reads the segment in `packet`, behind an IPv4 header that was found good.
#[inline(always)]
fn read_tcp(
    identity: &Identity,
    mac: Mac,
    packet: &[u8],
    ip_header_len: usize,
) -> Result<Packet, Count> {
    let bytes = &packet[ip_header_len..];
    let header = bytes.first_chunk::<TCP_LEN>().ok_or(Count::RxBadTcpHeader)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    let (source_port, local_port) = (be16(header, 0), be16(header, 2));
    if !(TCP_LEN..=bytes.len()).contains(&header_len) || source_port == 0 || local_port == 0 {
        return Err(Count::RxBadTcpHeader);
    }
    let payload_len = u16::try_from(bytes.len() - header_len).map_err(|_| Count::RxBadTcpHeader)?;
    if identity.verify_tcp {
        let len = payload_len + u16::from(header[12] >> 4) * 4;
        let sum = Sum::default().add_pseudo_header(&packet[12..20], PROTOCOL_TCP, len);
        if !sum.add(bytes).is_good() {
            return Err(Count::RxBadTcpChecksum);
        }
    }
    let flags = Flags::from_bits(header[13]);
    let control = (Flags::SYN.with(Flags::FIN).with(Flags::RST)).to_bits() & flags.to_bits();
    if control.count_ones() > 1 {
        return Err(Count::RxBadTcpFlags);
    }
    let plain = Options::parse_plain(&bytes[TCP_LEN..header_len]);
    if plain.is_none() {
        check_options(&bytes[TCP_LEN..header_len])?;
    }
    let source = Ipv4Addr::from_bits(be32(packet, 12));
    Ok(Packet::Tcp(Segment {
        flow: Flow::new(SocketAddrV4::new(source, source_port), local_port),
        mac,
        ip_header_len,
        ip_len: packet.len(),
        seq: Seq(be32(header, 4)),
        ack: Seq(be32(header, 8)),
        wnd: be16(header, 14),
        up: be16(header, 18),
        flags,
        payload_len,
        is_plain: plain.is_some(),
        timestamps: plain.and_then(|options| options.timestamps),
    }))
}

/// The flow of the segment that `frame` probably carries, at the places where it usually lies.
/// Nothing is checked: it may be used to look ahead, and for nothing else.
#[inline]
pub(crate) fn peek_flow(frame: &[u8]) -> Option<Flow> {
    let headers = frame.first_chunk::<{ ETHERNET_LEN + IPV4_LEN + TCP_LEN }>()?;
    // The length of the IPv4 header, and the protocol.
    if headers[14] & 0xf != 5 || headers[23] != PROTOCOL_TCP {
        return None;
    }
    let peer = SocketAddrV4::new(Ipv4Addr::from_bits(be32(headers, 26)), be16(headers, 34));
    Some(Flow::new(peer, be16(headers, 36)))
}

/// The number behind a segment that TCP has written, and its acknowledgement; `None` if it has
/// none, as a reset may.
pub(crate) fn sequence_numbers(packet: &[u8]) -> Option<(u32, u32)> {
    let tcp = TcpPacket::new_checked(packet.get(IPV4_LEN..)?).ok()?;
    let control = u32::from(tcp.syn()) + u32::from(tcp.fin());
    let payload_len = u32::try_from(tcp.payload().len()).expect("at most the MTU");
    let seq = tcp.seq_number().0.cast_unsigned();
    let seq_end = seq.wrapping_add(payload_len).wrapping_add(control);
    tcp.ack().then(|| (seq_end, tcp.ack_number().0.cast_unsigned()))
}

/// RFC 9293 §3.1, MUST-7: illegal option lengths are survived. Each step takes at least a byte.
fn check_options(mut options: &[u8]) -> Result<(), Count> {
    while !options.is_empty() {
        match TcpOption::parse(options) {
            Ok((_, TcpOption::EndOfList)) => break,
            Ok((rest, _)) => options = rest,
            Err(_) => return Err(Count::RxBadTcpOptions),
        }
    }
    Ok(())
}
