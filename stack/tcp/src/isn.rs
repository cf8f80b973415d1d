//! Numbers that nobody else can guess: initial sequence numbers (RFC 6528, RFC 9293 §3.4.1) and
//! the beginnings of timestamp clocks (RFC 7323 §5.4).

use crate::seq::Seq;
use crate::time::Instant;
use core::net::SocketAddrV4;
use siphasher::sip::SipHasher24;

/// A secret key: 16 bytes from a secure source, taken once at start.
pub type Secret = [u8; 16];

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourTuple {
    /// Our address and port.
    pub local: SocketAddrV4,
    /// The peer's address and port.
    pub remote: SocketAddrV4,
}

/// What a hash is for: one key serves them all, and no result tells of another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Isn = 1,
    Clock = 2,
    Cookie = 3,
    CookiePad = 4,
}

/// F(): SipHash-2-4 of the 4-tuple and `more` under the secret.
pub(crate) fn keyed_hash(secret: &Secret, purpose: Purpose, tuple: &FourTuple, more: u64) -> u64 {
    let mut bytes = [0; 21];
    bytes[..4].copy_from_slice(&tuple.local.ip().octets());
    bytes[4..6].copy_from_slice(&tuple.local.port().to_be_bytes());
    bytes[6..10].copy_from_slice(&tuple.remote.ip().octets());
    bytes[10..12].copy_from_slice(&tuple.remote.port().to_be_bytes());
    bytes[12] = purpose as u8;
    bytes[13..].copy_from_slice(&more.to_be_bytes());
    SipHasher24::new_with_key(secret).hash(&bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a SipHash are as good")]
fn low(hash: u64) -> u32 {
    hash as u32
}

/// SHLD-1, MUST-8, MUST-9: ISN = M + F(4-tuple, secret), where M ticks every 4 microseconds.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "M wraps, in 4.77 hours")]
pub fn isn(secret: &Secret, tuple: &FourTuple, now: Instant) -> Seq {
    let ticks = (now.as_nanos() / 4000) as u32;
    Seq(ticks) + low(keyed_hash(secret, Purpose::Isn, tuple, 0))
}

/// What the timestamp clock of a connection is ahead of the time, in milliseconds: the same for
/// each incarnation, so that RFC 6191 works, and unknown for every other pair of ends.
#[must_use]
pub fn clock_offset(secret: &Secret, tuple: &FourTuple) -> u32 {
    low(keyed_hash(secret, Purpose::Clock, tuple, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use core::time::Duration;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080),
            remote: SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 10), port),
        }
    }

    #[test]
    fn the_same_tuple_grows_with_the_clock() {
        let early = isn(&[7; 16], &tuple(1), Instant::ZERO);
        let late = isn(&[7; 16], &tuple(1), Instant::ZERO + Duration::from_secs(1));
        assert_eq!(late.since(early), 250_000);
    }

    #[test]
    fn another_tuple_or_secret_is_unrelated() {
        let numbers: std::collections::BTreeSet<u32> = (0..1000)
            .map(|port| isn(&[7; 16], &tuple(port), Instant::ZERO).0)
            .chain((0..100).map(|key| isn(&[key; 16], &tuple(1001), Instant::ZERO).0))
            .collect();
        assert_eq!(numbers.len(), 1100);
        // Neighbours differ in about half of their bits.
        let distance: u32 = (0..1000)
            .map(|port| {
                let one = isn(&[7; 16], &tuple(port), Instant::ZERO).0;
                (one ^ isn(&[7; 16], &tuple(port + 1), Instant::ZERO).0).count_ones()
            })
            .sum();
        assert!((15_000..17_000).contains(&distance), "{distance}");
        assert_ne!(clock_offset(&[7; 16], &tuple(1)), clock_offset(&[7; 16], &tuple(2)));
    }
}
