//! Datagrams on their way: what recvmsg and sendmsg read and write, in memory that stays put.

use libc::{iovec, msghdr, sockaddr_storage};
use server_common::DATAGRAM_BYTES;
use std::mem::MaybeUninit;

/// Datagrams that one thread takes before the first of them is answered; others wait in the
/// socket's buffer.
pub(crate) const SLOTS: u32 = 16;

/// One datagram, with the structures that describe it to the kernel.
///
/// The structures point at each other and at the bytes, so a slot lies in a box of its own, and
/// every pointer is set anew before the kernel is told of it.
struct Slot {
    header: msghdr,
    vector: iovec,
    peer: MaybeUninit<sockaddr_storage>,
    bytes: [u8; DATAGRAM_BYTES],
    /// The kernel has it: nobody else may touch it.
    is_lent: bool,
}

/// The datagrams of a ring.
#[derive(Default)]
pub(super) struct Datagrams(Vec<Box<Slot>>);

impl Datagrams {
    /// Memory for [`SLOTS`] datagrams, once.
    pub(super) fn provide(&mut self) {
        while self.0.len() < SLOTS as usize {
            self.0.push(Box::new(Slot::new()));
        }
    }

    /// Lends a slot to the kernel to receive into: the sender's address and the datagram.
    ///
    /// # Panics
    /// Panics if the kernel has it already.
    pub(super) fn lend_for_receive(&mut self, slot: u32) -> *mut msghdr {
        let slot = self.0[slot as usize].as_mut();
        let peer_len = libc::socklen_t::try_from(size_of::<sockaddr_storage>()).expect("128 bytes");
        slot.lend(DATAGRAM_BYTES, peer_len)
    }

    /// Lends a slot to the kernel to send from: the `len` bytes that it was received with, to the
    /// address that they came from.
    ///
    /// # Panics
    /// Panics if the kernel has it already.
    pub(super) fn lend_for_send(&mut self, slot: u32, len: usize) -> *const msghdr {
        let slot = self.0[slot as usize].as_mut();
        // As long as the kernel has said when it received.
        let peer_len = slot.header.msg_namelen;
        slot.lend(len.min(DATAGRAM_BYTES), peer_len)
    }

    /// Takes a slot back: its operation has completed.
    pub(super) fn take_back(&mut self, slot: u32) {
        self.0[slot as usize].is_lent = false;
    }
}

impl Slot {
    fn new() -> Self {
        let none = std::ptr::null_mut();
        Self {
            header: msghdr {
                msg_name: none,
                msg_namelen: 0,
                msg_iov: std::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: none,
                msg_controllen: 0,
                msg_flags: 0,
            },
            vector: iovec { iov_base: none, iov_len: 0 },
            peer: MaybeUninit::uninit(),
            bytes: [0; DATAGRAM_BYTES],
            is_lent: false,
        }
    }

    fn lend(&mut self, len: usize, peer_len: libc::socklen_t) -> *mut msghdr {
        assert!(!self.is_lent, "a datagram has one operation at a time");
        self.is_lent = true;
        self.vector = iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: len };
        self.header.msg_name = self.peer.as_mut_ptr().cast();
        self.header.msg_namelen = peer_len;
        self.header.msg_iov = &raw mut self.vector;
        self.header.msg_iovlen = 1;
        self.header.msg_flags = 0;
        &raw mut self.header
    }
}
