//! A mempool: the memory of one queue's packets.

use super::ffi;
use super::runtime::Errno;
use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

/// A mempool, freed when dropped if every mbuf has come back.
#[derive(Debug)]
pub(crate) struct Pool {
    raw: NonNull<ffi::Mempool>,
}

// SAFETY: DPDK's mempools take and give mbufs from any number of threads: they are made with the
// default operations, for many producers and many consumers.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool of `frames` mbufs in the memory of a NUMA node, or any where `socket` is -1.
    ///
    /// EAL must be set up: the caller has a `Runtime`.
    pub(super) fn create(name: &CStr, frames: u32, socket: c_int) -> Result<Self, Errno> {
        let mut error = 0;
        // SAFETY: a string that DPDK copies, and room for one error.
        let raw = unsafe { ffi::shim_pool_create(name.as_ptr(), frames, socket, &raw mut error) };
        NonNull::new(raw).map(|raw| Self { raw }).ok_or(Errno(error))
    }

    pub(super) const fn raw(&self) -> *mut ffi::Mempool {
        self.raw.as_ptr()
    }

    /// Mbufs that are in rings, stashes or with the caller; exact while nobody uses the pool.
    pub(crate) fn in_use(&self) -> u32 {
        // SAFETY: a pool that lives, since `self` owns it.
        unsafe { ffi::shim_pool_in_use(self.raw()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A ring of another port may still name an mbuf of this pool (net_ring passes them on as
        // they are): then its memory stays until the process ends.
        if self.in_use() == 0 {
            // SAFETY: nobody has any of its mbufs, and nobody else has the pool.
            unsafe { ffi::shim_pool_free(self.raw()) };
        }
    }
}
