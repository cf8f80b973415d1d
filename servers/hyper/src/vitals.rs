//! What a connection is doing, as far as its time-outs and counters care.

use server_common::{Counters, SendWatch};
use server_http::{Limits, Reason};
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The answer to be sent.
    Answer,
    /// The client to stop sending, after the last answer.
    Linger,
}

/// Which time-out has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// No request came.
    Idle,
    /// A head was not complete.
    Head,
    /// A body came too slowly.
    Body,
    /// The client took nothing.
    Send,
    /// The client still sent after the last answer.
    Linger,
}

/// The state that socket, service and supervisor of one connection share; all of one thread.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) limits: &'static Limits,
    pub(crate) counters: Arc<Counters>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Bytes of the body that were taken.
    body_bytes: Cell<u64>,
    /// The body came too slowly: it is to be answered with 408.
    body_is_late: Cell<bool>,
    /// When the connection was accepted: where its nanoseconds begin.
    opened: Instant,
    /// Whether the client takes what waits for it, while something does.
    watch: Cell<Option<SendWatch>>,
    /// It has taken nothing for too long.
    takes_nothing: Cell<bool>,
    /// Why the connection ends if it ends after the last answer.
    ending: Cell<Option<Reason>>,
}

impl Vitals {
    /// A connection that has just been accepted.
    pub(crate) fn new(limits: &'static Limits, counters: Arc<Counters>) -> Self {
        Self {
            limits,
            counters,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            body_bytes: Cell::new(0),
            body_is_late: Cell::new(false),
            opened: Instant::now(),
            watch: Cell::new(None),
            takes_nothing: Cell::new(false),
            ending: Cell::new(None),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// Bytes came in.
    pub(crate) fn received(&self, bytes: &[u8]) {
        self.counters.received_bytes.add(bytes.len() as u64);
        if self.phase.get() == Phase::Idle && begins_a_head(bytes) {
            self.enter(Phase::Head);
        }
    }

    /// The kernel took bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.counters.sent_bytes.add(bytes as u64);
        self.watch.set(None);
    }

    /// The kernel took none; `acknowledged` tells how many bytes the client has acknowledged.
    pub(crate) fn blocked(&self, acknowledged: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        let now_ns = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let timeout = self.limits.send_timeout;
        let mut watch = self.watch.get().unwrap_or_else(|| SendWatch::new(now_ns, timeout));
        self.takes_nothing.set(watch.is_over(now_ns, timeout, acknowledged)?);
        self.watch.set(Some(watch));
        Ok(())
    }

    /// Whether the client has taken nothing for too long.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.takes_nothing.get()
    }

    /// A head is complete; its body, if it has one that is taken, comes next.
    pub(crate) fn asked(&self, ending: Option<Reason>, takes_body: bool) {
        self.ending.set(ending);
        if takes_body {
            self.body_bytes.set(0);
            self.enter(Phase::Body);
        } else {
            self.phase.set(Phase::Answer);
        }
    }

    /// More of the body was taken; returns how much that is in all.
    pub(crate) fn body_grew(&self, bytes: usize) -> u64 {
        let body_bytes = self.body_bytes.get() + bytes as u64;
        self.body_bytes.set(body_bytes);
        body_bytes
    }

    /// The body is complete, or was refused for the reason given.
    pub(crate) fn body_ended(&self, refused: Option<Reason>) {
        self.phase.set(Phase::Answer);
        if refused.is_some() {
            self.ending.set(refused);
        }
    }

    /// From now on the body is answered with 408.
    pub(crate) fn give_up_body(&self) {
        self.body_is_late.set(true);
    }

    /// Whether the body is to be answered with 408.
    pub(crate) fn body_is_late(&self) -> bool {
        self.body_is_late.get()
    }

    /// The last byte of an answer was handed to hyper.
    pub(crate) fn answered(&self) {
        self.counters.responses.add(1);
        self.enter(Phase::Idle);
    }

    /// Something came and went: the idle time begins anew.
    pub(crate) fn stirred(&self) {
        self.enter(Phase::Idle);
    }

    /// The last answer is out; what the client still sends is dropped.
    pub(crate) fn lingers(&self) {
        self.watch.set(None);
        self.enter(Phase::Linger);
    }

    /// Why the connection ends after the last answer, where that answer was to end it.
    pub(crate) fn ending(&self) -> Option<Reason> {
        self.ending.get()
    }

    /// The time-out that is next, and when it passes; [`Late::Send`] only if it has been found by
    /// then that the client [takes nothing](Self::takes_nothing).
    pub(crate) fn deadline(&self) -> Option<(Instant, Late)> {
        if let Some(watch) = self.watch.get() {
            let look_at = self.opened.checked_add(Duration::from_nanos(watch.look_at_ns()));
            return look_at.map(|look_at| (look_at, Late::Send));
        }
        let (wait, late) = match self.phase.get() {
            Phase::Idle => (self.limits.idle_timeout, Late::Idle),
            Phase::Head => (self.limits.head_timeout, Late::Head),
            Phase::Body if self.body_is_late.get() => return None,
            Phase::Body => (self.body_wait()?, Late::Body),
            Phase::Answer => return None,
            Phase::Linger => (self.limits.linger_timeout, Late::Linger),
        };
        self.since.get().checked_add(wait).map(|deadline| (deadline, late))
    }

    /// After the grace, once the average from the body's start is below the rate.
    fn body_wait(&self) -> Option<Duration> {
        let rate = self.limits.body_rate_bytes_per_s;
        let earned_ns = self.body_bytes.get().saturating_mul(1_000_000_000).checked_div(rate)?;
        Some(Duration::from_nanos(earned_ns).max(self.limits.body_grace))
    }
}

/// Whether there is more in `bytes` than empty lines, which are no part of a request (RFC 9112
/// §2.2).
pub(crate) fn begins_a_head(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
}
