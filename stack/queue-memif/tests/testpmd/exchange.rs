//! Packets that say which they are, sent to somebody who sends them back.

use crate::PATIENCE;
use queue::{BURST_MAX, Burst, Queue};
use queue_memif::MemifQueue;
use std::ops::Range;
use std::time::Instant;

/// Packets on their way at most, each in up to three buffers of 512 bytes: testpmd drops what does
/// not fit into its ring of 1,024.
const WINDOW: u64 = 256;

/// Length of a packet: all from the shortest to the MTU occur.
fn len(number: u64) -> u16 {
    60 + u16::try_from(number % 1455).expect("up to the MTU")
}

/// The packet of this number: an Ethernet header of test equipment, then the number and filler.
fn fill(packet: &mut [u8], number: u64) {
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    packet[14..22].copy_from_slice(&number.to_be_bytes());
    for chunk in packet[22..].chunks_mut(8) {
        chunk.copy_from_slice(&filler[..chunk.len()]);
    }
}

/// Puts packets into `out` while there is room, and returns how many were built then.
fn build(queue: &mut MemifQueue, out: &mut Burst, numbers: Range<u64>) -> u64 {
    for number in numbers.clone() {
        if out.len() == BURST_MAX {
            return number;
        }
        let Some(mut frame) = queue.alloc() else { return number };
        fill(queue.bytes_mut(&mut frame, len(number)), number);
        out.push(frame).expect("the burst has room");
    }
    numbers.end
}

/// Sends the packets of these numbers, and checks that each comes back as it went, in order.
pub(crate) fn exchange(queue: &mut MemifQueue, numbers: Range<u64>) {
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let (mut built, mut seen) = (numbers.start, numbers.start);
    let mut expected = [0; 2048];
    let mut last = Instant::now();
    while seen < numbers.end {
        built = build(queue, &mut out, built..numbers.end.min(seen + WINDOW));
        queue.tx_burst(&mut out);
        let came = queue.rx_burst(&mut back);
        for frame in back.drain(came) {
            let expected = &mut expected[..usize::from(len(seen))];
            fill(expected, seen);
            assert!(queue.bytes(&frame) == expected, "packet {seen} of {built} is another one");
            queue.free(frame);
            seen += 1;
        }
        if came > 0 {
            last = Instant::now();
        } else {
            assert!(last.elapsed() < PATIENCE, "{seen} of {built} came back");
            std::thread::yield_now();
        }
    }
    assert_eq!(queue.outstanding(), 0);
}
