//! What to open: the socket, which end of it, and the sizes of what is shared.

use crate::Error;
use crate::pool::FRAME_BYTES;
use queue::BURST_MAX;
use std::fmt;
use std::str::FromStr;

/// Which end of the control socket: DPDK's words for what were master and slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens on the socket, and maps the memory of whoever connects.
    Server,
    /// Connects to the socket, and brings the memory along.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "server" => Ok(Self::Server),
            "client" => Ok(Self::Client),
            _ => Err(format!("`{word}` is none of: server, client")),
        }
    }
}

/// What [`Port::open`](crate::Port::open) opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Path of the Unix socket, or `@` and a name in the abstract namespace.
    pub socket: String,
    /// Which end we are.
    pub role: Role,
    /// Number of the interface, by which a client says which of a server's it wants.
    pub id: u32,
    /// What a client must know to connect; empty for nothing, at most
    /// [`SECRET_BYTES_MAX`](Self::SECRET_BYTES_MAX) bytes.
    pub secret: String,
    /// MAC address of our end.
    pub mac: [u8; 6],
    /// Pairs of rings, each with a queue of its own: 1 to
    /// [`QUEUE_COUNT_MAX`](Self::QUEUE_COUNT_MAX). The client decides, within what the server
    /// offers.
    pub queue_count: u16,
    /// A client's ring sizes: a power of two, [`BURST_MAX`] to
    /// [`RING_FRAMES_MAX`](Self::RING_FRAMES_MAX).
    pub ring_frames: u32,
    /// Length of a client's buffers, in bytes: a multiple of 64, 64 to
    /// [`BUFFER_BYTES`](Self::BUFFER_BYTES). A packet may take several. DPDK's server writes
    /// packets of 2,048 bytes without looking at the buffer's length.
    pub buffer_bytes: u32,
    /// Frames of each queue's own memory, [`FRAME_COUNT_MIN`](Self::FRAME_COUNT_MIN) to
    /// [`FRAME_COUNT_MAX`](Self::FRAME_COUNT_MAX).
    pub frame_count: u32,
}

impl Config {
    /// Longest secret, in bytes: the field's 24 with a NUL.
    pub const SECRET_BYTES_MAX: usize = 23;
    /// Longest path of a Unix socket, in bytes: `sun_path` with a NUL.
    pub const SOCKET_BYTES_MAX: usize = 107;
    /// Most queues.
    pub const QUEUE_COUNT_MAX: u16 = 64;
    /// Default of [`ring_frames`](Self::ring_frames), as DPDK's.
    pub const RING_FRAMES: u32 = 1024;
    /// Most descriptors of a ring.
    pub const RING_FRAMES_MAX: u32 = 1 << 14;
    /// Default of [`buffer_bytes`](Self::buffer_bytes), as DPDK's.
    pub const BUFFER_BYTES: u32 = FRAME_BYTES as u32;
    /// Default of [`frame_count`](Self::frame_count): 1 MiB, which stays in the second-level cache.
    pub const FRAME_COUNT: u32 = 512;
    /// Fewest frames: a burst each way with the caller, and as many again.
    pub const FRAME_COUNT_MIN: u32 = 256;
    /// Most frames: 128 MiB.
    pub const FRAME_COUNT_MAX: u32 = 1 << 16;
    /// Largest IPv4 packet, in bytes, without the Ethernet header: memif has no word for it.
    pub const MTU: u16 = 1500;

    /// A configuration with the default sizes, one queue, and a MAC address derived from role and
    /// interface number.
    #[must_use]
    pub fn new(socket: impl Into<String>, role: Role) -> Self {
        Self {
            socket: socket.into(),
            role,
            id: 0,
            secret: String::new(),
            mac: Self::derived_mac(role, 0),
            queue_count: 1,
            ring_frames: Self::RING_FRAMES,
            buffer_bytes: Self::BUFFER_BYTES,
            frame_count: Self::FRAME_COUNT,
        }
    }

    /// A MAC address for an end: locally administered, and different at the two ends of a link.
    #[must_use]
    pub fn derived_mac(role: Role, id: u32) -> [u8; 6] {
        let [_, a, b, c] = id.to_be_bytes();
        let role = match role {
            Role::Server => 0,
            Role::Client => 1,
        };
        [0x02, 0x4d, role, a, b, c]
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`Error::Config`] with a sentence that names the value and its bound.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: String| Err(Error::Config(sentence));
        let name = self.socket.strip_prefix('@').unwrap_or(&self.socket);
        if name.is_empty() || name.contains('\0') || self.socket.len() > Self::SOCKET_BYTES_MAX {
            return refuse(format!(
                "the socket `{}`: give a path of 1 to {} bytes, for example /run/memif.sock, or \
                 @name for one without a file",
                self.socket.escape_debug(),
                Self::SOCKET_BYTES_MAX
            ));
        }
        if self.secret.len() > Self::SECRET_BYTES_MAX || self.secret.contains('\0') {
            return refuse(format!(
                "a secret of {} bytes: at most {} fit",
                self.secret.len(),
                Self::SECRET_BYTES_MAX
            ));
        }
        if self.mac[0] & 1 != 0 || self.mac == [0; 6] {
            let mac = self.mac.map(|byte| format!("{byte:02x}")).join(":");
            return refuse(format!(
                "the MAC address {mac}: choose one of a single host, for example 02:00:00:00:00:01"
            ));
        }
        self.check_sizes().or_else(refuse)
    }

    fn check_sizes(&self) -> Result<(), String> {
        let rings = BURST_FRAMES..=Self::RING_FRAMES_MAX;
        if !(1..=Self::QUEUE_COUNT_MAX).contains(&self.queue_count) {
            return Err(format!(
                "{} queues: choose 1 to {}",
                self.queue_count,
                Self::QUEUE_COUNT_MAX
            ));
        }
        if !self.ring_frames.is_power_of_two() || !rings.contains(&self.ring_frames) {
            return Err(format!(
                "a ring of {} frames: choose a power of two from {} to {}",
                self.ring_frames,
                rings.start(),
                rings.end()
            ));
        }
        let buffer = 64..=Self::BUFFER_BYTES;
        if !self.buffer_bytes.is_multiple_of(64) || !buffer.contains(&self.buffer_bytes) {
            return Err(format!(
                "buffers of {} bytes: choose a multiple of 64 from {} to {}",
                self.buffer_bytes,
                buffer.start(),
                buffer.end()
            ));
        }
        if !(Self::FRAME_COUNT_MIN..=Self::FRAME_COUNT_MAX).contains(&self.frame_count) {
            return Err(format!(
                "{} frames: choose {} to {}",
                self.frame_count,
                Self::FRAME_COUNT_MIN,
                Self::FRAME_COUNT_MAX
            ));
        }
        let all = u64::from(self.ring_frames) * 2 * u64::from(self.queue_count);
        if all * u64::from(self.buffer_bytes) > crate::region::REGION_BYTES_MAX / 2 {
            return Err(format!(
                "{} queues with rings of {} frames take more than {} MiB: ask for fewer queues or \
                 smaller rings",
                self.queue_count,
                self.ring_frames,
                crate::region::REGION_BYTES_MAX >> 21
            ));
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
const BURST_FRAMES: u32 = BURST_MAX as u32;
const _: () = assert!(BURST_FRAMES as usize == BURST_MAX);
const _: () = assert!(Config::FRAME_COUNT_MIN == 4 * BURST_FRAMES);
const _: () = assert!(Config::RING_FRAMES_MAX == 1 << crate::wire::ring::LOG2_SIZE_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Config), expect: &str) {
        let mut config = Config::new("/tmp/memif.sock", Role::Server);
        change(&mut config);
        let text = config.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert!(text.contains(expect), "{text:?} lacks {expect:?}");
    }

    #[test]
    fn bounds_are_checked_and_named() {
        check(|_| (), "fine");
        check(|config| config.socket = "@name".to_owned(), "fine");
        check(|config| config.socket = "@".to_owned(), "give a path of 1 to 107 bytes");
        check(|config| config.socket = "x".repeat(108), "1 to 107");
        check(|config| config.secret = "x".repeat(24), "a secret of 24 bytes: at most 23");
        check(|config| config.mac = [1, 0, 0, 0, 0, 0], "01:00:00:00:00:00: choose one of a");
        check(|config| config.queue_count = 0, "0 queues: choose 1 to 64");
        check(|config| config.ring_frames = 96, "a power of two from 64 to 16384");
        check(|config| config.buffer_bytes = 2112, "a multiple of 64 from 64 to 2048");
        check(|config| config.frame_count = 255, "255 frames: choose 256 to 65536");
        let too_large = |config: &mut Config| {
            config.queue_count = 64;
            config.ring_frames = 1 << 14;
        };
        check(too_large, "take more than 512 MiB");
    }

    #[test]
    fn roles_are_spelt_alike_both_ways_and_have_macs_of_their_own() {
        for role in [Role::Server, Role::Client] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("master".parse::<Role>(), Err("`master` is none of: server, client".into()));
        let macs = [Role::Server, Role::Client].map(|role| Config::derived_mac(role, 1));
        assert_eq!(macs, [[0x02, 0x4d, 0, 0, 0, 1], [0x02, 0x4d, 1, 0, 0, 1]]);
    }
}
