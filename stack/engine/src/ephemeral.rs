//! Our ports of active opens (RFC 6056).

use crate::flow::Flow;
use siphasher::sip::SipHasher13;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;

/// Counters: peers that share one can tell how many ports were taken for the others.
const COUNTERS: usize = 64;

/// RFC 6056 §3.3.4, algorithm 4 ("double-hash port selection").
///
/// For each peer, ports are taken one after the other from a place that only the key knows: so
/// nobody else can guess the next one, and each is left alone for as long as can be.
#[derive(Debug)]
pub(crate) struct EphemeralPorts {
    first: u16,
    count: u32,
    hasher: SipHasher13,
    counters: [u32; COUNTERS],
}

impl EphemeralPorts {
    pub(crate) fn new(range: RangeInclusive<u16>, key: &[u8; 16]) -> Self {
        let count = u32::try_from(range.len()).expect("at most 2^16");
        let hasher = SipHasher13::new_with_key(key);
        Self { first: *range.start(), count, hasher, counters: [0; COUNTERS] }
    }

    /// The next port towards `peer` for which `is_free` holds, `None` if there is none in the
    /// whole range. Port zero is none.
    pub(crate) fn pick(
        &mut self,
        peer: SocketAddrV4,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        // No connection has local port zero: so no hash of the flow table says anything of this.
        let [offset, number] = halves(self.hasher.hash(&Flow::new(peer, 0).to_bytes()));
        let counter = &mut self.counters[number as usize % COUNTERS];
        for _ in 0..self.count {
            let place = offset.wrapping_add(*counter) % self.count;
            *counter = counter.wrapping_add(1);
            let port = self.first + u16::try_from(place).expect("below the size of the range");
            if port != 0 && is_free(port) {
                return Some(port);
            }
        }
        None
    }
}

fn halves(hash: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    fn peer(last: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, last), 80)
    }

    #[test]
    fn every_port_is_taken_once_before_any_is_taken_again() {
        let mut ports = EphemeralPorts::new(40_000..=40_999, &[3; 16]);
        let taken: BTreeSet<u16> =
            (0..1000).filter_map(|_| ports.pick(peer(1), |_| true)).collect();
        assert_eq!(
            (taken.len(), taken.first(), taken.last()),
            (1000, Some(&40_000), Some(&40_999))
        );
    }

    #[test]
    fn ports_in_use_are_passed_over_and_a_full_range_is_told() {
        let mut ports = EphemeralPorts::new(40_000..=40_009, &[3; 16]);
        for _ in 0..20 {
            assert_eq!(ports.pick(peer(1), |port| port == 40_007), Some(40_007));
        }
        assert_eq!(ports.pick(peer(1), |_| false), None);
        let mut none = EphemeralPorts::new(0..=0, &[3; 16]);
        assert_eq!(none.pick(peer(1), |_| true), None);
    }

    #[test]
    fn where_a_peer_begins_depends_on_the_key_and_on_the_peer() {
        let first = |key: u8, last: u8| {
            EphemeralPorts::new(1024..=u16::MAX, &[key; 16]).pick(peer(last), |_| true)
        };
        let firsts: BTreeSet<Option<u16>> =
            (0..10).flat_map(|key| (0..10).map(move |last| first(key, last))).collect();
        assert!(firsts.len() > 95, "{} of 100 differ", firsts.len());
    }
}
