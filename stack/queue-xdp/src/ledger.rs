//! Who owns each frame of a UMEM.
//!
//! ```text
//!            refill                 rx_burst
//!     Free ─────────▶ Rx (FILL, RX) ────────▶ Caller ─┐
//!      ▲ ▲   alloc                              ▲     │ tx_burst
//!      │ │ ───────────────────────────────────▶─┘     ▼
//!      │ └───────────────── free ◀── Caller   Tx (TX, COMPLETION)
//!      └──────────────────────────── reap ◀───────────┘
//! ```
//!
//! The table is what makes forged handles harmless: bytes are shown, and frames taken back, only
//! of chunks that the table says are the caller's.

/// Who owns a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owner {
    /// Nobody: it lies in the pool.
    Free,
    /// The kernel, to receive into; or it waits in the RX ring.
    Rx,
    /// The caller: outstanding.
    Caller,
    /// The kernel, to send from; or it waits in the COMPLETION ring.
    Tx,
}

const OWNER_COUNT: usize = 4;
const _: () = assert!(Owner::Tx as usize + 1 == OWNER_COUNT);

/// A frame was not where it was said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOwned;

/// The table of owners, and the pool of free frames: the last one freed is the first one given
/// out, because its bytes are the most likely to be in a cache.
#[derive(Debug)]
pub(crate) struct Ledger {
    owners: Box<[Owner]>,
    free: Vec<u32>,
    counts: [u32; OWNER_COUNT],
}

impl Ledger {
    /// A table of `frame_count` free frames.
    pub(crate) fn new(frame_count: u32) -> Self {
        Self {
            owners: vec![Owner::Free; frame_count as usize].into_boxed_slice(),
            free: (0..frame_count).rev().collect(),
            counts: [frame_count, 0, 0, 0],
        }
    }

    /// How many frames `owner` has.
    pub(crate) const fn count(&self, owner: Owner) -> u32 {
        self.counts[owner as usize]
    }

    /// Whether `owner` has frame `index`; nobody has one beyond the table.
    pub(crate) fn owns(&self, owner: Owner, index: usize) -> bool {
        self.owners.get(index) == Some(&owner)
    }

    /// Takes a frame out of the pool for `owner`.
    pub(crate) fn take(&mut self, owner: Owner) -> Option<u32> {
        let index = self.free.pop()?;
        self.assign(index as usize, Owner::Free, owner);
        Some(index)
    }

    /// Passes frame `index` from one owner to another, neither of them the pool.
    ///
    /// # Errors
    /// [`NotOwned`] where `from` does not have it: nothing is changed.
    pub(crate) fn pass(&mut self, index: usize, from: Owner, to: Owner) -> Result<(), NotOwned> {
        debug_assert!(from != Owner::Free && to != Owner::Free, "the pool has its own methods");
        if !self.owns(from, index) {
            return Err(NotOwned);
        }
        self.assign(index, from, to);
        Ok(())
    }

    /// Puts frame `index` back into the pool.
    ///
    /// # Errors
    /// [`NotOwned`] where `from` does not have it: nothing is changed.
    pub(crate) fn put_back(&mut self, index: usize, from: Owner) -> Result<(), NotOwned> {
        debug_assert!(from != Owner::Free, "a free frame is in the pool already");
        if !self.owns(from, index) {
            return Err(NotOwned);
        }
        self.assign(index, from, Owner::Free);
        // Never allocates: the pool was made with room for every frame, and each is in it once.
        #[expect(clippy::cast_possible_truncation, reason = "the table has at most 2^32 entries")]
        self.free.push(index as u32);
        Ok(())
    }

    fn assign(&mut self, index: usize, from: Owner, to: Owner) {
        self.owners[index] = to;
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
    }

    /// Counts everything afresh and compares: for tests and debug builds.
    ///
    /// # Panics
    /// If a frame is missing, doubled, or counted for another owner than the table's.
    pub(crate) fn audit(&self) {
        let mut counts = [0; OWNER_COUNT];
        for owner in &self.owners {
            counts[*owner as usize] += 1;
        }
        assert_eq!(counts, self.counts, "free, rx, caller, tx: the counts disagree with the table");
        assert_eq!(self.free.len(), self.count(Owner::Free) as usize, "the pool lost a frame");
        let mut seen = vec![false; self.owners.len()];
        for &index in &self.free {
            assert!(self.owns(Owner::Free, index as usize), "frame {index} is in the pool unfree");
            assert!(!std::mem::replace(&mut seen[index as usize], true), "frame {index} twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_one_owner_at_a_time() {
        let mut ledger = Ledger::new(2);
        assert_eq!(ledger.take(Owner::Rx), Some(0));
        assert_eq!(ledger.take(Owner::Caller), Some(1));
        assert_eq!(ledger.take(Owner::Caller), None);
        assert_eq!(ledger.pass(0, Owner::Tx, Owner::Caller), Err(NotOwned));
        assert_eq!(ledger.pass(0, Owner::Rx, Owner::Caller), Ok(()));
        assert_eq!(ledger.pass(0, Owner::Rx, Owner::Caller), Err(NotOwned));
        assert_eq!(ledger.count(Owner::Caller), 2);
        assert_eq!(ledger.put_back(1, Owner::Caller), Ok(()));
        assert_eq!(ledger.put_back(1, Owner::Caller), Err(NotOwned), "freed twice");
        assert_eq!(ledger.put_back(2, Owner::Caller), Err(NotOwned), "beyond the table");
        ledger.audit();
        assert_eq!(ledger.take(Owner::Tx), Some(1), "the last one freed comes first");
        ledger.audit();
    }

    #[test]
    #[should_panic(expected = "the counts disagree")]
    fn the_audit_notices_a_wrong_count() {
        let mut ledger = Ledger::new(2);
        ledger.counts = [1, 1, 0, 0];
        ledger.audit();
    }

    #[test]
    #[should_panic(expected = "frame 0 twice")]
    fn the_audit_notices_a_doubled_frame() {
        let mut ledger = Ledger::new(2);
        ledger.free = vec![0, 0];
        ledger.audit();
    }
}
