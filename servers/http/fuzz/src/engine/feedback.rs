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
            let (eights, rest) = counters.as_chunks::<8>();
            // An input takes a few edges of thousands: eight that it did not take are one look.
            for (index, eight) in eights.iter().enumerate() {
                if u64::from_ne_bytes(*eight) != 0 {
                    is_new |= self.take_some(index * 8, eight);
                }
            }
            is_new |= self.take_some(eights.len() * 8, rest);
        });
        is_new
    }

    fn take_some(&mut self, first: usize, counters: &[u8]) -> bool {
        let mut is_new = false;
        for (edge, count) in self.edges[first..].iter_mut().zip(counters) {
            let class = class(*count);
            if *edge & class != class {
                self.edges_seen += usize::from(*edge == 0);
                *edge |= class;
                is_new = true;
            }
        }
        is_new
    }
}

/// The class of a count, as a bit: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more; nothing
/// for 0. Once and twice differ, a hundred times and a hundred and one do not.
const fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1..=3 => 1 << (count - 1),
        4..=7 => 1 << 3,
        8..=15 => 1 << 4,
        16..=31 => 1 << 5,
        32..=127 => 1 << 6,
        128.. => 1 << 7,
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
    fn an_edge_is_new_once_for_each_class_of_counts() {
        let mut feedback = Feedback { edges: vec![0; 16], ..Feedback::default() };
        assert!(feedback.take_some(8, &[0, 4]));
        assert!(!feedback.take_some(8, &[0, 7]));
        assert!(feedback.take_some(8, &[0, 8]));
        assert!(feedback.take_some(0, &[1]));
        assert!(!feedback.take_some(0, &[0; 16]));
        assert_eq!(feedback.edges(), (2, 16));
    }
}
