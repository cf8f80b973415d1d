//! One direction of the wire: what happens to packets, and when they arrive.

use crate::Pcg32;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;
use tcp::Instant;

/// What a direction of the wire does to packets. Probabilities in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Time from one port to the other.
    pub delay: Duration,
    /// Lost without a trace.
    pub loss_ppm: u32,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// One bit behind the Ethernet header is flipped.
    pub corrupt_ppm: u32,
    /// Held back by `reorder_delay`, so that later packets overtake it.
    pub reorder_ppm: u32,
    /// How long a reordered packet is held back.
    pub reorder_delay: Duration,
}

impl Link {
    /// A wire that delivers every packet at once and unharmed.
    pub const PERFECT: Self = Self {
        delay: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        corrupt_ppm: 0,
        reorder_ppm: 0,
        reorder_delay: Duration::ZERO,
    };
}

/// The virtual clock of a simulation; clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<Instant>>);

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.get()
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }

    /// Moves on to `instant`, or stays where it is if that has passed.
    pub fn advance_to(&self, instant: Instant) {
        self.0.set(self.0.get().max(instant));
    }
}

/// What a direction of the wire did to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets put on it.
    pub sent: u64,
    /// Packets lost.
    pub lost: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets held back.
    pub reordered: u64,
}

/// One direction of the wire with the packets on it.
///
/// Buffers of delivered packets are used again, so that a simulation in its steady state does not
/// allocate: what allocates then is the code under test.
#[derive(Debug)]
pub(crate) struct Direction {
    link: Link,
    random: Pcg32,
    in_flight: BinaryHeap<Reverse<Arrival>>,
    sequence: u64,
    spare: Vec<Vec<u8>>,
    pub(crate) counters: LinkCounters,
}

/// A packet on the wire, ordered by when it arrives, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    sequence: u64,
    packet: Vec<u8>,
}

/// An Ethernet header: corruption spares it, as a real wire's FCS would have caught it there.
const ETHERNET_HEADER_LEN: usize = 14;

impl Direction {
    pub(crate) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            random: Pcg32::new(seed),
            in_flight: BinaryHeap::new(),
            sequence: 0,
            spare: Vec::new(),
            counters: LinkCounters::default(),
        }
    }

    /// Puts a packet on the wire.
    pub(crate) fn send(&mut self, now: Instant, bytes: &[u8]) {
        self.counters.sent += 1;
        if self.random.chance(self.link.loss_ppm) {
            self.counters.lost += 1;
            return;
        }
        if self.random.chance(self.link.duplicate_ppm) {
            self.counters.duplicated += 1;
            self.schedule(now, bytes);
        }
        self.schedule(now, bytes);
    }

    fn schedule(&mut self, now: Instant, bytes: &[u8]) {
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.clear();
        packet.extend_from_slice(bytes);
        if packet.len() > ETHERNET_HEADER_LEN && self.random.chance(self.link.corrupt_ppm) {
            self.counters.corrupted += 1;
            let bits = u32::try_from((packet.len() - ETHERNET_HEADER_LEN) * 8).expect("a packet");
            let bit = self.random.below(bits) as usize;
            packet[ETHERNET_HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
        }
        let mut at = now + self.link.delay;
        if self.random.chance(self.link.reorder_ppm) {
            self.counters.reordered += 1;
            at += self.link.reorder_delay;
        }
        self.sequence += 1;
        self.in_flight.push(Reverse(Arrival { at, sequence: self.sequence, packet }));
    }

    /// Takes the next packet that has arrived by `now` and shows it to `receive`.
    pub(crate) fn deliver(&mut self, now: Instant, receive: impl FnOnce(&[u8])) -> bool {
        if self.next_arrival().is_none_or(|at| at > now) {
            return false;
        }
        let Some(Reverse(arrival)) = self.in_flight.pop() else { return false };
        receive(&arrival.packet);
        self.spare.push(arrival.packet);
        true
    }

    /// When the next packet arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(arrival)| arrival.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(link: Link) -> (Vec<u8>, LinkCounters) {
        let mut direction = Direction::new(link, 1);
        for number in 0..100 {
            direction.send(Instant::ZERO, &[number; 20]);
        }
        let mut seen = Vec::new();
        let late = Instant::from_nanos(1_000_000_000);
        while direction.deliver(late, |packet| seen.push(packet[0])) {}
        (seen, direction.counters)
    }

    #[test]
    fn a_perfect_link_keeps_every_packet_and_the_order() {
        let (seen, counters) = run(Link::PERFECT);
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
        assert_eq!(counters, LinkCounters { sent: 100, ..LinkCounters::default() });
    }

    #[test]
    fn each_fault_happens_is_counted_and_repeats_with_the_seed() {
        let (lossy, counters) = run(Link { loss_ppm: 200_000, ..Link::PERFECT });
        assert_eq!(u64::try_from(lossy.len()), Ok(100 - counters.lost));
        assert!((5..50).contains(&counters.lost));
        assert_eq!(run(Link { loss_ppm: 200_000, ..Link::PERFECT }).0, lossy);

        let (doubled, counters) = run(Link { duplicate_ppm: 200_000, ..Link::PERFECT });
        assert_eq!(u64::try_from(doubled.len()), Ok(100 + counters.duplicated));
        assert!(counters.duplicated > 0);

        let reorder_delay = Duration::from_millis(1);
        let link = Link { reorder_ppm: 200_000, reorder_delay, ..Link::PERFECT };
        let (mut reordered, counters) = run(link);
        assert!(counters.reordered > 0 && !reordered.is_sorted());
        reordered.sort_unstable();
        assert_eq!(reordered, (0..100).collect::<Vec<u8>>());

        let (_, counters) = run(Link { corrupt_ppm: 200_000, ..Link::PERFECT });
        assert!(counters.corrupted > 0);
    }

    #[test]
    fn a_packet_arrives_when_the_delay_has_passed_and_not_before() {
        let mut direction =
            Direction::new(Link { delay: Duration::from_nanos(50), ..Link::PERFECT }, 1);
        direction.send(Instant::from_nanos(10), b"x");
        assert_eq!(direction.next_arrival(), Some(Instant::from_nanos(60)));
        assert!(!direction.deliver(Instant::from_nanos(59), |_| {}));
        assert!(direction.deliver(Instant::from_nanos(60), |_| {}));
        assert_eq!(direction.next_arrival(), None);
    }
}
