//! io_uring made safe: operations in, completions out, memory owned by whoever may touch it.
//!
//! Three rules make it so, and all are kept in this folder alone:
//! 1. bytes that the kernel reads (a send) are never freed, or belong to the [`Ring`] from
//!    [`Ring::send`] until the completion brings the buffer back, or for a send without a copy its
//!    notification;
//! 2. bytes that the kernel writes lie in provided buffers, and each filled one is a move-only
//!    [`Provided`] until it is given back;
//! 3. datagrams lie in slots that are never freed, and one that the kernel has is touched by nobody
//!    until its operation has completed.
//!
//! What it deliberately does not do: know HTTP, time-outs, or what to do about an error.

mod buffers;
mod datagrams;
mod files;
mod setup;
mod socket;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use buffers::Provided;
pub(crate) use datagrams::SLOTS as DATAGRAM_SLOTS;
pub(crate) use setup::{Asked, Files, MinWait, Obtained, Receive, Taskrun};
pub(crate) use socket::Socket;
pub(crate) use token::ConnId;

use crate::counters::RingCounters;
use buffers::{Buffers, GROUP};
use datagrams::Datagrams;
use files::FileTable;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, Parameters, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use server_common::Piece;
use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use token::{Op, Token};

/// `IORING_SEND_ZC_REPORT_USAGE` of `linux/io_uring.h`, Linux 6.2.
const SEND_ZC_REPORT_USAGE: u16 = 1 << 3;
/// `IORING_NOTIF_USAGE_ZC_COPIED`: the kernel has copied after all.
const NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;

/// Operations that may be started after one [`Ring::make_room`].
pub(crate) const ROOM: usize = 8;

/// A thread's io_uring.
pub(crate) struct Ring {
    submitter: Submitter<'static>,
    submission: SubmissionQueue<'static>,
    completion: CompletionQueue<'static>,
    parameters: Parameters,
    obtained: Obtained,
    min_wait: Option<MinWait>,
    /// Sends of so many bytes or more are without a copy.
    send_zc_bytes: Option<usize>,
    /// What the kernel may read, by slot. Never dropped, because dropping the ring does not stop
    /// the kernel.
    sends: ManuallyDrop<Vec<Option<Sending>>>,
    /// What the kernel may write or read of datagrams. Never dropped, for the same reason.
    datagrams: ManuallyDrop<Datagrams>,
    buffers: Buffers,
    /// There unless operations name descriptors.
    files: Option<FileTable>,
    /// The descriptor that was just given to a socket that had none.
    installed: Option<io::Result<OwnedFd>>,
    counters: Arc<RingCounters>,
    reaped: VecDeque<Completion>,
}

/// A send under way.
struct Sending {
    outgoing: Outgoing,
    is_zero_copy: bool,
    /// What it came to, where the kernel still has the bytes: they are sent without a copy, and
    /// not acknowledged yet.
    result: Option<io::Result<usize>>,
}

/// Bytes on their way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// How many of them the kernel has taken.
    pub(crate) taken: usize,
    /// More follows at once, so that a segment that is not full can wait for it (MSG_MORE).
    pub(crate) more: bool,
}

/// Where bytes on their way out lie.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// In memory that is used again once they are sent.
    Buffer(Vec<u8>),
    /// Where they stay.
    Static(&'static [u8]),
    /// In the pages of a file; not the ring sends them, but sendfile(2).
    File(Piece),
}

impl Bytes {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Buffer(buffer) => buffer.len(),
            Self::Static(bytes) => bytes.len(),
            Self::File(piece) => piece.len,
        }
    }
}

impl Outgoing {
    /// Bytes of which nothing is sent yet, and behind which nothing follows at once.
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self { bytes, taken: 0, more: false }
    }

    /// How many of them the kernel has not taken yet.
    pub(crate) const fn left_bytes(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// What the kernel has not taken yet, if it is in a file.
    pub(crate) fn rest_of_file(&self) -> Option<Piece> {
        let Bytes::File(mut piece) = self.bytes else { return None };
        piece.advance(self.taken);
        Some(piece)
    }

    /// What the kernel has not taken yet, if it is in memory.
    fn rest(&self) -> Option<&[u8]> {
        match &self.bytes {
            Bytes::Buffer(buffer) => Some(&buffer[self.taken..]),
            Bytes::Static(bytes) => Some(&bytes[self.taken..]),
            Bytes::File(_) => None,
        }
    }
}

/// What the kernel reports.
#[derive(Debug)]
pub(crate) enum Completion {
    /// A connection, or why there is none; `more` says that the accept goes on.
    Accepted { result: io::Result<Socket>, more: bool },
    /// Something about the bytes of a connection; `more` says that the receive goes on.
    Received { id: ConnId, result: io::Result<Received>, more: bool },
    /// The end of a send: its bytes, and how many of them the kernel has taken this time.
    Sent { id: ConnId, result: io::Result<usize>, outgoing: Outgoing },
    /// The shutdown was requested.
    Shutdown,
    /// A datagram lies in the slot, with this many bytes.
    DatagramReceived { slot: u32, result: io::Result<usize> },
    /// The datagram of the slot was sent, with this many bytes.
    DatagramSent { slot: u32, result: io::Result<usize> },
}

/// What was received.
#[derive(Debug)]
pub(crate) enum Received {
    /// Bytes.
    Data(Provided),
    /// The peer's FIN.
    End,
}

impl Ring {
    /// Opens the ring of the calling thread.
    ///
    /// # Errors
    /// A sentence that names the likely cause and the cure.
    pub(crate) fn open(asked: Asked, counters: Arc<RingCounters>) -> io::Result<Self> {
        let (ring, buffers, files, mut obtained) = setup::open(asked)?;
        let parameters = ring.params().clone();
        let (mut submitter, submission, completion) = ring.split();
        // Since 5.18, saves looking the descriptor up at each call; going without is no loss of
        // function, and the ready line says so.
        obtained.registered_ring = submitter.register_ring_fd().is_ok();
        counters.receive_buffers_provided.add(buffers.provided().into());
        Ok(Self {
            submitter,
            submission,
            completion,
            parameters,
            obtained,
            min_wait: asked.min_wait,
            send_zc_bytes: asked.send_zc_bytes,
            sends: ManuallyDrop::new(Vec::new()),
            datagrams: ManuallyDrop::new(Datagrams::default()),
            buffers,
            files,
            installed: None,
            counters,
            reaped: VecDeque::new(),
        })
    }

    /// What the ready line says about it.
    pub(crate) fn details(&self, asked: Asked) -> server_common::Details {
        self.obtained.details(asked, &self.parameters)
    }

    /// Accepts connections until `Completion::Accepted` comes without `more`.
    ///
    /// The sockets are in blocking mode: with O_NONBLOCK the kernel would not wait for readiness
    /// but report EAGAIN.
    pub(crate) fn accept(&mut self, listener: BorrowedFd<'_>) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()));
        let entry = if let Some(FileTable::OfAccept) = self.files {
            entry.allocate_file_index(true)
        } else {
            entry.flags(libc::SOCK_CLOEXEC)
        };
        self.push(entry.build(), Token::without_connection(Op::Accept));
    }

    /// Stops accepting from `listener`; the accept completes without `more`.
    pub(crate) fn cancel_accept(&mut self) {
        let accept = Token::without_connection(Op::Accept);
        self.push_quiet(cancel(CancelBuilder::user_data(accept.user_data())));
    }

    /// Reports `Completion::Shutdown` once `event` is readable.
    pub(crate) fn await_shutdown(&mut self, event: BorrowedFd<'_>) {
        let readable = u32::from(libc::POLLIN.unsigned_abs());
        let entry = opcode::PollAdd::new(Fd(event.as_raw_fd()), readable);
        self.push(entry.build(), Token::without_connection(Op::Shutdown));
    }

    /// Receives from a connection until `Completion::Received` comes without `more`.
    pub(crate) fn receive(&mut self, id: ConnId, socket: &Socket) {
        let (socket, flags) = self.name(id, socket);
        let entry = match self.obtained.receive {
            Receive::Incremental | Receive::Multishot => {
                opcode::RecvMulti::new(socket, GROUP).build()
            }
            Receive::Bundle => opcode::RecvMultiBundle::new(socket, GROUP).build(),
            // A null address: the kernel selects the buffer. No length: as much as it holds.
            Receive::Single => opcode::Recv::new(socket, std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
        };
        self.push(entry.flags(flags), Token { op: Op::Receive, id });
    }

    /// Stops receiving; the receive completes without `more`, after what it still has.
    pub(crate) fn cancel_receive(&mut self, id: ConnId) {
        let receive = Token { op: Op::Receive, id };
        self.push_quiet(cancel(CancelBuilder::user_data(receive.user_data())));
    }

    /// Sends something of `outgoing`, as soon as the socket takes it.
    ///
    /// NB: not all of it (MSG_WAITALL), or a client that takes its answer slowly but steadily could
    /// not be told from one that takes nothing.
    ///
    /// # Panics
    /// Panics if the connection has a send in flight, or the bytes are in a file.
    pub(crate) fn send(&mut self, id: ConnId, socket: &Socket, outgoing: Outgoing) {
        let rest = outgoing.rest().expect("sendfile sends what is in a file");
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let bytes = rest.as_ptr();
        let (fd, flags) = self.name(id, socket);
        let is_zero_copy = self.send_zc_bytes.is_some_and(|bytes| rest.len() >= bytes);
        let how = libc::MSG_NOSIGNAL | if outgoing.more { libc::MSG_MORE } else { 0 };
        let entry = if is_zero_copy {
            self.counters.sends_zero_copy.add(1);
            let entry = opcode::SendZc::new(fd, bytes, len).flags(how);
            entry.zc_flags(SEND_ZC_REPORT_USAGE).build()
        } else {
            opcode::Send::new(fd, bytes, len).flags(how).build()
        };
        // Moving a vector leaves its bytes where the entry points to.
        self.keep(id, Sending { outgoing, is_zero_copy, result: None });
        self.push(entry.flags(flags), Token { op: Op::Send, id });
    }

    fn keep(&mut self, id: ConnId, sending: Sending) {
        if self.sends.len() <= id.slot() {
            self.sends.resize_with(id.slot() + 1, || None);
        }
        let place = &mut self.sends[id.slot()];
        assert!(place.is_none(), "a connection has one send in flight");
        *place = Some(sending);
    }

    /// Sends nothing of `outgoing`, but reports `Completion::Sent`, with no bytes taken, once the
    /// socket takes some.
    ///
    /// # Panics
    /// Panics if the connection has a send in flight.
    pub(crate) fn await_room(&mut self, id: ConnId, socket: &Socket, outgoing: Outgoing) {
        let (fd, flags) = self.name(id, socket);
        let writable = u32::from(libc::POLLOUT.unsigned_abs());
        let entry = opcode::PollAdd::new(fd, writable).build();
        self.keep(id, Sending { outgoing, is_zero_copy: false, result: None });
        self.push(entry.flags(flags), Token { op: Op::AwaitRoom, id });
    }

    /// Reports `completion` in its turn: what happened without an operation.
    pub(crate) fn report(&mut self, completion: Completion) {
        self.reaped.push_back(completion);
    }

    /// Whether the send in flight of a connection is without a copy: then its buffer comes back
    /// when the peer has acknowledged the bytes, and a cancel does not change that.
    pub(crate) fn sends_without_copy(&self, id: ConnId) -> bool {
        let sending = self.sends.get(id.slot()).and_then(Option::as_ref);
        sending.is_some_and(|sending| sending.is_zero_copy)
    }

    /// Receives a datagram into a slot below [`DATAGRAM_SLOTS`], with the address of its sender.
    ///
    /// # Panics
    /// Panics if the slot has an operation under way.
    pub(crate) fn receive_datagram(&mut self, slot: u32, socket: BorrowedFd<'_>) {
        self.datagrams.provide();
        let header = self.datagrams.lend_for_receive(slot);
        let entry = opcode::RecvMsg::new(Fd(socket.as_raw_fd()), header);
        self.push(entry.build(), Token { op: Op::ReceiveDatagram, id: ConnId::first(slot) });
    }

    /// Sends the datagram of a slot, `len` bytes, back to where it came from.
    ///
    /// # Panics
    /// Panics if the slot has an operation under way.
    pub(crate) fn send_datagram(&mut self, slot: u32, len: usize, socket: BorrowedFd<'_>) {
        let header = self.datagrams.lend_for_send(slot, len);
        let entry = opcode::SendMsg::new(Fd(socket.as_raw_fd()), header);
        self.push(entry.build(), Token { op: Op::SendDatagram, id: ConnId::first(slot) });
    }

    /// Ends every operation on a socket of datagrams; each still completes.
    pub(crate) fn cancel_datagrams(&mut self, socket: BorrowedFd<'_>) {
        self.push_quiet(cancel(CancelBuilder::fd(Fd(socket.as_raw_fd())).all()));
    }

    /// Starts an operation of which only a failure is reported, and ignored: a cancel that came
    /// too late.
    fn push_quiet(&mut self, entry: squeue::Entry) {
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry, Token::without_connection(Op::Quiet));
    }

    fn push(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.user_data());
        // SAFETY: the only entries with addresses are updates of files, sends and datagrams. What
        // files are updated from is never freed, and not written before it was read. `send` has put
        // its bytes, unless they are static, into `sends`, which is never dropped and gives a
        // buffer up only to the completion of its send; a datagram's slot is never dropped and lent
        // to one operation at a time. Descriptors are no matter of memory safety.
        let pushed = unsafe { self.submission.push(&entry) };
        pushed.expect("make_room was called, and no more than ROOM operations were started since");
    }

    /// Makes room for [`ROOM`] operations, submitting what is there if need be.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns, and a sentence where the kernel takes no operations even
    /// after its completions were taken.
    pub(crate) fn make_room(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            if self.submission.capacity() - self.submission.len() >= ROOM {
                return Ok(());
            }
            self.submit()?;
            if self.parameters.is_setup_sqpoll() {
                // The kernel's thread takes entries in its own time.
                unless_transient(self.submitter.squeue_wait())?;
                self.submission.sync();
            }
            self.reap();
        }
        if self.submission.capacity() - self.submission.len() >= ROOM {
            return Ok(());
        }
        Err(io::Error::other("the kernel takes no operations from a full submission queue"))
    }

    /// Submits all operations started, without waiting.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns, but for a shortage, after which completions are reaped
    /// and it is called again (io_uring_enter(2), EAGAIN and EBUSY).
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        self.submission.sync();
        // With a thread of the kernel that is awake, submitting is no system call.
        if !self.parameters.is_setup_sqpoll() || self.submission.need_wakeup() {
            self.counters.ring_enters.add(1);
        }
        let submitted = self.submitter.submit();
        self.submission.sync();
        unless_transient(submitted)
    }

    /// Submits, and waits until there is a completion, but no longer than `timeout`.
    ///
    /// One completion ends the wait, so the sends of a turn, which mostly complete while they are
    /// submitted, cost a second call before the thread sleeps. Waiting for as many completions as
    /// there are sends and one more would save it, but a send to a client that has stopped reading
    /// would then hold up all others. It was tried: from 32 connections on there was no difference.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub(crate) fn submit_and_wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.completion.sync();
        if !self.reaped.is_empty() || !self.completion.is_empty() {
            return self.submit();
        }
        self.submission.sync();
        self.counters.ring_enters.add(1);
        let timespec = timeout.map(Timespec::from);
        let mut arguments = SubmitArgs::new();
        let mut want = 1;
        if let Some(MinWait { completions, time }) = self.min_wait {
            want = completions as usize;
            arguments =
                arguments.min_wait_usec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        }
        if let Some(timespec) = &timespec {
            arguments = arguments.timespec(timespec);
        }
        let waited = match (&timespec, self.min_wait) {
            (None, None) => self.submitter.submit_and_wait(want),
            _ => self.submitter.submit_with_args(want, &arguments),
        };
        self.submission.sync();
        unless_transient(waited)
    }

    /// Submits if there is anything to submit, or completions to be had by asking; otherwise it
    /// makes no system call.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns.
    pub(crate) fn poll(&mut self) -> io::Result<()> {
        let quiet = self.submission.is_empty()
            && !self.submission.taskrun()
            && !self.submission.cq_overflow();
        if quiet { Ok(()) } else { self.submit() }
    }

    /// Takes all completions there are from the kernel's queue; returns how many
    /// [`next`](Self::next) has now.
    pub(crate) fn reap(&mut self) -> usize {
        self.completion.sync();
        while let Some(cqe) = self.completion.next() {
            let completion = self.interpret(&cqe);
            self.reaped.extend(completion);
        }
        self.completion.sync();
        self.reaped.len()
    }

    /// The next completion that was reaped.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        self.reaped.pop_front()
    }

    /// Has the kernel fill a buffer again.
    pub(crate) fn give_back(&mut self, buffer: Provided) {
        self.buffers.give_back(buffer);
    }

    /// Provides more buffers, after the kernel found none (ENOBUFS).
    ///
    /// Every buffer is given back as soon as its completion is handled, so by the time that this
    /// is called there are buffers again, and a receive that is started anew makes progress.
    pub(crate) fn provide_more(&mut self) {
        let before = self.buffers.provided();
        self.buffers.grow();
        let added = self.buffers.provided() - before;
        self.counters.receive_buffers_provided.add(added.into());
    }

    /// What `cqe`, just taken from the queue, means.
    fn interpret(&mut self, cqe: &cqueue::Entry) -> Option<Completion> {
        let token = Token::from_user_data(cqe.user_data()).expect("every operation has a token");
        let more = cqueue::more(cqe.flags());
        match token.op {
            Op::Accept => {
                let result = self.interpret_accept(cqe);
                Some(Completion::Accepted { result, more })
            }
            Op::Install => {
                self.installed = Some(descriptor(cqe));
                None
            }
            Op::Receive if self.obtained.receive == Receive::Bundle => {
                self.interpret_bundle(cqe, token.id)
            }
            Op::Receive => {
                let result = self.interpret_receive(cqe);
                Some(Completion::Received { id: token.id, result, more })
            }
            Op::Send => self.interpret_send(cqe, token.id),
            Op::AwaitRoom => {
                let sending = self.sends[token.id.slot()].take();
                let Sending { outgoing, .. } = sending.expect("a poll completes once");
                // What it has come to, an error of the socket too, the next send says.
                let result = result(cqe).map(|_| 0);
                Some(Completion::Sent { id: token.id, result, outgoing })
            }
            Op::Shutdown => Some(Completion::Shutdown),
            Op::ReceiveDatagram => {
                let slot = token.id.number();
                self.datagrams.take_back(slot);
                Some(Completion::DatagramReceived { slot, result: result(cqe) })
            }
            Op::SendDatagram => {
                let slot = token.id.number();
                self.datagrams.take_back(slot);
                Some(Completion::DatagramSent { slot, result: result(cqe) })
            }
            Op::Quiet => None,
        }
    }

    fn interpret_accept(&self, cqe: &cqueue::Entry) -> io::Result<Socket> {
        if let Some(FileTable::OfAccept) = self.files {
            let place = result(cqe)?;
            return Ok(Socket::Direct(u32::try_from(place).map_err(io::Error::other)?));
        }
        descriptor(cqe).map(Socket::Descriptor)
    }

    /// A send completes once; one without a copy first says what it came to, and then, in another
    /// CQE, that the bytes are ours again (io_uring_prep_send_zc(3)).
    fn interpret_send(&mut self, cqe: &cqueue::Entry, id: ConnId) -> Option<Completion> {
        let place = &mut self.sends[id.slot()];
        let sending = place.as_mut().expect("a send completes once");
        if cqueue::notif(cqe.flags()) {
            if cqe.result().cast_unsigned() & NOTIF_USAGE_ZC_COPIED != 0 {
                self.counters.sends_zero_copy_copied.add(1);
            }
        } else {
            sending.result = Some(result(cqe));
            if cqueue::more(cqe.flags()) {
                return None;
            }
        }
        let Sending { outgoing, result, .. } = place.take()?;
        let result = result.expect("the notification comes second");
        Some(Completion::Sent { id, result, outgoing })
    }

    /// A bundle brings a completion for each of its buffers; `more` is said with the last. Without
    /// bytes, at the end of the stream, the kernel names a buffer that it has not taken.
    fn interpret_bundle(&mut self, cqe: &cqueue::Entry, id: ConnId) -> Option<Completion> {
        let more = cqueue::more(cqe.flags());
        let (mut left, mut index) = match (result(cqe), cqueue::buffer_select(cqe.flags())) {
            (Ok(len @ 1..), Some(index)) => (len, index),
            (len, _) => {
                let result = len.map(|_| Received::End);
                return Some(Completion::Received { id, result, more });
            }
        };
        loop {
            let len = left.min(self.buffers.len_bytes());
            // SAFETY: the completion was just taken from the queue, `reap` takes them in order,
            // and this is the only use of this part of it.
            let buffer = unsafe { self.buffers.filled(index, len, false) };
            let result = Ok(Received::Data(buffer));
            left -= len;
            if left == 0 {
                return Some(Completion::Received { id, result, more });
            }
            self.reaped.push_back(Completion::Received { id, result, more: true });
            index = self.buffers.behind(index);
        }
    }

    fn interpret_receive(&mut self, cqe: &cqueue::Entry) -> io::Result<Received> {
        let len = result(cqe);
        let more = cqueue::buffer_more(cqe.flags());
        let buffer = cqueue::buffer_select(cqe.flags()).map(|index| {
            let len = *len.as_ref().unwrap_or(&0);
            // SAFETY: the completion was just taken from the queue, and this is its only use;
            // `reap` takes them in order.
            unsafe { self.buffers.filled(index, len, more) }
        });
        match (len, buffer) {
            (Ok(1..), Some(buffer)) => Ok(Received::Data(buffer)),
            (len, unused) => {
                if let Some(unused) = unused {
                    self.buffers.give_back(unused);
                }
                len.map(|_| Received::End)
            }
        }
    }
}

/// Whether `io_uring_enter` failed for good: a time-out, a signal, and a shortage that ends when
/// completions are reaped do not.
fn unless_transient(entered: io::Result<usize>) -> io::Result<()> {
    let transient = [libc::ETIME, libc::EINTR, libc::EAGAIN, libc::EBUSY];
    match entered {
        Err(error) if error.raw_os_error().is_some_and(|errno| transient.contains(&errno)) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

fn cancel(what: CancelBuilder) -> squeue::Entry {
    opcode::AsyncCancel2::new(what).build()
}

/// The descriptor that an operation has made.
fn descriptor(cqe: &cqueue::Entry) -> io::Result<OwnedFd> {
    result(cqe).map(|_| {
        // SAFETY: the result of the operations that this is called for, accept and the installing
        // of a fixed file, is a descriptor new to this process; it is called once for each.
        unsafe { OwnedFd::from_raw_fd(cqe.result()) }
    })
}

/// The result of an operation, or its negative errno as an error.
fn result(cqe: &cqueue::Entry) -> io::Result<usize> {
    usize::try_from(cqe.result()).map_err(|_| io::Error::from_raw_os_error(-cqe.result()))
}
