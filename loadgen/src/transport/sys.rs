//! System calls, each wrapped once: the only module with `unsafe`.

use std::io;
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

/// Nanoseconds that the calling thread has waited for a CPU while it could have run; 0 where the
/// kernel does not keep count of it (`CONFIG_SCHED_INFO`).
pub(crate) fn thread_delay_ns() -> u64 {
    // Kernel `sched-stats.rst`, `/proc/<pid>/schedstat`: time on a CPU, time waited for one, turns.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
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
    pub(crate) fn add(&self, stream: &impl AsRawFd, slot: usize) -> io::Result<()> {
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

    /// Waits at most `wait_ns` and returns how many of `events` were filled in. A signal ends it
    /// early, with none.
    ///
    /// `epoll_pwait2`, which takes nanoseconds, is there since Linux 5.11; the error says so where
    /// it is not.
    pub(crate) fn wait(&self, events: &mut [Event], wait_ns: u64) -> io::Result<usize> {
        let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
        let timeout = timespec(wait_ns);
        // SAFETY: `events` is writable for `capacity` elements, and Event is an epoll_event;
        // `timeout` outlives the call; there is no signal mask.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                capacity,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        match usize::try_from(count).map_err(|_| io::Error::last_os_error()) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "epoll_pwait2 is missing: Linux 5.11 or later is needed (uname -r)",
            )),
            Err(error) => Err(error),
        }
    }
}

/// A length of time as the kernel takes it.
fn timespec(length_ns: u64) -> libc::timespec {
    let seconds = libc::time_t::try_from(length_ns / 1_000_000_000);
    libc::timespec {
        tv_sec: seconds.unwrap_or(libc::time_t::MAX),
        tv_nsec: i64::try_from(length_ns % 1_000_000_000).expect("below 10^9"),
    }
}

/// Lets the calling thread's timers ring when they are due, not up to 50 µs later so that the
/// kernel can ring several at once.
pub(crate) fn ring_on_time() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0_u64, 0_u64, 0_u64) }).map(drop)
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
            let timeout = timespec(until_ns.saturating_sub(monotonic_ns()));
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
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_edge_is_told_for_the_connection_for_bytes_and_for_the_close() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let epoll = Epoll::new().unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        epoll.add(&stream, 42).unwrap();
        let mut events = vec![Event::default(); 4];
        let minute_ns = 60_000_000_000;

        assert_eq!(epoll.wait(&mut events, minute_ns).unwrap(), 1);
        assert!(events[0].is_writable() && !events[0].is_peer_closed());
        assert_eq!(events[0].slot(), 42);
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
    fn a_wait_ends_in_its_time_and_not_before() {
        let epoll = Epoll::new().unwrap();
        let before_ns = monotonic_ns();
        ring_on_time().unwrap();
        assert_eq!(epoll.wait(&mut [Event::default()], 1_500_000).unwrap(), 0);
        assert!(monotonic_ns() - before_ns >= 1_500_000);
    }

    #[test]
    fn clocks_run_forwards_and_every_thread_may_run_somewhere() {
        let (monotonic, cpu) = (monotonic_ns(), thread_cpu_ns());
        assert!(monotonic_ns() >= monotonic);
        assert!(thread_cpu_ns() >= cpu);
        let delay_ns = thread_delay_ns();
        assert!(thread_delay_ns() >= delay_ns);
        let cpus = allowed_cpus().unwrap();
        std::thread::spawn(move || {
            pin_to_cpu(cpus[0]).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [cpus[0]]);
        })
        .join()
        .unwrap();
    }
}
