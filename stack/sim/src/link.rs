//! From a port into the network: what happens to packets on the way, and when they arrive.

use crate::Pcg32;
use std::time::Duration;
use tcp::Instant;

/// What the link of a port does to the packets that the port sends. Probabilities in parts per
/// million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Time from one port to the other.
    pub delay: Duration,
    /// A packet takes up to this much longer, evenly spread: where that exceeds the gap between
    /// packets, they overtake each other.
    pub jitter: Duration,
    /// Lost without a trace, each packet for itself.
    pub loss_ppm: u32,
    /// Losses in bursts, beside those.
    pub burst: Option<Burst>,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// One bit of an IPv4 packet is flipped. Elsewhere a real link's FCS would have caught it,
    /// and nothing else could: ARP has no checksum.
    pub corrupt_ppm: u32,
    /// Held back by `reorder_delay`, so that later packets overtake it.
    pub reorder_ppm: u32,
    /// How long a reordered packet is held back.
    pub reorder_delay: Duration,
    /// How fast packets leave, and how many may wait; `None` for at once.
    pub rate: Option<Rate>,
}

/// Losses in bursts: a chain of two states, good and bad, that takes a step with each packet
/// (E. N. Gilbert, "Capacity of a Burst-Noise Channel", 1960; E. O. Elliott, "Estimates of Error
/// Rates for Codes on Burst-Noise Channels", 1963). Nothing is lost in the good state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// From good to bad.
    pub enter_ppm: u32,
    /// From bad to good: bursts are a million by this packets long, on average.
    pub leave_ppm: u32,
    /// Lost in the bad state.
    pub loss_ppm: u32,
}

/// A bottleneck: packets leave one after the other, and what finds the queue full is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits that leave in a second. Not zero.
    pub bits_per_second: u64,
    /// Bytes that may wait, the packet that is leaving included.
    pub queue_bytes: u32,
}

impl Link {
    /// A link that delivers every packet at once and unharmed.
    pub const PERFECT: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss_ppm: 0,
        burst: None,
        duplicate_ppm: 0,
        corrupt_ppm: 0,
        reorder_ppm: 0,
        reorder_delay: Duration::ZERO,
        rate: None,
    };
}

/// What the link of a port did to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets put on it.
    pub sent: u64,
    /// Packets lost, those in bursts included.
    pub lost: u64,
    /// Packets that found the queue full.
    pub overflowed: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets held back.
    pub reordered: u64,
}

const ETHERNET_HEADER_LEN: usize = 14;
/// The `EtherType` of IPv4, behind the two addresses.
const IPV4: [u8; 2] = [0x08, 0x00];

/// The length of what corruption may hit in `packet`, in bytes.
fn corruptible_len(packet: &[u8]) -> usize {
    let is_ipv4 = packet.get(ETHERNET_HEADER_LEN - 2..ETHERNET_HEADER_LEN) == Some(&IPV4);
    if is_ipv4 { packet.len() - ETHERNET_HEADER_LEN } else { 0 }
}

/// The link of one port, and what it must remember.
#[derive(Debug)]
pub(crate) struct Uplink {
    link: Link,
    random: Pcg32,
    in_burst: bool,
    /// When the last packet in the queue will have left.
    busy_until: Instant,
    pub(crate) counters: LinkCounters,
}

/// What becomes of one packet: when it arrives, if it does, a second time perhaps.
pub(crate) type Fate = [Option<Copied>; 2];

/// One copy of a packet on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) at: Instant,
    /// The bit to be flipped, counted from the first behind the Ethernet header.
    pub(crate) flip_bit: Option<usize>,
}

impl Uplink {
    pub(crate) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            random: Pcg32::new(seed),
            in_burst: false,
            busy_until: Instant::ZERO,
            counters: LinkCounters::default(),
        }
    }

    /// Replaces what the link does from now on; its queue and its generator stay.
    pub(crate) fn set(&mut self, link: Link) {
        self.link = link;
    }

    /// A packet is put on the link.
    pub(crate) fn send(&mut self, now: Instant, packet: &[u8]) -> Fate {
        self.counters.sent += 1;
        let Some(departure) = self.depart(now, packet.len()) else {
            self.counters.overflowed += 1;
            return [None; 2];
        };
        if self.is_lost() {
            self.counters.lost += 1;
            return [None; 2];
        }
        let is_doubled = self.random.chance(self.link.duplicate_ppm);
        self.counters.duplicated += u64::from(is_doubled);
        let len = corruptible_len(packet);
        [Some(self.travel(departure, len)), is_doubled.then(|| self.travel(departure, len))]
    }

    /// When a packet has left the queue, `None` if it found no room there.
    fn depart(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.link.rate else { return Some(now) };
        let begin = self.busy_until.max(now);
        let waiting_ns = (begin - now).as_nanos();
        let waiting_bits = waiting_ns * u128::from(rate.bits_per_second);
        let waiting_bytes = waiting_bits.div_ceil(8_000_000_000);
        if waiting_bytes + len as u128 > u128::from(rate.queue_bytes) {
            return None;
        }
        let nanos = (len as u64 * 8_000_000_000).div_ceil(rate.bits_per_second);
        self.busy_until = begin + Duration::from_nanos(nanos);
        Some(self.busy_until)
    }

    fn is_lost(&mut self) -> bool {
        let mut is_lost = self.random.chance(self.link.loss_ppm);
        if let Some(burst) = self.link.burst {
            let step = if self.in_burst { burst.leave_ppm } else { burst.enter_ppm };
            self.in_burst ^= self.random.chance(step);
            is_lost |= self.in_burst && self.random.chance(burst.loss_ppm);
        }
        is_lost
    }

    /// A copy of a packet is on its way, of which corruption may hit the last `len` bytes.
    fn travel(&mut self, departure: Instant, len: usize) -> Copied {
        let mut flip_bit = None;
        if len > 0 && self.random.chance(self.link.corrupt_ppm) {
            self.counters.corrupted += 1;
            let bits = u32::try_from(len * 8).expect("a packet");
            flip_bit = Some(self.random.below(bits) as usize);
        }
        let mut at = departure + self.link.delay;
        if !self.link.jitter.is_zero() {
            let jitter_ns = u32::try_from(self.link.jitter.as_nanos()).unwrap_or(u32::MAX);
            at += Duration::from_nanos(self.random.below(jitter_ns).into());
        }
        if self.random.chance(self.link.reorder_ppm) {
            self.counters.reordered += 1;
            at += self.link.reorder_delay;
        }
        Copied { at, flip_bit }
    }
}

impl Copied {
    /// Does to the packet what happened on the way.
    pub(crate) fn spoil(self, packet: &mut [u8]) {
        if let Some(bit) = self.flip_bit {
            packet[ETHERNET_HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u64 = 1000;
    const PACKET: [u8; 100] = {
        let mut packet = [0; 100];
        packet[12] = IPV4[0];
        packet
    };

    /// The fates of packets of 100 bytes that are sent all at once.
    fn run(link: Link, seed: u64) -> (Vec<Fate>, LinkCounters) {
        let mut uplink = Uplink::new(link, seed);
        let fates = (0..COUNT).map(|_| uplink.send(Instant::ZERO, &PACKET)).collect();
        (fates, uplink.counters)
    }

    fn arrivals(link: Link) -> (Vec<u64>, LinkCounters) {
        let (fates, counters) = run(link, 1);
        let copies = fates.iter().flatten().flatten();
        (copies.map(|copied| copied.at.as_nanos()).collect(), counters)
    }

    #[test]
    fn a_perfect_link_keeps_every_packet_and_the_order() {
        let (times, counters) = arrivals(Link::PERFECT);
        assert_eq!(times, vec![0; usize::try_from(COUNT).expect("small")]);
        assert_eq!(counters, LinkCounters { sent: COUNT, ..LinkCounters::default() });
    }

    #[test]
    fn losses_come_as_often_as_asked_for_and_repeat_with_the_seed() {
        let link = Link { loss_ppm: 200_000, ..Link::PERFECT };
        let (times, counters) = arrivals(link);
        assert_eq!(u64::try_from(times.len()), Ok(COUNT - counters.lost));
        assert!((150..250).contains(&counters.lost), "{}", counters.lost);
        let losses = |seed| run(link, seed).0.iter().map(|fate| fate[0].is_none()).collect();
        let (first, again, other): (Vec<bool>, Vec<bool>, Vec<bool>) =
            (losses(1), losses(1), losses(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn bursts_are_as_long_as_asked_for() {
        let burst = Burst { enter_ppm: 20_000, leave_ppm: 100_000, loss_ppm: 1_000_000 };
        let (fates, counters) = run(Link { burst: Some(burst), ..Link::PERFECT }, 1);
        let lost: Vec<bool> = fates.iter().map(|fate| fate[0].is_none()).collect();
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        // A sixth of the packets, in bursts of ten on average.
        assert!((100..250).contains(&counters.lost), "{}", counters.lost);
        assert!((8..28).contains(&bursts), "{bursts}");
    }

    #[test]
    fn duplicates_corruption_and_reordering_happen_and_are_counted() {
        let (times, counters) = arrivals(Link { duplicate_ppm: 200_000, ..Link::PERFECT });
        assert_eq!(u64::try_from(times.len()), Ok(COUNT + counters.duplicated));
        assert!((150..250).contains(&counters.duplicated));

        let reorder_delay = Duration::from_nanos(77);
        let (times, counters) =
            arrivals(Link { reorder_ppm: 200_000, reorder_delay, ..Link::PERFECT });
        let late = times.iter().filter(|at| **at == 77).count();
        assert_eq!(u64::try_from(late), Ok(counters.reordered));
        assert!((150..250).contains(&counters.reordered));

        let (fates, counters) = run(Link { corrupt_ppm: 200_000, ..Link::PERFECT }, 1);
        let spoilt = fates.iter().flatten().flatten().filter(|copied| {
            let mut packet = [0; 100];
            copied.spoil(&mut packet);
            assert_eq!(packet[..14], [0; 14], "the Ethernet header is spared");
            packet.iter().map(|byte| byte.count_ones()).sum::<u32>() == 1
        });
        assert_eq!(u64::try_from(spoilt.count()), Ok(counters.corrupted));
        assert!((150..250).contains(&counters.corrupted));
        let mut uplink = Uplink::new(Link { corrupt_ppm: 1_000_000, ..Link::PERFECT }, 1);
        assert!(uplink.send(Instant::ZERO, &[0; 100])[0].is_some_and(|it| it.flip_bit.is_none()));
        assert_eq!(uplink.counters.corrupted, 0, "not IPv4");
    }

    #[test]
    fn delay_is_kept_and_jitter_adds_up_to_its_bound() {
        let (delay, jitter) = (Duration::from_nanos(50), Duration::from_nanos(20));
        let (times, _) = arrivals(Link { delay, jitter, ..Link::PERFECT });
        assert_eq!((times.iter().min(), times.iter().max()), (Some(&50), Some(&69)));
    }

    #[test]
    fn a_bottleneck_spaces_packets_and_drops_what_does_not_fit_its_queue() {
        // A hundred bytes take a microsecond; ten packets fit.
        let rate = Rate { bits_per_second: 800_000_000, queue_bytes: 1000 };
        let (times, counters) = arrivals(Link { rate: Some(rate), ..Link::PERFECT });
        assert_eq!(times, (1..=10).map(|place| place * 1000).collect::<Vec<u64>>());
        assert_eq!(counters.overflowed, COUNT - 10);
        let mut uplink = Uplink::new(Link { rate: Some(rate), ..Link::PERFECT }, 1);
        (0..10).for_each(|_| assert!(uplink.send(Instant::ZERO, &PACKET)[0].is_some()));
        assert!(uplink.send(Instant::from_nanos(999), &PACKET)[0].is_none());
        // One has left.
        let after = uplink.send(Instant::from_nanos(1000), &PACKET)[0];
        assert_eq!(after.map(|copied| copied.at), Some(Instant::from_nanos(11_000)));
    }
}
