//! From what TCP wants to say to an IPv4 packet.

use crate::flow::Flow;
use crate::packet::{IPV4_LEN, PROTOCOL_TCP};
use std::net::Ipv4Addr;
use tcp::SegmentOut;

/// Version 4 and a header of five words; no differentiated service, no ECN.
pub(crate) const VERSION_AND_LEN: u8 = 0x45;
/// "Don't fragment", and so an identification of zero (RFC 6864 §4.1).
pub(crate) const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
/// Time to live, as Linux sets it; that of segments is what [`Config`](crate::Config) says.
pub(crate) const HOP_LIMIT: u8 = 64;

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
    let payload = IPV4_LEN + segment.header_len();
    let total = payload + usize::from(segment.payload_len);
    emit_ipv4(address, flow, total, buffer);
    segment.emit(flow.local_port(), flow.peer().port(), &mut buffer[IPV4_LEN..]);
    payload
}

/// Writes the header of a packet of `total` bytes.
#[inline]
fn emit_ipv4(address: Ipv4Addr, flow: Flow, total: usize, buffer: &mut [u8]) {
    assert!(total <= buffer.len(), "a packet of {total} bytes for a link of {}", buffer.len());
    let total = u16::try_from(total).expect("a link carries no more");
    let [len_high, len_low] = total.to_be_bytes();
    let [flags, offset] = DONT_FRAGMENT;
    let [a, b, c, d] = address.octets();
    let ip: &mut [u8; IPV4_LEN] = buffer.first_chunk_mut().expect("a packet has a header");
    // In words of eight bytes, as the checksum reads them.
    ip[..8].copy_from_slice(&[VERSION_AND_LEN, 0, len_high, len_low, 0, 0, flags, offset]);
    ip[8..16].copy_from_slice(&[HOP_LIMIT, PROTOCOL_TCP, 0, 0, a, b, c, d]);
    ip[16..].copy_from_slice(&flow.peer().ip().octets());
}
