//! The frame: a TCP segment by its headers, a slot number and a generation in its payload.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of the Ethernet, IPv4 and TCP headers, none with options.
const HEADERS: usize = 14 + 20 + 20;
/// Bytes of the tag behind them.
const TAG: usize = 8;
/// Shortest frame: headers and tag. Longer than the 60 bytes of Ethernet's shortest.
pub(crate) const LEN_MIN: u16 = 62;
/// Longest frame: an MTU of 1,500 bytes and the Ethernet header.
pub(crate) const LEN_MAX: u16 = 1514;

const _: () = assert!(LEN_MIN as usize == HEADERS + TAG);

/// Two locally administered addresses that nobody has: no end looks at them.
const TARGET_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
const SOURCE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// The generator's address in the local topology.
const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 20);

/// Which frame it is: the place of its sender's notes about it, and how often those were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A frame of this length to an address, with a tag of zeros.
///
/// Checksums are left 0: frames go from queue to queue, and nobody on the way computes one.
pub(crate) fn template(len: u16, to: SocketAddrV4) -> Vec<u8> {
    let mut frame = Vec::with_capacity(len.into());
    frame.extend(TARGET_MAC);
    frame.extend(SOURCE_MAC);
    // IPv4, version and header length, no service class.
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((len - 14).to_be_bytes());
    // No identification, do not fragment, 64 hops, TCP.
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(SOURCE.octets());
    frame.extend(to.ip().octets());
    frame.extend(1024_u16.to_be_bytes());
    frame.extend(to.port().to_be_bytes());
    // Sequence and acknowledgement numbers; five words of header, ACK, window; no urgent pointer.
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    frame.resize(len.into(), 0);
    frame
}

/// Writes a tag into a frame of at least [`LEN_MIN`] bytes.
pub(crate) fn write_tag(frame: &mut [u8], tag: Tag) {
    frame[HEADERS..HEADERS + 4].copy_from_slice(&tag.slot.to_be_bytes());
    frame[HEADERS + 4..HEADERS + TAG].copy_from_slice(&tag.generation.to_be_bytes());
}

/// The tag of a frame of ours; `None` for any other.
pub(crate) fn read_tag(frame: &[u8]) -> Option<Tag> {
    if !frame.starts_with(&TARGET_MAC) {
        return None;
    }
    let word = |at: usize| frame.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    Some(Tag { slot: word(HEADERS)?, generation: word(HEADERS + 4)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);

    #[test]
    fn a_frame_is_a_segment_to_the_address() {
        let frame = template(LEN_MIN, TO);
        assert_eq!(frame.len(), usize::from(LEN_MIN));
        assert_eq!(frame[12..14], [0x08, 0x00], "EtherType IPv4");
        assert_eq!(frame[14], 0x45, "version 4, five words of header");
        assert_eq!(u16::from_be_bytes([frame[16], frame[17]]), LEN_MIN - 14, "total length");
        assert_eq!(frame[23], 6, "TCP");
        assert_eq!(frame[30..34], [198, 18, 0, 2], "destination");
        assert_eq!(u16::from_be_bytes([frame[36], frame[37]]), 8080, "destination port");
        assert_eq!(frame[46] >> 4, 5, "five words of TCP header");
    }

    #[test]
    fn frames_of_others_have_no_tag() {
        assert_eq!(read_tag(&[]), None);
        assert_eq!(read_tag(&[0xff; 62]), None);
        assert_eq!(read_tag(&template(LEN_MIN, TO)[..61]), None, "cut off");
    }

    proptest! {
        #[test]
        fn a_tag_is_read_as_it_was_written(
            len in LEN_MIN..=LEN_MAX, slot: u32, generation: u32,
        ) {
            let mut frame = template(len, TO);
            let tag = Tag { slot, generation };
            write_tag(&mut frame, tag);
            prop_assert_eq!(frame.len(), usize::from(len));
            prop_assert_eq!(read_tag(&frame), Some(tag));
        }
    }
}
