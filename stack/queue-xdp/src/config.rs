//! What to open: the interface, what the program lets through, and what is wished of the kernel.

use crate::Error;
use queue::BURST_MAX;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Which TCP segments to our address the XDP program hands to the queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpPorts {
    /// Segments to every port: for a client, whose ports are ephemeral.
    Any,
    /// Segments to these destination ports, 1 to [`TcpPorts::LIST_MAX`] of them; all others go to
    /// the kernel.
    List(Vec<u16>),
}

impl TcpPorts {
    /// Most ports in a list: each costs the program one instruction per segment.
    pub const LIST_MAX: usize = 64;
}

/// Consecutive IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The first one.
    pub first: Ipv4Addr,
    /// How many follow it.
    pub more: u8,
}

impl Addresses {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits().wrapping_sub(self.first.to_bits()) <= u32::from(self.more)
    }

    /// The last one.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits().saturating_add(u32::from(self.more)))
    }
}

impl From<Ipv4Addr> for Addresses {
    fn from(first: Ipv4Addr) -> Self {
        Self { first, more: 0 }
    }
}

macro_rules! wish {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $about])+ $variant,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{word}` is none of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

wish! {
    /// Where the XDP program shall run.
    AttachWish {
        /// Natively if the driver can, else generically; [`Port::native_refusal`] says why.
        ///
        /// [`Port::native_refusal`]: crate::Port::native_refusal
        Auto = "auto",
        /// In the driver, or not at all.
        Native = "native",
        /// In the generic hook. Packets are then copied.
        Generic = "generic",
    }
}

wish! {
    /// How packets shall get between the NIC and the UMEM.
    CopyWish {
        /// Without a copy if driver and attachment can, else with one.
        Auto = "auto",
        /// With a copy.
        Copy = "copy",
        /// Without a copy, or not at all.
        ZeroCopy = "zero-copy",
    }
}

wish! {
    /// Whether our system calls shall drive the interface's NAPI.
    BusyPollWish {
        /// Yes on a device that sits on a bus, no on a virtual one such as veth, whose receive work
        /// the sender's CPU does anyhow.
        Auto = "auto",
        /// Yes, or not at all. `napi_defer_hard_irqs` and `gro_flush_timeout` are not touched.
        On = "on",
        /// No.
        Off = "off",
    }
}

/// What [`Port::open`](crate::Port::open) opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the interface in the network namespace of the caller.
    pub interface: String,
    /// The addresses that the queues own: those that the kernel does *not* have, because ARP and
    /// ICMP for them no longer reach the kernel.
    pub ips: Addresses,
    /// Which TCP segments to [`ips`](Self::ips) the queues get.
    pub ports: TcpPorts,
    /// Where the program shall run.
    pub attach: AttachWish,
    /// How packets shall reach the UMEM.
    pub copy: CopyWish,
    /// Whether to busy-poll the interface's NAPI.
    pub busy_poll: BusyPollWish,
    /// Frames of each queue's UMEM, [`FRAME_COUNT_MIN`](Self::FRAME_COUNT_MIN) to
    /// [`FRAME_COUNT_MAX`](Self::FRAME_COUNT_MAX).
    pub frame_count: u32,
    /// Entries of the FILL and of the RX ring: a power of two, [`BURST_MAX`] to
    /// [`RING_FRAMES_MAX`](Self::RING_FRAMES_MAX).
    pub rx_ring_frames: u32,
    /// Entries of the TX and of the COMPLETION ring, with the same bounds.
    pub tx_ring_frames: u32,
}

impl Config {
    /// Default of [`frame_count`](Self::frame_count): 64 MiB of UMEM at an MTU of 1500. The FILL
    /// ring can be full while as many frames again are in the TX ring or with the caller.
    pub const FRAME_COUNT: u32 = 32_768;
    /// Fewest frames: a burst each way in the rings, and one each way with the caller.
    pub const FRAME_COUNT_MIN: u32 = 4 * BURST_FRAMES;
    /// Most frames: 2 GiB of UMEM at an MTU of 1500.
    pub const FRAME_COUNT_MAX: u32 = 1 << 20;
    /// Default of [`rx_ring_frames`](Self::rx_ring_frames): room for a request of each of 10,000
    /// connections at once. A frame that finds no room is lost, and costs its connection a
    /// retransmission timeout; the kernel's own sockets would have kept it.
    pub const RX_RING_FRAMES: u32 = 16_384;
    /// Default of [`tx_ring_frames`](Self::tx_ring_frames).
    pub const TX_RING_FRAMES: u32 = 2048;
    /// Most entries of a ring.
    pub const RING_FRAMES_MAX: u32 = 1 << 15;

    /// A configuration with every wish at `auto` and the default sizes.
    #[must_use]
    pub fn new(interface: impl Into<String>, ips: impl Into<Addresses>, ports: TcpPorts) -> Self {
        Self {
            interface: interface.into(),
            ips: ips.into(),
            ports,
            attach: AttachWish::Auto,
            copy: CopyWish::Auto,
            busy_poll: BusyPollWish::Auto,
            frame_count: Self::FRAME_COUNT,
            rx_ring_frames: Self::RX_RING_FRAMES,
            tx_ring_frames: Self::TX_RING_FRAMES,
        }
    }

    /// Checks every bound that does not depend on the interface.
    ///
    /// # Errors
    /// [`Error::Config`] with a sentence that names the value and its bound.
    pub fn check(&self) -> Result<(), Error> {
        let ring = BURST_FRAMES..=Self::RING_FRAMES_MAX;
        let frames = Self::FRAME_COUNT_MIN..=Self::FRAME_COUNT_MAX;
        let rings = [("rx", self.rx_ring_frames), ("tx", self.tx_ring_frames)];
        if !frames.contains(&self.frame_count) {
            return Err(Error::Config(format!(
                "{} frames of UMEM: choose {} to {}",
                self.frame_count,
                frames.start(),
                frames.end()
            )));
        }
        for (name, size) in rings {
            if !size.is_power_of_two() || !ring.contains(&size) {
                return Err(Error::Config(format!(
                    "a {name} ring of {size} frames: choose a power of two from {} to {}",
                    ring.start(),
                    ring.end()
                )));
            }
        }
        self.check_filter()?;
        if self.copy == CopyWish::ZeroCopy && self.attach == AttachWish::Generic {
            return Err(Error::Config(
                "zero-copy with a generic program: zero-copy needs a native one".to_owned(),
            ));
        }
        Ok(())
    }

    /// Checks what the program is to let through.
    fn check_filter(&self) -> Result<(), Error> {
        for ip in [self.ips.first, self.ips.last()] {
            if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() {
                return Err(Error::Config(format!(
                    "the address {ip}: the queues need unicast addresses of their own"
                )));
            }
        }
        match &self.ports {
            TcpPorts::Any => Ok(()),
            TcpPorts::List(ports) if (1..=TcpPorts::LIST_MAX).contains(&ports.len()) => Ok(()),
            TcpPorts::List(ports) => Err(Error::Config(format!(
                "a list of {} TCP ports: choose 1 to {}",
                ports.len(),
                TcpPorts::LIST_MAX
            ))),
        }
    }
}

/// [`BURST_MAX`] in the type of ring cursors.
#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
pub(crate) const BURST_FRAMES: u32 = BURST_MAX as u32;
const _: () = assert!(BURST_FRAMES as usize == BURST_MAX);
const _: () = assert!(BURST_FRAMES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("sd-srv0", Ipv4Addr::new(198, 18, 0, 2), TcpPorts::List(vec![8080]))
    }

    fn check(change: impl FnOnce(&mut Config), expect: &str) {
        let mut config = config();
        change(&mut config);
        let text = config.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert!(text.contains(expect), "{text:?} lacks {expect:?}");
    }

    #[test]
    fn bounds_are_checked_and_named() {
        check(|_| (), "fine");
        check(|config| config.frame_count = 256, "fine");
        check(|config| config.frame_count = 255, "choose 256 to 1048576");
        check(|config| config.frame_count = (1 << 20) + 1, "1048577 frames");
        check(|config| config.rx_ring_frames = 96, "a rx ring of 96 frames");
        check(|config| config.tx_ring_frames = 32, "power of two from 64 to 32768");
        check(|config| config.ips = Ipv4Addr::UNSPECIFIED.into(), "need unicast addresses");
        check(|config| config.ips.first = Ipv4Addr::BROADCAST, "255.255.255.255");
        let up_to_multicast = Addresses { first: Ipv4Addr::new(223, 255, 255, 250), more: 9 };
        check(|config| config.ips = up_to_multicast, "224.0.0.3");
        check(|config| config.ports = TcpPorts::Any, "fine");
        check(|config| config.ports = TcpPorts::List(vec![]), "a list of 0 TCP ports");
        check(|config| config.ports = TcpPorts::List(vec![1; 65]), "choose 1 to 64");
        check(|config| config.copy = CopyWish::ZeroCopy, "fine");
        check(
            |config| {
                config.copy = CopyWish::ZeroCopy;
                config.attach = AttachWish::Generic;
            },
            "zero-copy needs a native one",
        );
    }

    #[test]
    fn wishes_are_spelt_alike_both_ways() {
        for wish in [AttachWish::Auto, AttachWish::Native, AttachWish::Generic] {
            assert_eq!(wish.to_string().parse(), Ok(wish));
        }
        for wish in [CopyWish::Auto, CopyWish::Copy, CopyWish::ZeroCopy] {
            assert_eq!(wish.to_string().parse(), Ok(wish));
        }
        for wish in [BusyPollWish::Auto, BusyPollWish::On, BusyPollWish::Off] {
            assert_eq!(wish.to_string().parse(), Ok(wish));
        }
        let refusal = "fast".parse::<AttachWish>();
        assert_eq!(refusal, Err("`fast` is none of: auto, native, generic".to_owned()));
    }
}
