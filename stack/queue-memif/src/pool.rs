//! The frames of a queue: memory of our own, which no peer can write.
//!
//! A frame is either free or the caller's. Rings hold none: packets are copied out of a frame as
//! it is sent, and into one as they are received.

use queue::{Frame, Meta};

/// Length of a frame, in bytes: the room for one packet.
pub(crate) const FRAME_BYTES: u16 = 2048;
const FRAME_SHIFT: u32 = FRAME_BYTES.trailing_zeros();
const _: () = assert!(FRAME_BYTES.is_power_of_two());
const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "written for 64-bit machines");

/// The memory of one queue's packets, and who owns each frame.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: Box<[u8]>,
    /// Whether the caller has it: what makes forged handles harmless.
    is_outstanding: Box<[bool]>,
    /// The last one freed is the first one given out: its bytes are the most likely to be in a
    /// cache.
    free: Vec<u32>,
}

impl Pool {
    /// A pool of `frame_count` free frames.
    pub(crate) fn new(frame_count: u32) -> Self {
        let count = frame_count as usize;
        Self {
            bytes: vec![0; count << FRAME_SHIFT].into_boxed_slice(),
            is_outstanding: vec![false; count].into_boxed_slice(),
            free: (0..frame_count).rev().collect(),
        }
    }

    /// Frames in the pool.
    pub(crate) const fn free_count(&self) -> usize {
        self.free.len()
    }

    /// Frames that the caller has.
    pub(crate) const fn outstanding(&self) -> usize {
        self.is_outstanding.len() - self.free.len()
    }

    /// Takes an empty frame for the caller.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.is_outstanding[index as usize] = true;
        Some(Frame::from_parts(u64::from(index) << FRAME_SHIFT, 0, 0, Meta::default()))
    }

    /// Takes a frame back.
    ///
    /// # Panics
    /// If the caller does not own it.
    #[expect(clippy::needless_pass_by_value, reason = "the handle is used up")]
    pub(crate) fn put_back(&mut self, frame: Frame) {
        let index = self.index(&frame);
        self.is_outstanding[index] = false;
        // Never allocates: the pool was made with room for every frame, and each is in it once.
        #[expect(clippy::cast_possible_truncation, reason = "a u32 when the pool was made")]
        self.free.push(index as u32);
    }

    /// The packet in a frame.
    ///
    /// # Panics
    /// If the caller does not own the frame.
    pub(crate) fn bytes(&self, frame: &Frame) -> &[u8] {
        let start = self.start(frame, frame.len());
        &self.bytes[start..start + usize::from(frame.len())]
    }

    /// The same, to write to, after the frame's length was set.
    ///
    /// # Panics
    /// If the caller does not own the frame, or `len` bytes do not fit behind its start.
    pub(crate) fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        let start = self.start(frame, len);
        frame.resize(len);
        &mut self.bytes[start..start + usize::from(len)]
    }

    /// Counts everything afresh and compares: for tests.
    ///
    /// # Panics
    /// If a frame is missing or doubled.
    pub(crate) fn audit(&self) {
        let mut is_free = vec![false; self.is_outstanding.len()];
        for &index in &self.free {
            let index = index as usize;
            assert!(!self.is_outstanding[index], "frame {index} is in the pool and outstanding");
            assert!(!std::mem::replace(&mut is_free[index], true), "frame {index} twice");
        }
        let outstanding = self.is_outstanding.iter().filter(|&&is| is).count();
        assert_eq!(outstanding, self.outstanding(), "a frame is neither free nor outstanding");
    }

    fn index(&self, frame: &Frame) -> usize {
        let index = (frame.addr() >> FRAME_SHIFT) as usize;
        assert!(
            self.is_outstanding.get(index) == Some(&true),
            "{frame:?} is not outstanding: it was freed or sent, or is another queue's"
        );
        index
    }

    fn start(&self, frame: &Frame, len: u16) -> usize {
        let end = u32::from(frame.start()) + u32::from(len);
        assert!(end <= u32::from(FRAME_BYTES), "{len} bytes do not fit into {frame:?}");
        (self.index(frame) << FRAME_SHIFT) + usize::from(frame.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn panics(work: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(work)).is_err()
    }

    #[test]
    fn a_frame_has_one_owner_at_a_time() {
        let mut pool = Pool::new(2);
        let mut first = pool.take().expect("free");
        let second = pool.take().expect("free");
        assert_eq!((pool.take(), pool.outstanding(), pool.free_count()), (None, 2, 0));
        pool.bytes_mut(&mut first, FRAME_BYTES).fill(1);
        assert_eq!(pool.bytes(&first), [1; FRAME_BYTES as usize]);
        assert!(panics(|| drop(pool.bytes_mut(&mut first, FRAME_BYTES + 1).to_vec())));
        let forged = Frame::from_parts(second.addr(), 1, FRAME_BYTES, Meta::default());
        assert!(panics(|| drop(pool.bytes(&forged).to_vec())), "it would reach the next frame");
        pool.put_back(second);
        assert!(panics(|| drop(pool.bytes(&forged).to_vec())), "it is free");
        assert!(panics(|| pool.put_back(forged)), "freed twice");
        let beyond = Frame::from_parts(u64::MAX, 0, 0, Meta::default());
        assert!(panics(|| pool.put_back(beyond)));
        pool.audit();
    }

    #[test]
    #[should_panic(expected = "frame 0 twice")]
    fn the_audit_notices_a_doubled_frame() {
        let mut pool = Pool::new(2);
        pool.free = vec![0, 0];
        pool.audit();
    }

    #[test]
    #[should_panic(expected = "neither free nor outstanding")]
    fn the_audit_notices_a_lost_frame() {
        let mut pool = Pool::new(2);
        pool.free = vec![0];
        pool.audit();
    }
}
