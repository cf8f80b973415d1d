//! A mapping of memory that another process maps as well.
//!
//! Whatever is read may have been written a moment ago by somebody who means ill. So there is no
//! way to a reference to plain bytes: integers are atomics, and packets are copied, by which a
//! writer at the same time can spoil the copy's content and nothing else.

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// Cache lines that a hint covers: what a small packet takes; of a longer one the hardware sees by
/// then where it leads.
#[cfg(target_arch = "x86_64")]
const PREFETCH_LINES: usize = 5;

/// A range of shared memory that is unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and `Mapping` is its only owner.
unsafe impl Send for Mapping {}
// SAFETY: all that is offered on `&self` is atomics, and copies by which, as by writes of the peer,
// only the content of what is copied can be torn.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, all pages present, so that no access faults later.
    ///
    /// Whoever calls vouches that the file stays that long: see [`crate::region`].
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(crate) fn shared(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: with a null address and without MAP_FIXED the kernel chooses a range that nobody
        // uses.
        let start = unsafe { mmap(null_mut(), len, protection, flags, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { start, len })
    }

    /// Length in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// A `u16`.
    ///
    /// # Panics
    /// As all that follow, if it is not within the mapping or not aligned: offsets are checked
    /// when they come from the peer, so that it would be our mistake.
    #[inline]
    pub(crate) fn u16(&self, offset: usize) -> &AtomicU16 {
        let place = self.place(offset, size_of::<u16>(), align_of::<AtomicU16>());
        // SAFETY: within the mapping, which lives as long as `&self`, aligned, initialised (the
        // kernel zeroes memory), and accessed by atomic operations or by other processes only.
        unsafe { AtomicU16::from_ptr(place.cast()) }
    }

    /// A `u32`.
    #[inline]
    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        let place = self.place(offset, size_of::<u32>(), align_of::<AtomicU32>());
        // SAFETY: as `u16`.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }

    /// A `u64`.
    #[inline]
    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        let place = self.place(offset, size_of::<u64>(), align_of::<AtomicU64>());
        // SAFETY: as `u16`.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }

    /// Copies what lies at `offset`.
    #[inline]
    pub(crate) fn read(&self, offset: usize, target: &mut [u8]) {
        let source = self.place(offset, target.len(), 1);
        // SAFETY: `source` is readable for that long (`place`), `target` is ours alone. A write of
        // the peer at the same time changes what is copied; any byte is a value of `u8`.
        unsafe { source.cast_const().copy_to_nonoverlapping(target.as_mut_ptr(), target.len()) }
    }

    /// Copies to `offset`.
    #[inline]
    pub(crate) fn write(&self, offset: usize, source: &[u8]) {
        let target = self.place(offset, source.len(), 1);
        // SAFETY: `target` is writable for that long (`place`), `source` is ours and lies in no
        // mapping, since no reference to one can be had.
        unsafe { target.copy_from_nonoverlapping(source.as_ptr(), source.len()) }
    }

    /// Hints that the cache lines of `len` bytes at `offset` will be read soon, the first
    /// five of them. Any offset may be given: a hint has no effect but on caches.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize, len: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in self.lines(offset, len) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing and faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (offset, len);
    }

    /// As [`prefetch`](Self::prefetch), of lines that will be written to: no other core keeps them.
    #[inline]
    pub(crate) fn prefetch_to_write(&self, offset: usize, len: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in self.lines(offset, len) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (offset, len);
    }

    /// The first lines of a range that need not be within the mapping.
    #[cfg(target_arch = "x86_64")]
    fn lines(&self, offset: usize, len: usize) -> impl Iterator<Item = *const i8> {
        let start = self.start.as_ptr().cast_const().cast::<i8>().wrapping_add(offset);
        let count = len.div_ceil(CACHE_LINE).min(PREFETCH_LINES);
        (0..count).map(move |line| start.wrapping_add(line * CACHE_LINE))
    }

    #[inline]
    fn place(&self, offset: usize, len: usize, align: usize) -> *mut u8 {
        let is_within = len <= self.len && offset <= self.len - len;
        assert!(is_within && offset.is_multiple_of(align), "{len} bytes at {offset} of a mapping");
        // SAFETY: the offset is within the mapping, or its end.
        unsafe { self.start.add(offset) }.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a mapping that `shared` made and that `self` alone
        // owns. What borrows from it borrows from `self`.
        let result = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "munmap of our own mapping cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use std::os::fd::AsFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::Ordering;

    fn twice(len: usize) -> (Mapping, Mapping) {
        let fd = memfd_create("queue-memif-test", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&fd, len as u64).expect("room");
        let map = || Mapping::shared(fd.as_fd(), len).expect("mapped");
        (map(), map())
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let (ours, theirs) = twice(8192);
        ours.write(8190, b"ab");
        ours.u16(6).store(0x1234, Ordering::Release);
        let mut bytes = [0; 2];
        theirs.read(8190, &mut bytes);
        assert_eq!(&bytes, b"ab");
        assert_eq!(theirs.u16(6).load(Ordering::Acquire), 0x1234);
        assert_eq!(theirs.u64(0).load(Ordering::Relaxed).to_le(), 0x1234 << 48);
        assert_eq!(theirs.u32(4).load(Ordering::Relaxed).to_le(), 0x1234 << 16);
    }

    #[test]
    fn nothing_outside_of_the_mapping_can_be_reached() {
        let (mapping, _) = twice(4096);
        let panics = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(panics(&|| mapping.write(4095, b"ab")));
        assert!(panics(&|| mapping.read(usize::MAX, &mut [0; 2])));
        assert!(panics(&|| mapping.read(4097, &mut [])));
        assert!(panics(&|| mapping.u16(4096).store(0, Ordering::Relaxed)));
        assert!(panics(&|| mapping.u16(1).store(0, Ordering::Relaxed)), "not aligned");
        assert!(panics(&|| mapping.u64(4092).store(0, Ordering::Relaxed)));
        mapping.prefetch(usize::MAX, 1000);
        mapping.prefetch_to_write(usize::MAX, 1000);
        mapping.read(4096, &mut []);
    }
}
