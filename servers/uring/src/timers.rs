//! The time-outs of connections: one timer in the wheel per slot, whoever has the slot.
//!
//! A timer outlives its connection: were it the connection's own, a server that accepts and closes
//! 50,000 connections a second would carry the 60 s timers of three million dead ones. So it
//! belongs to the slot, and the next connection there finds it set.

use server_common::TimerWheel;

/// A deadline that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The earliest time-out of the connection in this slot.
    Slot(usize),
    /// Another try to accept, after there were no descriptors.
    Accept,
}

/// The timers of one thread.
#[derive(Debug)]
pub(crate) struct Timers {
    wheel: TimerWheel<Timer>,
    /// The earliest timer in the wheel, by slot.
    earliest_ns: Vec<u64>,
    fired: Vec<Timer>,
}

impl Timers {
    /// No timers, at `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self { wheel: TimerWheel::new(now_ns), earliest_ns: Vec::new(), fired: Vec::new() }
    }

    /// Makes sure that a timer of `slot` fires no later than at `deadline_ns`.
    ///
    /// A deadline that moves away with each request costs nothing: the timer set before fires too
    /// early and is set again then.
    pub(crate) fn ensure(&mut self, slot: usize, deadline_ns: u64) {
        if self.earliest_ns.len() <= slot {
            self.earliest_ns.resize(slot + 1, NEVER);
        }
        if deadline_ns < self.earliest_ns[slot] {
            self.earliest_ns[slot] = deadline_ns;
            self.wheel.schedule(deadline_ns, Timer::Slot(slot));
        }
    }

    /// Has [`Timer::Accept`] fire at `deadline_ns`.
    pub(crate) fn retry_accept(&mut self, deadline_ns: u64) {
        self.wheel.schedule(deadline_ns, Timer::Accept);
    }

    /// Moves the hand; returns how many timers [`next`](Self::next) has now.
    pub(crate) fn advance(&mut self, now_ns: u64) -> usize {
        self.wheel.advance(now_ns, &mut self.fired);
        self.fired.len()
    }

    /// The next timer that fired by `now_ns`, but for those of a deadline that has moved nearer
    /// and passed already.
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<Timer> {
        while let Some(timer) = self.fired.pop() {
            match timer {
                Timer::Slot(slot) if now_ns < self.earliest_ns[slot] => {}
                Timer::Slot(slot) => {
                    self.earliest_ns[slot] = NEVER;
                    return Some(timer);
                }
                Timer::Accept => return Some(timer),
            }
        }
        None
    }

    /// When to call [`advance`](Self::advance) next, if any timer is set.
    pub(crate) fn next_tick_ns(&self) -> Option<u64> {
        self.wheel.next_tick_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn fired(timers: &mut Timers, now_ns: u64) -> Vec<Timer> {
        timers.advance(now_ns);
        std::iter::from_fn(|| timers.next(now_ns)).collect()
    }

    #[test]
    fn a_deadline_that_moves_away_keeps_one_timer() {
        let mut timers = Timers::new(0);
        for later in 0..1000 {
            timers.ensure(3, 2 * SECOND + later);
        }
        assert_eq!(timers.wheel.len(), 1);
        assert_eq!(fired(&mut timers, SECOND), []);
        assert_eq!(fired(&mut timers, 3 * SECOND), [Timer::Slot(3)]);
        assert_eq!(timers.next_tick_ns(), None);
    }

    #[test]
    fn a_deadline_that_moves_nearer_fires_then_and_the_older_timer_not_at_all() {
        let mut timers = Timers::new(0);
        timers.ensure(0, 20 * SECOND);
        timers.ensure(0, 10 * SECOND);
        assert_eq!(fired(&mut timers, 11 * SECOND), [Timer::Slot(0)]);
        timers.ensure(0, 30 * SECOND);
        assert_eq!(fired(&mut timers, 21 * SECOND), []);
        assert_eq!(fired(&mut timers, 31 * SECOND), [Timer::Slot(0)]);
    }

    #[test]
    fn a_thousand_connections_in_one_slot_leave_one_timer() {
        let mut timers = Timers::new(0);
        for connection in 0..1000 {
            timers.ensure(0, 60 * SECOND + connection);
        }
        assert_eq!(timers.wheel.len(), 1);
    }

    #[test]
    fn the_accept_timer_fires_among_the_others() {
        let mut timers = Timers::new(0);
        timers.retry_accept(SECOND);
        timers.ensure(0, 5 * SECOND);
        assert_eq!(fired(&mut timers, 2 * SECOND), [Timer::Accept]);
    }
}
