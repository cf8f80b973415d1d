//! Answers that need no connection: ARP, ICMP echo, and resets.

use crate::checksum::Sum;
use crate::counters::Count;
use crate::emit::{HOP_LIMIT, emit};
use crate::packet::{ETHERNET_LEN, IPV4_LEN, Identity, Mac, Segment, TCP_LEN};
use crate::port::{fill_ipv4_checksum, write_ethernet};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet,
};
use std::net::Ipv4Addr;

/// Length of an ARP packet for Ethernet and IPv4, in bytes.
const ARP_LEN: usize = 28;
/// Length of a frame that answers an ARP request.
pub(crate) const ARP_REPLY_LEN: u16 = 42;
const _: () = assert!(ARP_REPLY_LEN as usize == ETHERNET_LEN + ARP_LEN);

/// Whether `frame` is an ARP packet, request or reply, whose sender says that our address is his.
/// That he is not us, his frame's source has shown.
pub(crate) fn claims_our_address(identity: &Identity, frame: &[u8]) -> bool {
    let arp = ArpPacket::new_checked(&frame[ETHERNET_LEN..]);
    matches!(
        arp.as_ref().map(ArpRepr::parse),
        Ok(Ok(ArpRepr::EthernetIpv4 { source_protocol_addr, .. }))
            if source_protocol_addr == identity.address
    )
}

/// Turns the ARP request in `frame` into the reply, [`ARP_REPLY_LEN`] bytes long.
///
/// RFC 826: only a request for our address is answered, and nothing is learnt from it.
pub(crate) fn answer_arp(identity: &Identity, frame: &mut [u8]) -> Result<(), Count> {
    let request = ArpPacket::new_checked(&frame[ETHERNET_LEN..]).map_err(|_| Count::RxOtherArp)?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&request).map_err(|_| Count::RxOtherArp)?
    else {
        return Err(Count::RxOtherArp);
    };
    if target_protocol_addr != identity.address || !source_hardware_addr.is_unicast() {
        return Err(Count::RxOtherArp);
    }
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(identity.mac),
        source_protocol_addr: identity.address,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    reply.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_LEN..ETHERNET_LEN + ARP_LEN]));
    turn_around(identity.mac, frame, EthernetProtocol::Arp);
    Ok(())
}

/// An ICMP header up to and with its checksum.
const ICMP_ECHO_LEN: usize = 8;
const ICMP_CHECKSUM: std::ops::Range<usize> = 2..4;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// Turns the echo request in `frame` into the reply, of the same length (RFC 792).
///
/// `ip_header_len` and `ip_len` are those of [`Packet::Icmp`](crate::packet::Packet::Icmp).
pub(crate) fn answer_echo(
    identity: &Identity,
    frame: &mut [u8],
    ip_header_len: usize,
    ip_len: usize,
) -> Result<(), Count> {
    let (ip, icmp) = frame[ETHERNET_LEN..ETHERNET_LEN + ip_len].split_at_mut(ip_header_len);
    if icmp.len() < ICMP_ECHO_LEN || !Sum::default().add(icmp).is_good() {
        return Err(Count::RxBadIcmp);
    }
    // DEVIATION: RFC 1122 §3.2.2.6 wants IP options reflected; a request with options is dropped
    // because options invite nothing but attacks.
    if icmp[0] != ECHO_REQUEST || icmp[1] != 0 || ip_header_len != IPV4_LEN {
        return Err(Count::RxOtherIcmp);
    }
    icmp[0] = ECHO_REPLY;
    icmp[ICMP_CHECKSUM].fill(0);
    let checksum = Sum::default().add(icmp).complement();
    icmp[ICMP_CHECKSUM].copy_from_slice(&checksum);
    let mut header = Ipv4Packet::new_unchecked(&mut *ip);
    let peer = header.src_addr();
    header.set_src_addr(identity.address);
    header.set_dst_addr(peer);
    header.set_hop_limit(HOP_LIMIT);
    fill_ipv4_checksum(ip);
    turn_around(identity.mac, frame, EthernetProtocol::Ipv4);
    Ok(())
}

/// Sends the frame back to the MAC address it came from.
fn turn_around(mac: Mac, frame: &mut [u8], kind: EthernetProtocol) {
    let EthernetAddress(peer) = EthernetFrame::new_unchecked(&*frame).src_addr();
    write_ethernet(frame, mac, peer, kind);
}

/// Length of the IPv4 packet of a segment without options and data.
pub(crate) const CONTROL_LEN: usize = IPV4_LEN + TCP_LEN;
/// Such a packet.
pub(crate) type ControlPacket = [u8; CONTROL_LEN];

/// The reset that answers a segment of no connection, `None` if that is a reset itself.
///
/// RFC 9293 §3.10.7.1: "If the ACK bit is off, sequence number zero is used,
/// `<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>`. If the ACK bit is on, `<SEQ=SEG.ACK><CTL=RST>`."
pub(crate) fn reset_for(address: Ipv4Addr, segment: &Segment) -> Option<ControlPacket> {
    let reset = segment.tcp().reset()?;
    let mut packet = [0; CONTROL_LEN];
    emit(address, segment.flow, &reset, &mut packet);
    Some(packet)
}
