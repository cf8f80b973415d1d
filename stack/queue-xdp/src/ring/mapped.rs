//! A ring in memory that is mapped from an AF_XDP socket.

use super::{RingMemory, Side};
use crate::sys::Mapping;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the parts of a ring lie in its mapping, in bytes (`struct xdp_ring_offset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The producer's cursor.
    pub(crate) producer: usize,
    /// The consumer's cursor.
    pub(crate) consumer: usize,
    /// The flags word.
    pub(crate) flags: usize,
    /// The first entry.
    pub(crate) entries: usize,
    /// How many entries there are, a power of two.
    pub(crate) capacity: u32,
}

impl Layout {
    /// Bytes that the mapping of a ring of `T` must have.
    pub(crate) const fn bytes<T>(&self) -> usize {
        self.entries + self.capacity as usize * size_of::<T>()
    }

    /// Whether every part lies within `len` bytes of a page and is aligned.
    const fn fits<T>(&self, len: usize) -> bool {
        let cursor_end_max = len - size_of::<u32>();
        self.capacity.is_power_of_two()
            && self.bytes::<T>() <= len
            && self.producer <= cursor_end_max
            && self.consumer <= cursor_end_max
            && self.flags <= cursor_end_max
            && self.producer.is_multiple_of(align_of::<u32>())
            && self.consumer.is_multiple_of(align_of::<u32>())
            && self.flags.is_multiple_of(align_of::<u32>())
            && self.entries.is_multiple_of(align_of::<T>())
    }
}

/// A ring whose other side is the kernel.
///
/// `T` is a struct or an integer of which every pattern of bits is a value: see
/// [`MappedRing::new`], which is only made for the two that rings carry.
#[derive(Debug)]
pub(crate) struct MappedRing<T> {
    mapping: Mapping,
    layout: Layout,
    entry: PhantomData<T>,
}

/// What the rings of AF_XDP carry: addresses (`u64`) or descriptors.
///
/// # Safety
/// Every pattern of bits is a value of the implementor.
pub(crate) unsafe trait Entry: Copy {}
// SAFETY: an integer.
unsafe impl Entry for u64 {}
// SAFETY: three integers without padding.
unsafe impl Entry for libc::xdp_desc {}

impl<T: Entry> MappedRing<T> {
    /// Takes a mapping that the kernel describes by `layout`.
    ///
    /// # Panics
    /// If a part lies outside the mapping or is not aligned: the kernel gave offsets that its own
    /// mapping does not have.
    pub(crate) fn new(mapping: Mapping, layout: Layout) -> Self {
        assert!(layout.fits::<T>(mapping.len()), "{layout:?} exceeds the ring's mapping");
        Self { mapping, layout, entry: PhantomData }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` checked that a u32 at this offset lies within the mapping.
        let pointer = unsafe { self.mapping.start().add(offset) };
        // SAFETY: aligned (`new`), zeroed by the kernel, mapped as long as `self`, and written by
        // the kernel with atomic stores only.
        unsafe { AtomicU32::from_ptr(pointer.cast().as_ptr()) }
    }

    const fn offset(&self, side: Side) -> usize {
        match side {
            Side::Producer => self.layout.producer,
            Side::Consumer => self.layout.consumer,
        }
    }

    fn entry(&self, cursor: u32) -> NonNull<T> {
        let index = (cursor & (self.layout.capacity - 1)) as usize;
        // SAFETY: `new` checked that the entries begin within the mapping.
        let first = unsafe { self.mapping.start().add(self.layout.entries) }.cast::<T>();
        // SAFETY: `index` is below the capacity, and `new` checked that so many entries fit.
        unsafe { first.add(index) }
    }
}

impl<T: Entry> RingMemory for MappedRing<T> {
    type Entry = T;

    fn capacity(&self) -> u32 {
        self.layout.capacity
    }

    fn load(&self, side: Side) -> u32 {
        self.word(self.offset(side)).load(Ordering::Acquire)
    }

    fn store(&mut self, side: Side, cursor: u32) {
        self.word(self.offset(side)).store(cursor, Ordering::Release);
    }

    fn flags(&self) -> u32 {
        self.word(self.layout.flags).load(Ordering::Relaxed)
    }

    fn read(&self, cursor: u32) -> T {
        let entry = self.entry(cursor);
        // SAFETY: in the mapping and aligned (`entry`); every pattern of bits is a value
        // (`Entry`). The kernel does not write it: `Consumer` reads only between the two cursors.
        unsafe { entry.read() }
    }

    fn write(&mut self, cursor: u32, value: T) {
        let entry = self.entry(cursor);
        // SAFETY: in the mapping and aligned (`entry`). The kernel does not read it: `Producer`
        // writes only outside of the two cursors.
        unsafe { entry.write(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Consumer, NEED_WAKEUP, Producer};

    const LAYOUT: Layout =
        Layout { producer: 0, consumer: 64, flags: 128, entries: 192, capacity: 4 };

    #[test]
    fn both_sides_meet_in_mapped_memory() {
        let mapping = Mapping::anonymous(4096).expect("a page");
        let mut producer = Producer::new(MappedRing::<u64>::new(mapping, LAYOUT));
        assert_eq!(producer.room(9), 4);
        (10..14).for_each(|entry| producer.push(entry));
        producer.commit();
        assert_eq!(producer.room(1), 0);
        assert!(!producer.needs_wakeup());

        // The other side's view of the same ring: here it is handed over, not shared.
        let ring = producer.memory;
        ring.word(LAYOUT.flags).store(NEED_WAKEUP, Ordering::Relaxed);
        let mut consumer = Consumer::new(ring);
        assert_eq!(consumer.available(9), 4);
        let entries: Vec<u64> = (0..4).map(|_| consumer.pop()).collect();
        consumer.release();
        assert_eq!(entries, [10, 11, 12, 13]);
        let producer = Producer::new(consumer.memory);
        assert!(producer.needs_wakeup());
    }

    #[test]
    fn a_layout_outside_the_mapping_is_refused() {
        let good = LAYOUT;
        assert!(good.fits::<libc::xdp_desc>(192 + 4 * 16));
        assert!(!good.fits::<libc::xdp_desc>(192 + 4 * 16 - 1));
        assert!(!Layout { capacity: 3, ..good }.fits::<u64>(4096));
        assert!(!Layout { producer: 4093, ..good }.fits::<u64>(4096));
        assert!(!Layout { consumer: 66, ..good }.fits::<u64>(4096));
        assert!(!Layout { flags: 4094, ..good }.fits::<u64>(4096));
        assert!(!Layout { entries: 196, ..good }.fits::<u64>(4096));
    }
}
