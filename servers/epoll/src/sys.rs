//! The system calls of this server, each wrapped once. All sockets here are non-blocking.

use server_common::sys::{check, option, set_option};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What happened on one descriptor.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Event(libc::epoll_event);

impl Event {
    /// Nothing, for the table that the kernel writes to.
    pub(crate) const NONE: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    /// The key under which the descriptor was added.
    pub(crate) fn key(&self) -> u64 {
        self.0.u64
    }

    /// What happened.
    pub(crate) fn bits(&self) -> u32 {
        self.0.events
    }
}

// The kernel's constants are given as i32; the last one uses the sign bit.
/// Bytes, or a connection, or a FIN can be taken.
pub(crate) const IN: u32 = libc::EPOLLIN.cast_unsigned();
/// The client has sent its FIN.
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP.cast_unsigned();
/// Both directions are closed.
pub(crate) const HUP: u32 = libc::EPOLLHUP.cast_unsigned();
/// The connection has failed.
pub(crate) const ERR: u32 = libc::EPOLLERR.cast_unsigned();
/// Everything about a connection, each told once when it becomes so. EPOLLOUT costs nothing while
/// the kernel takes all that is sent: TCP reports space only after it had to refuse some.
pub(crate) const CONNECTION: u32 =
    IN | RDHUP | libc::EPOLLOUT.cast_unsigned() | libc::EPOLLET.cast_unsigned();

/// Packets of one poll: the most that needs no privilege (NAPI_POLL_WEIGHT).
pub(crate) const BUSY_POLL_BUDGET: u16 = 64;

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just returned the descriptor to us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for `bits`; events carry `key`. Closing the descriptor removes it.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64, bits: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, bits)
    }

    /// Changes what `fd` is watched for.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, bits: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, bits)
    }

    /// Stops watching `fd`.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, verb: i32, fd: BorrowedFd<'_>, key: u64, bits: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: bits, u64: key };
        // SAFETY: `event` is a valid epoll_event that outlives the call.
        let returned =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), verb, fd.as_raw_fd(), &raw mut event) };
        check(returned).map(drop)
    }

    /// Has every wait poll the network device that the last event came by, for up to `time`
    /// before it sleeps (`napi.rst`, "epoll-based busy polling").
    ///
    /// # Errors
    /// ENOTTY from a kernel before 6.9.
    pub(crate) fn set_busy_poll(&self, time: Duration) -> io::Result<()> {
        let params = libc::epoll_params {
            busy_poll_usecs: u32::try_from(time.as_micros()).unwrap_or(u32::MAX),
            busy_poll_budget: BUSY_POLL_BUDGET,
            prefer_busy_poll: 1,
            __pad: 0,
        };
        // SAFETY: `params` is readable and as long as the request's number says.
        let returned =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::EPIOCSPARAMS, &raw const params) };
        check(returned).map(drop)
    }

    /// Waits up to `timeout_ms` (-1: without end) and fills the front of `events`; says how many.
    pub(crate) fn wait(&self, events: &mut [Event], timeout_ms: i32) -> io::Result<usize> {
        let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // SAFETY: `Event` is a transparent epoll_event, and the kernel writes at most `room`.
        let returned = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr().cast(), room, timeout_ms)
        };
        match check(returned) {
            Ok(count) => Ok(usize::try_from(count).expect("check refuses negative numbers")),
            // A debugger or a stop and continue: nothing has happened.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Has connections accepted from `listener` send without Nagle's delay: Linux hands the option
/// down, which saves a call for each of them.
pub(crate) fn set_no_delay(listener: BorrowedFd<'_>) -> io::Result<()> {
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

/// Has calls on connections accepted from `listener` poll the network device for up to `time`.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN.
pub(crate) fn set_socket_busy_poll(listener: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    let micros = i32::try_from(time.as_micros()).unwrap_or(i32::MAX);
    set_option(listener, libc::SOL_SOCKET, libc::SO_BUSY_POLL, micros)
}

/// The NAPI that `socket` last received from; 0 where there was none.
pub(crate) fn napi_id(socket: BorrowedFd<'_>) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID)
}

/// Takes the next waiting connection.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both pointers may be null: the client's address is not asked for.
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) })?;
    // SAFETY: the kernel has just returned the descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Repeats a call that a signal or a debugger interrupted; its count cannot be negative otherwise.
fn counted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Receives what there is, up to the length of `buffer`; 0 at the client's FIN.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    counted(|| {
        // SAFETY: `buffer` is writable for its length, and outlives the call.
        unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) }
    })
}

/// Sends as much of `bytes` as the kernel takes; `more` says that more follows at once, so that a
/// segment that is not full can wait for it.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    counted(|| {
        // SAFETY: `bytes` is readable for its length, and outlives the call.
        unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) }
    })
}

/// Has the kernel acknowledge at once what `socket` has received, once: it goes back to delaying
/// by itself (tcp(7), TCP_QUICKACK).
pub(crate) fn acknowledge_now(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_QUICKACK, 1)
}

/// Sends a FIN; receiving goes on.
pub(crate) fn finish_sending(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Closes with a reset: whatever was not sent is thrown away (RFC 9293 §3.10.5, ABORT).
pub(crate) fn abort(socket: OwnedFd) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).expect("8 fits");
    let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `linger` is readable for the length that is passed, and outlives the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const linger).cast(), length) })?;
    drop(socket);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A client over loopback, and the server's non-blocking end of the same connection.
    pub(crate) fn pair() -> (TcpStream, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        set_no_delay(listener.as_fd()).expect("an option of TCP");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("listens");
        (client, accept(listener.as_fd()).expect("one waits"))
    }

    fn wait_for(epoll: &Epoll, bits: u32) -> Vec<(u64, u32)> {
        let mut events = [Event::NONE; 4];
        loop {
            let count = epoll.wait(&mut events, 10_000).expect("valid");
            assert_ne!(count, 0, "nothing happened for 10 s");
            let seen = events[..count].iter().map(|event| (event.key(), event.bits()));
            let seen: Vec<_> = seen.filter(|(_, seen)| seen & bits == bits).collect();
            if !seen.is_empty() {
                return seen;
            }
        }
    }

    #[test]
    fn an_accepted_socket_has_inherited_no_delay_and_does_not_block() {
        let (_client, socket) = pair();
        let stream = TcpStream::from(socket);
        assert!(stream.nodelay().expect("an option of TCP"));
        let error = receive(stream.as_fd(), &mut [0]).expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn events_carry_the_key_and_a_fin_is_told_apart() {
        let (mut client, socket) = pair();
        let epoll = Epoll::new().expect("a descriptor is free");
        epoll.add(socket.as_fd(), u64::MAX - 7, CONNECTION).expect("not yet there");
        client.write_all(b"abc").expect("taken");
        let events = wait_for(&epoll, IN);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].0, u64::MAX - 7);
        assert_eq!(events[0].1 & RDHUP, 0);
        client.shutdown(std::net::Shutdown::Write).expect("connected");
        wait_for(&epoll, RDHUP);
        let mut buffer = [0; 8];
        assert_eq!(receive(socket.as_fd(), &mut buffer).expect("three bytes"), 3);
        assert_eq!(&buffer, b"abc\0\0\0\0\0", "no byte beyond the count is touched");
        assert_eq!(receive(socket.as_fd(), &mut buffer).expect("the FIN"), 0);
    }

    #[test]
    fn space_is_told_again_only_after_some_was_refused() {
        let (mut client, socket) = pair();
        let epoll = Epoll::new().expect("a descriptor is free");
        epoll.add(socket.as_fd(), 1, CONNECTION).expect("not yet there");
        let out = libc::EPOLLOUT.cast_unsigned();
        wait_for(&epoll, out);
        let bytes = [7; 1 << 16];
        let mut sent = 0;
        let error = loop {
            match send(socket.as_fd(), &bytes, false) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(epoll.wait(&mut [Event::NONE; 4], 0).expect("valid"), 0);
        client.read_exact(&mut vec![0; sent]).expect("all that was sent");
        wait_for(&epoll, out);
    }

    #[test]
    fn abort_resets() {
        let (mut client, socket) = pair();
        abort(socket).expect("an option of sockets");
        let error = client.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
