//! The timer wheel: one timer per connection; scheduling, cancelling and firing cost O(1).
//!
//! Six levels of 64 slots. A slot of level n is 64^n ticks wide, so a timer far away waits in a
//! coarse slot and moves to a finer one when its time comes near: at most five moves in its life.
//! A bitmap per level finds the next slot in use without looking at the empty ones.
//! Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987.

use tcp::Instant;

/// A tick is 2^10 ns: about a microsecond.
const TICK_SHIFT: u32 = 10;
const LEVELS: u32 = 6;
const SLOTS: usize = 64;
const PLACES: usize = LEVELS as usize * SLOTS;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The span of the whole wheel in ticks: 19.5 hours. What lies beyond waits in the last slot.
const SPAN_TICKS: u64 = 1 << (SLOT_BITS * LEVELS);
/// No neighbour, no slot.
const NONE: u32 = u32::MAX;

const _: () = assert!((SPAN_TICKS << TICK_SHIFT) / 1_000_000_000 > 19 * 3600);

/// A timer: a place in the doubly linked list of its slot.
#[derive(Clone, Copy, Debug)]
struct Node {
    due_tick: u64,
    before: u32,
    after: u32,
    /// `level * SLOTS + slot`, or [`NONE`] while it is not scheduled.
    place: u32,
}

const IDLE: Node = Node { due_tick: 0, before: NONE, after: NONE, place: NONE };

/// Timers named by small numbers, each scheduled at most once.
#[derive(Debug)]
pub(crate) struct Wheel {
    tick: u64,
    /// No slot in use begins before this tick: so a poll with nothing due is one comparison.
    quiet_until: u64,
    heads: [u32; PLACES],
    in_use: [u64; LEVELS as usize],
    nodes: Vec<Node>,
}

impl Wheel {
    /// An empty wheel with room for timers `0..capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            tick: 0,
            quiet_until: u64::MAX,
            heads: [NONE; PLACES],
            in_use: [0; LEVELS as usize],
            nodes: vec![IDLE; capacity],
        }
    }

    /// Schedules `timer` for `deadline`, instead of whenever it was scheduled for before.
    ///
    /// It fires at the first [`pop`](Self::pop) after `deadline`, never before it.
    pub(crate) fn schedule(&mut self, timer: u32, deadline: Instant) {
        self.cancel(timer);
        let due_tick = deadline.as_nanos().div_ceil(1 << TICK_SHIFT);
        self.link(timer, due_tick);
    }

    /// Forgets `timer` if it is scheduled.
    pub(crate) fn cancel(&mut self, timer: u32) {
        let Node { before, after, place, .. } = self.nodes[timer as usize];
        if place == NONE {
            return;
        }
        match before {
            NONE => self.heads[place as usize] = after,
            _ => self.nodes[before as usize].after = after,
        }
        if after != NONE {
            self.nodes[after as usize].before = before;
        }
        if self.heads[place as usize] == NONE {
            self.in_use[place as usize / SLOTS] &= !(1 << (place as usize % SLOTS));
        }
        self.nodes[timer as usize] = IDLE;
    }

    /// Takes a timer whose deadline has passed by `now`.
    ///
    /// Each timer that is moved to a finer slot or taken costs one of `budget`. `None` means that
    /// none is due, or that the budget is used up and the next call goes on.
    pub(crate) fn pop(&mut self, now: Instant, budget: &mut usize) -> Option<u32> {
        let now_tick = now.as_nanos() >> TICK_SHIFT;
        while *budget > 0 {
            if now_tick < self.quiet_until {
                self.tick = self.tick.max(now_tick);
                return None;
            }
            let Some((slot_tick, place)) = self.next_slot().filter(|(tick, _)| *tick <= now_tick)
            else {
                self.quiet_until = self.next_slot().map_or(u64::MAX, |(tick, _)| tick);
                continue;
            };
            *budget -= 1;
            self.tick = self.tick.max(slot_tick);
            let timer = self.heads[place];
            let due_tick = self.nodes[timer as usize].due_tick;
            self.cancel(timer);
            if due_tick <= now_tick {
                return Some(timer);
            }
            self.link(timer, due_tick);
        }
        None
    }

    /// No timer is due before this instant, or `None` while none is scheduled.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_slot().map(|(tick, _)| Instant::from_nanos(tick << TICK_SHIFT))
    }

    /// The first slot in use: the tick at which it begins, and its place.
    fn next_slot(&self) -> Option<(u64, usize)> {
        let first_of_level = |level: u32| {
            let in_use = self.in_use[level as usize];
            if in_use == 0 {
                return None;
            }
            let width_bits = SLOT_BITS * level;
            let hand = (self.tick >> width_bits) % SLOTS as u64;
            let turned = in_use.rotate_right(u32::try_from(hand).expect("a slot"));
            let ahead = u64::from(turned.trailing_zeros());
            let slot = usize::try_from((hand + ahead) % SLOTS as u64).expect("a slot");
            let slot_tick = ((self.tick >> width_bits) + ahead) << width_bits;
            // A slot under the hand has begun already: a budget ran out while it was emptied.
            Some((slot_tick.max(self.tick), level as usize * SLOTS + slot))
        };
        (0..LEVELS).filter_map(first_of_level).min()
    }

    fn link(&mut self, timer: u32, due_tick: u64) {
        // A deadline beyond the span is looked at again when the last slot comes up.
        let place_tick = due_tick.clamp(self.tick, self.tick + SPAN_TICKS - SPAN_TICKS / 64 - 1);
        // The level is that of the highest digit, base 64, in which the deadline and now differ.
        let differs = (place_tick ^ self.tick) | 1;
        let level = ((63 - differs.leading_zeros()) / SLOT_BITS).min(LEVELS - 1);
        let slot = (place_tick >> (SLOT_BITS * level)) % SLOTS as u64;
        let place = level as usize * SLOTS + usize::try_from(slot).expect("a slot");
        let after = self.heads[place];
        self.nodes[timer as usize] =
            Node { due_tick, before: NONE, after, place: u32::try_from(place).expect("a place") };
        if after != NONE {
            self.nodes[after as usize].before = timer;
        }
        self.heads[place] = timer;
        let width_bits = SLOT_BITS * level;
        self.quiet_until = self.quiet_until.min(place_tick >> width_bits << width_bits);
        self.in_use[level as usize] |= 1 << slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_a_moved_one_fires_once() {
        let mut wheel = Wheel::new(3);
        wheel.schedule(0, at(5_000));
        wheel.schedule(1, at(5_000));
        wheel.schedule(2, at(5_000));
        wheel.cancel(1);
        wheel.schedule(2, at(90_000_000_000));
        let mut budget = 100;
        assert_eq!(wheel.pop(at(4_999), &mut budget), None);
        assert_eq!(wheel.pop(at(6_200), &mut budget), Some(0));
        assert_eq!(wheel.pop(at(89_999_999_999), &mut budget), None);
        assert_eq!(wheel.pop(at(90_000_002_000), &mut budget), Some(2));
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn the_budget_bounds_the_work_and_the_next_call_goes_on() {
        let mut wheel = Wheel::new(100);
        (0..100).for_each(|timer| wheel.schedule(timer, at(1_000_000)));
        let mut fired = 0;
        let mut calls = 0;
        while wheel.next_deadline().is_some() {
            let mut budget = 7;
            while wheel.pop(at(2_000_000), &mut budget).is_some() {
                fired += 1;
            }
            calls += 1;
        }
        assert_eq!(fired, 100);
        assert!(calls >= 100 / 7, "{calls}");
    }

    proptest! {
        #[test]
        fn every_timer_fires_once_after_its_deadline_and_within_a_tick_of_it(
            start in 0_u64..1_000_000_000_000,
            waits in prop::collection::vec(0_u64..200_000_000_000_000, 1..60),
            steps in prop::collection::vec(1_u64..40_000_000_000, 1..40),
        ) {
            let mut wheel = Wheel::new(waits.len());
            prop_assert_eq!(wheel.pop(at(start), &mut 1), None);
            let mut expected: Vec<(u64, u32)> = Vec::new();
            for (timer, wait) in (0_u32..).zip(&waits) {
                wheel.schedule(timer, at(start + wait));
                expected.push((start + wait, timer));
            }
            let mut now = start;
            let mut steps = steps.iter().cycle();
            while let Some(deadline) = wheel.next_deadline() {
                // Either a step, or straight to where the wheel says that something may be due.
                let step = now + steps.next().expect("a cycle has no end");
                let earlier = now;
                now = if step % 2 == 0 { step } else { deadline.as_nanos().max(now) };
                let mut budget = usize::MAX;
                while let Some(timer) = wheel.pop(at(now), &mut budget) {
                    let place = expected.iter().position(|(_, other)| *other == timer);
                    let (due, _) = expected.swap_remove(place.expect("fires once"));
                    prop_assert!(due <= now, "early: due {due}, now {now}");
                    prop_assert!(due + 1024 > earlier, "late: due {due}, missed at {earlier}");
                }
            }
            prop_assert!(expected.is_empty());
        }
    }
}
