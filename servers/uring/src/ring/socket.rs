//! An accepted socket: a descriptor, or only a place in the ring's table.

use super::{ConnId, FileTable, Op, Ring, Token, files};
use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{opcode, squeue};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

/// What accept has brought. It is closed by [`Ring::close`].
#[derive(Debug)]
#[must_use = "a socket without a descriptor stays in the ring's table until it is closed"]
pub(crate) enum Socket {
    /// A descriptor of this process.
    Descriptor(OwnedFd),
    /// A place in the table of the ring that accepted it, with `--files direct`.
    Direct(u32),
}

impl Ring {
    /// Makes a connection's socket known to the ring: before any other operation on it.
    pub(crate) fn introduce(&mut self, id: ConnId, socket: &Socket) {
        if let (Some(FileTable::OfSlots(table)), Socket::Descriptor(socket)) =
            (&mut self.files, socket)
        {
            let entry = table.put(id.number(), socket.as_fd());
            self.push_quiet(entry);
        }
    }

    /// Forgets the socket of a connection that has no operation under way: before its close.
    pub(crate) fn forget(&mut self, id: ConnId) {
        if let Some(FileTable::OfSlots(_)) = self.files {
            self.push_quiet(files::clear(id.number()));
        }
    }

    /// How an entry names a connection's socket.
    pub(super) fn name(&self, id: ConnId, socket: &Socket) -> (Fd, squeue::Flags) {
        let place = match (socket, &self.files) {
            (Socket::Direct(place), _) => *place,
            (Socket::Descriptor(_), Some(FileTable::OfSlots(_))) => id.number(),
            (Socket::Descriptor(socket), _) => {
                return (Fd(socket.as_raw_fd()), squeue::Flags::empty());
            }
        };
        let place = i32::try_from(place).expect("--max-connections is lower");
        (Fd(place), squeue::Flags::FIXED_FILE)
    }

    /// Ends every operation on `socket`; each still completes.
    pub(crate) fn cancel_all(&mut self, socket: &Socket) {
        let what = match socket {
            Socket::Descriptor(socket) => CancelBuilder::fd(Fd(socket.as_raw_fd())),
            Socket::Direct(place) => CancelBuilder::fd(Fixed(*place)),
        };
        self.push_quiet(super::cancel(what.all()));
    }

    /// Closes a socket that has no operation under way.
    ///
    /// The descriptor's number, or the place, stays taken until the kernel gets here, so
    /// operations that were started before still mean this socket.
    pub(crate) fn close(&mut self, socket: Socket) {
        let entry = match socket {
            Socket::Descriptor(socket) => opcode::Close::new(Fd(socket.into_raw_fd())),
            Socket::Direct(place) => opcode::Close::new(Fixed(place)),
        };
        self.push_quiet(entry.build());
    }

    /// Does what only a descriptor can be asked for: rare moments of a connection.
    ///
    /// A socket that has none is given one for as long (IORING_OP_FIXED_FD_INSTALL), which takes a
    /// system call and submits all that was started.
    ///
    /// # Errors
    /// Those of `act`; EMFILE where no descriptor is left; whatever `io_uring_enter` returns.
    pub(crate) fn with_descriptor<T>(
        &mut self,
        socket: &Socket,
        act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match socket {
            Socket::Descriptor(socket) => act(socket.as_fd()),
            Socket::Direct(place) => act(self.install(*place)?.as_fd()),
        }
    }

    /// A descriptor of the socket at `place`. It is closed by whoever gets it, and the socket stays
    /// in its place.
    fn install(&mut self, place: u32) -> io::Result<OwnedFd> {
        self.make_room()?;
        let entry = opcode::FixedFdInstall::new(Fixed(place), 0).build();
        self.push(entry, Token::without_connection(Op::Install));
        loop {
            // It completes while it is submitted. Where a thread of the kernel submits, that takes
            // a moment, in which waiting for any completion is as good.
            self.submit_and_wait(None)?;
            self.reap();
            if let Some(installed) = self.installed.take() {
                return installed;
            }
        }
    }
}
