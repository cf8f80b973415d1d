//! What a connection has received and cannot hand on: bytes that the application has left unread,
//! and bytes behind a hole.

use super::chunks::{Chunks, NONE};

/// Bytes of a stream by their place, in chunks: a chunk is there only where something was stored.
///
/// Places count from the first byte that is not consumed. Which of them are filled, the connection
/// knows. Empty, as almost always, it holds no chunk.
#[derive(Debug)]
pub(super) struct Input {
    /// The chunks, in ascending order of their numbers: a chunk's number is the place of its first
    /// byte, counted from `origin`, in chunks.
    first: u32,
    last: u32,
    /// How many they are.
    count: u32,
    /// From where the numbers count to the first byte that is not consumed, in bytes.
    origin: u64,
}

impl Input {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE, count: 0, origin: 0 };

    /// Whether nothing is stored.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Chunks that it can take beside those that it has.
    #[inline(always)]
    pub(super) fn available(&self, chunks: &Chunks) -> u32 {
        chunks.available(self.count)
    }

    /// Whether the pool has what storing `len` bytes at whatever place may take.
    pub(super) fn has_room(&self, chunks: &Chunks, len: usize) -> bool {
        chunks.number_of(len) + 2 <= self.available(chunks) as usize
    }

    /// Whether it has what storing `len` bytes at the front takes, while nothing is stored.
    #[inline(always)]
    pub(super) fn has_room_in_front(&self, chunks: &Chunks, len: usize) -> bool {
        let wanted = chunks.number_of(len + chunks.chunk_bytes() - 1);
        self.is_empty() && wanted <= self.available(chunks) as usize
    }

    /// Stores `bytes` at `place`. The pool must have room for them.
    pub(super) fn store(&mut self, chunks: &mut Chunks, place: u32, mut bytes: &[u8]) {
        let mut place = self.origin + u64::from(place);
        while !bytes.is_empty() {
            let (number, start) = position(chunks, place);
            let chunk = self.chunk_for(chunks, number);
            let (now, later) = bytes.split_at(bytes.len().min(chunks.chunk_bytes() - start));
            chunks.bytes_mut(chunk)[start..start + now.len()].copy_from_slice(now);
            place += now.len() as u64;
            bytes = later;
        }
    }

    /// The chunk with `number`, which is taken from the pool if it is not there.
    ///
    /// What arrives usually belongs to the last chunk or behind it. A search from the front passes
    /// as many chunks as a window has, at most.
    fn chunk_for(&mut self, chunks: &mut Chunks, number: u64) -> u32 {
        let mut before = NONE;
        let mut after = self.first;
        if self.last != NONE && chunks.number(self.last) <= number {
            (before, after) = (self.last, NONE);
        } else {
            while after != NONE && chunks.number(after) <= number {
                (before, after) = (after, chunks.after(after));
            }
        }
        if before != NONE && chunks.number(before) == number {
            return before;
        }
        let chunk = chunks.take(self.first != NONE);
        self.count += 1;
        chunks.set_number(chunk, number);
        chunks.link(chunk, after);
        match before {
            NONE => self.first = chunk,
            _ => chunks.link(before, chunk),
        }
        if after == NONE {
            self.last = chunk;
        }
        chunk
    }

    /// The first `len` bytes, which must be there, in one piece: where they lie if that is in one
    /// chunk, else copied into `scratch`.
    pub(super) fn front<'a>(
        &self,
        chunks: &'a Chunks,
        len: usize,
        scratch: &'a mut [u8],
    ) -> &'a [u8] {
        if len == 0 {
            return &[];
        }
        let (_, mut start) = position(chunks, self.origin);
        if start + len <= chunks.chunk_bytes() {
            return &chunks.bytes(self.first)[start..start + len];
        }
        let mut chunk = self.first;
        let mut filled = 0;
        while filled < len {
            let source = &chunks.bytes(chunk)[start..];
            let count = source.len().min(len - filled);
            scratch[filled..filled + count].copy_from_slice(&source[..count]);
            filled += count;
            start = 0;
            chunk = chunks.after(chunk);
        }
        &scratch[..len]
    }

    /// Forgets `count` bytes at the front.
    pub(super) fn consume(&mut self, chunks: &mut Chunks, count: u32) {
        self.origin += u64::from(count);
        let (number, _) = position(chunks, self.origin);
        while self.first != NONE && chunks.number(self.first) < number {
            let gone = self.first;
            self.first = chunks.after(gone);
            self.count -= 1;
            chunks.give(gone, self.first != NONE);
        }
        if self.first == NONE {
            *self = Self::EMPTY;
        }
    }

    /// Gives every chunk back.
    pub(super) fn clear(&mut self, chunks: &mut Chunks) {
        let mut chunk = self.first;
        while chunk != NONE {
            let after = chunks.after(chunk);
            chunks.give(chunk, after != NONE);
            chunk = after;
        }
        *self = Self::EMPTY;
    }
}

/// The number of the chunk that `place` lies in, and where in it.
fn position(chunks: &Chunks, place: u64) -> (u64, usize) {
    let place = usize::try_from(place).expect("addresses have as many bits");
    (chunks.number_of(place) as u64, chunks.offset_of(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map_from_places_to_bytes(
            pieces in prop::collection::vec((0_u32..500, 1_usize..100, 0_u32..120), 1..60),
        ) {
            let mut chunks = Chunks::new(64, 1, 64 * 180);
            let mut input = Input::EMPTY;
            let mut model: BTreeMap<u64, u8> = BTreeMap::new();
            let mut scratch = vec![0; 700];
            let mut origin = 0_u64;
            for (fill, (place, len, consumed)) in (0_u8..).zip(pieces) {
                prop_assert!(input.has_room(&chunks, len) || chunks.taken() > 9);
                if input.has_room(&chunks, len) {
                    input.store(&mut chunks, place, &vec![fill; len]);
                    let start = origin + u64::from(place);
                    model.extend((start..start + len as u64).map(|place| (place, fill)));
                }
                let in_order = (origin..).take_while(|place| model.contains_key(place)).count();
                let front = input.front(&chunks, in_order, &mut scratch);
                prop_assert!(model.range(origin..).zip(front).all(|((_, a), b)| a == b));
                let count = consumed.min(u32::try_from(in_order).expect("short"));
                input.consume(&mut chunks, count);
                origin += u64::from(count);
                model = model.split_off(&origin);
                if model.is_empty() {
                    input.clear(&mut chunks);
                }
                prop_assert_eq!(input.is_empty(), model.is_empty());
            }
            input.clear(&mut chunks);
            prop_assert_eq!((chunks.taken(), chunks.available(0)), (0, 21));
        }
    }

    #[test]
    fn bytes_in_one_chunk_are_shown_where_they_lie() {
        let mut chunks = Chunks::new(64, 1, 128);
        let mut input = Input::EMPTY;
        input.store(&mut chunks, 0, &[7; 60]);
        assert_eq!(input.front(&chunks, 60, &mut []), [7; 60]);
        input.consume(&mut chunks, 50);
        input.store(&mut chunks, 10, &[8; 20]);
        let mut scratch = [0; 30];
        assert_eq!(input.front(&chunks, 30, &mut scratch)[8..12], [7, 7, 8, 8]);
        input.clear(&mut chunks);
    }
}
