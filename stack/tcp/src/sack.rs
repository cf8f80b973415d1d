//! Selective acknowledgement: what lies behind holes here (RFC 2018, RFC 2883), and what the peer
//! says lies there (RFC 6675). Both are bounded: no segment costs more than a look at each block.

use crate::seq::{Block, Seq};
use crate::verdict::{Piece, Store};

/// Blocks of received data behind holes; beyond it a segment that would make one more is dropped,
/// and the peer sends it again when the holes are filled.
pub const HELD_MAX: usize = 6;

/// Blocks remembered of the peer's selective acknowledgements; beyond it a new one is ignored, and
/// what it covers counts as not received.
pub const SACKED_MAX: usize = 8;

/// Received data behind holes, as blocks that neither overlap nor touch, the one that grew last
/// first: the order in which RFC 2018 §4 wants them reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    blocks: [Block; HELD_MAX],
    count: u8,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn as_slice(&self) -> &[Block] {
        &self.blocks[..usize::from(self.count)]
    }

    /// The number behind the last that is held.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.as_slice().iter().map(|block| block.end).reduce(Seq::last)
    }

    /// Lists the parts of `block` that are not held, into `store`; offsets count from `base`.
    /// Returns the number behind the last part that could be dealt with: `block.end`, unless
    /// there are more parts than `store` has room for.
    pub(crate) fn uncovered(
        &self,
        block: Block,
        base: Seq,
        payload: Seq,
        store: &mut Store,
    ) -> Seq {
        let mut at = block.start;
        while at.lt(block.end) {
            let covering = |held: &&Block| held.start.le(at) && at.lt(held.end);
            if let Some(held) = self.as_slice().iter().find(covering) {
                at = held.end;
                continue;
            }
            let next = self.as_slice().iter().map(|held| held.start).filter(|start| start.gt(at));
            let end = next.fold(block.end, Seq::first);
            let piece = Piece {
                offset: at.since(base),
                from: short(at.since(payload)),
                len: short(end.since(at)),
            };
            if !store.push(piece) {
                return at;
            }
            at = end;
        }
        at.first(block.end)
    }

    /// Takes out all blocks that overlap or touch `block` and returns their union with it.
    fn absorb(&mut self, mut block: Block) -> Block {
        let mut at = 0;
        while at < usize::from(self.count) {
            let held = self.blocks[at];
            if held.start.le(block.end) && block.start.le(held.end) {
                block.start = block.start.first(held.start);
                block.end = block.end.last(held.end);
                self.blocks.copy_within(at + 1..usize::from(self.count), at);
                self.count -= 1;
                // A larger union may touch blocks that were passed.
                at = 0;
            } else {
                at += 1;
            }
        }
        block
    }

    /// Whether `block` may be inserted.
    pub(crate) fn has_room(&self, block: Block) -> bool {
        usize::from(self.count) < HELD_MAX
            || self
                .as_slice()
                .iter()
                .any(|held| held.start.le(block.end) && block.start.le(held.end))
    }

    /// Inserts a block for which there is room, at the front.
    pub(crate) fn insert(&mut self, block: Block) {
        let block = self.absorb(block);
        let count = usize::from(self.count);
        self.blocks.copy_within(..count, 1);
        self.blocks[0] = block;
        self.count += 1;
    }

    /// `block` begins at RCV.NXT: takes out what it reaches, and returns the new RCV.NXT.
    pub(crate) fn advance(&mut self, block: Block) -> Seq {
        self.absorb(block).end
    }
}

fn short(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// What the peer has received behind holes, in ascending order, all of it between SND.UNA and
/// SND.NXT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scoreboard {
    blocks: [Block; SACKED_MAX],
    count: u8,
}

/// RFC 6675 §2, DupThresh.
pub(crate) const DUP_THRESH: u32 = 3;

impl Scoreboard {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    pub(crate) fn as_slice(&self) -> &[Block] {
        &self.blocks[..usize::from(self.count)]
    }

    /// The number behind the highest that is acknowledged selectively.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.as_slice().last().map(|block| block.end)
    }

    /// RFC 6675 §4, Update(): enters `block`; whether it says anything new.
    pub(crate) fn add(&mut self, block: Block) -> bool {
        let slice = self.as_slice();
        let first = slice.iter().take_while(|sacked| sacked.end.lt(block.start)).count();
        let behind = first + slice[first..].iter().take_while(|b| b.start.le(block.end)).count();
        if first == behind {
            return self.insert_at(first, block);
        }
        let (low, high) = (slice[first], slice[behind - 1]);
        if behind == first + 1 && low.start.le(block.start) && block.end.le(low.end) {
            return false;
        }
        let union = Block { start: low.start.first(block.start), end: high.end.last(block.end) };
        self.blocks[first] = union;
        self.blocks.copy_within(behind..usize::from(self.count), first + 1);
        self.count -= u8::try_from(behind - first - 1).unwrap_or(0);
        true
    }

    fn insert_at(&mut self, place: usize, block: Block) -> bool {
        let count = usize::from(self.count);
        if count == SACKED_MAX {
            return false;
        }
        self.blocks.copy_within(place..count, place + 1);
        self.blocks[place] = block;
        self.count += 1;
        true
    }

    /// SND.UNA has moved to `una`. A block that it runs into shows that the peer took back what it
    /// had acknowledged (RFC 2018 §8): then nothing that it said counts any more.
    pub(crate) fn advance(&mut self, una: Seq) {
        let passed = self.as_slice().iter().take_while(|block| block.end.le(una)).count();
        if passed > 0 {
            self.blocks.copy_within(passed..usize::from(self.count), 0);
            self.count -= u8::try_from(passed).unwrap_or(0);
        }
        if self.is_reneged(una) {
            self.clear();
        }
    }

    /// Whether the byte at `una`, which is not acknowledged, was acknowledged selectively.
    pub(crate) fn is_reneged(&self, una: Seq) -> bool {
        self.as_slice().first().is_some_and(|block| block.start.le(una))
    }

    /// Calls `visit` with each hole between `una` and the highest block, in ascending order, and
    /// whether RFC 6675 §4, IsLost() holds for its bytes.
    fn holes(&self, una: Seq, smss: u32, mut visit: impl FnMut(Block, bool) -> bool) {
        let mut bytes_above: u32 = self.as_slice().iter().map(|block| block.len()).sum();
        let mut blocks_above = u32::from(self.count);
        let mut start = una;
        for block in self.as_slice() {
            let is_lost = blocks_above >= DUP_THRESH || bytes_above > (DUP_THRESH - 1) * smss;
            if !visit(Block { start, end: block.start }, is_lost) {
                return;
            }
            start = block.end;
            bytes_above -= block.len();
            blocks_above -= 1;
        }
    }

    /// Whether the byte at `una` counts as lost.
    pub(crate) fn is_lost(&self, una: Seq, smss: u32) -> bool {
        let mut lost = false;
        self.holes(una, smss, |_, is_lost| {
            lost = is_lost;
            false
        });
        lost
    }

    /// RFC 6675 §4, SetPipe(): bytes thought to be in the network. `rtx` is HighRxt + 1.
    pub(crate) fn pipe(&self, una: Seq, nxt: Seq, rtx: Seq, smss: u32) -> u32 {
        let mut pipe = nxt.since(self.end().unwrap_or(una));
        self.holes(una, smss, |hole, is_lost| {
            if !is_lost {
                pipe += hole.len();
            }
            pipe += rtx.first(hole.end).since(hole.start);
            true
        });
        pipe
    }

    /// RFC 6675 §4, NextSeg() rules 1 and 3: the first hole, or rest of one, from `rtx` on; with
    /// `only_lost` the first that counts as lost.
    pub(crate) fn next_hole(
        &self,
        una: Seq,
        rtx: Seq,
        smss: u32,
        only_lost: bool,
    ) -> Option<Block> {
        let mut found = None;
        self.holes(una, smss, |hole, is_lost| {
            let rest = Block { start: hole.start.last(rtx), end: hole.end };
            if !rest.is_empty() && (is_lost || !only_lost) {
                found = Some(rest);
            }
            found.is_none()
        });
        found
    }

    /// What of `block` begins at its front and is not acknowledged selectively, skipping what is.
    pub(crate) fn first_unsacked(&self, block: Block) -> Option<Block> {
        let mut start = block.start;
        for sacked in self.as_slice() {
            if sacked.end.le(start) {
                continue;
            }
            if start.lt(sacked.start) {
                let rest = Block { start, end: block.end.first(sacked.start) };
                return (!rest.is_empty()).then_some(rest);
            }
            start = sacked.end;
        }
        let rest = Block { start, end: block.end };
        (!rest.is_empty()).then_some(rest)
    }

    /// Bytes of `block` that are not acknowledged selectively.
    pub(crate) fn unsacked_bytes(&self, block: Block) -> u32 {
        let covered = self
            .as_slice()
            .iter()
            .map(|sacked| sacked.end.first(block.end).since(sacked.start.last(block.start)));
        block.len().saturating_sub(covered.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn block(start: u32, end: u32) -> Block {
        Block { start: Seq(start), end: Seq(end) }
    }

    #[test]
    fn lost_are_holes_with_three_blocks_or_more_than_two_segments_above() {
        let mut board = Scoreboard::default();
        board.add(block(10, 20));
        assert!(!board.is_lost(Seq(0), 10));
        board.add(block(30, 40));
        assert!(!board.is_lost(Seq(0), 10));
        board.add(block(40, 41));
        assert!(board.is_lost(Seq(0), 10), "21 bytes above are more than two segments of 10");
        assert!(!board.is_lost(Seq(0), 100));
        board.add(block(50, 51));
        assert!(board.is_lost(Seq(0), 100), "three blocks above");
        assert_eq!(board.next_hole(Seq(0), Seq(5), 100, true), Some(block(5, 10)));
        assert_eq!(board.next_hole(Seq(0), Seq(10), 100, true), None);
        assert_eq!(board.next_hole(Seq(0), Seq(10), 100, false), Some(block(20, 30)));
        // In the network: the two holes that are not lost, and what lies above the last block.
        assert_eq!(board.pipe(Seq(0), Seq(60), Seq(0), 100), 10 + 9 + 9);
        assert_eq!(board.pipe(Seq(0), Seq(60), Seq(5), 100), 5 + 10 + 9 + 9);
    }

    #[test]
    fn a_block_at_snd_una_shows_reneging() {
        let mut board = Scoreboard::default();
        board.add(block(10, 20));
        board.advance(Seq(9));
        assert!(!board.is_empty());
        board.advance(Seq(15));
        assert!(board.is_empty());
    }

    #[test]
    fn a_full_scoreboard_refuses_and_stays_in_order() {
        let mut board = Scoreboard::default();
        for number in 0..100 {
            board.add(block(number * 10 + 5, number * 10 + 6));
        }
        assert_eq!(board.as_slice().len(), SACKED_MAX);
        assert!(board.add(block(0, 1000)), "a block that merges all of them has room");
        assert_eq!(board.as_slice(), &[block(0, 1000)]);
    }

    proptest! {
        #[test]
        fn a_scoreboard_is_a_set(blocks in prop::collection::vec((0_u32..60, 1_u32..9), 0..12)) {
            let (base, mut board) = (u32::MAX - 30, Scoreboard::default());
            let mut model = BTreeSet::new();
            for (start, len) in blocks {
                let added = block(base.wrapping_add(start), base.wrapping_add(start + len));
                let fresh = (start..start + len).any(|byte| !model.contains(&byte));
                let is_full = board.as_slice().len() == SACKED_MAX;
                let news = board.add(added);
                prop_assert!(news == fresh || is_full && !news);
                if news {
                    model.extend(start..start + len);
                }
                let listed: BTreeSet<u32> = board
                    .as_slice()
                    .iter()
                    .flat_map(|b| b.start.0.wrapping_sub(base)..b.end.0.wrapping_sub(base))
                    .collect();
                prop_assert_eq!(&listed, &model);
                let all = block(base, base.wrapping_add(100));
                let missing = 100 - u32::try_from(model.len()).expect("small");
                prop_assert_eq!(board.unsacked_bytes(all), missing);
            }
        }

        #[test]
        fn what_is_held_is_stored_once(
            segments in prop::collection::vec((0_u32..60, 1_u32..20), 0..24),
        ) {
            let (base, mut held) = (Seq(u32::MAX - 30), Held::default());
            let mut stored = BTreeSet::new();
            for (start, len) in segments {
                let wanted = Block { start: base + start, end: base + start + len };
                if !held.has_room(wanted) {
                    continue;
                }
                let mut store = Store::default();
                let end = held.uncovered(wanted, base, wanted.start, &mut store);
                for piece in store.as_slice() {
                    prop_assert_eq!(piece.offset, start + u32::from(piece.from));
                    for byte in piece.offset..piece.offset + u32::from(piece.len) {
                        prop_assert!(stored.insert(byte), "byte {} was stored twice", byte);
                    }
                }
                prop_assert!(end == wanted.end || store.as_slice().len() == Store::MAX);
                held.insert(Block { start: wanted.start, end });
                let listed: usize = held.as_slice().iter().map(|b| b.len() as usize).sum();
                prop_assert_eq!(listed, stored.len());
                let first = held.as_slice()[0];
                prop_assert!(first.start.le(wanted.start) && end.le(first.end));
            }
        }
    }
}
