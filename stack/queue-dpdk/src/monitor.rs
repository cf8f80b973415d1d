//! A thread that reads what the port counts, and whether it has a link.
//!
//! Reading the registers of a NIC takes microseconds each, too long for a thread that polls: ten
//! times a second this one does, and leaves the figures where the queues find them.

use crate::sys::{Device, PortStats};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How often it looks. Figures are as old as that at most.
const PERIOD: Duration = Duration::from_millis(100);

/// What was read last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) stats: PortStats,
    pub(crate) link_is_up: bool,
    /// How often it came up.
    pub(crate) link_ups: u64,
    /// Readings that the driver refused.
    pub(crate) failures: u64,
}

impl Reading {
    fn renew(&mut self, device: &Device) {
        match device.stats() {
            Ok(stats) => self.stats = stats,
            Err(_) => self.failures += 1,
        }
        let is_up = device.link_is_up();
        self.link_ups += u64::from(is_up && !self.link_is_up);
        self.link_is_up = is_up;
    }
}

#[derive(Debug, Default)]
struct State {
    reading: Reading,
    is_over: bool,
}

/// Where the thread leaves its readings.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
    /// The reading's link, for those who poll and may not wait for the lock.
    link_is_up: AtomicBool,
}

impl Board {
    /// What was read last.
    pub(crate) fn reading(&self) -> Reading {
        self.lock().reading
    }

    /// Whether there was a link when it was last looked for. Waits for nobody.
    pub(crate) fn link_is_up(&self) -> bool {
        self.link_is_up.load(Ordering::Relaxed)
    }

    /// Waits until the link is up, or not; false where that takes longer than `timeout`.
    pub(crate) fn wait_for_link(&self, is_up: bool, timeout: Duration) -> bool {
        let other = |state: &mut State| state.reading.link_is_up != is_up;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, other);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, state: &mut State, device: &Device) {
        state.reading.renew(device);
        self.link_is_up.store(state.reading.link_is_up, Ordering::Relaxed);
    }

    /// Reads once, and waits for the next time; false when there is nothing more to read.
    fn renew(&self, device: &Weak<Device>) -> bool {
        let mut state = self.lock();
        let Some(device) = device.upgrade().filter(|_| !state.is_over) else { return false };
        self.read(&mut state, &device);
        drop(device);
        self.changed.notify_all();
        let is_going_on = |state: &mut State| !state.is_over;
        let waited = self.changed.wait_timeout_while(state, PERIOD, is_going_on);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Reads once, so that a queue never takes a link that nobody has looked for yet for one that
    /// is down, and starts the thread.
    pub(crate) fn start(device: &Arc<Device>) -> io::Result<Self> {
        let board = Arc::new(Board::default());
        board.read(&mut board.lock(), device);
        let (shared, device) = (Arc::clone(&board), Arc::downgrade(device));
        let run = move || while shared.renew(&device) {};
        let thread = Builder::new().name("dpdk-monitor".to_owned()).spawn(run)?;
        Ok(Self { board, thread: Some(thread) })
    }

    /// Where it leaves its readings.
    pub(crate) const fn board(&self) -> &Arc<Board> {
        &self.board
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.board.lock().is_over = true;
        self.board.changed.notify_all();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            // A panic of the thread is ours to show, unless one is on its way already.
            std::panic::resume_unwind(panic);
        }
    }
}
