//! The addresses that connections come from.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::str::FromStr;

/// Consecutive IPv4 addresses, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    first: Ipv4Addr,
    count: u32,
}

impl Sources {
    /// Most of them: each costs an exchange of ARP, and with as many 16,000,000 connections to one
    /// port of a server have a port of their own.
    pub const COUNT_MAX: u32 = 256;

    /// The first one.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        self.first
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The number of `address` among them, if it is one.
    #[must_use]
    pub fn index_of(self, address: Ipv4Addr) -> Option<u32> {
        let index = address.to_bits().wrapping_sub(self.first.to_bits());
        (index < self.count).then_some(index)
    }

    /// From the first up to the last, both included, where a host can have all of them.
    fn between(first: Ipv4Addr, last: Ipv4Addr) -> Result<Self, String> {
        let Range { start, end } = first.to_bits()..last.to_bits();
        if start > end {
            return Err(format!("{first} comes after {last}: write the lower address first"));
        }
        if end - start >= Self::COUNT_MAX {
            let count = u64::from(end - start) + 1;
            return Err(format!("{count} addresses: {} are the most", Self::COUNT_MAX));
        }
        for address in [first, last] {
            if !(1..224).contains(&address.octets()[0]) || address.is_loopback() {
                return Err(format!(
                    "no host has the address {address}: choose one of the server's network that \
                     nobody has, such as 198.18.0.20"
                ));
            }
        }
        Ok(Self { first, count: end - start + 1 })
    }

    /// All hosts of a network: without its first and last address, where it has more than two.
    fn of_network(address: Ipv4Addr, prefix: u32) -> Result<Self, String> {
        let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
        let (low, high) = (address.to_bits() & !host, address.to_bits() | host);
        let edge = u32::from(prefix < 31);
        Self::between(Ipv4Addr::from_bits(low + edge), Ipv4Addr::from_bits(high - edge))
    }
}

impl FromStr for Sources {
    type Err = String;

    /// Reads `198.18.0.20`, `198.18.0.20-198.18.0.29` or `198.18.1.0/28`.
    fn from_str(text: &str) -> Result<Self, String> {
        let address = |part: &str| {
            part.parse::<Ipv4Addr>().map_err(|_| {
                format!(
                    "'{part}' is no IPv4 address: write 198.18.0.20, 198.18.0.20-198.18.0.29 or \
                     198.18.1.0/28"
                )
            })
        };
        if let Some((network, prefix)) = text.split_once('/') {
            let bits = prefix.parse().ok().filter(|bits| *bits <= 32);
            let bits = bits.ok_or_else(|| format!("'/{prefix}': a prefix is 0 to 32 bits long"))?;
            return Self::of_network(address(network)?, bits);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::between(address(first)?, address(last)?)
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.first.fmt(formatter),
            count => {
                let last = Ipv4Addr::from_bits(self.first.to_bits() + count - 1);
                write!(formatter, "{}-{last}", self.first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let read = text.parse::<Sources>();
        let shown = read.map_or_else(|why| why, |sources| sources.to_string());
        assert!(shown.contains(expect), "{text}: {shown:?} lacks {expect:?}");
    }

    #[test]
    fn sources_are_one_address_a_range_or_the_hosts_of_a_network() {
        check("198.18.0.3", "198.18.0.3");
        check("198.18.0.3-198.18.0.3", "198.18.0.3");
        check("198.18.0.3-198.18.0.9", "198.18.0.3-198.18.0.9");
        check("198.18.1.7/30", "198.18.1.5-198.18.1.6");
        check("198.18.1.7/31", "198.18.1.6-198.18.1.7");
        check("198.18.1.7/32", "198.18.1.7");
        check("198.18.0.0/24", "198.18.0.1-198.18.0.254");
    }

    #[test]
    fn what_no_host_can_have_is_refused_with_what_to_write() {
        check("eth0", "'eth0' is no IPv4 address: write 198.18.0.20,");
        check("198.18.0.3-", "'' is no IPv4 address");
        check("198.18.0.3/33", "'/33': a prefix is 0 to 32");
        check("198.18.0.3/x", "'/x': a prefix");
        check("198.18.0.9-198.18.0.3", "198.18.0.9 comes after 198.18.0.3");
        check("10.0.0.0/16", "65534 addresses: 256 are the most");
        check("0.0.0.0/0", "addresses: 256 are the most");
        check("127.0.0.1", "no host has the address 127.0.0.1");
        check("224.0.0.1", "no host has the address 224.0.0.1");
    }

    #[test]
    fn an_address_is_found_by_its_number() {
        let sources: Sources = "198.18.0.254-198.18.1.1".parse().unwrap();
        assert_eq!((sources.first(), sources.count()), (Ipv4Addr::new(198, 18, 0, 254), 4));
        let number = |d, e| sources.index_of(Ipv4Addr::new(198, 18, d, e));
        assert_eq!((number(0, 254), number(1, 1)), (Some(0), Some(3)));
        assert_eq!((number(0, 253), number(1, 2)), (None, None));
    }
}
