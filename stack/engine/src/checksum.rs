//! The Internet checksum (RFC 1071), in software.

/// A ones' complement sum that is not folded yet, of 16-bit words in the machine's byte order.
///
/// RFC 1071 §2 (B): the sum does not depend on the byte order in which the words are read, as long
/// as it is written back in the same order. So nothing is swapped here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

/// Adds with the carry brought round to the lowest bit: addition of ones' complement numbers.
fn add_around(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    // A sum that has overflowed is not the largest number, so this does not.
    sum + u64::from(carry)
}

impl Sum {
    /// The sum of 16-bit words that are known by their values, such as the fields of a header:
    /// `values` is the plain sum of them, or of any number of 32-bit words in their places.
    ///
    /// RFC 1071 §2 (B) again: in the machine's byte order each word is swapped, or none is.
    #[must_use]
    #[inline]
    pub(crate) fn of_values(values: u64) -> Self {
        Self(values.to_be())
    }

    /// The sum of two pieces, of which the first has an even length.
    #[must_use]
    #[inline]
    pub(crate) fn plus(self, Self(other): Self) -> Self {
        Self(add_around(self.0, other))
    }

    /// Adds `source` and copies it to `target`, which is as long, in one pass.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    #[inline]
    pub(crate) fn add_copied(self, source: &[u8], target: &mut [u8]) -> Self {
        assert_eq!(source.len(), target.len(), "a copy is as long as what is copied");
        let (from, from_rest) = source.as_chunks::<32>();
        let (to, to_rest) = target.as_chunks_mut::<32>();
        let mut sums = [self.0, 0, 0, 0];
        for (from, to) in from.iter().zip(to) {
            *to = *from;
            for (sum, word) in sums.iter_mut().zip(from.as_chunks::<8>().0) {
                *sum = add_around(*sum, u64::from_ne_bytes(*word));
            }
        }
        let [a, b, c, d] = sums;
        let mut sum = add_around(add_around(a, b), add_around(c, d));
        let (words, rest) = from_rest.as_chunks::<8>();
        for (word, place) in words.iter().zip(to_rest.as_chunks_mut::<8>().0) {
            *place = *word;
            sum = add_around(sum, u64::from_ne_bytes(*word));
        }
        // What is left goes with what comes before it, which is copied twice: a copy of a length
        // that is known is an instruction or two, and any other is a call.
        match (source.last_chunk::<8>(), target.last_chunk_mut::<8>()) {
            (Some(last), Some(place)) => *place = *last,
            _ => target.copy_from_slice(source),
        }
        Self(sum).add_short(rest)
    }

    /// Adds `bytes`; only the last piece of a packet may have an odd length.
    #[must_use]
    #[inline(always)]
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // RFC 1071 §2 (C): longer words may be summed instead and folded at the end, because
        // 2^64 - 1 is a multiple of 2^16 - 1. Four sums at a time do not wait for each other's
        // carry.
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut sums = [self.0, 0, 0, 0];
        for block in blocks {
            for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
                *sum = add_around(*sum, u64::from_ne_bytes(*word));
            }
        }
        let [a, b, c, d] = sums;
        Self(add_around(add_around(a, b), add_around(c, d))).add_short(rest)
    }

    /// The same, word by word: for headers, and what is left of a payload.
    #[must_use]
    #[inline(always)]
    pub(crate) fn add_short(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let word = |word: &[u8; 8]| u64::from_ne_bytes(*word);
        let mut sum = words.iter().map(word).fold(self.0, add_around);
        let mut rest = rest;
        if let Some((word, behind)) = rest.split_first_chunk() {
            sum = add_around(sum, u32::from_ne_bytes(*word).into());
            rest = behind;
        }
        if let Some((word, behind)) = rest.split_first_chunk() {
            sum = add_around(sum, u16::from_ne_bytes(*word).into());
            rest = behind;
        }
        if let [byte] = rest {
            sum = add_around(sum, u16::from_ne_bytes([*byte, 0]).into());
        }
        Self(sum)
    }

    /// Takes away what lay in the checksum's place when the rest was added. It is not cleared
    /// before, since a load of eight bytes would have to wait for a store of two.
    #[must_use]
    #[inline]
    pub(crate) fn without(self, [high, low]: [u8; 2]) -> Self {
        Self(add_around(self.0, u16::from_ne_bytes([!high, !low]).into()))
    }

    /// Adds the pseudo-header of RFC 9293 §3.1: addresses as they lie in an IPv4 header (8 bytes),
    /// the protocol, and the length of the segment.
    #[must_use]
    #[inline]
    pub(crate) fn add_pseudo_header(self, addresses: &[u8], protocol: u8, len: u16) -> Self {
        let [len_high, len_low] = len.to_be_bytes();
        self.add_short(addresses).add_short(&[0, protocol, len_high, len_low])
    }

    /// The folded sum: what a port that completes the checksum wants to find in its place.
    #[must_use]
    #[inline]
    pub(crate) fn partial(self) -> [u8; 2] {
        // Added to itself, turned by half its width, a number has in its upper half the sum of its
        // halves: the carry out of the lower half is the one that goes round.
        let turned = self.0.wrapping_add(self.0.rotate_left(32));
        let sum = u32::try_from(turned >> 32).expect("a half of 64 bits");
        let turned = sum.wrapping_add(sum.rotate_left(16));
        u16::try_from(turned >> 16).expect("a half of 32 bits").to_ne_bytes()
    }

    /// The checksum: the complement of the folded sum, as it is written into a header.
    #[must_use]
    pub(crate) fn complement(self) -> [u8; 2] {
        self.partial().map(|byte| !byte)
    }

    /// Whether what was added, its checksum included, sums up to nothing.
    #[must_use]
    #[inline]
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
            assert_eq!(Sum::default().add_short(&bytes[..len]).partial(), expect.to_be_bytes());
        }
    }

    #[test]
    fn a_copy_is_summed_as_it_is_made() {
        let source: Vec<u8> = (0..=255).cycle().skip(7).step_by(11).take(1500).collect();
        for len in (0..100).chain([133, 1448, 1460, 1500]) {
            let mut target = vec![0; len];
            let sum = Sum::of_values(0xffff_0102).add_copied(&source[..len], &mut target);
            assert_eq!(target, source[..len]);
            let expect = Sum::default().add(&[0xff, 0xff, 1, 2]).add(&source[..len]);
            assert_eq!(sum.partial(), expect.partial(), "{len} bytes");
        }
    }

    #[test]
    fn words_known_by_their_values_are_added_as_they_lie_in_a_packet() {
        let bytes: Vec<u8> = (200..=255).chain(0..40).collect();
        let words = bytes.as_chunks().0.iter().map(|word| u64::from(u32::from_be_bytes(*word)));
        let values = Sum::of_values(words.sum());
        assert_eq!(values.partial(), Sum::default().add(&bytes).partial());
        let both = values.plus(Sum::default().add(&bytes[..7]));
        assert_eq!(both.partial(), Sum::default().add(&bytes).add(&bytes[..7]).partial());
    }

    #[test]
    fn what_is_taken_away_was_never_there() {
        let mut bytes: Vec<u8> = (10..50).collect();
        let with = Sum::default().add(&bytes);
        let before = [bytes[16], bytes[17]];
        bytes[16..18].fill(0);
        assert_eq!(with.without(before).complement(), Sum::default().add(&bytes).complement());
    }

    #[test]
    fn carries_come_round_from_every_word() {
        for len in [20, 40, 64, 1480, 65_534] {
            assert_eq!(Sum::default().add(&vec![0xff; len]).partial(), [0xff, 0xff]);
            assert_eq!(Sum(u64::MAX).add(&vec![0xff; len]).partial(), [0xff, 0xff]);
            let mut bytes = vec![0xff; len];
            bytes[len - 1] = 0xfe;
            let expect = smoltcp::wire::checksum::data(&bytes).to_be_bytes();
            assert_eq!(Sum::default().add(&bytes).partial(), expect);
        }
        for word in [0, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX - 1, u64::MAX] {
            let expect = match word % 0xffff {
                0 if word > 0 => 0xffff,
                rest => rest,
            };
            assert_eq!(u64::from(u16::from_ne_bytes(Sum(word).partial())), expect, "{word:x}");
        }
    }
}
