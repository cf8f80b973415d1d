//! What has been seen, so that an input that shows something new is noticed.

use crate::coverage;
use std::collections::HashSet;

/// Beyond so many, behaviours are no longer told apart: a bound, not a limit met in practice.
const BEHAVIOURS_MAX: usize = 1 << 20;

/// Edges of the program and behaviours of the target that were seen.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    behaviours: HashSet<u64>,
    /// For each edge, a bit for each class of how often an input took it.
    edges: Vec<u8>,
    edges_seen: usize,
}

impl Feedback {
    /// Takes what the last input did; true where some of it is new.
    pub(super) fn is_new(&mut self, behaviour: u64) -> bool {
        let new_edges = self.take_edges();
        let room = self.behaviours.len() < BEHAVIOURS_MAX;
        (room && self.behaviours.insert(behaviour)) || new_edges
    }

    pub(super) fn behaviours(&self) -> usize {
        self.behaviours.len()
    }

    /// Edges seen, of all there are; both 0 in a build without instrumentation.
    pub(super) fn edges(&self) -> (usize, usize) {
        (self.edges_seen, self.edges.len())
    }

    /// Takes the counters of the last input; true where an edge is new, or its class of counts.
    fn take_edges(&mut self) -> bool {
        let mut is_new = false;
        coverage::with_counters(|counters| {
            self.edges.resize(counters.len(), 0);
            // An input takes a few edges of thousands: eight that it did not take are one look.
            for (index, counters) in counters.chunks(8).enumerate() {
                if counters != &[0; 8][..counters.len()] {
                    is_new |= self.take_some(index * 8, counters);
                }
            }
        });
        is_new
    }

    fn take_some(&mut self, first: usize, counters: &[u8]) -> bool {
        let mut is_new = false;
        let edges = &mut self.edges[first..];
        for (edge, count) in edges.iter_mut().zip(counters).filter(|(_, count)| **count > 0) {
            let class = 1 << class(*count);
            if *edge & class == 0 {
                self.edges_seen += usize::from(*edge == 0);
                *edge |= class;
                is_new = true;
            }
        }
        is_new
    }
}

/// The class of a count: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more. Once and twice
/// differ, a hundred times and a hundred and one do not.
const fn class(count: u8) -> u32 {
    match count {
        0..=3 => (count as u32).saturating_sub(1),
        4..=7 => 3,
        8..=15 => 4,
        16..=31 => 5,
        32..=127 => 6,
        128.. => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_a_behaviour_is_new() {
        let mut feedback = Feedback::default();
        assert!(feedback.is_new(1));
        assert!(!feedback.is_new(1));
        assert!(feedback.is_new(2));
        assert_eq!(feedback.behaviours(), 2);
    }

    #[test]
    fn classes_grow_with_the_count_and_fit_a_byte() {
        assert_eq!((class(1), class(2), class(3), class(255)), (0, 1, 2, 7));
        assert!((1..255_u8).all(|count| class(count) <= class(count + 1)));
    }
}
