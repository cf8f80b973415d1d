//! The Internet checksum (RFC 1071), in software.

/// A ones' complement sum that is not folded yet, of 16-bit words in the machine's byte order.
///
/// RFC 1071 §2 (B): the sum does not depend on the byte order in which the words are read, as long
/// as it is written back in the same order. So nothing is swapped here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds `bytes`; only the last piece of a packet may have an odd length.
    #[must_use]
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // RFC 1071 §2 (C): words of 32 bits may be summed instead and folded at the end. 64 KiB
        // of them cannot overflow 64 bits. The compiler turns the loop into vector instructions.
        let (words, rest) = bytes.as_chunks::<4>();
        let sum = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Self(self.0 + sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds the pseudo-header of RFC 9293 §3.1: addresses as they lie in an IPv4 header (8 bytes),
    /// the protocol, and the length of the segment.
    #[must_use]
    pub(crate) fn add_pseudo_header(self, addresses: &[u8], protocol: u8, len: u16) -> Self {
        let [len_high, len_low] = len.to_be_bytes();
        self.add(addresses).add(&[0, protocol, len_high, len_low])
    }

    /// The folded sum: what a port that completes the checksum wants to find in its place.
    #[must_use]
    pub(crate) fn partial(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        u16::try_from(sum).expect("folded").to_ne_bytes()
    }

    /// The checksum: the complement of the folded sum, as it is written into a header.
    #[must_use]
    pub(crate) fn complement(self) -> [u8; 2] {
        self.partial().map(|byte| !byte)
    }

    /// Whether what was added, its checksum included, sums up to nothing.
    #[must_use]
    pub(crate) fn is_good(self) -> bool {
        self.partial() == [0xff, 0xff]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).partial(), [0xdd, 0xf2]);
        assert_eq!(Sum::default().add(&bytes).complement(), [0x22, 0x0d]);
    }

    #[test]
    fn it_agrees_with_smoltcp_at_every_length_and_split() {
        let bytes: Vec<u8> = (0..=255).cycle().skip(3).step_by(7).take(67).collect();
        for len in 0..bytes.len() {
            let expect = smoltcp::wire::checksum::data(&bytes[..len]);
            assert_eq!(Sum::default().add(&bytes[..len]).partial(), expect.to_be_bytes());
            let (front, back) = bytes[..len].split_at(len / 4 * 2);
            assert_eq!(Sum::default().add(front).add(back).partial(), expect.to_be_bytes());
        }
    }
}
