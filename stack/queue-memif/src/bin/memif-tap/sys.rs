//! The one system call of this program that nobody wraps: what makes a TAP interface.

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Setter, ioctl};
use std::io;
use std::os::fd::OwnedFd;

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;
/// Ethernet frames, without four bytes of protocol information before each.
const IFF_TAP_NO_PI: u16 = 0x0002 | 0x1000;
/// Longest name of an interface, in bytes, without its NUL.
pub(crate) const NAME_BYTES_MAX: usize = 15;

/// `struct ifreq` of `linux/if.h`, as far as `TUNSETIFF` reads it.
#[repr(C)]
struct Request {
    name: [u8; NAME_BYTES_MAX + 1],
    flags: u16,
    rest: [u8; 22],
}
const _: () = assert!(size_of::<Request>() == 40);

/// Opens a TAP interface, which is made if there is none of this name, and goes with the
/// descriptor if it was. Reads and writes move one frame each, and do not block.
///
/// # Errors
/// Those of open(2) on `/dev/net/tun` and of `TUNSETIFF`: `PermissionDenied` without
/// `CAP_NET_ADMIN` in the network's namespace.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = Request { name: [0; 16], flags: IFF_TAP_NO_PI, rest: [0; 22] };
    let len = name.len().min(NAME_BYTES_MAX);
    request.name[..len].copy_from_slice(&name.as_bytes()[..len]);
    // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, which `Request` is as long as.
    let operation = unsafe { Setter::<TUNSETIFF, Request>::new(request) };
    // SAFETY: `operation` pairs the opcode with its argument, and the kernel writes no more than
    // the argument's length.
    unsafe { ioctl(&fd, operation) }?;
    Ok(fd)
}
