//! Looking on: every packet as it is sent and as it is received, and captures of them.

use smoltcp::phy::{PcapLinkType, PcapSink};
use smoltcp::time::Instant as SmolInstant;
use std::cell::RefCell;
use std::rc::Rc;
use tcp::Instant;

/// One who looks at every packet of a [`Network`](crate::Network). Ports are numbered in the order
/// in which they were attached.
pub trait Tap {
    /// A port sends a packet, which may get lost.
    fn sent(&mut self, now: Instant, port: usize, packet: &[u8]);
    /// A port receives a packet, as whatever became of it.
    fn delivered(&mut self, now: Instant, port: usize, packet: &[u8]);
}

/// For those who want to ask a tap afterwards what it has seen.
impl<T: Tap + ?Sized> Tap for Rc<RefCell<T>> {
    fn sent(&mut self, now: Instant, port: usize, packet: &[u8]) {
        self.borrow_mut().sent(now, port, packet);
    }

    fn delivered(&mut self, now: Instant, port: usize, packet: &[u8]) {
        self.borrow_mut().delivered(now, port, packet);
    }
}

/// All packets in libpcap's format, once as they were sent, once as they were received: what is
/// only in the first was lost.
#[derive(Clone, Debug)]
pub struct Capture {
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Capture {
    /// A capture without packets.
    #[must_use]
    pub fn new() -> Self {
        let mut file = Vec::new();
        PcapSink::global_header(&mut file, PcapLinkType::Ethernet);
        Self { sent: file.clone(), received: file }
    }

    /// The contents of a file with what was sent.
    #[must_use]
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// The contents of a file with what was received.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

/// Captures count in microseconds.
fn micros(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}

impl Tap for Capture {
    fn sent(&mut self, now: Instant, _: usize, packet: &[u8]) {
        PcapSink::packet(&mut self.sent, micros(now), packet);
    }

    fn delivered(&mut self, now: Instant, _: usize, packet: &[u8]) {
        PcapSink::packet(&mut self.received, micros(now), packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Link, Network, PortConfig};
    use std::time::Duration;

    #[test]
    fn a_capture_has_every_packet_with_its_time_and_what_was_lost_in_one_file_only() {
        let clock = Clock::default();
        let mut network = Network::new(1, &clock);
        let mut port = network.attach(PortConfig::new([2, 0, 0, 0, 0, 1]), Link::PERFECT);
        let mut other = network.attach(PortConfig::new([2, 0, 0, 0, 0, 2]), Link::PERFECT);
        let capture = Rc::new(RefCell::new(Capture::new()));
        network.tap(Rc::clone(&capture));
        clock.advance(Duration::from_micros(3_000_005));
        port.send(&[2, 0, 0, 0, 0, 2, 0xab, 0xcd]);
        assert!(other.take(|_| {}));
        network.set_link(0, Link { loss_ppm: 1_000_000, ..Link::PERFECT });
        port.send(&[2, 0, 0, 0, 0, 2, 0x12]);
        assert!(!other.take(|_| {}));
        let capture = capture.borrow();
        // Seconds, microseconds, captured length, length: four words in the writer's byte order.
        let mut record: Vec<u8> = [3, 5, 8, 8_u32].iter().flat_map(|n| n.to_ne_bytes()).collect();
        record.extend_from_slice(&[2, 0, 0, 0, 0, 2, 0xab, 0xcd]);
        assert_eq!(capture.received()[24..], record);
        assert_eq!(capture.sent()[24..24 + record.len()], record);
        assert_eq!(capture.sent().len(), 24 + record.len() + 16 + 7);
    }
}
