//! Random choices, all from one seed.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A seeded generator: ChaCha8, so that a seed means the same on every machine.
#[derive(Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The generator that `seed` starts.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`, or 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// A seed for another generator.
    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// One of `choices`, which may not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number of at most `bits` bits: as many of few bits as of many, so that most are small.
    pub fn up_to_bits(&mut self, bits: usize) -> usize {
        let bits = self.below(bits + 1);
        self.below(1 << bits)
    }

    /// A range within `0..length`, short ones more often than long ones.
    pub fn range(&mut self, length: usize) -> core::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = self.up_to_bits(8).min(length - start);
        start..start + longest
    }
}
