//! A campaign: inputs made from a corpus, one after another, until one fails or time is up.

use super::feedback::Feedback;
use super::mutate::Mutator;
use super::reduce::reduce;
use super::{Failure, Named, Random, Target, attempt, fnv};
use crate::coverage;

/// Most inputs that are kept to be changed further.
const POOL_MAX: usize = 20_000;

/// How far a campaign has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Inputs that were checked.
    pub runs: u64,
    /// Inputs that are kept because each did something new.
    pub pool: usize,
    /// Different things that inputs did, as the target tells them apart.
    pub behaviours: usize,
    /// Edges of the program that were taken; 0 in a build without instrumentation.
    pub edges: usize,
    /// All edges of the program; 0 in a build without instrumentation.
    pub edges_total: usize,
}

/// An input that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// The file of the corpus it is, or what it was reduced to and named after.
    pub name: String,
    /// The input, reduced.
    pub input: Vec<u8>,
    /// The oracle that does not hold.
    pub failure: Failure,
}

/// One target, its pool of inputs, and what they have shown.
pub struct Campaign<'a> {
    target: &'a dyn Target,
    mutator: Mutator<'a>,
    random: Random,
    pool: Vec<Vec<u8>>,
    feedback: Feedback,
    runs: u64,
}

impl<'a> Campaign<'a> {
    /// A campaign against `target`, all of whose choices come from `seed`.
    #[must_use]
    pub fn new(target: &'a dyn Target, seed: u64) -> Self {
        Self {
            target,
            mutator: Mutator::new(target),
            random: Random::new(seed),
            pool: Vec::new(),
            feedback: Feedback::default(),
            runs: 0,
        }
    }

    /// Checks the inputs of `corpus`, which become the first of the pool.
    ///
    /// # Errors
    /// The first that fails, as it is.
    pub fn begin(&mut self, corpus: &[Named]) -> Result<(), Find> {
        for Named { name, input } in corpus {
            self.try_one(input).map_err(|failure| {
                let (name, input) = (name.clone(), input.clone());
                Find { name, input, failure }
            })?;
            self.keep(input.clone());
        }
        Ok(())
    }

    /// Checks `count` further inputs.
    ///
    /// # Errors
    /// The first that fails, reduced.
    pub fn run(&mut self, count: u64) -> Result<(), Find> {
        for _ in 0..count {
            let input = self.mutator.next_input(&mut self.random, &self.pool);
            match self.try_one(&input) {
                Ok(true) => self.keep(input),
                Ok(false) => {}
                Err(failure) => return Err(self.find(&input, failure)),
            }
        }
        Ok(())
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (edges, edges_total) = self.feedback.edges();
        let behaviours = self.feedback.behaviours();
        Progress { runs: self.runs, pool: self.pool.len(), behaviours, edges, edges_total }
    }

    /// Checks one input; true where it did something new.
    fn try_one(&mut self, input: &[u8]) -> Result<bool, Failure> {
        self.runs += 1;
        coverage::clear();
        let behaviour = attempt(self.target, input)?;
        Ok(self.feedback.is_new(behaviour))
    }

    /// Adds `input` to the pool, in the place of any other once the pool is full.
    fn keep(&mut self, input: Vec<u8>) {
        if self.pool.len() < POOL_MAX {
            self.pool.push(input);
        } else {
            let place = self.random.below(POOL_MAX);
            self.pool[place] = input;
        }
    }

    fn find(&self, input: &[u8], failure: Failure) -> Find {
        let (input, failure) = reduce(self.target, input, failure);
        let name = format!("found_{}_{:08x}", failure.oracle, fnv(&input) & 0xffff_ffff);
        Find { name, input, failure }
    }
}
