//! Files of captured packets: libpcap's format, Ethernet.

use std::fs;
use std::path::Path;

/// With times in microseconds, and in nanoseconds.
const MAGICS: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const ETHERNET: u32 = 1;
const FILE_HEADER_LEN: usize = 24;
const PACKET_HEADER_LEN: usize = 16;

/// Writes packets to a new file, all captured at once.
pub(crate) fn write(path: &Path, packets: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    // Version 2.4, time zone and accuracy 0, packets of up to 65,535 bytes.
    for word in [MAGICS[0], 0x0004_0002, 0, 0, 65_535, ETHERNET] {
        bytes.extend(word.to_le_bytes());
    }
    for packet in packets {
        let len = u32::try_from(packet.len()).expect("a short packet");
        for word in [0, 0, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(packet);
    }
    fs::write(path, bytes).expect("a folder for temporary files");
}

/// Reads packets from a file.
pub(crate) fn read(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("the file is there");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert!(MAGICS.contains(&word(0)) && word(20) == ETHERNET, "a capture of Ethernet");
    let (mut packets, mut at) = (Vec::new(), FILE_HEADER_LEN);
    while at < bytes.len() {
        let len = usize::try_from(word(at + 8)).expect("a length");
        at += PACKET_HEADER_LEN;
        packets.push(bytes[at..at + len].to_vec());
        at += len;
    }
    packets
}
