//! What the control thread and the queues of a port share.
//!
//! The control thread publishes a link, or that there is none, by a new epoch. Queues look at the
//! epoch at each poll, one load of a line that hardly ever changes, and take over the link when it
//! is another one. A queue that finds the peer breaking the rules leaves the link by itself and
//! says so here. Memory is unmapped by whoever lets go of it last.

use crate::counts::ControlCounts;
use crate::handshake::Refusal;
use crate::link::Link;
use crate::ring::Fault;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The meeting place.
#[derive(Debug)]
pub(crate) struct Shared {
    epoch: AtomicU64,
    link: Mutex<Option<Arc<Link>>>,
    changed: Condvar,
    /// The epoch in which a queue found a fault, and which: see [`Shared::report`].
    fault: AtomicU64,
    is_closing: AtomicBool,
    /// What the latest peer said that left with a word.
    farewell: Mutex<Option<String>>,
    /// Wakes the control thread.
    wake: OwnedFd,
    pub(crate) counts: ControlCounts,
}

impl Shared {
    /// Without a link.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoch: AtomicU64::new(0),
            link: Mutex::new(None),
            changed: Condvar::new(),
            fault: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            farewell: Mutex::new(None),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            counts: ControlCounts::default(),
        })
    }

    /// Puts a link, or none, in place of what was there.
    pub(crate) fn publish(&self, link: Option<Link>) {
        let mut place = self.lock();
        *place = link.map(Arc::new);
        self.epoch.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    /// What changes with every link.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The link of now, and its epoch. `None` while somebody else looks: ask again.
    pub(crate) fn try_link(&self) -> Option<(u64, Option<Arc<Link>>)> {
        let place = self.link.try_lock().ok()?;
        Some((self.epoch(), place.clone()))
    }

    /// Waits until there is a link, or none; false where that takes longer than `timeout`.
    pub(crate) fn wait(&self, is_up: bool, timeout: Duration) -> bool {
        let is_other = |link: &mut Option<Arc<Link>>| link.is_some() != is_up;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, is_other);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Says that the peer broke the rules in `epoch`, and wakes the control thread.
    pub(crate) fn report(&self, epoch: u64, fault: Fault) {
        let fault = match fault {
            Fault::Index => 1,
            Fault::Descriptor => 2,
            Fault::Chain => 3,
        };
        self.fault.store(epoch << 2 | fault, Ordering::Release);
        self.wake();
    }

    /// The fault that a queue found in the link of now.
    pub(crate) fn fault(&self) -> Option<Refusal> {
        let fault = self.fault.load(Ordering::Acquire);
        let refusal = match fault & 3 {
            1 => Refusal::BadIndex,
            2 => Refusal::BadDescriptor,
            3 => Refusal::BadChain,
            _ => return None,
        };
        (fault >> 2 == self.epoch()).then_some(refusal)
    }

    /// Keeps what a peer said when it left.
    pub(crate) fn keep_farewell(&self, words: String) {
        *self.farewell.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    /// What the latest peer said that left with a word.
    pub(crate) fn farewell(&self) -> Option<String> {
        self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the control thread to end.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it was asked to.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Forgets the wake-ups so far.
    pub(crate) fn clear_wake(&self) {
        // It is empty where a wake-up was forgotten together with an earlier one.
        let _emptied = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    fn wake(&self) {
        // It fails only where the count is full, and then the thread is awake.
        let _woken = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        // Nothing that holds it can panic halfway.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Shared {
    /// Readable after a wake-up.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
