//! How the input arrives, how the output is taken, and how it ends.

use crate::engine::Random;

/// One way to deliver an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) cuts: Cuts,
    pub(crate) taking: Taking,
    pub(crate) ending: Ending,
}

impl Plan {
    /// All at once, to a client that takes everything at once.
    pub(crate) const fn whole(ending: Ending) -> Self {
        Self { cuts: Cuts::Whole, taking: Taking::AtOnce, ending }
    }
}

/// Where the input is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cuts {
    /// Nowhere.
    Whole,
    /// Behind each byte.
    EachByte,
    /// At places that this seed gives; some pieces are empty.
    Random(u64),
}

impl Cuts {
    pub(super) const fn are_random(self) -> bool {
        matches!(self, Self::Random(_))
    }

    /// The ends of the pieces of `length` bytes.
    pub(super) fn over(self, length: usize) -> Ends {
        let seed = if let Self::Random(seed) = self { seed } else { 0 };
        Ends { cuts: self, length, random: Random::new(seed) }
    }
}

/// The ends of pieces, one after another.
pub(super) struct Ends {
    cuts: Cuts,
    length: usize,
    random: Random,
}

impl Ends {
    /// The end of the piece that begins at `start`.
    pub(super) fn next_end(&mut self, start: usize) -> usize {
        let piece = match self.cuts {
            Cuts::Whole => self.length,
            Cuts::EachByte => 1,
            Cuts::Random(_) => self.random.up_to_bits(10),
        };
        self.length.min(start + piece)
    }
}

/// How the client takes output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// All of it at once, as it is put.
    AtOnce,
    /// All of it at once, out of a sink that lends its room.
    AtOnceLending,
    /// When it must, in pieces that this seed gives, out of a sink with little space.
    Slowly(u64),
}

/// What follows the last byte of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing: the connection stays open.
    Open,
    /// The end of the input, later.
    Eof,
    /// The end of the input, in the same call as the last bytes.
    EofWithLast,
    /// Nothing, until the time when the connection wants to be woken.
    TimeOut,
    /// The server drains.
    Drain,
}
