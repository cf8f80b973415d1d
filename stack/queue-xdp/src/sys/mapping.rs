//! A range of mapped memory that is unmapped when dropped.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};

/// Size of the huge pages that `MAP_HUGETLB` gives where nothing else was configured, in bytes.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A range of mapped memory. Dereferencing it is left to those who know who else writes to it.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and `Mapping` is its only owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of zeroed memory of ordinary pages, all of them present.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None, 0)
    }

    /// The same on huge pages; `len` is rounded up to whole ones.
    ///
    /// # Errors
    /// Those of mmap(2); `ENOMEM` where there are not enough huge pages.
    pub(crate) fn huge(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
        Self::map(len.next_multiple_of(HUGE_PAGE_BYTES), flags, None, 0)
    }

    /// Maps `len` bytes of what `fd` offers at `offset`, shared with the kernel.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(crate) fn shared(fd: BorrowedFd<'_>, len: usize, offset: i64) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED, Some(fd), offset)
    }

    fn map(len: usize, flags: i32, fd: Option<BorrowedFd<'_>>, offset: i64) -> io::Result<Self> {
        let fd = fd.map_or(-1, |fd| fd.as_raw_fd());
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: with a null address and no MAP_FIXED the kernel chooses a range that nobody uses.
        let start = unsafe {
            libc::mmap(null_mut(), len, protection, flags | libc::MAP_POPULATE, fd, offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { start, len })
    }

    /// The first byte.
    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a mapping that `map` made and that `self` alone
        // owns. What borrows from it borrows from `self`.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, 0, "munmap of our own mapping cannot fail");
    }
}
