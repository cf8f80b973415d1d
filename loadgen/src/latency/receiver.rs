//! How an end waits for bytes: blocking, spinning, or through a multiplexer.

use super::clock::now_ns;
use super::link::Io;
use super::sys::{self, Epoll, EpollVerb, PollFd};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Tries between two looks at the clock while spinning: the look must not be part of the cost.
const SPINS_PER_LOOK: u32 = 1 << 10;

/// sfnt-pingpong's multiplexers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Muxer {
    /// The receive itself waits.
    None,
    Select,
    Poll,
    Epoll,
    /// Armed for each receive and disarmed after it.
    EpollMod,
    /// Added for each receive and deleted after it.
    EpollAdddel,
}

impl std::str::FromStr for Muxer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "" | "none" => Self::None,
            "select" => Self::Select,
            "poll" => Self::Poll,
            "epoll" => Self::Epoll,
            "epoll_mod" => Self::EpollMod,
            "epoll_adddel" => Self::EpollAdddel,
            _ => {
                let known = "none, select, poll, epoll, epoll_mod or epoll_adddel";
                return Err(format!("{text:?} is not {known}"));
            }
        })
    }
}

enum Waiter {
    /// The receive blocks.
    Block,
    /// The receive is tried again and again.
    Try,
    Select(Vec<RawFd>),
    Poll(Vec<PollFd>),
    Epoll(Epoll, Muxer),
}

/// The receiving half of one end.
pub(super) struct Receiver {
    waiter: Waiter,
    fd: RawFd,
    /// Whether the multiplexer is asked without letting it sleep.
    spin: bool,
    timeout: Duration,
    /// Watched besides, never readable; closed with the receiver.
    _extras: Vec<OwnedFd>,
}

impl Receiver {
    /// Prepares `io` for the way of waiting that is asked for. `extras` are watched besides.
    pub(super) fn new(
        io: &Io,
        muxer: Muxer,
        spin: bool,
        timeout: Duration,
        extras: Vec<OwnedFd>,
    ) -> Result<Self, String> {
        let told = |error: io::Error| format!("waiting cannot be set up: {error}");
        let fd = io.read_fd();
        let fds = || std::iter::once(fd).chain(extras.iter().map(AsRawFd::as_raw_fd));
        let waiter = match muxer {
            Muxer::None if spin => Waiter::Try,
            Muxer::None => Waiter::Block,
            Muxer::Select => {
                if let Some(fd) = fds().find(|fd| *fd >= sys::SELECT_FDS) {
                    let most = sys::SELECT_FDS;
                    return Err(format!(
                        "select cannot watch descriptor {fd}, only those below {most}: \
                         watch fewer, or take --muxer poll or epoll"
                    ));
                }
                Waiter::Select(fds().collect())
            }
            Muxer::Poll => Waiter::Poll(fds().map(|fd| PollFd::new(fd, true, false)).collect()),
            Muxer::Epoll | Muxer::EpollMod | Muxer::EpollAdddel => {
                let epoll = Epoll::new().map_err(told)?;
                let watched = if muxer == Muxer::EpollAdddel { 0 } else { usize::MAX };
                for fd in fds().take(watched) {
                    epoll.control(EpollVerb::Add, fd).map_err(told)?;
                }
                Waiter::Epoll(epoll, muxer)
            }
        };
        if matches!(waiter, Waiter::Block) {
            io.set_timeout(timeout).map_err(told)?;
        } else {
            io.set_nonblocking().map_err(told)?;
        }
        Ok(Self { waiter, fd, spin, timeout, _extras: extras })
    }

    /// How long it waits for one receive.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Receives once; 0 is the end of a stream, or an empty datagram.
    ///
    /// # Errors
    /// `TimedOut` where nothing came in time, and whatever receiving returns.
    pub(super) fn receive(&mut self, io: &Io, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.waiter, Waiter::Block) {
            return receive_blocking(io, buffer);
        }
        let until_ns = now_ns() + u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut tries = 0_u32;
        loop {
            if self.is_ready()? {
                match io.receive(buffer) {
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::WouldBlock | ErrorKind::Interrupted
                        ) => {}
                    received => return received,
                }
            }
            tries = tries.wrapping_add(1);
            let look = !self.spin || tries.is_multiple_of(SPINS_PER_LOOK);
            if look && now_ns() >= until_ns {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Whether a receive is worth a try. Sleeps until it is, unless it spins.
    fn is_ready(&mut self) -> io::Result<bool> {
        let timeout = if self.spin { Duration::ZERO } else { self.timeout };
        let fd = self.fd;
        let ready = match &mut self.waiter {
            Waiter::Block | Waiter::Try => return Ok(true),
            Waiter::Select(fds) => sys::select(fds, timeout)?,
            Waiter::Poll(fds) => sys::poll(fds, timeout)?,
            Waiter::Epoll(epoll, muxer) => {
                let (before, after) = match muxer {
                    Muxer::EpollMod => (Some(EpollVerb::Arm), Some(EpollVerb::Disarm)),
                    Muxer::EpollAdddel => (Some(EpollVerb::Add), Some(EpollVerb::Delete)),
                    _ => (None, None),
                };
                if let Some(verb) = before {
                    epoll.control(verb, fd)?;
                }
                let ready = epoll.wait(timeout)?;
                if let Some(verb) = after {
                    epoll.control(verb, fd)?;
                }
                ready
            }
        };
        Ok(ready > 0)
    }
}

fn receive_blocking(io: &Io, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match io.receive(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // SO_RCVTIMEO has passed.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            received => return received,
        }
    }
}
