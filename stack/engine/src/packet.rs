//! From a received frame to what it is: every check of the Ethernet, IPv4 and TCP headers.

use crate::checksum::Sum;
use crate::counters::Count;
use crate::flow::Flow;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpOption, TcpPacket,
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Length of an Ethernet header, in bytes.
pub(crate) const ETHERNET_LEN: usize = EthernetFrame::<&[u8]>::header_len();
/// Length of an IPv4 header without options, in bytes.
pub(crate) const IPV4_LEN: usize = 20;
/// Length of a TCP header without options, in bytes.
pub(crate) const TCP_LEN: usize = 20;

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
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    /// Length of its payload, in bytes.
    pub(crate) payload_len: u32,
}

/// The control bits that decide where a segment goes.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the bits of the header")]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) ack: bool,
}

impl Segment {
    /// The sequence number behind the segment: SYN and FIN count one each (RFC 9293 §3.4).
    pub(crate) fn seq_end(&self) -> u32 {
        let control = u32::from(self.flags.syn) + u32::from(self.flags.fin);
        self.seq.wrapping_add(self.payload_len).wrapping_add(control)
    }
}

/// Says what `frame` is, or under which name it is to be dropped.
pub(crate) fn classify(identity: &Identity, frame: &[u8]) -> Result<Packet, Count> {
    let ethernet = EthernetFrame::new_checked(frame).map_err(|_| Count::RxRunt)?;
    let EthernetAddress(destination) = ethernet.dst_addr();
    let source = ethernet.src_addr();
    if !source.is_unicast() || source.0 == [0; 6] || source.0 == identity.mac {
        return Err(Count::RxBadSourceMac);
    }
    let to_us = destination == identity.mac;
    match ethernet.ethertype() {
        EthernetProtocol::Arp if to_us || destination == [0xff; 6] => Ok(Packet::Arp),
        EthernetProtocol::Ipv4 if to_us => classify_ipv4(identity, source.0, ethernet.payload()),
        EthernetProtocol::Arp | EthernetProtocol::Ipv4 => Err(Count::RxOtherMac),
        _ => Err(Count::RxUnknownEthertype),
    }
}

fn classify_ipv4(identity: &Identity, mac: Mac, bytes: &[u8]) -> Result<Packet, Count> {
    let ip = Ipv4Packet::new_checked(bytes).map_err(|_| Count::RxBadIpv4Header)?;
    let ip_header_len = usize::from(ip.header_len());
    if ip.version() != 4 || ip_header_len < IPV4_LEN || ip.hop_limit() == 0 {
        return Err(Count::RxBadIpv4Header);
    }
    if !Sum::default().add(&bytes[..ip_header_len]).is_good() {
        return Err(Count::RxBadIpv4Checksum);
    }
    if ip.dst_addr() != identity.address {
        return Err(Count::RxOtherIpv4);
    }
    if ip.more_frags() || ip.frag_offset() != 0 {
        return Err(Count::RxFragment);
    }
    let source = ip.src_addr();
    if source == identity.address || !may_be_a_peer(source) {
        return Err(Count::RxBadIpv4Source);
    }
    if ip.total_len() > identity.mtu {
        return Err(Count::RxOversize);
    }
    let ip_len = usize::from(ip.total_len());
    match ip.next_header() {
        IpProtocol::Tcp => classify_tcp(identity, mac, &ip).map(Packet::Tcp),
        IpProtocol::Icmp => Ok(Packet::Icmp { ip_header_len, ip_len }),
        _ => Err(Count::RxUnknownProtocol),
    }
}

/// RFC 1122 §3.2.1.3: addresses that never are a source. Also refuses the reserved block 240/4.
pub(crate) fn may_be_a_peer(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

fn classify_tcp(identity: &Identity, mac: Mac, ip: &Ipv4Packet<&[u8]>) -> Result<Segment, Count> {
    let bytes = ip.payload();
    let tcp = TcpPacket::new_checked(bytes).map_err(|_| Count::RxBadTcpHeader)?;
    let header_len = usize::from(tcp.header_len());
    if header_len < TCP_LEN || tcp.src_port() == 0 || tcp.dst_port() == 0 {
        return Err(Count::RxBadTcpHeader);
    }
    let len = u16::try_from(bytes.len()).map_err(|_| Count::RxBadTcpHeader)?;
    if identity.verify_tcp {
        let addresses = [ip.src_addr().octets(), ip.dst_addr().octets()];
        let sum = Sum::default().add_pseudo_header(addresses.as_flattened(), 6, len);
        if !sum.add(bytes).is_good() {
            return Err(Count::RxBadTcpChecksum);
        }
    }
    let flags = Flags { syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst(), ack: tcp.ack() };
    if u8::from(flags.syn) + u8::from(flags.fin) + u8::from(flags.rst) > 1 {
        return Err(Count::RxBadTcpFlags);
    }
    check_options(tcp.options())?;
    Ok(Segment {
        flow: Flow::new(SocketAddrV4::new(ip.src_addr(), tcp.src_port()), tcp.dst_port()),
        mac,
        ip_header_len: usize::from(ip.header_len()),
        ip_len: usize::from(ip.total_len()),
        seq: tcp.seq_number().0.cast_unsigned(),
        ack: if flags.ack { tcp.ack_number().0.cast_unsigned() } else { 0 },
        flags,
        payload_len: u32::from(len) - u32::try_from(header_len).expect("at most 60"),
    })
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
