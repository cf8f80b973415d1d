//! A coarse timer wheel for the time-outs of connections (seconds, not microseconds).

/// Slots of the wheel; with [`TICK_NS`] one turn takes 64 s.
const SLOTS: usize = 512;
/// Width of a slot in nanoseconds: deadlines are met up to this much late, never early.
const TICK_NS: u64 = 125_000_000;

const _: () = assert!(SLOTS as u64 * TICK_NS == 64_000_000_000);

/// Keys with deadlines, each in one slot; scheduling and firing are O(1).
///
/// Deadlines that move with each request are not rescheduled: keep the true deadline with the
/// connection, and when the wheel fires early, schedule again. A key that is gone by then is
/// ignored by its owner (keys carry a generation).
#[derive(Debug)]
pub struct TimerWheel<K> {
    slots: Vec<Vec<(u64, K)>>,
    tick: u64,
    len: usize,
}

impl<K: Copy> TimerWheel<K> {
    /// An empty wheel that stands at `now_ns`.
    #[must_use]
    pub fn new(now_ns: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: now_ns / TICK_NS, len: 0 }
    }

    /// Keys scheduled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Schedules `key` for `deadline_ns`; a deadline in the past fires at the next tick.
    pub fn schedule(&mut self, deadline_ns: u64, key: K) {
        // Rounded up, so that a key never fires before its deadline; no further than one turn
        // ahead, so that the hand finds it: what lies beyond is scheduled again when it does.
        let due = deadline_ns.div_ceil(TICK_NS).clamp(self.tick + 1, self.tick + SLOTS as u64 - 1);
        self.slots[slot(due)].push((deadline_ns, key));
        self.len += 1;
    }

    /// Moves the hand to `now_ns` and appends the keys that are due to `fired`.
    pub fn advance(&mut self, now_ns: u64, fired: &mut Vec<K>) {
        let target = now_ns / TICK_NS;
        // After a long pause one whole turn visits every slot; more would visit them again.
        self.tick = self.tick.max(target.saturating_sub(SLOTS as u64));
        while self.tick < target {
            self.tick += 1;
            let mut due = std::mem::take(&mut self.slots[slot(self.tick)]);
            self.len -= due.len();
            for (deadline_ns, key) in due.drain(..) {
                if deadline_ns <= now_ns {
                    fired.push(key);
                } else {
                    self.schedule(deadline_ns, key);
                }
            }
            // Keeps the slot's capacity, unless something was scheduled into it meanwhile.
            if self.slots[slot(self.tick)].is_empty() {
                self.slots[slot(self.tick)] = due;
            }
        }
    }

    /// When to call [`advance`](Self::advance) next, or `None` while nothing is scheduled.
    #[must_use]
    pub fn next_tick_ns(&self) -> Option<u64> {
        (self.len > 0).then(|| (self.tick + 1) * TICK_NS)
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).expect("a remainder of 512 fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_fires_once_at_its_deadline_and_at_most_two_ticks_late(
            start_ns in 0_u64..10_000_000_000,
            waits_ns in prop::collection::vec(0_u64..200_000_000_000, 1..50),
            step_ns in 1_000_000_u64..3_000_000_000,
        ) {
            let mut wheel = TimerWheel::new(start_ns);
            for (key, wait_ns) in waits_ns.iter().enumerate() {
                wheel.schedule(start_ns + wait_ns, key);
            }
            let mut fired_at = vec![None; waits_ns.len()];
            let mut now_ns = start_ns;
            let mut fired = Vec::new();
            while !wheel.is_empty() {
                now_ns += step_ns;
                wheel.advance(now_ns, &mut fired);
                for key in fired.drain(..) {
                    prop_assert_eq!(fired_at[key], None);
                    fired_at[key] = Some(now_ns);
                }
            }
            for (key, wait_ns) in waits_ns.iter().enumerate() {
                let at = fired_at[key].expect("fired");
                prop_assert!(at >= start_ns + wait_ns);
                prop_assert!(at <= start_ns + wait_ns + 2 * TICK_NS + step_ns);
            }
        }
    }
}
