//! An observer on the wire: what every segment must keep to, whatever TCP has sent it.
//!
//! It knows what each side was sent and what has reached it, so it can tell what each side may
//! know. It reads segments with smoltcp's parsers alone, none of the code under test.

use sim::Tap;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket,
    TcpRepr,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tcp::{Instant, Seq};

/// One direction of a connection: source and destination.
type Way = ((Ipv4Addr, u16), (Ipv4Addr, u16));

/// A segment as far as the observer cares.
#[derive(Clone, Copy, Debug)]
struct Seen {
    way: Way,
    seq: Seq,
    ack: Option<Seq>,
    /// As in the header.
    window: u16,
    /// The shift and the MSS that a SYN announces.
    scale: Option<u8>,
    mss: Option<u16>,
    len: u32,
    control: TcpControl,
}

impl Seen {
    fn is_syn(&self) -> bool {
        self.control == TcpControl::Syn
    }

    fn end(&self) -> Seq {
        let is_counted = matches!(self.control, TcpControl::Syn | TcpControl::Fin);
        self.seq + self.len + u32::from(is_counted)
    }
}

/// What is known of the sender of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// The right edge of the largest window that has reached it.
    edge: Option<Seq>,
    /// The number behind the last that it has received.
    heard: Option<Seq>,
    /// Whether that is the end: then its windows say nothing any more.
    heard_fin: bool,
    /// The initial sequence number of its peer, the MSS that it must keep to, and whether windows
    /// are scaled for it.
    peer_iss: Option<Seq>,
    peer_mss: Option<u16>,
    peer_scale: Option<u8>,
    /// Its own initial sequence number, and what else was in its SYN.
    iss: Option<Seq>,
    own_scale: Option<u8>,
    /// The last acknowledgement, and the right edge with it, that it has sent.
    sent_ack: Option<Seq>,
    sent_edge: Option<Seq>,
}

/// The observer.
#[derive(Debug, Default)]
pub struct Watch {
    sides: BTreeMap<Way, Side>,
    /// Whether all sides are ours: then what RFC 9293 only recommends is held as well.
    is_strict: bool,
    /// The hosts that run our TCP.
    ours: Vec<Ipv4Addr>,
    /// Segments seen.
    pub segments: u64,
}

impl Watch {
    pub fn new(is_strict: bool) -> Self {
        Self { is_strict, ..Self::default() }
    }

    /// More is asked of the segments of this host than of smoltcp's.
    pub fn is_ours(&mut self, address: Ipv4Addr) {
        self.ours.push(address);
    }

    /// Reads a segment, `None` if it is none. A damaged one may be received, never sent.
    fn read(packet: &[u8], may_be_damaged: bool) -> Option<Seen> {
        let ethernet = EthernetFrame::new_checked(packet).expect("a frame");
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let parsed = Self::read_ipv4(ethernet.payload());
        assert!(parsed.is_some() || may_be_damaged, "a damaged packet is sent: {packet:02x?}");
        parsed
    }

    fn read_ipv4(bytes: &[u8]) -> Option<Seen> {
        let checksums = ChecksumCapabilities::default();
        let ip = Ipv4Packet::new_checked(bytes).ok()?;
        let repr = Ipv4Repr::parse(&ip, &checksums).ok()?;
        if repr.next_header != IpProtocol::Tcp {
            return None;
        }
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        let (source, target) = (repr.src_addr.into(), repr.dst_addr.into());
        let segment = TcpRepr::parse(&tcp, &source, &target, &checksums).ok()?;
        Some(Seen {
            way: ((repr.src_addr, segment.src_port), (repr.dst_addr, segment.dst_port)),
            seq: Seq(segment.seq_number.0.cast_unsigned()),
            ack: segment.ack_number.map(|ack| Seq(ack.0.cast_unsigned())),
            window: segment.window_len,
            scale: segment.window_scale,
            mss: segment.max_seg_size,
            len: u32::try_from(segment.payload.len()).expect("a packet"),
            control: segment.control,
        })
    }

    fn segment_sent(&mut self, seen: &Seen) {
        self.segments += 1;
        let is_strict = self.is_strict;
        let ((source, _), _) = seen.way;
        let is_ours = self.ours.contains(&source);
        let side = self.sides.entry(seen.way).or_default();
        if seen.control == TcpControl::Rst {
            return;
        }
        if seen.is_syn() && side.iss != Some(seen.seq) {
            // A new connection between the same ends: an old duplicate SYN may have brought it.
            *side = Side { iss: Some(seen.seq), own_scale: seen.scale, ..*side };
            (side.sent_ack, side.sent_edge) = (None, None);
        }
        if let Some(ack) = seen.ack {
            check_ack(side, seen, ack, is_strict);
        }
        if seen.len > 0 {
            let mss = u32::from(side.peer_mss.unwrap_or(536));
            assert!(seen.len <= mss, "{seen:?}: longer than the MSS of {mss}");
            let edge = side.edge.expect("data are sent to one who has said how much he takes");
            // One byte more may probe a closed window. A socket of smoltcp's that was reset begins
            // its next connection with one segment that no window holds back; see `smol.rs`.
            let beyond = if is_ours { 1 } else { mss };
            let is_within = (seen.seq + seen.len).le(edge + beyond);
            assert!(is_within, "{seen:?}: beyond the window at {edge:?}");
        }
    }

    fn segment_received(&mut self, seen: &Seen) {
        let (source, target) = seen.way;
        let side = self.sides.entry((target, source)).or_default();
        if seen.control == TcpControl::Rst {
            return;
        }
        if seen.is_syn() && side.peer_iss != Some(seen.seq) {
            *side = Side {
                peer_iss: Some(seen.seq),
                peer_mss: seen.mss,
                peer_scale: seen.scale,
                heard_fin: false,
                ..*side
            };
        }
        let reaches = |known: Option<Seq>, end: Seq| Some(known.map_or(end, |seq| seq.last(end)));
        side.heard = reaches(side.heard, seen.end());
        side.heard_fin |= seen.control == TcpControl::Fin;
        let scale = match (seen.is_syn(), side.peer_scale, side.own_scale) {
            (false, Some(scale), Some(_)) => scale.min(14),
            _ => 0,
        };
        if let Some(ack) = seen.ack {
            side.edge = reaches(side.edge, ack + (u32::from(seen.window) << scale));
        }
    }
}

/// What an acknowledgement may say.
fn check_ack(side: &mut Side, seen: &Seen, ack: Seq, is_strict: bool) {
    let heard = side.heard.expect("an acknowledgement follows something");
    assert!(ack.le(heard), "{seen:?}: acknowledges what has not arrived, {heard:?} has");
    if let Some(before) = side.sent_ack {
        assert!(before.le(ack), "{seen:?}: acknowledged {before:?} before");
    }
    side.sent_ack = Some(ack);
    let scale = match (seen.is_syn(), side.own_scale, side.peer_scale) {
        (false, Some(scale), Some(_)) => scale,
        _ => 0,
    };
    let edge = ack + (u32::from(seen.window) << scale);
    if let (true, Some(before)) = (is_strict && !side.heard_fin, side.sent_edge) {
        // SHLD-14; what is rounded down to the scale is not taken back (RFC 7323 §2.4).
        let rounded = edge + ((1 << scale) - 1);
        assert!(before.le(rounded), "{seen:?}: the window shrinks from {before:?}");
    }
    side.sent_edge = Some(side.sent_edge.map_or(edge, |before| before.last(edge)));
}

impl Tap for Watch {
    fn sent(&mut self, _: Instant, _: usize, packet: &[u8]) {
        if let Some(seen) = Self::read(packet, false) {
            self.segment_sent(&seen);
        }
    }

    fn delivered(&mut self, _: Instant, _: usize, packet: &[u8]) {
        if let Some(seen) = Self::read(packet, true) {
            self.segment_received(&seen);
        }
    }
}
