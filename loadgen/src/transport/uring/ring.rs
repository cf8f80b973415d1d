//! io_uring made safe: operations in, completions out, memory owned by whoever may touch it.
//!
//! Three rules make it so, and all are kept in this file and in `buffers.rs`:
//! 1. bytes that the kernel reads are copied to memory of the ring's own: requests that go at once
//!    to `staged`, which is emptied only after they went, what is left of one to `rests`, from
//!    where the completion of its send takes it;
//! 2. bytes that the kernel writes lie in provided buffers, and each filled one is a move-only
//!    [`Filled`] until it is given back;
//! 3. memory that the kernel may still touch when the ring is dropped is never freed.

use super::buffers::{Buffers, Filled, GROUP};
use super::token::{Id, Op, pack, unpack};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::SockAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

/// Operations that are submitted at once.
const SUBMISSIONS: u32 = 256;
/// Completions that the kernel hands over at once; it keeps others until there is room.
const COMPLETIONS: u32 = 1024;
/// Bytes of requests that are submitted at once.
const STAGED_BYTES: usize = 64 * 1024;
/// How long, and how often, a ring that is dropped waits for what it has cancelled.
const LAST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAITS: usize = 100;

/// What the kernel says of an operation.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) op: Op,
    pub(super) id: Id,
    /// Bytes, or why it failed, by `errno(3)`.
    pub(super) result: Result<usize, i32>,
    /// Whether the operation goes on.
    pub(super) more: bool,
    /// What was received.
    pub(super) filled: Option<Filled>,
}

/// The memory that the kernel may touch while operations are under way.
#[derive(Debug)]
struct Shared {
    buffers: Buffers,
    /// Where connections lead. Never changed.
    addresses: Box<[SockAddr]>,
    /// What is left of requests that were not sent at once, by connection.
    rests: BTreeMap<Id, Box<[u8]>>,
}

/// The io_uring of one thread.
pub(super) struct Ring {
    ring: IoUring,
    enabled: bool,
    shared: ManuallyDrop<Shared>,
    /// Requests in the submission queue, one behind the other. Allocated once: it never grows.
    staged: Vec<u8>,
    /// Operations of which the last completion is still to come. Quiet ones and requests that go
    /// at once are over when they are submitted.
    live: usize,
}

impl Ring {
    /// An io_uring for connections to `addresses`. It will belong to the thread that enables it.
    ///
    /// # Errors
    /// A sentence that names the likely cause and the cure.
    pub(super) fn new(addresses: Box<[SockAddr]>) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_cqsize(COMPLETIONS)
            // One operation that is refused does not hold up those behind it.
            .setup_submit_all()
            // What has arrived is seen to when the thread asks, not by interrupting it, and a flag
            // in shared memory says that there is something to ask for.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            // The thread that sets it up is not the one that uses it.
            .setup_r_disabled();
        let ring = builder.build(SUBMISSIONS).map_err(explain)?;
        let mut shared = Shared { buffers: Buffers::new(), addresses, rests: BTreeMap::new() };
        // SAFETY: `drop` frees `shared` only once no operation is under way, and last of all.
        unsafe { shared.buffers.register(&ring.submitter()) }.map_err(explain)?;
        Ok(Self {
            ring,
            enabled: false,
            shared: ManuallyDrop::new(shared),
            staged: Vec::with_capacity(STAGED_BYTES),
            live: 0,
        })
    }

    /// Makes the ring the calling thread's, unless it is already: no other may use it.
    ///
    /// # Errors
    /// Whatever `io_uring_register` returns.
    pub(super) fn enable(&mut self) -> io::Result<()> {
        if self.enabled {
            return Ok(());
        }
        let mut submitter = self.ring.submitter();
        submitter.register_enable_rings()?;
        self.enabled = true;
        // Saves looking the descriptor up at each call.
        submitter.register_ring_fd()
    }

    /// Connects to one of the addresses.
    ///
    /// # Errors
    /// As [`Ring::push`], for this and all operations that follow.
    pub(super) fn connect(
        &mut self,
        id: Id,
        socket: BorrowedFd<'_>,
        address: usize,
    ) -> io::Result<()> {
        let address = &self.shared.addresses[address];
        let entry =
            opcode::Connect::new(Fd(socket.as_raw_fd()), address.as_ptr().cast(), address.len());
        self.start(entry.build(), Op::Connect, id)
    }

    /// Receives until a completion comes without `more`.
    pub(super) fn receive(&mut self, id: Id, socket: BorrowedFd<'_>) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP);
        self.start(entry.build(), Op::Receive, id)
    }

    /// Sends a request when operations are submitted next. If not all of it went then, there is a
    /// completion that says how much or why, else there is none.
    ///
    /// False where it is too long for that.
    pub(super) fn send(
        &mut self,
        id: Id,
        socket: BorrowedFd<'_>,
        request: &[u8],
    ) -> io::Result<bool> {
        if self.staged.len() + request.len() > STAGED_BYTES {
            self.submit()?;
        }
        let begin = self.staged.len();
        if begin + request.len() > STAGED_BYTES {
            return Ok(false);
        }
        self.staged.extend_from_slice(request);
        let staged = &self.staged[begin..];
        let len = u32::try_from(staged.len()).expect("64 KiB");
        // With MSG_WAITALL less than all is a failure, which is not skipped; with MSG_DONTWAIT the
        // kernel waits for no room, so that it does not read `staged` after the submission.
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), staged.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, Op::Send, id)?;
        Ok(true)
    }

    /// Sends what is left of a request, as room for it comes up. The completion says how much went.
    ///
    /// # Panics
    /// If the connection has one under way.
    pub(super) fn send_rest(
        &mut self,
        id: Id,
        socket: BorrowedFd<'_>,
        rest: &[u8],
    ) -> io::Result<()> {
        let rests = &mut self.shared.rests;
        let previous = rests.insert(id, Box::from(rest));
        assert!(previous.is_none(), "a connection sends one request at a time");
        let rest = &rests[&id];
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), rest.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
        self.start(entry.build(), Op::SendRest, id)
    }

    /// Ends an operation that is under way; it still completes.
    pub(super) fn cancel(&mut self, op: Op, id: Id) -> io::Result<()> {
        let target = CancelBuilder::user_data(pack(op, id));
        self.push_quiet(opcode::AsyncCancel2::new(target).build(), id)
    }

    /// Closes a socket. Its number stays taken until the kernel gets here, so that operations
    /// which were started before still mean this socket.
    pub(super) fn close(&mut self, id: Id, socket: OwnedFd) -> io::Result<()> {
        self.push_quiet(opcode::Close::new(Fd(socket.into_raw_fd())).build(), id)
    }

    /// Starts an operation of which only a failure completes, and is ignored: a cancel that came
    /// too late.
    fn push_quiet(&mut self, entry: squeue::Entry, id: Id) -> io::Result<()> {
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), Op::Quiet, id)
    }

    fn start(&mut self, entry: squeue::Entry, op: Op, id: Id) -> io::Result<()> {
        self.push(entry, op, id)?;
        self.live += 1;
        Ok(())
    }

    /// Queues an operation; submits those before it if the queue is full.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns, and a sentence where the kernel leaves the queue full.
    fn push(&mut self, entry: squeue::Entry, op: Op, id: Id) -> io::Result<()> {
        if self.ring.submission().is_full() {
            self.submit()?;
        }
        let entry = entry.user_data(pack(op, id));
        // SAFETY: what entries point to is an address, of which there are as many as ever until
        // `drop`, or bytes in `staged` or `rests`, which stay as rule 1 says.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_| io::Error::other("the kernel takes no operations from a full queue"))
    }

    fn submit(&mut self) -> io::Result<()> {
        let result = self.ring.submit();
        self.after_enter(result)
    }

    fn after_enter(&mut self, result: io::Result<usize>) -> io::Result<()> {
        if self.has_submitted() {
            self.staged.clear();
        }
        match result.map_err(|error| (error.raw_os_error(), error)) {
            // The time is over, a signal came, or the kernel is short of memory for a moment
            // (io_uring_enter(2), EAGAIN and EBUSY): what it has not taken stays in the queue.
            Ok(_) | Err((Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY), _)) => {
                Ok(())
            }
            Err((_, error)) => Err(error),
        }
    }

    /// Whether the kernel has taken all operations.
    pub(super) fn has_submitted(&mut self) -> bool {
        self.ring.submission().is_empty()
    }

    /// Submits, and waits for a completion, but not longer than `wait_ns`. Makes no system call
    /// where there is nothing to submit, to fetch or to wait for; returns whether it made one.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns.
    pub(super) fn wait(&mut self, wait_ns: u64) -> io::Result<bool> {
        if wait_ns > 0 && self.ring.completion().is_empty() {
            let timeout = Timespec::from(Duration::from_nanos(wait_ns));
            let arguments = SubmitArgs::new().timespec(&timeout);
            let result = self.ring.submitter().submit_with_args(1, &arguments);
            return self.after_enter(result).map(|()| true);
        }
        let submission = self.ring.submission();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        if idle { Ok(false) } else { self.submit().map(|()| true) }
    }

    /// Appends all completions that there are, at most [`COMPLETIONS`].
    pub(super) fn reap(&mut self, into: &mut VecDeque<Completion>) {
        for cqe in self.ring.completion() {
            let (op, id) = unpack(cqe.user_data());
            let result = usize::try_from(cqe.result()).map_err(|_| -cqe.result());
            let buffers = &mut self.shared.buffers;
            let filled = cqueue::buffer_select(cqe.flags()).and_then(|index| {
                // SAFETY: the completion was just taken, and this is its only use.
                let filled = unsafe { buffers.filled(index, result.unwrap_or(0)) };
                buffers.unless_empty(filled)
            });
            let more = cqueue::more(cqe.flags());
            if !more && matches!(op, Op::Connect | Op::Receive | Op::SendRest) {
                self.live -= 1;
            }
            if op == Op::SendRest {
                self.shared.rests.remove(&id);
            }
            into.push_back(Completion { op, id, result, more, filled });
        }
    }

    /// What was received.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        self.shared.buffers.bytes(filled)
    }

    /// Has the kernel fill a buffer again.
    pub(super) fn give_back(&mut self, filled: Filled) {
        self.shared.buffers.give_back(filled);
    }

    /// Ends all operations, and waits until the kernel has done with them; false where it has not.
    fn cancel_all(&mut self) -> io::Result<bool> {
        self.submit()?;
        let all = CancelBuilder::any();
        match self.ring.submitter().register_sync_cancel(Some(LAST_WAIT.into()), all) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            _ => {}
        }
        let mut reaped = VecDeque::new();
        for _ in 0..LAST_WAITS {
            reaped.clear();
            self.reap(&mut reaped);
            if self.live == 0 {
                return Ok(true);
            }
            self.wait(u64::try_from(LAST_WAIT.as_nanos()).expect("10 ms"))?;
        }
        Ok(false)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Where the kernel does not let go of the memory, an error or not, it is leaked.
        if self.live == 0 || matches!(self.cancel_all(), Ok(true)) {
            // SAFETY: it is not used after this, and no operation is under way.
            unsafe { ManuallyDrop::drop(&mut self.shared) };
        }
    }
}

/// What to do where there is no ring to be had.
fn explain(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has none (CONFIG_IO_URING)",
        Some(libc::EPERM) => {
            "sysctl kernel.io_uring_disabled, or the seccomp filter of a container, forbids it"
        }
        Some(libc::EINVAL) => "Linux 6.1 or later is needed (uname -r)",
        Some(libc::ENOMEM) => "the limit on locked memory is too low (ulimit -l)",
        Some(libc::EMFILE | libc::ENFILE) => "there are too many open files (ulimit -n)",
        _ => "see io_uring_setup(2)",
    };
    io::Error::new(
        error.kind(),
        format!(
            "--transport uring: io_uring cannot be set up, {}: {advice}; \
             --transport epoll goes without",
            super::super::strerror(error.raw_os_error().unwrap_or(0))
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const ID: Id = Id::first(3);
    const MINUTE_NS: u64 = 60_000_000_000;

    /// A ring, and a connection of it with its peer; none where the kernel refuses io_uring.
    fn ring() -> Option<(Ring, UnixStream, UnixStream)> {
        let mut ring = match Ring::new(Box::new([])) {
            Ok(ring) => ring,
            Err(error) => {
                eprintln!("not tested: {error}");
                return None;
            }
        };
        ring.enable().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        Some((ring, near, far))
    }

    fn next(ring: &mut Ring) -> Completion {
        let mut reaped = VecDeque::new();
        while reaped.is_empty() {
            ring.wait(MINUTE_NS).unwrap();
            ring.reap(&mut reaped);
        }
        assert_eq!(reaped.len(), 1, "{reaped:?}");
        reaped.remove(0).unwrap()
    }

    #[test]
    fn a_request_that_goes_is_not_reported_and_its_memory_is_used_again() {
        let Some((mut ring, near, mut far)) = ring() else { return };
        for request in ["one", "another"] {
            assert!(ring.send(ID, near.as_fd(), request.as_bytes()).unwrap());
            assert_eq!(ring.staged, request.as_bytes());
            ring.wait(0).unwrap();
            assert!(ring.has_submitted() && ring.staged.is_empty());
            let mut bytes = vec![0; request.len()];
            far.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, request.as_bytes());
        }
        let mut reaped = VecDeque::new();
        ring.reap(&mut reaped);
        assert!(reaped.is_empty(), "{reaped:?}");
    }

    #[test]
    fn a_request_that_does_not_go_whole_is_reported_when_it_is_submitted() {
        let Some((mut ring, near, mut far)) = ring() else { return };
        let request = [7; STAGED_BYTES];
        socket2::SockRef::from(&near).set_send_buffer_size(8192).unwrap();
        let mut went = 0;
        let last = loop {
            assert!(ring.send(ID, near.as_fd(), &request).unwrap());
            ring.wait(0).unwrap();
            let mut reaped = VecDeque::new();
            ring.reap(&mut reaped);
            let Some(completion) = reaped.pop_front() else { continue };
            assert_eq!((completion.op, completion.id), (Op::Send, ID));
            match completion.result {
                Ok(count) => went += count,
                Err(errno) => break errno,
            }
        };
        assert_eq!(last, libc::EAGAIN, "nothing waits for room");
        assert!(went > 0 && !went.is_multiple_of(STAGED_BYTES), "{went} bytes");
        // What is left is sent by an operation that waits for room.
        ring.send_rest(ID, near.as_fd(), &request).unwrap();
        let peer = std::thread::spawn(move || {
            let mut bytes = vec![0; went + STAGED_BYTES];
            far.read_exact(&mut bytes).unwrap();
            bytes
        });
        let rest = next(&mut ring);
        assert_eq!((rest.op, rest.result), (Op::SendRest, Ok(STAGED_BYTES)));
        assert!(peer.join().unwrap().iter().all(|byte| *byte == 7) && ring.shared.rests.is_empty());
    }

    #[test]
    fn requests_longer_than_what_is_staged_are_left_to_others() {
        let Some((mut ring, near, _far)) = ring() else { return };
        assert!(!ring.send(ID, near.as_fd(), &[0; STAGED_BYTES + 1]).unwrap());
        assert!(ring.has_submitted(), "nothing was queued");
    }

    #[test]
    fn bytes_arrive_until_the_end_and_buffers_come_round() {
        let Some((mut ring, near, mut far)) = ring() else { return };
        ring.receive(ID, near.as_fd()).unwrap();
        for number in 0..2 * super::super::buffers::BUFFER_COUNT {
            let message = number.to_string();
            far.write_all(message.as_bytes()).unwrap();
            let received = next(&mut ring);
            assert!(received.more);
            let filled = received.filled.unwrap();
            assert_eq!(ring.bytes(&filled), message.as_bytes());
            ring.give_back(filled);
        }
        drop(far);
        let end = next(&mut ring);
        assert!(end.result == Ok(0) && end.filled.is_none() && !end.more, "{end:?}");
        assert_eq!(ring.live, 0);
    }

    #[test]
    fn a_ring_that_is_dropped_has_ended_what_was_under_way() {
        let Some((mut ring, near, far)) = ring() else { return };
        ring.receive(ID, near.as_fd()).unwrap();
        ring.send_rest(ID, near.as_fd(), &vec![0; 16 << 20]).unwrap();
        ring.receive(ID.next(), far.as_fd()).unwrap();
        ring.wait(0).unwrap();
        assert_eq!(ring.live, 3);
        assert!(ring.cancel_all().unwrap());
        assert!(ring.live == 0 && ring.shared.rests.is_empty());
    }

    #[test]
    fn each_refusal_names_its_cause_and_the_other_transport() {
        let check = |errno: i32, cause: &str| {
            let message = explain(io::Error::from_raw_os_error(errno)).to_string();
            assert!(message.contains(cause), "{message}");
            assert!(message.contains("--transport epoll"), "{message}");
        };
        check(libc::ENOSYS, "CONFIG_IO_URING");
        check(libc::EPERM, "kernel.io_uring_disabled");
        check(libc::EINVAL, "Linux 6.1");
        check(libc::ENOMEM, "ulimit -l");
        check(libc::EMFILE, "ulimit -n");
    }
}
