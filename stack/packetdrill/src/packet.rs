//! IPv4 packets as packetdrill injects and sniffs them: no Ethernet, no options, no fragments.

use crate::profile::Layout;
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet};
use smoltcp::wire::{IpAddress, TcpPacket};
use std::net::SocketAddrV4;
use tcp::{HEADER_MAX, HEADER_MIN, IcmpKind, Segment, SegmentOut, Seq, Timestamps};

/// Length of an IPv4 header without options, in bytes.
pub(crate) const IPV4_LEN: usize = 20;

/// The two ends of a connection, ours first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow {
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
}

/// What a packet to us carries.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    Tcp {
        flow: Flow,
        segment: Segment<'a>,
        payload: &'a [u8],
    },
    /// An ICMP error that quotes a segment of ours with the sequence number `seq`.
    Icmp {
        flow: Flow,
        kind: IcmpKind,
        seq: Seq,
    },
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not IPv4, cut off, or a fragment.
    Ip,
    /// A checksum does not add up.
    Checksum,
    /// Neither TCP nor an ICMP error about TCP, or its header is cut off.
    Transport,
}

/// Reads a packet, every checksum verified.
pub(crate) fn parse(bytes: &[u8]) -> Result<Packet<'_>, Refused> {
    let ip = Ipv4Packet::new_checked(bytes).map_err(|_| Refused::Ip)?;
    if ip.version() != 4 || ip.more_frags() || ip.frag_offset() != 0 {
        return Err(Refused::Ip);
    }
    if !ip.verify_checksum() {
        return Err(Refused::Checksum);
    }
    match ip.next_header() {
        IpProtocol::Tcp => parse_tcp(&ip),
        IpProtocol::Icmp => parse_icmp(ip.payload()),
        _ => Err(Refused::Transport),
    }
}

fn parse_tcp<'a>(ip: &Ipv4Packet<&'a [u8]>) -> Result<Packet<'a>, Refused> {
    let bytes = ip.payload();
    let tcp = TcpPacket::new_checked(bytes).map_err(|_| Refused::Transport)?;
    let (source, target) = (ip.src_addr(), ip.dst_addr());
    if !tcp.verify_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(target)) {
        return Err(Refused::Checksum);
    }
    let segment = Segment::parse(bytes).map_err(|_| Refused::Transport)?;
    let flow = Flow {
        local: SocketAddrV4::new(target, tcp.dst_port()),
        remote: SocketAddrV4::new(source, tcp.src_port()),
    };
    Ok(Packet::Tcp { flow, segment, payload: tcp.payload() })
}

fn parse_icmp(bytes: &[u8]) -> Result<Packet<'_>, Refused> {
    let icmp = Icmpv4Packet::new_checked(bytes).map_err(|_| Refused::Transport)?;
    if !icmp.verify_checksum() {
        return Err(Refused::Checksum);
    }
    let code = icmp.msg_code();
    let needs_fragmentation = u8::from(Icmpv4DstUnreachable::FragRequired);
    let kind = match icmp.msg_type() {
        Icmpv4Message::DstUnreachable if code == needs_fragmentation => {
            // RFC 1191 §4: the next hop's MTU.
            IcmpKind::FragmentationNeeded(u16::from_be_bytes([bytes[6], bytes[7]]))
        }
        Icmpv4Message::DstUnreachable => IcmpKind::Unreachable(code),
        Icmpv4Message::TimeExceeded => IcmpKind::TimeExceeded,
        Icmpv4Message::ParamProblem => IcmpKind::ParameterProblem,
        Icmpv4Message::Unknown(4) => IcmpKind::SourceQuench,
        _ => return Err(Refused::Transport),
    };
    // RFC 792: the IPv4 header and the first eight bytes behind it, so that nothing about the
    // rest may be checked.
    let quote = bytes.get(8..).unwrap_or_default();
    let ip = Ipv4Packet::new_unchecked(quote);
    let header_len = quote.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    let transport = quote.get(header_len..header_len + 8).ok_or(Refused::Transport)?;
    if header_len < IPV4_LEN || ip.next_header() != IpProtocol::Tcp {
        return Err(Refused::Transport);
    }
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let seq = transport.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let flow = Flow {
        local: SocketAddrV4::new(ip.src_addr(), port(0)),
        remote: SocketAddrV4::new(ip.dst_addr(), port(2)),
    };
    Ok(Packet::Icmp { flow, kind, seq: Seq(seq) })
}

/// Writes a segment as an IPv4 packet, `payload` behind its header.
pub(crate) fn emit(
    flow: &Flow,
    segment: &SegmentOut,
    payload: &[u8],
    layout: Layout,
    ip_fields: IpFields,
) -> Vec<u8> {
    let mut header = [0; HEADER_MAX];
    let len = segment.emit(flow.local.port(), flow.remote.port(), &mut header);
    let mut tcp = header[..len].to_vec();
    if layout == Layout::FreeBsd && segment.options.mss.is_some() {
        lay_out_as_freebsd(segment, &mut tcp);
    }
    tcp.extend(payload);
    let (source, target) = (*flow.local.ip(), *flow.remote.ip());
    let mut checked = TcpPacket::new_unchecked(&mut tcp);
    checked.fill_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(target));
    let mut bytes = vec![0; IPV4_LEN];
    bytes.extend(tcp);
    let total = u16::try_from(bytes.len()).expect("an MSS fits into a packet");
    let mut ip = Ipv4Packet::new_unchecked(&mut bytes);
    ip.set_version(4);
    ip.set_header_len(20);
    ip.set_dscp(ip_fields.tos >> 2);
    ip.set_ecn(ip_fields.tos & 3);
    ip.set_total_len(total);
    ip.set_dont_frag(ip_fields.dont_fragment);
    ip.set_hop_limit(ip_fields.ttl);
    ip.set_next_header(IpProtocol::Tcp);
    ip.set_src_addr(source);
    ip.set_dst_addr(target);
    ip.fill_checksum();
    bytes
}

/// What a socket may choose of the IPv4 header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpFields {
    /// `IP_TTL`
    pub(crate) ttl: u8,
    /// `IP_TOS`
    pub(crate) tos: u8,
    /// `IP_MTU_DISCOVER`: whether routers that the packet is too large for are to say so.
    pub(crate) dont_fragment: bool,
}

impl Default for IpFields {
    fn default() -> Self {
        Self { ttl: 64, tos: 0, dont_fragment: true }
    }
}

/// Writes the options of a SYN in the order of FreeBSD, which its scripts insist on: the window
/// scale behind a NOP and before SACK-permitted, and ends of the list for padding.
fn lay_out_as_freebsd(segment: &SegmentOut, tcp: &mut Vec<u8>) {
    let options = &segment.options;
    let mut bytes = Vec::new();
    if let Some(mss) = options.mss {
        bytes.extend([2, 4]);
        bytes.extend(mss.to_be_bytes());
    }
    if let Some(shift) = options.wscale {
        bytes.extend([1, 3, 3, shift]);
    }
    if options.sack_permitted {
        bytes.extend([4, 2]);
    }
    if let Some(Timestamps { val, ecr }) = options.timestamps {
        if !options.sack_permitted {
            bytes.extend([1, 1]);
        }
        bytes.extend([8, 10]);
        bytes.extend(val.to_be_bytes());
        bytes.extend(ecr.to_be_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    tcp.truncate(HEADER_MIN);
    tcp.extend(bytes);
    // Data offset, in words of four bytes.
    tcp[12] = u8::try_from(tcp.len() / 4).expect("at most 60 bytes") << 4;
}
