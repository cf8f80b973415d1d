//! The frames on their way: when each was sent, which may be sent, and which were given up.

use crate::frame::Tag;

/// Most frames on their way. Every queue holds as many, so that none is lost for want of room.
pub(crate) const SLOTS_MAX: u32 = 256;

/// One slot for each frame that may be on its way. Time is nanoseconds since any moment.
pub(crate) struct Flight {
    sent_ns: Vec<u64>,
    /// Slots of the frames that are on their way.
    is_out: Vec<bool>,
    free: Vec<u32>,
    generation: u32,
}

/// A frame that came back to nobody: lost and given up, or not of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stray;

impl Flight {
    /// A flight of at most `slots` frames, 1 to [`SLOTS_MAX`].
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            sent_ns: vec![0; slots as usize],
            is_out: vec![false; slots as usize],
            free: (0..slots).rev().collect(),
            generation: 0,
        }
    }

    /// Whether one more may be sent.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Sends one more.
    ///
    /// # Panics
    /// Where there is no room.
    pub(crate) fn send(&mut self, now_ns: u64) -> Tag {
        let slot = self.free.pop().expect("the caller has asked whether there is room");
        self.sent_ns[slot as usize] = now_ns;
        self.is_out[slot as usize] = true;
        Tag { slot, generation: self.generation }
    }

    /// Takes one back: how long it was on its way, in nanoseconds.
    ///
    /// # Errors
    /// [`Stray`] where nobody waits for it.
    pub(crate) fn back(&mut self, tag: Tag, now_ns: u64) -> Result<u64, Stray> {
        let slot = tag.slot as usize;
        if tag.generation != self.generation || self.is_out.get(slot) != Some(&true) {
            return Err(Stray);
        }
        self.is_out[slot] = false;
        self.free.push(tag.slot);
        Ok(now_ns.saturating_sub(self.sent_ns[slot]))
    }

    /// Frames on their way.
    pub(crate) fn len(&self) -> usize {
        self.sent_ns.len() - self.free.len()
    }

    /// Gives up all that are on their way, and says how many they were. Should one come back later
    /// it is a stray.
    pub(crate) fn give_up(&mut self) -> u64 {
        let lost = self.len() as u64;
        *self = Self {
            generation: self.generation.wrapping_add(1),
            ..Self::new(u32::try_from(self.sent_ns.len()).unwrap_or(SLOTS_MAX))
        };
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_out_from_send_to_back_and_has_a_time() {
        let mut flight = Flight::new(2);
        let (first, second) = (flight.send(100), flight.send(110));
        assert!(!flight.has_room());
        assert_eq!(flight.len(), 2);
        assert_eq!(flight.back(second, 150), Ok(40));
        assert_eq!(flight.back(second, 160), Err(Stray), "twice");
        assert_eq!(flight.back(first, 190), Ok(90));
        assert_eq!(flight.len(), 0);
    }

    #[test]
    fn what_was_given_up_is_a_stray_when_it_comes() {
        let mut flight = Flight::new(2);
        let lost = flight.send(100);
        assert_eq!((flight.give_up(), flight.len()), (1, 0));
        let next = flight.send(200);
        assert_eq!(next.slot, lost.slot, "the slot is used again");
        assert_eq!(flight.back(lost, 210), Err(Stray));
        assert_eq!(flight.back(next, 220), Ok(20));
        assert_eq!(flight.back(Tag { slot: 9, ..next }, 230), Err(Stray));
    }
}
