//! The frame of an answer in the usual case: every header and both checksums, written at once.
//!
//! What goes into a checksum is summed while it is at hand, in registers, and not read back from
//! the frame: neither the headers nor, as it is copied, the payload.

use crate::checksum::Sum;
use crate::emit::{DONT_FRAGMENT, VERSION_AND_LEN};
use crate::flow::Flow;
use crate::packet::{ETHERNET_LEN, ETHERTYPE_IPV4, IPV4_LEN, Mac, PROTOCOL_TCP};
use std::net::Ipv4Addr;
use std::ops::Range;
use tcp::{Instant, PlainOut};

/// Headers before that of TCP, in bytes.
const BEFORE_TCP: usize = ETHERNET_LEN + IPV4_LEN;
/// Where the checksum lies in a TCP header.
const TCP_CHECKSUM: Range<usize> = 16..18;

/// What [`Tcp::poll_predicted`](crate::Tcp::poll_predicted) sends. Its payload lies in its frame.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The header.
    pub(crate) segment: PlainOut,
    /// The sum of the payload, if it was asked for.
    pub(crate) payload_sum: Sum,
    /// When there may be something to send again.
    pub(crate) next: Instant,
}

impl Answer {
    /// Where the payload of `segment` begins in its IPv4 packet.
    pub(crate) fn payload_start(segment: &PlainOut) -> usize {
        IPV4_LEN + segment.header_len()
    }
}

/// Who sends an answer, and how it gets to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) address: Ipv4Addr,
    pub(crate) source: Mac,
    pub(crate) target: Mac,
    pub(crate) flow: Flow,
    /// Time to live.
    pub(crate) hop_limit: u8,
}

/// Writes the headers of `segment` to the front of `frame`, which holds nothing else but the
/// payload behind them; `payload_sum` is `None` where the port completes the TCP checksum, and
/// wants to find that of the pseudo-header in its place.
///
/// # Panics
/// If `frame` has no room for the headers.
#[inline(always)]
pub(crate) fn write_headers(
    frame: &mut [u8],
    way: &Way,
    segment: &PlainOut,
    payload_sum: Option<Sum>,
) {
    let ip_len = u16::try_from(frame.len() - ETHERNET_LEN).expect("at most the MTU");
    let (before, tcp) = frame.split_first_chunk_mut::<BEFORE_TCP>().expect("room for headers");
    let peer = way.flow.peer();
    let addresses = u64::from(way.address.to_bits()) + u64::from(peer.ip().to_bits());

    before[0..6].copy_from_slice(&way.target);
    before[6..12].copy_from_slice(&way.source);
    before[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
    let ip = &mut before[ETHERNET_LEN..];
    let words = [
        u32::from_be_bytes([VERSION_AND_LEN, 0, 0, 0]) | u32::from(ip_len),
        u32::from_be_bytes([0, 0, DONT_FRAGMENT[0], DONT_FRAGMENT[1]]),
        u32::from_be_bytes([way.hop_limit, PROTOCOL_TCP, 0, 0]),
    ];
    let checksum = Sum::of_values(addresses + words.map(u64::from).iter().sum::<u64>());
    for (place, word) in ip.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_be_bytes();
    }
    ip[10..12].copy_from_slice(&checksum.complement());
    ip[12..16].copy_from_slice(&way.address.octets());
    ip[16..20].copy_from_slice(&peer.ip().octets());

    let header = segment.emit(way.flow.local_port(), peer.port(), tcp);
    let tcp_len = u64::from(ip_len) - IPV4_LEN as u64;
    let pseudo = addresses + u64::from(PROTOCOL_TCP) + tcp_len;
    let checksum = match payload_sum {
        Some(payload) => Sum::of_values(pseudo + header).plus(payload).complement(),
        None => Sum::of_values(pseudo).partial(),
    };
    tcp[TCP_CHECKSUM].copy_from_slice(&checksum);
}
