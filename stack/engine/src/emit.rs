//! From what TCP wants to say to an IPv4 packet.

use crate::flow::Flow;
use crate::packet::IPV4_LEN;
use std::net::Ipv4Addr;
use tcp::SegmentOut;

/// Version 4 and a header of five words; no differentiated service, no ECN.
const VERSION_AND_LEN: u8 = 0x45;
/// "Don't fragment", and so an identification of zero (RFC 6864 §4.1).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
/// MUST-49: time to live, as Linux sets it.
pub(crate) const HOP_LIMIT: u8 = 64;
const PROTOCOL_TCP: u8 = 6;

/// Writes the headers of `segment`, which goes from `address` along `flow`, to the front of
/// `buffer` as an IPv4 packet; returns where its payload begins. Checksums are the port's affair.
///
/// # Panics
/// If `buffer` has no room for the packet.
pub(crate) fn emit(
    address: Ipv4Addr,
    flow: Flow,
    segment: &SegmentOut,
    buffer: &mut [u8],
) -> usize {
    let peer = flow.peer();
    let payload = IPV4_LEN + segment.header_len();
    let total = payload + usize::from(segment.payload_len);
    assert!(total <= buffer.len(), "a packet of {total} bytes for a link of {}", buffer.len());
    let total = u16::try_from(total).expect("a link carries no more").to_be_bytes();
    let mut ip = [0; IPV4_LEN];
    ip[0] = VERSION_AND_LEN;
    ip[2..4].copy_from_slice(&total);
    ip[6..8].copy_from_slice(&DONT_FRAGMENT);
    ip[8] = HOP_LIMIT;
    ip[9] = PROTOCOL_TCP;
    ip[12..16].copy_from_slice(&address.octets());
    ip[16..20].copy_from_slice(&peer.ip().octets());
    buffer[..IPV4_LEN].copy_from_slice(&ip);
    segment.emit(flow.local_port(), peer.port(), &mut buffer[IPV4_LEN..]);
    payload
}
