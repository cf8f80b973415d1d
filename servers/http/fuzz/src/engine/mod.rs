//! A small fuzzing engine: seeded, guided by what inputs do, the same on every run.
//!
//! ```text
//!   corpus ─▶ pool ─▶ mutate ─▶ check ─▶ something new? ─▶ pool
//!                                 └──── a failure ───────▶ reduce ─▶ Find
//! ```
//!
//! It knows nothing of HTTP: a [`Target`] brings the oracles, a dictionary and a grammar.

mod attempt;
mod campaign;
mod corpus;
mod feedback;
mod mutate;
mod random;
mod reduce;

pub use attempt::attempt;
pub use campaign::{Campaign, Find, Progress};
pub use corpus::{Named, read_corpus};
pub use random::Random;

/// What is fuzzed, and what must hold whatever comes in.
pub trait Target: Sync {
    /// The name of the target, and of the folder of its corpus.
    fn name(&self) -> &'static str;

    /// No input is made longer than this.
    fn input_bytes_max(&self) -> usize;

    /// Strings that mean something where this target reads them.
    fn dictionary(&self) -> &'static [&'static [u8]];

    /// A piece of input after the grammar, well-formed or nearly so.
    fn generate(&self, random: &mut Random) -> Vec<u8>;

    /// Applies every oracle to `input`.
    ///
    /// The number stands for what the input did: inputs that did the same have the same number,
    /// and one with a number never seen is kept to be changed further.
    ///
    /// # Errors
    /// The oracle that does not hold. A panic counts as one too.
    fn check(&self, input: &[u8]) -> Result<u64, Failure>;
}

/// An oracle that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The oracle: lower case with underscores, for it becomes part of a file's name.
    pub oracle: &'static str,
    /// What was found, with the numbers.
    pub what: String,
}

impl Failure {
    /// A failure of `oracle`.
    pub fn new(oracle: &'static str, what: impl Into<String>) -> Self {
        Self { oracle, what: what.into() }
    }
}

/// FNV-1a, 64 bits: a hash that is the same on every machine and in every release.
#[must_use]
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
