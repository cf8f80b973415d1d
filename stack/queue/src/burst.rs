//! The burst: up to [`BURST_MAX`] frames on their way between a queue and its user.

use crate::Frame;
use std::vec::Drain;

/// Most frames that one call moves.
///
/// Large enough to share one clock reading and one kick among many packets, small enough that the
/// bytes of a burst (64 × 1.5 KiB) stay in the second-level cache.
pub const BURST_MAX: usize = 64;

/// A bounded first-in, first-out list of frames. Allocates once, when made.
///
/// A burst must be empty when it is dropped, or its frames are lost to their queue.
#[derive(Debug)]
pub struct Burst {
    frames: Vec<Frame>,
}

impl Burst {
    /// An empty burst with room for [`BURST_MAX`] frames.
    #[must_use]
    pub fn new() -> Self {
        Self { frames: Vec::with_capacity(BURST_MAX) }
    }

    /// Frames in the burst.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames that can still be pushed.
    #[must_use]
    pub fn room(&self) -> usize {
        BURST_MAX - self.frames.len()
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// Hands the frame back when the burst is full.
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.frames.len() == BURST_MAX {
            return Err(frame);
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Takes the oldest `count` frames out, in order; the rest moves up.
    ///
    /// # Panics
    /// If there are fewer than `count`.
    pub fn drain(&mut self, count: usize) -> Drain<'_, Frame> {
        self.frames.drain(..count)
    }

    /// The frames, oldest first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The same, for a queue around another that rewrites packets on their way.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Meta;

    fn frame(addr: u64) -> Frame {
        Frame::from_parts(addr, 0, 60, Meta::default())
    }

    #[test]
    fn a_full_burst_hands_the_frame_back() {
        let mut burst = Burst::new();
        for addr in 0..BURST_MAX as u64 {
            assert_eq!(burst.push(frame(addr)), Ok(()));
        }
        assert_eq!(burst.room(), 0);
        assert_eq!(burst.push(frame(999)), Err(frame(999)));
        let first: Vec<u64> = burst.drain(2).map(|frame| frame.addr()).collect();
        assert_eq!(first, [0, 1]);
        assert_eq!(burst.frames()[0].addr(), 2);
        burst.frames_mut()[0].resize(42);
        assert_eq!(burst.frames()[0].len(), 42);
        assert_eq!(burst.drain(BURST_MAX - 2).count(), BURST_MAX - 2);
        assert!(burst.is_empty());
    }
}
