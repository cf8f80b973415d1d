//! Provided buffers: the kernel takes one from a ring when bytes arrive, and hands it over filled.
//!
//! ```text
//!   give_back ──▶ │ ring of addresses │ ──▶ kernel fills one ──▶ CQE ──▶ Provided ──┐
//!        ▲                                                                          │
//!        └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A connection that waits costs no buffer. The ring is a FIFO, so all buffers in it are touched
//! in turn, and few of them stay in the cache better than many: it starts with
//! [`PROVIDED_AT_FIRST`] and doubles when the kernel found it empty, up to [`BUFFER_COUNT`].

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Size of one buffer in bytes: many requests, or three full segments.
pub(super) const BUFFER_LEN: u32 = 4096;
const BUFFER_BYTES: usize = BUFFER_LEN as usize;
/// Buffers there are; memory is touched only when they are provided. A power of two.
pub(super) const BUFFER_COUNT: u16 = 4096;
/// Buffers in the ring at first.
pub(super) const PROVIDED_AT_FIRST: u16 = 256;
/// Number of the only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const _: () = assert!(BUFFER_COUNT.is_power_of_two() && BUFFER_COUNT <= 1 << 15);
const _: () = assert!(PROVIDED_AT_FIRST <= BUFFER_COUNT && PROVIDED_AT_FIRST > 0);
const _: () = assert!(size_of::<BufRingEntry>() == 16);

/// The buffers of one ring, and the ring of their addresses that is shared with the kernel.
///
/// The memory is never unmapped: the kernel may use it until the io_uring is gone, and that lives
/// as long as the process.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
    provided: u16,
}

/// A buffer that the kernel has filled: its bytes, until it is given back.
///
/// Exactly one exists per filled buffer, so nobody else reads or writes its memory.
#[derive(Debug)]
#[must_use = "a dropped buffer is lost to its ring: give it back"]
pub(crate) struct Provided(NonNull<[u8]>);

impl Deref for Provided {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `Buffers::filled` made the slice inside memory that stays mapped and is
        // initialised; the kernel does not write to it before `give_back` consumes this handle.
        unsafe { self.0.as_ref() }
    }
}

impl Buffers {
    /// Maps the memory, registers the ring and provides the first buffers.
    ///
    /// # Errors
    /// EINVAL where the kernel has no buffer rings (before 5.19); ENOMEM.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        let entries: NonNull<BufRingEntry> =
            map(usize::from(BUFFER_COUNT) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(BUFFER_COUNT) * BUFFER_BYTES)?;
        let address = entries.as_ptr().expose_provenance() as u64;
        // SAFETY: the mapping is page-aligned, holds BUFFER_COUNT entries and is never unmapped.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFER_COUNT, GROUP, 0) }?;
        let mut buffers = Self { entries, memory, tail: 0, provided: 0 };
        buffers.provide_up_to(PROVIDED_AT_FIRST);
        Ok(buffers)
    }

    /// Buffers that take part: in the ring, or filled and not yet given back.
    pub(super) fn provided(&self) -> u16 {
        self.provided
    }

    /// Provides twice as many buffers as before, because the kernel found the ring empty.
    pub(super) fn grow(&mut self) {
        self.provide_up_to((self.provided * 2).min(BUFFER_COUNT));
    }

    /// Returns a buffer to the kernel, which fills it again.
    ///
    /// # Panics
    /// Panics if the buffer belongs to another ring.
    pub(super) fn give_back(&mut self, buffer: Provided) {
        let offset = buffer.0.addr().get().wrapping_sub(self.memory.addr().get());
        let index =
            u16::try_from(offset / BUFFER_BYTES).ok().filter(|index| *index < self.provided);
        self.provide(index.expect("a buffer is given back to the ring it came from"));
        self.publish();
    }

    /// The buffer that a CQE of this ring's io_uring names, filled with `len` bytes.
    ///
    /// # Safety
    /// The caller has just taken that CQE from the completion queue, and calls this once for it.
    ///
    /// # Panics
    /// Panics if the kernel names a buffer that it was not given, or more bytes than fit.
    pub(super) unsafe fn filled(&self, index: u16, len: usize) -> Provided {
        assert!(index < self.provided, "the kernel names buffer {index} of {}", self.provided);
        assert!(len <= BUFFER_BYTES, "the kernel filled {len} bytes of {BUFFER_BYTES}");
        Provided(NonNull::slice_from_raw_parts(self.buffer(index), len))
    }

    fn provide_up_to(&mut self, count: u16) {
        while self.provided < count {
            self.provide(self.provided);
            self.provided += 1;
        }
        self.publish();
    }

    fn buffer(&self, index: u16) -> NonNull<u8> {
        // SAFETY: `index` is below BUFFER_COUNT (callers have checked it against `provided`, or
        // are about to raise that), and the mapping holds as many buffers.
        unsafe { self.memory.add(usize::from(index) * BUFFER_BYTES) }
    }

    /// Writes one address behind the tail. Never more than the ring holds: a buffer is in it at
    /// most once, and it has a place for each.
    fn provide(&mut self, index: u16) {
        let address = self.buffer(index).addr().get() as u64;
        let place = usize::from(self.tail % BUFFER_COUNT);
        // SAFETY: `place` is below BUFFER_COUNT, the number of entries in the mapping.
        let mut entry = unsafe { self.entries.add(place) };
        // SAFETY: the kernel does not read entries behind the tail that was published, so this
        // is the only reference to it. An all-zero entry, as it was mapped, is a valid one.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(BUFFER_LEN);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all entries before the tail.
    fn publish(&self) {
        // SAFETY: `entries` points to the first entry of the ring, whose reserved field is the
        // tail; the mapping is initialised.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is aligned and stays mapped; it is accessed by atomics only, here and
        // in the kernel (setting an entry's address, length and number leaves it alone).
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Maps zeroed memory, page-aligned, that is never unmapped.
fn map(len_bytes: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), len_bytes, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(address.cast()).expect("the kernel does not map page zero unasked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers() -> Option<Buffers> {
        let ring = Box::leak(Box::new(io_uring::IoUring::new(4).expect("io_uring works here")));
        Buffers::register(&ring.submitter()).ok()
    }

    fn published(buffers: &Buffers) -> u16 {
        // SAFETY: as in `publish`.
        let tail = unsafe { BufRingEntry::tail(buffers.entries.as_ptr()) };
        // SAFETY: as in `publish`.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.load(Ordering::Acquire)
    }

    #[test]
    fn growing_doubles_until_all_are_provided_and_never_beyond() {
        let mut buffers = buffers().expect("this kernel has buffer rings");
        let mut expect = PROVIDED_AT_FIRST;
        while expect < BUFFER_COUNT {
            assert_eq!((buffers.provided(), published(&buffers)), (expect, expect));
            buffers.grow();
            expect *= 2;
        }
        buffers.grow();
        assert_eq!((buffers.provided(), published(&buffers)), (BUFFER_COUNT, BUFFER_COUNT));
    }

    #[test]
    fn a_buffer_given_back_keeps_its_number_and_the_first_entry_keeps_the_tail() {
        let mut buffers = buffers().expect("this kernel has buffer rings");
        // The tail lies in the first entry: provide until that entry is written a second time.
        for round in 0..=u32::from(BUFFER_COUNT) {
            let index = u16::try_from(round % u32::from(PROVIDED_AT_FIRST)).expect("below 256");
            // SAFETY: nothing receives into this ring, so no buffer is ever the kernel's.
            let buffer = unsafe { buffers.filled(index, 3) };
            assert_eq!(buffer.len(), 3);
            buffers.give_back(buffer);
            assert_eq!(published(&buffers), buffers.tail);
        }
    }

    #[test]
    #[should_panic(expected = "the ring it came from")]
    fn a_buffer_of_another_ring_is_refused() {
        let (mut one, other) = (buffers().expect("one"), buffers().expect("other"));
        // SAFETY: as above.
        one.give_back(unsafe { other.filled(0, 1) });
    }
}
