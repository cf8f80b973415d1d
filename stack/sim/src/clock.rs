//! The virtual clock.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tcp::Instant;

/// The virtual clock of a simulation; clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<Instant>>);

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.get()
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }

    /// Moves on to `instant`, or stays where it is if that has passed.
    pub fn advance_to(&self, instant: Instant) {
        self.0.set(self.0.get().max(instant));
    }
}
