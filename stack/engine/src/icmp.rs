//! ICMP errors: whom they concern, and what they say (RFC 792, RFC 1191, RFC 5927).

use crate::counters::Count;
use crate::flow::Flow;
use crate::packet::IPV4_LEN;
use smoltcp::wire::{IpProtocol, Ipv4Packet};
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::{IcmpError, IcmpKind, IcmpVerdict, Seq};

/// Length of an ICMP header, in bytes; a quoted packet follows.
const ICMP_LEN: usize = 8;
/// RFC 792: at least so many bytes of what follows the quoted IPv4 header are quoted, which is the
/// ports and the sequence number of a segment.
const QUOTED_LEN: usize = 8;

/// The error in `icmp`, whose checksum is good, and the flow of the segment that it quotes; `None`
/// if it is no error, or does not quote a TCP segment that `address` has sent.
pub(crate) fn parse_error(address: Ipv4Addr, icmp: &[u8]) -> Option<(Flow, IcmpError)> {
    let (header, quoted) = icmp.split_at_checked(ICMP_LEN)?;
    let kind = kind_of(header)?;
    // What is quoted is usually cut off: its total length says nothing about these bytes.
    if quoted.len() < IPV4_LEN {
        return None;
    }
    let ip = Ipv4Packet::new_unchecked(quoted);
    let header_len = usize::from(ip.header_len());
    let is_ours = ip.version() == 4
        && header_len >= IPV4_LEN
        && ip.src_addr() == address
        && ip.next_header() == IpProtocol::Tcp
        && ip.frag_offset() == 0;
    let segment = quoted.get(header_len..header_len + QUOTED_LEN).filter(|_| is_ours)?;
    let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    let seq = Seq(u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]));
    let flow = Flow::new(SocketAddrV4::new(ip.dst_addr(), port(2)), port(0));
    Some((flow, IcmpError { kind, seq }))
}

/// What the header of an ICMP message says, `None` if it is no error that a host acts upon. A
/// redirect is none: a reply goes to where its segment came from, whatever anyone says.
fn kind_of(header: &[u8]) -> Option<IcmpKind> {
    const UNREACHABLE: u8 = 3;
    const SOURCE_QUENCH: u8 = 4;
    const TIME_EXCEEDED: u8 = 11;
    const PARAMETER_PROBLEM: u8 = 12;
    const FRAGMENTATION_NEEDED: u8 = 4;
    Some(match (header[0], header[1]) {
        (UNREACHABLE, FRAGMENTATION_NEEDED) => {
            // RFC 1191 §4: the next hop's MTU lies in the last two bytes.
            IcmpKind::FragmentationNeeded(u16::from_be_bytes([header[6], header[7]]))
        }
        (UNREACHABLE, code) => IcmpKind::Unreachable(code),
        (SOURCE_QUENCH, _) => IcmpKind::SourceQuench,
        (TIME_EXCEEDED, _) => IcmpKind::TimeExceeded,
        (PARAMETER_PROBLEM, _) => IcmpKind::ParameterProblem,
        _ => return None,
    })
}

/// Under which name an error is counted.
pub(crate) fn count_of(verdict: IcmpVerdict) -> Count {
    match verdict {
        IcmpVerdict::OutOfWindow => Count::IcmpOutOfWindow,
        IcmpVerdict::Ignored => Count::IcmpIgnored,
        IcmpVerdict::Soft => Count::IcmpSoft,
        IcmpVerdict::Closed => Count::IcmpClosed,
        IcmpVerdict::PathMtu => Count::IcmpPathMtu,
        IcmpVerdict::PathMtuDoubted => Count::IcmpPathMtuDoubted,
    }
}
