//! System calls that every server needs, each wrapped once.

use crate::Signal;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Turns the return value of a system call into a result.
///
/// # Errors
/// `errno` where the value is negative.
pub fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Sends as much of `len` bytes of `file` from `offset` on as `socket` takes, from the pages of the
/// file; it waits for room unless the socket is non-blocking.
///
/// # Errors
/// As sendfile(2), but for EINTR, after which it is called again.
pub fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: usize,
    len: usize,
) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    loop {
        let mut from = offset;
        // SAFETY: `from` is writable and outlives the call.
        let sent =
            unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut from, len) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// An empty file in memory, without a name.
///
/// # Errors
/// As memfd_create(2).
pub fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a string that outlives the call.
    let fd = check(unsafe { libc::memfd_create(c"pattern".as_ptr(), libc::MFD_CLOEXEC) })?;
    Ok(owned(fd))
}

/// Bytes of a huge page (on x86-64 and on arm64 with pages of 4 KiB).
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Moves the first [`HUGE_PAGE_BYTES`] of `file`, which is in memory and as long, into one huge
/// page (madvise(2), MADV_COLLAPSE).
///
/// # Errors
/// EINVAL before Linux 6.1 and where huge pages of files in memory are denied; ENOMEM where no
/// memory is free in one piece.
pub fn collapse(file: BorrowedFd<'_>) -> io::Result<()> {
    let len = 2 * HUGE_PAGE_BYTES;
    let (nowhere, new) = (std::ptr::null_mut(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where the kernel likes, which nobody else knows of.
    let room = unsafe { libc::mmap(nowhere, len, libc::PROT_NONE, new, -1, 0) };
    if room == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = room.map_addr(|address| address.next_multiple_of(HUGE_PAGE_BYTES));
    let here = libc::MAP_SHARED | libc::MAP_FIXED;
    let (read, file) = (libc::PROT_READ, file.as_raw_fd());
    // SAFETY: the huge page that begins at `start` is within `room`, which is ours alone.
    let page = unsafe { libc::mmap(start, HUGE_PAGE_BYTES, read, here, file, 0) };
    let collapsed = if page == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        // SAFETY: as above; what the pages hold stays the same.
        check(unsafe { libc::madvise(page, HUGE_PAGE_BYTES, libc::MADV_COLLAPSE) }).map(drop)
    };
    // SAFETY: nothing of the mapping is in use.
    check(unsafe { libc::munmap(room, len) })?;
    collapsed
}

/// Makes the calls of the file description behind `fd` wait, or not.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let value = libc::c_int::from(nonblocking);
    // SAFETY: `value` is readable and outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw const value) }).map(drop)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let returned = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(returned, 0, "clock_gettime fails only for an unknown clock");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

/// `CLOCK_MONOTONIC` in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970.
#[must_use]
pub fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// EINVAL where the CPU does not exist or this process may not use it.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPU_SET bounds-checks `cpu` against the size of the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid for its size; 0 names the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

fn server_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1] {
        // SAFETY: the set was initialised above, and the signal number is valid.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: sigemptyset initialised it.
    unsafe { set.assume_init() }
}

/// Blocks the server's signals in this thread and those it will start.
///
/// # Errors
/// Whatever `pthread_sigmask` returns.
pub fn block_signals() -> io::Result<()> {
    let set = server_signals();
    // SAFETY: `set` is initialised; the old mask is not asked for.
    let error =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Sleeps until one of the server's signals arrives.
///
/// # Errors
/// Whatever `sigwait` returns.
pub fn wait_signal() -> io::Result<Signal> {
    let set = server_signals();
    let mut signal = 0;
    // SAFETY: `set` is initialised and `signal` outlives the call.
    let error = unsafe { libc::sigwait(&raw const set, &raw mut signal) };
    match (error, signal) {
        (0, libc::SIGUSR1) => Ok(Signal::Report),
        (0, _) => Ok(Signal::Stop),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Sends SIGTERM to this process, as its user would: the thread in [`wait_signal`] takes it.
pub(crate) fn stop_own_process() {
    // SAFETY: no pointers are passed.
    let pid = unsafe { libc::getpid() };
    // SAFETY: no pointers are passed.
    let returned = unsafe { libc::kill(pid, libc::SIGTERM) };
    assert_eq!(returned, 0, "a process may signal itself");
}

/// Raises the soft limit on open files to the hard limit and returns it.
///
/// # Errors
/// Whatever `getrlimit` or `setrlimit` returns.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes a descriptor that the kernel has just returned to it alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A non-blocking eventfd that stands at zero.
///
/// # Errors
/// EMFILE or ENFILE.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(owned)
}

/// Adds one to an eventfd.
///
/// # Errors
/// Whatever `write` returns.
pub fn eventfd_signal(fd: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: `one` is 8 readable bytes.
    let written = unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    if written == 8 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Length of an integer option, in bytes.
const INT_LEN: libc::socklen_t = 4;
const _: () = assert!(size_of::<i32>() == 4);

/// Sets an integer socket option.
///
/// # Errors
/// Whatever `setsockopt` returns.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` is readable for the length that is passed.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), INT_LEN)
    })
    .map(drop)
}

/// Has the kernel choose among the sockets that share `fd`'s port by classic BPF: the program's
/// value is the number of the socket, in the order in which they were opened.
///
/// # Errors
/// EINVAL where the program is none, EPERM where `net.core.bpf_jit_harden` and the like forbid it.
pub(crate) fn choose_by_program(
    fd: BorrowedFd<'_>,
    program: &mut [libc::sock_filter],
) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    let length = libc::socklen_t::try_from(size_of_val(&program)).expect("16 bytes");
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF);
    let pointer = (&raw const program).cast();
    // SAFETY: `program` and the instructions it points to are readable during the call; the kernel
    // copies them.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer, length) }).map(drop)
}

/// Reads an integer socket option.
///
/// # Errors
/// Whatever `getsockopt` returns.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut len) = (0_i32, INT_LEN);
    let (fd, to) = (fd.as_raw_fd(), (&raw mut value).cast());
    // SAFETY: `value` is writable for the length that is passed, and both outlive the call.
    check(unsafe { libc::getsockopt(fd, level, name, to, &raw mut len) })?;
    Ok(value)
}

/// Length of what the kernel tells of a TCP connection, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
const TCP_INFO_LEN: libc::socklen_t = size_of::<libc::tcp_info>() as libc::socklen_t;
const _: () = assert!(TCP_INFO_LEN as usize == size_of::<libc::tcp_info>());

/// Bytes that the other side of a TCP connection has acknowledged since it began (`TCP_INFO`,
/// `tcpi_bytes_acked`).
///
/// # Errors
/// Whatever `getsockopt` returns; `Unsupported` from a kernel before 4.1, which does not tell.
pub fn acknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = TCP_INFO_LEN;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: `info` is writable for the length that is passed, and both outlive the call.
    check(unsafe {
        let info = info.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, info, &raw mut len)
    })?;
    if (len as usize) < std::mem::offset_of!(libc::tcp_info, tcpi_bytes_acked) + size_of::<u64>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: integers may have any value; the kernel has written the front, the rest is zeroed.
    Ok(unsafe { info.assume_init() }.tcpi_bytes_acked)
}

fn socket(address: SocketAddr, kind: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::socket(family, kind, 0) }).map(owned)
}

fn stream_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(address, libc::SOCK_STREAM)?;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    Ok(socket)
}

/// A socket bound to `address` without SO_REUSEPORT: proof that nobody listens there.
///
/// # Errors
/// EADDRINUSE where somebody does, EADDRNOTAVAIL where the address is not ours.
pub fn bind_alone(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    bind(socket.as_fd(), address)?;
    Ok(socket)
}

/// A non-blocking listening socket with SO_REUSEADDR and SO_REUSEPORT.
///
/// # Errors
/// EADDRINUSE where another program listens there, EADDRNOTAVAIL where the address is not ours.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    bind(socket.as_fd(), address)?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: no pointers are passed.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// A non-blocking UDP socket with SO_REUSEPORT, bound to `address`.
///
/// # Errors
/// EADDRINUSE where another program has it, EADDRNOTAVAIL where the address is not ours.
pub fn datagrams(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(address, libc::SOCK_DGRAM)?;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    bind(socket.as_fd(), address)?;
    Ok(socket)
}

fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let length = |bytes: usize| libc::socklen_t::try_from(bytes).expect("a socket address fits");
    match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("2 fits"),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `name` is readable for the length that is passed.
            check(unsafe {
                libc::bind(socket.as_raw_fd(), (&raw const name).cast(), length(size_of_val(&name)))
            })
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).expect("10 fits"),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: `name` is readable for the length that is passed.
            check(unsafe {
                libc::bind(socket.as_raw_fd(), (&raw const name).cast(), length(size_of_val(&name)))
            })
        }
    }
    .map(drop)
}

/// The addresses of this network namespace, each with the name of its interface.
///
/// # Errors
/// Whatever `getifaddrs` returns.
pub fn interface_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut list = std::ptr::null_mut();
    // SAFETY: `list` is writable; on success it is ours to free.
    check(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: the list is as getifaddrs made it, and is freed only below.
        let entry = unsafe { next.read() };
        next = entry.ifa_next;
        // SAFETY: the name is a string of the list's own memory.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        found.extend(ip_of(entry.ifa_addr).map(|address| (name, address)));
    }
    // SAFETY: getifaddrs allocated it, and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The IP address at `address`, which is null or one of getifaddrs' list.
fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the one caller passes null, or an address as long as its family says.
    let family = unsafe { address.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: an address of that family is a sockaddr_in.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of that family is a sockaddr_in6.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// The kernel's number of an interface.
///
/// # Errors
/// ENODEV where there is none of that name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// `struct ethtool_drvinfo` of `linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver_to_firmware: [u8; 96],
    bus_info: [u8; 32],
    rest: [u8; 64],
}
const _: () = assert!(size_of::<DriverInfo>() == 196);
/// `ETHTOOL_GDRVINFO`.
const DRIVER_INFO: u32 = 3;

/// Where on a bus the device of an interface is; empty for one that is none.
///
/// # Errors
/// ENODEV where there is no such interface, EOPNOTSUPP where it has no driver to ask.
pub fn bus_of(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo {
        cmd: DRIVER_INFO,
        driver_to_firmware: [0; 96],
        bus_info: [0; 32],
        rest: [0; 64],
    };
    ask_ethtool(interface, (&raw mut info).cast())?;
    let len = info.bus_info.iter().position(|byte| *byte == 0).unwrap_or(info.bus_info.len());
    Ok(String::from_utf8_lossy(&info.bus_info[..len]).into_owned())
}

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}
/// `ETHTOOL_GTXCSUM`.
const TX_CHECKSUM: u32 = 0x16;

/// Whether an interface computes the checksums of what it sends. If not, the kernel reads every
/// byte of it.
///
/// # Errors
/// ENODEV where there is no such interface, EOPNOTSUPP where it has no driver to ask.
pub fn has_tx_checksum(interface: &str) -> io::Result<bool> {
    let mut value = EthtoolValue { cmd: TX_CHECKSUM, data: 0 };
    ask_ethtool(interface, (&raw mut value).cast())?;
    Ok(value.data != 0)
}

/// Asks the driver of an interface, whose answer goes to `info`: a struct of ethtool that begins
/// with its command and is as long as the command says.
fn ask_ethtool(interface: &str, info: *mut libc::c_char) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = info;
    let any = socket(SocketAddr::from(([0, 0, 0, 0], 0)), libc::SOCK_DGRAM)?;
    // SAFETY: the request names an interface, and both callers own a struct of the length that
    // goes with its command.
    check(unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) }).map(drop)
}

/// Gives up everything that a process may regain or pass on: every capability of this thread and
/// of those it will start, the way to new ones (`no_new_privs`), and, where `user` names one, the
/// identity of the process.
///
/// Call it when everything privileged is open, before any other thread exists: capabilities belong
/// to threads. A process without privileges may call it too.
///
/// # Errors
/// A sentence that says which step failed.
pub fn drop_privileges(user: Option<u32>) -> Result<(), String> {
    let failed = |step: &str| {
        let error = io::Error::last_os_error();
        format!("privileges cannot be dropped: {step}: {error}")
    };
    // SAFETY: no pointers are passed.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(failed("PR_SET_NO_NEW_PRIVS"));
    }
    if let Some(user) = user {
        become_user(user).map_err(failed)?;
    }
    drop_capabilities().map_err(failed)
}

/// Takes the user and group of that number, with no other groups.
fn become_user(user: u32) -> Result<(), &'static str> {
    // SAFETY: a list of no groups is not read.
    if unsafe { libc::setgroups(0, std::ptr::null()) } != 0 {
        return Err("setgroups (CAP_SETGID is needed for --user)");
    }
    // SAFETY: no pointers are passed.
    if unsafe { libc::setresgid(user, user, user) } != 0 {
        return Err("setresgid (CAP_SETGID is needed for --user)");
    }
    // SAFETY: no pointers are passed.
    if unsafe { libc::setresuid(user, user, user) } != 0 {
        return Err("setresuid (CAP_SETUID is needed for --user)");
    }
    Ok(())
}

/// The header of `capset(2)`; pid 0 names the calling thread.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

fn drop_capabilities() -> Result<(), &'static str> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    // Effective, permitted and inheritable, twice 32 bits each.
    let none = [0_u32; 6];
    // SAFETY: the header is of the version that it names, and that version reads six words. An
    // empty permitted set empties the ambient set as well.
    let returned = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const none) };
    if returned == 0 { Ok(()) } else { Err("capset") }
}
