//! Registered files: the ring's own table of sockets.
//!
//! An operation that names a place in this table saves the kernel looking the descriptor up and
//! counting a reference to it. With `--files registered` the place is the connection's slot, and
//! the descriptor stays open beside it; with `--files direct` accept chooses the place, and there
//! is no descriptor, but for the rare moments that need one (`TCP_INFO`, SO_LINGER, shutdown(2)).

use io_uring::{Submitter, opcode, squeue};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// What the kernel reads to empty a place.
static EMPTY: RawFd = -1;

/// Whose places the table has.
#[derive(Debug)]
pub(super) enum FileTable {
    /// Connections' slots, filled by us.
    OfSlots(Slots),
    /// Those that accept chooses.
    OfAccept,
}

impl FileTable {
    /// Registers a table with places for `count` connections.
    ///
    /// # Errors
    /// EINVAL from a kernel before 5.19; EMFILE beyond the limit on open files.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        count: u32,
        direct: bool,
    ) -> io::Result<Self> {
        submitter.register_files_sparse(count)?;
        if direct {
            return Ok(Self::OfAccept);
        }
        Ok(Self::OfSlots(Slots(Box::leak(vec![EMPTY; count as usize].into_boxed_slice()))))
    }
}

/// What the places of slots are filled from. Its memory is never freed, because dropping the ring
/// does not stop the kernel.
#[derive(Debug)]
pub(super) struct Slots(&'static mut [RawFd]);

impl Slots {
    /// Puts a socket into the place of its slot, which is empty.
    ///
    /// The entry points to the descriptor in this table. It is written here alone, and not again
    /// before the slot is another connection's, which its receive having completed precedes.
    pub(super) fn put(&mut self, slot: u32, socket: BorrowedFd<'_>) -> squeue::Entry {
        let place = &mut self.0[slot as usize];
        *place = socket.as_raw_fd();
        update(place, slot)
    }
}

/// Empties the place of a slot.
pub(super) fn clear(slot: u32) -> squeue::Entry {
    update(&raw const EMPTY, slot)
}

fn update(descriptor: *const RawFd, slot: u32) -> squeue::Entry {
    let offset = i32::try_from(slot).expect("--max-connections is lower");
    opcode::FilesUpdate::new(descriptor, 1).offset(offset).build()
}
