//! The UMEM: the memory that packets lie in, cut into chunks of one size, and who owns each.
//!
//! ```text
//!   UMEM  │ chunk 0 │ chunk 1 │ ...            `Frame::addr` is the offset of a chunk,
//!           ├ start ┤ packet  ┤ rest           `Frame::start` and `len` bound the packet in it
//! ```
//!
//! The kernel may write to a chunk while it is [`Owner::Rx`], and reads from it while it is
//! [`Owner::Tx`]. This module makes slices of [`Owner::Caller`]'s chunks only. That the table is
//! right is the duty of `exchange`, which passes a chunk to the kernel as it writes it to a ring,
//! and back as it reads it from one.

use crate::ledger::{Ledger, Owner};
use crate::sys::Mapping;
use queue::{Frame, Meta};
use std::{io, slice};

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "written for 64-bit machines");

/// The pages that a UMEM lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Ordinary pages.
    Base,
    /// Huge pages, reserved by the administrator (`vm.nr_hugepages`).
    Huge,
}

/// The memory of one queue's packets.
#[derive(Debug)]
pub(crate) struct Umem {
    mapping: Mapping,
    pages: Pages,
    frame_count: u32,
    chunk_shift: u32,
    pub(crate) ledger: Ledger,
}

/// A packet that a ring names: which chunk, where in it, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    index: usize,
    start: u16,
    len: u16,
}

impl Umem {
    /// Smallest chunk that AF_XDP takes, in bytes.
    pub(crate) const CHUNK_BYTES_MIN: u32 = 2048;
    /// Largest chunk: an ordinary page, which is all that AF_XDP takes, in bytes.
    pub(crate) const CHUNK_BYTES_MAX: u32 = 4096;
    /// What the kernel keeps free before a received packet (`XDP_PACKET_HEADROOM`), in bytes.
    pub(crate) const HEADROOM_BYTES: u32 = 256;

    /// Maps a UMEM of `frame_count` chunks of `chunk_bytes`, on huge pages if there are enough.
    ///
    /// # Errors
    /// Those of mmap(2).
    ///
    /// # Panics
    /// If `chunk_bytes` is no power of two within the bounds.
    pub(crate) fn map(frame_count: u32, chunk_bytes: u32) -> io::Result<Self> {
        assert!(
            chunk_bytes.is_power_of_two()
                && (Self::CHUNK_BYTES_MIN..=Self::CHUNK_BYTES_MAX).contains(&chunk_bytes),
            "chunks of {chunk_bytes} bytes"
        );
        let len = frame_count as usize * chunk_bytes as usize;
        let (mapping, pages) = match Mapping::huge(len) {
            Ok(mapping) => (mapping, Pages::Huge),
            // Most often ENOMEM: none are reserved. Which pages were obtained is reported.
            Err(_) => (Mapping::anonymous(len)?, Pages::Base),
        };
        let chunk_shift = chunk_bytes.trailing_zeros();
        Ok(Self { mapping, pages, frame_count, chunk_shift, ledger: Ledger::new(frame_count) })
    }

    /// Where it lies in our memory.
    pub(crate) fn address(&self) -> u64 {
        self.mapping.start().as_ptr().expose_provenance() as u64
    }

    /// Length of all chunks, in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        u64::from(self.frame_count) << self.chunk_shift
    }

    /// Length of a chunk, in bytes.
    pub(crate) const fn chunk_bytes(&self) -> u32 {
        1 << self.chunk_shift
    }

    /// Number of chunks.
    pub(crate) const fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// The pages it lies on.
    pub(crate) const fn pages(&self) -> Pages {
        self.pages
    }

    /// The address of a chunk, as rings carry it.
    pub(crate) fn chunk_address(&self, index: u32) -> u64 {
        u64::from(index) << self.chunk_shift
    }

    /// The chunk that an address of a ring lies in. It may lie beyond the table.
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    pub(crate) const fn index(&self, address: u64) -> usize {
        (address >> self.chunk_shift) as usize
    }

    /// An empty frame for a chunk that has just been passed to the caller.
    pub(crate) fn empty_frame(&self, index: u32) -> Frame {
        Frame::from_parts(self.chunk_address(index), 0, 0, Meta::default())
    }

    /// The frame for `len` bytes at `address`, or `None` where they are not within one chunk.
    pub(crate) fn frame(&self, address: u64, len: u32) -> Option<Frame> {
        let start = address & u64::from(self.chunk_bytes() - 1);
        if start + u64::from(len) > u64::from(self.chunk_bytes()) {
            return None;
        }
        let (start, len) = (u16::try_from(start).ok()?, u16::try_from(len).ok()?);
        Some(Frame::from_parts(address - u64::from(start), start, len, Meta::default()))
    }

    /// The bytes of an outstanding frame.
    ///
    /// # Panics
    /// If the caller does not own the frame: it was freed or sent, or is another queue's.
    pub(crate) fn bytes(&self, frame: &Frame) -> &[u8] {
        let place = self.outstanding(frame, frame.len());
        let offset = (place.index << self.chunk_shift) + usize::from(place.start);
        // SAFETY: `outstanding` checked that the packet lies within a chunk of the mapping.
        let first = unsafe { self.mapping.start().add(offset) };
        // SAFETY: within the mapping, initialised (mmap zeroes it), and written by nobody while
        // `&self` lasts: the kernel does not have this chunk (`outstanding`), and writing to it
        // ourselves takes `&mut self`.
        unsafe { slice::from_raw_parts(first.as_ptr(), usize::from(place.len)) }
    }

    /// The same, to write to, after the frame's length was set.
    ///
    /// # Panics
    /// If the caller does not own the frame, or `len` bytes do not fit behind its start.
    pub(crate) fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        let place = self.outstanding(frame, len);
        frame.resize(len);
        let offset = (place.index << self.chunk_shift) + usize::from(place.start);
        // SAFETY: `outstanding` checked that the packet lies within a chunk of the mapping.
        let first = unsafe { self.mapping.start().add(offset) };
        // SAFETY: within the mapping, initialised (mmap zeroes it), and neither read nor written
        // by anybody else while `&mut self` lasts: the kernel does not have this chunk
        // (`outstanding`), and every other slice of it borrows `self`.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), usize::from(place.len)) }
    }

    /// Hints that the first bytes of a packet will be read soon. Any frame may be given: a hint
    /// has no effect but on caches.
    #[inline]
    pub(crate) fn prefetch(&self, frame: &Frame) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let offset = self.index(frame.addr()) << self.chunk_shift;
            let start = self.mapping.start().as_ptr().wrapping_add(offset);
            let packet = start.wrapping_add(usize::from(frame.start())).cast_const();
            // SAFETY: a prefetch reads nothing and faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(packet.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = frame;
    }

    /// Where `len` bytes of an outstanding frame lie.
    fn outstanding(&self, frame: &Frame, len: u16) -> Place {
        let index = self.index(frame.addr());
        assert!(
            self.ledger.owns(Owner::Caller, index),
            "frame {:#x} is not outstanding: it was freed or sent, or is another queue's",
            frame.addr()
        );
        assert!(
            u32::from(frame.start()) + u32::from(len) <= self.chunk_bytes(),
            "{len} bytes do not fit behind byte {} of a chunk of {}",
            frame.start(),
            self.chunk_bytes()
        );
        Place { index, start: frame.start(), len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn umem() -> Umem {
        Umem::map(4, 2048).expect("two pages")
    }

    fn panics(work: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(work)).is_err()
    }

    #[test]
    fn bytes_stay_where_they_were_written() {
        let mut umem = umem();
        let mut frames: Vec<Frame> = (0..4)
            .map(|_| {
                let index = umem.ledger.take(Owner::Caller).expect("a free frame");
                umem.empty_frame(index)
            })
            .collect();
        for (frame, letter) in frames.iter_mut().zip(b'a'..) {
            umem.bytes_mut(frame, 2048).fill(letter);
        }
        for (frame, letter) in frames.iter().zip(b'a'..) {
            assert_eq!(umem.bytes(frame), [letter; 2048]);
        }
    }

    #[test]
    fn only_outstanding_frames_show_their_bytes() {
        let mut umem = umem();
        let index = umem.ledger.take(Owner::Rx).expect("a free frame");
        let mut forged = umem.empty_frame(index);
        assert!(panics(|| drop(umem.bytes(&forged).to_vec())), "the kernel may be writing to it");
        assert!(panics(|| umem.bytes_mut(&mut forged, 60).fill(0)));
        umem.ledger.pass(index as usize, Owner::Rx, Owner::Caller).expect("the kernel's");
        assert_eq!(umem.bytes_mut(&mut forged, 60).len(), 60);

        let beyond = Frame::from_parts(4 * 2048, 0, 60, Meta::default());
        assert!(panics(|| drop(umem.bytes(&beyond).to_vec())), "there are only four chunks");
        let far = Frame::from_parts(u64::MAX, 0, 60, Meta::default());
        assert!(panics(|| drop(umem.bytes(&far).to_vec())));
        let address = umem.chunk_address(index);
        let long = Frame::from_parts(address, 2000, 49, Meta::default());
        assert!(panics(|| drop(umem.bytes(&long).to_vec())), "it would reach the next chunk");
        umem.prefetch(&far);
    }

    #[test]
    fn a_packet_lies_within_one_chunk() {
        let umem = umem();
        let frame = umem.frame(2048 + 256, 1792).expect("to the end of the chunk");
        assert_eq!((frame.addr(), frame.start(), frame.len()), (2048, 256, 1792));
        assert_eq!(umem.frame(2048 + 256, 1793), None);
        assert_eq!(umem.frame(2047, u32::MAX), None);
    }
}
