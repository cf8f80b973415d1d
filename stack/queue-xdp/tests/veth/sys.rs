//! The system calls of the test: entering a namespace, a packet socket, giving up capabilities.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::from_ref;

/// Moves this thread, and no other one, into a network namespace.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).expect("a namespace of ours");
    // SAFETY: setns takes a descriptor, which is open, and no pointer.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
}

/// A packet socket on an interface of this thread's namespace: each read takes one IPv4 packet
/// that the interface received, each write sends a frame. A read gives up after 10 seconds, which
/// is no measure of speed: nothing more is coming.
pub(crate) fn packet_socket(interface: &str) -> File {
    const ETH_P_IP: u16 = 0x0800;
    // SAFETY: socket takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(ETH_P_IP.to_be())) };
    assert!(fd >= 0, "socket: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just given us this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = CString::new(interface).expect("a name without zero bytes");
    // SAFETY: `name` ends in a zero byte and outlives the call.
    let ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET.try_into().expect("a small number"),
        sll_protocol: ETH_P_IP.to_be(),
        sll_ifindex: ifindex.try_into().expect("a small number"),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address).try_into().expect("a small struct");
    // SAFETY: pointer and length are those of `address`, which outlives the call.
    let result = unsafe { libc::bind(fd, from_ref(&address).cast(), len) };
    assert_eq!(result, 0, "bind: {}", io::Error::last_os_error());
    let patience = libc::timeval { tv_sec: 10, tv_usec: 0 };
    let len = size_of_val(&patience).try_into().expect("a small struct");
    let pointer = from_ref(&patience).cast();
    // SAFETY: pointer and length are those of `patience`, which outlives the call.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, pointer, len) };
    assert_eq!(result, 0, "setsockopt: {}", io::Error::last_os_error());
    File::from(socket)
}

/// Gives up every capability of this thread.
pub(crate) fn drop_capabilities() {
    /// `struct __user_cap_header_struct`, version 3: this thread.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    // Two of `struct __user_cap_data_struct`: effective, permitted and inheritable.
    let none = [[0_u32; 3]; 2];
    // SAFETY: capset reads the header and, by its version, two structs of three words; both
    // outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, from_ref(&header), none.as_ptr()) };
    assert_eq!(result, 0, "capset: {}", io::Error::last_os_error());
}
