//! The system calls that neither io_uring nor the shared crate makes for this server.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes the close of `socket` send an RST and forget what was not sent (SO_LINGER, zero seconds).
///
/// # Errors
/// Whatever `setsockopt` returns.
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = libc::socklen_t::try_from(size_of_val(&linger)).expect("8 bytes");
    let (level, option) = (libc::SOL_SOCKET, libc::SO_LINGER);
    // SAFETY: `linger` is readable for `len` bytes during the call.
    let returned = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const linger).cast(), len)
    };
    server_common::sys::check(returned).map(drop)
}

/// Sends a FIN behind what was sent; receiving goes on.
///
/// NB: not `IORING_OP_SHUTDOWN`. The kernel always hands that to a worker thread, which looks the
/// descriptor up when it gets there: by then the number may be another connection's, which would
/// get the FIN.
///
/// # Errors
/// ENOTCONN where the peer has reset the connection.
pub(crate) fn send_fin(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    server_common::sys::check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) })
        .map(drop)
}

/// Ends a connection at once with an RST and forgets what was not acknowledged; the descriptor
/// stays open (connect(2) with AF_UNSPEC).
///
/// # Errors
/// Whatever `connect` returns.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an all-zero sockaddr is one, and its family is AF_UNSPEC.
    let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    let len = libc::socklen_t::try_from(size_of_val(&nobody)).expect("16 bytes");
    // SAFETY: `nobody` is readable for `len` bytes during the call.
    let returned = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, len) };
    server_common::sys::check(returned).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn the_peer_sees_a_reset() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("it listens");
        let (server, _) = listener.accept().expect("it has connected");
        reset_on_close(server.as_fd()).expect("a TCP socket has the option");
        drop(server);
        let error = client.read(&mut [0]).expect_err("no FIN");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_disconnected_peer_sees_a_reset_while_the_descriptor_is_open() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("it listens");
        let (server, _) = listener.accept().expect("it has connected");
        disconnect(server.as_fd()).expect("it was connected");
        let error = client.read(&mut [0]).expect_err("no FIN");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        drop(server);
    }
}
