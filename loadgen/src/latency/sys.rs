//! System calls that neither the standard library nor `socket2` has, each wrapped once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// A time-out in whole milliseconds, rounded up; `poll` and `epoll_wait` know nothing finer.
fn milliseconds(timeout: Duration) -> libc::c_int {
    libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}

/// A count that the kernel returned; a signal counts as nothing having happened.
fn counted(returned: libc::c_int) -> io::Result<usize> {
    match check(returned) {
        Ok(count) => Ok(usize::try_from(count).expect("check refuses negative numbers")),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

/// A descriptor for `poll`, and what is asked and said about it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct PollFd(libc::pollfd);

impl PollFd {
    /// Asks whether `fd` can be read, and whether it can be written.
    pub(super) fn new(fd: RawFd, read: bool, write: bool) -> Self {
        let read = if read { libc::POLLIN } else { 0 };
        let write = if write { libc::POLLOUT } else { 0 };
        Self(libc::pollfd { fd, events: read | write, revents: 0 })
    }

    /// A read will not block: there are bytes, the end, or an error to fetch.
    pub(super) fn is_readable(self) -> bool {
        self.0.revents & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0
    }
}

/// Waits until one of `fds` is ready; returns how many are.
pub(super) fn poll(fds: &mut [PollFd], timeout: Duration) -> io::Result<usize> {
    let count = libc::nfds_t::try_from(fds.len()).expect("nfds_t is as wide as usize");
    // SAFETY: PollFd is a pollfd, and `fds` is writable for `count` of them.
    counted(unsafe { libc::poll(fds.as_mut_ptr().cast(), count, milliseconds(timeout)) })
}

/// Largest descriptor that `select` can watch, plus one.
pub(super) const SELECT_FDS: RawFd = 1024;
const _: () = assert!(libc::FD_SETSIZE == 1024);

/// Waits until one of `fds`, all below [`SELECT_FDS`], can be read; returns how many can.
pub(super) fn select(fds: &[RawFd], timeout: Duration) -> io::Result<usize> {
    // SAFETY: an all-zero fd_set is the empty set.
    let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
    for fd in fds {
        assert!((0..SELECT_FDS).contains(fd), "FD_SET would write beside the set");
        // SAFETY: the descriptor was checked against the width of the set.
        unsafe { libc::FD_SET(*fd, &raw mut set) };
    }
    let most = fds.iter().max().map_or(0, |fd| fd + 1);
    let mut time = libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: timeout.subsec_micros().into(),
    };
    let none = std::ptr::null_mut();
    // SAFETY: `set` and `time` outlive the call; the other sets are not given.
    counted(unsafe { libc::select(most, &raw mut set, none, none, &raw mut time) })
}

/// A level-triggered epoll instance for reading.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

/// What is done with a descriptor in an epoll instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpollVerb {
    /// Watch it for reading.
    Add,
    /// Watch it for reading again.
    Arm,
    /// Keep it, and watch it for nothing but errors.
    Disarm,
    /// Forget it.
    Delete,
}

impl Epoll {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just returned it to this call alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Does `verb` with `fd`.
    pub(super) fn control(&self, verb: EpollVerb, fd: RawFd) -> io::Result<()> {
        let (operation, events) = match verb {
            EpollVerb::Add => (libc::EPOLL_CTL_ADD, libc::EPOLLIN),
            EpollVerb::Arm => (libc::EPOLL_CTL_MOD, libc::EPOLLIN),
            EpollVerb::Disarm => (libc::EPOLL_CTL_MOD, 0),
            EpollVerb::Delete => (libc::EPOLL_CTL_DEL, 0),
        };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: 0 };
        // SAFETY: `event` outlives the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })
            .map(drop)
    }

    /// Waits until a watched descriptor can be read; returns 1 where one can, else 0.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<usize> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let timeout_ms = milliseconds(timeout);
        // SAFETY: `event` is writable for the one event that is asked for.
        counted(unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, timeout_ms) })
    }
}

/// Puts a descriptor that is not a socket into non-blocking mode.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// SO_BUSY_POLL: microseconds for which a blocking receive polls the device.
pub(super) fn set_busy_poll(fd: BorrowedFd<'_>, busy_poll_us: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(busy_poll_us).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of_val(&value)).expect("4 bytes");
    // SAFETY: `value` is readable for the length that is passed.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BUSY_POLL,
            (&raw const value).cast(),
            length,
        )
    })
    .map(drop)
}

/// Segments that a TCP connection has sent again (TCP_INFO, `tcpi_total_retrans`).
pub(super) fn retransmitted(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: tcp_info is integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).expect("a small structure");
    // SAFETY: `info` is writable for `length` bytes, and both outlive the call.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    })?;
    Ok(info.tcpi_total_retrans)
}

/// What this process has used so far (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    /// Context switches because it waited.
    pub(super) voluntary_switches: u64,
    /// Context switches because another was given the core.
    pub(super) involuntary_switches: u64,
}

/// What this process has used so far.
pub(super) fn usage() -> Usage {
    // SAFETY: rusage is integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call.
    let returned = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(returned, 0, "getrusage fails only for an unknown target");
    let micros =
        |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        voluntary_switches: usage.ru_nvcsw.unsigned_abs(),
        involuntary_switches: usage.ru_nivcsw.unsigned_abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn every_way_to_wait_sees_the_byte_and_nothing_before() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let fd = far.as_raw_fd();
        let epoll = Epoll::new().unwrap();
        epoll.control(EpollVerb::Add, fd).unwrap();
        let mut fds = [PollFd::new(fd, true, false)];
        assert_eq!(poll(&mut fds, Duration::ZERO).unwrap(), 0);
        assert_eq!(select(&[fd], Duration::ZERO).unwrap(), 0);
        assert_eq!(epoll.wait(Duration::ZERO).unwrap(), 0);
        near.write_all(b"x").unwrap();
        assert_eq!(poll(&mut fds, MINUTE).unwrap(), 1);
        assert!(fds[0].is_readable());
        assert_eq!(select(&[fd], MINUTE).unwrap(), 1);
        assert_eq!(epoll.wait(MINUTE).unwrap(), 1);
    }

    #[test]
    fn a_disarmed_descriptor_is_not_told_until_it_is_armed() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.control(EpollVerb::Add, far.as_raw_fd()).unwrap();
        near.write_all(b"x").unwrap();
        epoll.control(EpollVerb::Disarm, far.as_raw_fd()).unwrap();
        assert_eq!(epoll.wait(Duration::ZERO).unwrap(), 0);
        epoll.control(EpollVerb::Arm, far.as_raw_fd()).unwrap();
        assert_eq!(epoll.wait(MINUTE).unwrap(), 1);
        epoll.control(EpollVerb::Delete, far.as_raw_fd()).unwrap();
        assert_eq!(epoll.wait(Duration::ZERO).unwrap(), 0);
    }

    #[test]
    fn loopback_retransmits_nothing_and_usage_grows() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(retransmitted(stream.as_fd()).unwrap(), 0);
        let (near, _far) = UnixStream::pair().unwrap();
        retransmitted(near.as_fd()).expect_err("no TCP there");
        let (before, after) = (usage(), usage());
        assert!(after.user_us + after.system_us >= before.user_us + before.system_us);
    }
}
