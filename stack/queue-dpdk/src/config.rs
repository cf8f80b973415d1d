//! What to open: the port, its queues, and the sizes of what they have.

use crate::Error;
use queue::BURST_MAX;
use std::fmt;
use std::str::FromStr;

/// Who is to deal with checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumWish {
    /// The port, where it offers to, each direction by itself.
    Auto,
    /// The stack, even where the port offers to.
    Software,
}

impl fmt::Display for ChecksumWish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::Software => "software",
        })
    }
}

impl FromStr for ChecksumWish {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "software" => Ok(Self::Software),
            _ => Err(format!("`{word}` is none of: auto, software")),
        }
    }
}

/// What [`Port::open`](crate::Port::open) opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The port's name, a PCI address or that of a virtual device; None for the only one.
    pub port: Option<String>,
    /// MAC address to give it; None for the one it has.
    pub mac: Option<[u8; 6]>,
    /// Queue pairs: 1 to [`QUEUE_COUNT_MAX`](Self::QUEUE_COUNT_MAX), and what the port has.
    pub queue_count: u16,
    /// Descriptors of each receive ring, which the port may adjust: [`BURST_MAX`] to
    /// [`RING_FRAMES_MAX`](Self::RING_FRAMES_MAX).
    pub rx_ring_frames: u16,
    /// Descriptors of each transmit ring, likewise.
    pub tx_ring_frames: u16,
    /// Mbufs of each queue: up to [`FRAME_COUNT_MAX`](Self::FRAME_COUNT_MAX), and enough to fill
    /// both rings with [`FRAMES_BESIDE_RINGS`](Self::FRAMES_BESIDE_RINGS) to spare.
    pub frame_count: u32,
    /// Who is to deal with checksums.
    pub checksum: ChecksumWish,
}

impl Config {
    /// Most queues.
    pub const QUEUE_COUNT_MAX: u16 = 64;
    /// Default of both rings' descriptors.
    pub const RING_FRAMES: u16 = 1024;
    /// Most descriptors of a ring.
    pub const RING_FRAMES_MAX: u16 = 1 << 14;
    /// Default of [`frame_count`](Self::frame_count): 9 MiB. Few of them are ever touched, since a
    /// mempool gives out first what came back last.
    pub const FRAME_COUNT: u32 = 4096;
    /// Most frames: 600 MiB.
    pub const FRAME_COUNT_MAX: u32 = 1 << 18;
    /// Frames that are in neither ring: a burst each way with the caller, and as many again.
    pub const FRAMES_BESIDE_RINGS: u32 = 4 * BURST_FRAMES as u32;

    /// A configuration with the default sizes and one queue.
    #[must_use]
    pub const fn new(port: Option<String>) -> Self {
        Self {
            port,
            mac: None,
            queue_count: 1,
            rx_ring_frames: Self::RING_FRAMES,
            tx_ring_frames: Self::RING_FRAMES,
            frame_count: Self::FRAME_COUNT,
            checksum: ChecksumWish::Auto,
        }
    }

    /// Checks every bound that does not depend on the port.
    ///
    /// # Errors
    /// [`Error::Config`] with a sentence that names the value and its bound.
    pub fn check(&self) -> Result<(), Error> {
        self.check_values().map_err(Error::Config)
    }

    fn check_values(&self) -> Result<(), String> {
        if let Some(mac) = self.mac.filter(|mac| mac[0] & 1 != 0 || *mac == [0; 6]) {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            return Err(format!(
                "the MAC address {mac}: choose one of a single host, for example 02:00:00:00:00:01"
            ));
        }
        let most = Self::QUEUE_COUNT_MAX;
        if !(1..=most).contains(&self.queue_count) {
            return Err(format!("{} queues: choose 1 to {most}", self.queue_count));
        }
        for ring in [self.rx_ring_frames, self.tx_ring_frames] {
            let (least, most) = (BURST_FRAMES, Self::RING_FRAMES_MAX);
            if !(least..=most).contains(&ring) {
                return Err(format!("a ring of {ring} frames: choose {least} to {most}"));
            }
        }
        Self::check_frames(self.frame_count, [self.rx_ring_frames, self.tx_ring_frames])
    }

    /// Checks that both rings can be full and the caller still has frames.
    pub(crate) fn check_frames(frame_count: u32, rings: [u16; 2]) -> Result<(), String> {
        let least = rings.map(u32::from).iter().sum::<u32>() + Self::FRAMES_BESIDE_RINGS;
        if (least..=Self::FRAME_COUNT_MAX).contains(&frame_count) {
            return Ok(());
        }
        Err(format!(
            "{frame_count} frames for rings of {} and {}: choose {least} to {}",
            rings[0],
            rings[1],
            Self::FRAME_COUNT_MAX
        ))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
const BURST_FRAMES: u16 = BURST_MAX as u16;
const _: () = assert!(BURST_FRAMES as usize == BURST_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Config), expect: &str) {
        let mut config = Config::new(None);
        change(&mut config);
        let text = config.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert!(text.contains(expect), "{text:?} lacks {expect:?}");
    }

    #[test]
    fn bounds_are_checked_and_named() {
        check(|_| (), "fine");
        check(|config| config.mac = Some([1, 0, 0, 0, 0, 0]), "01:00:00:00:00:00: choose one");
        check(|config| config.queue_count = 65, "65 queues: choose 1 to 64");
        check(|config| config.rx_ring_frames = 63, "a ring of 63 frames: choose 64 to 16384");
        check(|config| config.tx_ring_frames = 16385, "a ring of 16385 frames");
        check(|config| config.frame_count = 2303, "choose 2304 to 262144");
        check(|config| config.frame_count = 2304, "fine");
        check(|config| config.frame_count = 1 << 19, "524288 frames for rings of 1024 and 1024");
    }

    #[test]
    fn wishes_are_spelt_alike_both_ways() {
        for wish in [ChecksumWish::Auto, ChecksumWish::Software] {
            assert_eq!(wish.to_string().parse(), Ok(wish));
        }
        let refused = "hardware".parse::<ChecksumWish>();
        assert_eq!(refused, Err("`hardware` is none of: auto, software".to_owned()));
    }
}
