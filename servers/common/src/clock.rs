//! The one clock of a server thread: monotonic time and the cached `date`.

use crate::sys;
use server_http::{Date, Now};

/// Reads `CLOCK_MONOTONIC`, and renders `date` anew once a second.
#[derive(Debug)]
pub struct Clock {
    now: Now,
    next_date_ns: u64,
}

impl Clock {
    /// A clock that has been read once.
    #[must_use]
    pub fn new() -> Self {
        let now = Now { monotonic_ns: 0, date: Date::from_unix_seconds(0) };
        let mut clock = Self { now, next_date_ns: 0 };
        clock.tick();
        clock
    }

    /// Reads the clock: one vDSO call, and once a second a second one for the date.
    pub fn tick(&mut self) -> &Now {
        self.now.monotonic_ns = sys::monotonic_ns();
        if self.now.monotonic_ns >= self.next_date_ns {
            let realtime_ns = sys::realtime_ns();
            self.now.date = Date::from_unix_seconds(realtime_ns / 1_000_000_000);
            // The next rendering is due at the next whole second of real time.
            let left_ns = 1_000_000_000 - realtime_ns % 1_000_000_000;
            self.next_date_ns = self.now.monotonic_ns + left_ns;
        }
        &self.now
    }

    /// The last reading.
    #[must_use]
    pub fn now(&self) -> &Now {
        &self.now
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
