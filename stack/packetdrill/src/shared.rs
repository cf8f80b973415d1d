//! The world as two threads see it, and the clock that only moves when one of them waits.
//!
//! packetdrill runs a script on its main thread, and calls that the script says to wait on a second
//! one. Time stands still while either computes. The thread that wants to wait for a moment, or
//! for a packet, lets the clock jump from timer to timer; after each jump the call that waits on
//! the other thread looks whether it may return, and if it does, the clock stands until that
//! thread has read it. So a script takes the same course each time, and no real time at all.

use crate::calls::{Outcome, Stop};
use crate::packet::Refused;
use crate::world::{Fd, PATIENCE, World};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;
use tcp::Instant;

/// How far reading the clock moves it: packetdrill reads it again and again to wait for the last
/// microseconds before an event.
const TICK: Duration = Duration::from_micros(1);

/// The call that waits on a thread of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    None,
    /// It waits, until then at the latest.
    Asleep(Option<Instant>),
    /// Something has happened: it looks.
    Looking,
    /// It has its result, and will read the clock next.
    Returning(ThreadId),
}

#[derive(Debug)]
struct Inner {
    world: World,
    waiter: Waiter,
    /// What was last written for the stand-in for `sockstat`.
    told: String,
}

/// What all calls go through.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// The thread that runs the script. A call that waits on it moves the clock itself.
    main: ThreadId,
    /// Where to tell of the state of every connection.
    sockstat: Option<PathBuf>,
}

impl Shared {
    /// To be called on the thread that runs the script.
    pub(crate) fn new(world: World, sockstat: Option<PathBuf>) -> Self {
        let inner = Mutex::new(Inner { world, waiter: Waiter::None, told: String::new() });
        Self { inner, changed: Condvar::new(), main: std::thread::current().id(), sockstat }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic ends the process, since nothing above us can be unwound through.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call. It is tried until it does not block any more, or until `timeout` has passed: then
    /// `late` is its result.
    pub(crate) fn call<T>(
        &self,
        timeout: Option<Duration>,
        late: Outcome<T>,
        mut attempt: impl FnMut(&mut World) -> Outcome<T>,
    ) -> Result<T, i32> {
        let mut inner = self.lock();
        let until = timeout.map(|timeout| inner.world.now + timeout);
        let is_main = std::thread::current().id() == self.main;
        let mut waited = false;
        let result = loop {
            match attempt(&mut inner.world) {
                Ok(value) => break Ok(value),
                Err(Stop::Errno(errno)) => break Err(errno),
                Err(Stop::Block) => {}
            }
            if until.is_some_and(|until| inner.world.now >= until) {
                break late.map_err(|stop| match stop {
                    Stop::Errno(errno) => errno,
                    Stop::Block => libc::EAGAIN,
                });
            }
            if is_main {
                let end = until.unwrap_or(inner.world.now + PATIENCE);
                // Nothing will ever happen: an error, rather than a test that hangs.
                if !inner.world.step(end) && until.is_none() {
                    break Err(libc::EDEADLK);
                }
            } else {
                waited = true;
                inner.waiter = Waiter::Asleep(until);
                self.changed.notify_all();
                while inner.waiter != Waiter::Looking {
                    inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        if waited {
            inner.waiter = Waiter::Returning(std::thread::current().id());
            self.changed.notify_all();
        } else {
            inner = self.let_waiter_look(inner);
        }
        self.tell(&mut inner);
        result
    }

    /// Lets the call that waits elsewhere look at what has happened, and return if it may.
    fn let_waiter_look<'a>(&self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        if matches!(inner.waiter, Waiter::Asleep(_)) {
            inner.waiter = Waiter::Looking;
            self.changed.notify_all();
        }
        while matches!(inner.waiter, Waiter::Looking | Waiter::Returning(_)) {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    /// Moves the clock to the next event before `end`, or to `end`. Whether there was an event.
    fn step<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        end: Instant,
    ) -> (MutexGuard<'a, Inner>, bool) {
        let deadline = match inner.waiter {
            Waiter::Asleep(Some(until)) if until <= end => Some(until),
            _ => None,
        };
        let happened = inner.world.step(deadline.unwrap_or(end)) || deadline.is_some();
        if happened {
            inner = self.let_waiter_look(inner);
        }
        (inner, happened)
    }

    /// Lets `duration` pass.
    pub(crate) fn sleep(&self, duration: Duration) {
        let mut inner = self.lock();
        let end = inner.world.now + duration;
        loop {
            let (next, happened) = self.step(inner, end);
            inner = next;
            if !happened {
                break;
            }
        }
        self.tell(&mut inner);
    }

    /// Reads the clock, which moves by that.
    pub(crate) fn time(&self) -> Instant {
        let mut inner = self.lock();
        if inner.waiter == Waiter::Returning(std::thread::current().id()) {
            inner.waiter = Waiter::None;
            self.changed.notify_all();
            return inner.world.now;
        }
        drop(inner);
        self.sleep(TICK);
        self.lock().world.now
    }

    /// Whether `fd` is a socket of this world.
    pub(crate) fn owns(&self, fd: Fd) -> bool {
        self.lock().world.sockets.contains_key(&fd)
    }

    /// Whether a call waits on another thread.
    #[cfg(test)]
    pub(crate) fn is_waited_on(&self) -> bool {
        matches!(self.lock().waiter, Waiter::Asleep(_))
    }

    /// A packet arrives.
    pub(crate) fn inject(&self, bytes: &[u8]) -> Result<(), Refused> {
        let mut inner = self.lock();
        let result = inner.world.inject(bytes);
        inner = self.let_waiter_look(inner);
        self.tell(&mut inner);
        result
    }

    /// Waits for the next packet that we send; `None` if there will never be one.
    pub(crate) fn sniff(&self) -> Option<(Instant, Vec<u8>)> {
        let mut inner = self.lock();
        let end = inner.world.now + PATIENCE;
        loop {
            if let Some(packet) = inner.world.sniff() {
                return Some(packet);
            }
            inner.world.poll_timeout()?;
            let (next, happened) = self.step(inner, end);
            inner = next;
            if !happened {
                return None;
            }
        }
    }

    /// Writes down the state of every connection, for the stand-in for `sockstat`.
    fn tell(&self, inner: &mut Inner) {
        let Some(path) = &self.sockstat else { return };
        let lines = inner.world.sockstat();
        if lines != inner.told {
            std::fs::write(path, &lines)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            inner.told = lines;
        }
    }

    /// The script is over. packetdrill has closed what descriptors were left, on its own.
    pub(crate) fn leave(self) {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        for socket in inner.world.sockets.into_values() {
            let _closed_already = socket.file.into_raw_fd();
        }
    }
}
