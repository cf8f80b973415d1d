//! Whose turn it is to send: connections with little to say go before those with a backlog.
//!
//! ```text
//!   fresh:      those that have sent less than a turn's worth since they had nothing to send
//!   backlogged: all others                       64 turns of the first, then one of the second
//! ```
//!
//! With one list, a connection with a single segment would wait for all the others that have
//! more to send than their turn allows, sixteen segments for each of them. So flow queues in
//! FQ-CoDel are of two kinds (RFC 8290 §4.2); unlike there, the new ones are not served for as
//! long as there are any, but for a bounded number of turns, so that nobody starves.

use queue::BURST_MAX;
use std::collections::VecDeque;

/// Turns of fresh connections behind which it is a backlogged one's turn, if there is one. With
/// answers of one segment, a fifth of all segments are left to those with a backlog.
const FRESH_TURNS: usize = BURST_MAX;

/// Connections that may have something to send ("dirty"), each on one of two lists.
#[derive(Debug)]
pub(crate) struct Turns {
    fresh: VecDeque<u32>,
    backlogged: VecDeque<u32>,
    /// Turns of fresh connections since the last one of a backlogged one.
    fresh_turns: usize,
}

impl Turns {
    /// Room for `capacity` connections on either list. Allocates once.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            fresh: VecDeque::with_capacity(capacity),
            backlogged: VecDeque::with_capacity(capacity),
            fresh_turns: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.backlogged.len()
    }

    /// Puts a connection, which must be on neither list, behind the others of its kind.
    #[inline]
    pub(crate) fn push(&mut self, index: u32, is_fresh: bool) {
        if is_fresh {
            self.fresh.push_back(index);
        } else {
            self.backlogged.push_back(index);
        }
    }

    /// Puts a connection back whose turn was cut short, to go on with the rest of it: so it is
    /// the next one of its kind, and if backlogged, the next one of all.
    pub(crate) fn push_again(&mut self, index: u32, is_fresh: bool) {
        if is_fresh {
            self.fresh.push_front(index);
        } else {
            self.backlogged.push_front(index);
            self.fresh_turns = FRESH_TURNS;
        }
    }

    /// Whose turn it is.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<u32> {
        if (self.fresh_turns >= FRESH_TURNS || self.fresh.is_empty())
            && let Some(index) = self.backlogged.pop_front()
        {
            self.fresh_turns = 0;
            return Some(index);
        }
        self.fresh_turns = (self.fresh_turns + 1).min(FRESH_TURNS);
        self.fresh.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Turns that may pass before it is that of the connection at `place` of its list, whatever
    /// is put on the lists behind it, and if nobody takes a turn again.
    fn bound(place: usize, is_fresh: bool) -> usize {
        if is_fresh { place + place / FRESH_TURNS + 1 } else { (place + 1) * FRESH_TURNS + place }
    }

    proptest! {
        #[test]
        fn nobody_waits_for_more_turns_than_those_before_him_explain(
            before in prop::collection::vec(any::<bool>(), 0..300),
            is_fresh in any::<bool>(),
            behind in any::<[bool; 4]>(),
            popped in 0..200_usize,
        ) {
            let mut turns = Turns::new(0);
            // Whatever has gone before.
            for _ in 0..popped {
                turns.push(0, true);
                prop_assert_eq!(turns.pop(), Some(0));
            }
            for kind in &before {
                turns.push(1, *kind);
            }
            turns.push(2, is_fresh);
            let place = before.iter().filter(|kind| **kind == is_fresh).count();
            for waited in 0.. {
                // Two come for each that goes.
                turns.push(3, behind[waited % 4]);
                turns.push(3, behind[(waited + 1) % 4]);
                let index = turns.pop();
                prop_assert!(index.is_some());
                if index == Some(2) {
                    break;
                }
                prop_assert!(waited < bound(place, is_fresh), "{} turns", waited);
            }
        }
    }

    #[test]
    fn one_backlogged_turn_follows_each_burst_of_fresh_ones() {
        let mut turns = Turns::new(0);
        for _ in 0..200 {
            turns.push(0, true);
            turns.push(1, false);
        }
        let order: Vec<u32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order.len(), 400);
        let places: Vec<usize> = (0..200).filter(|place| order[*place] == 1).collect();
        assert_eq!(places, [64, 129, 194]);
    }

    #[test]
    fn who_is_cut_short_goes_on_before_the_others() {
        let order = |mut turns: Turns| -> Vec<u32> { std::iter::from_fn(|| turns.pop()).collect() };
        let mut turns = Turns::new(0);
        turns.push(1, true);
        turns.push(3, false);
        turns.push_again(2, true);
        assert_eq!(order(turns), [2, 1, 3]);
        let mut turns = Turns::new(0);
        turns.push(1, true);
        turns.push(3, false);
        turns.push_again(4, false);
        assert_eq!(order(turns), [4, 1, 3]);
    }
}
