//! bpf(2): the few commands that an XDP program of ours needs (`linux/bpf.h`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;

const BPF_PROG_TYPE_XDP: u32 = 6;
/// The attach type, of programs and of links.
const BPF_XDP: u32 = 37;
/// `linux/if_link.h`.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
/// `linux/if_link.h`.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Room for what the verifier says, in bytes.
pub(crate) const LOG_BYTES: u32 = 64 << 10;

/// Name of program and map, as `ip -d link` and `bpftool` show it: at most 15 bytes.
const NAME: [u8; 16] = *b"showdown_xsk\0\0\0\0";

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Class, operation and source or size.
    pub(crate) code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub(crate) registers: u8,
    /// Jump distance in instructions, or displacement of an address in bytes.
    pub(crate) offset: i16,
    /// The constant.
    pub(crate) immediate: i32,
}
const _: () = assert!(size_of::<Instruction>() == 8);
// `struct bpf_insn` has bit fields: the two registers change places on a big-endian machine.
const _: () = assert!(cfg!(target_endian = "little"), "written for little-endian machines");

/// Kinds of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// From a queue's number to the AF_XDP socket bound to it.
    Xskmap = 17,
    /// From a number to an interface: what the program's test redirects to, since it can be
    /// filled without a bound socket.
    #[cfg(test)]
    Devmap = 14,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachMode {
    /// In the driver.
    Native,
    /// In the generic hook.
    Generic,
}

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

#[repr(C)]
struct MapUpdate {
    map_fd: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: RawFd,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Makes a map of `max_entries` from a `u32` to a `u32` (a descriptor or an index).
///
/// # Errors
/// `EPERM` without `CAP_BPF` (and, for a DEVMAP, `CAP_NET_ADMIN`), `ENOMEM`.
pub(crate) fn map_create(kind: MapKind, max_entries: u32) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: kind as u32,
        key_size: 4,
        value_size: 4,
        max_entries,
        map_flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: NAME,
    };
    // SAFETY: the attributes of BPF_MAP_CREATE, which hold no pointer.
    let fd = unsafe { bpf(BPF_MAP_CREATE, &mut attributes) }?;
    Ok(owned(fd))
}

/// Puts `value` (a descriptor or an index) into a map that [`map_create`] made.
///
/// # Errors
/// `E2BIG` for a key beyond the map; for an XSKMAP `EBADF` and `EOPNOTSUPP` where the value is no
/// bound AF_XDP socket.
pub(crate) fn map_update(map: BorrowedFd<'_>, key: u32, value: u32) -> io::Result<()> {
    let mut attributes = MapUpdate {
        map_fd: map.as_raw_fd(),
        padding: 0,
        key: address(&raw const key),
        value: address(&raw const value),
        flags: 0,
    };
    // SAFETY: the attributes of BPF_MAP_UPDATE_ELEM; key and value are four bytes each, as
    // `map_create` told the kernel, and outlive the call.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attributes) }?;
    Ok(())
}

/// Loads an XDP program, after the verifier has looked at it; what it says goes to `log`, as far
/// as that goes, as a text that ends in a zero byte.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`; `EACCES` or `EINVAL` where the verifier refuses.
#[expect(clippy::cast_possible_truncation, reason = "the kernel takes at most a million of each")]
pub(crate) fn prog_load(program: &[Instruction], log: &mut [u8]) -> io::Result<OwnedFd> {
    // Helper 51 (redirect_map) is open to every licence.
    let license = c"MIT OR Apache-2.0";
    let mut attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: address(program.as_ptr()),
        license: address(license.as_ptr()),
        // The kernel refuses a log of level 0 that has a buffer.
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kern_version: 0,
        prog_flags: 0,
        prog_name: NAME,
        prog_ifindex: 0,
        expected_attach_type: BPF_XDP,
    };
    // SAFETY: the attributes of BPF_PROG_LOAD; the kernel reads `insn_cnt` instructions of eight
    // bytes and a text that ends in zero, and writes at most `log_size` bytes to `log`. All three
    // outlive the call.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }?;
    Ok(owned(fd))
}

/// Attaches a program to an interface for as long as the returned link is open.
///
/// # Errors
/// `EBUSY` or `EEXIST` where another program is attached, `EOPNOTSUPP` and others where the driver
/// refuses.
pub(crate) fn link_create(
    program: BorrowedFd<'_>,
    ifindex: u32,
    mode: AttachMode,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        prog_fd: program.as_raw_fd(),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags: match mode {
            AttachMode::Native => XDP_FLAGS_DRV_MODE,
            AttachMode::Generic => XDP_FLAGS_SKB_MODE,
        },
    };
    // SAFETY: the attributes of BPF_LINK_CREATE, which hold no pointer.
    let fd = unsafe { bpf(BPF_LINK_CREATE, &mut attributes) }?;
    Ok(owned(fd))
}

/// Runs a program once on a packet as if received by queue 0; returns what the program returned.
///
/// # Errors
/// `EPERM`; `EINVAL` for a packet shorter than an Ethernet header.
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "packets of a test are short")]
pub(crate) fn prog_test_run(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<u32> {
    const BPF_PROG_TEST_RUN: libc::c_int = 10;

    #[repr(C)]
    struct TestRun {
        prog_fd: RawFd,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }

    let mut attributes = TestRun {
        prog_fd: program.as_raw_fd(),
        retval: u32::MAX,
        data_size_in: packet.len() as u32,
        data_size_out: 0,
        data_in: address(packet.as_ptr()),
        data_out: 0,
        repeat: 1,
        duration: 0,
        ctx_size_in: 0,
        ctx_size_out: 0,
        ctx_in: 0,
        ctx_out: 0,
        flags: 0,
        cpu: 0,
    };
    // SAFETY: the attributes of BPF_PROG_TEST_RUN; the kernel reads `data_size_in` bytes of
    // `packet`, which outlives the call, and writes only to the attributes.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }?;
    Ok(attributes.retval)
}

/// An address as bpf(2) takes it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// bpf(2).
///
/// # Safety
/// `attributes` is the struct that `command` takes, or a prefix of it, and every address in it is
/// valid for what the command does with it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    let pointer = std::ptr::from_mut(attributes);
    // SAFETY: the caller's promise; the length is that of the struct.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}

/// Takes a descriptor that the kernel has just given us.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes what bpf(2) returned to it and to nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
