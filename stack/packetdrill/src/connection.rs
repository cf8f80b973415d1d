//! One connection: the state machine, and the bytes that it does not hold.

use crate::packet::{Flow, IpFields};
use crate::profile::Layout;
use crate::socket::Options;
use std::collections::VecDeque;
use tcp::{Closed, Flags, IcmpKind, Instant, Segment, SegmentOut, SendBuffer, State, Tcb, Verdict};

/// What is sent and not acknowledged, or not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Output(pub(crate) VecDeque<u8>);

impl SendBuffer for Output {
    fn backlog(&self) -> u32 {
        u32::try_from(self.0.len()).expect("setsockopt bounds it")
    }
}

/// A connection, with or without a socket.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for on its own")]
pub(crate) struct Connection {
    pub(crate) tcb: Tcb,
    pub(crate) flow: Flow,
    pub(crate) ip: IpFields,
    /// `SO_RCVBUF`, in bytes.
    pub(crate) receive_bytes: u32,
    pub(crate) output: Output,
    /// In order, and not read.
    pub(crate) input: VecDeque<u8>,
    /// What lies behind RCV.NXT, with its holes.
    behind: VecDeque<Option<u8>>,
    /// `SO_ERROR`: what the next call fails with.
    pub(crate) error: Option<i32>,
    /// What an ICMP message said that may pass: the error if nothing better comes.
    soft_error: Option<i32>,
    /// Whether its end has been turned into an error.
    has_ended: bool,
    /// Whether a socket has it, or will: it waits to be accepted.
    pub(crate) is_owned: bool,
    /// Whether the handshake has ever been completed.
    pub(crate) was_opened: bool,
    /// Whether the application has shut the direction down.
    pub(crate) no_reading: bool,
    pub(crate) no_writing: bool,
}

impl Connection {
    pub(crate) fn new(tcb: Tcb, flow: Flow, options: &Options) -> Self {
        Self {
            tcb,
            flow,
            ip: options.ip,
            receive_bytes: options.receive_bytes,
            output: Output::default(),
            input: VecDeque::new(),
            behind: VecDeque::new(),
            error: None,
            soft_error: None,
            has_ended: false,
            is_owned: true,
            was_opened: false,
            no_reading: false,
            no_writing: false,
        }
    }

    /// A segment arrives: the state machine judges it, and its bytes go where it says. What is to
    /// be answered at once is appended to `said`, everything else comes out of
    /// [`poll`](Self::poll).
    pub(crate) fn handle_segment(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        payload: &[u8],
        said: &mut Vec<Said>,
    ) -> Verdict {
        let verdict = self.tcb.handle_segment(now, segment);
        self.output.0.drain(..to_usize(verdict.acked));
        let deliver = usize::from(verdict.deliver.from)..;
        self.input.extend(&payload[deliver][..usize::from(verdict.deliver.len)]);
        for piece in verdict.store.as_slice() {
            let bytes = &payload[usize::from(piece.from)..][..usize::from(piece.len)];
            self.store(to_usize(piece.offset), bytes);
        }
        for byte in self.behind.drain(..to_usize(verdict.released)) {
            self.input.push_back(byte.expect("bytes are released that never arrived"));
        }
        if let Some(answer) = verdict.answer {
            said.push(self.say(&answer));
        }
        self.was_opened |= verdict.opened;
        self.note_end();
        verdict
    }

    fn store(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.behind.len() < end {
            self.behind.resize(end, None);
        }
        for (place, byte) in self.behind.range_mut(offset..end).zip(bytes) {
            assert!(place.is_none(), "a byte is stored that has arrived before");
            *place = Some(*byte);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.tcb.handle_timeout(now);
        self.note_end();
    }

    /// An ICMP error arrives.
    pub(crate) fn handle_icmp(&mut self, now: Instant, error: tcp::IcmpError, layout: Layout) {
        use tcp::IcmpVerdict::{Closed, Soft};
        let verdict = self.tcb.handle_icmp(now, error);
        let errno = match error.kind {
            IcmpKind::Unreachable(2) if layout == Layout::FreeBsd => libc::ECONNREFUSED,
            IcmpKind::Unreachable(2) => libc::ENOPROTOOPT,
            IcmpKind::Unreachable(3) => libc::ECONNREFUSED,
            IcmpKind::Unreachable(0) => libc::ENETUNREACH,
            _ => libc::EHOSTUNREACH,
        };
        match verdict {
            Soft => self.soft_error = Some(errno),
            Closed => self.error = Some(errno),
            _ => {}
        }
        self.note_end();
    }

    /// Turns the end of the connection into the error that its user is told, once.
    fn note_end(&mut self) {
        let Some(why) = self.tcb.closed() else { return };
        let is_told = std::mem::replace(&mut self.has_ended, true);
        let errno = match why {
            Closed::Reset => libc::ECONNRESET,
            Closed::Refused => libc::ECONNREFUSED,
            Closed::TimedOut => self.soft_error.unwrap_or(libc::ETIMEDOUT),
            Closed::Finished | Closed::BackToListen | Closed::Aborted => return,
        };
        if !is_told {
            self.error = self.error.or(Some(errno));
        }
    }

    /// Takes out of the state machine all that is to be sent.
    pub(crate) fn poll(&mut self, now: Instant, layout: Layout, said: &mut Vec<Said>) {
        while let Some(segment) = self.tcb.poll_transmit(now, &self.output) {
            said.push(self.say(&segment));
        }
        // Linux hands a burst to the device as one large segment, whose end is pushed.
        if let [.., first, last] = said.as_mut_slice()
            && layout == Layout::Linux
            && !first.payload.is_empty()
            && !last.payload.is_empty()
        {
            last.segment.flags = last.segment.flags | Flags::PSH;
        }
    }

    fn say(&self, segment: &SegmentOut) -> Said {
        let from = to_usize(segment.payload_offset);
        let range = from..from + usize::from(segment.payload_len);
        let payload = self.output.0.range(range).copied().collect();
        Said { flow: self.flow, ip: self.ip, segment: *segment, payload }
    }

    /// Whether all that the peer will ever send has been read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.input.is_empty()
            && (self.tcb.is_eof() || self.no_reading || self.tcb.state() == State::Closed)
    }

    /// Whether a handshake is under way.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.tcb.state(), State::SynSent | State::SynReceived)
    }
}

/// A segment on its way out.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) flow: Flow,
    pub(crate) ip: IpFields,
    pub(crate) segment: SegmentOut,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn to_usize(count: u32) -> usize {
    usize::try_from(count).expect("this machine has 32 bits or more")
}
