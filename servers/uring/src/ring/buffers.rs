//! Provided buffers: the kernel takes one from a ring when bytes arrive, and hands it over filled.
//!
//! ```text
//!   give_back ──▶ │ ring of addresses │ ──▶ kernel fills one ──▶ CQE ──▶ Provided ──┐
//!        ▲                                                                          │
//!        └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A connection that waits costs no buffer. The ring is a FIFO, so all buffers in it are touched
//! in turn, and few of them stay in the cache better than many: it starts with a
//! [`Layout::at_first`] and doubles when the kernel found it empty, up to [`Layout::count`].
//!
//! Filled incrementally (`IOU_PBUF_RING_INC`), a buffer takes the bytes of many receives, one
//! behind the other, and is given back to the kernel when it is full and all its pieces have come
//! back. The other way round, a bundle (`IORING_RECVSEND_BUNDLE`) is one receive that fills many
//! buffers, those that follow each other in the ring; its completion names the first.

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// How many buffers there are, and of which size. Memory is touched only when they are provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Buffers there are at most; a power of two.
    count: u16,
    /// Buffers in the ring at first.
    pub(super) at_first: u16,
    /// Size of one buffer.
    len_bytes: usize,
    /// A buffer takes several receives.
    incremental: bool,
}

impl Layout {
    /// Each receive takes a buffer of its own: room for many requests, or three full segments.
    pub(super) const WHOLE: Self =
        Self { count: 4096, at_first: 256, len_bytes: 4096, incremental: false };
    /// Each takes its part of one.
    pub(super) const INCREMENTAL: Self =
        Self { count: 256, at_first: 16, len_bytes: 1 << 16, incremental: true };

    const fn memory_bytes(self) -> usize {
        self.count as usize * self.len_bytes
    }

    const fn is_valid(self) -> bool {
        let in_range = self.count.is_power_of_two() && self.count <= 1 << 15;
        in_range && self.at_first > 0 && self.at_first <= self.count
    }
}

/// Number of the only buffer group of a ring.
pub(super) const GROUP: u16 = 0;
/// `IOU_PBUF_RING_INC` of `linux/io_uring.h`, Linux 6.12.
const RING_INC: u16 = 2;

const _: () = assert!(Layout::WHOLE.is_valid() && Layout::INCREMENTAL.is_valid());
const _: () = assert!(Layout::WHOLE.memory_bytes() == 16 << 20);
const _: () = assert!(Layout::INCREMENTAL.memory_bytes() == 16 << 20);
const _: () = assert!(size_of::<BufRingEntry>() == 16);

/// The buffers of one ring, and the ring of their addresses that is shared with the kernel.
///
/// The memory is never unmapped: the kernel may use it until the io_uring is gone, and that lives
/// as long as the process.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    layout: Layout,
    tail: u16,
    provided: u16,
    /// By number, of those provided.
    uses: Vec<Use>,
    /// Numbers in the order of the ring, by place.
    order: Vec<u16>,
}

/// What has become of a buffer since the kernel got it.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Bytes of it that were filled.
    filled_bytes: usize,
    /// Pieces of it that were not given back yet.
    pieces: u32,
    /// The kernel will not fill more of it.
    is_over: bool,
    /// Where in the ring it was provided.
    place: u16,
}

/// What the kernel has filled of a buffer with one receive: its bytes, until it is given back.
///
/// Exactly one exists for each receive, so nobody else reads or writes its memory.
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
    /// EINVAL where the kernel has no buffer rings (before 5.19), or none that are filled
    /// incrementally (before 6.12); ENOMEM.
    pub(super) fn register(submitter: &Submitter<'_>, layout: Layout) -> io::Result<Self> {
        let entries: NonNull<BufRingEntry> =
            map(usize::from(layout.count) * size_of::<BufRingEntry>())?.cast();
        let memory = map(layout.memory_bytes())?;
        let address = entries.as_ptr().expose_provenance() as u64;
        let flags = if layout.incremental { RING_INC } else { 0 };
        // SAFETY: the mapping is page-aligned, holds as many entries and is never unmapped.
        unsafe { submitter.register_buf_ring_with_flags(address, layout.count, GROUP, flags) }?;
        let count = usize::from(layout.count);
        let (uses, order) = (vec![Use::default(); count], vec![0; count]);
        let mut buffers = Self { entries, memory, layout, tail: 0, provided: 0, uses, order };
        buffers.provide_up_to(layout.at_first);
        Ok(buffers)
    }

    /// Buffers that take part: in the ring, or filled and not yet given back.
    pub(super) fn provided(&self) -> u16 {
        self.provided
    }

    /// Size of one buffer.
    pub(super) fn len_bytes(&self) -> usize {
        self.layout.len_bytes
    }

    /// The buffer behind that one in the ring, which a bundle goes on in. Meant for a buffer whose
    /// completion was just taken: its place is not given to another before it is given back.
    pub(super) fn behind(&self, index: u16) -> u16 {
        let place = self.uses[usize::from(index)].place.wrapping_add(1) % self.layout.count;
        self.order[usize::from(place)]
    }

    /// Provides twice as many buffers as before, because the kernel found the ring empty.
    pub(super) fn grow(&mut self) {
        self.provide_up_to((self.provided * 2).min(self.layout.count));
    }

    /// Takes back what was received; the kernel gets the buffer to fill it again, once it is done
    /// with it and nothing else of it is outstanding.
    ///
    /// # Panics
    /// Panics if the buffer belongs to another ring.
    pub(super) fn give_back(&mut self, buffer: Provided) {
        let offset = buffer.0.addr().get().wrapping_sub(self.memory.addr().get());
        let index = u16::try_from(offset / self.layout.len_bytes).ok();
        let index = index.filter(|index| *index < self.provided);
        let index = index.expect("a buffer is given back to the ring it came from");
        let use_ = &mut self.uses[usize::from(index)];
        use_.pieces -= 1;
        if use_.is_over && use_.pieces == 0 {
            self.provide(index);
            self.publish();
        }
    }

    /// What a CQE of this ring's io_uring has put into the buffer that it names: `len` bytes;
    /// `more` says that the kernel will put others behind them.
    ///
    /// # Safety
    /// The caller has just taken that CQE from the completion queue, calls this once for it (for a
    /// bundle, once for each buffer of it), and for all CQEs in the order of the queue.
    ///
    /// # Panics
    /// Panics if the kernel names a buffer that it was not given, or more bytes than fit.
    pub(super) unsafe fn filled(&mut self, index: u16, len: usize, more: bool) -> Provided {
        assert!(index < self.provided, "the kernel names buffer {index} of {}", self.provided);
        let buffer = self.buffer(index);
        let use_ = &mut self.uses[usize::from(index)];
        let from = use_.filled_bytes;
        let room = self.layout.len_bytes - from;
        assert!(len <= room, "the kernel filled {len} bytes of {room}");
        use_.filled_bytes += len;
        use_.pieces += 1;
        use_.is_over = !more;
        // SAFETY: `from` is within the buffer, as was just asserted.
        let start = unsafe { buffer.add(from) };
        Provided(NonNull::slice_from_raw_parts(start, len))
    }

    fn provide_up_to(&mut self, count: u16) {
        while self.provided < count {
            self.provide(self.provided);
            self.provided += 1;
        }
        self.publish();
    }

    fn buffer(&self, index: u16) -> NonNull<u8> {
        // SAFETY: `index` is below the layout's count (callers have checked it against `provided`,
        // or are about to raise that), and the mapping holds as many buffers.
        unsafe { self.memory.add(usize::from(index) * self.layout.len_bytes) }
    }

    /// Writes one address behind the tail. Never more than the ring holds: a buffer is in it at
    /// most once, and it has a place for each.
    fn provide(&mut self, index: u16) {
        let address = self.buffer(index).addr().get() as u64;
        let place = self.tail % self.layout.count;
        self.uses[usize::from(index)] = Use { place, ..Use::default() };
        let place = usize::from(place);
        self.order[place] = index;
        // SAFETY: `place` is below the layout's count, the number of entries in the mapping.
        let mut entry = unsafe { self.entries.add(place) };
        // SAFETY: the kernel does not read entries behind the tail that was published, so this
        // is the only reference to it. An all-zero entry, as it was mapped, is a valid one.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(u32::try_from(self.layout.len_bytes).expect("64 KiB or less"));
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

    const COUNT: u16 = Layout::WHOLE.count;
    const AT_FIRST: u16 = Layout::WHOLE.at_first;

    fn buffers() -> Option<Buffers> {
        let ring = Box::leak(Box::new(io_uring::IoUring::new(4).expect("io_uring works here")));
        Buffers::register(&ring.submitter(), Layout::WHOLE).ok()
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
        let mut expect = AT_FIRST;
        while expect < COUNT {
            assert_eq!((buffers.provided(), published(&buffers)), (expect, expect));
            buffers.grow();
            expect *= 2;
        }
        buffers.grow();
        assert_eq!((buffers.provided(), published(&buffers)), (COUNT, COUNT));
    }

    #[test]
    fn a_buffer_given_back_keeps_its_number_and_the_first_entry_keeps_the_tail() {
        let mut buffers = buffers().expect("this kernel has buffer rings");
        // The tail lies in the first entry: provide until that entry is written a second time.
        for round in 0..=u32::from(COUNT) {
            let index = u16::try_from(round % u32::from(AT_FIRST)).expect("below 256");
            // SAFETY: nothing receives into this ring, so no buffer is ever the kernel's.
            let buffer = unsafe { buffers.filled(index, 3, false) };
            assert_eq!(buffer.len(), 3);
            buffers.give_back(buffer);
            assert_eq!(published(&buffers), buffers.tail);
        }
    }

    #[test]
    #[should_panic(expected = "the ring it came from")]
    fn a_buffer_of_another_ring_is_refused() {
        let (mut one, mut other) = (buffers().expect("one"), buffers().expect("other"));
        // SAFETY: as above.
        one.give_back(unsafe { other.filled(0, 1, false) });
    }

    #[test]
    fn a_buffer_filled_bit_by_bit_is_provided_again_when_its_last_piece_is_back() {
        let ring = Box::leak(Box::new(io_uring::IoUring::new(4).expect("io_uring works here")));
        // Before Linux 6.12 there is no ring of that kind; what is tested is ours.
        let submitter = ring.submitter();
        let registered = Buffers::register(&submitter, Layout::INCREMENTAL)
            .or_else(|_| Buffers::register(&submitter, Layout::WHOLE));
        let mut buffers = registered.expect("this kernel has buffer rings");
        let at_first = published(&buffers);
        // SAFETY: nothing receives into this ring, so no buffer is ever the kernel's.
        let first = unsafe { buffers.filled(2, 10, true) };
        // SAFETY: as above.
        let second = unsafe { buffers.filled(2, 20, true) };
        // SAFETY: as above.
        let third = unsafe { buffers.filled(2, 30, false) };
        let place = |provided: &Provided| provided.0.addr().get();
        assert_eq!((place(&second), place(&third)), (place(&first) + 10, place(&first) + 30));
        buffers.give_back(third);
        buffers.give_back(first);
        assert_eq!(published(&buffers), at_first, "a piece is outstanding");
        buffers.give_back(second);
        assert_eq!(published(&buffers), at_first + 1);
        // SAFETY: as above.
        let again = unsafe { buffers.filled(2, 5, true) };
        buffers.give_back(again);
        assert_eq!(published(&buffers), at_first + 1, "the kernel goes on filling it");
    }
}
