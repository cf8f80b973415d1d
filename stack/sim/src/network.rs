//! The segment that joins the ports: who receives what, and when.

use crate::Clock;
use crate::capture::Tap;
use crate::link::{Copied, Link, LinkCounters, Uplink};
use crate::port::{Port, PortConfig};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use tcp::Instant;

/// A segment that ports are attached to, each by a [`Link`] of its own.
///
/// A packet goes to the port whose MAC address it bears, and to all others but its sender if that
/// is no port's, as through a switch.
pub struct Network {
    wire: Rc<RefCell<Wire>>,
    clock: Clock,
    seed: u64,
}

impl Network {
    /// A network without ports, all of whose chances follow from `seed`.
    #[must_use]
    pub fn new(seed: u64, clock: &Clock) -> Self {
        Self { wire: Rc::default(), clock: clock.clone(), seed }
    }

    /// Attaches a port: `link` carries what it sends.
    pub fn attach(&mut self, config: PortConfig, link: Link) -> Port {
        let number = self.wire.borrow_mut().attach(config.mac, link, self.seed);
        Port::new(config, &self.clock, Rc::clone(&self.wire), number)
    }

    /// Shows every packet to `tap`, in the order in which packets are sent and received.
    pub fn tap(&mut self, tap: impl Tap + 'static) {
        self.wire.borrow_mut().taps.push(Box::new(tap));
    }

    /// Replaces what the link of the port that was attached as number `port` does from now on.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn set_link(&mut self, port: usize, link: Link) {
        self.wire.borrow_mut().places[port].uplink.set(link);
    }

    /// When the next packet arrives anywhere.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        let wire = self.wire.borrow();
        (0..wire.places.len()).filter_map(|port| wire.next_arrival(port)).min()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Network").field("wire", &self.wire).finish_non_exhaustive()
    }
}

/// Two ports joined by a wire: `link_to_b` carries from the first to the second, `link_to_a` back.
#[must_use]
pub fn pair(
    seed: u64,
    clock: &Clock,
    (a, link_to_b): (PortConfig, Link),
    (b, link_to_a): (PortConfig, Link),
) -> (Port, Port) {
    let mut network = Network::new(seed, clock);
    (network.attach(a, link_to_b), network.attach(b, link_to_a))
}

/// A packet on its way, ordered by when it arrives, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    sequence: u64,
    packet: Vec<u8>,
}

/// Where a port is attached.
#[derive(Debug)]
struct Place {
    mac: [u8; 6],
    uplink: Uplink,
    arrivals: BinaryHeap<Reverse<Arrival>>,
}

/// The places, and all packets under way.
///
/// Buffers of delivered packets are used again, so that a simulation in its steady state does not
/// allocate: what allocates then is the code under test.
#[derive(Default)]
pub(crate) struct Wire {
    places: Vec<Place>,
    sequence: u64,
    spare: Vec<Vec<u8>>,
    taps: Vec<Box<dyn Tap>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Wire").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Wire {
    fn attach(&mut self, mac: [u8; 6], link: Link, seed: u64) -> usize {
        let number = self.places.len();
        // Another seed for each: the golden ratio's bits, by a number that is odd.
        let seed = seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let uplink = Uplink::new(link, seed);
        self.places.push(Place { mac, uplink, arrivals: BinaryHeap::new() });
        number
    }

    /// A port sends a packet.
    pub(crate) fn send(&mut self, now: Instant, from: usize, bytes: &[u8]) {
        for tap in &mut self.taps {
            tap.sent(now, from, bytes);
        }
        let fate = self.places[from].uplink.send(now, bytes);
        let owner = self
            .places
            .iter()
            .position(|place| bytes.get(..6) == Some(&place.mac))
            .filter(|owner| *owner != from);
        for copied in fate.into_iter().flatten() {
            match owner {
                Some(owner) => self.schedule(owner, copied, bytes),
                None => (0..self.places.len())
                    .filter(|port| *port != from)
                    .for_each(|port| self.schedule(port, copied, bytes)),
            }
        }
    }

    fn schedule(&mut self, to: usize, copied: Copied, bytes: &[u8]) {
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.clear();
        packet.extend_from_slice(bytes);
        copied.spoil(&mut packet);
        self.sequence += 1;
        let arrival = Arrival { at: copied.at, sequence: self.sequence, packet };
        self.places[to].arrivals.push(Reverse(arrival));
    }

    /// Takes the next packet that has arrived at a port by `now` and shows it to `receive`.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        port: usize,
        receive: impl FnOnce(&[u8]),
    ) -> bool {
        if self.next_arrival(port).is_none_or(|at| at > now) {
            return false;
        }
        let Some(Reverse(arrival)) = self.places[port].arrivals.pop() else { return false };
        for tap in &mut self.taps {
            tap.delivered(now, port, &arrival.packet);
        }
        receive(&arrival.packet);
        self.spare.push(arrival.packet);
        true
    }

    /// When the next packet arrives at a port.
    pub(crate) fn next_arrival(&self, port: usize) -> Option<Instant> {
        self.places[port].arrivals.peek().map(|Reverse(arrival)| arrival.at)
    }

    pub(crate) fn counters(&self, port: usize) -> LinkCounters {
        self.places[port].uplink.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn mac(last: u8) -> [u8; 6] {
        [2, 0, 0, 0, 0, last]
    }

    fn three() -> (Clock, Network, [Port; 3]) {
        let clock = Clock::default();
        let mut network = Network::new(1, &clock);
        let ports = [1, 2, 3].map(|last| network.attach(PortConfig::new(mac(last)), Link::PERFECT));
        (clock, network, ports)
    }

    /// How many packets each port has received.
    fn received(ports: &mut [Port]) -> Vec<usize> {
        let count = |port: &mut Port| {
            let mut count = 0;
            while port.take(|_| count += 1) {}
            count
        };
        ports.iter_mut().map(count).collect()
    }

    #[test]
    fn a_packet_goes_to_its_owner_and_others_to_all_but_the_sender() {
        let (_clock, _network, mut ports) = three();
        ports[0].send(&mac(3));
        assert_eq!(received(&mut ports), [0, 0, 1]);
        ports[1].send(&[0xff; 6]);
        assert_eq!(received(&mut ports), [1, 0, 1]);
        ports[1].send(&mac(9));
        assert_eq!(received(&mut ports), [1, 0, 1]);
        // Neither a runt nor a packet to oneself is lost: who receives it must drop it.
        ports[2].send(&[2, 0]);
        ports[2].send(&mac(3));
        assert_eq!(received(&mut ports), [2, 2, 0]);
    }

    #[test]
    fn a_packet_arrives_when_the_delay_has_passed_and_not_before() {
        let (clock, mut network, mut ports) = three();
        network.set_link(0, Link { delay: Duration::from_nanos(50), ..Link::PERFECT });
        clock.advance(Duration::from_nanos(10));
        ports[0].send(&mac(2));
        assert_eq!(network.next_arrival(), Some(Instant::from_nanos(60)));
        clock.advance(Duration::from_nanos(49));
        assert_eq!(received(&mut ports), [0, 0, 0]);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(received(&mut ports), [0, 1, 0]);
        assert_eq!(network.next_arrival(), None);
    }

    #[test]
    fn what_is_sent_at_once_arrives_in_the_order_of_sending() {
        let (_clock, _network, mut ports) = three();
        for number in 0..100 {
            ports[0].send(&[2, 0, 0, 0, 0, 2, number]);
        }
        let mut seen = Vec::new();
        while ports[1].take(|packet| seen.push(packet[6])) {}
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    }
}
