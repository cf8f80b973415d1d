//! What no virtual device does by itself: a port that is said to check checksums, and says nothing
//! of those of a packet.

use super::{Device, Offloads, QueuePair, Runtime};
use queue::{Burst, Frame, Meta};
use std::ffi::CString;
use std::sync::Arc;

const NONE: Offloads =
    Offloads { rx_checksum: false, tx_checksum: false, rss_ipv4: false, rss_tcp: false };
const FRAMES: u32 = 2304;

/// RFC 1071's sum of 16-bit words, complemented.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let word =
        |bytes: &[u8]| u32::from(bytes[0]) << 8 | bytes.get(1).map_or(0, |low| (*low).into());
    let sum: u32 = parts.iter().flat_map(|part| part.chunks(2)).map(word).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")).to_be_bytes()
}

/// A TCP segment with `options` bytes of IPv4 options and a payload, and its right checksum.
fn segment(options: u8, payload: &[u8]) -> Vec<u8> {
    let len = 20 + options + 20 + u8::try_from(payload.len()).expect("a short payload");
    let addresses = [198, 18, 0, 10, 198, 18, 0, 2];
    let ip = [0x45 + options / 4, 0, 0, len, 0, 1, 0x40, 0, 64, 6, 0, 0];
    let mut tcp = [&[0xc0, 0, 0x1f, 0x90][..], &[0; 8], &[0x50, 0x10, 1, 0, 0, 0, 0, 0]].concat();
    tcp.extend(payload);
    let pseudo = [0, 6, 0, len - 20 - options];
    let sum = checksum(&[&addresses, &pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum);
    let ether = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0x0a, 8, 0];
    let options = vec![1; usize::from(options)];
    let mut packet = [&ether[..], &ip, &addresses, &options, &tcp].concat();
    packet.resize(packet.len().max(60), 0);
    packet
}

fn changed(mut packet: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    assert_ne!(packet[at], value, "no change");
    packet[at] = value;
    packet
}

/// Sends packets to itself over `net_ring`; returns those that come through.
fn through(pair: &mut QueuePair, packets: &[Vec<u8>]) -> Vec<(Vec<u8>, Meta)> {
    let mut burst = Burst::new();
    for packet in packets {
        let mut frame = pair.alloc().expect("there are frames");
        let len = u16::try_from(packet.len()).expect("a short packet");
        pair.bytes_mut(&mut frame, len).copy_from_slice(packet);
        burst.push(frame).expect("room");
    }
    let count = burst.len();
    assert_eq!(pair.transmit(&mut burst, count), count);
    let came = pair.receive(&mut burst);
    let frames: Vec<Frame> = burst.drain(came).collect();
    let all = frames.iter().map(|frame| (pair.bytes(frame).to_vec(), frame.meta())).collect();
    frames.iter().for_each(|frame| pair.free(frame));
    all
}

#[test]
fn what_a_port_does_not_say_of_a_checksum_is_computed() {
    let arguments = "x --no-huge -m 64 --no-pci --no-telemetry --no-shconf --vdev net_ring0";
    let arguments = arguments.split(' ').map(|word| CString::new(word).expect("no NUL"));
    let runtime = Arc::new(Runtime::init(arguments.collect()).expect("needs no huge pages"));
    let mut device = Device::claim(&runtime, runtime.ports()[0]).expect("it is nobody's");
    device.configure(1, NONE).expect("it has one queue");
    device.add_pool(c"test", FRAMES).expect("memory");
    device.set_up_queue(0, [64, 64]).expect("a queue");
    device.start().expect("all is set up");
    let device = Arc::new(device);
    // The ring claims to check checksums, and says of no packet that it has.
    let mut pair = QueuePair::new(&device, 0, FRAMES, (true, false));

    let good = [
        segment(0, b""),
        segment(0, b"odd"),
        segment(8, b"with options"),
        // Not TCP over IPv4, or not whole: nothing of which the sum could be taken.
        changed(segment(0, b"udp"), 23, 17),
        changed(segment(0, b"arp"), 13, 6),
        changed(segment(0, b"too long"), 17, 200),
        changed(segment(0, b"short header"), 14, 0x41),
        changed(segment(0, b"long header"), 14, 0x4f),
    ];
    let came = through(&mut pair, &good);
    assert_eq!(came.len(), good.len(), "all of them");
    for ((bytes, meta), sent) in came.iter().zip(&good) {
        assert_eq!((bytes, *meta), (sent, Meta::CHECKSUM_GOOD));
    }
    let bad = [
        changed(segment(0, b"payload"), 60, b'x'),
        changed(segment(0, b"address"), 29, 11),
        changed(segment(8, b"flags"), 14 + 28 + 13, 0x11),
    ];
    assert_eq!(through(&mut pair, &bad), []);
    let dropped = pair.dropped();
    assert_eq!((dropped.rx_bad_checksum_frames, dropped.rx_long_frames), (3, 0));
    assert_eq!(pair.outstanding(), 0);
    drop(pair);
    assert_eq!(Arc::into_inner(device).map(Device::close), Some(0), "what was dropped was freed");
}
