//! Demultiplexing: from the 4-tuple of a segment to its connection, in O(1).

use siphasher::sip::SipHasher24;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The 4-tuple of a connection without our address, of which an engine has one:
/// the peer's address, the peer's port, our port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow(u64);

impl Flow {
    /// The flow between `peer` and our `local_port`.
    #[must_use]
    pub fn new(peer: SocketAddrV4, local_port: u16) -> Self {
        let address = u64::from(peer.ip().to_bits());
        Self(address << 32 | u64::from(peer.port()) << 16 | u64::from(local_port))
    }

    /// The peer's address and port.
    #[must_use]
    pub fn peer(self) -> SocketAddrV4 {
        let [a, b, c, d, port_high, port_low, _, _] = self.0.to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([port_high, port_low]))
    }

    /// Our port.
    #[must_use]
    pub fn local_port(self) -> u16 {
        let [.., port_high, port_low] = self.0.to_be_bytes();
        u16::from_be_bytes([port_high, port_low])
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// One place of the table. `value` counts from one, so that zero marks it as empty.
#[derive(Clone, Copy, Debug)]
struct Slot {
    flow: u64,
    hash: u32,
    value: u32,
}

const EMPTY: Slot = Slot { flow: 0, hash: 0, value: 0 };

/// A keyed hash of eight bytes by two wide multiplications.
///
/// Both factors of each have a secret word in them, so that no difference between two flows is
/// known to come out anywhere; the halves of a product are folded, so that each bit of the result
/// depends on each bit of the flow. What is secret comes out of the key by SipHash, a
/// pseudo-random function, so that no hash tells anything of what else is made from the key.
#[derive(Debug)]
struct Hasher {
    secrets: [u64; 4],
}

impl Hasher {
    fn new(key: &[u8; 16]) -> Self {
        let expand = SipHasher24::new_with_key(key);
        let secret = |label: &[u8]| expand.hash(label);
        let labels: [&[u8]; 4] = [b"flow 0", b"flow 1", b"flow 2", b"flow 3"];
        Self { secrets: labels.map(secret) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits are as good")]
    #[inline]
    fn hash(&self, Flow(flow): Flow) -> u32 {
        let [a, b, c, d] = self.secrets;
        let mixed = fold(flow ^ a, flow.rotate_left(32) ^ b);
        fold(mixed ^ c, d | 1) as u32
    }
}

/// The halves of a product, one upon the other.
#[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// Flows with a number each: open addressing, linear probing, at most half full.
///
/// The hash is keyed, so that nobody who does not know the key can choose ports that fall into one
/// chain. Nothing iterates over the table: its order never matters.
#[derive(Debug)]
pub(crate) struct FlowTable {
    hasher: Hasher,
    slots: Box<[Slot]>,
    len: usize,
}

impl FlowTable {
    /// A table for `capacity` flows, hashed under `key`. Allocates once.
    pub(crate) fn new(capacity: usize, key: &[u8; 16]) -> Self {
        let slots = (capacity.max(1) * 2).next_power_of_two();
        Self { hasher: Hasher::new(key), slots: vec![EMPTY; slots].into_boxed_slice(), len: 0 }
    }

    /// Flows in the table.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of `flow`.
    #[inline]
    pub(crate) fn find(&self, flow: Flow) -> Option<u32> {
        let slot = self.slots[self.probe(flow, self.hash(flow))];
        slot.value.checked_sub(1)
    }

    /// A word of where a search for `flow` begins, for who wants to have it at hand.
    #[inline]
    pub(crate) fn touch(&self, flow: Flow) -> u64 {
        self.slots[self.home(self.hash(flow))].flow
    }

    /// Enters `flow`, which must be new, with its number.
    pub(crate) fn insert(&mut self, flow: Flow, value: u32) {
        assert!(self.len * 2 < self.slots.len(), "more flows than the table was made for");
        let hash = self.hash(flow);
        let place = self.probe(flow, hash);
        debug_assert_eq!(self.slots[place].value, 0, "a flow is entered once");
        self.slots[place] = Slot { flow: flow.0, hash, value: value + 1 };
        self.len += 1;
    }

    /// Removes `flow` if it is there.
    pub(crate) fn remove(&mut self, flow: Flow) {
        let mut hole = self.probe(flow, self.hash(flow));
        if self.slots[hole].value == 0 {
            return;
        }
        self.len -= 1;
        // What comes behind in the chain moves up into the hole, unless that would put it before
        // the place where a search for it begins: so no chain is ever broken, without tombstones.
        let mut place = hole;
        loop {
            place = self.next(place);
            let slot = self.slots[place];
            if slot.value == 0 {
                break;
            }
            let home_distance = self.distance(self.home(slot.hash), place);
            if home_distance >= self.distance(hole, place) {
                self.slots[hole] = slot;
                hole = place;
            }
        }
        self.slots[hole] = EMPTY;
    }

    #[inline]
    fn hash(&self, flow: Flow) -> u32 {
        self.hasher.hash(flow)
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.slots.len() - 1)
    }

    /// Where `flow` is, or else the empty place where it belongs.
    #[inline]
    fn probe(&self, flow: Flow, hash: u32) -> usize {
        let mut place = self.home(hash);
        while self.slots[place].value != 0 && self.slots[place].flow != flow.0 {
            place = self.next(place);
        }
        place
    }

    /// Places looked at to find `flow`.
    #[cfg(test)]
    fn probes(&self, flow: Flow) -> usize {
        let hash = self.hash(flow);
        self.distance(self.home(hash), self.probe(flow, hash)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn flow(number: u16) -> Flow {
        Flow::new(SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 10), number), 8080)
    }

    #[test]
    fn a_flow_gives_back_what_it_was_made_of() {
        let peer = SocketAddrV4::new(Ipv4Addr::new(198, 18, 3, 77), 0xabcd);
        let flow = Flow::new(peer, 8080);
        assert_eq!((flow.peer(), flow.local_port()), (peer, 8080));
    }

    #[test]
    fn whatever_numbers_peers_have_in_a_row_chains_stay_short() {
        // Ports in a row, hosts in a row, and both in steps that are powers of two.
        let rows: [fn(u32) -> (u32, u32); 4] = [
            |number| (number >> 14, number % (1 << 14)),
            |number| (number % (1 << 14), number >> 14),
            |number| (number >> 10 << 8, (number % (1 << 10)) << 5),
            |number| ((number % (1 << 12)) << 16, number >> 12 << 10),
        ];
        for (seed, row) in (0_u8..8).flat_map(|seed| rows.map(|row| (seed, row))) {
            let mut table = FlowTable::new(1 << 15, &[seed; 16]);
            let flows: Vec<Flow> = (0..1 << 15)
                .map(|number| {
                    let (host, port) = row(number);
                    let address = Ipv4Addr::from_bits(0xc612_0000 + host);
                    let port = u16::try_from(1024 + port % 64_000).expect("a port");
                    Flow::new(SocketAddrV4::new(address, port), 8080)
                })
                .collect();
            (0..).zip(&flows).for_each(|(value, flow)| table.insert(*flow, value));
            let probes: usize = flows.iter().map(|flow| table.probes(*flow)).sum();
            let longest = flows.iter().map(|flow| table.probes(*flow)).max();
            // Half full, a random function has one and a half probes in the mean.
            assert!(probes < (1 << 15) * 16 / 10, "{seed}: {probes} probes");
            assert!(longest < Some(40), "{seed}: {longest:?} probes");
        }
    }

    #[test]
    fn ports_chosen_to_collide_under_one_key_do_not_collide_under_another() {
        let known = FlowTable::new(1 << 12, &[1; 16]);
        // What an attacker who knew the key would choose: flows that share one home.
        let chosen: Vec<Flow> = (0..=u16::MAX)
            .flat_map(|port| (0..64).map(move |host| (host, port)))
            .map(|(host, port)| {
                Flow::new(SocketAddrV4::new(Ipv4Addr::new(198, 18, 1, host), port), 8080)
            })
            .filter(|flow| known.home(known.hash(*flow)) == 0)
            .take(256)
            .collect();
        assert_eq!(chosen.len(), 256);
        let longest = |key: [u8; 16]| {
            let mut table = FlowTable::new(1 << 12, &key);
            (0..).zip(&chosen).for_each(|(value, flow)| table.insert(*flow, value));
            chosen.iter().map(|flow| table.probes(*flow)).max()
        };
        assert_eq!(longest([1; 16]), Some(256));
        assert!(longest([2; 16]) < Some(16));
    }

    proptest! {
        #[test]
        fn it_does_what_a_map_does(
            operations in prop::collection::vec((any::<bool>(), 0_u16..64), 0..600),
            key in any::<[u8; 16]>(),
        ) {
            let mut table = FlowTable::new(64, &key);
            let mut model = BTreeMap::new();
            for (step, (insert, number)) in (0_u32..).zip(operations) {
                if !insert {
                    table.remove(flow(number));
                    model.remove(&number);
                } else if model.insert(number, step).is_none() {
                    table.insert(flow(number), step);
                } else {
                    table.remove(flow(number));
                    table.insert(flow(number), step);
                }
                prop_assert_eq!(table.len(), model.len());
                for other in 0..64 {
                    prop_assert_eq!(table.find(flow(other)), model.get(&other).copied());
                }
            }
        }
    }
}
