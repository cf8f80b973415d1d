//! What the kernel says about network interfaces (netdevice(7), `linux/ethtool.h`).

use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::from_mut;

/// `linux/ethtool.h`.
const ETHTOOL_GDRVINFO: u32 = 0x03;
/// `linux/ethtool.h`.
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ifreq`: the name, and a union of 24 bytes.
#[derive(Clone)]
#[repr(C, align(8))]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: [u8; 24],
}
const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());

/// `struct ifconf`.
#[repr(C)]
struct Requests {
    len_bytes: libc::c_int,
    first: *mut Request,
}
const _: () = assert!(size_of::<Requests>() == size_of::<libc::ifconf>());

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware_version: [u8; 32],
    bus_info: [u8; 32],
    rom_version: [u8; 32],
    reserved: [u8; 12],
    numbers: [u32; 5],
}
const _: () = assert!(size_of::<DriverInfo>() == 196);

/// `struct ethtool_channels`: the command, then maxima and counts of rx, tx, other and combined.
#[repr(C)]
struct ChannelInfo {
    cmd: u32,
    maxima: [u32; 4],
    counts: [u32; 4],
}
const _: () = assert!(size_of::<ChannelInfo>() == 36);

/// How many queues an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Receive queues, with or without a transmit queue.
    pub(crate) rx: u32,
    /// Transmit queues, with or without a receive queue.
    pub(crate) tx: u32,
}

/// An interface of our network namespace, asked through one socket.
#[derive(Debug)]
pub(crate) struct Interface {
    socket: UdpSocket,
    name: [u8; libc::IFNAMSIZ],
}

impl Interface {
    /// Names an interface; whether there is one is seen when it is asked.
    ///
    /// # Errors
    /// `ENODEV` for a name that no interface can have, and those of socket(2).
    pub(crate) fn named(name: &str) -> io::Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        let is_possible = !name.is_empty() && name.len() < bytes.len() && !name.contains('\0');
        if !is_possible {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self { socket: UdpSocket::bind("0.0.0.0:0")?, name: bytes })
    }

    /// Its index.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface.
    pub(crate) fn index(&self) -> io::Result<u32> {
        Ok(u32::from_ne_bytes(prefix(&self.ask(libc::SIOCGIFINDEX)?)))
    }

    /// Its MTU in bytes.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface.
    pub(crate) fn mtu(&self) -> io::Result<u32> {
        Ok(u32::from_ne_bytes(prefix(&self.ask(libc::SIOCGIFMTU)?)))
    }

    /// Its MAC address, or `None` where it is not Ethernet.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface.
    pub(crate) fn mac(&self) -> io::Result<Option<[u8; 6]>> {
        let data = self.ask(libc::SIOCGIFHWADDR)?;
        let [family_0, family_1, mac @ ..]: [u8; 8] = prefix(&data);
        let family = u16::from_ne_bytes([family_0, family_1]);
        Ok((family == libc::ARPHRD_ETHER).then_some(mac))
    }

    /// Whether it is up.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface.
    pub(crate) fn is_up(&self) -> io::Result<bool> {
        let flags = u16::from_ne_bytes(prefix(&self.ask(libc::SIOCGIFFLAGS)?));
        Ok(i32::from(flags) & libc::IFF_UP != 0)
    }

    /// The name of its driver, and the address of its device on a bus, empty for a virtual one.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the driver does not say.
    pub(crate) fn driver(&self) -> io::Result<(String, String)> {
        let mut info = DriverInfo {
            cmd: ETHTOOL_GDRVINFO,
            driver: [0; 32],
            version: [0; 32],
            firmware_version: [0; 32],
            bus_info: [0; 32],
            rom_version: [0; 32],
            reserved: [0; 12],
            numbers: [0; 5],
        };
        self.ask_ethtool(from_mut(&mut info).cast())?;
        Ok((text(&info.driver), text(&info.bus_info)))
    }

    /// How many queues it has.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the driver does not say.
    pub(crate) fn channels(&self) -> io::Result<Channels> {
        let mut info = ChannelInfo { cmd: ETHTOOL_GCHANNELS, maxima: [0; 4], counts: [0; 4] };
        self.ask_ethtool(from_mut(&mut info).cast())?;
        let [rx, tx, _, combined] = info.counts;
        Ok(Channels { rx: rx.saturating_add(combined), tx: tx.saturating_add(combined) })
    }

    /// Every IPv4 address that the kernel has, on this interface and on all others.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub(crate) fn addresses_of_kernel(&self) -> io::Result<Vec<Ipv4Addr>> {
        let mut room = 64;
        loop {
            let mut requests = vec![Request { name: [0; libc::IFNAMSIZ], data: [0; 24] }; room];
            let count = self.ask_addresses(&mut requests)?;
            // A full buffer may be too small; the kernel does not say.
            if count < room {
                requests.truncate(count);
                return Ok(requests.iter().map(|request| address(&request.data)).collect());
            }
            room *= 2;
        }
    }

    /// Fills in one request for each address, as far as there is room; returns how many.
    fn ask_addresses(&self, room: &mut [Request]) -> io::Result<usize> {
        let len_bytes = libc::c_int::try_from(size_of_val(room)).map_err(io::Error::other)?;
        let mut requests = Requests { len_bytes, first: room.as_mut_ptr() };
        let pointer = from_mut(&mut requests);
        // SAFETY: SIOCGIFCONF takes a `struct ifconf`, which `requests` is, and writes at most
        // `len_bytes` bytes at `first`, which are those of `room`.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCGIFCONF as _, pointer) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let len_bytes = usize::try_from(requests.len_bytes).map_err(io::Error::other)?;
        Ok(len_bytes / size_of::<Request>())
    }

    /// Asks for something that fits into the request itself.
    fn ask(&self, what: libc::c_ulong) -> io::Result<[u8; 24]> {
        let mut request = Request { name: self.name, data: [0; 24] };
        self.ioctl(what, &mut request)?;
        Ok(request.data)
    }

    /// Asks the driver, whose answer goes to `info`: a struct of ethtool that begins with its
    /// command and is valid for writes in the length that this command has.
    fn ask_ethtool(&self, info: *mut u8) -> io::Result<()> {
        let mut request = Request { name: self.name, data: [0; 24] };
        let address = info.expose_provenance().to_ne_bytes();
        request.data[..address.len()].copy_from_slice(&address);
        self.ioctl(libc::SIOCETHTOOL, &mut request)
    }

    fn ioctl(&self, what: libc::c_ulong, request: &mut Request) -> io::Result<()> {
        let pointer = from_mut(request);
        // SAFETY: each `what` of this module takes a `struct ifreq`, which `request` is. For
        // SIOCETHTOOL it holds the address of a struct that `ask_ethtool`'s two callers own and
        // whose command and length agree.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), what as _, pointer) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The address in a `struct sockaddr_in`: behind the family and the port.
fn address(data: &[u8; 24]) -> Ipv4Addr {
    let [_, _, _, _, octets @ ..]: [u8; 8] = prefix(data);
    Ipv4Addr::from(octets)
}

/// The first bytes of an answer.
fn prefix<const LEN: usize>(data: &[u8; 24]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes.copy_from_slice(&data[..LEN]);
    bytes
}

/// The text before the first zero byte; empty where there is no zero byte.
fn text(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes)
        .map(|text| text.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_answers() {
        let loopback = Interface::named("lo").expect("a socket");
        assert!(loopback.index().expect("an index") > 0);
        assert!(loopback.mtu().expect("an MTU") > 0);
        assert_eq!(loopback.mac().expect("a hardware address"), None, "lo is not Ethernet");
        let addresses = loopback.addresses_of_kernel().expect("addresses");
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST), "{addresses:?}");
        assert!(!addresses.contains(&Ipv4Addr::UNSPECIFIED), "{addresses:?}");
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        for name in ["", "sixteen-letters!", "nul\0"] {
            let error = Interface::named(name).expect_err("refused");
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{name:?}");
        }
        let error = Interface::named("sd-none0").expect("a socket").index().expect_err("none");
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
