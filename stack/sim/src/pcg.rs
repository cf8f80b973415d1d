//! The generator of everything random in a simulation.

/// PCG-XSH-RR 64/32: a 64-bit linear congruential generator, its state permuted by an xorshift
/// and a random rotation (M. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically
/// Good Algorithms for Random Number Generation", 2014, §6.3).
#[derive(Clone, Debug)]
pub struct Pcg32 {
    state: u64,
}

impl Pcg32 {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    const INCREMENT: u64 = 1_442_695_040_888_963_407;

    /// A generator whose sequence is fixed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut generator = Self { state: seed.wrapping_add(Self::INCREMENT) };
        generator.next_u32();
        generator
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        let state = self.state;
        self.state = state.wrapping_mul(Self::MULTIPLIER).wrapping_add(Self::INCREMENT);
        #[expect(clippy::cast_possible_truncation, reason = "the algorithm keeps the low 32 bits")]
        let (xorshifted, rotation) = ((((state >> 18) ^ state) >> 27) as u32, (state >> 59) as u32);
        xorshifted.rotate_right(rotation)
    }

    /// A number below `bound`, which must not be zero.
    ///
    /// The bias of the multiplication (below 2^-32 × `bound`) does not matter to a simulation.
    pub fn below(&mut self, bound: u32) -> u32 {
        let scaled = u64::from(self.next_u32()) * u64::from(bound);
        (scaled >> 32) as u32
    }

    /// True with a probability of `parts_per_million` in a million.
    pub fn chance(&mut self, parts_per_million: u32) -> bool {
        parts_per_million > 0 && self.below(1_000_000) < parts_per_million
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_fixed_by_the_seed() {
        // Computed with `pcg32_srandom_r(42, …)` and `pcg32_random_r` of the paper's C code, with
        // the stream whose increment is the one above.
        let draw = |seed| {
            let mut generator = Pcg32::new(seed);
            [generator.next_u32(), generator.next_u32(), generator.next_u32()]
        };
        assert_eq!(draw(42), [3_270_867_926, 1_795_671_209, 1_924_641_435]);
        assert_ne!(draw(42), draw(43));
    }

    #[test]
    fn a_chance_of_five_percent_is_met_within_one_percent() {
        let mut generator = Pcg32::new(7);
        let hits = (0..100_000).filter(|_| generator.chance(50_000)).count();
        assert!((4_000..6_000).contains(&hits), "{hits} of 100,000");
        assert!(!generator.chance(0));
        assert!(generator.chance(1_000_000));
    }
}
