//! System calls, each wrapped once: the only module with `unsafe`.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let returned = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(returned, 0, "clock_gettime fails only for a clock that does not exist");
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread in nanoseconds, user and system.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// What happened on a socket.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Event(libc::epoll_event);

impl Default for Event {
    fn default() -> Self {
        Self(libc::epoll_event { events: 0, u64: 0 })
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Event")
            .field("slot", &self.slot())
            .field("events", &self.events())
            .finish()
    }
}

const READABLE: u32 = mask(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
const WRITABLE: u32 = mask(libc::EPOLLOUT);
const PEER_CLOSED: u32 = mask(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
const INTEREST: u32 = mask(libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET);

/// The kernel's masks are unsigned, libc's constants are not: EPOLLET is the sign bit.
const fn mask(flags: libc::c_int) -> u32 {
    flags.cast_unsigned()
}

impl Event {
    fn events(self) -> u32 {
        self.0.events
    }

    /// The number that was given to [`Epoll::add`].
    pub(crate) fn slot(self) -> usize {
        usize::try_from(self.0.u64).expect("it was a usize")
    }

    /// A read will not block: there are bytes, the end, or an error to fetch.
    pub(crate) fn is_readable(self) -> bool {
        self.events() & READABLE != 0
    }

    /// There is room to write.
    pub(crate) fn is_writable(self) -> bool {
        self.events() & WRITABLE != 0
    }

    /// The peer sends nothing after the bytes that can be read now.
    pub(crate) fn is_peer_closed(self) -> bool {
        self.events() & PEER_CLOSED != 0
    }
}

/// An epoll whose sockets are watched for everything, edge-triggered.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just returned it to this call alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a socket until it is closed. Its events carry `slot`.
    pub(crate) fn add(&self, stream: &TcpStream, slot: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: INTEREST, u64: slot as u64 };
        // SAFETY: both descriptors are open, and `event` outlives the call.
        check(unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                &raw mut event,
            )
        })
        .map(drop)
    }

    /// Waits at most `wait_ns`, rounded up to whole milliseconds, and returns how many of `events`
    /// were filled in. A signal ends it early, with none.
    pub(crate) fn wait(&self, events: &mut [Event], wait_ns: u64) -> io::Result<usize> {
        let timeout_ms = i32::try_from(wait_ns.div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` is writable for `capacity` elements, and Event is an epoll_event.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr().cast(), capacity, timeout_ms)
        };
        match check(count) {
            Ok(count) => Ok(usize::try_from(count).expect("not negative")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Starts to open a TCP connection without waiting for it.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just returned it to this call alone.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(v4) => connect_to(
            &stream,
            &libc::sockaddr_in {
                sin_family: family_of(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            },
        ),
        SocketAddr::V6(v6) => connect_to(
            &stream,
            &libc::sockaddr_in6 {
                sin6_family: family_of(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            },
        ),
    };
    match result {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

fn family_of(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).expect("AF_INET and AF_INET6 are small")
}

/// The two shapes of socket address that `connect` takes here.
trait SocketName {}
impl SocketName for libc::sockaddr_in {}
impl SocketName for libc::sockaddr_in6 {}

fn connect_to<Name: SocketName>(stream: &TcpStream, name: &Name) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<Name>()).expect("a socket address fits");
    // SAFETY: `name` is a socket address, readable for the length that is passed.
    check(unsafe { libc::connect(stream.as_raw_fd(), std::ptr::from_ref(name).cast(), length) })
        .map(drop)
}

/// The CPUs that this thread may run on, by number.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable for its size; 0 names the calling thread.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    // SAFETY: CPU_ISSET reads inside the set, which is as wide as the range.
    let allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..size_of_val(&set) * 8).filter(allowed).collect())
}

/// Pins the calling thread to one CPU.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPU_SET checks `cpu` against the width of the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable for its size; 0 names the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// Raises the soft limit of open files to the hard one, and returns it.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// SIGINT, kept from ending this process so that it can be waited for.
#[derive(Debug)]
pub(crate) struct Interrupt(());

impl Interrupt {
    /// Blocks SIGINT in this thread and those that it starts from now on.
    pub(crate) fn block() -> io::Result<Self> {
        let set = interrupt_set();
        // SAFETY: `set` is initialised; the old mask is not asked for.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error == 0 { Ok(Self(())) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// Sleeps until SIGINT arrives, which is `true`, or until `until_ns` on [`monotonic_ns`].
    pub(crate) fn wait_until(&self, until_ns: u64) -> io::Result<bool> {
        let set = interrupt_set();
        loop {
            let left_ns = until_ns.saturating_sub(monotonic_ns());
            let seconds = libc::time_t::try_from(left_ns / 1_000_000_000);
            let timeout = libc::timespec {
                tv_sec: seconds.unwrap_or(libc::time_t::MAX),
                tv_nsec: i64::try_from(left_ns % 1_000_000_000).expect("below 10^9"),
            };
            // SAFETY: `set` and `timeout` outlive the call; no information is asked for.
            let signal = unsafe {
                libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const timeout)
            };
            match check(signal).map_err(|error| error.raw_os_error().unwrap_or(0)) {
                Ok(_) => return Ok(true),
                Err(libc::EAGAIN) => return Ok(false),
                // Another signal was handled, for example SIGCONT after a stop.
                Err(libc::EINTR) => {}
                Err(error) => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

fn interrupt_set() -> libc::sigset_t {
    // SAFETY: sigset_t is integers, for which zero is a value; sigemptyset fills it in.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` outlives the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: `set` was emptied above, and SIGINT is a signal.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGINT) };
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn an_edge_is_told_for_the_connection_for_bytes_and_for_the_close() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let epoll = Epoll::new().unwrap();
        let mut stream = connect(listener.local_addr().unwrap()).unwrap();
        epoll.add(&stream, 42).unwrap();
        let mut events = vec![Event::default(); 4];
        let minute_ns = 60_000_000_000;

        assert_eq!(epoll.wait(&mut events, minute_ns).unwrap(), 1);
        assert!(events[0].is_writable() && !events[0].is_peer_closed());
        assert_eq!(events[0].slot(), 42);
        assert_eq!(stream.take_error().unwrap().map(|error| error.kind()), None);
        assert_eq!(epoll.wait(&mut events, 0).unwrap(), 0, "the edge was told once");

        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"x").unwrap();
        assert_eq!(epoll.wait(&mut events, minute_ns).unwrap(), 1);
        assert!(events[0].is_readable() && !events[0].is_peer_closed());
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 1);

        drop(peer);
        assert_eq!(epoll.wait(&mut events, minute_ns).unwrap(), 1);
        assert!(events[0].is_readable() && events[0].is_peer_closed());
        drop(stream);
        assert_eq!(epoll.wait(&mut events, 0).unwrap(), 0, "a closed socket is not watched");
    }

    #[test]
    fn a_refused_connection_is_told_by_its_error() {
        // NB: port 1 is tcpmux, which nobody runs.
        let refused = match connect(SocketAddr::from(([127, 0, 0, 1], 1))) {
            Err(error) => error.kind(),
            Ok(stream) => {
                let epoll = Epoll::new().unwrap();
                epoll.add(&stream, 0).unwrap();
                let mut events = vec![Event::default(); 1];
                assert_eq!(epoll.wait(&mut events, 60_000_000_000).unwrap(), 1);
                stream.take_error().unwrap().expect("refused").kind()
            }
        };
        assert_eq!(refused, io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn clocks_run_forwards_and_every_thread_may_run_somewhere() {
        let (monotonic, cpu) = (monotonic_ns(), thread_cpu_ns());
        assert!(monotonic_ns() >= monotonic);
        assert!(thread_cpu_ns() >= cpu);
        let cpus = allowed_cpus().unwrap();
        std::thread::spawn(move || {
            pin_to_cpu(cpus[0]).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [cpus[0]]);
        })
        .join()
        .unwrap();
    }
}
