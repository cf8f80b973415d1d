//! Runs a connection until it ends by itself, is late, or is cut off.

use crate::vitals::{Late, Vitals};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How far a thread has come with ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It serves.
    #[default]
    Serving,
    /// Answers in flight are the last.
    Draining,
    /// The drain's deadline has passed.
    CutOff,
}

/// The stage of one thread, which its connections hear of.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    stage: Cell<Stage>,
    changed: Notify,
}

impl Ending {
    /// Enters `stage` and wakes every connection.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.changed.notify_waiters();
    }

    /// The stage now.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }
}

/// How a supervised run came to its end.
#[derive(Debug)]
pub(crate) enum Run<T> {
    /// By itself.
    Ended(T),
    /// A time-out passed.
    Late(Late),
    /// The drain's deadline passed.
    CutOff,
}

/// Calls `poll` until it is ready, and watches the connection's deadlines and the thread's stage.
///
/// The timer and the stage cost nothing while requests come and go: the timer is touched only
/// when a deadline is earlier than what it is set to, or when it fires; deadlines that move away
/// are looked at then.
pub(crate) async fn supervise<T>(
    ending: &Ending,
    vitals: &Vitals,
    mut poll: impl FnMut(&mut Context<'_>, Stage) -> Poll<T>,
) -> Run<T> {
    let mut changed = pin!(ending.changed.notified());
    let mut heard = None;
    let mut timer = pin!(sleep_until(far_away(vitals)));
    let mut timer_is_set = false;
    poll_fn(|context| {
        if heard != Some(ending.stage()) {
            heard = Some(ending.stage());
            while changed.as_mut().poll(context).is_ready() {
                changed.set(ending.changed.notified());
            }
        }
        if ending.stage() == Stage::CutOff {
            return Poll::Ready(Run::CutOff);
        }
        if let Poll::Ready(value) = poll(context, ending.stage()) {
            return Poll::Ready(Run::Ended(value));
        }
        loop {
            let deadline = vitals.deadline();
            let fired = timer_is_set && timer.is_elapsed();
            let earlier = deadline.is_some_and(|(at, _)| at < timer.deadline());
            if timer_is_set && !fired && !earlier {
                return Poll::Pending;
            }
            match deadline {
                // It became time to look just now. hyper tries to send whenever it is polled, and
                // then the socket looks.
                Some((at, Late::Send)) if at <= Instant::now() && !vitals.takes_nothing() => {
                    timer.as_mut().reset(Instant::now() + LOOK_PAUSE);
                }
                Some((at, late)) if at <= Instant::now() => return Poll::Ready(Run::Late(late)),
                Some((at, _)) => timer.as_mut().reset(at),
                None => timer.as_mut().reset(far_away(vitals)),
            }
            timer_is_set = true;
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// How soon a connection is polled again that must look whether its client takes anything.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// When to look again although nothing is due.
fn far_away(vitals: &Vitals) -> Instant {
    Instant::now() + vitals.limits.idle_timeout
}
