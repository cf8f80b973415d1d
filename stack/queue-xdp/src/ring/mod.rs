//! The rings between us and the kernel: one producer, one consumer, in shared memory.
//!
//! ```text
//!        consumer cursor           producer cursor     both count up and wrap at 2^32; the
//!              ▼                         ▼             lowest bits of a cursor name its entry
//!   ┌───┬───┬──────┬──────┬──────┬──────┬───┬───┐
//!   │   │   │ full │ full │ full │ full │   │   │      producer - consumer = entries in the ring
//!   └───┴───┴──────┴──────┴──────┴──────┴───┴───┘
//! ```
//!
//! The producer writes entries, then its cursor with *release*; the consumer reads that cursor
//! with *acquire*, then the entries, then writes its own cursor with *release*, which the producer
//! reads with *acquire* before it overwrites them. Each side keeps a copy of the other's cursor
//! and looks again only when the copy no longer suffices, so that the cache line changes hands
//! once per burst.
//!
//! All of it is generic over the memory ([`RingMemory`]), so that tests play both sides without a
//! kernel, and a model checker could supply its own atomics.
//!
//! Source: kernel `net/xdp/xsk_queue.h`.

#[expect(unsafe_code, reason = "cursors and entries lie in memory shared with the kernel")]
mod mapped;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

pub(crate) use mapped::{Entry, Layout, MappedRing};

/// `XDP_RING_NEED_WAKEUP`: the kernel sleeps until a system call wakes it.
pub(crate) const NEED_WAKEUP: u32 = libc::XDP_RING_NEED_WAKEUP;

/// Whose cursor is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The side that writes entries.
    Producer,
    /// The side that reads them.
    Consumer,
}

/// The shared memory of one ring.
pub(crate) trait RingMemory {
    /// What the ring carries.
    type Entry: Copy;

    /// Number of entries, a power of two.
    fn capacity(&self) -> u32;

    /// A side's cursor, with acquire ordering.
    fn load(&self, side: Side) -> u32;

    /// Sets a side's cursor, with release ordering. Only that side may.
    fn store(&mut self, side: Side, cursor: u32);

    /// The flags word, in which the kernel says whether it wants to be woken.
    fn flags(&self) -> u32;

    /// The entry of `cursor`, whose lowest bits count.
    fn read(&self, cursor: u32) -> Self::Entry;

    /// Overwrites the entry of `cursor`, whose lowest bits count.
    fn write(&mut self, cursor: u32, entry: Self::Entry);
}

/// The side of a ring that writes entries.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    memory: M,
    /// Where the next entry goes.
    next: u32,
    /// The consumer's cursor when last looked at: never ahead of the real one.
    consumer: u32,
}

impl<M: RingMemory> Producer<M> {
    /// Takes the producer's side of a ring, from where its cursors are.
    pub(crate) fn new(memory: M) -> Self {
        let next = memory.load(Side::Producer);
        let consumer = memory.load(Side::Consumer);
        Self { memory, next, consumer }
    }

    /// How many of `wanted` entries can be pushed now.
    pub(crate) fn room(&mut self, wanted: u32) -> u32 {
        if self.memory.capacity() - self.filled_at_most() < wanted {
            self.look();
        }
        (self.memory.capacity() - self.filled_at_most()).min(wanted)
    }

    /// Writes an entry, which the consumer sees only after [`commit`](Self::commit).
    ///
    /// # Panics
    /// If [`room`](Self::room) did not promise a place.
    pub(crate) fn push(&mut self, entry: M::Entry) {
        assert!(self.filled_at_most() < self.memory.capacity(), "pushed beyond the room of a ring");
        self.memory.write(self.next, entry);
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the consumer every entry pushed so far.
    pub(crate) fn commit(&mut self) {
        self.memory.store(Side::Producer, self.next);
    }

    /// Entries that the consumer has not taken yet, counting those not committed.
    pub(crate) fn pending(&mut self) -> u32 {
        if self.filled_at_most() > 0 {
            self.look();
        }
        self.filled_at_most()
    }

    /// Whether the consumer, the kernel, must be woken to look at the ring.
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.memory.flags() & NEED_WAKEUP != 0
    }

    /// Entries in the ring, as far as we know: the consumer may have taken more.
    const fn filled_at_most(&self) -> u32 {
        self.next.wrapping_sub(self.consumer)
    }

    fn look(&mut self) {
        self.consumer = self.memory.load(Side::Consumer);
        assert!(
            self.filled_at_most() <= self.memory.capacity(),
            "the consumer's cursor is ahead of the producer's: the ring's memory is damaged"
        );
    }
}

/// The side of a ring that reads entries.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    /// Where the next entry comes from.
    next: u32,
    /// The producer's cursor when last looked at: never ahead of the real one.
    producer: u32,
}

impl<M: RingMemory> Consumer<M> {
    /// Takes the consumer's side of a ring, from where its cursors are.
    pub(crate) fn new(memory: M) -> Self {
        let next = memory.load(Side::Consumer);
        let producer = memory.load(Side::Producer);
        Self { memory, next, producer }
    }

    /// How many of `wanted` entries can be popped now.
    ///
    /// It looks at the producer's cursor only when it knows of no entry at all: what came in since
    /// is taken next time, together.
    pub(crate) fn available(&mut self, wanted: u32) -> u32 {
        if self.filled_at_least() == 0 {
            self.look();
        }
        self.filled_at_least().min(wanted)
    }

    /// Reads an entry, whose place the producer gets back only after [`release`](Self::release).
    ///
    /// # Panics
    /// If [`available`](Self::available) did not promise an entry.
    pub(crate) fn pop(&mut self) -> M::Entry {
        assert!(self.filled_at_least() > 0, "popped beyond the entries of a ring");
        let entry = self.memory.read(self.next);
        self.next = self.next.wrapping_add(1);
        entry
    }

    /// Gives the producer the places of all entries popped so far.
    pub(crate) fn release(&mut self) {
        self.memory.store(Side::Consumer, self.next);
    }

    /// Entries in the ring, as far as we know: the producer may have added more.
    const fn filled_at_least(&self) -> u32 {
        self.producer.wrapping_sub(self.next)
    }

    fn look(&mut self) {
        self.producer = self.memory.load(Side::Producer);
        assert!(
            self.filled_at_least() <= self.memory.capacity(),
            "the producer's cursor is more than a ring ahead: the ring's memory is damaged"
        );
    }
}
