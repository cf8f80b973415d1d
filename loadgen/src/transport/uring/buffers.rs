//! Provided buffers: the kernel takes one from a ring when bytes arrive, and hands it over filled.
//!
//! ```text
//!   give_back ──▶ │ ring of addresses │ ──▶ kernel fills one ──▶ completion ──▶ Filled ──┐
//!        ▲                                                                               │
//!        └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A connection that waits costs no buffer. The ring is a FIFO, so every buffer in it passes
//! through the cache in turn: there are as many as a turn may need, and no more.

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::cell::UnsafeCell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Size of one buffer in bytes.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers there are: a turn of a closed loop has at most as many completions. A power of two.
pub(super) const BUFFER_COUNT: u16 = 128;
/// Number of the only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4096;
const ENTRY_BYTES: usize = size_of::<BufRingEntry>();
const ENTRIES_IN_PAGE: usize = PAGE_BYTES / ENTRY_BYTES;

const _: () = assert!(BUFFER_COUNT.is_power_of_two() && BUFFER_COUNT as usize <= ENTRIES_IN_PAGE);

/// The ring of addresses, which the kernel wants at the start of a page.
#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE_BYTES]>);

/// One buffer, which the kernel writes.
type Buffer = UnsafeCell<[u8; BUFFER_BYTES]>;

/// The buffers of one io_uring, and the ring of their addresses.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<Page>,
    memory: NonNull<[Buffer]>,
    tail: u16,
}

// SAFETY: both pointers are to allocations that nothing else in this process points to.
unsafe impl Send for Buffers {}

/// A buffer that the kernel has filled, until it is given back.
///
/// Exactly one exists per filled buffer, so that the kernel does not write to it meanwhile.
#[derive(Debug)]
#[must_use = "a dropped buffer is lost to its ring: give it back"]
pub(super) struct Filled {
    index: u16,
    len: usize,
}

impl Buffers {
    /// Allocates the memory, which is unknown to any kernel.
    pub(super) fn new() -> Self {
        let entries = Box::new(Page(UnsafeCell::new([0; PAGE_BYTES])));
        let buffer = || Buffer::new([0; BUFFER_BYTES]);
        let memory: Box<[Buffer]> =
            std::iter::repeat_with(buffer).take(BUFFER_COUNT.into()).collect();
        Self {
            entries: NonNull::from(Box::leak(entries)),
            memory: NonNull::from(Box::leak(memory)),
            tail: 0,
        }
    }

    /// Registers the ring and provides all buffers.
    ///
    /// # Errors
    /// EINVAL where the kernel has no buffer rings (before 5.19); ENOMEM.
    ///
    /// # Safety
    /// The caller keeps this value until the io_uring has no operation under way any more, and
    /// starts none after that.
    pub(super) unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.as_ptr().expose_provenance() as u64;
        // SAFETY: the page holds BUFFER_COUNT entries, and the caller keeps it long enough.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFER_COUNT, GROUP, 0) }?;
        for index in 0..BUFFER_COUNT {
            self.provide(index);
        }
        self.publish();
        Ok(())
    }

    /// The buffer that a completion names, filled with `len` bytes.
    ///
    /// # Safety
    /// The caller has just taken that completion from the queue, and calls this once for it.
    ///
    /// # Panics
    /// If the kernel names a buffer that there is not, or more bytes than fit.
    pub(super) unsafe fn filled(&self, index: u16, len: usize) -> Filled {
        assert!(index < BUFFER_COUNT && len <= BUFFER_BYTES, "buffer {index} with {len} bytes");
        Filled { index, len }
    }

    /// What it holds.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let buffer = self.buffer(filled.index).cast();
        // SAFETY: while the handle exists the kernel does not write here, and nobody else ever
        // does; the memory is initialised, and longer than `filled` has asserted.
        unsafe { std::slice::from_raw_parts(buffer, filled.len) }
    }

    /// Gives a buffer back at once if there is nothing in it.
    pub(super) fn unless_empty(&mut self, filled: Filled) -> Option<Filled> {
        if filled.len > 0 {
            return Some(filled);
        }
        self.give_back(filled);
        None
    }

    /// Returns a buffer to the kernel, which fills it again.
    pub(super) fn give_back(&mut self, filled: Filled) {
        self.provide(filled.index);
        self.publish();
    }

    fn buffer(&self, index: u16) -> *mut [u8; BUFFER_BYTES] {
        // SAFETY: the allocation lives as long as `self`, and only through cells is it written.
        let memory = unsafe { self.memory.as_ref() };
        memory[usize::from(index)].get()
    }

    /// Writes one address behind the tail. Never more than the ring holds: a buffer is in it at
    /// most once, and it has a place for each.
    fn provide(&mut self, index: u16) {
        let address = self.buffer(index).expose_provenance() as u64;
        let place = usize::from(self.tail % BUFFER_COUNT);
        // SAFETY: `place` is below BUFFER_COUNT, which fits into the page.
        let mut entry = unsafe { self.entries.cast::<BufRingEntry>().add(place) };
        // SAFETY: the kernel does not read entries behind the tail that was published, so this is
        // the only reference to it; an all-zero entry, as it was allocated, is a valid one.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(u32::try_from(BUFFER_BYTES).expect("16 KiB"));
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all entries before the tail.
    fn publish(&self) {
        let first = self.entries.cast::<BufRingEntry>();
        // SAFETY: the first entry of the ring, whose reserved field is the tail.
        let tail = unsafe { BufRingEntry::tail(first.as_ptr()) };
        // SAFETY: the tail is aligned and lives as long as `self`; it is accessed by atomics only,
        // here and in the kernel (setting an entry's other fields leaves it alone).
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: `new` leaked it, and whoever registered it has waited for the kernel.
        drop(unsafe { Box::from_raw(self.entries.as_ptr()) });
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_shows_as_many_bytes_as_were_filled_in_it() {
        let buffers = Buffers::new();
        let last = BUFFER_COUNT - 1;
        // SAFETY: no kernel knows of these buffers, so that each may be taken for filled once.
        let filled = unsafe { buffers.filled(last, 3) };
        assert_eq!(buffers.bytes(&filled), [0; 3]);
        let (buffer, before) = (buffers.buffer(last), buffers.buffer(last - 1));
        assert_eq!(buffer.addr() - before.addr(), BUFFER_BYTES);
    }

    #[test]
    #[should_panic(expected = "buffer 128 with 1 bytes")]
    fn a_buffer_that_there_is_not_is_refused() {
        // SAFETY: as above; it does not get as far as a handle.
        let _ = unsafe { Buffers::new().filled(BUFFER_COUNT, 1) };
    }
}
