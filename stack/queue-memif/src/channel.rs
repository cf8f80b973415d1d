//! The control socket: whole messages, each with at most one descriptor beside it.
//!
//! Every descriptor is non-blocking. A message is sent or received whole (`SOCK_SEQPACKET`).

use crate::wire::{MESSAGE_BYTES, Message};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, socket_with,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Peers that the kernel lets wait to be accepted.
const BACKLOG: i32 = 8;
/// Room for the descriptors beside a message: more than one, so that a second one is noticed.
const DESCRIPTORS_MAX: usize = 4;

/// One end of a connection to a peer.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
}

/// What was received.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message, and the descriptor beside it.
    Message(Message, Option<OwnedFd>),
    /// Bytes that are no message, or too many descriptors.
    Malformed,
    /// Nothing yet.
    Nothing,
    /// The peer is gone.
    End,
}

impl Channel {
    /// Connects to a server's socket.
    ///
    /// # Errors
    /// Those of connect(2): `NotFound` and `ConnectionRefused` while there is no server.
    pub(crate) fn connect(name: &str) -> io::Result<Self> {
        let fd = socket()?;
        connect(&fd, &address(name)?)?;
        Ok(Self { fd })
    }

    /// Sends a message, and a descriptor beside it.
    ///
    /// # Errors
    /// Those of sendmsg(2); `WouldBlock` where the peer has not read for long.
    pub(crate) fn send(&self, message: &Message, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = message.emit();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: &[BorrowedFd<'_>] = fd.as_slice();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = sendmsg(&self.fd, &[IoSlice::new(&bytes)], &mut control, flags)?;
        if sent == MESSAGE_BYTES { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Receives a message, if there is one.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub(crate) fn receive(&self) -> io::Result<Received> {
        let mut bytes = [0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut target = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.fd, &mut target, &mut control, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Nothing),
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error.into()),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if received.bytes == 0 && fds.is_empty() {
            return Ok(Received::End);
        }
        if received.bytes != MESSAGE_BYTES || fds.len() > 1 || is_cut {
            return Ok(Received::Malformed);
        }
        Ok(match Message::parse(&bytes) {
            Ok(message) => Received::Message(message, fds.pop()),
            Err(_) => Received::Malformed,
        })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A socket that listens, and its file, which goes with it.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    name: String,
}

impl Listener {
    /// Listens on a path, or on a name in the abstract namespace. A file that a process left behind
    /// is replaced.
    ///
    /// # Errors
    /// Those of bind(2): `AddrInUse` where another process listens.
    pub(crate) fn bind(name: &str) -> io::Result<Self> {
        let fd = socket()?;
        let address = address(name)?;
        match bind(&fd, &address) {
            Err(Errno::ADDRINUSE) if is_left_behind(name) => {
                std::fs::remove_file(name)?;
                bind(&fd, &address)?;
            }
            result => result?,
        }
        listen(&fd, BACKLOG)?;
        Ok(Self { fd, name: name.to_owned() })
    }

    /// A peer that has connected, if there is one.
    ///
    /// # Errors
    /// Those of accept(2).
    pub(crate) fn accept(&self) -> io::Result<Option<Channel>> {
        match accept_with(&self.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => Ok(Some(Channel { fd })),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.name.starts_with('@') {
            // Whoever removed it before us has done our work.
            drop(std::fs::remove_file(&self.name));
        }
    }
}

/// Whether the file is a socket on which nobody listens.
fn is_left_behind(name: &str) -> bool {
    let is_socket = || {
        use std::os::unix::fs::FileTypeExt;
        std::fs::symlink_metadata(Path::new(name)).is_ok_and(|data| data.file_type().is_socket())
    };
    let refused = Channel::connect(name).err().map(|error| error.kind());
    refused == Some(io::ErrorKind::ConnectionRefused) && is_socket()
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

fn address(name: &str) -> rustix::io::Result<SocketAddrUnix> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(name),
    }
}
