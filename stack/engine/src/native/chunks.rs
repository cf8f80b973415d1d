//! A bounded pool of chunks of memory, that connections take while they have bytes to keep.
//!
//! ```text
//!   one chunk for each connection            what all of them share
//!  ├─────────────────────────────────────┼───────────────────────────────┤
//! ```
//!
//! Every connection may have one chunk at any time; what it has beyond that comes out of a part
//! that all connections share. Of that part, a connection takes no more than a fraction of what it
//! leaves to the others: so one that wants everything hardly counts, and ten of them leave a third
//! to whoever comes next. Those that hold on to many chunks, because their peers are slow or
//! hostile, make the others slower, but never leave them without.
//!
//! A bound that moves with what is free is how switches share a buffer between ports (Choudhury
//! and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998).

/// A connection takes no more of the shared part than one in so many of what it leaves.
const LEAVES: u32 = 8;

/// No chunk.
pub(super) const NONE: u32 = u32::MAX;

/// The pool. Its memory comes from the system when it is first touched, and a chunk that was given
/// back is the next one to be taken: what is resident is what was once in use at a time.
#[derive(Debug)]
pub(super) struct Chunks {
    /// A chunk has two to the power of this many bytes, so that nothing is divided on the way.
    shift: u32,
    bytes: Vec<u8>,
    /// The list that a chunk is in: a connection's, or that of the spare ones.
    after: Vec<u32>,
    /// Which part of its connection's bytes a chunk has. Its user's affair.
    numbers: Vec<u64>,
    /// The first chunk that was never taken, and the first of those that were given back.
    fresh: u32,
    spare: u32,
    /// Chunks that connections may take beyond their first.
    shared_left: u32,
    /// Those that a connection can take beyond its first while it has no other: asked for with
    /// every segment, and changed with few.
    second_ones: u32,
    taken: u32,
}

impl Chunks {
    /// A pool with a chunk of `chunk_bytes`, a power of two, for each of `connections`, and
    /// `shared_bytes` more.
    pub(super) fn new(chunk_bytes: usize, connections: u32, shared_bytes: usize) -> Self {
        assert!(chunk_bytes.is_power_of_two(), "chunks of {chunk_bytes} bytes");
        let shared = u32::try_from(shared_bytes / chunk_bytes).unwrap_or(u32::MAX - connections);
        let count = connections as usize + shared as usize;
        assert!(count < NONE as usize, "{count} chunks are more than their numbers can name");
        Self {
            shift: chunk_bytes.trailing_zeros(),
            // Zeroed memory of this size is the kernel's, and not touched here.
            bytes: vec![0; count * chunk_bytes],
            after: vec![0; count],
            numbers: vec![0; count],
            fresh: 0,
            spare: NONE,
            shared_left: shared,
            second_ones: share_of(shared),
            taken: 0,
        }
    }

    /// Size of a chunk, in bytes.
    #[inline]
    pub(super) fn chunk_bytes(&self) -> usize {
        1 << self.shift
    }

    /// The number of the chunk that `place` lies in, where the first begins at zero.
    #[inline]
    pub(super) fn number_of(&self, place: usize) -> usize {
        place >> self.shift
    }

    /// Where in its chunk `place` lies.
    #[inline]
    pub(super) fn offset_of(&self, place: usize) -> usize {
        place & (self.chunk_bytes() - 1)
    }

    /// Chunks in use.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Chunks that a connection can take now, which has `held` already.
    #[inline(always)]
    pub(super) fn available(&self, held: u32) -> u32 {
        if held <= 1 {
            return self.second_ones + 1 - held;
        }
        share_of(self.shared_left.saturating_sub(LEAVES * (held - 1)))
    }

    /// Takes a chunk for a connection; there must be one [`available`](Self::available).
    #[inline(always)]
    pub(super) fn take(&mut self, has_some: bool) -> u32 {
        if has_some {
            let left = self.shared_left.checked_sub(1).expect("it was asked before");
            self.leave(left);
        }
        self.taken += 1;
        if self.spare == NONE {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let chunk = self.spare;
        self.spare = self.after[chunk as usize];
        chunk
    }

    /// Gives a chunk back, of a connection that keeps others or not.
    #[inline(always)]
    pub(super) fn give(&mut self, chunk: u32, keeps_some: bool) {
        if keeps_some {
            self.leave(self.shared_left + 1);
        }
        self.taken -= 1;
        self.after[chunk as usize] = self.spare;
        self.spare = chunk;
    }

    fn leave(&mut self, shared_left: u32) {
        self.shared_left = shared_left;
        self.second_ones = share_of(shared_left);
    }

    #[inline]
    pub(super) fn after(&self, chunk: u32) -> u32 {
        self.after[chunk as usize]
    }

    #[inline]
    pub(super) fn link(&mut self, chunk: u32, after: u32) {
        self.after[chunk as usize] = after;
    }

    pub(super) fn number(&self, chunk: u32) -> u64 {
        self.numbers[chunk as usize]
    }

    pub(super) fn set_number(&mut self, chunk: u32, number: u64) {
        self.numbers[chunk as usize] = number;
    }

    #[inline]
    pub(super) fn bytes(&self, chunk: u32) -> &[u8] {
        let start = (chunk as usize) << self.shift;
        &self.bytes[start..start + self.chunk_bytes()]
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self, chunk: u32) -> &mut [u8] {
        let (start, len) = ((chunk as usize) << self.shift, self.chunk_bytes());
        &mut self.bytes[start..start + len]
    }
}

/// Of `left` chunks, those that one connection can take: with each there is one less to be left.
fn share_of(left: u32) -> u32 {
    left.div_ceil(LEAVES + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_chunk_is_there_for_everyone_and_the_rest_is_shared() {
        let mut chunks = Chunks::new(64, 2, 64 * 20);
        let mine = [chunks.take(false), chunks.take(true), chunks.take(true)];
        // Two of the shared ones are mine, and 18 are left.
        assert_eq!((chunks.available(3), chunks.available(0), chunks.available(1)), (1, 3, 2));
        let theirs = chunks.take(false);
        assert_eq!(chunks.taken(), 4);
        for (chunk, keeps_some) in [(mine[0], true), (mine[2], true), (mine[1], false)] {
            chunks.give(chunk, keeps_some);
        }
        assert_eq!((chunks.available(1), chunks.available(0)), (3, 4));
        // The last that was given back is the next one taken.
        assert_eq!(chunks.take(true), mine[1]);
        chunks.give(mine[1], true);
        chunks.give(theirs, false);
        assert_eq!(chunks.taken(), 0);
    }

    #[test]
    fn who_takes_all_he_can_leaves_eight_ninths_and_the_next_ones_too() {
        let mut chunks = Chunks::new(64, 100, 64 * 1000);
        for (number, left) in [(1, 888), (2, 789), (3, 701), (4, 623), (5, 553)] {
            let mut held = 0;
            while chunks.available(held) > 0 {
                chunks.take(held > 0);
                held += 1;
            }
            assert_eq!(1000 + number - chunks.taken(), left, "after {number}");
            assert!(held <= 2 + left / LEAVES, "{held}");
        }
    }

    #[test]
    fn the_last_of_the_shared_ones_can_be_taken() {
        let mut chunks = Chunks::new(64, 1000, 64 * 10);
        for _ in 0..1000 {
            let mut held = 0;
            while chunks.available(held) > 0 {
                chunks.take(held > 0);
                held += 1;
            }
            assert!(held > 0, "there is one for everyone");
        }
        assert_eq!(chunks.taken(), 1010);
    }

    #[test]
    #[should_panic(expected = "asked before")]
    fn what_is_not_available_cannot_be_taken() {
        let mut chunks = Chunks::new(64, 1, 0);
        chunks.take(true);
    }
}
