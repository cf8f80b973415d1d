//! Several source addresses on a stack that has one.
//!
//! The engine has one address, and tells connections apart by the peer's address, the peer's port
//! and its own port. So that connections may come from more addresses, it is given more peers: for
//! each further source, a server gets an *alias*, an address that exists in this process alone. On
//! the way between engine and queue the pair of addresses in each packet is exchanged:
//!
//! ```text
//!   engine  our first address ──▶ alias of server s for source i
//!   wire    source i          ──▶ server s
//! ```
//!
//! No checksum changes by that, neither of IPv4 nor of TCP, since both only see the sum of the two
//! addresses, in ones' complement of 16 bits. There 2^16 counts as 1, so an address counts as its
//! value modulo 65,535: source i is i more than our first address, and the alias is chosen to be i
//! more than the server, modulo 65,535. (RFC 6296 translates prefixes of IPv6 on the same ground.)
//! Translated are ARP, IPv4, and the header that an ICMP error quotes; what is not of a server and
//! for a further source passes as it is.

use super::Link;
use super::source::Sources;
use queue::{Burst, Counter, Frame, Queue, QueueCaps};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Servers that can have aliases.
const SERVERS_MAX: u32 = 8;
/// Addresses set aside for the aliases of one server: any remainder, and then one for each source.
const STRIDE: u32 = 1 << 17;
const _: () = assert!(STRIDE >= MODULUS + Sources::COUNT_MAX);
/// What an address counts modulo in a checksum.
const MODULUS: u32 = 65_535;
/// Where aliases may lie: RFC 1918 and RFC 6598, of which neither we nor a server may be.
const REGIONS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(172, 16, 0, 0), Ipv4Addr::new(100, 64, 0, 0)];

/// Two addresses of a packet, as they lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    from: Ipv4Addr,
    to: Ipv4Addr,
}

impl Pair {
    const fn turned(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// A server, and where its aliases begin: that of source 1 is one above.
#[derive(Clone, Copy, Debug)]
struct Server {
    address: Ipv4Addr,
    base: u32,
}

/// Which alias stands for what.
#[derive(Clone, Debug)]
pub(crate) struct Aliases {
    sources: Sources,
    servers: Vec<Server>,
    /// Where all aliases begin.
    region: u32,
}

impl Aliases {
    /// Of these sources towards these servers.
    ///
    /// # Errors
    /// A sentence where there are several sources and too many servers.
    pub(crate) fn new(sources: Sources, peers: &[SocketAddrV4]) -> Result<Self, String> {
        let mut addresses: Vec<Ipv4Addr> = peers.iter().map(|peer| *peer.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        if sources.count() > 1 && count > SERVERS_MAX {
            return Err(format!(
                "--source {sources} towards {count} servers: several sources reach at most \
                 {SERVERS_MAX}; give one source, or fewer servers"
            ));
        }
        let size = STRIDE * SERVERS_MAX;
        let is_outside = |region: &u32| {
            let mut known = addresses.iter().copied().chain([sources.first()]);
            !known.any(|address| address.to_bits().wrapping_sub(*region) < size)
        };
        let regions = REGIONS.map(Ipv4Addr::to_bits);
        let region = regions.into_iter().find(is_outside);
        let region = region.ok_or("the addresses of the servers leave no room for aliases")?;
        let server = |(start, address): (u32, &Ipv4Addr)| Server {
            address: *address,
            base: start + (address.to_bits() - start % MODULUS) % MODULUS,
        };
        let starts = (region..).step_by(STRIDE as usize);
        Ok(Self { sources, servers: starts.zip(&addresses).map(server).collect(), region })
    }

    /// The peers of the engine: each of `peers` once for each source, the sources in turn.
    pub(crate) fn peers(&self, peers: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
        let of = |source: u32| {
            peers.iter().map(move |peer| {
                let server = self.servers.iter().find(|server| server.address == *peer.ip());
                let server = server.expect("the aliases are of these peers");
                SocketAddrV4::new(alias(server, source), peer.port())
            })
        };
        (0..self.sources.count()).flat_map(of).collect()
    }

    /// Whether there is anything to translate.
    fn is_plain(&self) -> bool {
        self.sources.count() == 1
    }

    /// What goes over the wire for a pair of the engine's, `None` where it is the same.
    fn outward(&self, Pair { from, to }: Pair) -> Option<Pair> {
        let place = to.to_bits().checked_sub(self.region)?;
        let server = self.servers.get((place / STRIDE) as usize)?;
        let source = to.to_bits().checked_sub(server.base).filter(|it| *it < self.sources.count());
        let source = source.filter(|_| from == self.sources.first())?;
        let from = Ipv4Addr::from_bits(from.to_bits() + source);
        Some(Pair { from, to: server.address })
    }

    /// What the engine is shown for a pair on the wire, `None` where it is the same.
    fn inward(&self, Pair { from, to }: Pair) -> Option<Pair> {
        let source = self.sources.index_of(to).filter(|source| *source > 0)?;
        let server = self.servers.iter().find(|server| server.address == from)?;
        Some(Pair { from: alias(server, source), to: self.sources.first() })
    }
}

/// What stands for a server towards a source: itself for the first one.
fn alias(server: &Server, source: u32) -> Ipv4Addr {
    match source {
        0 => server.address,
        _ => Ipv4Addr::from_bits(server.base + source),
    }
}

const ETHER_TYPE: usize = 12;
const ETHER_LEN: usize = 14;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Where the two addresses lie, from the Ethernet header's end: RFC 791 §3.1 and RFC 826.
const IPV4_PAIR: (usize, usize) = (12, 16);
const ARP_PAIR: (usize, usize) = (14, 24);
const IPV4_PROTOCOL: usize = 9;
const PROTOCOL_ICMP: u8 = 1;
/// From an ICMP header to the packet that it quotes.
const ICMP_LEN: usize = 8;
/// RFC 792: destination unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];

/// The pair at these places of a packet, `None` where it is too short.
fn read(packet: &[u8], (from, to): (usize, usize)) -> Option<Pair> {
    let at = |place: usize| -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = packet.get(place..place + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    };
    Some(Pair { from: at(from)?, to: at(to)? })
}

fn write(packet: &mut [u8], (from, to): (usize, usize), pair: Pair) {
    packet[from..from + 4].copy_from_slice(&pair.from.octets());
    packet[to..to + 4].copy_from_slice(&pair.to.octets());
}

/// Where the pair of a frame lies behind the Ethernet header, `None` where there is none.
fn places(frame: &[u8]) -> Option<(usize, usize)> {
    match <[u8; 2]>::try_from(frame.get(ETHER_TYPE..ETHER_LEN)?).ok()? {
        TYPE_IPV4 => Some(IPV4_PAIR),
        TYPE_ARP => Some(ARP_PAIR),
        _ => None,
    }
}

/// Translates a frame from the engine.
fn translate_outward(aliases: &Aliases, frame: &mut [u8]) {
    let Some(places) = places(frame) else { return };
    let packet = &mut frame[ETHER_LEN..];
    if let Some(pair) = read(packet, places).and_then(|pair| aliases.outward(pair)) {
        write(packet, places, pair);
    }
}

/// Translates a frame from the wire.
fn translate_inward(aliases: &Aliases, frame: &mut [u8]) {
    let Some(places) = places(frame) else { return };
    let packet = &mut frame[ETHER_LEN..];
    let Some(pair) = read(packet, places).and_then(|pair| aliases.inward(pair)) else { return };
    write(packet, places, pair);
    if places == IPV4_PAIR && packet[IPV4_PROTOCOL] == PROTOCOL_ICMP {
        translate_quoted(aliases, packet);
    }
}

/// Translates the packet that an ICMP error quotes, which was one of ours.
fn translate_quoted(aliases: &Aliases, packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 0xf) * 4;
    let Some(icmp) = packet.get_mut(header_len..).filter(|icmp| icmp.len() > ICMP_LEN) else {
        return;
    };
    let quoted = &mut icmp[..];
    if !ICMP_ERRORS.contains(&quoted[0]) {
        return;
    }
    let quoted = &mut quoted[ICMP_LEN..];
    let answered = read(quoted, IPV4_PAIR).and_then(|pair| aliases.inward(pair.turned()));
    if let Some(pair) = answered {
        write(quoted, IPV4_PAIR, pair.turned());
    }
}

/// A queue whose packets are translated on their way.
#[derive(Debug)]
pub(crate) struct AliasedQueue<Q> {
    queue: Q,
    aliases: Aliases,
}

impl<Q: Queue> AliasedQueue<Q> {
    pub(crate) fn new(queue: Q, aliases: Aliases) -> Self {
        Self { queue, aliases }
    }
}

impl<Q: Link> Link for AliasedQueue<Q> {
    fn is_up(&self) -> bool {
        self.queue.is_up()
    }
}

impl<Q: Queue> Queue for AliasedQueue<Q> {
    fn caps(&self) -> &QueueCaps {
        self.queue.caps()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let count = self.queue.rx_burst(burst);
        if !self.aliases.is_plain() {
            for frame in &mut burst.frames_mut()[before..] {
                let len = frame.len();
                translate_inward(&self.aliases, self.queue.bytes_mut(frame, len));
            }
        }
        count
    }

    /// Frames that were refused come by again; they are translated already, and then stay so,
    /// because no source but the first is one of the engine's.
    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        if !self.aliases.is_plain() {
            for frame in burst.frames_mut() {
                let len = frame.len();
                translate_outward(&self.aliases, self.queue.bytes_mut(frame, len));
            }
        }
        self.queue.tx_burst(burst)
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.queue.alloc()
    }

    fn free(&mut self, frame: Frame) {
        self.queue.free(frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.queue.bytes(frame)
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        self.queue.bytes_mut(frame, len)
    }

    fn outstanding(&self) -> usize {
        self.queue.outstanding()
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        self.queue.counters(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    fn aliases(sources: &str, peers: &[&str]) -> Aliases {
        let peers: Vec<SocketAddrV4> = peers.iter().map(|text| peer(text)).collect();
        Aliases::new(sources.parse().unwrap(), &peers).unwrap()
    }

    /// What the checksums see of a pair.
    fn sum(pair: Pair) -> u64 {
        (u64::from(pair.from.to_bits()) + u64::from(pair.to.to_bits())) % u64::from(MODULUS)
    }

    /// A packet of IPv4 from and to these addresses, behind an Ethernet header.
    fn ipv4(pair: Pair, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHER_LEN + 20];
        frame[ETHER_TYPE..ETHER_LEN].copy_from_slice(&TYPE_IPV4);
        frame[ETHER_LEN] = 0x45;
        frame[ETHER_LEN + IPV4_PROTOCOL] = protocol;
        write(&mut frame[ETHER_LEN..], IPV4_PAIR, pair);
        frame.extend(payload);
        frame
    }

    #[test]
    fn the_first_source_sees_the_server_and_the_others_an_alias_each() {
        let server = peer("198.18.0.2:8080");
        let aliases = aliases("198.18.0.3-198.18.0.5", &["198.18.0.2:8080"]);
        let peers = aliases.peers(&[server]);
        assert_eq!(peers[0], server);
        let addresses: Vec<Ipv4Addr> = peers.iter().map(|peer| *peer.ip()).collect();
        assert_eq!(addresses.len(), 3);
        assert!(addresses[1..].iter().all(|address| address.octets()[0] == 10), "{addresses:?}");
        assert_ne!(addresses[1], addresses[2]);
        assert!(peers.iter().all(|peer| peer.port() == 8080));
    }

    #[test]
    fn a_quoted_header_is_translated_with_the_error() {
        let aliases = aliases("198.18.0.3-198.18.0.5", &["198.18.0.2:8080"]);
        let [server, ours, third] = [2, 3, 5].map(|last| Ipv4Addr::new(198, 18, 0, last));
        let alias = *aliases.peers(&[peer("198.18.0.2:8080")])[2].ip();
        let quoted = ipv4(Pair { from: third, to: server }, 6, &[0; 8]);
        let icmp = |kind: u8| {
            let message = [&[kind, 3, 0, 0, 0, 0, 0, 0], &quoted[ETHER_LEN..]].concat();
            let mut frame = ipv4(Pair { from: server, to: third }, PROTOCOL_ICMP, &message);
            translate_inward(&aliases, &mut frame);
            let outer = read(&frame[ETHER_LEN..], IPV4_PAIR).unwrap();
            (outer, read(&frame[ETHER_LEN + 20 + ICMP_LEN..], IPV4_PAIR).unwrap())
        };
        let outer = Pair { from: alias, to: ours };
        assert_eq!(icmp(3), (outer, outer.turned()));
        assert_eq!(icmp(8).1, Pair { from: third, to: server }, "an echo quotes nothing");
    }

    #[test]
    fn what_is_of_nobody_we_know_passes_as_it_is() {
        let aliases = aliases("198.18.0.3-198.18.0.5", &["198.18.0.2:8080"]);
        let of = |a: u8, b: u8| Pair {
            from: Ipv4Addr::new(198, 18, 0, a),
            to: Ipv4Addr::new(198, 18, 0, b),
        };
        for pair in [of(2, 3), of(9, 4), of(2, 6), of(2, 2)] {
            assert_eq!(aliases.inward(pair), None, "{pair:?}");
        }
        for pair in [of(3, 2), of(3, 9), of(4, 2)] {
            assert_eq!(aliases.outward(pair), None, "{pair:?}");
        }
        for len in 0..ETHER_LEN + 40 {
            let whole = ipv4(of(2, 4), PROTOCOL_ICMP, &[3; 40]);
            translate_inward(&aliases, &mut whole[..len].to_vec());
            translate_outward(&aliases, &mut whole[..len].to_vec());
        }
    }

    #[test]
    fn several_sources_reach_few_servers_and_one_any_number() {
        let peers: Vec<SocketAddrV4> =
            (1..=9).map(|last| SocketAddrV4::new(Ipv4Addr::new(198, 18, 1, last), 80)).collect();
        let of = |sources: &str| Aliases::new(sources.parse().unwrap(), &peers);
        assert!(of("198.18.0.3").is_ok());
        let refusal = of("198.18.0.3-198.18.0.4").unwrap_err();
        assert!(
            refusal.contains("towards 9 servers: several sources reach at most 8"),
            "{refusal}"
        );
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_and_no_sum_changes(
            first in 0x0100_0000_u32..0xdf00_0000,
            count in 2_u32..=256,
            source in any::<prop::sample::Index>(),
            servers in prop::collection::vec(0x0100_0000_u32..0xdf00_0000, 1..=8),
            of in any::<prop::sample::Index>(),
        ) {
            let (low, high) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(first + count - 1));
            let Ok(sources) = format!("{low}-{high}").parse::<Sources>() else { return Ok(()) };
            let peers: Vec<SocketAddrV4> = servers
                .iter()
                .map(|bits| SocketAddrV4::new(Ipv4Addr::from_bits(*bits), 80))
                .collect();
            let Ok(aliases) = Aliases::new(sources, &peers) else { return Ok(()) };
            let source = source.index(count as usize);
            let of = of.index(peers.len());
            let alias = *aliases.peers(&peers)[source * peers.len() + of].ip();
            let inside = Pair { from: low, to: alias };
            let outside = aliases.outward(inside).unwrap_or(inside);
            let ours = Ipv4Addr::from_bits(first + u32::try_from(source).unwrap());
            prop_assert_eq!(outside, Pair { from: ours, to: *peers[of].ip() });
            prop_assert_eq!(sum(inside), sum(outside));
            prop_assert_eq!(aliases.outward(outside), None, "twice is as good as once");
            let back = aliases.inward(outside.turned()).unwrap_or_else(|| outside.turned());
            prop_assert_eq!(back, inside.turned());
        }
    }
}
