//! What a connection has to send or has sent, and the peer has not acknowledged.

use super::chunks::{Chunks, NONE};
use crate::checksum::Sum;

/// Bytes that are fetched from memory at a time, on all machines that we know.
const CACHE_LINE_BYTES: usize = 64;
/// Of a chunk, so many bytes are worth looking ahead for: a short response.
const TOUCHED_BYTES: usize = 4 * CACHE_LINE_BYTES;

/// A queue of bytes in chunks: put at the back, read anywhere, released at the front. Empty, it
/// holds no chunk.
///
/// ```text
///        first                                 last
///      ┌────────────┐    ┌────────────┐    ┌────────────┐
///      │    ███████ │ ─▶ │ ██████████ │ ─▶ │ ████       │
///      └────────────┘    └────────────┘    └────────────┘
///       skip  len ─────────────────────────────▶
/// ```
#[derive(Debug)]
pub(super) struct Output {
    first: u32,
    last: u32,
    /// Bytes of the first chunk that are released already.
    skip: u32,
    len: u32,
    /// A chunk, and the number of those before it: where the next segment is likely to begin.
    cursor: (u32, u32),
}

impl Output {
    pub(super) const EMPTY: Self =
        Self { first: NONE, last: NONE, skip: 0, len: 0, cursor: (NONE, 0) };

    /// Bytes in it.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// A word from each cache line of the first chunk that is in use, of its first few, and from
    /// where the pool keeps it: the next acknowledgement frees it, and the next answer goes there.
    #[inline]
    pub(super) fn touch(&self, chunks: &Chunks) -> u64 {
        if self.first == NONE {
            return 0;
        }
        let used = &chunks.bytes(self.first)[..(self.len as usize).min(TOUCHED_BYTES)];
        let lines = used.iter().step_by(CACHE_LINE_BYTES);
        let sum = lines.fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        sum ^ u64::from(chunks.after(self.first))
    }

    /// Bytes that the last chunk still takes.
    #[inline]
    fn room(&self, chunks: &Chunks) -> usize {
        let used = chunks.offset_of((self.skip + self.len) as usize);
        if used == 0 { 0 } else { chunks.chunk_bytes() - used }
    }

    /// Chunks that it has.
    #[inline]
    fn held(&self, chunks: &Chunks) -> u32 {
        let end = (self.skip + self.len) as usize + chunks.chunk_bytes() - 1;
        u32::try_from(chunks.number_of(end)).expect("not above the length")
    }

    /// Bytes that can be put as far as the pool is concerned.
    #[inline]
    pub(super) fn space(&self, chunks: &Chunks) -> usize {
        let available = chunks.available(self.held(chunks)) as usize;
        self.room(chunks) + available * chunks.chunk_bytes()
    }

    /// Whether there is [`space`](Self::space) for `len` bytes.
    #[inline(always)]
    pub(super) fn has_space(&self, chunks: &Chunks, len: usize) -> bool {
        // The first chunk is everyone's.
        let at_hand = if self.first == NONE { chunks.chunk_bytes() } else { self.room(chunks) };
        len <= at_hand || len <= self.space(chunks)
    }

    /// Appends `bytes`, for which there must be [`space`](Self::space).
    #[inline]
    pub(super) fn put(&mut self, chunks: &mut Chunks, bytes: &[u8]) {
        if self.first != NONE || bytes.len() > chunks.chunk_bytes() || bytes.is_empty() {
            return self.append(chunks, bytes);
        }
        let chunk = chunks.take(false);
        chunks.link(chunk, NONE);
        chunks.bytes_mut(chunk)[..bytes.len()].copy_from_slice(bytes);
        let len = u32::try_from(bytes.len()).expect("a chunk is small");
        *self = Self { first: chunk, last: chunk, skip: 0, len, cursor: (chunk, 0) };
    }

    /// The same, where it is not one chunk that is taken and does it.
    fn append(&mut self, chunks: &mut Chunks, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut room = self.room(chunks);
            if room == 0 {
                self.grow(chunks);
                room = chunks.chunk_bytes();
            }
            let start = chunks.chunk_bytes() - room;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            chunks.bytes_mut(self.last)[start..start + now.len()].copy_from_slice(now);
            self.len += u32::try_from(now.len()).expect("a chunk is small");
            bytes = later;
        }
    }

    #[inline]
    fn grow(&mut self, chunks: &mut Chunks) {
        let chunk = chunks.take(self.first != NONE);
        chunks.link(chunk, NONE);
        if self.first == NONE {
            self.first = chunk;
            self.cursor = (chunk, 0);
        } else {
            chunks.link(self.last, chunk);
        }
        self.last = chunk;
    }

    /// As [`copy_to`](Self::copy_to), and returns the sum of what was copied.
    #[inline(always)]
    pub(super) fn copy_summed(&mut self, chunks: &Chunks, offset: u32, target: &mut [u8]) -> Sum {
        let start = (self.skip + offset) as usize;
        if start + target.len() <= chunks.chunk_bytes() && !target.is_empty() {
            debug_assert!(offset as usize + target.len() <= self.len as usize);
            self.cursor = (self.first, 0);
            let source = &chunks.bytes(self.first)[start..start + target.len()];
            return Sum::default().add_copied(source, target);
        }
        // A piece of odd length may end a chunk: then the next one is not on words.
        self.copy_to(chunks, offset, target);
        Sum::default().add(target)
    }

    /// Copies the bytes from `offset` on into `target`; they must be there.
    #[inline]
    pub(super) fn copy_to(&mut self, chunks: &Chunks, offset: u32, target: &mut [u8]) {
        debug_assert!(offset as usize + target.len() <= self.len as usize);
        if target.is_empty() {
            return;
        }
        let place = (self.skip + offset) as usize;
        let mut start = chunks.offset_of(place);
        let number = u32::try_from(chunks.number_of(place)).expect("not above the length");
        let (mut chunk, mut before) = self.cursor;
        if number < before {
            (chunk, before) = (self.first, 0);
        }
        for _ in before..number {
            chunk = chunks.after(chunk);
        }
        self.cursor = (chunk, number);
        let mut target = target;
        while !target.is_empty() {
            let source = &chunks.bytes(chunk)[start..];
            let (now, later) = target.split_at_mut(source.len().min(target.len()));
            now.copy_from_slice(&source[..now.len()]);
            target = later;
            if !target.is_empty() {
                chunk = chunks.after(chunk);
                start = 0;
            }
        }
    }

    /// Releases `count` bytes at the front.
    #[inline(always)]
    pub(super) fn release(&mut self, chunks: &mut Chunks, count: u32) {
        if count != self.len || self.first != self.last {
            return self.release_some(chunks, count);
        }
        if self.first != NONE {
            chunks.give(self.first, false);
            *self = Self::EMPTY;
        }
    }

    /// The same, where it is not all that there is, or lies in several chunks.
    fn release_some(&mut self, chunks: &mut Chunks, count: u32) {
        assert!(count <= self.len, "{count} bytes acknowledged of {}", self.len);
        if count == self.len {
            return self.clear(chunks);
        }
        self.len -= count;
        self.skip += count;
        while self.skip as usize >= chunks.chunk_bytes() {
            let gone = self.first;
            self.first = chunks.after(gone);
            self.skip -= u32::try_from(chunks.chunk_bytes()).expect("a chunk is small");
            self.cursor = match self.cursor {
                (_, 0) => (self.first, 0),
                (chunk, before) => (chunk, before - 1),
            };
            chunks.give(gone, true);
        }
    }

    /// Gives every chunk back.
    #[inline]
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize),
        Release(usize),
        Copy(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_usize..300).prop_map(Step::Put),
            (0_usize..400).prop_map(Step::Release),
            (0_usize..600, 0_usize..200).prop_map(|(offset, len)| Step::Copy(offset, len)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue_of_bytes(steps in prop::collection::vec(step(), 0..200)) {
            let mut chunks = Chunks::new(64, 1, 64 * 90);
            let mut output = Output::EMPTY;
            let mut model = VecDeque::new();
            let mut put = 0_u32..;
            for step in steps {
                match step {
                    Step::Put(count) => {
                        let count = count.min(output.space(&chunks));
                        let bytes: Vec<u8> =
                            put.by_ref().take(count).map(|byte| byte.to_le_bytes()[0]).collect();
                        output.put(&mut chunks, &bytes);
                        model.extend(bytes);
                    }
                    Step::Release(count) => {
                        let count = count.min(model.len());
                        output.release(&mut chunks, u32::try_from(count).expect("short"));
                        model.drain(..count);
                    }
                    Step::Copy(offset, len) => {
                        let offset = offset.min(model.len());
                        let mut target = vec![0; len.min(model.len() - offset)];
                        let start = u32::try_from(offset).expect("short");
                        output.copy_to(&chunks, start, &mut target);
                        prop_assert!(model.iter().skip(offset).zip(&target).all(|(a, b)| a == b));
                        let mut summed = vec![0; target.len()];
                        let sum = output.copy_summed(&chunks, start, &mut summed);
                        prop_assert_eq!(&summed, &target);
                        prop_assert_eq!(sum.partial(), Sum::default().add(&target).partial());
                    }
                }
                prop_assert_eq!(output.len() as usize, model.len());
                prop_assert_eq!(output.held(&chunks), chunks.taken());
                prop_assert!(model.len() + output.space(&chunks) <= 11 * 64);
                prop_assert_eq!(chunks.taken() == 0, model.is_empty());
            }
            output.clear(&mut chunks);
            prop_assert_eq!((chunks.taken(), chunks.available(0)), (0, 11));
        }
    }
}
