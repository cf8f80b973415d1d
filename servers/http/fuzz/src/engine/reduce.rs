//! Makes an input that fails smaller, as long as it fails in the same way.

use super::{Failure, Target, attempt};

/// Most attempts spent on one input.
const ATTEMPTS_MAX: usize = 20_000;

/// The smallest input found that fails the same oracle of `target` as `input`, and its failure.
pub(super) fn reduce(target: &dyn Target, input: &[u8], failure: Failure) -> (Vec<u8>, Failure) {
    let mut reducer = Reducer { target, best: input.to_vec(), failure, attempts: 0 };
    loop {
        let before = reducer.best.clone();
        reducer.remove_pieces();
        reducer.simplify_bytes();
        if reducer.best == before || reducer.is_spent() {
            return (reducer.best, reducer.failure);
        }
    }
}

struct Reducer<'a> {
    target: &'a dyn Target,
    best: Vec<u8>,
    failure: Failure,
    attempts: usize,
}

impl Reducer<'_> {
    fn is_spent(&self) -> bool {
        self.attempts >= ATTEMPTS_MAX
    }

    /// Keeps `candidate` where it fails in the same way.
    fn keeps(&mut self, candidate: Vec<u8>) -> bool {
        self.attempts += 1;
        match attempt(self.target, &candidate) {
            Err(failure) if failure.oracle == self.failure.oracle => {
                self.best = candidate;
                self.failure = failure;
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Leaves out halves, quarters and so on, down to single bytes.
    fn remove_pieces(&mut self) {
        let mut piece = self.best.len().next_power_of_two();
        while piece > 0 {
            let mut start = 0;
            while start < self.best.len() && !self.is_spent() {
                let end = self.best.len().min(start + piece);
                let candidate = [&self.best[..start], &self.best[end..]].concat();
                if !self.keeps(candidate) {
                    start += piece;
                }
            }
            piece /= 2;
        }
    }

    /// Writes a plain byte wherever it does not matter which one stands there.
    fn simplify_bytes(&mut self) {
        for at in 0..self.best.len() {
            let plain = if self.best[at].is_ascii_digit() { b'0' } else { b'a' };
            if self.best[at] != plain && !self.is_spent() {
                let mut candidate = self.best.clone();
                candidate[at] = plain;
                self.keeps(candidate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Random;

    /// Fails where two question marks stand in the input, however far apart.
    struct TwoMarks;

    impl Target for TwoMarks {
        fn name(&self) -> &'static str {
            "two_marks"
        }

        fn input_bytes_max(&self) -> usize {
            1000
        }

        fn dictionary(&self) -> &'static [&'static [u8]] {
            &[b"?"]
        }

        fn generate(&self, _: &mut Random) -> Vec<u8> {
            Vec::new()
        }

        fn check(&self, input: &[u8]) -> Result<u64, Failure> {
            match input.iter().filter(|byte| **byte == b'?').count() {
                2.. => Err(Failure::new("marks", "two")),
                1 if input.contains(&b'!') => Err(Failure::new("other", "another oracle")),
                count => Ok(count as u64),
            }
        }
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let input = [&[b'x'; 100][..], b"?", &[b'!'; 300][..], b"?", &[b'y'; 99][..]].concat();
        let failure = attempt(&TwoMarks, &input).expect_err("two marks");
        let (reduced, failure) = reduce(&TwoMarks, &input, failure);
        assert_eq!((&reduced[..], failure.oracle), (&b"??"[..], "marks"));
    }
}
