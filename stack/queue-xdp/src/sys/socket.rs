//! The AF_XDP socket (kernel `net/xdp/xsk.c`).

use crate::umem::Umem;
use libc::{c_int, socklen_t};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{from_mut, from_ref, null, null_mut};

/// Socket option of Linux 6.17: most packets that one `sendto` sends in copy mode (32 by default).
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;
/// `asm-generic/socket.h`.
const SO_PREFER_BUSY_POLL: c_int = 69;
/// `asm-generic/socket.h`.
const SO_BUSY_POLL_BUDGET: c_int = 70;

/// The family in the type of `sxdp_family`.
const FAMILY: u16 = 44;
const _: () = assert!(FAMILY as c_int == libc::AF_XDP);

/// How long the kernel may busy-poll in one system call without finding anything, in microseconds.
const BUSY_POLL_US: c_int = 20;

/// One of the four rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingKind {
    /// Frames for reception, from us to the kernel.
    Fill,
    /// Frames sent, from the kernel to us.
    Completion,
    /// Packets received, from the kernel to us.
    Rx,
    /// Packets to send, from us to the kernel.
    Tx,
}

impl RingKind {
    /// The socket option that makes the ring.
    const fn option(self) -> c_int {
        match self {
            Self::Fill => libc::XDP_UMEM_FILL_RING,
            Self::Completion => libc::XDP_UMEM_COMPLETION_RING,
            Self::Rx => libc::XDP_RX_RING,
            Self::Tx => libc::XDP_TX_RING,
        }
    }

    /// The offset at which mmap(2) maps it.
    pub(crate) const fn page_offset(self) -> i64 {
        let offset = match self {
            Self::Fill => libc::XDP_UMEM_PGOFF_FILL_RING,
            Self::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING,
            Self::Rx => return libc::XDP_PGOFF_RX_RING,
            Self::Tx => return libc::XDP_PGOFF_TX_RING,
        };
        offset.cast_signed()
    }
}

/// What `sxdp_flags` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindMode {
    /// What the kernel finds best.
    Auto,
    /// `XDP_COPY`.
    Copy,
    /// `XDP_ZEROCOPY`.
    ZeroCopy,
}

/// Structs of integers, of which every pattern of bits is a value, for getsockopt(2).
///
/// # Safety
/// The implementor has only integer fields.
unsafe trait Integers: Copy {}
// SAFETY: one u32.
unsafe impl Integers for libc::xdp_options {}
// SAFETY: six u64.
unsafe impl Integers for libc::xdp_statistics {}
// SAFETY: sixteen u64.
unsafe impl Integers for libc::xdp_mmap_offsets {}

/// An AF_XDP socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Opens a socket that is bound to nothing.
    ///
    /// # Errors
    /// Those of socket(2): `EPERM` without `CAP_NET_RAW`, `EAFNOSUPPORT` without AF_XDP.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: socket(2) takes no pointer.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Registers `umem` as the memory that packets lie in.
    ///
    /// The kernel pins its pages for as long as the socket lives. It writes only to chunks that
    /// are in FILL or RX, which `umem` does not show to anybody.
    ///
    /// # Errors
    /// Those of `XDP_UMEM_REG`: `ENOBUFS` above the memlock limit, `EINVAL` for a bad chunk size.
    pub(crate) fn register_umem(&self, umem: &Umem) -> io::Result<()> {
        let registration = libc::xdp_umem_reg {
            addr: umem.address(),
            len: umem.len_bytes(),
            chunk_size: umem.chunk_bytes(),
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        self.set(libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
    }

    /// Makes a ring of `entries`, a power of two.
    ///
    /// # Errors
    /// Those of the ring's option: `EINVAL` for a bad size, `ENOMEM`.
    pub(crate) fn create_ring(&self, kind: RingKind, entries: u32) -> io::Result<()> {
        self.set(libc::SOL_XDP, kind.option(), &entries)
    }

    /// Where cursors, flags and entries lie in each ring.
    ///
    /// # Errors
    /// `ENOPROTOOPT` where the kernel gives the older struct without flags.
    pub(crate) fn mmap_offsets(&self) -> io::Result<libc::xdp_mmap_offsets> {
        let none = libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
        let mut offsets = libc::xdp_mmap_offsets { rx: none, tx: none, fr: none, cr: none };
        self.get(libc::XDP_MMAP_OFFSETS, &mut offsets)?;
        Ok(offsets)
    }

    /// Binds to one queue of an interface, with need-wakeup flags.
    ///
    /// # Errors
    /// Those of bind(2): `EBUSY` while another socket has the queue, `EINVAL` where there is none,
    /// `EOPNOTSUPP` where zero-copy was asked for and cannot be, `ENETDOWN`.
    pub(crate) fn bind(&self, ifindex: u32, queue_id: u32, mode: BindMode) -> io::Result<()> {
        let mode_flag = match mode {
            BindMode::Auto => 0,
            BindMode::Copy => libc::XDP_COPY,
            BindMode::ZeroCopy => libc::XDP_ZEROCOPY,
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: FAMILY,
            sxdp_flags: libc::XDP_USE_NEED_WAKEUP | mode_flag,
            sxdp_ifindex: ifindex,
            sxdp_queue_id: queue_id,
            sxdp_shared_umem_fd: 0,
        };
        let pointer = from_ref(&address).cast();
        let len = socket_len::<libc::sockaddr_xdp>();
        // SAFETY: `pointer` and `len` are those of `address`, which outlives the call.
        let result = unsafe { libc::bind(self.fd.as_raw_fd(), pointer, len) };
        done(result as isize)
    }

    /// Whether the kernel bound the socket without a copy.
    ///
    /// # Errors
    /// Those of `XDP_OPTIONS`.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        self.get(libc::XDP_OPTIONS, &mut options)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// What the kernel counted.
    ///
    /// # Errors
    /// Those of `XDP_STATISTICS`.
    pub(crate) fn statistics(&self) -> io::Result<libc::xdp_statistics> {
        let mut statistics = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        self.get(libc::XDP_STATISTICS, &mut statistics)?;
        Ok(statistics)
    }

    /// Lets our system calls drive the interface's NAPI, `budget` packets at a time.
    ///
    /// # Errors
    /// Those of setsockopt(2): `EPERM` without `CAP_NET_ADMIN`, `ENOPROTOOPT` before Linux 5.11.
    pub(crate) fn prefer_busy_poll(&self, budget: c_int) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, &1_i32)?;
        self.set(libc::SOL_SOCKET, libc::SO_BUSY_POLL, &BUSY_POLL_US)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget)
    }

    /// Raises what one `sendto` sends in copy mode to `packets`.
    ///
    /// # Errors
    /// `ENOPROTOOPT` before Linux 6.17, `EACCES` for less than 32 or more than the TX ring holds.
    pub(crate) fn raise_tx_budget(&self, packets: u32) -> io::Result<()> {
        self.set(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &packets)
    }

    /// Makes the kernel look at the TX ring.
    ///
    /// # Errors
    /// Those of sendto(2), of which EAGAIN, EBUSY, ENOBUFS and ENETDOWN are part of normal life.
    pub(crate) fn wake_tx(&self) -> io::Result<()> {
        // SAFETY: with a length of 0 the kernel reads neither the buffer nor the address.
        let result =
            unsafe { libc::sendto(self.fd.as_raw_fd(), null(), 0, libc::MSG_DONTWAIT, null(), 0) };
        done(result)
    }

    /// Makes the kernel look at the FILL ring.
    ///
    /// # Errors
    /// Those of recvfrom(2).
    pub(crate) fn wake_rx(&self) -> io::Result<()> {
        // SAFETY: with a length of 0 and a null address the kernel writes nothing.
        let result = unsafe {
            let fd = self.fd.as_raw_fd();
            libc::recvfrom(fd, null_mut(), 0, libc::MSG_DONTWAIT, null_mut(), null_mut())
        };
        done(result)
    }

    fn set<T: Copy>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let pointer = from_ref(value).cast();
        let len = socket_len::<T>();
        // SAFETY: the kernel reads `len` bytes at `pointer`, which are those of `value`.
        let result = unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, pointer, len) };
        done(result as isize)
    }

    fn get<T: Integers>(&self, name: c_int, value: &mut T) -> io::Result<()> {
        let wanted = socket_len::<T>();
        let mut len = wanted;
        let pointer = from_mut(value).cast();
        // SAFETY: the kernel writes at most `len` bytes at `pointer`, which are those of `value`,
        // and any bytes are a value of `T`.
        let result = unsafe {
            libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_XDP, name, pointer, &raw mut len)
        };
        done(result as isize)?;
        if len < wanted {
            return Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT));
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The size of `T` as the socket calls take it, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "asserted")]
const fn socket_len<T>() -> socklen_t {
    const { assert!(size_of::<T>() < 4096, "sockets take small structs") };
    size_of::<T>() as socklen_t
}

/// The error of a call that returned a negative number.
fn done(result: isize) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
